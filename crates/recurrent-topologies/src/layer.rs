//! One layer through time: the step, the loop over steps forward and, underneath, backward. (What
//! inference does differently stands in `near.rs`.)
//!
//! ```text
//! forward, read downwards                     | backward, read upwards
//! one product         -> gates (input rows)   | d_gates -> d_weight_ih, d_weight_hh, d_bias, d_x
//! for t in 0..T                               | for t in (0..T).rev()
//!   gates[t] += weight_hh h[t-1]              |   d_h[t-1] += weight_hh^T d_gates[t]
//!   pointwise (adds the bias)                 |   pointwise_backward: gates become d_gates
//! ```
//!
//! A reverse direction is the same with T-1, ..., 0 for 0, ..., T-1 and t+1 for t-1.

use std::ops::Range;

use recurrent_cells::{
    Cell, CellSlots, NormSum, PackedCell, Parameters, PeepholeAt, RecurrentWeight, Source,
    StateRef, Target, gather,
};
use recurrent_kernels::norm::{add_row_products, add_row_sums};
use recurrent_kernels::{
    Accum, Columns, ColumnsMut, Compute, Matrix, Operand, Panels, PanelsMut, Real, Vectorized, gemm,
};

use crate::direction::Before;
use crate::regularization::WeightMasks;
use crate::tape::DirectionTape;
use crate::zoneout::Zoneout;
use crate::{Direction, LayerState, Lengths, Observation, Probe, Undone};

/// Fewer sequences than this are not worth a thread of their own.
pub(crate) const LEAST_SEQUENCES: usize = 2;

/// What the first layer reads, one column for each column of the batch.
#[derive(Clone, Copy)]
pub enum Input<'a, T> {
    /// The vectors themselves: `input_size` x N.
    Columns(Columns<'a, T>),
    /// Tokens whose products with `weight_ih` are already in a table, one column a token.
    Table {
        /// `weight_ih` rows x vocabulary.
        table: Columns<'a, T>,
        /// The same for the reverse cell of a layer of two.
        reverse: Option<Columns<'a, T>>,
        /// N tokens.
        tokens: &'a [u32],
    },
}

impl<T: Real> Input<'_, T> {
    /// The columns in `range`.
    pub(crate) fn columns_range(self, range: Range<usize>) -> Self {
        match self {
            Input::Columns(x) => Input::Columns(x.columns_range(range)),
            Input::Table { table, reverse, tokens } => {
                Input::Table { table, reverse, tokens: &tokens[range] }
            }
        }
    }
}

/// The gradient of an [`Input`] of the same kind.
pub enum InputGradient<'a, T> {
    /// For [`Input::Columns`].
    Columns {
        /// The vectors that forward read.
        x: Columns<'a, T>,
        /// Receives their gradient, if it is wanted.
        d_x: Option<ColumnsMut<'a, T>>,
    },
    /// For [`Input::Table`]: `weight_ih` gets no gradient here, its products do.
    Table {
        /// The tokens that forward read.
        tokens: &'a [u32],
        /// Receives the table's gradient; added.
        d_table: ColumnsMut<'a, T>,
        /// The same for the reverse cell of a layer of two.
        d_reverse: Option<ColumnsMut<'a, T>>,
    },
}

/// Fills the gates' input rows with the input's products, for the layer's cell of this index.
pub(crate) fn input_product<T: Real>(
    packed: &PackedCell<T>,
    compute: &Compute,
    gates: ColumnsMut<'_, T>,
    input: Input<'_, T>,
    index: usize,
) {
    match input {
        Input::Columns(x) => packed.input_product(compute, gates, x),
        Input::Table { table, reverse, tokens } => {
            let table = if index == 0 { table } else { reverse.expect("checked at the door") };
            let gates = gates.rows_range(packed.input_rows());
            compute.split((gates, 0..tokens.len()), 64, &|(gates, columns): (_, Range<usize>)| {
                gather(table, &tokens[columns], gates);
            });
        }
    }
}

/// What a direction of a layer is run with.
pub(crate) struct Pass<'a, T, C> {
    pub(crate) compute: &'a Compute,
    pub(crate) cell: &'a C,
    pub(crate) lengths: &'a Lengths,
    /// h_0 and c_0, in sorted order.
    pub(crate) initial: &'a LayerState<T>,
    pub(crate) direction: Direction,
    pub(crate) zoneout: Option<Zoneout>,
}

