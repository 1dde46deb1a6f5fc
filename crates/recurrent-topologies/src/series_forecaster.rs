//! Encoder-decoder for numbers: one stack reads a window of rows, another writes the rows that
//! follow, one after the other.

use std::sync::Arc;

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::config::{at_least_one, countable};
use crate::probe::Above;
use crate::{
    ConfigError, Input, InputConfig, InputGradient, Lengths, Noise, Probe, Recorded, Stack,
    StackConfig, State, Tape,
};

/// What the decoder reads at a step, but for the first, at which it reads the window's last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesFeed {
    /// Zeros: all that it knows is in its state.
    Dummy,
    /// The row that it wrote before, as it does when nobody knows what will come. Gradients flow
    /// back through it.
    Output,
    /// The row that truly came (teacher forcing), where it is given, and otherwise the one that it
    /// wrote.
    Truth,
}

impl SeriesFeed {
    /// All of them.
    pub const ALL: [SeriesFeed; 3] = [SeriesFeed::Dummy, SeriesFeed::Output, SeriesFeed::Truth];
}

/// What a [`SeriesForecaster`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesForecasterConfig {
    /// Numbers in a row; at least 1.
    pub columns: usize,
    /// The layers of the encoder and, with parameters of its own, of the decoder. They read
    /// forward.
    pub stack: StackConfig,
    /// Rows that it writes; at least 1.
    pub horizon: usize,
    /// What the decoder reads.
    pub feed: SeriesFeed,
}

impl SeriesForecasterConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<SeriesForecaster, ConfigError> {
        let SeriesForecasterConfig { columns, stack, horizon, .. } = self;
        at_least_one("number of columns", *columns)?;
        at_least_one("horizon", *horizon)?;
        stack.check_reading(&InputConfig::Vectors { size: *columns })?;
        if stack.bidirectional {
            return Err(ConfigError::BidirectionalDecoder);
        }
        let readout = *columns as f64 * stack.output_size() as f64;
        countable(2.0 * stack.count(*columns) + readout)?;

        let mut layout = Layout::new();
        let encoder = stack.add(&mut layout, "encoder.", *columns);
        let decoder = stack.add(&mut layout, "decoder.", *columns);
        let readout = Linear::add(&mut layout, "readout", decoder.output_size(), *columns);
        let (config, layout) = (self.clone(), Arc::new(layout));
        Ok(SeriesForecaster { config, layout, encoder, decoder, readout })
    }
}

/// A stack that reads a window, a stack that goes on from its state, and a linear readout.
///
/// Rows are taken as they are. Whether a window's last row is subtracted from all of them is the
/// matter of whoever makes the windows.
#[derive(Clone, Debug)]
pub struct SeriesForecaster {
    config: SeriesForecasterConfig,
    layout: Arc<Layout>,
    encoder: Stack<AnyCell>,
    decoder: Stack<AnyCell>,
    readout: Linear,
}

/// The buffers of a [`SeriesForecaster`], reused from batch to batch.
pub struct SeriesForecasterTape<T> {
    encoder: Tape<T>,
    decoder: Tape<T>,
    /// What the decoder reads: columns x (horizon * batch).
    inputs: Matrix<T>,
    readout: PackedLinear<T>,
    outputs: Matrix<T>,
    d_input: Matrix<T>,
}

impl<T: Real> Default for SeriesForecasterTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        SeriesForecasterTape {
            encoder: Tape::new(),
            decoder: Tape::new(),
            inputs: empty(),
            readout: PackedLinear::default(),
            outputs: empty(),
            d_input: empty(),
        }
    }
}

/// A forward pass of a [`SeriesForecaster`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct SeriesForecasterRecorded<'t, T> {
    encoder: Recorded<'t, T>,
    decoder: Recorded<'t, T>,
    window: Columns<'t, T>,
    inputs: &'t Matrix<T>,
    outputs: &'t mut Matrix<T>,
    d_input: &'t mut Matrix<T>,
    /// The decoder read what it wrote.
    feeds_back: bool,
}

impl<T: Real> SeriesForecasterRecorded<'_, T> {
    /// The rows that follow each window: columns x (horizon * batch). Row t after the window of the
    /// caller's sequence k is in column `t * batch + k`.
    pub fn outputs(&self) -> Columns<'_, T> {
        self.outputs.as_ref()
    }

    /// The outputs, for a loss to turn into their own gradient in place.
    pub fn outputs_mut(&mut self) -> ColumnsMut<'_, T> {
        self.outputs.as_mut()
    }
}

