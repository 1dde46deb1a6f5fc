//! Attention: at every step a decoder looks at the whole source.
//!
//! Luong, Pham and Manning 2015, "Effective approaches to attention-based neural machine
//! translation", with all source steps in view (their "global"); the additive score is that of
//! Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and
//! translate".
//!
//! ```text
//! keys = W_key values         (dot: the values themselves)       values: the encoder's output
//! query = W_query h           (dot and general: h itself)        h: of the decoder's last layer
//! p = softmax(score(keys, query))      context = sum over s of p_s values_s
//! h~ = tanh(W_combine [context; h])
//! ```
//!
//! Sources and targets have lengths and sorted orders of their own. The memory is therefore
//! arranged anew: source after source, in the target's sorted order. Then a thread's range of target
//! sequences owns a range of columns of the memory, and of its gradient.

use std::ops::Range;

use recurrent_cells::{Form, Layout, Parameters, Slot, initialize};
use recurrent_kernels::activation::tanh_columns;
use recurrent_kernels::attention::{additive_scores, dot_scores, weighted_sum};
use recurrent_kernels::loss::softmax;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{
    Accum, Columns, ColumnsMut, Compute, Level, Matrix, Packed, Real, SplitColumns,
};
use serde::{Deserialize, Serialize};

use crate::Lengths;

mod tape;
pub(crate) use tape::AttentionTape;

/// How well a place of the source fits to what the decoder looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// `value . h`: encoder output and decoder h must be equally large.
    Dot,
    /// `(W_key value) . h`.
    General,
    /// `w . tanh(W_key value + W_query h)`.
    Additive,
}

impl AttentionKind {
    /// Every kind there is.
    pub const ALL: [AttentionKind; 3] =
        [AttentionKind::Dot, AttentionKind::General, AttentionKind::Additive];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            AttentionKind::Dot => "dot",
            AttentionKind::General => "general",
            AttentionKind::Additive => "additive",
        }
    }

    /// How many parameters, as a number that cannot overflow.
    pub(crate) fn count(self, value_size: usize, hidden_size: usize) -> f64 {
        let [values, hidden] = [value_size, hidden_size].map(|size| size as f64);
        hidden * (2.0 * values + 2.0 * hidden + 1.0)
    }
}

/// Fewer target sequences than this are not worth a thread of their own.
pub(crate) const LEAST_TARGETS: usize = 4;

/// Where attention's parameters lie. None of its maps has a bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    value_size: usize,
    hidden_size: usize,
    /// `hidden_size` x `value_size`; not for dot.
    key: Option<Slot>,
    /// `hidden_size` x `hidden_size`, and the `hidden_size` numbers that make a score: for additive.
    additive: Option<(Slot, Slot)>,
    /// `hidden_size` x (`value_size` + `hidden_size`).
    combine: Slot,
}

impl Attention {
    /// Adds `{prefix}key.weight`, `{prefix}query.weight`, `{prefix}score.weight` as far as the kind
    /// has them, and `{prefix}combine.weight`.
    pub(crate) fn add(
        layout: &mut Layout,
        prefix: &str,
        kind: AttentionKind,
        value_size: usize,
        hidden_size: usize,
    ) -> Self {
        let mut add = |name: &str, form, rows, columns| {
            layout.add(format!("{prefix}{name}.weight"), form, rows, columns)
        };
        let (values, hidden) = (value_size, hidden_size);
        let key = (kind != AttentionKind::Dot).then(|| add("key", Form::Matrix, hidden, values));
        let additive = (kind == AttentionKind::Additive).then(|| {
            let query = add("query", Form::Matrix, hidden, hidden);
            (query, add("score", Form::Vector, hidden, 1))
        });
        let combine = add("combine", Form::Matrix, hidden, values + hidden);
        Attention { value_size, hidden_size, key, additive, combine }
    }