impl<T, C> Clone for Pass<'_, T, C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, C> Copy for Pass<'_, T, C> {}

impl<T: Real> DirectionTape<T> {
    /// Packs the weights for a pass.
    pub(crate) fn pack(
        &mut self,
        compute: &Compute,
        slots: &CellSlots,
        parameters: &Parameters<T>,
        with_input: bool,
    ) {
        match &self.weight_hh {
            None => self.packed.pack(compute, slots, parameters),
            Some(left) => self.packed.pack_with(compute, slots, parameters, left.as_ref()),
        }
        if with_input {
            self.packed.pack_input(compute, slots, parameters);
        }
    }

    /// Takes the steps in `steps`; their input products are in place. `h` is the layer's, of which
    /// `rows` belong to this direction.
    pub(crate) fn forward<C: Cell>(
        &mut self,
        pass: Pass<'_, T, C>,
        h: &mut Matrix<T>,
        rows: Range<usize>,
        steps: Range<usize>,
    ) {
        let Pass { compute, lengths, direction, .. } = pass;
        let offsets = lengths.offsets();
        let (packed, afresh) = (&self.packed, &self.afresh);
        let panels = (
            PanelsMut::new(&mut self.gates, offsets),
            PanelsMut::new(h, offsets),
            PanelsMut::new(&mut self.c, offsets),
            PanelsMut::new(&mut self.candidate, offsets),
        );
        compute.split(panels, LEAST_SEQUENCES, &|(mut gates, mut h, mut c, mut candidate)| {
            direction.for_steps(steps.clone(), |t| {
                let made = (&mut h, &mut c, &mut candidate);
                take_step(pass, (packed, afresh), rows.clone(), t, gates.panel(t), made);
            });
        });
    }