impl SeriesForecaster {
    /// What the model is made of.
    pub fn config(&self) -> &SeriesForecasterConfig {
        &self.config
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The layers that read the window, and those that write what follows.
    pub fn stacks(&self) -> [&Stack<AnyCell>; 2] {
        [&self.encoder, &self.decoder]
    }

    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given
    /// ([`initialize::forget_bias`]), the rest by PyTorch's defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        for stack in self.stacks() {
            stack.initialize(generator, &mut parameters, initialization, forget_bias)?;
        }
        initialize::linear(generator, &mut parameters, &self.readout);
        Ok(parameters)
    }

    /// Reads a window of every sequence, given in the order of columns ([`Lengths::arrange`]), and
    /// writes what follows. `truth` holds what truly followed, shaped like
    /// [`SeriesForecasterRecorded::outputs`]; it is looked at with [`SeriesFeed::Truth`] alone. `noise` is
    /// given in training and left out elsewhere; in its count the decoder's steps follow those of the
    /// longest window.
    ///
    /// # Panics
    /// If the shapes do not fit, or the parameters are another model's.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        window: Columns<'t, T>,
        truth: Option<Columns<'_, T>>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut SeriesForecasterTape<T>,
    ) -> SeriesForecasterRecorded<'t, T> {
        parameters.assert_layout(&self.layout);
        let SeriesForecasterConfig { columns, horizon, feed, .. } = self.config;
        lengths.require_whole("a window");
        let batch = lengths.batch();
        if let Some(truth) = truth {
            let (rows, given, wanted) = (truth.rows(), truth.columns(), horizon * batch);
            assert!(
                (rows, given) == (columns, wanted),
                "a truth of {rows} rows x {given} columns; {columns} x {wanted} are forecast"
            );
        }
        let SeriesForecasterTape { encoder, decoder, inputs, readout, outputs, d_input } = tape;
        let x = Input::Columns(window);
        let zero = self.encoder.zero_state(batch);
        let encoder = self.encoder.run(compute, parameters, x, &zero, lengths, noise, encoder);
        let mut state: State<T> = zero;
        encoder.final_state(&mut state);

        inputs.reset(columns, horizon * batch);
        for sequence in 0..batch {
            let last = lengths.column(sequence, lengths.length(sequence) - 1);
            inputs.as_mut().column(sequence).copy_from_slice(window.column(last));
        }
        let noise = noise.map(Noise::for_decoder);
        readout.pack(compute, &self.readout, parameters);
        outputs.resize(columns, horizon * batch);
        let lengths = Lengths::equal(batch, horizon);
        let panel = |t: usize| t * batch..(t + 1) * batch;
        let truth = truth.filter(|_| feed == SeriesFeed::Truth);
        let feeds_back = feed != SeriesFeed::Dummy && truth.is_none();
        let decoder = if feeds_back {
            let mut taping =
                self.decoder.begin(compute, parameters, &state, &lengths, noise, &mut *decoder);
            for t in 0..horizon {
                if t > 0 {
                    let written = outputs.as_ref().columns_range(panel(t - 1));
                    inputs.as_mut().columns_range(panel(t)).copy_from(written);
                }
                let x = Input::Columns(inputs.as_ref().columns_range(panel(t)));
                let h = taping.advance(x);
                readout.forward(compute, h, outputs.as_mut().columns_range(panel(t)));
            }
            let _ = taping.finish();
            Recorded { tape: decoder }
        } else {
            if let Some(truth) = truth {
                let came = truth.columns_range(0..(horizon - 1) * batch);
                inputs.as_mut().columns_range(batch..horizon * batch).copy_from(came);
            }
            let x = Input::Columns(inputs.as_ref());
            let decoder =
                self.decoder.run(compute, parameters, x, &state, &lengths, noise, decoder);
            readout.forward(compute, decoder.output(), outputs.as_mut());
            decoder
        };
        SeriesForecasterRecorded { encoder, decoder, window, inputs, outputs, d_input, feeds_back }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// outputs must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: SeriesForecasterRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let SeriesForecasterRecorded { encoder, decoder, window, inputs, outputs, d_input, .. } =
            recorded;
        let x = InputGradient::Columns { x: inputs.as_ref(), d_x: None };
        let mut turned = decoder.turn();
        let above = &Above { probe, layers: self.config.stack.num_layers };
        let reversed = if recorded.feeds_back {
            let horizon = self.config.horizon;
            let batch = outputs.columns() / horizon;
            let panel = |t: usize| t * batch..(t + 1) * batch;
            let mut retreating = self.decoder.begin_backward(turned, compute, parameters);
            d_input.resize(outputs.rows(), batch);
            for t in (0..horizon).rev() {
                let d_y = outputs.as_ref().columns_range(panel(t));
                let (h, d_h) = retreating.output_and_gradient(t);
                self.readout.backward(compute, parameters, h, d_y, gradients, d_h);
                retreating.retreat(Some(d_input.as_mut()), above);
                if t > 0 {
                    // What was read at t was written at t - 1.
                    outputs.as_mut().columns_range(panel(t - 1)).add(d_input.as_ref());
                }
            }
            retreating.finish(parameters, x, gradients)
        } else {
            let (h, d_h) = turned.output_and_gradient();
            self.readout.backward(compute, parameters, h, outputs.as_ref(), gradients, d_h);
            self.decoder.run_backward(turned, compute, parameters, x, gradients, above)
        };

        let mut turned = encoder.turn();
        turned.add_final_state_gradient(&reversed.initial_state_gradient());
        let x = InputGradient::Columns { x: window, d_x: None };
        self.encoder.run_backward(turned, compute, parameters, x, gradients, probe);
    }
}
