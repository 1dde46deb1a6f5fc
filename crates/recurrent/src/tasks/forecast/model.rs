//! The two models that forecast, behind one face: how windows of rows become their batches, and
//! their outputs forecasts.
//!
//! Both say differences. A many-to-many model says at every row how far the rows after it lie from
//! it; an encoder-decoder reads a window less its last row and writes the rows that follow less the
//! same row. A model that says nothing so repeats the last row, and a level that the training never
//! saw does not harm.

use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    ConfigError, InputConfig, Lengths, ManyToMany, ManyToManyConfig, ManyToManyTape, Probe,
    Reading, SeriesForecaster, SeriesForecasterConfig, SeriesForecasterTape,
};
use recurrent_training::{
    ForecastObjective, Loss, Objective, Series, SeriesForecasterObjective, SeriesWindows,
};

use super::{Rows, Settings, Topology};

/// A model that forecasts rows of `columns` numbers.
pub struct Forecaster {
    window: usize,
    horizon: usize,
    columns: usize,
    model: Model,
}

#[derive(Clone)]
enum Model {
    ManyToMany(ManyToMany),
    EncoderDecoder(SeriesForecaster),
}

/// The buffers of a [`Forecaster`].
#[derive(Default)]
pub struct ForecasterTape {
    steps: ManyToManyTape<f32>,
    windows: SeriesForecasterTape<f32>,
}

/// What a step learns from.
pub enum ForecastBatch {
    /// Of a many-to-many model.
    Steps(Series<f32>),
    /// Of an encoder-decoder.
    Windows(SeriesWindows<f32>),
}

impl ForecastBatch {
    /// The mean square of what is read or of what is asked for, whichever is greater, in squared
    /// standard deviations: how far a forecast may err without a fault of the model.
    pub fn mean_square(&self) -> f64 {
        let (ForecastBatch::Steps(Series { x, targets, .. })
        | ForecastBatch::Windows(SeriesWindows { x, targets, .. })) = self;
        let mean_square = |numbers: &Matrix<f32>| {
            let numbers = numbers.as_slice();
            let squares = numbers.iter().map(|&number| f64::from(number) * f64::from(number));
            squares.sum::<f64>() / numbers.len() as f64
        };
        mean_square(x).max(mean_square(targets))
    }
}

/// The squared error of a [`Forecaster`].
pub enum ForecasterObjective {
    /// At every step of a window.
    Steps(ForecastObjective<f32>),
    /// Of the rows after a window.
    Windows(SeriesForecasterObjective<f32>),
}

impl Forecaster {
    /// The model of these settings for rows of `columns` numbers.
    ///
    /// # Errors
    /// [`ConfigError`] names the first number out of range.
    pub fn build(settings: &Settings, columns: usize) -> Result<Forecaster, ConfigError> {
        let &Settings { window, horizon, topology, .. } = settings;
        let stack = settings.network.stack();
        let model = match topology {
            Topology::ManyToMany => {
                let input = InputConfig::Vectors { size: columns };
                let output_size = horizon.saturating_mul(columns);
                Model::ManyToMany(ManyToManyConfig { input, stack, output_size }.build()?)
            }
            Topology::EncoderDecoder { feed } => {
                let config = SeriesForecasterConfig { columns, stack, horizon, feed };
                Model::EncoderDecoder(config.build()?)
            }
        };
        Ok(Forecaster { window, horizon, columns, model })
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        match &self.model {
            Model::ManyToMany(model) => model.layout(),
            Model::EncoderDecoder(model) => model.layout(),
        }
    }

