//! Attention through a batch of targets: forward over some steps and, underneath, backward.

use std::ops::Range;

use recurrent_cells::{Parameters, Slot};
use recurrent_kernels::activation::tanh_columns_backward;
use recurrent_kernels::attention::{
    additive_scores_backward, dot_scores_backward, softmax_backward, weighted_sum_backward,
};
use recurrent_kernels::norm::add_row_sums;
use recurrent_kernels::{
    Accum, Columns, ColumnsMut, Compute, Matrix, Operand, Packed, Panels, PanelsMut, Real, gemm,
};

use super::{Attention, AttentionWeights, Blocks, Encoded, LEAST_TARGETS, Memory, encoded_column};
use crate::Lengths;
use crate::tape::add;

/// What attention leaves for backward, and for looking at.
pub(crate) struct AttentionTape<T> {
    packed: AttentionWeights<T>,
    memory: Memory<T>,
    /// The weights of the sequence at place p begin at `weight_starts[p]`, step after step.
    weight_starts: Vec<usize>,
    weights: Vec<T>,
    /// Context above h, at every step of the target.
    joined: Matrix<T>,
    query: Matrix<T>,
    /// h~ at every step.
    attentional: Matrix<T>,
    combine_transposed: Packed<T>,
    query_transposed: Packed<T>,
    /// The gradient of h~, then of what tanh was taken of.
    d_attentional: Matrix<T>,
    d_joined: Matrix<T>,
    d_query: Matrix<T>,
    d_scores: Vec<T>,
    d_values: Matrix<T>,
    d_keys: Matrix<T>,
    /// The gradient of the score's weight, a column for each place.
    d_weight: Matrix<T>,
}

impl<T: Real> Default for AttentionTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        AttentionTape {
            packed: AttentionWeights::default(),
            memory: Memory::default(),
            weight_starts: vec![0],
            weights: Vec::new(),
            joined: empty(),
            query: empty(),
            attentional: empty(),
            combine_transposed: Packed::new(),
            query_transposed: Packed::new(),
            d_attentional: empty(),
            d_joined: empty(),
            d_query: empty(),
            d_scores: Vec::new(),
            d_values: empty(),
            d_keys: empty(),
            d_weight: empty(),
        }
    }
}

