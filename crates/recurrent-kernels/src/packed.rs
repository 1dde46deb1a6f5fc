//! Weights arranged for the registers: what the packed product reads.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;

use crate::lanes::lane_count;
use crate::transpose::transpose;
use crate::{Columns, ColumnsMut, Compute, Level, Real, SplitColumns};

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

    /// Packs the rows of `weight` in `rows`, range after range, for products at the level of
    /// `compute`: this value becomes (total length of the ranges) x (columns of `weight`).
    ///
    /// Where all threads share it, each packs the panels by which it multiplies a few columns.
    ///
    /// # Panics
    /// If a range reaches outside.
    #[track_caller]
    pub fn pack(&mut self, compute: &Compute, weight: Columns<'_, T>, rows: &[Range<usize>]) {
        let total = check_rows(weight, rows);
        self.reshape(compute.level(), total, weight.columns());
        self.fill(compute, &|mut part| part.arrange(compute.level(), weight, rows));
    }

    /// [`pack`](Self::pack) of all rows, on the calling thread.
    pub(crate) fn pack_here(&mut self, level: Level, weight: Columns<'_, T>) {
        self.reshape(level, weight.rows(), weight.columns());
        self.filling().arrange(level, weight, std::slice::from_ref(&(0..weight.rows())));
    }

    /// Packs the transpose of the rows of `weight` in `rows`, range after range: this value
    /// becomes (columns of `weight`) x (total length of the ranges).
    ///
    /// # Panics
    /// If a range reaches outside.
    #[track_caller]
    pub fn pack_transposed(
        &mut self,
        compute: &Compute,
        weight: Columns<'_, T>,
        rows: &[Range<usize>],
    ) {
        let total = check_rows(weight, rows);
        self.reshape(compute.level(), weight.columns(), total);
        self.fill(compute, &|mut part| part.turn(compute.level(), weight, rows));
    }

    /// Divides the panels among threads that fill them.
    fn fill(&mut self, compute: &Compute, f: &(impl Fn(Filling<'_, T>) + Sync)) {
        let panel = (2 * self.lanes).saturating_mul(self.columns);
        let least = if compute.is_awake() { LEAST_NUMBERS } else { LEAST_TO_WAKE };
        compute.split(self.filling(), least.div_ceil(panel.max(1)), f);
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

    /// All panels, to be filled.
    fn filling(&mut self) -> Filling<'_, T> {
        let (lanes, rows, depth, panels) = (self.lanes, self.rows, self.columns, self.panels());
        let numbers = &mut self.numbers_mut()[..rows.next_multiple_of(lanes) * depth];
        Filling { numbers, panels: 0..panels, lanes, rows, depth }
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

/// Numbers that are worth a thread: if it is awake, and if it has to be woken first.
const LEAST_NUMBERS: usize = 1 << 14;
const LEAST_TO_WAKE: usize = 1 << 18;

/// Panels that are filled together, so that a column of the weight is read in longer pieces.
const TOGETHER: usize = 8;

/// Some neighbouring panels of a packed matrix of `rows` x `depth`, to be filled.
struct Filling<'a, T> {
    numbers: &'a mut [T],
    panels: Range<usize>,
    lanes: usize,
    rows: usize,
    depth: usize,
}

impl<T: Real> SplitColumns for Filling<'_, T> {
    fn width(&self) -> usize {
        self.panels.len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let Filling { numbers, panels, lanes, rows, depth } = self;
        let middle = panels.start + at;
        // Panels before the last have two vectors.
        let (first, rest) = numbers.split_at_mut(at * 2 * lanes * depth);
        let part = |numbers, panels| Filling { numbers, panels, lanes, rows, depth };
        (part(first, panels.start..middle), part(rest, middle..panels.end))
    }
}

impl<T: Real> Filling<'_, T> {
    /// Writes the rows `rows` of `weight`, range after range, as far as they belong here.
    fn arrange(&mut self, level: Level, weight: Columns<'_, T>, rows: &[Range<usize>]) {
        let mut first = 0;
        for range in rows {
            let weight = weight.rows_range(range.clone());
            level.dispatch(Arrange { filling: self, first, weight });
            first += range.len();
        }
    }

    /// Writes the transpose of the rows `rows` of `weight`, as far as it belongs here.
    fn turn(&mut self, level: Level, weight: Columns<'_, T>, rows: &[Range<usize>]) {
        let depth = self.depth;
        for p in self.panels.clone() {
            let (panel, height, first) = self.panel(p);
            let columns = first..weight.columns().min(first + height);
            let mut panel = ColumnsMut::new(panel, height, depth);
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

    /// Panel `p`, its height in rows (padding included), and its first row in the matrix.
    fn panel(&mut self, p: usize) -> (&mut [T], usize, usize) {
        let first = 2 * p * self.lanes;
        let height = (2 * self.lanes).min(self.rows.next_multiple_of(self.lanes) - first);
        let before = (first - 2 * self.panels.start * self.lanes) * self.depth;
        (&mut self.numbers[before..before + height * self.depth], height, first)
    }
}

/// Writes the rows of `weight` to their places, the first of them to row `first` of the matrix.
struct Arrange<'a, 'f, T> {
    filling: &'a mut Filling<'f, T>,
    first: usize,
    weight: Columns<'a, T>,
}

impl<T: Real> pulp::WithSimd for Arrange<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Arrange { filling, first, weight } = self;
        let (depth, height) = (filling.depth, 2 * lane_count::<T, S>());
        let (own, end) = (filling.panels.clone(), first + weight.rows());
        // Panels of two vectors that this weight fills from the first row to the last.
        let whole = first.div_ceil(height).max(own.start)..(end / height).min(own.end);
        for p in whole.clone().step_by(TOGETHER) {
            let together = TOGETHER.min(whole.end - p);
            let panels = &mut filling.numbers[(p - own.start) * height * depth..];
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
        for p in own.start.max(first / height)..own.end.min(end.div_ceil(height)) {
            if whole.contains(&p) {
                continue;
            }
            let (panel, height, start) = filling.panel(p);
            let rows = first.max(start)..end.min(start + height);
            if rows.is_empty() {
                continue;
            }
            for (k, row) in panel.chunks_exact_mut(height).enumerate() {
                let source = &weight.column(k)[rows.start - first..rows.end - first];
                row[rows.start - start..rows.end - start].copy_from_slice(source);
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
