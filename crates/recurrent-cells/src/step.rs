//! One step of any cell: its products and its equations, forward and, underneath, backward.

use std::ops::Range;

use recurrent_kernels::{Accum, Columns, ColumnsMut, Compute, Level, Packed, Real, product};

use crate::Parameters;
use crate::cell::{
    Backward, Cell, CellShape, CellSlots, Forward, Phase, RecurrentWeight, Source, StateRef,
};

/// A cell's weights, packed for forward steps; packed once for a sequence in training and once
/// for a model in inference.
pub struct PackedCell<T> {
    input: Packed<T>,
    input_rows: Range<usize>,
    phases: Vec<(Phase, Packed<T>)>,
    bias: Vec<T>,
}

/// A cell's weights, transposed and packed for backward steps.
pub struct PackedCellBackward<T> {
    input: Packed<T>,
    input_rows: Range<usize>,
    phases: Vec<(Phase, Packed<T>)>,
}

impl<T: Real> PackedCell<T> {
    /// Room for the weights of `cell`; [`pack`](Self::pack) fills it.
    pub fn new(cell: &impl Cell) -> Self {
        PackedCell {
            input: Packed::new(),
            input_rows: input_rows(cell),
            phases: cell.phases().into_iter().map(|phase| (phase, Packed::new())).collect(),
            bias: Vec::new(),
        }
    }

    /// Packs the recurrent weights and merges the biases.
    pub fn pack(
        &mut self,
        level: Level,
        cell: &impl Cell,
        slots: &CellSlots,
        parameters: &Parameters<T>,
    ) {
        for (phase, packed) in &mut self.phases {
            packed.pack(level, weight(phase, slots, parameters), &phase.weight_rows());
        }
        slots.merge_bias(cell, parameters, &mut self.bias);
    }

    /// Packs `weight_ih` as well: not needed where the input's products are looked up.
    pub fn pack_input(
        &mut self,
        level: Level,
        cell: &impl Cell,
        slots: &CellSlots,
        parameters: &Parameters<T>,
    ) {
        self.input.pack(level, parameters.get(slots.weight_ih), &input_weight_rows(cell));
    }

    /// The rows of the tape that the input's product fills.
    pub fn input_rows(&self) -> Range<usize> {
        self.input_rows.clone()
    }

    /// The input's products of any number of columns: `tape[input rows] = W_ih x`.
    pub fn input_product(&self, compute: &Compute, tape: ColumnsMut<'_, T>, x: Columns<'_, T>) {
        let tape = tape.rows_range(self.input_rows());
        compute.product(tape, Accum::Replace, &self.input, x);
    }

    /// The recurrent half of a step, for some columns: the tape's input rows hold the input's
    /// product, and become what backward needs; h and c of the step are written.
    ///
    /// # Panics
    /// If the shapes are not those of the cell.
    #[track_caller]
    pub fn forward(
        &self,
        level: Level,
        cell: &impl Cell,
        mut tape: ColumnsMut<'_, T>,
        previous: StateRef<'_, T>,
        mut h: ColumnsMut<'_, T>,
        mut c: ColumnsMut<'_, T>,
    ) {
        let next = StateRef { h: h.as_ref(), c: c.as_ref() };
        assert_shapes(cell.shape(), tape.as_ref(), previous, next);
        tape.reborrow().rows_range(0..self.input_rows.start).fill(T::ZERO);
        for (index, (phase, packed)) in self.phases.iter().enumerate() {
            match phase.source {
                Source::PreviousHidden => {
                    let rows = tape.reborrow().rows_range(phase.tape_rows());
                    product(rows, Accum::Add, packed, previous.h);
                }
            }
            cell.pointwise(
                level,
                index,
                Forward {
                    tape: tape.reborrow(),
                    bias: &self.bias,
                    previous,
                    h: h.reborrow(),
                    c: c.reborrow(),
                },
            );
        }
    }
}

impl<T: Real> PackedCellBackward<T> {
    /// Room for the transposed weights of `cell`; [`pack`](Self::pack) fills it.
    pub fn new(cell: &impl Cell) -> Self {
        PackedCellBackward {
            input: Packed::new(),
            input_rows: input_rows(cell),
            phases: cell.phases().into_iter().map(|phase| (phase, Packed::new())).collect(),
        }
    }

