//! One layer through time: the only loops over steps, forward and, underneath, backward.
//!
//! ```text
//! forward, read downwards                     | backward, read upwards
//! one product         -> gates (input rows)   | d_gates -> d_weight_ih, d_weight_hh, d_bias, d_x
//! for t in 0..T                               | for t in (0..T).rev()
//!   gates[t] += weight_hh h[t-1]              |   d_h[t-1] += weight_hh^T d_gates[t]
//!   pointwise (adds the bias)                 |   pointwise_backward: gates become d_gates
//! ```

use std::ops::Range;

use recurrent_cells::{
    Backward, Cell, CellSlots, PackedCell, Parameters, RecurrentWeight, StateRef, gather,
};
use recurrent_kernels::norm::add_row_sums;
use recurrent_kernels::{
    Accum, Columns, ColumnsMut, Compute, Matrix, Operand, Panels, PanelsMut, Real, Vectorized, gemm,
};

use crate::tape::LayerTape;
use crate::{LayerState, Lengths, Observation, Probe};

/// Fewer sequences than this are not worth a thread of their own.
const LEAST_SEQUENCES: usize = 4;

/// What the first layer reads, one column for each column of the batch.
#[derive(Clone, Copy)]
pub enum Input<'a, T> {
    /// The vectors themselves: `input_size` x N.
    Columns(Columns<'a, T>),
    /// Tokens whose products with `weight_ih` are already in a table, one column a token.
    Table {
        /// `weight_ih` rows x vocabulary.
        table: Columns<'a, T>,
        /// N tokens.
        tokens: &'a [u32],
    },
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
    },
}

/// Fills the gates' input rows in `columns` with the input's products.
pub(crate) fn input_product<T: Real>(
    packed: &PackedCell<T>,
    compute: &Compute,
    gates: ColumnsMut<'_, T>,
    input: Input<'_, T>,
) {
    match input {
        Input::Columns(x) => packed.input_product(compute, gates, x),
        Input::Table { table, tokens } => {
            let gates = gates.rows_range(packed.input_rows());
            compute.split((gates, 0..tokens.len()), 64, &|(gates, columns): (_, Range<usize>)| {
                gather(table, &tokens[columns], gates);
            });
        }
    }
}

impl<T: Real> LayerTape<T> {
    /// Packs the weights for a pass.
    pub(crate) fn pack(
        &mut self,
        compute: &Compute,
        cell: &impl Cell,
        slots: &CellSlots,
        parameters: &Parameters<T>,
        with_input: bool,
    ) {
        self.packed.pack(compute.level(), cell, slots, parameters);
        if with_input {
            self.packed.pack_input(compute.level(), cell, slots, parameters);
        }
    }

    /// Takes the steps in `steps`; their input products are in place.
    pub(crate) fn forward(
        &mut self,
        compute: &Compute,
        cell: &impl Cell,
        lengths: &Lengths,
        initial: &LayerState<T>,
        steps: Range<usize>,
    ) {
        let offsets = lengths.offsets();
        let (packed, level) = (&self.packed, compute.level());
        let panels = (
            PanelsMut::new(&mut self.gates, offsets),
            PanelsMut::new(&mut self.h, offsets),
            PanelsMut::new(&mut self.c, offsets),
        );
        compute.split(panels, LEAST_SEQUENCES, &|(mut gates, mut h, mut c)| {
            let first = gates.sequences().start;
            for t in steps.clone() {
                let tape = gates.panel(t);
                let width = tape.columns();
                if t == 0 {
                    let own = first..first + width;
                    let previous = StateRef {
                        h: initial.h.as_ref().columns_range(own.clone()),
                        c: initial.c.as_ref().columns_range(own),
                    };
                    packed.forward(level, cell, tape, previous, h.panel(t), c.panel(t));
                } else {
                    let (h_previous, h) = h.two_panels(t - 1, t);
                    let (c_previous, c) = c.two_panels(t - 1, t);
                    let previous = StateRef {
                        h: h_previous.as_ref().columns_range(0..width),
                        c: c_previous.as_ref().columns_range(0..width),
                    };
                    packed.forward(level, cell, tape, previous, h, c);
                }
            }
        });
    }

