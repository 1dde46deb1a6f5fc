//! Many-to-many, aligned: something in and something out at every step. With tokens in and the next
//! token as class it is a language model; with a tag as class, a tagger; with numbers in and the
//! numbers to come out, a forecast.

use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters, initialize};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::config::{at_least_one, countable};
use crate::tape::Turned;
use crate::{
    ConfigError, Input, InputConfig, Lengths, Noise, Probe, Reading, Recorded, SequenceInput,
    SequenceInputTape, Stack, StackConfig, StackStream, State, Tape, TokenStream,
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
        input.check()?;
        at_least_one("number of classes", *output_size)?;
        stack.check()?;
        let readout = *output_size as f64 * stack.output_size() as f64;
        countable(input.count() + stack.count(input.size()) + readout)?;

        let mut layout = Layout::new();
        let sequence_input = SequenceInput::add(&mut layout, "", *input);
        let stack = stack.add(&mut layout, "rnn.", input.size());
        let readout = Linear::add(&mut layout, "readout", stack.output_size(), *output_size);
        Ok(ManyToMany {
            config: self.clone(),
            layout: Arc::new(layout),
            input: sequence_input,
            stack,
            readout,
        })
    }
}

/// An input, a stack of cells, and a linear readout at every step.
#[derive(Clone, Debug)]
pub struct ManyToMany {
    config: ManyToManyConfig,
    layout: Arc<Layout>,
    input: SequenceInput,
    stack: Stack<AnyCell>,
    readout: Linear,
}

/// The buffers of a [`ManyToMany`], reused from batch to batch.
pub struct ManyToManyTape<T> {
    stack: Tape<T>,
    input: SequenceInputTape<T>,
    readout: PackedLinear<T>,
    logits: Matrix<T>,
}

impl<T: Real> Default for ManyToManyTape<T> {
    fn default() -> Self {
        ManyToManyTape {
            stack: Tape::new(),
            input: SequenceInputTape::default(),
            readout: PackedLinear::default(),
            logits: Matrix::zeros(0, 0),
        }
    }
}

/// A forward pass of a [`ManyToMany`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct ManyToManyRecorded<'t, T> {
    stack: Recorded<'t, T>,
    input: &'t mut SequenceInputTape<T>,
    logits: &'t mut Matrix<T>,
    reading: Reading<'t, T>,
}

impl<T: Real> ManyToManyRecorded<'_, T> {
    /// What is said at every step, such as logits: `output_size` x N.
    pub fn logits(&self) -> Columns<'_, T> {
        self.logits.as_ref()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn logits_mut(&mut self) -> ColumnsMut<'_, T> {
        self.logits.as_mut()
    }

    /// Writes h_n and c_n in the caller's order.
    ///
    /// # Panics
    /// If `state` has another shape.
    #[track_caller]
    pub fn final_state(&self, state: &mut State<T>) {
        self.stack.final_state(state);
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
        &self.stack
    }

    /// A state of zeros for `batch` sequences.
    pub fn zero_state<T: Real>(&self, batch: usize) -> State<T> {
        self.stack.zero_state(batch)
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
        if let Some(embedding) = self.input.embedding() {
            initialize::embedding(generator, &mut parameters, embedding);
        }
        self.stack.initialize(generator, &mut parameters, initialization, forget_bias)?;
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
        parameters.assert_layout(&self.layout);
        let ManyToManyTape { stack, input, readout, logits } = tape;
        let first = &self.stack.input_slots();
        let x = self.input.forward(compute, first, parameters, reading, input);
        let stack = self.stack.run(compute, parameters, x, initial, lengths, noise, stack);

        readout.pack(compute.level(), &self.readout, parameters);
        logits.resize(self.config.output_size, reading.columns());
        readout.forward(compute, stack.output(), logits.as_mut());
        ManyToManyRecorded { stack, input, logits, reading }
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
        let ManyToManyRecorded { stack, input, logits, reading } = recorded;
        let d_logits = logits.as_ref();
        let mut turned: Turned<'_, T> = stack.turn();
        let (output, d_output) = turned.output_and_gradient();
        self.readout.backward(compute, parameters, output, d_logits, gradients, d_output);

        let first = &self.stack.input_slots();
        let d_x = self.input.gradient(first, reading, input, gradients);
        self.stack.run_backward(turned, compute, parameters, d_x, gradients, probe);
        self.input.backward(compute, first, parameters, reading, input, gradients);
    }
}

