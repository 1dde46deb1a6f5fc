//! Panels: all steps of a batch of sequences in one buffer, and its division among threads.
//!
//! Panel `t` holds the sequences that are still running at step `t`, one column each. Sequences
//! are sorted by length, longest first, so these are always the first `b_t` of the batch, and the
//! columns of sequences `a..b` are a contiguous piece of every panel. Nothing in a time loop sums
//! over the batch, so each thread takes such a range of sequences through all steps.

use std::marker::PhantomData;
use std::ops::Range;

use crate::{Columns, ColumnsMut, Matrix, Real};

/// All panels of a batch, or of a range of its sequences, read-only.
#[derive(Clone, Copy)]
pub struct Panels<'a, T> {
    data: Columns<'a, T>,
    offsets: &'a [usize],
}

/// All panels of a batch, or of a range of its sequences, writable.
///
/// Ranges of sequences that do not overlap can be written at the same time; see
/// [`split`](PanelsMut::split).
pub struct PanelsMut<'a, T> {
    /// The first number of the whole buffer, of which this value owns only its sequences' columns.
    /// The buffer is a [`Matrix`]'s: exactly `rows * columns` numbers, and no multiple of `rows` up
    /// to that overflows.
    data: *mut T,
    rows: usize,
    /// `offsets[t]..offsets[t + 1]` are the columns of panel `t`, of all sequences.
    offsets: &'a [usize],
    sequences: Range<usize>,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: a `PanelsMut` is a set of exclusive borrows of columns (of those of its sequences),
// exactly like a `Vec<&mut [T]>`, which may go to another thread when `T` may.
unsafe impl<T: Send> Send for PanelsMut<'_, T> {}

#[cold]
#[track_caller]
fn bad_panels(columns: usize, offsets: &[usize]) -> ! {
    panic!("panels with offsets {offsets:?} do not describe a buffer of {columns} columns");
}

fn describes(offsets: &[usize], columns: usize) -> bool {
    offsets.first() == Some(&0)
        && offsets.last() == Some(&columns)
        && offsets.windows(2).all(|pair| pair[0] <= pair[1])
        && offsets.windows(3).all(|three| three[2] - three[1] <= three[1] - three[0])
}

/// The columns of `sequences` in panel `t`.
#[inline]
fn columns_of(offsets: &[usize], t: usize, sequences: &Range<usize>) -> Range<usize> {
    let width = offsets[t + 1] - offsets[t];
    let start = sequences.start.min(width);
    let end = sequences.end.min(width);
    offsets[t] + start..offsets[t] + end
}

impl<'a, T: Real> Panels<'a, T> {
    /// Panels over `data`: panel `t` is columns `offsets[t]..offsets[t + 1]`.
    ///
    /// # Panics
    /// If `offsets` does not start at 0, end at the number of columns and describe panels that
    /// never widen.
    #[track_caller]
    pub fn new(data: Columns<'a, T>, offsets: &'a [usize]) -> Self {
        if !describes(offsets, data.columns()) {
            bad_panels(data.columns(), offsets);
        }
        Panels { data, offsets }
    }

    /// How many steps.
    pub fn steps(&self) -> usize {
        self.offsets.len() - 1
    }
    /// Numbers in a column.
    pub fn rows(&self) -> usize {
        self.data.rows()
    }
    /// All columns of all panels.
    pub fn all(&self) -> Columns<'a, T> {
        self.data
    }
    /// The columns of `sequences` in panel `t`; those that have ended are left out.
    #[inline]
    pub fn panel(&self, t: usize, sequences: Range<usize>) -> Columns<'a, T> {
        self.data.columns_range(columns_of(self.offsets, t, &sequences))
    }
}

impl<'a, T: Real> PanelsMut<'a, T> {
    /// Panels over a whole matrix: panel `t` is columns `offsets[t]..offsets[t + 1]`.
    ///
    /// # Panics
    /// If `offsets` does not start at 0, end at the number of columns and describe panels that
    /// never widen.
    #[track_caller]
    pub fn new(matrix: &'a mut Matrix<T>, offsets: &'a [usize]) -> Self {
        if !describes(offsets, matrix.columns()) {
            bad_panels(matrix.columns(), offsets);
        }
        let rows = matrix.rows();
        let sequences = 0..offsets.get(1).copied().unwrap_or(0);
        let data = matrix.as_mut_slice().as_mut_ptr();
        PanelsMut { data, rows, offsets, sequences, borrow: PhantomData }
    }

    /// How many steps.
    pub fn steps(&self) -> usize {
        self.offsets.len() - 1
    }
    /// Numbers in a column.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// The sequences whose columns this value owns.
    pub fn sequences(&self) -> Range<usize> {
        self.sequences.clone()
    }

