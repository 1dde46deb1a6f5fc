//! One label a sequence.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Real, loss};
use recurrent_topologies::{Lengths, ManyToOne, ManyToOneTape, Noise, Probe};

use super::{first_time_step, predictions};
use crate::{Loss, Objective, Sources};

/// Sequences, each with a label.
#[derive(Clone, Debug)]
pub struct Labelled<T> {
    /// What is read, in the order of columns.
    pub inputs: Sources<T>,
    /// The shape.
    pub lengths: Lengths,
    /// The class of each sequence, in the caller's order. [`loss::IGNORED`] asks for nothing there.
    pub labels: Vec<u32>,
}

/// Cross-entropy of one label a sequence. Every batch begins from a state of zeros.
pub struct ManyToOneObjective<T> {
    model: ManyToOne,
    seed: u64,
    tape: ManyToOneTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> ManyToOneObjective<T> {
    /// `seed` decides the dropout masks.
    pub fn new(model: ManyToOne, seed: u64) -> Self {
        ManyToOneObjective { model, seed, tape: ManyToOneTape::default(), losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &ManyToOne {
        &self.model
    }

    /// The loss of each sequence of the last batch, in the caller's order: -ln p of its label, 0 where
    /// none is asked for.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }
}

impl<T: Real> Objective<T> for ManyToOneObjective<T> {
    type Batch = Labelled<T>;

    /// # Panics
    /// If the batch does not fit the model, or a sequence has more than 2^24 steps, which would share
    /// dropout masks with the next batch.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Labelled<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let ManyToOneObjective { model, seed, tape, losses } = self;
        let Labelled { inputs, lengths, labels } = batch;
        let first_step = first_time_step(step, lengths.steps());
        let noise = Some(Noise { seed: *seed, first_step });
        let reading = inputs.reading();
        let mut recorded = model.forward(compute, parameters, reading, lengths, noise, tape);

        // The gradient of the mean: forward turns round here.
        let count = predictions(labels);
        let scale = T::from_f64(1.0 / count as f64);
        losses.resize(lengths.batch(), 0.0);
        loss::softmax_cross_entropy(compute, recorded.outputs_mut(), labels, scale, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        Loss { sum: losses.iter().sum(), count }
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Labelled<T>,
    ) -> Loss {
        let ManyToOneObjective { model, tape, losses, .. } = self;
        let Labelled { inputs, lengths, labels } = batch;
        let reading = inputs.reading();
        let recorded = model.forward(compute, parameters, reading, lengths, None, tape);
        losses.resize(lengths.batch(), 0.0);
        loss::cross_entropy(compute, recorded.outputs(), labels, losses);
        Loss { sum: losses.iter().sum(), count: predictions(labels) }
    }
}
