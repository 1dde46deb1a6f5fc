//! Blocks of columns: the views that every kernel takes, and the matrix that owns them.
//!
//! A block has `rows` numbers in each of `columns` columns; column `j` starts at `j * stride` of
//! the slice. Rows of a block can be cut out as a narrower block with the same stride (a gate is
//! such a cut), columns as a shorter slice (a step is such a cut).

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

/// The least slice length that holds such a block.
fn extent(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (columns - 1) * stride + rows }
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
        if data.len() != rows * columns {
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
        if stride < rows || data.len() < extent(rows, columns, stride) {
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
        let start = (range.start * self.stride).min(self.data.len());
        let length = extent(self.rows, range.len(), self.stride);
        Columns {
            data: &self.data[start..start + length],
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
        if data.len() != rows * columns {
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
        if stride < rows || data.len() < extent(rows, columns, stride) {
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
        let start = (range.start * self.stride).min(self.data.len());
        let length = extent(self.rows, range.len(), self.stride);
        ColumnsMut {
            data: &mut self.data[start..start + length],
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
        let (left, right) = self.data.split_at_mut((at * self.stride).min(self.data.len()));
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
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Matrix { data: vec![T::ZERO; rows * columns], rows, columns }
    }

    /// A matrix over `data`, column after column.
    ///
    /// # Panics
    /// If `data` does not hold exactly `rows * columns` numbers.
    #[track_caller]
    pub fn from_columns(data: Vec<T>, rows: usize, columns: usize) -> Self {
        if data.len() != rows * columns {
            bad_block(data.len(), rows, columns, rows);
        }
        Matrix { data, rows, columns }
    }

    /// The matrix whose number in row `r` and column `j` is `f(r, j)`.
    pub fn from_fn(rows: usize, columns: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(rows * columns);
        for j in 0..columns {
            data.extend((0..rows).map(|r| f(r, j)));
        }
        Matrix { data, rows, columns }
    }

    /// Gives the matrix another shape and leaves its contents unspecified; keeps the memory.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        self.data.resize(rows * columns, T::ZERO);
        self.rows = rows;
        self.columns = columns;
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
