//! The loss of a model that writes from a vector.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_topologies::{Noise, OneToMany, OneToManyTape, Probe};

use super::{first_time_step, token_loss, token_loss_gradient};
use crate::{Feed, Loss, Objective, Targets};

/// Vectors, and what is to be written from each.
#[derive(Clone, Debug)]
pub struct OneToManyBatch<T> {
    /// A column for each target, in the caller's order.
    pub condition: Matrix<T>,
    /// What is to be written.
    pub targets: Targets,
}

/// Cross-entropy at every step of a [`OneToMany`].
pub struct OneToManyObjective<T> {
    model: OneToMany,
    feed: Feed,
    seed: u64,
    tape: OneToManyTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> OneToManyObjective<T> {
    /// The model learns from what `feed` gives it to read; `seed` decides the dropout masks, and
    /// where it reads the truth.
    pub fn new(model: OneToMany, feed: Feed, seed: u64) -> Self {
        OneToManyObjective { model, feed, seed, tape: OneToManyTape::default(), losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &OneToMany {
        &self.model
    }
}

impl<T: Real> Objective<T> for OneToManyObjective<T> {
    type Batch = OneToManyBatch<T>;

    /// # Panics
    /// If the batch does not fit the model, or has so many time steps that it would share dropout
    /// masks with the next (2^24).
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &OneToManyBatch<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let OneToManyObjective { model, feed, seed, tape, losses } = self;
        let OneToManyBatch { condition, targets } = batch;
        let condition = condition.as_ref();
        // The vector may take a step of its own.
        let first_step = first_time_step(step, targets.lengths.steps() + 1);
        let noise = Some(Noise { seed: *seed, first_step });
        let tokens = feed.inputs(targets, (*seed, step), || {
            model.stream(compute, parameters.clone(), condition)
        });
        let lengths = &targets.lengths;
        let mut recorded =
            model.forward(compute, parameters, condition, &tokens, lengths, noise, tape);
        // Forward turns round here.
        let loss = token_loss_gradient(compute, recorded.logits_mut(), targets, losses);
        model.backward(recorded, compute, parameters, None, gradients, probe);
        loss
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &OneToManyBatch<T>,
    ) -> Loss {
        let OneToManyObjective { model, feed, tape, losses, .. } = self;
        let OneToManyBatch { condition, targets } = batch;
        let condition = condition.as_ref();
        let tokens = feed
            .evaluation_inputs(targets, || model.stream(compute, parameters.clone(), condition));
        let lengths = &targets.lengths;
        let recorded = model.forward(compute, parameters, condition, &tokens, lengths, None, tape);
        token_loss(compute, recorded.logits(), targets, losses)
    }
}