    /// Undoes the steps in `steps`, last first. `d_h` holds what comes from above.
    pub(crate) fn backward(
        &mut self,
        compute: &Compute,
        cell: &impl Cell,
        lengths: &Lengths,
        initial: &LayerState<T>,
        steps: Range<usize>,
        (layer, probe): (usize, &impl Probe<T>),
    ) {
        let offsets = lengths.offsets();
        let (packed, level) = (&self.packed_backward, compute.level());
        let h = Panels::new(self.h.as_ref(), offsets);
        let c = Panels::new(self.c.as_ref(), offsets);
        let parts = (
            PanelsMut::new(&mut self.gates, offsets),
            PanelsMut::new(&mut self.d_h, offsets),
            self.d_c.as_mut(),
            self.d_h_0.as_mut(),
        );
        compute.split(parts, LEAST_SEQUENCES, &|(mut gates, mut d_h, mut d_c, mut d_h_0)| {
            let sequences = gates.sequences();
            for t in steps.clone().rev() {
                let tape = gates.panel(t);
                let width = tape.columns();
                let own = sequences.start..sequences.start + width;
                let next = StateRef { h: h.panel(t, own.clone()), c: c.panel(t, own.clone()) };
                let (previous, d_h, d_h_previous) = if t == 0 {
                    let previous = StateRef {
                        h: initial.h.as_ref().columns_range(own.clone()),
                        c: initial.c.as_ref().columns_range(own.clone()),
                    };
                    (previous, d_h.panel(t), d_h_0.reborrow().columns_range(0..width))
                } else {
                    let previous =
                        StateRef { h: h.panel(t - 1, own.clone()), c: c.panel(t - 1, own.clone()) };
                    let (d_h_previous, d_h) = d_h.two_panels(t - 1, t);
                    (previous, d_h, d_h_previous.columns_range(0..width))
                };
                let d_c = d_c.reborrow().columns_range(0..width);
                probe.observe(Observation {
                    layer,
                    t,
                    sequences: own,
                    tape: tape.as_ref(),
                    c: next.c,
                    d_h: d_h.as_ref(),
                    d_c: d_c.as_ref(),
                });
                let d_h = d_h.as_ref();
                let step = Backward { tape, previous, next, d_h, d_c, d_h_previous };
                packed.backward(level, cell, step);
            }
        });
    }

    /// Adds the gradients of `weight_hh` and of both biases, from the gates' gradients of all
    /// steps: one product each.
    pub(crate) fn recurrent_gradients(
        &self,
        compute: &Compute,
        cell: &impl Cell,
        slots: &CellSlots,
        lengths: &Lengths,
        initial: &LayerState<T>,
        (previous, d_bias): (&mut Matrix<T>, &mut Vec<T>),
        gradients: &mut Parameters<T>,
    ) {
        d_bias.clear();
        d_bias.resize(self.gates.rows(), T::ZERO);
        add_row_sums(compute, self.gates.as_ref(), d_bias);
        slots.merge_bias_backward(cell, d_bias, gradients);

        let pieces = self.previous_pieces(lengths, initial, previous);
        for phase in &self.plan.phases {
            let slot = match phase.weight {
                RecurrentWeight::Hidden => slots.weight_hh,
            };
            for map in &phase.map {
                for (columns, previous) in &pieces {
                    if columns.is_empty() {
                        continue;
                    }
                    let d_rows = self.gates.as_ref().columns_range(columns.clone());
                    gemm(
                        compute,
                        gradients.get_mut(slot).rows_range(map.weight.clone()),
                        Accum::Add,
                        Operand::Plain(d_rows.rows_range(map.tape.clone())),
                        Operand::Transposed(*previous),
                    );
                }
            }
        }
    }

    /// The previous h of every column, in pieces of neighbouring columns. Where all panels are
    /// equally wide that is h_0 and h itself, and nothing is copied.
    fn previous_pieces<'a>(
        &'a self,
        lengths: &Lengths,
        initial: &'a LayerState<T>,
        gathered: &'a mut Matrix<T>,
    ) -> [(Range<usize>, Columns<'a, T>); 2] {
        let (columns, batch) = (lengths.columns(), lengths.batch());
        if lengths.is_regular() {
            let before_last = self.h.as_ref().columns_range(0..columns - batch);
            return [(0..batch, initial.h.as_ref()), (batch..columns, before_last)];
        }
        gathered.resize(self.h.rows(), columns);
        let (mut target, h) = (gathered.as_mut(), self.h.as_ref());
        for t in 0..lengths.steps() {
            for place in 0..lengths.width(t) {
                let previous = match t {
                    0 => initial.h.as_ref().column(place),
                    _ => h.column(lengths.offsets()[t - 1] + place),
                };
                target.column(lengths.offsets()[t] + place).copy_from_slice(previous);
            }
        }
        [(0..columns, gathered.as_ref()), (columns..columns, h.columns_range(0..0))]
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
