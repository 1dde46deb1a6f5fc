//! A layer through time in inference, which forgets gates as soon as their step is taken.
//!
//! Backward needs the gates of all steps; without it nobody looks at them again. So there is room
//! for those of a few steps alone: each thread makes the input's products of so many, takes the
//! steps, and writes the next products over them. They are in a near cache when they are read, which
//! those of a whole batch would have left, and threads that have sequences of their own wait for one
//! another once, at the end.

use std::ops::Range;

use recurrent_cells::{Cell, PackedCell};
use recurrent_kernels::{ColumnsMut, Compute, Matrix, PanelsMut, Real, SplitColumns};

use crate::layer::{Input, LEAST_SEQUENCES, Pass, input_product, take_step};
use crate::tape::DirectionTape;
use crate::{Direction, Lengths};

/// Columns whose input products one thread makes together, right before their steps: so many that
/// the weights are worth reading once more, so few that the products are still in a near cache when
/// the steps read them.
pub(crate) const NEAR_COLUMNS: usize = 128;

/// Columns of one step that are worth a product of their own; fewer are gathered first.
const LEAST_APART: usize = 16;

/// Room for a few steps of some sequences: a column for each sequence, and of `spare` columns what
/// is its share by length. Threads have equal shares of the work, so of these, too.
struct Room<'a, T> {
    own: Own<'a>,
    gates: ColumnsMut<'a, T>,
    /// For the columns of the input, which several threads gather from all over the batch; else
    /// without rows.
    x: ColumnsMut<'a, T>,
    spare: usize,
}

impl<T: Real> SplitColumns for Room<'_, T> {
    fn width(&self) -> usize {
        self.own.sequences.len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let Room { own: Own { lengths, sequences }, gates, x, spare } = self;
        let middle = sequences.start + at;
        let share = |end: usize| {
            let before = Own { lengths, sequences: 0..end };
            end + spare * before.columns_of(&(0..lengths.steps())).len() / lengths.columns()
        };
        let columns = share(middle) - share(sequences.start);
        let (gates, other_gates) = gates.split_at_column(columns);
        let (x, other_x) = x.split_at_column(columns);
        let (first, rest) = (sequences.start..middle, middle..sequences.end);
        let part = |sequences, gates, x| Room { own: Own { lengths, sequences }, gates, x, spare };
        (part(first, gates, x), part(rest, other_gates, other_x))
    }
}

impl<T: Real> DirectionTape<T> {
    /// Takes all steps of a batch; `input` is this layer's. The rows `rows` of its `h` belong to this
    /// direction, the cell of this index.
    pub(crate) fn forward_near<C: Cell>(
        &mut self,
        pass: Pass<'_, T, C>,
        input: Input<'_, T>,
        index: usize,
        h: &mut Matrix<T>,
        rows: Range<usize>,
    ) {
        let Pass { compute, lengths, direction, .. } = pass;
        let (batch, offsets) = (lengths.batch(), lengths.offsets());
        let parts = compute.threads().min(batch / LEAST_SEQUENCES).max(1);
        // Threads without sequences of their own share the products of others. A batch that is not
        // larger gets no more, so that none of them needs new memory.
        let spare = compute.threads() * NEAR_COLUMNS;
        let (columns, together) = (batch + spare, spare / parts);
        self.gates.resize(self.plan.shape.tape_rows, columns);
        let x_rows = match input {
            Input::Columns(x) if parts > 1 => x.rows(),
            _ => 0,
        };
        self.near_x.resize(x_rows, columns);
        let (packed, afresh) = (&self.packed, &self.afresh);
        let own = Own { lengths, sequences: 0..batch };
        let room = Room { own, gates: self.gates.as_mut(), x: self.near_x.as_mut(), spare };
        let panels = (
            PanelsMut::new(h, offsets),
            room,
            PanelsMut::new(&mut self.c, offsets),
            PanelsMut::new(&mut self.candidate, offsets),
        );
        compute.split(panels, LEAST_SEQUENCES, &|(mut h, mut room, mut c, mut candidate)| {
            let own = Own { lengths, sequences: h.sequences() };
            let most = room.gates.columns().min(together.max(own.sequences.len()));
            let mut left = 0..lengths.steps();
            while !left.is_empty() {
                let group = own.next_group(direction, &mut left, most);
                if own.sequences == (0..batch) {
                    let gates = room.gates.reborrow().columns_range(own.columns_of(&group));
                    let given = input.columns_range(offsets[group.start]..offsets[group.end]);
                    input_product(packed, compute, gates, given, index);
                } else {
                    room.products_apart(packed, compute, &group, input, index);
                }
                direction.for_steps(group.clone(), |t| {
                    let gates = room.gates.reborrow().columns_range(own.columns_at(&group, t));
                    let made = (&mut h, &mut c, &mut candidate);
                    take_step(pass, (packed, afresh), rows.clone(), t, gates, made);
                });
            }
        });
    }
}

