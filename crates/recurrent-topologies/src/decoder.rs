//! The half that writes: tokens in, the next token out, from a state that somebody gives.
//!
//! ```text
//! for t in 0..T
//!   x = [token; condition; h~ of the step before]     each part only where it is asked for
//!   h = stack(x)
//!   h~ = attention(h)                                  (without attention h itself)
//!   logits = W h~ + b
//! ```
//!
//! Where no input depends on an earlier output the whole pass is one [`Stack::run`]; with input
//! feeding (Luong et al. 2015, part 3.3) it goes step by step.

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};

use crate::attention::{Attention, AttentionKind, AttentionTape, Encoded};
use crate::reader::{Reader, ReaderConfig, ReaderRecorded, ReaderTape};
use crate::tape::add;
use crate::{
    Input, InputConfig, InputGradient, Lengths, Noise, Probe, Reading, Recorded, Retreating, Stack,
    StackConfig, State, Tape, TokenEncoding,
};

/// The sizes of a [`Decoder`].
pub(crate) struct DecoderConfig<'a> {
    pub(crate) vocabulary_size: usize,
    pub(crate) encoding: TokenEncoding,
    pub(crate) stack: &'a StackConfig,
    /// Numbers that enter beside every token.
    pub(crate) condition_size: usize,
    /// Kind, and rows of the encoder's output.
    pub(crate) attention: Option<(AttentionKind, usize)>,
    pub(crate) input_feeding: bool,
}

impl DecoderConfig<'_> {
    fn reader(&self) -> ReaderConfig {
        let &DecoderConfig { vocabulary_size, encoding, stack, .. } = self;
        let fed = if self.input_feeding { stack.hidden_size } else { 0 };
        let input = InputConfig::Tokens { vocabulary_size, encoding };
        ReaderConfig { input, beside: self.condition_size.saturating_add(fed), stack: *stack }
    }

    /// How many parameters at most, as a number that cannot overflow.
    pub(crate) fn count(&self) -> f64 {
        let hidden = self.stack.hidden_size;
        let attention = self.attention.map_or(0.0, |(kind, size)| kind.count(size, hidden));
        let readout = self.vocabulary_size as f64 * hidden as f64;
        self.reader().count() + attention + readout
    }

    /// Adds `{prefix}embedding.weight`, `{prefix}rnn.weight_ih_l0` and so on,
    /// `attention.key.weight` and so on, and `{prefix}readout.weight`.
    pub(crate) fn add(&self, layout: &mut Layout, prefix: &str) -> Decoder {
        let hidden = self.stack.hidden_size;
        let reader = self.reader().add(layout, prefix);
        let attention = self
            .attention
            .map(|(kind, size)| Attention::add(layout, "attention.", kind, size, hidden));
        let readout =
            Linear::add(layout, &format!("{prefix}readout"), hidden, self.vocabulary_size);
        let (condition_size, feeds) = (self.condition_size, self.input_feeding);
        Decoder { reader, condition_size, attention, feeds, readout }
    }
}

/// Token input, a stack that reads forward, attention if there is any, a readout.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub(crate) reader: Reader,
    /// Numbers that enter beside every token.
    pub(crate) condition_size: usize,
    pub(crate) attention: Option<Attention>,
    /// h~ of the step before enters too.
    pub(crate) feeds: bool,
    pub(crate) readout: Linear,
}

/// What a decoder runs on. Everything by sequence is in the caller's order.
#[derive(Clone, Copy)]
pub(crate) struct DecoderBatch<'a, T> {
    pub(crate) lengths: &'a Lengths,
    pub(crate) initial: &'a State<T>,
    /// Vectors of a token's size that are read before the first token.
    pub(crate) first: Option<Columns<'a, T>>,
    /// Vectors that enter beside every token.
    pub(crate) condition: Option<Columns<'a, T>>,
    /// What attention looks at.
    pub(crate) encoded: Option<Encoded<'a, T>>,
    pub(crate) noise: Option<Noise>,
}

/// Where the gradients of a [`DecoderBatch`] go, as far as it had them; they are added.
pub(crate) struct DecoderGradients<'a, T> {
    pub(crate) first: Option<ColumnsMut<'a, T>>,
    pub(crate) condition: Option<ColumnsMut<'a, T>>,
    /// The lengths of the sources, whether they were read from their ends, and the gradient.
    pub(crate) encoded: Option<(&'a Lengths, bool, ColumnsMut<'a, T>)>,
}

/// The buffers of a [`Decoder`], reused from batch to batch.
pub(crate) struct DecoderTape<T> {
    reader: ReaderTape<T>,
    own: DecoderBuffers<T>,
}