    /// Undoes the steps in `steps`, last taken first. `d_h` holds what comes from above.
    pub(crate) fn backward<C: Cell>(
        &mut self,
        pass: Pass<'_, T, C>,
        (h, d_h): (&Matrix<T>, &mut Matrix<T>),
        rows: Range<usize>,
        steps: Range<usize>,
        (layer, probe): (usize, &impl Probe<T>),
    ) {
        let Pass { compute, cell, lengths, initial, direction, zoneout } = pass;
        let offsets = lengths.offsets();
        let (packed, afresh) = (&self.packed_backward, &self.afresh);
        let plan = &self.plan;
        let h = Panels::new(h.as_ref(), offsets);
        let c = Panels::new(self.c.as_ref(), offsets);
        let state = |panel: usize, places: Range<usize>| StateRef {
            h: h.panel(panel, places.clone()).rows_range(rows.clone()),
            c: c.panel(panel, places),
        };
        let parts = (
            PanelsMut::new(&mut self.gates, offsets),
            PanelsMut::new(d_h, offsets),
            self.d_c.as_mut(),
            self.d_h_0.as_mut(),
            self.d_inner.as_mut(),
            self.d_afresh.h.as_mut(),
            self.d_afresh.c.as_mut(),
            self.d_c_kept.as_mut(),
        );
        // What the cell itself gave for c.
        let given = if zoneout.is_some() { &self.candidate } else { &self.c };
        let given = Panels::new(given.as_ref(), offsets);
        compute.split(parts, LEAST_SEQUENCES, &|parts| {
            let (
                mut gates,
                mut d_h,
                mut d_c,
                mut d_h_0,
                mut d_inner,
                mut d_afresh_h,
                mut d_afresh_c,
                mut d_c_kept,
            ) = parts;
            let sequences = gates.sequences();
            direction.for_steps_back(steps.clone(), |t| {
                let width = gates.panel(t).columns();
                if width == 0 {
                    // All of these sequences have ended before.
                    return;
                }
                let places = sequences.start..sequences.start + width;
                probe.observe(Observation {
                    layer,
                    direction,
                    plan,
                    t,
                    sequences: places.clone(),
                    tape: gates.panel(t).as_ref(),
                    c: state(t, places.clone()).c,
                    d_h: d_h.panel(t).as_ref().rows_range(rows.clone()),
                    d_c: d_c.as_ref().columns_range(0..width),
                });
                direction.for_segments(lengths, t, places, |places, before| {
                    let own = places.start - sequences.start..places.end - sequences.start;
                    let mut tape = gates.panel(t).columns_range(own.clone());
                    let next = StateRef {
                        h: h.panel(t, places.clone()).rows_range(rows.clone()),
                        c: given.panel(t, places.clone()),
                    };
                    let mut d_c = d_c.reborrow().columns_range(own.clone());
                    let d_inner = d_inner.reborrow().columns_range(own.clone());
                    let mut d_c_kept = d_c_kept.reborrow().columns_range(own.clone());
                    let sequences = &lengths.order()[places.clone()];
                    let step = |previous,
                                mut d_h: ColumnsMut<'_, T>,
                                mut d_c: ColumnsMut<'_, T>,
                                mut d_previous: ColumnsMut<'_, T>| {
                        if let Some(zoneout) = zoneout {
                            d_c_kept.fill(T::ZERO);
                            let given = (d_h.reborrow(), d_c.reborrow());
                            let kept = (d_previous.reborrow(), d_c_kept.reborrow());
                            zoneout.backward(t, sequences, given, kept);
                        }
                        let (d_h, moved) = (d_h.as_ref(), d_c.reborrow());
                        let gates = tape.reborrow();
                        packed.backward(
                            compute, cell, gates, previous, next, d_h, moved, d_previous, d_inner,
                        );
                        if zoneout.is_some() {
                            d_c.add(d_c_kept.as_ref());
                        }
                    };
                    let undone = places.clone();
                    let previous_h = match before {
                        Before::Panel(panel) => {
                            let previous = state(panel, places);
                            let (d_previous, d_h) = d_h.two_panels(panel, t);
                            let d_previous = d_previous.rows_range(rows.clone());
                            let d_previous = d_previous.columns_range(own.clone());
                            let d_h = d_h.rows_range(rows.clone()).columns_range(own);
                            let seen = previous.h;
                            step(previous, d_h, d_c, d_previous);
                            seen
                        }
                        Before::Initial => {
                            let previous = state_at(initial, places);
                            let d_previous = d_h_0.reborrow().columns_range(own.clone());
                            let d_h = d_h.panel(t).rows_range(rows.clone()).columns_range(own);
                            let seen = previous.h;
                            step(previous, d_h, d_c, d_previous);
                            seen
                        }
                        Before::Afresh => {
                            let previous = state_at(afresh, places);
                            let d_previous = d_afresh_h.reborrow().columns_range(own.clone());
                            let d_h =
                                d_h.panel(t).rows_range(rows.clone()).columns_range(own.clone());
                            let seen = previous.h;
                            step(previous, d_h, d_c.reborrow(), d_previous);
                            // The document before has nothing to do with this one.
                            d_afresh_c.reborrow().columns_range(own).add(d_c.as_ref());
                            d_c.fill(T::ZERO);
                            seen
                        }
                    };
                    let tape = tape.as_ref();
                    probe.observe_undone(Undone {
                        layer,
                        direction,
                        plan,
                        t,
                        sequences: undone,
                        tape,
                        previous_h,
                    });
                });
            });
        });
    }

    /// Adds the gradients of the recurrent weights, of both biases and of the peepholes, from the
    /// gates' gradients of all steps: one product each. `h` and `d_h` are this direction's rows. With a
    /// weight of the penalty of gradients that too, whose value it gives.
    pub(crate) fn recurrent_gradients<C: Cell>(
        &self,
        pass: Pass<'_, T, C>,
        slots: &CellSlots,
        (h, d_h): (Columns<'_, T>, Columns<'_, T>),
        (previous, d_weight, d_bias): (&mut Matrix<T>, &mut Matrix<T>, &mut Vec<T>),
        (masks, penalty): (Option<WeightMasks>, Option<f64>),
        gradients: &mut Parameters<T>,
    ) -> f64 {
        let Pass { compute, initial, .. } = pass;
        let gates = self.gates.as_ref();
        if slots.bias_ih.is_some() {
            d_bias.clear();
            d_bias.resize(self.gates.rows(), T::ZERO);
            add_row_sums(compute, gates, d_bias);
            slots.merge_bias_backward(&self.plan, d_bias, gradients);
        }
        if masks.is_some() {
            d_weight.reset(slots.weight_hh.rows(), slots.weight_hh.columns());
        }
        for phase in &self.plan.phases {
            let slot = slots.recurrent_weight(phase);
            let left = masks.is_some() && phase.weight == RecurrentWeight::Hidden;
            let pieces = match &phase.source {
                Source::Inner(rows) => whole(gates.rows_range(rows.clone())),
                Source::PreviousHidden => {
                    previous_pieces(pass, &initial.h, &self.afresh.h, h, previous)
                }
            };
            for (columns, source) in pieces {
                if columns.is_empty() {
                    continue;
                }
                let mut add = |weight: Range<usize>, d_rows: Columns<'_, T>| {
                    let whole = if left { d_weight.as_mut() } else { gradients.get_mut(slot) };
                    let target = whole.rows_range(weight);
                    let d_rows = Operand::Plain(d_rows.columns_range(columns.clone()));
                    gemm(compute, target, Accum::Add, d_rows, Operand::Transposed(source));
                };
                match &phase.target {
                    Target::Hidden => add(0..d_h.rows(), d_h),
                    Target::Tape(map) => {
                        for map in map {
                            add(map.weight.clone(), gates.rows_range(map.tape.clone()));
                        }
                    }
                }
            }
        }
        let omega = penalty.map_or(0.0, |weight| {
            let omega = self.gradient_penalty(pass, h, weight, previous);
            let whole = match masks {
                Some(_) => d_weight.as_mut(),
                None => gradients.get_mut(slots.weight_hh),
            };
            let (d_rows, u) = (Operand::Plain(gates), Operand::Transposed(previous.as_ref()));
            gemm(compute, whole, Accum::Add, d_rows, u);
            omega
        });
        if let Some(masks) = masks {
            masks.apply(d_weight.as_mut());
            gradients.get_mut(slots.weight_hh).add(d_weight.as_ref());
        }
        if let Some(slot) = slots.weight_norm {
            for NormSum { weight, tape, with } in &self.plan.norm_sums {
                let d_rows = gates.rows_range(tape.clone());
                let sums = &mut gradients.slice_mut(slot)[weight.clone()];
                match with {
                    None => add_row_sums(compute, d_rows, sums),
                    Some(with) => {
                        add_row_products(compute, d_rows, gates.rows_range(with.clone()), sums);
                    }
                }
            }
        }
        let Some(slot) = slots.weight_peephole else { return omega };
        for peephole in &self.plan.peepholes {
            let d_rows = gates.rows_range(peephole.tape.clone());
            let sums = &mut gradients.slice_mut(slot)[peephole.weight.clone()];
            let c = self.c.as_ref();
            let pieces = match peephole.at {
                PeepholeAt::Next if pass.zoneout.is_some() => whole(self.candidate.as_ref()),
                PeepholeAt::Next => whole(c),
                PeepholeAt::Previous => {
                    previous_pieces(pass, &initial.c, &self.afresh.c, c, previous)
                }
            };
            for (columns, c) in pieces {
                add_row_products(compute, d_rows.columns_range(columns), c, sums);
            }
        }
        omega
    }

    /// Adds the gradient of `weight_ih` from the vectors that the layer read.
    pub(crate) fn input_gradients(
        &self,
        compute: &Compute,
        slots: &CellSlots,
        x: Columns<'_, T>,
        gradients: &mut Parameters<T>,
    ) {
        for map in &self.plan.input_map {
            gemm(
                compute,
                gradients.get_mut(slots.weight_ih).rows_range(map.weight.clone()),
                Accum::Add,
                Operand::Plain(self.gates.as_ref().rows_range(map.tape.clone())),
                Operand::Transposed(x),
            );
        }
    }

    /// Adds each column's gradient to its token's column of `d_table`, in the order of columns.
    pub(crate) fn table_gradients(
        &self,
        compute: &Compute,
        tokens: &[u32],
        d_table: ColumnsMut<'_, T>,
    ) {
        let d_rows = self.gates.as_ref().rows_range(self.packed.input_rows());
        let (vocabulary, level) = (d_table.columns(), compute.level());
        // Each thread owns a range of tokens and looks at every column.
        compute.split((d_table, 0..vocabulary), 1, &|(d_table, own)| {
            level.run(Scatter { d_table, own, tokens, d_rows });
        });
    }
}

