//! One row of numbers a sequence.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_topologies::{Lengths, ManyToOne, ManyToOneTape, Noise, Probe};

use super::first_time_step;
use super::forecast::errors;
use crate::{Loss, Objective, Sources};

/// Sequences, each with the numbers to be said of it.
#[derive(Clone, Debug)]
pub struct Measured<T> {
    /// What is read, in the order of columns.
    pub inputs: Sources<T>,
    /// The shape.
    pub lengths: Lengths,
    /// The numbers to say of each sequence: `output_size` x batch, in the caller's order.
    pub targets: Matrix<T>,
}

/// The mean squared error of what a [`ManyToOne`] says of a sequence. Every batch begins from a state
/// of zeros.
pub struct RegressionObjective<T> {
    model: ManyToOne,
    seed: u64,
    tape: ManyToOneTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> RegressionObjective<T> {
    /// `seed` decides the dropout masks.
    pub fn new(model: ManyToOne, seed: u64) -> Self {
        RegressionObjective { model, seed, tape: ManyToOneTape::default(), losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &ManyToOne {
        &self.model
    }

    /// The loss of each sequence of the last batch, in the caller's order: the mean of its squared
    /// errors.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }
}

impl<T: Real> Objective<T> for RegressionObjective<T> {
    type Batch = Measured<T>;

    /// # Panics
    /// If the batch does not fit the model, or a sequence has more than 2^24 steps, which would share
    /// dropout masks with the next batch.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Measured<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let RegressionObjective { model, seed, tape, losses } = self;
        let Measured { inputs, lengths, targets } = batch;
        let first_step = first_time_step(step, lengths.steps());
        let noise = Some(Noise { seed: *seed, first_step });
        let reading = inputs.reading();
        let mut recorded = model.forward(compute, parameters, reading, lengths, noise, tape);

        // The gradient of the mean: forward turns round here.
        let asked = vec![true; lengths.batch()];
        let loss = errors(compute, recorded.outputs_mut(), targets, &asked, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        loss
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Measured<T>,
    ) -> Loss {
        let RegressionObjective { model, tape, losses, .. } = self;
        let Measured { inputs, lengths, targets } = batch;
        let reading = inputs.reading();
        let mut recorded = model.forward(compute, parameters, reading, lengths, None, tape);
        let asked = vec![true; lengths.batch()];
        errors(compute, recorded.outputs_mut(), targets, &asked, losses)
    }
}
