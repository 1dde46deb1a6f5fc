//! The loss of a model that reads a sequence and writes another.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_topologies::{EncoderDecoder, EncoderDecoderTape, Lengths, Noise, Probe, Reading};

use super::{MOST_STEPS, first_time_step, token_loss, token_loss_gradient};
use crate::{Feed, Loss, Objective, Targets};

/// A batch of sequences to read, in the order of columns ([`Lengths::arrange`]), each from its own
/// beginning.
#[derive(Clone, Debug)]
pub enum Sources<T> {
    /// A token a column.
    Tokens(Vec<u32>),
    /// The columns themselves.
    Vectors(Matrix<T>),
}

impl<T: Real> Sources<T> {
    /// As a model reads it.
    pub fn reading(&self) -> Reading<'_, T> {
        match self {
            Sources::Tokens(tokens) => Reading::Tokens(tokens),
            Sources::Vectors(x) => Reading::Vectors(x.as_ref()),
        }
    }
}

/// Sources, and what is to be written from each.
#[derive(Clone, Debug)]
pub struct EncoderDecoderBatch<T> {
    /// What is read.
    pub sources: Sources<T>,
    /// The length of each source.
    pub source_lengths: Lengths,
    /// What is to be written; target j belongs to source j.
    pub targets: Targets,
}

/// Cross-entropy at every step that the decoder of an [`EncoderDecoder`] takes.
pub struct EncoderDecoderObjective<T> {
    model: EncoderDecoder,
    feed: Feed,
    seed: u64,
    tape: EncoderDecoderTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> EncoderDecoderObjective<T> {
    /// The decoder learns from what `feed` gives it to read; `seed` decides the dropout masks, and
    /// where it reads the truth.
    pub fn new(model: EncoderDecoder, feed: Feed, seed: u64) -> Self {
        let tape = EncoderDecoderTape::default();
        EncoderDecoderObjective { model, feed, seed, tape, losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &EncoderDecoder {
        &self.model
    }
}

impl<T: Real> Objective<T> for EncoderDecoderObjective<T> {
    type Batch = EncoderDecoderBatch<T>;

    /// # Panics
    /// If the batch does not fit the model, or has sources or targets of more than 2^23 time steps,
    /// which would share dropout masks.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &EncoderDecoderBatch<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let EncoderDecoderObjective { model, feed, seed, tape, losses } = self;
        let EncoderDecoderBatch { sources, source_lengths, targets } = batch;
        let sources = (sources.reading(), source_lengths);
        let longest = source_lengths.steps().max(targets.lengths.steps());
        assert!(
            longest as u64 <= MOST_STEPS / 2,
            "a sequence of {longest} steps is longer than {} and would share dropout masks",
            MOST_STEPS / 2
        );
        let noise = Some(Noise { seed: *seed, first_step: first_time_step(step, longest) });
        let tokens = feed
            .inputs(targets, (*seed, step), || model.stream(compute, parameters.clone(), sources));
        let read = (tokens.as_slice(), &targets.lengths);
        let mut recorded = model.forward(compute, parameters, sources, read, noise, tape);
        // Forward turns round here.
        let loss = token_loss_gradient(compute, recorded.logits_mut(), targets, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        loss
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &EncoderDecoderBatch<T>,
    ) -> Loss {
        let EncoderDecoderObjective { model, feed, tape, losses, .. } = self;
        let EncoderDecoderBatch { sources, source_lengths, targets } = batch;
        let sources = (sources.reading(), source_lengths);
        let tokens =
            feed.evaluation_inputs(targets, || model.stream(compute, parameters.clone(), sources));
        let read = (tokens.as_slice(), &targets.lengths);
        let recorded = model.forward(compute, parameters, sources, read, None, tape);
        token_loss(compute, recorded.logits(), targets, losses)
    }
}