/// Takes step `t` of some sequences, whose input products are in `gates`; writes h, c and the
/// candidates for c. `rows` of the layer's h belong to this direction.
pub(crate) fn take_step<T: Real, C: Cell>(
    pass: Pass<'_, T, C>,
    (packed, afresh): (&PackedCell<T>, &LayerState<T>),
    rows: Range<usize>,
    t: usize,
    mut gates: ColumnsMut<'_, T>,
    (h, c, candidate): (&mut PanelsMut<'_, T>, &mut PanelsMut<'_, T>, &mut PanelsMut<'_, T>),
) {
    let Pass { compute, cell, lengths, initial, direction, zoneout } = pass;
    let first = h.sequences().start;
    let places = first..first + gates.columns();
    direction.for_segments(lengths, t, places, |places, before| {
        let own = places.start - first..places.end - first;
        let tape = gates.reborrow().columns_range(own.clone());
        let candidate = candidate.panel(t).columns_range(own.clone());
        let sequences = &lengths.order()[places.clone()];
        let step = |previous, mut h: ColumnsMut<'_, T>, mut c: ColumnsMut<'_, T>| {
            packed.forward(compute, cell, tape, previous, h.reborrow(), c.reborrow());
            if let Some(zoneout) = zoneout {
                zoneout.forward(t, sequences, previous, (h, c), candidate);
            }
        };
        if let Before::Panel(panel) = before {
            let (h_previous, h) = h.two_panels(panel, t);
            let (c_previous, c) = c.two_panels(panel, t);
            let h_previous = h_previous.rows_range(rows.clone());
            let previous = StateRef {
                h: h_previous.as_ref().columns_range(own.clone()),
                c: c_previous.as_ref().columns_range(own.clone()),
            };
            let h = h.rows_range(rows.clone()).columns_range(own.clone());
            step(previous, h, c.columns_range(own));
        } else {
            let given = if before == Before::Initial { initial } else { afresh };
            let h = h.panel(t).rows_range(rows.clone()).columns_range(own.clone());
            let c = c.panel(t).columns_range(own);
            step(state_at(given, places), h, c);
        }
    });
}

/// Some columns of a block, and the block that belongs to them.
type Piece<'a, T> = (Range<usize>, Columns<'a, T>);

