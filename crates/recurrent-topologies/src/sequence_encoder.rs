//! A sequence read into one vector: an input, a stack of cells, and a pool over its steps. The
//! part that a classifier and a model of questions share.

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, Matrix, Real};

use crate::config::countable;
use crate::reader::{Reader, ReaderConfig, ReaderRecorded, ReaderTape};
use crate::{
    ConfigError, InputConfig, Lengths, Noise, Pool, Probe, Reading, Stack, StackConfig, State,
};

/// Reads every sequence of a batch, from a state of zeros, into one vector of
/// [`output_size`](Self::output_size) numbers.
#[derive(Clone, Debug)]
pub struct SequenceEncoder {
    reader: Reader,
    pool: Pool,
}

/// The buffers of a [`SequenceEncoder`], reused from batch to batch.
pub struct SequenceEncoderTape<T> {
    reader: ReaderTape<T>,
    pooled: Matrix<T>,
    winners: Vec<usize>,
}

impl<T: Real> Default for SequenceEncoderTape<T> {
    fn default() -> Self {
        SequenceEncoderTape {
            reader: ReaderTape::default(),
            pooled: Matrix::zeros(0, 0),
            winners: Vec::new(),
        }
    }
}

/// A forward pass of a [`SequenceEncoder`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct SequenceEncoderRecorded<'t, T> {
    reader: ReaderRecorded<'t, T>,
    pooled: &'t Matrix<T>,
    winners: &'t [usize],
}

impl<T: Real> SequenceEncoderRecorded<'_, T> {
    /// A vector for each sequence: `output_size` x batch, in the caller's order.
    pub fn output(&self) -> Columns<'_, T> {
        self.pooled.as_ref()
    }

    /// Writes h_n and c_n in the caller's order.
    ///
    /// # Panics
    /// If `state` has another shape.
    #[track_caller]
    pub fn final_state(&self, state: &mut State<T>) {
        self.reader.stack.final_state(state);
    }
}

impl SequenceEncoder {
    /// Checks what it is made of and adds its parameters to a layout: `{prefix}embedding.weight` if
    /// tokens are embedded, then `{prefix}rnn.weight_ih_l0` and so on.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range; the layout is as before.
    pub fn add(
        layout: &mut Layout,
        prefix: &str,
        input: InputConfig,
        stack: StackConfig,
        pool: Pool,
    ) -> Result<Self, ConfigError> {
        let config = ReaderConfig::new(input, stack);
        config.check()?;
        countable(config.count())?;
        let mut reader = config.add(layout, prefix);
        // What is dropped from all steps is dropped from what the pool makes of them.
        reader.stack.locks_output = true;
        Ok(SequenceEncoder { reader, pool })
    }

    /// Its layers.
    pub fn stack(&self) -> &Stack<AnyCell> {
        &self.reader.stack
    }

    /// Numbers in a sequence's vector: `hidden_size`, or twice that with two directions.
    pub fn output_size(&self) -> usize {
        self.stack().output_size()
    }

    /// What the first layer reads, as columns.
    #[track_caller]
    pub(crate) fn input_vectors<T: Real>(
        &self,
        parameters: &Parameters<T>,
        reading: Reading<'_, T>,
    ) -> Matrix<T> {
        self.reader.vectors(parameters, reading)
    }

    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given, an
    /// embedding by PyTorch's default.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<(), InitializationError> {
        self.reader.initialize(generator, parameters, initialization, forget_bias)
    }

    /// Reads a batch, given in the order of columns ([`Lengths::arrange`]); `noise` is given in
    /// training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, or a token is outside the vocabulary.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        reading: Reading<'t, T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut SequenceEncoderTape<T>,
    ) -> SequenceEncoderRecorded<'t, T> {
        lengths.require_whole("a sequence that becomes one vector");
        let SequenceEncoderTape { reader, pooled, winners } = tape;
        let initial = self.stack().initial_state(parameters, lengths.batch());
        let reader =
            self.reader.forward(compute, parameters, reading, &initial, lengths, noise, reader);

        pooled.resize(self.output_size(), lengths.batch());
        let directions = self.stack().options().directions;
        self.pool.forward(directions, lengths, reader.stack.output(), pooled.as_mut(), winners);
        SequenceEncoderRecorded { reader, pooled, winners }
    }

    /// Undoes [`forward`](Self::forward): from the gradient of the output, `output_size` x batch in
    /// the caller's order, adds to the gradients of the parameters.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: SequenceEncoderRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        d_output: Columns<'_, T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        let SequenceEncoderRecorded { reader, winners, .. } = recorded;
        let directions = self.stack().options().directions;
        let mut turned = reader.turn();
        let (lengths, d_h) = turned.stack.lengths_and_gradient();
        self.pool.backward(directions, lengths, winners, d_output, d_h);
        self.reader.backward(turned, compute, parameters, gradients, probe);
    }
}
