//! Weights arranged for the registers: what the packed product reads.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;

use crate::lanes::lane_count;
use crate::transpose::transpose;
use crate::{Columns, ColumnsMut, Level, Real};

/// 64 numbers of memory that begin at a cache line, so that no vector load crosses one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; 64]);

/// A weight matrix of `rows` x `columns` in the order in which the micro-kernel reads it.
///
/// Rows lie in panels of two vectors (the last panel may have one), and a panel holds its rows of
/// column 0, of column 1, and so on. What fills the last vector beyond the last row is
/// unspecified: its sums are never stored. The value remembers the [`Level`] it was packed for.
#[derive(Clone)]
pub struct Packed<T> {
    pub(crate) memory: Vec<Line>,
    pub(crate) level: Level,
    pub(crate) lanes: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    number: PhantomData<T>,
}

#[cold]
#[track_caller]
fn bad_rows(range: &Range<usize>, rows: usize, columns: usize) -> ! {
    panic!("rows {range:?} to be packed lie outside a weight of {rows} rows x {columns} columns");
}

#[track_caller]
fn check_rows<T>(weight: Columns<'_, T>, rows: &[Range<usize>]) -> usize {
    for range in rows {
        if range.start > range.end || range.end > weight.rows() {
            bad_rows(range, weight.rows(), weight.columns());
        }
    }
    // What is too large is refused by `reshape`.
    rows.iter().fold(0, |sum, range| sum.saturating_add(range.len()))
}

impl<T: Real> Default for Packed<T> {
    fn default() -> Self {
        Packed::new()
    }
}

impl<T: Real> Packed<T> {
    /// A matrix of no rows and no columns. Memory grows at the first pack and is then reused.
    pub fn new() -> Self {
        Packed {
            memory: Vec::new(),
            level: Level::SCALAR,
            lanes: 1,
            rows: 0,
            columns: 0,
            number: PhantomData,
        }
    }

    /// Packs the rows of `weight` in `rows`, range after range, for products at `level`: this
    /// value becomes (total length of the ranges) x (columns of `weight`).
    ///
    /// # Panics
    /// If a range reaches outside.
    #[track_caller]
    pub fn pack(&mut self, level: Level, weight: Columns<'_, T>, rows: &[Range<usize>]) {
        let total = check_rows(weight, rows);
        self.reshape(level, total, weight.columns());
        let mut before = 0;
        for range in rows {
            let weight = weight.rows_range(range.clone());
            level.dispatch(Arrange { packed: self, first: before, weight });
            before += range.len();
        }
    }

    /// Packs the transpose of the rows of `weight` in `rows`, range after range: this value
    /// becomes (columns of `weight`) x (total length of the ranges).
    ///
    /// # Panics
    /// If a range reaches outside.
    #[track_caller]
    pub fn pack_transposed(&mut self, level: Level, weight: Columns<'_, T>, rows: &[Range<usize>]) {
        let total = check_rows(weight, rows);
        self.reshape(level, weight.columns(), total);
        for p in 0..self.panels() {
            let (panel, height, first) = self.panel_mut(p);
            let columns = first..weight.columns().min(first + height);
            let mut panel = ColumnsMut::new(panel, height, total);
            let mut before = 0;
            for range in rows {
                let source = weight.columns_range(columns.clone()).rows_range(range.clone());
                let target = panel.reborrow().rows_range(0..columns.len());
                let target = target.columns_range(before..before + range.len());
                transpose(level, source, target);
                before += range.len();
            }
        }
    }