/// All columns in one piece.
fn whole<T: Real>(block: Columns<'_, T>) -> [Piece<'_, T>; 2] {
    let columns = block.columns();
    [(0..columns, block), (columns..columns, block.columns_range(0..0))]
}

/// What each column began from, h or c, in pieces of neighbouring columns. Where all panels are
/// equally wide and nothing begins in the middle that is the initial state and `after` itself, the
/// states after each step, and nothing is copied.
fn previous_pieces<'a, T: Real, C>(
    pass: Pass<'_, T, C>,
    initial: &'a Matrix<T>,
    afresh: &Matrix<T>,
    after: Columns<'a, T>,
    gathered: &'a mut Matrix<T>,
) -> [Piece<'a, T>; 2] {
    let Pass { lengths, direction, .. } = pass;
    let (columns, batch) = (lengths.columns(), lengths.batch());
    if lengths.is_regular() && !lengths.has_resets() {
        let (begin, rest, source) = match direction {
            Direction::Forward => (0..batch, batch..columns, 0..columns - batch),
            Direction::Reverse => (columns - batch..columns, 0..columns - batch, batch..columns),
        };
        return [(begin, initial.as_ref()), (rest, after.columns_range(source))];
    }
    gathered.resize(after.rows(), columns);
    let (mut target, offsets) = (gathered.as_mut(), lengths.offsets());
    for t in 0..lengths.steps() {
        direction.for_segments(lengths, t, 0..lengths.width(t), |places, before| {
            for place in places {
                let source = match before {
                    Before::Panel(panel) => after.column(offsets[panel] + place),
                    Before::Initial => initial.as_ref().column(place),
                    Before::Afresh => afresh.as_ref().column(place),
                };
                target.column(offsets[t] + place).copy_from_slice(source);
            }
        });
    }
    whole(gathered.as_ref())
}

/// h and c of some sequences of a state in sorted order.
fn state_at<T: Real>(state: &LayerState<T>, places: Range<usize>) -> StateRef<'_, T> {
    StateRef {
        h: state.h.as_ref().columns_range(places.clone()),
        c: state.c.as_ref().columns_range(places),
    }
}

/// `d_table[:, token_j] += d_rows[:, j]` for the tokens in `own`, whose first is column 0.
struct Scatter<'a, T> {
    d_table: ColumnsMut<'a, T>,
    own: Range<usize>,
    tokens: &'a [u32],
    d_rows: Columns<'a, T>,
}

impl<T: Real> Vectorized for Scatter<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        for (j, &token) in self.tokens.iter().enumerate() {
            if self.own.contains(&(token as usize)) {
                let sums = self.d_table.column(token as usize - self.own.start);
                for (sum, &term) in sums.iter_mut().zip(self.d_rows.column(j)) {
                    *sum += term;
                }
            }
        }
    }
}
