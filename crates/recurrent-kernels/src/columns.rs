//! Blocks of columns: the views that every kernel takes, and the matrix that owns them.
//!
//! A block has `rows` numbers in each of `columns` columns; column `j` starts at `j * stride` of
//! the slice. Rows of a block can be cut out as a narrower block with the same stride (a gate is
//! such a cut), columns as a shorter slice (a step is such a cut).
//!
//! Every value keeps this invariant, which the unsafe code of other modules rests on: if there are
//! rows and columns, `(columns - 1) * stride + rows` does not overflow and is at most the length
//! of the slice. A matrix holds exactly `rows * columns` numbers, and that does not overflow.

use std::ops::Range;

use crate::Real;

/// A read-only block of columns.
#[derive(Clone, Copy)]
pub struct Columns<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// A writable block of columns.
pub struct ColumnsMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// An owned column-major matrix without gaps: column `j` is `rows` numbers from `j * rows`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix<T> {
    data: Vec<T>,
    rows: usize,
    columns: usize,
}

/// The least slice length that holds such a block. None if no slice can: a shape that wraps round
/// must not pass for a small one.
fn extent(rows: usize, columns: usize, stride: usize) -> Option<usize> {
    if rows == 0 || columns == 0 {
        return Some(0);
    }
    (columns - 1).checked_mul(stride)?.checked_add(rows)
}

/// A slice of this length holds such a block.
fn holds(length: usize, rows: usize, columns: usize, stride: usize) -> bool {
    stride >= rows && extent(rows, columns, stride).is_some_and(|extent| extent <= length)
}

/// Where the columns in `range` of such a block begin and end in its slice of this length. Only
/// a block without rows can have columns that begin outside.
fn span(length: usize, rows: usize, stride: usize, range: &Range<usize>) -> (usize, usize) {
    let start = range.start.saturating_mul(stride).min(length);
    let extent = extent(rows, range.len(), stride).expect("a part of a block is no larger");
    (start, start + extent)
}

/// How many numbers a matrix has.
#[track_caller]
fn count(rows: usize, columns: usize) -> usize {
    rows.checked_mul(columns).unwrap_or_else(|| too_large(rows, columns))
}

#[cold]
#[track_caller]
fn too_large(rows: usize, columns: usize) -> ! {
    panic!("a matrix of {rows} rows x {columns} columns does not fit into the address space");
}

#[cold]
#[track_caller]
fn bad_block(length: usize, rows: usize, columns: usize, stride: usize) -> ! {
    panic!(
        "a slice of {length} numbers cannot hold {rows} rows x {columns} columns \
         with {stride} numbers from one column to the next"
    );
}

#[cold]
#[track_caller]
fn bad_range(what: &str, range: &Range<usize>, rows: usize, columns: usize) -> ! {
    panic!("{what} {range:?} lie outside a block of {rows} rows x {columns} columns");
}

impl<'a, T> Columns<'a, T> {
    /// A block without gaps over `data`.
    ///
    /// # Panics
    /// If `data` does not hold exactly `rows * columns` numbers.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        if rows.checked_mul(columns) != Some(data.len()) {
            bad_block(data.len(), rows, columns, rows);
        }
        Columns { data, rows, columns, stride: rows }
    }

    /// A block whose columns start `stride` numbers apart.
    ///
    /// # Panics
    /// If `stride < rows` or `data` is too short.
    #[track_caller]
    pub fn with_stride(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        if !holds(data.len(), rows, columns, stride) {
            bad_block(data.len(), rows, columns, stride);
        }
        Columns { data, rows, columns, stride }
    }

    /// Numbers in a column.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
    /// Numbers from the start of one column to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }
    /// The slice under the block, from its first number on; gaps included.
    pub fn as_slice(&self) -> &'a [T] {
        self.data
    }

    /// Column `j`.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    #[track_caller]
    pub fn column(&self, j: usize) -> &'a [T] {
        if j >= self.columns {
            bad_range("column", &(j..j + 1), self.rows, self.columns);
        }
        if self.rows == 0 {
            return &[];
        }
        &self.data[j * self.stride..j * self.stride + self.rows]
    }

    /// The rows in `range`, of every column.
    ///
    /// # Panics
    /// If `range` reaches outside.
    #[inline]
    #[track_caller]
    pub fn rows_range(&self, range: Range<usize>) -> Columns<'a, T> {
        if range.start > range.end || range.end > self.rows {
            bad_range("rows", &range, self.rows, self.columns);
        }
        let start = range.start.min(self.data.len());
        Columns {
            data: &self.data[start..],
            rows: range.len(),
            columns: self.columns,
            stride: self.stride,
        }
    }

    /// The columns in `range`.
    ///
    /// # Panics
    /// If `range` reaches outside.
    #[inline]
    #[track_caller]
    pub fn columns_range(&self, range: Range<usize>) -> Columns<'a, T> {
        if range.start > range.end || range.end > self.columns {
            bad_range("columns", &range, self.rows, self.columns);
        }
        let (start, end) = span(self.data.len(), self.rows, self.stride, &range);
        Columns {
            data: &self.data[start..end],
            rows: self.rows,
            columns: range.len(),
            stride: self.stride,
        }
    }
}