    /// Fresh parameters: PyTorch's default of a linear map.
    pub(crate) fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
    ) {
        let (query, score) = self.additive.unzip();
        for slot in [self.key, query, Some(self.combine)].into_iter().flatten() {
            let bound = 1.0 / (slot.columns() as f64).sqrt();
            initialize::uniform(generator, parameters, slot, bound);
        }
        if let Some(score) = score {
            let bound = 1.0 / (score.rows() as f64).sqrt();
            initialize::uniform(generator, parameters, score, bound);
        }
    }

    /// Rows of context and h, one upon the other.
    pub(crate) fn joined_size(&self) -> usize {
        self.value_size + self.hidden_size
    }

    /// Rows of a query that is not h itself.
    pub(crate) fn query_size(&self) -> usize {
        self.additive.map_or(0, |_| self.hidden_size)
    }

    /// Writes the query of each column of h, where it is not h itself.
    pub(crate) fn queries<T: Real>(
        &self,
        compute: &Compute,
        weights: &AttentionWeights<T>,
        h: Columns<'_, T>,
        query: ColumnsMut<'_, T>,
    ) {
        if self.additive.is_some() {
            compute.product(query, Accum::Replace, &weights.query, h);
        }
    }

    /// Writes `h~ = tanh(W_combine [context; h])`.
    pub(crate) fn combine<T: Real>(
        &self,
        compute: &Compute,
        weights: &AttentionWeights<T>,
        joined: Columns<'_, T>,
        mut attentional: ColumnsMut<'_, T>,
    ) {
        compute.product(attentional.reborrow(), Accum::Replace, &weights.combine, joined);
        tanh_columns(compute, attentional);
    }
}

/// Attention's parameters, packed for forward.
pub(crate) struct AttentionWeights<T> {
    key: Packed<T>,
    query: Packed<T>,
    combine: Packed<T>,
    score: Vec<T>,
}

impl<T: Real> Default for AttentionWeights<T> {
    fn default() -> Self {
        let (key, query, combine) = (Packed::new(), Packed::new(), Packed::new());
        AttentionWeights { key, query, combine, score: Vec::new() }
    }
}

impl<T: Real> AttentionWeights<T> {
    /// The weight that makes an additive score; empty for the other kinds.
    pub(crate) fn score(&self) -> &[T] {
        &self.score
    }

    pub(crate) fn pack(
        &mut self,
        compute: &Compute,
        attention: &Attention,
        parameters: &Parameters<T>,
    ) {
        let pack = |packed: &mut Packed<T>, slot: Slot| {
            packed.pack(compute, parameters.get(slot), std::slice::from_ref(&(0..slot.rows())));
        };
        if let Some(key) = attention.key {
            pack(&mut self.key, key);
        }
        pack(&mut self.combine, attention.combine);
        self.score.clear();
        if let Some((query, score)) = attention.additive {
            pack(&mut self.query, query);
            self.score.extend_from_slice(parameters.slice(score));
        }
    }
}

/// What is looked at: the sources one after the other, each a block of neighbouring columns in the
/// source's own order.
pub(crate) struct Memory<T> {
    /// Block b is columns `starts[b]..starts[b + 1]`.
    pub(crate) starts: Vec<usize>,
    values: Matrix<T>,
    /// No rows where the values are the keys.
    keys: Matrix<T>,
}

impl<T: Real> Default for Memory<T> {
    fn default() -> Self {
        let (values, keys) = (Matrix::zeros(0, 0), Matrix::zeros(0, 0));
        Memory { starts: vec![0], values, keys }
    }
}

/// The output of an encoder: a column for each step of each source.
#[derive(Clone, Copy)]
pub(crate) struct Encoded<'a, T> {
    pub(crate) output: Columns<'a, T>,
    pub(crate) lengths: &'a Lengths,
    /// The encoder read each source from its end.
    pub(crate) reversed: bool,
}

