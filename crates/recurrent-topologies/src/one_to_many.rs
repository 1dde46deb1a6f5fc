//! One-to-many: a vector in, a sequence out. With a label's vector it writes text of a kind, with an
//! image's it writes a caption.

use std::sync::Arc;

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::bridge::{self, BridgeTape};
use crate::config::{at_least_one, countable};
use crate::decoder::{
    Decoder, DecoderBatch, DecoderConfig, DecoderGradients, DecoderRecorded, DecoderTape,
};
use crate::{
    Bridge, ConfigError, DecoderStream, InputConfig, Lengths, Noise, Probe, Stack, StackConfig,
    TokenEncoding,
};

/// Where the vector enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// It becomes the state before the first token, through a [`Bridge`].
    InitialState,
    /// A linear map makes it as long as a token's vector; it is read before the first token.
    FirstInput,
    /// It is read beside every token.
    EveryStep,
}

impl Condition {
    /// Every way there is.
    pub const ALL: [Condition; 3] =
        [Condition::InitialState, Condition::FirstInput, Condition::EveryStep];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Condition::InitialState => "initial-state",
            Condition::FirstInput => "first-input",
            Condition::EveryStep => "every-step",
        }
    }
}

/// What a [`OneToMany`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneToManyConfig {
    /// Numbers in the vector; at least 1.
    pub condition_size: usize,
    /// Where it enters.
    pub condition: Condition,
    /// How many different tokens there are, the start and the end token included; at least 1.
    /// Which ones these are is the caller's business.
    pub vocabulary_size: usize,
    /// How a token becomes a vector.
    pub encoding: TokenEncoding,
    /// Its layers; they cannot read both ways, for what comes later is not written yet.
    pub stack: StackConfig,
}

impl OneToManyConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<OneToMany, ConfigError> {
        self.build_upon(Layout::new())
    }

    /// As [`build`](Self::build), with the parameters after those that are in `layout` already, such
    /// as those of what makes the vector: one set of parameters for both.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_upon(&self, mut layout: Layout) -> Result<OneToMany, ConfigError> {
        let &OneToManyConfig { condition_size, condition, vocabulary_size, encoding, .. } = self;
        let stack = &self.stack;
        at_least_one("size of the condition", condition_size)?;
        let input = InputConfig::Tokens { vocabulary_size, encoding };
        input.check()?;
        stack.check_reading(&input)?;
        stack.check_writes()?;
        let entering = match condition {
            Condition::EveryStep => condition_size,
            Condition::InitialState | Condition::FirstInput => 0,
        };
        let config = DecoderConfig {
            vocabulary_size,
            encoding,
            stack,
            condition_size: entering,
            attention: None,
            input_feeding: false,
        };
        let map = match condition {
            Condition::InitialState => bridge::count(condition_size as f64, stack),
            Condition::FirstInput => condition_size as f64 * input.size() as f64,
            Condition::EveryStep => 0.0,
        };
        countable(layout.count() as f64 + config.count() + map)?;

        let entry = match condition {
            Condition::InitialState => {
                Entry::State(Bridge::from_vector(&mut layout, "bridge.", condition_size, stack))
            }
            Condition::FirstInput => {
                Entry::First(Linear::add(&mut layout, "condition", condition_size, input.size()))
            }
            Condition::EveryStep => Entry::Every,
        };
        let decoder = config.add(&mut layout, "decoder.");
        Ok(OneToMany { config: self.clone(), layout: Arc::new(layout), entry, decoder })
    }
}

/// How the vector enters, and where the parameters for that lie.
#[derive(Clone, Copy, Debug)]
enum Entry {
    State(Bridge),
    First(Linear),
    Every,
}

/// A vector that enters a decoder, which writes a sequence.
#[derive(Clone, Debug)]
pub struct OneToMany {
    config: OneToManyConfig,
    layout: Arc<Layout>,
    entry: Entry,
    decoder: Decoder,
}

/// The buffers of a [`OneToMany`], reused from batch to batch.
pub struct OneToManyTape<T> {
    decoder: DecoderTape<T>,
    entry: EntryTape<T>,
}

struct EntryTape<T> {
    bridge: BridgeTape<T>,
    packed: PackedLinear<T>,
    /// What is read before the first token, and its gradient.
    first: Matrix<T>,
    d_first: Matrix<T>,
    /// For a caller who does not ask for the gradient of the condition.
    d_unasked: Matrix<T>,
}

impl<T: Real> Default for OneToManyTape<T> {
    fn default() -> Self {
        let entry = EntryTape {
            bridge: BridgeTape::default(),
            packed: PackedLinear::default(),
            first: Matrix::zeros(0, 0),
            d_first: Matrix::zeros(0, 0),
            d_unasked: Matrix::zeros(0, 0),
        };
        OneToManyTape { decoder: DecoderTape::default(), entry }
    }
}

/// A forward pass of a [`OneToMany`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct OneToManyRecorded<'t, T> {
    decoder: DecoderRecorded<'t, T>,
    entry: &'t mut EntryTape<T>,
    condition: Columns<'t, T>,
}

impl<T: Real> OneToManyRecorded<'_, T> {
    /// How many sequences were written.
    pub(crate) fn batch(&self) -> usize {
        self.condition.columns()
    }

    /// What is said after every token: `vocabulary_size` x N, arranged as the tokens were.
    pub fn logits(&self) -> Columns<'_, T> {
        self.decoder.logits()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn logits_mut(&mut self) -> ColumnsMut<'_, T> {
        self.decoder.logits_mut()
    }
}

impl OneToMany {
    /// What the model is made of.
    pub fn config(&self) -> &OneToManyConfig {
        &self.config
    }

