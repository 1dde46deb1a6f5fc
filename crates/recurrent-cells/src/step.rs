//! One step of any cell: its products and its equations, forward and, underneath, backward.

use std::ops::Range;

use recurrent_kernels::{Accum, Columns, ColumnsMut, Compute, Packed, Real, product_within};

use crate::cell::{
    Backward, Cell, CellShape, Forward, Phase, RecurrentWeight, Source, StateRef, Target,
};
use crate::plan::tape_rows;
use crate::{CellPlan, CellSlots, Parameters, Slot};

/// A cell's weights, packed for forward steps; packed once for a sequence in training and once
/// for a model in inference.
pub struct PackedCell<T> {
    plan: CellPlan,
    input: PackedInput<T>,
    phases: Vec<PackedPhase<T>>,
    bias: Vec<T>,
    peephole: Vec<T>,
    norm: Vec<T>,
}

/// A cell's weights, transposed and packed for backward steps.
pub struct PackedCellBackward<T> {
    input: PackedInput<T>,
    phases: Vec<PackedPhase<T>>,
    peephole: Vec<T>,
    norm: Vec<T>,
}

/// `weight_ih`, and between which rows it lies.
struct PackedInput<T> {
    weight_rows: Vec<Range<usize>>,
    tape_rows: Range<usize>,
    packed: Packed<T>,
}

/// A phase, the rows of its weight in the order of its target, and these rows packed.
struct PackedPhase<T> {
    phase: Phase,
    weight_rows: Vec<Range<usize>>,
    packed: Packed<T>,
}

impl<T: Real> PackedInput<T> {
    fn new(plan: &CellPlan) -> Self {
        let (weight_rows, tape_rows) = (plan.input_weight_rows(), plan.input_rows());
        PackedInput { weight_rows, tape_rows, packed: Packed::new() }
    }
}

impl<T: Real> PackedPhase<T> {
    fn all(plan: &CellPlan) -> Vec<Self> {
        let phase = |phase: &Phase| {
            let weight_rows = plan.weight_rows(phase);
            PackedPhase { phase: phase.clone(), weight_rows, packed: Packed::new() }
        };
        plan.phases.iter().map(phase).collect()
    }
}

impl<T: Real> PackedCell<T> {
    /// Room for the weights of `cell`; [`pack`](Self::pack) fills it.
    pub fn new(cell: &impl Cell) -> Self {
        let plan = CellPlan::of(cell);
        PackedCell {
            input: PackedInput::new(&plan),
            phases: PackedPhase::all(&plan),
            bias: Vec::new(),
            peephole: Vec::new(),
            norm: Vec::new(),
            plan,
        }
    }

    /// Packs the recurrent weights and merges the biases.
    pub fn pack(&mut self, compute: &Compute, slots: &CellSlots, parameters: &Parameters<T>) {
        self.pack_with(compute, slots, parameters, parameters.get(slots.weight_hh));
    }

    /// As [`pack`](Self::pack), with `weight_hh` in the place of the parameters' own: what is left of
    /// it where some is dropped.
    ///
    /// # Panics
    /// If it has another shape.
    #[track_caller]
    pub fn pack_with(
        &mut self,
        compute: &Compute,
        slots: &CellSlots,
        parameters: &Parameters<T>,
        weight_hh: Columns<'_, T>,
    ) {
        assert_weight(slots, weight_hh);
        for PackedPhase { phase, weight_rows, packed } in &mut self.phases {
            let weight = match phase.weight {
                RecurrentWeight::Hidden => weight_hh,
                RecurrentWeight::Projection => parameters.get(slots.recurrent_weight(phase)),
            };
            packed.pack(compute, weight, weight_rows);
        }
        slots.merge_bias(&self.plan, parameters, &mut self.bias);
        copy_vector(slots.weight_peephole, parameters, &mut self.peephole);
        copy_vector(slots.weight_norm, parameters, &mut self.norm);
    }

    /// Packs `weight_ih` as well: not needed where the input's products are looked up.
    pub fn pack_input(&mut self, compute: &Compute, slots: &CellSlots, parameters: &Parameters<T>) {
        let PackedInput { weight_rows, packed, .. } = &mut self.input;
        packed.pack(compute, parameters.get(slots.weight_ih), weight_rows);
    }

