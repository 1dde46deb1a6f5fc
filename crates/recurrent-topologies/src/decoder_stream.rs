//! A decoder as it writes, token by token, without a tape.

use std::ops::Range;

use recurrent_cells::{AnyCell, PackedLinear, Parameters};
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};

use crate::attention::{AttentionWeights, Blocks, Encoded, LEAST_TARGETS, Memory};
use crate::decoder::Decoder;
use crate::decoding::TokenStream;
use crate::state::select;
use crate::{Input, Reading, StackStream, State};

/// A model that writes: [`ManyToMany::stream`](crate::ManyToMany::stream),
/// [`OneToMany::stream`](crate::OneToMany::stream),
/// [`EncoderDecoder::stream`](crate::EncoderDecoder::stream). It owns its copy of the weights, and
/// its bits are those of `forward`. With one thread a step allocates nothing.
///
/// A row is a sequence that is being written. Each knows its condition or its source, also after
/// [`select`](TokenStream::select) has dropped some and spread others.
pub struct DecoderStream<T> {
    compute: Compute,
    decoder: Decoder,
    parameters: Parameters<T>,
    stack: StackStream<T, AnyCell>,
    readout: PackedLinear<T>,
    attention: AttentionWeights<T>,
    memory: Memory<T>,
    /// The block of the memory that each row looks at.
    source: Vec<usize>,
    /// Where each row's weights of the last step begin; one number more than rows.
    weight_starts: Vec<usize>,
    weights: Vec<T>,
    /// What enters beside every token.
    condition: Matrix<T>,
    /// What the stack reads, where that is more than a table of tokens has.
    x: Matrix<T>,
    query: Matrix<T>,
    /// Context above h.
    joined: Matrix<T>,
    /// h~ of the last step; zero at the beginning.
    attentional: Matrix<T>,
    logits: Matrix<T>,
}

impl<T: Real> DecoderStream<T> {
    /// A stream of `batch` rows that begin from a state of zeros, without condition or source.
    #[track_caller]
    pub(crate) fn new(
        compute: &Compute,
        decoder: &Decoder,
        parameters: Parameters<T>,
        batch: usize,
    ) -> Self {
        let mut readout = PackedLinear::default();
        readout.pack(compute, &decoder.readout, &parameters);
        let mut attention = AttentionWeights::default();
        let [mut query_size, mut joined_size, mut size] = [0; 3];
        if let Some(own) = &decoder.attention {
            attention.pack(compute, own, &parameters);
            (query_size, joined_size) = (own.query_size(), own.joined_size());
            size = decoder.stack().output_size();
        }
        DecoderStream {
            stack: StackStream::new(compute, decoder.stack(), &parameters, batch),
            compute: compute.clone(),
            readout,
            attention,
            memory: Memory::default(),
            source: (0..batch).collect(),
            weight_starts: vec![0; batch + 1],
            weights: Vec::new(),
            condition: Matrix::zeros(decoder.condition_size, batch),
            x: Matrix::zeros(decoder.input_size(), batch),
            query: Matrix::zeros(query_size, batch),
            joined: Matrix::zeros(joined_size, batch),
            attentional: Matrix::zeros(size, batch),
            logits: Matrix::zeros(decoder.readout.weight.rows(), batch),
            decoder: decoder.clone(),
            parameters,
        }
    }

    /// The parameters that it owns.
    pub fn parameters(&self) -> &Parameters<T> {
        &self.parameters
    }

    /// The state after the last step.
    pub fn state(&self) -> &State<T> {
        self.stack.state()
    }

    /// The state that the next step starts from, to be set. Its shape must stay.
    pub fn state_mut(&mut self) -> &mut State<T> {
        self.stack.state_mut()
    }

    /// Which of the columns or sources that the stream was made for each row belongs to.
    pub fn sources(&self) -> &[usize] {
        &self.source
    }

    /// How much a row looked at each step of its source at the last step, in the source's own order.
    ///
    /// # Panics
    /// If the model has no attention, there is no such row, or no step was taken since the rows were
    /// last selected.
    #[track_caller]
    pub fn attention_weights(&self, row: usize) -> &[T] {
        assert!(self.decoder.attention.is_some(), "a model without attention has no weights");
        let batch = self.source.len();
        assert!(row < batch, "there is no row {row} in a batch of {batch}");
        assert!(!self.weights.is_empty(), "no step was taken with these rows");
        &self.weights[self.weight_starts[row]..self.weight_starts[row + 1]]
    }

    pub(crate) fn set_state(&mut self, state: State<T>) {
        *self.stack.state_mut() = state;
    }