impl<T: Real> AttentionTape<T> {
    /// h~ at every step.
    pub(crate) fn attentional(&self) -> Columns<'_, T> {
        self.attentional.as_ref()
    }

    /// The gradient of h~ at every step, to be filled in.
    pub(crate) fn d_attentional(&mut self) -> ColumnsMut<'_, T> {
        self.d_attentional.as_mut()
    }

    /// h~ and room for its gradient.
    pub(crate) fn attentional_and_gradient(&mut self) -> (Columns<'_, T>, ColumnsMut<'_, T>) {
        (self.attentional.as_ref(), self.d_attentional.as_mut())
    }

    /// How much the sequence at `place` looked at each place of its source, at step t.
    pub(crate) fn weights(&self, place: usize, t: usize) -> &[T] {
        let count = self.memory.length(place);
        let first = self.weight_starts[place] + t * count;
        &self.weights[first..first + count]
    }

    /// Gets ready for a batch of targets.
    pub(crate) fn begin(
        &mut self,
        attention: &Attention,
        compute: &Compute,
        parameters: &Parameters<T>,
        encoded: Encoded<'_, T>,
        targets: &Lengths,
    ) {
        self.packed.pack(compute, attention, parameters);
        self.memory.fill(compute, attention, &self.packed, encoded, targets.order());
        self.weight_starts.clear();
        self.weight_starts.push(0);
        let mut numbers = 0;
        for (place, &sequence) in targets.order().iter().enumerate() {
            numbers += self.memory.length(place) * targets.length(sequence);
            self.weight_starts.push(numbers);
        }
        self.weights.resize(numbers, T::ZERO);
        let columns = targets.columns();
        self.joined.resize(attention.joined_size(), columns);
        self.query.resize(attention.query_size(), columns);
        self.attentional.resize(attention.hidden_size, columns);
    }

    /// Looks at the source at `steps`, of which `h` holds the columns, and writes their h~.
    pub(crate) fn forward(
        &mut self,
        attention: &Attention,
        compute: &Compute,
        targets: &Lengths,
        steps: Range<usize>,
        h: Columns<'_, T>,
    ) {
        let offsets = targets.offsets();
        let columns = offsets[steps.start]..offsets[steps.end];
        let rows = attention.value_size..attention.joined_size();
        let AttentionTape { packed, memory, joined, query, weights, weight_starts, .. } = self;
        joined.as_mut().rows_range(rows).columns_range(columns.clone()).copy_from(h);
        let queries = query.as_mut().columns_range(columns.clone());
        attention.queries(compute, packed, h, queries);

        let (level, score) = (compute.level(), packed.score());
        let queries = Panels::new(query.as_ref(), offsets);
        let parts = (PanelsMut::new(joined, offsets), Blocks::new(weights, weight_starts, 1));
        compute.split(parts, LEAST_TARGETS, &|(mut joined, mut weights)| {
            let places = joined.sequences();
            for t in steps.clone() {
                let mut joined = joined.panel(t);
                let queries = queries.panel(t, places.clone());
                for own in 0..joined.columns() {
                    let (place, count) = (places.start + own, memory.length(places.start + own));
                    let weights = &mut weights.block(own)[t * count..(t + 1) * count];
                    let joined = joined.column(own);
                    memory.attend(level, score, place, queries.column(own), joined, weights);
                }
            }
        });

        let joined = self.joined.as_ref().columns_range(columns.clone());
        let attentional = self.attentional.as_mut().columns_range(columns);
        attention.combine(compute, &self.packed, joined, attentional);
    }

    /// Makes room for gradients, all zero, and packs what backward multiplies with.
    pub(crate) fn begin_backward(
        &mut self,
        attention: &Attention,
        compute: &Compute,
        parameters: &Parameters<T>,
    ) {
        let zeros = |target: &mut Matrix<T>, source: &Matrix<T>| {
            target.reset(source.rows(), source.columns());
        };
        zeros(&mut self.d_attentional, &self.attentional);
        zeros(&mut self.d_query, &self.query);
        zeros(&mut self.d_values, &self.memory.values);
        zeros(&mut self.d_keys, &self.memory.keys);
        self.d_joined.resize(self.joined.rows(), self.joined.columns());
        self.d_scores.resize(self.memory.values.columns(), T::ZERO);
        self.d_weight.reset(attention.query_size(), self.memory.starts.len() - 1);

        let pack = |packed: &mut Packed<T>, slot: Slot| {
            let rows = 0..slot.rows();
            packed.pack_transposed(compute, parameters.get(slot), std::slice::from_ref(&rows));
        };
        pack(&mut self.combine_transposed, attention.combine);
        if let Some((query, _)) = attention.additive {
            pack(&mut self.query_transposed, query);
        }
    }

    /// Undoes [`forward`](Self::forward) from the gradient of h~ at `steps`, last step first; adds
    /// to that of h, `d_h`, and to those of the memory.
    pub(crate) fn backward(
        &mut self,
        attention: &Attention,
        compute: &Compute,
        targets: &Lengths,
        steps: Range<usize>,
        mut d_h: ColumnsMut<'_, T>,
    ) {
        let offsets = targets.offsets();
        let columns = offsets[steps.start]..offsets[steps.end];
        let (size, rows) = (attention.value_size, attention.value_size..attention.joined_size());

        let attentional = self.attentional.as_ref().columns_range(columns.clone());
        let mut d_attentional = self.d_attentional.as_mut().columns_range(columns.clone());
        tanh_columns_backward(compute, attentional, d_attentional.reborrow());
        let d_joined = self.d_joined.as_mut().columns_range(columns.clone());
        let packed = &self.combine_transposed;
        compute.product(d_joined, Accum::Replace, packed, d_attentional.as_ref());

        let AttentionTape { packed, memory, joined, query, weights, weight_starts, .. } = self;
        let (level, score) = (compute.level(), packed.score());
        let joined = Panels::new(joined.as_ref(), offsets);
        let queries = Panels::new(query.as_ref(), offsets);
        let (values, keys) = (memory.values.rows(), memory.keys.rows());
        let parts = (
            PanelsMut::new(&mut self.d_joined, offsets),
            PanelsMut::new(&mut self.d_query, offsets),
            Blocks::new(self.d_values.as_mut_slice(), &memory.starts, values),
            Blocks::new(self.d_keys.as_mut_slice(), &memory.starts, keys),
            Blocks::new(&mut self.d_scores, &memory.starts, 1),
            self.d_weight.as_mut(),
        );
        let (memory, weights, weight_starts) = (&*memory, &*weights, &*weight_starts);
        compute.split(parts, LEAST_TARGETS, &|parts| {
            let (mut d_joined, mut d_query, mut d_values, mut d_keys, mut d_scores, mut d_weight) =
                parts;
            let places = d_joined.sequences();
            for t in steps.clone().rev() {
                let mut d_joined = d_joined.panel(t);
                let mut d_query = d_query.panel(t);
                let joined = joined.panel(t, places.clone());
                let queries = queries.panel(t, places.clone());
                for own in 0..d_joined.columns() {
                    let place = places.start + own;
                    let ((block_keys, block_values), count) =
                        (memory.block(place), memory.length(place));
                    let first = weight_starts[place] + t * count;
                    let weights = &weights[first..first + count];
                    let d = d_scores.block(own);
                    let mut d_values = ColumnsMut::new(d_values.block(own), values, count);
                    let (d_context, d_h) = d_joined.column(own).split_at_mut(size);
                    let into = d_values.reborrow();
                    weighted_sum_backward(level, block_values, weights, d_context, d, into);
                    softmax_backward(level, weights, d);
                    // Where the values are the keys, so are their gradients.
                    let d_keys = match keys {
                        0 => d_values,
                        _ => ColumnsMut::new(d_keys.block(own), keys, count),
                    };
                    if score.is_empty() {
                        let h = &joined.column(own)[size..];
                        dot_scores_backward(level, block_keys, h, d, d_keys, d_h);
                    } else {
                        let (query, d_query) = (queries.column(own), d_query.column(own));
                        let d_weight = d_weight.column(own);
                        additive_scores_backward(
                            level, block_keys, query, score, d, d_keys, d_query, d_weight,
                        );
                    }
                }
            }
        });

        let d_joined = self.d_joined.as_ref().columns_range(columns.clone());
        d_h.add(d_joined.rows_range(rows));
        if attention.additive.is_some() {
            let d_query = self.d_query.as_ref().columns_range(columns);
            compute.product(d_h, Accum::Add, &self.query_transposed, d_query);
        }
    }

    /// All steps are undone: adds the gradients of the parameters, and that of the encoder's output
    /// to `d_output`.
    pub(crate) fn finish_backward(
        &mut self,
        attention: &Attention,
        compute: &Compute,
        parameters: &Parameters<T>,
        targets: &Lengths,
        (sources, reversed, mut d_output): (&Lengths, bool, ColumnsMut<'_, T>),
        gradients: &mut Parameters<T>,
    ) {
        let mut add_product = |slot: Slot, d_y: Columns<'_, T>, x: Columns<'_, T>| {
            let d_weight = gradients.get_mut(slot);
            gemm(compute, d_weight, Accum::Add, Operand::Plain(d_y), Operand::Transposed(x));
        };
        let joined = self.joined.as_ref();
        add_product(attention.combine, self.d_attentional.as_ref(), joined);
        if let Some((query, _)) = attention.additive {
            let h = joined.rows_range(attention.value_size..attention.joined_size());
            add_product(query, self.d_query.as_ref(), h);
        }
        if let Some(key) = attention.key {
            let d_keys = self.d_keys.as_ref();
            add_product(key, d_keys, self.memory.values.as_ref());
            let weight = Operand::Transposed(parameters.get(key));
            gemm(compute, self.d_values.as_mut(), Accum::Add, weight, Operand::Plain(d_keys));
        }
        if let Some((_, score)) = attention.additive {
            add_row_sums(compute, self.d_weight.as_ref(), gradients.slice_mut(score));
        }
        let d_values = self.d_values.as_ref();
        for (place, &source) in targets.order().iter().enumerate() {
            for at in 0..self.memory.length(place) {
                let column = encoded_column(sources, reversed, source, at);
                let terms = d_values.column(self.memory.starts[place] + at);
                add(d_output.column(column), terms);
            }
        }
    }
}