/// The column of the encoder's output that belongs to place `at` of a source.
pub(crate) fn encoded_column(lengths: &Lengths, reversed: bool, source: usize, at: usize) -> usize {
    let step = if reversed { lengths.length(source) - 1 - at } else { at };
    lengths.column(source, step)
}

impl<T: Real> Memory<T> {
    /// Takes the sources named by `order`, and makes their keys.
    pub(crate) fn fill(
        &mut self,
        compute: &Compute,
        attention: &Attention,
        weights: &AttentionWeights<T>,
        encoded: Encoded<'_, T>,
        order: &[usize],
    ) {
        let Encoded { output, lengths, reversed } = encoded;
        self.starts.clear();
        self.starts.push(0);
        let mut columns = 0;
        for &source in order {
            columns += lengths.length(source);
            self.starts.push(columns);
        }
        self.values.resize(output.rows(), columns);
        let mut values = self.values.as_mut();
        for (block, &source) in order.iter().enumerate() {
            for at in 0..lengths.length(source) {
                let column = encoded_column(lengths, reversed, source, at);
                let target = values.column(self.starts[block] + at);
                target.copy_from_slice(output.column(column));
            }
        }
        if attention.key.is_some() {
            self.keys.resize(attention.hidden_size, columns);
            let values = self.values.as_ref();
            compute.product(self.keys.as_mut(), Accum::Replace, &weights.key, values);
        } else {
            self.keys.resize(0, columns);
        }
    }

    /// The columns of a block.
    fn columns(&self, block: usize) -> Range<usize> {
        self.starts[block]..self.starts[block + 1]
    }

    /// How many places a block has.
    pub(crate) fn length(&self, block: usize) -> usize {
        self.columns(block).len()
    }

    /// Keys and values of a block.
    fn block(&self, block: usize) -> (Columns<'_, T>, Columns<'_, T>) {
        let values = self.values.as_ref().columns_range(self.columns(block));
        let keys = if self.keys.rows() == 0 {
            values
        } else {
            self.keys.as_ref().columns_range(self.columns(block))
        };
        (keys, values)
    }

    /// One query looks at a block: writes how much it looks at each place, and the context. The
    /// query is h, which lies below the context, unless `query` has rows.
    pub(crate) fn attend(
        &self,
        level: Level,
        score: &[T],
        block: usize,
        query: &[T],
        joined: &mut [T],
        weights: &mut [T],
    ) {
        let (keys, values) = self.block(block);
        let (context, h) = joined.split_at_mut(values.rows());
        if score.is_empty() {
            dot_scores(level, keys, h, weights);
        } else {
            additive_scores(level, keys, query, score, weights);
        }
        let count = weights.len();
        softmax(level, ColumnsMut::new(weights, count, 1));
        weighted_sum(level, values, weights, context);
    }
}

/// A run of numbers for each sequence, cut between sequences.
pub(crate) struct Blocks<'a, T> {
    data: &'a mut [T],
    /// Block b is numbers `starts[b] * unit..starts[b + 1] * unit`, counted from block 0.
    starts: &'a [usize],
    unit: usize,
}

impl<'a, T> Blocks<'a, T> {
    pub(crate) fn new(data: &'a mut [T], starts: &'a [usize], unit: usize) -> Self {
        Blocks { data, starts, unit }
    }

    pub(crate) fn block(&mut self, block: usize) -> &mut [T] {
        let first = self.starts[0];
        let range = self.starts[block] - first..self.starts[block + 1] - first;
        &mut self.data[range.start * self.unit..range.end * self.unit]
    }
}

impl<T: Send> SplitColumns for Blocks<'_, T> {
    fn width(&self) -> usize {
        self.starts.len() - 1
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let Blocks { data, starts, unit } = self;
        let (left, right) = data.split_at_mut((starts[at] - starts[0]) * unit);
        (Blocks::new(left, &starts[..=at], unit), Blocks::new(right, &starts[at..], unit))
    }
}