    pub(crate) fn set_condition(&mut self, condition: Columns<'_, T>) {
        self.condition.as_mut().copy_from(condition);
    }

    pub(crate) fn set_sources(&mut self, encoded: Encoded<'_, T>) {
        if let Some(attention) = &self.decoder.attention {
            let order: Vec<usize> = (0..encoded.lengths.batch()).collect();
            let DecoderStream { memory, compute, attention: weights, .. } = self;
            memory.fill(compute, attention, weights, encoded, &order);
            self.find_weights();
        }
    }

    /// Reads a vector of a token's size before the first token.
    pub(crate) fn read(&mut self, first: Columns<'_, T>) {
        self.stack.step(Input::Columns(first));
    }

    /// Where each row's weights go.
    fn find_weights(&mut self) {
        self.weight_starts.clear();
        self.weight_starts.push(0);
        let mut numbers = 0;
        for &source in &self.source {
            numbers += self.memory.length(source);
            self.weight_starts.push(numbers);
        }
        self.weights.clear();
    }

    /// Looks at the sources, and writes h~ of every row.
    fn attend(&mut self) {
        let Some(attention) = &self.decoder.attention else { return };
        let DecoderStream { compute, attention: packed, memory, query, joined, .. } = self;
        let h = self.stack.output();
        let rows = joined.rows() - h.rows()..joined.rows();
        joined.as_mut().rows_range(rows).copy_from(h);
        attention.queries(compute, packed, h, query.as_mut());
        let numbers = self.weight_starts[self.source.len()];
        self.weights.resize(numbers, T::ZERO);
        let (level, score) = (compute.level(), packed.score());
        let (queries, source) = (query.as_ref(), &self.source);
        let weights = Blocks::new(&mut self.weights, &self.weight_starts, 1);
        let parts = (joined.as_mut(), weights, 0..source.len());
        compute.split(parts, LEAST_TARGETS, &|(mut joined, mut weights, rows): (
            ColumnsMut<'_, T>,
            Blocks<'_, T>,
            Range<usize>,
        )| {
            for (own, row) in rows.enumerate() {
                let (query, joined) = (queries.column(row), joined.column(own));
                memory.attend(level, score, source[row], query, joined, weights.block(own));
            }
        });
        attention.combine(compute, packed, joined.as_ref(), self.attentional.as_mut());
    }
}

impl<T: Real> TokenStream<T> for DecoderStream<T> {
    fn batch(&self) -> usize {
        self.source.len()
    }

    /// # Panics
    /// If there are not as many tokens as rows, or one is outside the vocabulary.
    #[track_caller]
    fn step(&mut self, tokens: &[u32]) -> Columns<'_, T> {
        let (given, batch) = (tokens.len(), self.source.len());
        assert!(given == batch, "{given} tokens were given to a stream of {batch} sequences");
        let decoder = &self.decoder;
        let reader = &decoder.reader;
        reader.input.check(Reading::<T>::Tokens(tokens));
        let input = if decoder.reads_tokens_alone() && reader.input.embedding().is_none() {
            let weight_ih = reader.stack.input_slots().first.weight_ih;
            Input::Table { table: self.parameters.get(weight_ih), reverse: None, tokens }
        } else {
            let first = decoder.token_size();
            let x = self.x.as_mut().rows_range(0..first);
            reader.input.write(&self.parameters, tokens, None, x);
            let rows = first..first + decoder.condition_size;
            self.x.as_mut().rows_range(rows).copy_from(self.condition.as_ref());
            if decoder.feeds {
                let rows = decoder.fed_rows();
                self.x.as_mut().rows_range(rows).copy_from(self.attentional.as_ref());
            }
            Input::Columns(self.x.as_ref())
        };
        self.stack.step(input);
        self.attend();
        let said = match self.decoder.attention {
            Some(_) => self.attentional.as_ref(),
            None => self.stack.output(),
        };
        self.readout.forward(&self.compute, said, self.logits.as_mut());
        self.logits.as_ref()
    }

    #[track_caller]
    fn select(&mut self, columns: &[usize]) {
        self.stack.select(columns);
        self.source = columns.iter().map(|&column| self.source[column]).collect();
        for kept in [&mut self.condition, &mut self.attentional] {
            let before = kept.clone();
            select(kept, &before, columns);
        }
        for made in [&mut self.x, &mut self.query, &mut self.joined, &mut self.logits] {
            made.resize(made.rows(), columns.len());
        }
        if self.decoder.attention.is_some() {
            self.find_weights();
        }
    }
}