impl<T: Real> Room<'_, T> {
    /// [`input_product`] of columns that lie apart: those of its sequences at the steps of a group.
    fn products_apart(
        &mut self,
        packed: &PackedCell<T>,
        compute: &Compute,
        group: &Range<usize>,
        input: Input<'_, T>,
        index: usize,
    ) {
        let own = &self.own;
        // Later steps have fewer columns.
        let gathers = own.places(group.end - 1).len() < LEAST_APART;
        for t in group.clone() {
            let (target, places) = (own.columns_at(group, t), own.places(t));
            let first = own.lengths.offsets()[t];
            match input.columns_range(first + places.start..first + places.end) {
                Input::Columns(x) if gathers => {
                    self.x.reborrow().columns_range(target).copy_from(x);
                }
                given => {
                    let gates = self.gates.reborrow().columns_range(target);
                    input_product(packed, compute, gates, given, index);
                }
            }
        }
        if let (Input::Columns(_), true) = (input, gathers) {
            let all = own.columns_of(group);
            let gates = self.gates.reborrow().columns_range(all.clone());
            let x = Input::Columns(self.x.as_ref().columns_range(all));
            input_product(packed, compute, gates, x, index);
        }
    }
}

/// Some sequences of a batch, in sorted order, and their columns at a few steps, one step after the
/// other.
struct Own<'a> {
    lengths: &'a Lengths,
    sequences: Range<usize>,
}

impl Own<'_> {
    /// Those that reach step `t`.
    fn places(&self, t: usize) -> Range<usize> {
        let width = self.lengths.width(t);
        self.sequences.start.min(width)..self.sequences.end.min(width)
    }

    /// Takes as many steps out of `left` as have at most so many columns together, from where
    /// `direction` goes on: at least one, for no step has more columns than there are sequences.
    fn next_group(
        &self,
        direction: Direction,
        left: &mut Range<usize>,
        most: usize,
    ) -> Range<usize> {
        let mut columns = 0;
        let fits = |t: &usize| {
            columns += self.places(*t).len();
            columns <= most
        };
        match direction {
            Direction::Forward => {
                let end = left.start + left.clone().take_while(fits).count();
                std::mem::replace(&mut left.start, end)..end
            }
            Direction::Reverse => {
                let start = left.end - left.clone().rev().take_while(fits).count();
                start..std::mem::replace(&mut left.end, start)
            }
        }
    }

    /// Where the columns of a group's steps are.
    fn columns_of(&self, group: &Range<usize>) -> Range<usize> {
        0..group.clone().map(|t| self.places(t).len()).sum()
    }

    /// Where those of its step `t` are.
    fn columns_at(&self, group: &Range<usize>, t: usize) -> Range<usize> {
        let before = self.columns_of(&(group.start..t)).end;
        before..before + self.places(t).len()
    }
}
