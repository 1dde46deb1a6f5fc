//! Many-to-many, aligned: something in and something out at every step. With tokens in and the next
//! token as class it is a language model; with a tag as class, a tagger; with numbers in and the
//! numbers to come out, a forecast.

use std::ops::Range;
use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters, initialize};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::config::{at_least_one, countable};
use crate::decoder::Decoder;
use crate::reader::{Reader, ReaderConfig, ReaderRecorded, ReaderTape};
use crate::{
    ConfigError, DecoderStream, InputConfig, Lengths, Noise, Probe, Reading, Stack, StackConfig,
    State,
};

/// What a [`ManyToMany`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManyToManyConfig {
    /// What it reads at every step.
    pub input: InputConfig,
    /// Its layers. They may read both ways for a tagger, but not for a language model, which would
    /// see what it is to predict.
    pub stack: StackConfig,
    /// Numbers that it says at every step, at least 1: a logit for each class (a language model's
    /// classes are its tokens), or the numbers of a forecast.
    pub output_size: usize,
}

impl ManyToManyConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<ManyToMany, ConfigError> {
        let ManyToManyConfig { input, stack, output_size } = self;
        let config = ReaderConfig::new(*input, *stack);
        config.check()?;
        at_least_one("output size", *output_size)?;
        let readout = *output_size as f64 * stack.output_size() as f64;
        countable(config.count() + readout)?;

        let mut layout = Layout::new();
        let reader = config.add(&mut layout, "");
        let readout = Linear::add(&mut layout, "readout", stack.output_size(), *output_size);
        Ok(ManyToMany { config: self.clone(), layout: Arc::new(layout), reader, readout })
    }
}

/// An input, a stack of cells, and a linear readout at every step.
#[derive(Clone, Debug)]
pub struct ManyToMany {
    config: ManyToManyConfig,
    layout: Arc<Layout>,
    reader: Reader,
    readout: Linear,
}

/// The buffers of a [`ManyToMany`], reused from batch to batch.
pub struct ManyToManyTape<T> {
    reader: ReaderTape<T>,
    readout: PackedLinear<T>,
    logits: Matrix<T>,
}

impl<T: Real> Default for ManyToManyTape<T> {
    fn default() -> Self {
        ManyToManyTape {
            reader: ReaderTape::default(),
            readout: PackedLinear::default(),
            logits: Matrix::zeros(0, 0),
        }
    }
}

/// A forward pass of a [`ManyToMany`] up to h of the last layer, before anything is said.
///
/// The logits of a large vocabulary are far more numbers than all else of a pass, so what needs them
/// only for a moment takes them in pieces: [`say`](Self::say), [`ManyToMany::backward_from_hidden`].
#[must_use = "drop it if no gradient is wanted"]
pub struct ManyToManyHidden<'t, T> {
    reader: ReaderRecorded<'t, T>,
    readout: &'t PackedLinear<T>,
    logits: &'t mut Matrix<T>,
    output_size: usize,
}

impl<T: Real> ManyToManyHidden<'_, T> {
    /// Calls `f` with the columns of one piece after the other, and what is said there, such as
    /// logits: `output_size` x as many. A piece has `columns` columns, the last one perhaps fewer.
    ///
    /// # Panics
    /// If `columns` is 0.
    #[track_caller]
    pub fn say(
        &mut self,
        compute: &Compute,
        columns: usize,
        mut f: impl FnMut(Range<usize>, ColumnsMut<'_, T>),
    ) {
        let h = self.reader.stack.output();
        for piece in pieces(h.columns(), columns) {
            self.logits.resize(self.output_size, piece.len());
            self.readout.forward(compute, h.columns_range(piece.clone()), self.logits.as_mut());
            f(piece, self.logits.as_mut());
        }
    }

    /// Writes h_n and c_n in the caller's order.
    ///
    /// # Panics
    /// If `state` has another shape.
    #[track_caller]
    pub fn final_state(&self, state: &mut State<T>) {
        self.reader.stack.final_state(state);
    }

    /// Writes the state after the first `steps` steps, as [`Recorded::state_after`] does.
    ///
    /// # Panics
    /// If `state` has another shape, a sequence is shorter, or the model reads both ways.
    ///
    /// [`Recorded::state_after`]: crate::Recorded::state_after
    #[track_caller]
    pub fn state_after(&self, steps: usize, state: &mut State<T>) {
        self.reader.stack.state_after(steps, state);
    }
}

/// `count` columns in pieces of `together`.
#[track_caller]
fn pieces(count: usize, together: usize) -> impl Iterator<Item = Range<usize>> {
    assert!(together > 0, "pieces of no column");
    (0..count).step_by(together).map(move |first| first..count.min(first + together))
}

/// A forward pass of a [`ManyToMany`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct ManyToManyRecorded<'t, T> {
    hidden: ManyToManyHidden<'t, T>,
}