impl<'a, T> ColumnsMut<'a, T> {
    /// A block without gaps over `data`.
    ///
    /// # Panics
    /// If `data` does not hold exactly `rows * columns` numbers.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        if rows.checked_mul(columns) != Some(data.len()) {
            bad_block(data.len(), rows, columns, rows);
        }
        ColumnsMut { data, rows, columns, stride: rows }
    }

    /// A block whose columns start `stride` numbers apart.
    ///
    /// # Panics
    /// If `stride < rows` or `data` is too short.
    #[track_caller]
    pub fn with_stride(data: &'a mut [T], rows: usize, columns: usize, stride: usize) -> Self {
        if !holds(data.len(), rows, columns, stride) {
            bad_block(data.len(), rows, columns, stride);
        }
        ColumnsMut { data, rows, columns, stride }
    }

    /// Numbers in a column.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
    /// Numbers from the start of one column to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The same block, read-only.
    #[inline]
    pub fn as_ref(&self) -> Columns<'_, T> {
        Columns { data: self.data, rows: self.rows, columns: self.columns, stride: self.stride }
    }

    /// The same block for a shorter while.
    #[inline]
    pub fn reborrow(&mut self) -> ColumnsMut<'_, T> {
        ColumnsMut { data: self.data, rows: self.rows, columns: self.columns, stride: self.stride }
    }

    /// The slice under the block, from its first number on; gaps included.
    pub fn into_slice(self) -> &'a mut [T] {
        self.data
    }

    /// Column `j`.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    #[track_caller]
    pub fn column(&mut self, j: usize) -> &mut [T] {
        if j >= self.columns {
            bad_range("column", &(j..j + 1), self.rows, self.columns);
        }
        if self.rows == 0 {
            return &mut [];
        }
        &mut self.data[j * self.stride..j * self.stride + self.rows]
    }

    /// The rows in `range`, of every column.
    ///
    /// # Panics
    /// If `range` reaches outside.
    #[inline]
    #[track_caller]
    pub fn rows_range(self, range: Range<usize>) -> ColumnsMut<'a, T> {
        if range.start > range.end || range.end > self.rows {
            bad_range("rows", &range, self.rows, self.columns);
        }
        let start = range.start.min(self.data.len());
        ColumnsMut {
            data: &mut self.data[start..],
            rows: range.len(),
            columns: self.columns,
            stride: self.stride,
        }
    }

    /// The columns in `range`.
    ///
    /// # Panics
    /// If `range` reaches outside.
    #[inline]
    #[track_caller]
    pub fn columns_range(self, range: Range<usize>) -> ColumnsMut<'a, T> {
        if range.start > range.end || range.end > self.columns {
            bad_range("columns", &range, self.rows, self.columns);
        }
        let (start, end) = span(self.data.len(), self.rows, self.stride, &range);
        ColumnsMut {
            data: &mut self.data[start..end],
            rows: self.rows,
            columns: range.len(),
            stride: self.stride,
        }
    }

    /// The columns before `at`, and the rest.
    ///
    /// # Panics
    /// If there are fewer than `at` columns.
    #[track_caller]
    pub fn split_at_column(self, at: usize) -> (ColumnsMut<'a, T>, ColumnsMut<'a, T>) {
        if at > self.columns {
            bad_range("columns", &(0..at), self.rows, self.columns);
        }
        let (left, right) =
            self.data.split_at_mut(at.saturating_mul(self.stride).min(self.data.len()));
        (
            ColumnsMut { data: left, rows: self.rows, columns: at, stride: self.stride },
            ColumnsMut {
                data: right,
                rows: self.rows,
                columns: self.columns - at,
                stride: self.stride,
            },
        )
    }
}

impl<T: Real> ColumnsMut<'_, T> {
    /// Sets every number to `value`.
    pub fn fill(&mut self, value: T) {
        for j in 0..self.columns {
            self.column(j).fill(value);
        }
    }

    /// Copies a block of the same shape.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn copy_from(&mut self, source: Columns<'_, T>) {
        self.assert_shape(source, "copied");
        for j in 0..self.columns {
            self.column(j).copy_from_slice(source.column(j));
        }
    }

    /// Adds a block of the same shape, number by number.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn add(&mut self, source: Columns<'_, T>) {
        self.assert_shape(source, "added");
        for j in 0..self.columns {
            for (sum, &term) in self.column(j).iter_mut().zip(source.column(j)) {
                *sum += term;
            }
        }
    }

    #[track_caller]
    fn assert_shape(&self, source: Columns<'_, T>, verb: &str) {
        assert!(
            (self.rows, self.columns) == (source.rows, source.columns),
            "a block of {} x {} cannot be {verb} to one of {} x {}",
            source.rows,
            source.columns,
            self.rows,
            self.columns
        );
    }
}