    /// The rows of the tape that the input's product fills.
    pub fn input_rows(&self) -> Range<usize> {
        self.input.tape_rows.clone()
    }

    /// The input's products of any number of columns: `tape[input rows] = W_ih x`.
    pub fn input_product(&self, compute: &Compute, tape: ColumnsMut<'_, T>, x: Columns<'_, T>) {
        let tape = tape.rows_range(self.input_rows());
        compute.product(tape, Accum::Replace, &self.input.packed, x);
    }

    /// The recurrent half of a step, for some columns: the tape's input rows hold the input's
    /// product, and become what backward needs; h and c of the step are written.
    ///
    /// # Panics
    /// If the shapes are not those of the cell.
    #[track_caller]
    pub fn forward(
        &self,
        compute: &Compute,
        cell: &impl Cell,
        mut tape: ColumnsMut<'_, T>,
        previous: StateRef<'_, T>,
        mut h: ColumnsMut<'_, T>,
        mut c: ColumnsMut<'_, T>,
    ) {
        let next = StateRef { h: h.as_ref(), c: c.as_ref() };
        assert_shapes(cell.shape(), tape.as_ref(), previous, next);
        tape.reborrow().rows_range(0..self.input.tape_rows.start).fill(T::ZERO);
        for (index, PackedPhase { phase, packed, .. }) in self.phases.iter().enumerate() {
            match (&phase.source, &phase.target) {
                (Source::PreviousHidden, Target::Tape(map)) => {
                    let rows = tape.reborrow().rows_range(tape_rows(map));
                    compute.product(rows, Accum::Add, packed, previous.h);
                }
                (Source::PreviousHidden, Target::Hidden) => {
                    compute.product(h.reborrow(), Accum::Replace, packed, previous.h);
                }
                (Source::Inner(inner), Target::Tape(map)) => {
                    let (block, rows) = (tape.reborrow(), tape_rows(map));
                    product_within(block, rows, Accum::Add, packed, inner.clone());
                }
                (Source::Inner(inner), Target::Hidden) => {
                    let inner = tape.as_ref().rows_range(inner.clone());
                    compute.product(h.reborrow(), Accum::Replace, packed, inner);
                }
            }
            cell.pointwise(
                compute.level(),
                index,
                Forward {
                    tape: tape.reborrow(),
                    bias: &self.bias,
                    peephole: &self.peephole,
                    norm: &self.norm,
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
        let plan = CellPlan::of(cell);
        PackedCellBackward {
            input: PackedInput::new(&plan),
            phases: PackedPhase::all(&plan),
            peephole: Vec::new(),
            norm: Vec::new(),
        }
    }

    /// Packs the recurrent weights, transposed.
    pub fn pack(&mut self, compute: &Compute, slots: &CellSlots, parameters: &Parameters<T>) {
        self.pack_with(compute, slots, parameters, parameters.get(slots.weight_hh));
    }

    /// As [`pack`](Self::pack), with `weight_hh` in the place of the parameters' own.
    ///
    /// # Panics
    /// If it has another shape.
    #[track_caller]
    pub fn pack_with(
        &mut self,
        compute: &Compute,
        slots: &CellSlots,
        parameters: &Parameters<T>,
        weight_hh: Columns<'_, T>,
    ) {
        assert_weight(slots, weight_hh);
        for PackedPhase { phase, weight_rows, packed } in &mut self.phases {
            let weight = match phase.weight {
                RecurrentWeight::Hidden => weight_hh,
                RecurrentWeight::Projection => parameters.get(slots.recurrent_weight(phase)),
            };
            packed.pack_transposed(compute, weight, weight_rows);
        }
        copy_vector(slots.weight_peephole, parameters, &mut self.peephole);
        copy_vector(slots.weight_norm, parameters, &mut self.norm);
    }

    /// Packs `weight_ih`, transposed: needed where the gradient of x is wanted.
    pub fn pack_input(&mut self, compute: &Compute, slots: &CellSlots, parameters: &Parameters<T>) {
        let PackedInput { weight_rows, packed, .. } = &mut self.input;
        packed.pack_transposed(compute, parameters.get(slots.weight_ih), weight_rows);
    }

    /// The gradient of x for any number of columns: `d_x = W_ih^T tape[input rows]`.
    pub fn input_product(
        &self,
        compute: &Compute,
        d_x: ColumnsMut<'_, T>,
        accum: Accum,
        tape: Columns<'_, T>,
    ) {
        let PackedInput { tape_rows, packed, .. } = &self.input;
        compute.product(d_x, accum, packed, tape.rows_range(tape_rows.clone()));
    }

    /// What of h before a step gets from the gradient of its pre-activations, for any number of columns:
    /// `d_h = W_hh^T tape`, in a cell of one phase.
    pub fn hidden_product(&self, compute: &Compute, d_h: ColumnsMut<'_, T>, tape: Columns<'_, T>) {
        let [PackedPhase { packed, .. }] = self.phases.as_slice() else {
            panic!("a cell of {} phases has no one product", self.phases.len())
        };
        compute.product(d_h, Accum::Replace, packed, tape);
    }

    /// Undoes [`PackedCell::forward`] for some columns: the tape becomes the gradient of its
    /// pre-activations, `d_c` goes back one step, and `d_h_previous` receives what flows there.
    /// `next` is the state after the step and `d_h` the whole gradient of its h; `d_inner` is room of
    /// `inner_size` rows, whatever it holds before.
    ///
    /// # Panics
    /// If the shapes are not those of the cell.
    #[track_caller]
    pub fn backward(
        &self,
        compute: &Compute,
        cell: &impl Cell,
        mut tape: ColumnsMut<'_, T>,
        previous: StateRef<'_, T>,
        next: StateRef<'_, T>,
        d_h: Columns<'_, T>,
        mut d_c: ColumnsMut<'_, T>,
        mut d_h_previous: ColumnsMut<'_, T>,
        mut d_inner: ColumnsMut<'_, T>,
    ) {
        let shape = cell.shape();
        assert_shapes(shape, tape.as_ref(), previous, next);
        let d_previous = StateRef { h: d_h_previous.as_ref(), c: d_c.as_ref() };
        let d_next = StateRef { h: d_h, c: d_c.as_ref() };
        assert_shapes(shape, tape.as_ref(), d_previous, d_next);
        assert!(
            (d_inner.rows(), d_inner.columns()) == (shape.inner_size, tape.columns()),
            "d_inner has {} rows and {} columns; {} and {} are needed",
            d_inner.rows(),
            d_inner.columns(),
            shape.inner_size,
            tape.columns()
        );
        for (index, PackedPhase { phase, packed, .. }) in self.phases.iter().enumerate().rev() {
            cell.pointwise_backward(
                compute.level(),
                index,
                Backward {
                    tape: tape.reborrow(),
                    peephole: &self.peephole,
                    norm: &self.norm,
                    previous,
                    next,
                    d_h,
                    d_c: d_c.reborrow(),
                    d_inner: d_inner.reborrow(),
                    d_h_previous: d_h_previous.reborrow(),
                },
            );
            let d_rows = match &phase.target {
                Target::Tape(map) => tape.as_ref().rows_range(tape_rows(map)),
                Target::Hidden => d_h,
            };
            match &phase.source {
                Source::PreviousHidden => {
                    compute.product(d_h_previous.reborrow(), Accum::Add, packed, d_rows);
                }
                Source::Inner(_) => {
                    compute.product(d_inner.reborrow(), Accum::Replace, packed, d_rows);
                }
            }
        }
    }
}

#[track_caller]
fn assert_weight<T: Real>(slots: &CellSlots, weight_hh: Columns<'_, T>) {
    let given = (weight_hh.rows(), weight_hh.columns());
    let wanted = (slots.weight_hh.rows(), slots.weight_hh.columns());
    assert!(given == wanted, "a weight_hh of {given:?} rows and columns; {wanted:?} is needed");
}

fn copy_vector<T: Real>(slot: Option<Slot>, parameters: &Parameters<T>, target: &mut Vec<T>) {
    target.clear();
    target.extend(slot.iter().flat_map(|&slot| parameters.slice(slot)));
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
