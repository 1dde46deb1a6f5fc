//! The contract between a cell and whatever drives it through time.
//!
//! A step of any cell is: the input's product, already in the tape; then one or more phases, each
//! a product with a recurrent weight into rows of the tape, followed by pointwise arithmetic. The
//! drivers own every product and every loop; a cell owns its equations and nothing else. Backward
//! visits the phases in reverse: `pointwise_backward` turns tape rows into their own gradient, and
//! the transposed product carries it to the phase's source.

use std::ops::Range;

use recurrent_kernels::{Columns, ColumnsMut, Level, Real};

use crate::{Form, Layout, Parameters, Slot};

/// Sizes of a cell, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellShape {
    /// Rows of x.
    pub input_size: usize,
    /// Rows of h.
    pub hidden_size: usize,
    /// Rows of c; 0 for a cell without one.
    pub cell_size: usize,
    /// Rows that a step leaves on the tape for backward.
    pub tape_rows: usize,
    /// Rows of `weight_ih` and of `bias_ih`.
    pub weight_ih_rows: usize,
    /// Rows of `weight_hh` and of `bias_hh`.
    pub weight_hh_rows: usize,
}

/// Rows of a weight, and the rows of the tape that its product goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowMap {
    /// Rows of the weight.
    pub weight: Range<usize>,
    /// As many rows of the tape.
    pub tape: Range<usize>,
}

/// Which recurrent weight a phase multiplies with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecurrentWeight {
    /// `weight_hh`; its product comes with `bias_hh`.
    Hidden,
}

/// What a phase multiplies its weight with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// h of the previous step.
    PreviousHidden,
}

/// A product with a recurrent weight, then pointwise arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The weight.
    pub weight: RecurrentWeight,
    /// What it is multiplied with.
    pub source: Source,
    /// Which rows of the weight go to which rows of the tape. The tape ranges follow one another
    /// without gaps, so that the product is one block; the weight ranges may be in any order.
    pub map: Vec<RowMap>,
}

impl Phase {
    /// The rows of the tape that the product is added to.
    pub fn tape_rows(&self) -> Range<usize> {
        let start = self.map.first().map_or(0, |map| map.tape.start);
        let end = self.map.last().map_or(0, |map| map.tape.end);
        start..end
    }

    /// The rows of the weight, in the order of the tape.
    pub fn weight_rows(&self) -> Vec<Range<usize>> {
        self.map.iter().map(|map| map.weight.clone()).collect()
    }
}

/// h and c of some columns at some step.
#[derive(Clone, Copy)]
pub struct StateRef<'a, T> {
    /// `hidden_size` rows.
    pub h: Columns<'a, T>,
    /// `cell_size` rows.
    pub c: Columns<'a, T>,
}

/// What `pointwise` works on: some columns of one step.
pub struct Forward<'a, T> {
    /// In: pre-activations without bias. Out: what backward needs.
    pub tape: ColumnsMut<'a, T>,
    /// The biases by tape row.
    pub bias: &'a [T],
    /// The state before the step.
    pub previous: StateRef<'a, T>,
    /// Out: h after the step.
    pub h: ColumnsMut<'a, T>,
    /// Out: c after the step.
    pub c: ColumnsMut<'a, T>,
}

/// What `pointwise_backward` works on: some columns of one step. Gradients are of the loss.
pub struct Backward<'a, T> {
    /// In: what forward left. Out: the gradient of the pre-activations.
    pub tape: ColumnsMut<'a, T>,
    /// The state before the step.
    pub previous: StateRef<'a, T>,
    /// The state after the step.
    pub next: StateRef<'a, T>,
    /// The whole gradient of h after the step: from above and from the next step.
    pub d_h: Columns<'a, T>,
    /// In: the gradient of c after the step. Out: the gradient of c before it.
    pub d_c: ColumnsMut<'a, T>,
    /// Receives what reaches h before the step by another way than a product; added.
    pub d_h_previous: ColumnsMut<'a, T>,
}

/// The equations of one step.
pub trait Cell: Clone + Send + Sync {
    /// The sizes.
    fn shape(&self) -> CellShape;

    /// Which rows of `weight_ih` go to which rows of the tape; the tape ranges follow one another
    /// without gaps and end at the last row. Tape rows before them belong to the recurrence alone.
    fn input_map(&self) -> Vec<RowMap>;

    /// The phases, in order.
    fn phases(&self) -> Vec<Phase>;

    /// The arithmetic after the product of phase `phase`.
    fn pointwise<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>);

    /// Undoes `pointwise`: from the gradient of its results to the gradient of its arguments.
    fn pointwise_backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>);
}

/// Where a cell's parameters lie: the same four for every cell, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSlots {
    /// From x: `weight_ih_rows` x `input_size`.
    pub weight_ih: Slot,
    /// From h: `weight_hh_rows` x `hidden_size`.
    pub weight_hh: Slot,
    /// `weight_ih_rows`.
    pub bias_ih: Slot,
    /// `weight_hh_rows`.
    pub bias_hh: Slot,
}

impl CellSlots {
    /// Adds a cell's parameters to a layout under PyTorch's names, `{prefix}weight_ih{suffix}` and
    /// so on; a suffix is `_l0` or `_l0_reverse`.
    pub fn add(layout: &mut Layout, shape: CellShape, prefix: &str, suffix: &str) -> Self {
        let mut add = |name: &str, form, rows, columns| {
            layout.add(format!("{prefix}{name}{suffix}"), form, rows, columns)
        };
        CellSlots {
            weight_ih: add("weight_ih", Form::Matrix, shape.weight_ih_rows, shape.input_size),
            weight_hh: add("weight_hh", Form::Matrix, shape.weight_hh_rows, shape.hidden_size),
            bias_ih: add("bias_ih", Form::Vector, shape.weight_ih_rows, 1),
            bias_hh: add("bias_hh", Form::Vector, shape.weight_hh_rows, 1),
        }
    }

    /// Both biases by tape row, added where they meet: `bias_ih` along the input's rows, `bias_hh`
    /// along the recurrence's.
    pub fn merge_bias<T: Real>(
        &self,
        cell: &impl Cell,
        parameters: &Parameters<T>,
        bias: &mut Vec<T>,
    ) {
        bias.clear();
        bias.resize(cell.shape().tape_rows, T::ZERO);
        self.for_bias_rows(cell, |slot, map| {
            let source = &parameters.slice(slot)[map.weight.clone()];
            for (sum, &term) in bias[map.tape.clone()].iter_mut().zip(source) {
                *sum += term;
            }
        });
    }

    /// Undoes [`merge_bias`](Self::merge_bias): adds a gradient by tape row to both biases.
    pub fn merge_bias_backward<T: Real>(
        &self,
        cell: &impl Cell,
        d_bias: &[T],
        gradients: &mut Parameters<T>,
    ) {
        self.for_bias_rows(cell, |slot, map| {
            let target = &mut gradients.slice_mut(slot)[map.weight.clone()];
            for (sum, &term) in target.iter_mut().zip(&d_bias[map.tape.clone()]) {
                *sum += term;
            }
        });
    }

    fn for_bias_rows(&self, cell: &impl Cell, mut f: impl FnMut(Slot, &RowMap)) {
        for map in cell.input_map() {
            f(self.bias_ih, &map);
        }
        for phase in cell.phases() {
            match phase.weight {
                RecurrentWeight::Hidden => phase.map.iter().for_each(|map| f(self.bias_hh, map)),
            }
        }
    }
}