/// A [`ManyToMany`] that runs token by token, without a tape. With one thread a step allocates
/// nothing; its bits are those of [`ManyToMany::forward`].
pub struct ManyToManyStream<T> {
    compute: Compute,
    stack: StackStream<T, AnyCell>,
    parameters: Parameters<T>,
    embedding: Option<recurrent_cells::Embedding>,
    weight_ih: recurrent_cells::Slot,
    vocabulary_size: usize,
    x: Matrix<T>,
    readout: PackedLinear<T>,
    logits: Matrix<T>,
}

impl<T: Real> ManyToManyStream<T> {
    /// A stream over `batch` sequences that start from a state of zeros.
    ///
    /// # Panics
    /// If the parameters are another model's, or the model reads vectors or both ways.
    #[track_caller]
    pub fn new(
        compute: &Compute,
        model: &ManyToMany,
        parameters: Parameters<T>,
        batch: usize,
    ) -> Self {
        parameters.assert_layout(&model.layout);
        let InputConfig::Tokens { vocabulary_size, .. } = model.config.input else {
            panic!("a stream over tokens of a model that reads vectors");
        };
        let embedding = model.input.embedding().copied();
        let mut readout = PackedLinear::default();
        readout.pack(compute.level(), &model.readout, &parameters);
        ManyToManyStream {
            stack: StackStream::new(compute, &model.stack, &parameters, batch),
            weight_ih: model.stack.input_slots().first.weight_ih,
            vocabulary_size,
            x: Matrix::zeros(embedding.map_or(0, |table| table.weight.rows()), batch),
            logits: Matrix::zeros(model.config.output_size, batch),
            compute: compute.clone(),
            parameters,
            embedding,
            readout,
        }
    }

    /// The state after the last step.
    pub fn state(&self) -> &State<T> {
        self.stack.state()
    }

    /// The state that the next step starts from, to be set. Its shape must stay.
    pub fn state_mut(&mut self) -> &mut State<T> {
        self.stack.state_mut()
    }

    /// Reads one token of every sequence and gives the logits: classes x batch.
    ///
    /// # Panics
    /// If there are not as many tokens as sequences, or one is outside the vocabulary.
    #[track_caller]
    pub fn step(&mut self, tokens: &[u32]) -> Columns<'_, T> {
        let size = self.vocabulary_size;
        assert!(
            tokens.len() == self.x.columns() && tokens.iter().all(|&t| (t as usize) < size),
            "tokens {tokens:?} do not fit {} sequences over a vocabulary of {size}",
            self.x.columns()
        );
        let input = match &self.embedding {
            None => {
                let table = self.parameters.get(self.weight_ih);
                Input::Table { table, reverse: None, tokens }
            }
            Some(embedding) => {
                embedding.forward(&self.parameters, tokens, self.x.as_mut());
                Input::Columns(self.x.as_ref())
            }
        };
        let h = self.stack.step(input);
        self.readout.forward(&self.compute, h, self.logits.as_mut());
        self.logits.as_ref()
    }
}

impl<T: Real> TokenStream<T> for ManyToManyStream<T> {
    fn batch(&self) -> usize {
        self.stack.batch()
    }

    #[track_caller]
    fn step(&mut self, tokens: &[u32]) -> Columns<'_, T> {
        ManyToManyStream::step(self, tokens)
    }

    #[track_caller]
    fn select(&mut self, columns: &[usize]) {
        self.stack.select(columns);
        self.x.resize(self.x.rows(), columns.len());
        self.logits.resize(self.logits.rows(), columns.len());
    }
}