impl<T: Real> ManyToManyRecorded<'_, T> {
    /// What is said at every step, such as logits: `output_size` x N.
    pub fn logits(&self) -> Columns<'_, T> {
        self.hidden.logits.as_ref()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn logits_mut(&mut self) -> ColumnsMut<'_, T> {
        self.hidden.logits.as_mut()
    }

    /// As [`ManyToManyHidden::final_state`].
    ///
    /// # Panics
    /// If `state` has another shape.
    #[track_caller]
    pub fn final_state(&self, state: &mut State<T>) {
        self.hidden.final_state(state);
    }

    /// As [`ManyToManyHidden::state_after`].
    ///
    /// # Panics
    /// If `state` has another shape, a sequence is shorter, or the model reads both ways.
    #[track_caller]
    pub fn state_after(&self, steps: usize, state: &mut State<T>) {
        self.hidden.state_after(steps, state);
    }
}

impl ManyToMany {
    /// What the model is made of.
    pub fn config(&self) -> &ManyToManyConfig {
        &self.config
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Its layers.
    pub fn stack(&self) -> &Stack<AnyCell> {
        &self.reader.stack
    }

    /// A state of zeros for `batch` sequences.
    pub fn zero_state<T: Real>(&self, batch: usize) -> State<T> {
        self.stack().zero_state(batch)
    }

    /// What the first layer reads, as columns, for who runs the [`stack`](Self::stack) alone: the
    /// vectors of tokens, or what is given.
    ///
    /// # Panics
    /// If the parameters are another model's, or `reading` is not what the model reads.
    #[track_caller]
    pub fn input_vectors<T: Real>(
        &self,
        parameters: &Parameters<T>,
        reading: Reading<'_, T>,
    ) -> Matrix<T> {
        parameters.assert_layout(&self.layout);
        self.reader.vectors(parameters, reading)
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
        self.reader.initialize(generator, &mut parameters, initialization, forget_bias)?;
        initialize::linear(generator, &mut parameters, &self.readout);
        Ok(parameters)
    }

    /// Runs a batch, read in the order of columns ([`Lengths::arrange`]); `noise` is given in
    /// training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, or a token is outside the
    /// vocabulary.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        reading: Reading<'t, T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ManyToManyTape<T>,
    ) -> ManyToManyRecorded<'t, T> {
        let mut hidden =
            self.forward_hidden(compute, parameters, reading, initial, lengths, noise, tape);
        // One piece, whose logits stay.
        hidden.logits.resize(self.config.output_size, 0);
        hidden.say(compute, lengths.columns().max(1), |_, _| {});
        ManyToManyRecorded { hidden }
    }

    /// As [`forward`](Self::forward), up to h of the last layer.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[track_caller]
    pub fn forward_hidden<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        reading: Reading<'t, T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ManyToManyTape<T>,
    ) -> ManyToManyHidden<'t, T> {
        parameters.assert_layout(&self.layout);
        let ManyToManyTape { reader, readout, logits } = tape;
        let reader =
            self.reader.forward(compute, parameters, reading, initial, lengths, noise, reader);
        readout.pack(compute, &self.readout, parameters);
        ManyToManyHidden { reader, readout, logits, output_size: self.config.output_size }
    }

    /// Undoes [`forward_hidden`](Self::forward_hidden): adds to the gradients of the parameters. In
    /// pieces, as [`ManyToManyHidden::say`] makes them; `f` turns the logits of each into their
    /// gradient. The last bits of the gradients may depend on `columns`, as those of any sum on how
    /// it is divided; losses do not.
    ///
    /// # Panics
    /// If parameters or gradients are another model's, or `columns` is 0.
    #[track_caller]
    pub fn backward_from_hidden<T: Real>(
        &self,
        hidden: ManyToManyHidden<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
        columns: usize,
        mut f: impl FnMut(Range<usize>, ColumnsMut<'_, T>),
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let ManyToManyHidden { reader, readout, logits, output_size } = hidden;
        let mut turned = reader.turn();
        let (h, mut d_h) = turned.stack.output_and_gradient();
        for piece in pieces(h.columns(), columns) {
            let h = h.columns_range(piece.clone());
            logits.resize(output_size, piece.len());
            readout.forward(compute, h, logits.as_mut());
            f(piece.clone(), logits.as_mut());
            let d_h = d_h.reborrow().columns_range(piece);
            self.readout.backward(compute, parameters, h, logits.as_ref(), gradients, d_h);
        }
        self.reader.backward(turned, compute, parameters, gradients, probe);
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// logits must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: ManyToManyRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let ManyToManyHidden { reader, logits, .. } = recorded.hidden;
        let d_logits = logits.as_ref();
        let mut turned = reader.turn();
        let (output, d_output) = turned.stack.output_and_gradient();
        self.readout.backward(compute, parameters, output, d_logits, gradients, d_output);
        self.reader.backward(turned, compute, parameters, gradients, probe);
    }

    /// The model token by token, over `batch` sequences that start from a state of zeros.
    ///
    /// # Panics
    /// If the parameters are another model's, or the model reads vectors or both ways.
    #[track_caller]
    pub fn stream<T: Real>(
        &self,
        compute: &Compute,
        parameters: Parameters<T>,
        batch: usize,
    ) -> DecoderStream<T> {
        parameters.assert_layout(&self.layout);
        let InputConfig::Tokens { .. } = self.config.input else {
            panic!("a stream over tokens of a model that reads vectors");
        };
        let decoder = Decoder::plain(self.reader.clone(), self.readout);
        DecoderStream::new(compute, &decoder, parameters, batch)
    }
}
