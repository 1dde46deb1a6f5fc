//! What a model reads and the stack that reads it: tokens or vectors in, h of the last layer out.
//! Models that read a sequence begin with it; a decoder has one, too.

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};

use crate::stepwise::Reversed;
use crate::{
    ConfigError, InputConfig, Lengths, Noise, Probe, Reading, Recorded, SequenceInput,
    SequenceInputTape, Stack, StackConfig, State, Tape, Turned,
};

/// What a [`Reader`] is made of.
#[derive(Clone, Copy)]
pub(crate) struct ReaderConfig {
    pub(crate) input: InputConfig,
    /// Numbers that enter the stack below those of the input, at every step.
    pub(crate) beside: usize,
    pub(crate) stack: StackConfig,
}

impl ReaderConfig {
    /// Nothing enters but the input.
    pub(crate) fn new(input: InputConfig, stack: StackConfig) -> Self {
        ReaderConfig { input, beside: 0, stack }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.input.check()?;
        self.stack.check_reading(&self.input)
    }

    /// How many parameters at most, as a number that cannot overflow.
    pub(crate) fn count(&self) -> f64 {
        self.input.count() + self.stack.count(self.size())
    }

    /// Numbers that the stack reads at a step.
    fn size(&self) -> usize {
        // What cannot be counted is refused before it is used.
        self.input.size().saturating_add(self.beside)
    }

    /// Adds `{prefix}embedding.weight` if tokens are embedded, then `{prefix}rnn.weight_ih_l0` and
    /// so on.
    pub(crate) fn add(&self, layout: &mut Layout, prefix: &str) -> Reader {
        let input = SequenceInput::add(layout, prefix, self.input, self.stack.regularization);
        let stack = self.stack.add(layout, &format!("{prefix}rnn."), self.size());
        Reader { input, stack }
    }
}

/// An input and the stack above it.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) input: SequenceInput,
    pub(crate) stack: Stack<AnyCell>,
}

/// The buffers of a [`Reader`], reused from batch to batch.
pub(crate) struct ReaderTape<T> {
    pub(crate) input: SequenceInputTape<T>,
    pub(crate) stack: Tape<T>,
}

impl<T: Real> Default for ReaderTape<T> {
    fn default() -> Self {
        ReaderTape { input: SequenceInputTape::default(), stack: Tape::new() }
    }
}

/// A forward pass of a [`Reader`] that has not been undone yet.
pub(crate) struct ReaderRecorded<'t, T> {
    pub(crate) input: &'t mut SequenceInputTape<T>,
    pub(crate) stack: Recorded<'t, T>,
    pub(crate) reading: Reading<'t, T>,
}

/// A forward pass of a [`Reader`] whose gradients are being filled in.
pub(crate) struct ReaderTurned<'t, T> {
    input: &'t mut SequenceInputTape<T>,
    pub(crate) stack: Turned<'t, T>,
    reading: Reading<'t, T>,
}

impl<'t, T: Real> ReaderRecorded<'t, T> {
    /// Turns round: from here on the stack's tape takes gradients.
    pub(crate) fn turn(self) -> ReaderTurned<'t, T> {
        let ReaderRecorded { input, stack, reading } = self;
        ReaderTurned { input, stack: stack.turn(), reading }
    }
}

impl Reader {
    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given, an
    /// embedding by PyTorch's default.
    pub(crate) fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<(), InitializationError> {
        if let Some(embedding) = self.input.embedding() {
            initialize::embedding(generator, parameters, embedding);
        }
        self.stack.initialize(generator, parameters, initialization, forget_bias)
    }

    /// What the first layer reads, as columns: the vectors of tokens, or what is given.
    #[track_caller]
    pub(crate) fn vectors<T: Real>(
        &self,
        parameters: &Parameters<T>,
        reading: Reading<'_, T>,
    ) -> Matrix<T> {
        self.input.check(reading);
        let mut x = Matrix::zeros(self.input.config().size(), reading.columns());
        match reading {
            Reading::Tokens(tokens) => self.input.write(parameters, tokens, None, x.as_mut()),
            Reading::Vectors(vectors) => x.as_mut().copy_from(vectors),
        }
        x
    }

    /// Reads a batch, of which nothing but the input enters the stack.
    #[track_caller]
    pub(crate) fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        reading: Reading<'t, T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ReaderTape<T>,
    ) -> ReaderRecorded<'t, T> {
        let ReaderTape { input, stack } = tape;
        let slots = &self.stack.input_slots();
        let x = self.input.forward(compute, slots, parameters, reading, (lengths, noise), input);
        let stack = self.stack.run(compute, parameters, x, initial, lengths, noise, stack);
        ReaderRecorded { input, stack, reading }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters.
    #[track_caller]
    pub(crate) fn backward<'t, T: Real>(
        &self,
        turned: ReaderTurned<'t, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Reversed<'t, T> {
        let ReaderTurned { input, stack, reading } = turned;
        let slots = &self.stack.input_slots();
        let d_x = self.input.gradient(slots, reading, input, gradients);
        let reversed = self.stack.run_backward(stack, compute, parameters, d_x, gradients, probe);
        let masks = (&reversed.tape.lengths, reversed.tape.noise);
        self.input.backward(compute, slots, parameters, reading, masks, input, gradients);
        reversed
    }
}