    /// Packs the recurrent weights, transposed.
    pub fn pack(&mut self, level: Level, slots: &CellSlots, parameters: &Parameters<T>) {
        for (phase, packed) in &mut self.phases {
            packed.pack_transposed(level, weight(phase, slots, parameters), &phase.weight_rows());
        }
    }

    /// Packs `weight_ih`, transposed: needed where the gradient of x is wanted.
    pub fn pack_input(
        &mut self,
        level: Level,
        cell: &impl Cell,
        slots: &CellSlots,
        parameters: &Parameters<T>,
    ) {
        let weight_ih = parameters.get(slots.weight_ih);
        self.input.pack_transposed(level, weight_ih, &input_weight_rows(cell));
    }

    /// The gradient of x for any number of columns: `d_x = W_ih^T tape[input rows]`.
    pub fn input_product(
        &self,
        compute: &Compute,
        d_x: ColumnsMut<'_, T>,
        accum: Accum,
        tape: Columns<'_, T>,
    ) {
        compute.product(d_x, accum, &self.input, tape.rows_range(self.input_rows.clone()));
    }

    /// Undoes [`PackedCell::forward`] for some columns: the tape becomes the gradient of its
    /// pre-activations, `d_c` goes back one step, and `d_h_previous` receives what flows there.
    ///
    /// # Panics
    /// If the shapes are not those of the cell.
    #[track_caller]
    pub fn backward(&self, level: Level, cell: &impl Cell, step: Backward<'_, T>) {
        let Backward { mut tape, previous, next, d_h, mut d_c, mut d_h_previous } = step;
        assert_shapes(cell.shape(), tape.as_ref(), previous, next);
        let d_previous = StateRef { h: d_h_previous.as_ref(), c: d_c.as_ref() };
        assert_shapes(
            cell.shape(),
            tape.as_ref(),
            d_previous,
            StateRef { h: d_h, c: d_c.as_ref() },
        );
        for (index, (phase, packed)) in self.phases.iter().enumerate().rev() {
            cell.pointwise_backward(
                level,
                index,
                Backward {
                    tape: tape.reborrow(),
                    previous,
                    next,
                    d_h,
                    d_c: d_c.reborrow(),
                    d_h_previous: d_h_previous.reborrow(),
                },
            );
            let d_rows = tape.as_ref().rows_range(phase.tape_rows());
            match phase.source {
                Source::PreviousHidden => {
                    product(d_h_previous.reborrow(), Accum::Add, packed, d_rows);
                }
            }
        }
    }
}

fn weight<'p, T: Real>(
    phase: &Phase,
    slots: &CellSlots,
    parameters: &'p Parameters<T>,
) -> Columns<'p, T> {
    match phase.weight {
        RecurrentWeight::Hidden => parameters.get(slots.weight_hh),
    }
}

fn input_rows(cell: &impl Cell) -> Range<usize> {
    let map = cell.input_map();
    map.first().map_or(0, |first| first.tape.start)..map.last().map_or(0, |last| last.tape.end)
}

fn input_weight_rows(cell: &impl Cell) -> Vec<Range<usize>> {
    cell.input_map().into_iter().map(|map| map.weight).collect()
}

/// The one door for the blocks of a step; the cells' inner loops rely on it.
#[track_caller]
fn assert_shapes<T: Real>(
    shape: CellShape,
    tape: Columns<'_, T>,
    previous: StateRef<'_, T>,
    next: StateRef<'_, T>,
) {
    let of = |block: Columns<'_, T>| (block.rows(), block.columns());
    let (h, c) = ((shape.hidden_size, tape.columns()), (shape.cell_size, tape.columns()));
    let given = [of(tape), of(previous.h), of(previous.c), of(next.h), of(next.c)];
    let wanted = [(shape.tape_rows, tape.columns()), h, c, h, c];
    if given != wanted {
        bad_step(given, wanted);
    }
}

#[cold]
#[track_caller]
fn bad_step(given: [(usize, usize); 5], wanted: [(usize, usize); 5]) -> ! {
    panic!(
        "tape, h and c before, h and c after have {given:?} rows and columns; {wanted:?} are needed"
    );
}