    /// Fresh parameters.
    ///
    /// # Errors
    /// [`InitializationError`] if an option is not for these cells.
    pub fn initialize(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<f32>, InitializationError> {
        match &self.model {
            Model::ManyToMany(model) => model.initialize(generator, initialization, forget_bias),
            Model::EncoderDecoder(model) => {
                model.initialize(generator, initialization, forget_bias)
            }
        }
    }

    /// The model with its loss.
    pub fn objective(&self, seed: u64) -> ForecasterObjective {
        match self.model.clone() {
            Model::ManyToMany(model) => {
                ForecasterObjective::Steps(ForecastObjective::new(model, seed))
            }
            Model::EncoderDecoder(model) => {
                ForecasterObjective::Windows(SeriesForecasterObjective::new(model, seed))
            }
        }
    }

    /// Numbers that a window leaves on its tape at least.
    pub fn tape(&self, settings: &Settings) -> u128 {
        let (window, horizon) = (self.window as u128, self.horizon as u128);
        let (layers, columns) = (settings.network.tape(), self.columns as u128);
        match self.model {
            Model::ManyToMany(_) => window * (layers + 2 * horizon * columns),
            Model::EncoderDecoder(_) => (window + horizon) * (layers + 3 * columns),
        }
    }

    /// Windows as one batch: the shape, and what is read in each column. The first row of each
    /// window is in `starts`.
    fn windows(&self, rows: &Rows, starts: &[usize]) -> (Lengths, Matrix<f32>) {
        let lengths = Lengths::equal(starts.len(), self.window);
        let mut x = Matrix::zeros(self.columns, lengths.columns());
        for (sequence, &start) in starts.iter().enumerate() {
            let last = self.row(rows, start + self.window - 1);
            for t in 0..self.window {
                let column = lengths.column(sequence, t);
                let row = self.row(rows, start + t);
                let mut x = x.as_mut();
                let x = x.column(column);
                x.copy_from_slice(row);
                if let Model::EncoderDecoder(_) = self.model {
                    x.iter_mut().zip(last).for_each(|(x, last)| *x -= last);
                }
            }
        }
        (lengths, x)
    }

    fn row<'r>(&self, rows: &'r Rows, at: usize) -> &'r [f32] {
        &rows.scaled[at * self.columns..][..self.columns]
    }

    /// The batch of the windows that begin at `starts`, each with the rows that follow it.
    pub fn batch(&self, rows: &Rows, starts: &[usize]) -> ForecastBatch {
        let (lengths, x) = self.windows(rows, starts);
        let (batch, columns) = (starts.len(), self.columns);
        let difference = |from: usize, to: usize, column: usize| {
            self.row(rows, to)[column] - self.row(rows, from)[column]
        };
        match self.model {
            Model::ManyToMany(_) => {
                let mut targets = Matrix::zeros(self.horizon * columns, lengths.columns());
                let mut asked = vec![true; lengths.columns()];
                for (sequence, &start) in starts.iter().enumerate() {
                    for t in 0..self.window {
                        let column = lengths.column(sequence, t);
                        asked[column] = t >= warm_up(self.window);
                        let now = start + t;
                        for (at, target) in targets.as_mut().column(column).iter_mut().enumerate() {
                            *target = difference(now, now + 1 + at / columns, at % columns);
                        }
                    }
                }
                ForecastBatch::Steps(Series { x, targets, asked, lengths })
            }
            Model::EncoderDecoder(_) => {
                let targets = Matrix::from_fn(columns, self.horizon * batch, |row, column| {
                    let last = starts[column % batch] + self.window - 1;
                    difference(last, last + 1 + column / batch, row)
                });
                ForecastBatch::Windows(SeriesWindows { x, targets, lengths })
            }
        }
    }

    /// The rows that follow the windows that begin at `starts`: for each window, row after row, in
    /// standard deviations.
    pub fn forecast(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        rows: &Rows,
        starts: &[usize],
        tape: &mut ForecasterTape,
    ) -> Vec<Vec<f32>> {
        let (lengths, x) = self.windows(rows, starts);
        let (batch, columns) = (starts.len(), self.columns);
        let mut forecasts: Vec<Vec<f32>> = match &self.model {
            Model::ManyToMany(model) => {
                let (x, zero) = (Reading::Vectors(x.as_ref()), model.zero_state(batch));
                let tape = &mut tape.steps;
                let recorded = model.forward(compute, parameters, x, &zero, &lengths, None, tape);
                let outputs = recorded.logits();
                let last = |sequence| outputs.column(lengths.column(sequence, self.window - 1));
                (0..batch).map(|sequence| last(sequence).to_vec()).collect()
            }
            Model::EncoderDecoder(model) => {
                let (x, tape) = (x.as_ref(), &mut tape.windows);
                let recorded = model.forward(compute, parameters, x, None, &lengths, None, tape);
                let outputs = recorded.outputs();
                let written = |sequence| {
                    let columns = (0..self.horizon).map(move |t| t * batch + sequence);
                    columns.flat_map(|column| outputs.column(column)).copied().collect()
                };
                (0..batch).map(written).collect()
            }
        };
        for (forecast, &start) in forecasts.iter_mut().zip(starts) {
            let last = self.row(rows, start + self.window - 1);
            forecast.iter_mut().enumerate().for_each(|(at, y)| *y += last[at % columns]);
        }
        forecasts
    }
}

/// Steps at the start of a window whose forecasts are not judged in training, because they have seen
/// too little: half of them. (Judged at every step, daily temperatures and the built-in series were
/// forecast a little worse: what a model must say early on is not what it is asked for later.)
fn warm_up(window: usize) -> usize {
    window / 2
}

impl Objective<f32> for ForecasterObjective {
    type Batch = ForecastBatch;

    /// # Panics
    /// If the batch is of the other model, or as the objectives within.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        batch: &ForecastBatch,
        step: u64,
        gradients: &mut Parameters<f32>,
        probe: &impl Probe<f32>,
    ) -> Loss {
        match (self, batch) {
            (ForecasterObjective::Steps(objective), ForecastBatch::Steps(batch)) => {
                objective.gradients(compute, parameters, batch, step, gradients, probe)
            }
            (ForecasterObjective::Windows(objective), ForecastBatch::Windows(batch)) => {
                objective.gradients(compute, parameters, batch, step, gradients, probe)
            }
            _ => panic!("a batch of another model"),
        }
    }

    /// # Panics
    /// As [`gradients`](Objective::gradients).
    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        batch: &ForecastBatch,
    ) -> Loss {
        match (self, batch) {
            (ForecasterObjective::Steps(objective), ForecastBatch::Steps(batch)) => {
                objective.evaluate(compute, parameters, batch)
            }
            (ForecasterObjective::Windows(objective), ForecastBatch::Windows(batch)) => {
                objective.evaluate(compute, parameters, batch)
            }
            _ => panic!("a batch of another model"),
        }
    }
}
