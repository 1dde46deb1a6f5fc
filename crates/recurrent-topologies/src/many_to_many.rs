//! Many-to-many, aligned: a token in and a distribution over classes out at every step. With the
//! next token as class it is a language model; with a tag as class, a tagger.

use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{AnyCell, CellKind, Layout, Linear, PackedLinear, Parameters, initialize};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::tape::Turned;
use crate::{
    Directions, Input, Lengths, Noise, Probe, Recorded, Stack, StackOptions, StackStream, State,
    Tape, TokenInput, TokenInputTape,
};

/// How a token becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenEncoding {
    /// As long as the vocabulary, 1 at the token's place and 0 elsewhere.
    OneHot,
    /// A learned vector of this many numbers.
    Embedding(usize),
}

/// What a [`ManyToMany`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManyToManyConfig {
    /// How many different tokens there are; at least 1.
    pub vocabulary_size: usize,
    /// How many different classes there are; at least 1. A language model's are its tokens.
    pub classes: usize,
    /// How a token becomes a vector.
    pub encoding: TokenEncoding,
    /// The cell of every layer.
    pub cell: CellKind,
    /// Numbers in h; at least 1.
    pub hidden_size: usize,
    /// Layers; at least 1.
    pub num_layers: usize,
    /// Every layer reads both ways, so that each step knows the whole sequence: for a tagger, not
    /// for a language model, which would see what it is to predict.
    #[serde(default)]
    pub bidirectional: bool,
    /// The share of h dropped on its way up between layers during training; in [0, 1).
    pub dropout: f64,
}

/// Why a configuration cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size is 0.
    #[error("{field} must be at least 1")]
    Zero {
        /// Which size.
        field: &'static str,
    },
    /// Dropout is not a share.
    #[error("dropout must be at least 0 and below 1, not {value}")]
    Dropout {
        /// What was given.
        value: f64,
    },
    /// The parameters would not fit into memory.
    #[error("a model of these sizes has too many parameters")]
    TooLarge,
}

impl ManyToManyConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build<T: Real>(&self) -> Result<ManyToMany<T>, ConfigError> {
        let embedding_size = match self.encoding {
            TokenEncoding::OneHot => self.vocabulary_size,
            TokenEncoding::Embedding(size) => size,
        };
        let sizes = [
            ("vocabulary size", self.vocabulary_size),
            ("number of classes", self.classes),
            ("embedding size", embedding_size),
            ("hidden size", self.hidden_size),
            ("number of layers", self.num_layers),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Err(ConfigError::Zero { field });
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ConfigError::Dropout { value: self.dropout });
        }
        if !self.is_countable(embedding_size) {
            return Err(ConfigError::TooLarge);
        }

        let mut layout = Layout::new();
        let tokens = TokenInput::add(&mut layout, self.encoding, self.vocabulary_size);
        let cells = (0..self.num_layers)
            .map(|layer| {
                let input_size = if layer == 0 { embedding_size } else { self.output_size() };
                self.cell.build(input_size, self.hidden_size)
            })
            .collect();
        let directions = if self.bidirectional { Directions::Both } else { Directions::Forward };
        let dropout = self.dropout;
        let options = StackOptions { dropout, directions, ..StackOptions::default() };
        let stack = Stack::add(&mut layout, "rnn.", cells, options);
        let readout = Linear::add(&mut layout, "readout", self.output_size(), self.classes);
        Ok(ManyToMany {
            config: self.clone(),
            layout: Arc::new(layout),
            tokens,
            stack,
            readout,
            number: std::marker::PhantomData,
        })
    }
}

impl ManyToManyConfig {
    /// Numbers that a layer gives at a step.
    fn output_size(&self) -> usize {
        // What cannot be counted is refused before it is used.
        self.hidden_size.saturating_mul(if self.bidirectional { 2 } else { 1 })
    }

    /// Sizes that no machine holds, and that arithmetic on them could not count. Whether this
    /// machine has the memory is for the caller to find out.
    fn is_countable(&self, embedding_size: usize) -> bool {
        let [vocabulary, classes, hidden, layers, embedding] =
            [self.vocabulary_size, self.classes, self.hidden_size, self.num_layers, embedding_size]
                .map(|size| size as f64);
        let directions = if self.bidirectional { 2.0 } else { 1.0 };
        // No cell has more than four blocks of rows.
        let first = 4.0 * hidden * (embedding + hidden);
        let others = (layers - 1.0) * 4.0 * hidden * (directions + 1.0) * hidden;
        let readout = classes * directions * hidden;
        let all = vocabulary * embedding + directions * (first + others) + readout;
        all < 2f64.powi(40) && layers < 1e4
    }
}

