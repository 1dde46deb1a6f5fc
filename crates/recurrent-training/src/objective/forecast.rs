//! Numbers that are to come near other numbers: forecasts.

use recurrent_cells::Parameters;
use recurrent_kernels::{ColumnsMut, Compute, Matrix, Real, loss};
use recurrent_topologies::{
    Lengths, ManyToMany, ManyToManyTape, Noise, Probe, Reading, SeriesForecaster,
    SeriesForecasterTape,
};

use super::first_time_step;
use crate::{Loss, Objective};

/// Series of rows, each row with the numbers to say when it has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<T> {
    /// The row read in each column: `input_size` x N, in the order of columns.
    pub x: Matrix<T>,
    /// The numbers to say in each column: `output_size` x N.
    pub targets: Matrix<T>,
    /// Whether a column's numbers are asked for: N. Where they are not, as in a window's first steps
    /// or after a series' end, `targets` is not read.
    pub asked: Vec<bool>,
    /// The shape.
    pub lengths: Lengths,
}

/// Windows of series, and the rows that follow them.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesWindows<T> {
    /// The row read in each column: columns x N, in the order of columns.
    pub x: Matrix<T>,
    /// The rows that follow: columns x (horizon * batch), row t of the caller's sequence k in column
    /// `t * batch + k`.
    pub targets: Matrix<T>,
    /// The shape of the windows.
    pub lengths: Lengths,
}

/// The mean squared error of what a [`ManyToMany`] says at every step about the steps that follow.
/// Every batch begins from a state of zeros.
pub struct ForecastObjective<T> {
    model: ManyToMany,
    seed: u64,
    tape: ManyToManyTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> ForecastObjective<T> {
    /// `seed` decides the dropout masks.
    pub fn new(model: ManyToMany, seed: u64) -> Self {
        ForecastObjective { model, seed, tape: ManyToManyTape::default(), losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &ManyToMany {
        &self.model
    }
}

impl<T: Real> Objective<T> for ForecastObjective<T> {
    type Batch = Series<T>;

    /// # Panics
    /// If the batch does not fit the model, or a series has more than 2^24 steps, which would share
    /// dropout masks with the next batch.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Series<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let ForecastObjective { model, seed, tape, losses } = self;
        let Series { x, lengths, .. } = batch;
        let first_step = first_time_step(step, lengths.steps());
        let noise = Some(Noise { seed: *seed, first_step });
        let (reading, zero) = (Reading::Vectors(x.as_ref()), model.zero_state(lengths.batch()));
        let mut recorded = model.forward(compute, parameters, reading, &zero, lengths, noise, tape);

        // The gradient of the mean: forward turns round here.
        let loss = errors(compute, recorded.logits_mut(), &batch.targets, &batch.asked, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        loss
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Series<T>,
    ) -> Loss {
        let ForecastObjective { model, tape, losses, .. } = self;
        let Series { x, lengths, .. } = batch;
        let (reading, zero) = (Reading::Vectors(x.as_ref()), model.zero_state(lengths.batch()));
        let mut recorded = model.forward(compute, parameters, reading, &zero, lengths, None, tape);
        errors(compute, recorded.logits_mut(), &batch.targets, &batch.asked, losses)
    }
}

/// The mean squared error of every row that a [`SeriesForecaster`] writes. In training it may read
/// the truth, if its feed says so; an evaluation never shows it.
pub struct SeriesForecasterObjective<T> {
    model: SeriesForecaster,
    seed: u64,
    tape: SeriesForecasterTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> SeriesForecasterObjective<T> {
    /// `seed` decides the dropout masks.
    pub fn new(model: SeriesForecaster, seed: u64) -> Self {
        let tape = SeriesForecasterTape::default();
        SeriesForecasterObjective { model, seed, tape, losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &SeriesForecaster {
        &self.model
    }
}

impl<T: Real> Objective<T> for SeriesForecasterObjective<T> {
    type Batch = SeriesWindows<T>;

    /// # Panics
    /// If the batch does not fit the model, or a window or what follows it has more than 2^23
    /// steps, which would share dropout masks with the next batch.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &SeriesWindows<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let SeriesForecasterObjective { model, seed, tape, losses } = self;
        let SeriesWindows { x, targets, lengths } = batch;
        let first_step = first_time_step(step, 2 * lengths.steps().max(model.config().horizon));
        let noise = Some(Noise { seed: *seed, first_step });
        let (x, truth) = (x.as_ref(), Some(targets.as_ref()));
        let mut recorded = model.forward(compute, parameters, x, truth, lengths, noise, tape);

        // The gradient of the mean: forward turns round here.
        let asked = vec![true; targets.columns()];
        let loss = errors(compute, recorded.outputs_mut(), targets, &asked, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        loss
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &SeriesWindows<T>,
    ) -> Loss {
        let SeriesForecasterObjective { model, tape, losses, .. } = self;
        let SeriesWindows { x, targets, lengths } = batch;
        let x = x.as_ref();
        let mut recorded = model.forward(compute, parameters, x, None, lengths, None, tape);
        let asked = vec![true; targets.columns()];
        errors(compute, recorded.outputs_mut(), targets, &asked, losses)
    }
}

/// The loss of some outputs, which become the gradient of its mean.
pub(super) fn errors<T: Real>(
    compute: &Compute,
    outputs: ColumnsMut<'_, T>,
    targets: &Matrix<T>,
    asked: &[bool],
    losses: &mut Vec<f64>,
) -> Loss {
    let count = asked.iter().filter(|&&asked| asked).count();
    let scale = T::from_f64(1.0 / count as f64);
    losses.resize(outputs.columns(), 0.0);
    loss::squared_error(compute, outputs, targets.as_ref(), asked, scale, losses);
    Loss { sum: losses.iter().sum(), count }
}