    /// Rows of the packed matrix, M.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the packed matrix, K.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Makes room for a matrix of this shape, with unspecified contents.
    fn reshape(&mut self, level: Level, rows: usize, columns: usize) {
        let lanes = level.dispatch(CountLanes(PhantomData::<T>));
        let bytes = rows
            .checked_next_multiple_of(lanes)
            .and_then(|padded| padded.checked_mul(columns)?.checked_mul(size_of::<T>()))
            .expect("packed weights must fit into the address space");
        // The memory first: the shape must never promise more than there is, even after a panic.
        *self = Packed { memory: std::mem::take(&mut self.memory), ..Packed::new() };
        self.memory.resize(bytes.div_ceil(size_of::<Line>()), Line([0; 64]));
        (self.level, self.lanes, self.rows, self.columns) = (level, lanes, rows, columns);
    }

    /// Whether the weights are so large that a product should fetch them ahead of time: beyond the
    /// caches of one core. Measured; below, fetching costs more than it brings.
    pub(crate) fn is_far(&self) -> bool {
        self.memory.len() * size_of::<Line>() > 2 << 20
    }

    /// Vectors of rows, of which the last may be incomplete.
    pub(crate) fn vectors(&self) -> usize {
        self.rows.div_ceil(self.lanes)
    }

    /// Panels of two vectors, of which the last may have one.
    pub(crate) fn panels(&self) -> usize {
        self.vectors().div_ceil(2)
    }

    /// Panel `p`, its height in rows (padding included), and its first row in the matrix.
    fn panel_mut(&mut self, p: usize) -> (&mut [T], usize, usize) {
        let first = 2 * p * self.lanes;
        let height = self.lanes * (self.vectors() - 2 * p).min(2);
        let numbers = first * self.columns..(first + height) * self.columns;
        (&mut self.numbers_mut()[numbers], height, first)
    }

    /// All panels, one after the other.
    fn numbers_mut(&mut self) -> &mut [T] {
        // SAFETY: `Line` is plain initialised bytes without padding and more strictly aligned
        // than `T`, which is f32 or f64 (`Real` is sealed), for which all bytes are valid. The
        // length covers only whole numbers inside the same allocation, and the exclusive borrow
        // of `self` goes on in the result.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.memory.as_mut_ptr().cast::<T>(),
                self.memory.len() * (size_of::<Line>() / size_of::<T>()),
            )
        }
    }
}

/// Panels that are filled together, so that a column of the weight is read in longer pieces.
const TOGETHER: usize = 8;

/// Writes the rows of `weight` to their places, the first of them to row `first`.
struct Arrange<'a, T> {
    packed: &'a mut Packed<T>,
    first: usize,
    weight: Columns<'a, T>,
}

impl<T: Real> pulp::WithSimd for Arrange<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Arrange { packed, first, weight } = self;
        let (depth, height) = (packed.columns, 2 * lane_count::<T, S>());
        let end = first + weight.rows();
        // Panels of two vectors that this weight fills from the first row to the last.
        let whole = first.div_ceil(height)..end / height;
        let rows = whole.start * height..whole.end.max(whole.start) * height;
        for p in whole.clone().step_by(TOGETHER) {
            let together = TOGETHER.min(whole.end - p);
            let panels = &mut packed.numbers_mut()[p * height * depth..];
            for k in 0..depth {
                let column = &weight.column(k)[p * height - first..];
                for q in 0..together {
                    // A constant length, so that this is a few vector moves and no call.
                    let target = &mut panels[(q * depth + k) * height..][..height];
                    target.copy_from_slice(&column[q * height..][..height]);
                }
            }
        }
        // The rows of other panels, which are shared with other weights or have one vector.
        for p in first / height..packed.panels() {
            let (panel, height, start) = packed.panel_mut(p);
            let own = first.max(start)..end.min(start + height);
            if own.is_empty() || rows.contains(&own.start) {
                continue;
            }
            for (k, row) in panel.chunks_exact_mut(height).enumerate() {
                let source = &weight.column(k)[own.start - first..own.end - first];
                row[own.start - start..own.end - start].copy_from_slice(source);
            }
        }
    }
}

struct CountLanes<T>(PhantomData<T>);

impl<T: Real> pulp::WithSimd for CountLanes<T> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        lane_count::<T, S>()
    }
}
