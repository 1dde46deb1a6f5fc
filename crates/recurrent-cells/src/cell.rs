//! The contract between a cell and whatever drives it through time.
//!
//! A step of any cell is: the input's product, already in the tape; then one or more phases, each
//! a product with a recurrent weight followed by pointwise arithmetic. The drivers own every
//! product and every loop; a cell owns its equations and nothing else. Backward visits the phases
//! in reverse: `pointwise_backward` turns tape rows into their own gradient, and the transposed
//! product carries it to the phase's source.

use std::ops::Range;

use recurrent_kernels::{Columns, ColumnsMut, Level, Real};
use serde::{Deserialize, Serialize};

use crate::Gate;

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
    /// Rows of `weight_hh` and of `bias_hh`; the weight has `hidden_size` columns.
    pub weight_hh_rows: usize,
    /// Rows of the tape that a later phase multiplies with ([`Source::Inner`]); 0 without one.
    pub inner_size: usize,
    /// The last phase makes h with `weight_hr`, which has `hidden_size` rows and `inner_size`
    /// columns ([`RecurrentWeight::Projection`]).
    pub projects: bool,
    /// Numbers in `weight_peephole`; 0 for a cell without peepholes.
    pub peephole_size: usize,
    /// Numbers in `weight_norm`, the gains and shifts of normalisations; 0 for a cell without one.
    pub norm_size: usize,
    /// Which biases there are.
    pub biases: Biases,
}

/// Which biases a cell has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Biases {
    /// None: PyTorch's `bias=False`.
    None,
    /// `bias_ih` alone.
    One,
    /// `bias_ih` and `bias_hh`: PyTorch's default.
    #[default]
    Two,
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
    /// `weight_hr`, which has no bias.
    Projection,
}

/// What a phase multiplies its weight with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// h of the previous step.
    PreviousHidden,
    /// Rows of the tape that an earlier phase wrote and that nothing overwrites, `inner_size` of
    /// them. Their gradient lies in [`Backward::d_inner`].
    Inner(Range<usize>),
}

/// Where a phase's product goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It is added to rows of the tape. The tape ranges follow one another without gaps, so that
    /// the product is one block; the weight ranges may be in any order.
    Tape(Vec<RowMap>),
    /// It is h after the step, from all rows of the weight in order.
    Hidden,
}

/// A product with a recurrent weight, then pointwise arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The weight.
    pub weight: RecurrentWeight,
    /// What it is multiplied with.
    pub source: Source,
    /// Where the product goes.
    pub target: Target,
}

impl Phase {
    /// A product of `weight_hh` with h of the previous step.
    pub fn of_hidden(map: Vec<RowMap>) -> Phase {
        let (weight, source) = (RecurrentWeight::Hidden, Source::PreviousHidden);
        Phase { weight, source, target: Target::Tape(map) }
    }
}

/// A vector that multiplies the cell state number by number into rows of the tape, and whose
/// gradient is therefore no product of matrices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peephole {
    /// Rows of `weight_peephole`.
    pub weight: Range<usize>,
    /// As many rows of the tape: the pre-activations that it looks into.
    pub tape: Range<usize>,
    /// Which c it looks at.
    pub at: PeepholeAt,
}

/// Some of `weight_norm`, the gains or the shifts of a normalisation: each has the sum over all
/// columns of a product of two numbers of the tape for its gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormSum {
    /// Rows of `weight_norm`.
    pub weight: Range<usize>,
    /// As many rows of the tape: after backward the gradient of what they made.
    pub tape: Range<usize>,
    /// As many rows of the tape: what gains multiplied. None for shifts, which were added.
    pub with: Option<Range<usize>>,
}

/// Which cell state a peephole looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeepholeAt {
    /// c before the step.
    Previous,
    /// c after the step.
    Next,
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
    /// The biases by tape row, zero where there are none.
    pub bias: &'a [T],
    /// `weight_peephole`; empty without one.
    pub peephole: &'a [T],
    /// `weight_norm`; empty without one.
    pub norm: &'a [T],
    /// The state before the step.
    pub previous: StateRef<'a, T>,
    /// Out: h after the step, unless a later phase makes it.
    pub h: ColumnsMut<'a, T>,
    /// Out: c after the step.
    pub c: ColumnsMut<'a, T>,
}

/// What `pointwise_backward` works on: some columns of one step. Gradients are of the loss.
pub struct Backward<'a, T> {
    /// In: what forward left. Out: the gradient of the pre-activations. Inner rows stay.
    pub tape: ColumnsMut<'a, T>,
    /// `weight_peephole`; empty without one.
    pub peephole: &'a [T],
    /// `weight_norm`; empty without one.
    pub norm: &'a [T],
    /// The state before the step.
    pub previous: StateRef<'a, T>,
    /// The state after the step.
    pub next: StateRef<'a, T>,
    /// The whole gradient of h after the step: from above and from the next step.
    pub d_h: Columns<'a, T>,
    /// In: the gradient of c after the step. Out: the gradient of c before it.
    pub d_c: ColumnsMut<'a, T>,
    /// The gradient of the inner rows once the phase that multiplies with them is undone:
    /// `inner_size` rows, written by the driver.
    pub d_inner: ColumnsMut<'a, T>,
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

    /// The peepholes; none for most cells.
    fn peepholes(&self) -> Vec<Peephole> {
        Vec::new()
    }

    /// What the gradient of `weight_norm` is summed from; nothing for most cells.
    fn norm_sums(&self) -> Vec<NormSum> {
        Vec::new()
    }

    /// The rows of the tape where both biases enter, in the order of their own rows: of a cell that
    /// normalises products before. None where they enter with the products.
    fn bias_rows(&self) -> Option<Range<usize>> {
        None
    }

    /// The derivative of a number of h by its pre-activation, from the number itself: in a cell whose h
    /// is a function of `W_ih x + W_hh h + bias`. None in any other.
    fn hidden_slope<T: Real>(&self, _h: T) -> Option<T> {
        None
    }

    /// The gates, in the order of the tape; none for a cell without. They are for those who look on
    /// ([`Gate`]), and no arithmetic depends on them.
    fn gates(&self) -> Vec<Gate> {
        Vec::new()
    }

    /// The rows of the tape that hold `max(a, 0)` once forward has passed; none for most cells. For
    /// those who look on, too: a unit that is always 0 is dead.
    fn rectified(&self) -> Range<usize> {
        0..0
    }

    /// The arithmetic after the product of phase `phase`.
    fn pointwise<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>);

    /// Undoes `pointwise`: from the gradient of its results to the gradient of its arguments.
    fn pointwise_backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>);
}