struct DecoderBuffers<T> {
    /// What the stack read where that is more than tokens.
    x: Matrix<T>,
    d_x: Matrix<T>,
    attention: AttentionTape<T>,
    readout: PackedLinear<T>,
    logits: Matrix<T>,
    /// The lengths of the tokens.
    lengths: Lengths,
}

impl<T: Real> Default for DecoderTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        let own = DecoderBuffers {
            x: empty(),
            d_x: empty(),
            attention: AttentionTape::default(),
            readout: PackedLinear::default(),
            logits: empty(),
            lengths: Lengths::equal(1, 1),
        };
        DecoderTape { reader: ReaderTape::default(), own }
    }
}

/// A forward pass of a [`Decoder`] that has not been undone yet.
pub(crate) struct DecoderRecorded<'t, T> {
    reader: ReaderRecorded<'t, T>,
    own: &'t mut DecoderBuffers<T>,
    tokens: &'t [u32],
    /// The stack read something before the first token.
    has_first: bool,
}

impl<T: Real> DecoderRecorded<'_, T> {
    pub(crate) fn logits(&self) -> Columns<'_, T> {
        self.own.logits.as_ref()
    }

    pub(crate) fn logits_mut(&mut self) -> ColumnsMut<'_, T> {
        self.own.logits.as_mut()
    }

    /// How much a sequence looked at each place of its source, in the source's own order.
    #[track_caller]
    pub(crate) fn weights(&self, sequence: usize, t: usize) -> &[T] {
        let (batch, lengths) = (self.own.lengths.batch(), &self.own.lengths);
        assert!(sequence < batch, "there is no sequence {sequence} in a batch of {batch}");
        let length = lengths.length(sequence);
        assert!(t < length, "sequence {sequence} has {length} steps and no step {t}");
        self.own.attention.weights(lengths.place(sequence), t)
    }
}

impl Decoder {
    /// Nothing enters but tokens, and h itself is read out.
    pub(crate) fn plain(reader: Reader, readout: Linear) -> Self {
        Decoder { reader, condition_size: 0, attention: None, feeds: false, readout }
    }

    /// Its layers.
    pub(crate) fn stack(&self) -> &Stack<AnyCell> {
        &self.reader.stack
    }

    /// Numbers in a token's vector.
    pub(crate) fn token_size(&self) -> usize {
        self.reader.input.config().size()
    }

    /// Rows of everything that the stack reads at a step.
    pub(crate) fn input_size(&self) -> usize {
        let fed = if self.feeds { self.stack().output_size() } else { 0 };
        self.token_size() + self.condition_size + fed
    }

    /// Nothing enters but tokens.
    pub(crate) fn reads_tokens_alone(&self) -> bool {
        self.condition_size == 0 && !self.feeds
    }

    /// Fresh parameters: cells by `initialization`, the rest by PyTorch's defaults.
    pub(crate) fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<(), InitializationError> {
        self.reader.initialize(generator, parameters, initialization, forget_bias)?;
        if let Some(attention) = &self.attention {
            attention.initialize(generator, parameters);
        }
        initialize::linear(generator, parameters, &self.readout);
        Ok(())
    }