/// Tokens, a stack of cells, and a linear readout at every step.
#[derive(Clone, Debug)]
pub struct ManyToMany<T> {
    config: ManyToManyConfig,
    layout: Arc<Layout>,
    tokens: TokenInput,
    stack: Stack<AnyCell>,
    readout: Linear,
    number: std::marker::PhantomData<T>,
}

/// The buffers of a [`ManyToMany`], reused from batch to batch.
pub struct ManyToManyTape<T> {
    stack: Tape<T>,
    input: TokenInputTape<T>,
    readout: PackedLinear<T>,
    logits: Matrix<T>,
}

impl<T: Real> Default for ManyToManyTape<T> {
    fn default() -> Self {
        ManyToManyTape {
            stack: Tape::new(),
            input: TokenInputTape::default(),
            readout: PackedLinear::default(),
            logits: Matrix::zeros(0, 0),
        }
    }
}

/// A forward pass of a [`ManyToMany`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct ManyToManyRecorded<'t, T> {
    stack: Recorded<'t, T>,
    input: &'t mut TokenInputTape<T>,
    logits: &'t mut Matrix<T>,
    tokens: &'t [u32],
}

impl<T: Real> ManyToManyRecorded<'_, T> {
    /// The logits at every step: classes x N.
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

impl<T: Real> ManyToMany<T> {
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
    pub fn zero_state(&self, batch: usize) -> State<T> {
        self.stack.zero_state(batch)
    }

    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given
    /// ([`initialize::forget_bias`]), the rest by PyTorch's defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    pub fn initialize(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        if let Some(embedding) = self.tokens.embedding() {
            initialize::embedding(generator, &mut parameters, embedding);
        }
        for (cell, slots) in self.stack.cells() {
            initialization.fill(generator, &mut parameters, cell, slots)?;
            if let Some(value) = forget_bias {
                let AnyCell::Lstm(lstm) = cell else {
                    let (what, cells) = ("a forget bias", "lstm");
                    return Err(InitializationError::Cell { what, cells });
                };
                initialize::forget_bias(&mut parameters, lstm, slots, value)?;
            }
        }
        initialize::linear(generator, &mut parameters, &self.readout);
        Ok(parameters)
    }

    /// Runs a batch. `tokens` are in the order of columns ([`Lengths::arrange`]); `noise` is given
    /// in training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, or a token is outside the
    /// vocabulary.
    #[track_caller]
    pub fn forward<'t>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tokens: &'t [u32],
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ManyToManyTape<T>,
    ) -> ManyToManyRecorded<'t, T> {
        self.check_tokens(tokens);
        parameters.assert_layout(&self.layout);
        let ManyToManyTape { stack, input, readout, logits } = tape;
        let first = &self.stack.input_slots();
        let x = self.tokens.forward(compute, first, parameters, tokens, input);
        let stack = self.stack.run(compute, parameters, x, initial, lengths, noise, stack);

        readout.pack(compute.level(), &self.readout, parameters);
        logits.resize(self.config.classes, tokens.len());
        readout.forward(compute, stack.output(), logits.as_mut());
        ManyToManyRecorded { stack, input, logits, tokens }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// logits must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward(
        &self,
        recorded: ManyToManyRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let ManyToManyRecorded { stack, input, logits, tokens } = recorded;
        let d_logits = logits.as_ref();
        let mut turned: Turned<'_, T> = stack.turn();
        let (output, d_output) = turned.output_and_gradient();
        self.readout.backward(compute, parameters, output, d_logits, gradients, d_output);

        let first = &self.stack.input_slots();
        let d_x = self.tokens.gradient(first, tokens, input, gradients);
        self.stack.run_backward(turned, compute, parameters, d_x, gradients, probe);
        self.tokens.backward(compute, first, parameters, tokens, input, gradients);
    }

    #[track_caller]
    fn check_tokens(&self, tokens: &[u32]) {
        let size = self.config.vocabulary_size;
        if let Some(at) = tokens.iter().position(|&token| token as usize >= size) {
            panic!("token {} at column {at} is outside a vocabulary of {size}", tokens[at]);
        }
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
    /// If the parameters are another model's, or the model reads both ways.
    #[track_caller]
    pub fn new(
        compute: &Compute,
        model: &ManyToMany<T>,
        parameters: Parameters<T>,
        batch: usize,
    ) -> Self {
        parameters.assert_layout(&model.layout);
        let embedding = model.tokens.embedding().copied();
        let mut readout = PackedLinear::default();
        readout.pack(compute.level(), &model.readout, &parameters);
        ManyToManyStream {
            stack: StackStream::new(compute, &model.stack, &parameters, batch),
            weight_ih: model.stack.input_slots().first.weight_ih,
            vocabulary_size: model.config.vocabulary_size,
            x: Matrix::zeros(embedding.map_or(0, |table| table.weight.rows()), batch),
            logits: Matrix::zeros(model.config.classes, batch),
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