    /// The table of its parameters, after those of the layout that it was built upon.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Its layers.
    pub fn stack(&self) -> &Stack<AnyCell> {
        self.decoder.stack()
    }

    /// Fresh values for the parameters of this model, and of nothing else in its layout: cells by
    /// `initialization`, then with this forget bias if one is given
    /// ([`initialize::forget_bias`]), the rest by PyTorch's defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    ///
    /// # Panics
    /// If the parameters are another model's.
    #[track_caller]
    pub fn fill<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<(), InitializationError> {
        parameters.assert_layout(&self.layout);
        self.decoder.initialize(generator, parameters, initialization, forget_bias)?;
        match &self.entry {
            Entry::State(bridge) => bridge.initialize(generator, parameters),
            Entry::First(map) => initialize::linear(generator, parameters, map),
            Entry::Every => {}
        }
        Ok(())
    }

    /// Fresh parameters ([`fill`](Self::fill)); zeros for what is not of this model.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        self.fill(generator, &mut parameters, initialization, forget_bias)?;
        Ok(parameters)
    }

    /// Runs a batch: `condition` has a column for each sequence in the caller's order, `tokens` are
    /// what is read, arranged by `lengths` ([`Lengths::arrange`]), mostly the start token and the
    /// true tokens without the last. There are as many columns of logits as tokens, however the
    /// condition enters. `noise` is given in training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, a token is outside the
    /// vocabulary, or documents begin in the middle of `lengths`.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        condition: Columns<'t, T>,
        tokens: &'t [u32],
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut OneToManyTape<T>,
    ) -> OneToManyRecorded<'t, T> {
        parameters.assert_layout(&self.layout);
        self.check_condition(condition.rows(), condition.columns(), lengths.batch());
        let OneToManyTape { decoder, entry } = tape;
        let mut initial = self.decoder.stack().zero_state(lengths.batch());
        let (mut first, mut every) = (None, None);
        match &self.entry {
            Entry::State(bridge) => {
                let tape = &mut entry.bridge;
                bridge.forward_vector(compute, parameters, condition, &mut initial, tape);
            }
            Entry::First(map) => {
                entry.packed.pack(compute, map, parameters);
                entry.first.resize(map.weight.rows(), condition.columns());
                entry.packed.forward(compute, condition, entry.first.as_mut());
                first = Some(entry.first.as_ref());
            }
            Entry::Every => every = Some(condition),
        }
        let initial = &initial;
        let batch =
            DecoderBatch { lengths, initial, first, condition: every, encoded: None, noise };
        let decoder = self.decoder.forward(compute, parameters, batch, tokens, decoder);
        OneToManyRecorded { decoder, entry, condition }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters and to
    /// `d_condition`, the gradient of the condition in the caller's order, if it is wanted. The
    /// recorded logits must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's, or the shape of `d_condition` does not fit.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: OneToManyRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        d_condition: Option<ColumnsMut<'_, T>>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let OneToManyRecorded { decoder, entry, condition } = recorded;
        let EntryTape { bridge: bridge_tape, d_first, d_unasked, .. } = entry;
        let (size, batch) = (condition.rows(), condition.columns());
        let mut d_condition = match d_condition {
            Some(given) => {
                self.check_condition(given.rows(), given.columns(), batch);
                given
            }
            None => {
                d_unasked.reset(size, batch);
                d_unasked.as_mut()
            }
        };
        let mut into = DecoderGradients { first: None, condition: None, encoded: None };
        match &self.entry {
            Entry::State(_) => {}
            Entry::First(map) => {
                d_first.reset(map.weight.rows(), batch);
                into.first = Some(d_first.as_mut());
            }
            Entry::Every => into.condition = Some(d_condition.reborrow()),
        }
        let d_initial = self.decoder.backward(decoder, compute, parameters, into, gradients, probe);
        match &self.entry {
            Entry::State(bridge) => {
                let (d_z, tape) = (d_condition, bridge_tape);
                bridge.backward_vector(
                    compute, parameters, condition, &d_initial, d_z, tape, gradients,
                );
            }
            Entry::First(map) => {
                let d_y = d_first.as_ref();
                map.backward(compute, parameters, condition, d_y, gradients, d_condition);
            }
            Entry::Every => {}
        }
    }

    /// The model as it writes, token by token, for one sequence of each column of `condition`.
    ///
    /// # Panics
    /// If the shapes do not fit or the parameters are another model's.
    #[track_caller]
    pub fn stream<T: Real>(
        &self,
        compute: &Compute,
        parameters: Parameters<T>,
        condition: Columns<'_, T>,
    ) -> DecoderStream<T> {
        parameters.assert_layout(&self.layout);
        let batch = condition.columns();
        self.check_condition(condition.rows(), batch, batch);
        let mut stream = DecoderStream::new(compute, &self.decoder, parameters, batch);
        match &self.entry {
            Entry::State(bridge) => {
                let (stream, tape) = (&mut stream, &mut BridgeTape::default());
                let mut state = self.decoder.stack().zero_state(batch);
                let parameters = stream.parameters();
                bridge.forward_vector(compute, parameters, condition, &mut state, tape);
                stream.set_state(state);
            }
            Entry::First(map) => {
                let mut packed = PackedLinear::default();
                packed.pack(compute, map, stream.parameters());
                let mut first = Matrix::zeros(map.weight.rows(), batch);
                packed.forward(compute, condition, first.as_mut());
                stream.read(first.as_ref());
            }
            Entry::Every => stream.set_condition(condition),
        }
        stream
    }

    #[track_caller]
    fn check_condition(&self, rows: usize, columns: usize, batch: usize) {
        let size = self.config.condition_size;
        assert!(
            rows == size && columns == batch,
            "a condition of {rows} numbers for {columns} sequences; {size} for {batch} are needed"
        );
    }
}