    /// Runs a batch of `tokens`, arranged by its lengths.
    #[track_caller]
    pub(crate) fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: DecoderBatch<'_, T>,
        tokens: &'t [u32],
        tape: &'t mut DecoderTape<T>,
    ) -> DecoderRecorded<'t, T> {
        let DecoderBatch { lengths, initial, encoded, noise, .. } = batch;
        let (given, wanted) = (tokens.len(), lengths.columns());
        assert!(given == wanted, "{given} tokens were given to lengths with {wanted} columns");
        lengths.require_whole("what is written");
        let DecoderTape { reader, own } = tape;
        if own.lengths != *lengths {
            own.lengths.clone_from(lengths);
        }
        let has_first = batch.first.is_some();
        let longer = has_first.then(|| longer_by_one(lengths));
        let stack_lengths = longer.as_ref().unwrap_or(lengths);
        // Sequences that are all longer by one keep their order: what belongs to tokens begins
        // after the first panel.
        let written = stack_lengths.columns() - lengths.columns()..stack_lengths.columns();
        if let (Some(attention), Some(encoded)) = (&self.attention, encoded) {
            own.attention.begin(attention, compute, parameters, encoded, lengths);
        }
        let reading = Reading::Tokens(tokens);
        let reader = if self.reads_tokens_alone() && !has_first {
            self.reader.forward(compute, parameters, reading, initial, lengths, noise, reader)
        } else {
            self.write_known(parameters, batch, tokens, written.start, own);
            let ReaderTape { input, stack } = reader;
            let stack = if self.feeds {
                self.run_feeding(compute, parameters, batch, stack, own)
            } else {
                let x = Input::Columns(own.x.as_ref());
                self.stack().run(compute, parameters, x, initial, stack_lengths, noise, stack)
            };
            ReaderRecorded { input, stack, reading }
        };
        let output = reader.stack.output().columns_range(written);
        if let Some(attention) = self.attention.as_ref().filter(|_| !self.feeds) {
            own.attention.forward(attention, compute, lengths, 0..lengths.steps(), output);
        }
        let said = if self.attention.is_some() { own.attention.attentional() } else { output };
        own.readout.pack(compute, &self.readout, parameters);
        own.logits.resize(self.readout.weight.rows(), lengths.columns());
        own.readout.forward(compute, said, own.logits.as_mut());
        DecoderRecorded { reader, own, tokens, has_first }
    }

    /// Writes all rows of x that are known before the first step. Tokens begin at column `written`.
    #[track_caller]
    fn write_known<T: Real>(
        &self,
        parameters: &Parameters<T>,
        batch: DecoderBatch<'_, T>,
        tokens: &[u32],
        written: usize,
        own: &mut DecoderBuffers<T>,
    ) {
        let DecoderBatch { lengths, first, condition, noise, .. } = batch;
        self.reader.input.check(Reading::<T>::Tokens(tokens));
        own.x.resize(self.input_size(), written + tokens.len());
        let size = self.token_size();
        if let Some(first) = first {
            let mut x = own.x.as_mut().rows_range(0..size);
            for (place, &sequence) in lengths.order().iter().enumerate() {
                x.column(place).copy_from_slice(first.column(sequence));
            }
        }
        let columns = written..written + tokens.len();
        let x = own.x.as_mut().columns_range(columns.clone()).rows_range(0..size);
        let masks = noise.map(|noise| (lengths, noise));
        self.reader.input.write(parameters, tokens, masks, x);
        if let Some(condition) = condition {
            let rows = size..size + self.condition_size;
            let mut x = own.x.as_mut().columns_range(columns).rows_range(rows);
            for t in 0..lengths.steps() {
                for (place, &sequence) in lengths.order()[..lengths.width(t)].iter().enumerate() {
                    let target = x.column(lengths.offsets()[t] + place);
                    target.copy_from_slice(condition.column(sequence));
                }
            }
        }
    }

    /// Rows of x that hold h~ of the step before.
    pub(crate) fn fed_rows(&self) -> std::ops::Range<usize> {
        self.token_size() + self.condition_size..self.input_size()
    }

    /// Step by step: h~ of each step enters the next. At the first it is zero.
    fn run_feeding<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: DecoderBatch<'_, T>,
        tape: &'t mut Tape<T>,
        own: &mut DecoderBuffers<T>,
    ) -> Recorded<'t, T> {
        let DecoderBatch { lengths, initial, noise, .. } = batch;
        let attention = self.attention.as_ref().expect("checked when the model was built");
        let offsets = lengths.offsets();
        let mut taping =
            self.stack().begin(compute, parameters, initial, lengths, noise, &mut *tape);
        for t in 0..lengths.steps() {
            let mut x = own.x.as_mut().columns_range(offsets[t]..offsets[t + 1]);
            let mut fed = x.reborrow().rows_range(self.fed_rows());
            if t == 0 {
                fed.fill(T::ZERO);
            } else {
                let before = offsets[t - 1]..offsets[t - 1] + lengths.width(t);
                fed.copy_from(own.attention.attentional().columns_range(before));
            }
            let h = taping.advance(Input::Columns(x.as_ref()));
            own.attention.forward(attention, compute, lengths, t..t + 1, h);
        }
        let _ = taping.finish();
        Recorded { tape }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters and of what was
    /// given, and gives that of the initial state. The logits must have been turned into their
    /// gradient.
    pub(crate) fn backward<T: Real>(
        &self,
        recorded: DecoderRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        into: DecoderGradients<'_, T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> State<T> {
        let DecoderRecorded { reader, own, tokens, has_first } = recorded;
        let DecoderBuffers { x, d_x, attention: looked, logits, lengths, .. } = own;
        let all_columns = reader.stack.lengths().columns();
        let written = all_columns - lengths.columns()..all_columns;
        let (d_logits, all) = (logits.as_ref(), 0..lengths.steps());
        let mut turned = reader.turn();
        let (output, d_output) = turned.stack.output_and_gradient();
        let (output, d_output) =
            (output.columns_range(written.clone()), d_output.columns_range(written.clone()));
        match &self.attention {
            None => {
                self.readout.backward(compute, parameters, output, d_logits, gradients, d_output);
            }
            Some(attention) => {
                looked.begin_backward(attention, compute, parameters);
                let (said, d_said) = looked.attentional_and_gradient();
                self.readout.backward(compute, parameters, said, d_logits, gradients, d_said);
                if !self.feeds {
                    looked.backward(attention, compute, lengths, all, d_output);
                }
            }
        }

        let reversed = if self.reads_tokens_alone() && !has_first {
            self.reader.backward(turned, compute, parameters, gradients, probe)
        } else {
            let (turned, stack) = (turned.stack, self.stack());
            d_x.resize(x.rows(), x.columns());
            let reversed = if self.feeds {
                let mut back = stack.begin_backward(turned, compute, parameters);
                self.retreat_feeding(compute, lengths, &mut back, d_x, looked, probe);
                let x = InputGradient::Columns { x: x.as_ref(), d_x: None };
                back.finish(parameters, x, gradients)
            } else {
                let x = InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
                stack.run_backward(turned, compute, parameters, x, gradients, probe)
            };
            let DecoderGradients { first, condition, .. } = into;
            let into = (first, condition);
            let masks = reversed.tape.noise.map(|noise| (&*lengths, noise));
            self.known_backward(tokens, lengths, written.start, masks, d_x, into, gradients);
            reversed
        };
        let initial = reversed.initial_state_gradient();
        if let (Some(attention), Some(encoded)) = (&self.attention, into.encoded) {
            looked.finish_backward(attention, compute, parameters, lengths, encoded, gradients);
        }
        initial
    }

    /// Undoes [`run_feeding`](Self::run_feeding), last step first, and writes the gradient of x.
    fn retreat_feeding<T: Real>(
        &self,
        compute: &Compute,
        lengths: &Lengths,
        back: &mut Retreating<'_, T, AnyCell>,
        d_x: &mut Matrix<T>,
        looked: &mut AttentionTape<T>,
        probe: &impl Probe<T>,
    ) {
        let attention = self.attention.as_ref().expect("checked when the model was built");
        let offsets = lengths.offsets();
        for t in (0..lengths.steps()).rev() {
            let (_, d_h) = back.output_and_gradient(t);
            looked.backward(attention, compute, lengths, t..t + 1, d_h);
            let columns = offsets[t]..offsets[t + 1];
            back.retreat(Some(d_x.as_mut().columns_range(columns.clone())), probe);
            if t > 0 {
                let before = offsets[t - 1]..offsets[t - 1] + lengths.width(t);
                let fed = d_x.as_ref().columns_range(columns).rows_range(self.fed_rows());
                looked.d_attentional().columns_range(before).add(fed);
            }
        }
    }

    /// Undoes [`write_known`](Self::write_known), for each sequence from its first step to its last.
    fn known_backward<T: Real>(
        &self,
        tokens: &[u32],
        lengths: &Lengths,
        written: usize,
        masks: Option<(&Lengths, Noise)>,
        d_x: &mut Matrix<T>,
        (d_first, d_condition): (Option<ColumnsMut<'_, T>>, Option<ColumnsMut<'_, T>>),
        gradients: &mut Parameters<T>,
    ) {
        let size = self.token_size();
        if let Some(mut d_first) = d_first {
            for (place, &sequence) in lengths.order().iter().enumerate() {
                add(d_first.column(sequence), &d_x.as_ref().column(place)[..size]);
            }
        }
        let columns = written..d_x.columns();
        let d_vectors = d_x.as_mut().columns_range(columns.clone()).rows_range(0..size);
        self.reader.input.write_backward(tokens, masks, d_vectors, gradients);
        let d_x = d_x.as_ref().columns_range(columns);
        if let Some(mut d_condition) = d_condition {
            let d_x = d_x.rows_range(size..size + self.condition_size);
            for t in 0..lengths.steps() {
                for (place, &sequence) in lengths.order()[..lengths.width(t)].iter().enumerate() {
                    let column = d_x.column(lengths.offsets()[t] + place);
                    add(d_condition.column(sequence), column);
                }
            }
        }
    }
}

/// The same sequences, each with one step more; they stay in the same order.
fn longer_by_one(lengths: &Lengths) -> Lengths {
    let longer: Vec<usize> = (0..lengths.batch()).map(|j| lengths.length(j) + 1).collect();
    Lengths::new(&longer)
}