    /// How many columns, over all panels, its first `count` sequences have.
    pub(crate) fn columns_before(&self, count: usize) -> usize {
        let first = self.sequences.start..self.sequences.start + count;
        (0..self.steps()).map(|t| columns_of(self.offsets, t, &first).len()).sum()
    }

    /// The columns of its sequences in panel `t`; those that have ended are left out.
    #[inline]
    pub fn panel(&mut self, t: usize) -> ColumnsMut<'_, T> {
        let columns = columns_of(self.offsets, t, &self.sequences);
        // SAFETY: see `block`; the exclusive borrow of `self` lasts as long as the result.
        unsafe { self.block(columns) }
    }

    /// The columns of its sequences in panel `t`, read-only.
    #[inline]
    pub fn panel_ref(&self, t: usize) -> Columns<'_, T> {
        let columns = columns_of(self.offsets, t, &self.sequences);
        let count = columns.len();
        // SAFETY: the columns are inside the buffer (checked in `new`; the field `data` says why no
        // product with `rows` overflows) and belong to this value; the shared borrow of `self` keeps `panel` from handing them out for writing meanwhile.
        let data = unsafe {
            std::slice::from_raw_parts(self.data.add(columns.start * self.rows), count * self.rows)
        };
        Columns::new(data, self.rows, count)
    }

    /// Two different panels at once: `t` and `other`.
    ///
    /// # Panics
    /// If they are the same.
    #[inline]
    #[track_caller]
    pub fn two_panels(&mut self, t: usize, other: usize) -> (ColumnsMut<'_, T>, ColumnsMut<'_, T>) {
        assert!(t != other, "panel {t} cannot be borrowed twice");
        let first = columns_of(self.offsets, t, &self.sequences);
        let second = columns_of(self.offsets, other, &self.sequences);
        // SAFETY: see `block`; different panels are disjoint because the offsets never decrease,
        // and the exclusive borrow of `self` lasts as long as both results.
        unsafe { (self.block(first), self.block(second)) }
    }

    /// # Safety
    /// `columns` must lie in one panel and in this value's sequences, and the caller must hold an
    /// exclusive borrow of this value for `'b` and hand out no overlapping block meanwhile. The
    /// memory is then inside the buffer (`new` checked that the offsets end at its last column,
    /// and the field `data` says why no product with `rows` overflows) and nobody else's: other values made by `split` own other sequences, whose columns in any
    /// panel are others.
    #[inline]
    unsafe fn block<'b>(&self, columns: Range<usize>) -> ColumnsMut<'b, T> {
        let count = columns.len();
        // SAFETY: by the contract above.
        let data = unsafe {
            std::slice::from_raw_parts_mut(
                self.data.add(columns.start * self.rows),
                count * self.rows,
            )
        };
        ColumnsMut::new(data, self.rows, count)
    }

    /// The sequences before `at` (counted from this value's first), and the rest.
    ///
    /// # Panics
    /// If there are fewer than `at` sequences.
    #[track_caller]
    pub fn split(self, at: usize) -> (Self, Self) {
        assert!(
            at <= self.sequences.len(),
            "{} sequences cannot be split after {at}",
            self.sequences.len()
        );
        let middle = self.sequences.start + at;
        let (left, right) = (self.sequences.start..middle, middle..self.sequences.end);
        let part = |sequences| PanelsMut {
            data: self.data,
            rows: self.rows,
            offsets: self.offsets,
            sequences,
            borrow: PhantomData,
        };
        (part(left), part(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_panels_write_every_column_once() {
        // Three sequences of lengths 3, 2, 1: panels of 3, 2 and 1 columns.
        let offsets = [0, 3, 5, 6];
        let mut matrix = Matrix::<f32>::zeros(2, 6);
        let (mut left, mut right) = PanelsMut::new(&mut matrix, &offsets).split(1);
        for (part, value) in [(&mut left, 1.0), (&mut right, 2.0)] {
            for t in 0..part.steps() {
                for j in 0..part.panel(t).columns() {
                    part.panel(t).column(j).iter_mut().for_each(|x| *x += value);
                }
            }
        }
        let first_row: Vec<f32> = (0..6).map(|j| matrix.as_ref().column(j)[0]).collect();
        assert_eq!(first_row, [1.0, 2.0, 2.0, 1.0, 2.0, 1.0]);
    }

    #[test]
    fn widening_panels_are_refused() {
        let data = Matrix::<f32>::zeros(1, 3);
        let result = std::panic::catch_unwind(|| {
            Panels::new(data.as_ref(), &[0, 1, 3]);
        });
        assert!(result.is_err());
    }
}