impl<T: Real> Matrix<T> {
    /// A matrix of zeros.
    ///
    /// # Panics
    /// If `rows * columns` numbers do not fit into the address space.
    #[track_caller]
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Matrix { data: vec![T::ZERO; count(rows, columns)], rows, columns }
    }

    /// A matrix over `data`, column after column.
    ///
    /// # Panics
    /// If `data` does not hold exactly `rows * columns` numbers.
    #[track_caller]
    pub fn from_columns(data: Vec<T>, rows: usize, columns: usize) -> Self {
        if rows.checked_mul(columns) != Some(data.len()) {
            bad_block(data.len(), rows, columns, rows);
        }
        Matrix { data, rows, columns }
    }

    /// The matrix whose number in row `r` and column `j` is `f(r, j)`.
    ///
    /// # Panics
    /// If `rows * columns` numbers do not fit into the address space.
    #[track_caller]
    pub fn from_fn(rows: usize, columns: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(count(rows, columns));
        for j in 0..columns {
            data.extend((0..rows).map(|r| f(r, j)));
        }
        Matrix { data, rows, columns }
    }

    /// Gives the matrix another shape and leaves its contents unspecified; keeps the memory.
    ///
    /// # Panics
    /// If `rows * columns` numbers do not fit into the address space.
    #[track_caller]
    pub fn resize(&mut self, rows: usize, columns: usize) {
        self.data.resize(count(rows, columns), T::ZERO);
        self.rows = rows;
        self.columns = columns;
    }

    /// Gives the matrix another shape, all zero; keeps the memory.
    ///
    /// # Panics
    /// If `rows * columns` numbers do not fit into the address space.
    #[track_caller]
    pub fn reset(&mut self, rows: usize, columns: usize) {
        self.resize(rows, columns);
        self.data.fill(T::ZERO);
    }

    /// Numbers in a column.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
    /// All numbers, column after column.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }
    /// All numbers, column after column.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }
    /// The whole matrix as a block.
    pub fn as_ref(&self) -> Columns<'_, T> {
        Columns { data: &self.data, rows: self.rows, columns: self.columns, stride: self.rows }
    }
    /// The whole matrix as a writable block.
    pub fn as_mut(&mut self) -> ColumnsMut<'_, T> {
        ColumnsMut {
            data: &mut self.data,
            rows: self.rows,
            columns: self.columns,
            stride: self.rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the address space's bits: the square wraps round to 0.
    const HALF: usize = 1 << (usize::BITS / 2);

    #[test]
    #[should_panic(expected = "does not fit into the address space")]
    fn a_matrix_whose_size_wraps_is_refused() {
        Matrix::<f32>::zeros(HALF, HALF);
    }

    #[test]
    #[should_panic(expected = "does not fit into the address space")]
    fn a_matrix_made_of_too_many_numbers_is_refused() {
        Matrix::<f32>::from_fn(HALF, HALF, |_, _| panic!("asked for a number"));
    }

    #[test]
    #[should_panic(expected = "does not fit into the address space")]
    fn a_new_shape_that_wraps_is_refused() {
        Matrix::<f32>::zeros(1, 1).resize(HALF, HALF);
    }

    #[test]
    #[should_panic(expected = "a slice of 0 numbers cannot hold")]
    fn no_numbers_are_no_large_matrix() {
        Matrix::<f32>::from_columns(vec![], HALF, HALF);
    }

    #[test]
    #[should_panic(expected = "a slice of 0 numbers cannot hold")]
    fn no_numbers_are_no_large_block() {
        Columns::<f32>::new(&[], HALF, HALF);
    }

    #[test]
    #[should_panic(expected = "a slice of 0 numbers cannot hold")]
    fn no_numbers_are_no_large_writable_block() {
        ColumnsMut::<f32>::new(&mut [], HALF, HALF);
    }

    #[test]
    #[should_panic(expected = "a slice of 8 numbers cannot hold")]
    fn strides_that_wrap_are_refused() {
        Columns::with_stride(&[0f32; 8], 8, 9, 1 << (usize::BITS - 3));
    }

    #[test]
    #[should_panic(expected = "a slice of 8 numbers cannot hold")]
    fn writable_strides_that_wrap_are_refused() {
        ColumnsMut::with_stride(&mut [0f32; 8], 8, 9, 1 << (usize::BITS - 3));
    }

    #[test]
    #[should_panic(expected = "a slice of 8 numbers cannot hold")]
    fn a_last_column_that_wraps_is_refused() {
        Columns::with_stride(&[0f32; 8], 2, 2, usize::MAX);
    }

    #[test]
    fn a_block_without_rows_may_have_any_stride() {
        let mut none = [0f32; 0];
        let block = ColumnsMut::with_stride(&mut none, 0, HALF, HALF);
        assert!(block.as_ref().columns_range(HALF - 1..HALF).column(0).is_empty());
        let (left, right) = block.split_at_column(HALF - 1);
        assert_eq!((left.columns(), right.columns()), (HALF - 1, 1));
    }
}
