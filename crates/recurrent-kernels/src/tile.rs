//! A rectangle of an output block, which one thread writes.

use std::marker::PhantomData;

use faer::MatMut;

use crate::{ColumnsMut, Real};

/// Rows and columns of a block, to be cut in both directions and written on different threads.
///
/// It exclusively owns its `columns` columns of `rows` numbers, `stride` apart from `pointer` on,
/// for `'a`; never the gaps, which belong to other tiles. `(columns - 1) * stride + rows` does not
/// overflow where there are rows and columns: a tile is cut from a [`ColumnsMut`], which checked it.
pub(crate) struct Tile<'a, T> {
    pointer: *mut T,
    rows: usize,
    columns: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Tile` is a set of exclusive borrows of numbers, like a `Vec<&mut [T]>`, which may go
// to another thread, because `T` is f32 or f64.
unsafe impl<T: Real> Send for Tile<'_, T> {}

impl<'a, T: Real> From<ColumnsMut<'a, T>> for Tile<'a, T> {
    fn from(block: ColumnsMut<'a, T>) -> Self {
        let (rows, columns, stride) = (block.rows(), block.columns(), block.stride());
        let pointer = block.into_slice().as_mut_ptr();
        Tile { pointer, rows, columns, stride, borrow: PhantomData }
    }
}

impl<'a, T: Real> Tile<'a, T> {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first number, if there is one.
    pub(crate) fn pointer(&self) -> *mut T {
        self.pointer
    }

    /// The same tile for a shorter while.
    pub(crate) fn reborrow(&mut self) -> Tile<'_, T> {
        Tile { ..*self }
    }

    /// The rows above `at`, and the rest.
    pub(crate) fn split_at_row(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows);
        // The two tiles share columns but no row, so they own different numbers. Wrapping, because
        // nothing need be at the place of a tile without rows.
        let pointer = self.pointer.wrapping_add(at);
        (Tile { rows: at, ..self }, Tile { pointer, rows: self.rows - at, ..self })
    }

    /// The columns before `at`, and the rest.
    pub(crate) fn split_at_column(self, at: usize) -> (Self, Self) {
        assert!(at <= self.columns);
        // The two tiles share no column, so they own different numbers. Wrapping, because nothing
        // need be at the place of a tile without columns or rows, and its stride may be any.
        let pointer = self.pointer.wrapping_add(at.wrapping_mul(self.stride));
        (Tile { columns: at, ..self }, Tile { pointer, columns: self.columns - at, ..self })
    }

    pub(crate) fn into_faer(self) -> MatMut<'a, T> {
        // SAFETY: the tile owns these numbers, and only these, exclusively for `'a`, and is
        // consumed. No two of them are the same, because `stride >= rows` and no place overflows.
        unsafe {
            MatMut::from_raw_parts_mut(
                self.pointer,
                self.rows,
                self.columns,
                1,
                self.stride as isize,
            )
        }
    }
}
