//! The packed product: a weight matrix arranged once for the registers, multiplied many times.
//!
//! Forward products use it, above all the recurrent one, whose weights meet a few columns at every
//! step. An output element is a chain of fused multiply-adds over ascending `k`, in blocks of 512
//! terms, each block begun at zero and then added to the output. This is the order of faer's
//! product on x86, so the two can be held against each other bit for bit; and it makes an output
//! column independent of its neighbours: a batch gives the same bits as its columns alone.
//!
//! The tiling follows Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
//! (2008), with one change: `x` is not packed, because its columns are contiguous in `k` already.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;

use crate::lanes::lane_count;
use crate::tile::Tile;
use crate::{Accum, Columns, ColumnsMut, Compute, Packed, Real};

/// Terms of one chain. Fixed by the contract on bits, and short enough for the caches.
pub(crate) const DEPTH: usize = 512;

/// Columns that pass by the weights together: their block of `x` stays in the second-level cache.
const COLUMN_BLOCK: usize = 128;

/// Panels that meet all columns of a block before others do: at least as many as a tile takes
/// together.
const PANELS: usize = 4;

/// Multiply-adds of a thread below which a second one costs more than it brings: if it is awake,
/// and if it has to be woken first.
const LEAST_WORK: usize = 1 << 15;
const LEAST_TO_WAKE: usize = 1 << 18;

#[cold]
#[track_caller]
fn bad_product(out: (usize, usize), packed: (usize, usize), x: (usize, usize)) -> ! {
    panic!(
        "packed weights of {} x {} times x of {} x {} do not give an output of {} x {}",
        packed.0, packed.1, x.0, x.1, out.0, out.1
    );
}

#[cold]
#[track_caller]
fn bad_ranges(out: &Range<usize>, x: &Range<usize>, rows: usize) -> ! {
    panic!("rows {x:?} cannot be multiplied into rows {out:?} of a block of {rows} rows");
}

/// `out` (M x B) becomes, or grows by, `packed` (M x K) times `x` (K x B), on the calling thread
/// and at the level of `packed`; allocates nothing.
///
/// The bits of an output element depend on its row of weights and its column of `x` alone: not on
/// the batch, the level or the rows packed beside it. Infinities and NaN propagate; with
/// [`Accum::Replace`] the old output is never read.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn product<T: Real>(
    out: ColumnsMut<'_, T>,
    accum: Accum,
    packed: &Packed<T>,
    x: Columns<'_, T>,
) {
    Part::new(out.into(), accum, packed, x).run();
}

/// [`product`] between two row ranges of one block: rows `out` become, or grow by, `packed` times
/// rows `x`. For a step whose second product reads what its first one made.
///
/// # Panics
/// If the ranges overlap or reach outside, or the shapes do not fit.
#[track_caller]
pub fn product_within<T: Real>(
    block: ColumnsMut<'_, T>,
    out: Range<usize>,
    accum: Accum,
    packed: &Packed<T>,
    x: Range<usize>,
) {
    Part::within(block, out, accum, packed, x).run();
}

impl Compute {
    /// [`product`] divided among the threads, with the same bits.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn product<T: Real>(
        &self,
        out: ColumnsMut<'_, T>,
        accum: Accum,
        packed: &Packed<T>,
        x: Columns<'_, T>,
    ) {
        let work = packed.rows().saturating_mul(packed.columns()).saturating_mul(x.columns());
        let least = if self.is_awake() { LEAST_WORK } else { LEAST_TO_WAKE };
        let pieces = self.threads().min(work / least).max(1);
        Part::new(out.into(), accum, packed, x).divide(self, pieces);
    }
}

/// The panels `panels` of a product, for some of its columns.
///
/// Invariants, on which the unsafe code below rests: `x` points to `columns` columns of
/// `packed.columns` readable numbers, `x_stride` apart; `out` to `columns` columns of
/// `packed.rows` numbers, `out_stride` apart. Of the latter this value exclusively owns the rows
/// of its panels. Both borrows last for `'a`. The place of every number that exists is computed
/// without overflow: [`Columns`], [`ColumnsMut`] and `Packed::reshape` checked their shapes.
pub struct Part<'a, T> {
    packed: &'a Packed<T>,
    panels: Range<usize>,
    columns: usize,
    out: *mut T,
    out_stride: usize,
    accum: Accum,
    x: *const T,
    x_stride: usize,
    /// The weights come from far away.
    far: bool,
    borrow: PhantomData<(&'a mut [T], &'a [T])>,
}

// SAFETY: by its invariants a `Part` is a shared borrow of `x` and of the packed weights and an
// exclusive borrow of part of `out`; each of these may go to another thread, because `T` is f32 or
// f64.
unsafe impl<T: Real> Send for Part<'_, T> {}

impl<'a, T: Real> Part<'a, T> {
    #[track_caller]
    pub(crate) fn new(
        out: Tile<'a, T>,
        accum: Accum,
        packed: &'a Packed<T>,
        x: Columns<'a, T>,
    ) -> Part<'a, T> {
        let (rows, columns) = (out.rows(), out.columns());
        if (packed.rows(), x.rows(), x.columns()) != (rows, packed.columns(), columns) {
            let (x, packed) = ((x.rows(), x.columns()), (packed.rows(), packed.columns()));
            bad_product((rows, columns), packed, x);
        }
        // The views and the tile guarantee the invariants about memory.
        Part {
            packed,
            panels: 0..packed.panels(),
            columns,
            out: out.pointer(),
            out_stride: out.stride(),
            accum,
            x: x.as_slice().as_ptr(),
            x_stride: x.stride(),
            far: packed.is_far(),
            borrow: PhantomData,
        }
    }

    #[track_caller]
    fn within(
        block: ColumnsMut<'a, T>,
        out: Range<usize>,
        accum: Accum,
        packed: &'a Packed<T>,
        x: Range<usize>,
    ) -> Part<'a, T> {
        let (rows, columns, stride) = (block.rows(), block.columns(), block.stride());
        let inside = |range: &Range<usize>| range.start <= range.end && range.end <= rows;
        let apart = out.end <= x.start || x.end <= out.start;
        if !(inside(&out) && inside(&x) && apart) {
            bad_ranges(&out, &x, rows);
        }
        if (packed.rows(), packed.columns()) != (out.len(), x.len()) {
            let shapes = ((out.len(), columns), (packed.rows(), packed.columns()));
            bad_product(shapes.0, shapes.1, (x.len(), columns));
        }
        // Both places come from the one exclusive borrow. They share no number, because the ranges
        // are apart within every column; `x` is only read and `out` is this value's alone. The view
        // guarantees that all rows of all columns are there. Wrapping, because a block without
        // columns may have no memory to point into.
        let data = block.into_slice().as_mut_ptr();
        Part {
            packed,
            panels: 0..packed.panels(),
            columns,
            out: data.wrapping_add(out.start),
            out_stride: stride,
            accum,
            x: data.wrapping_add(x.start).cast_const(),
            x_stride: stride,
            far: packed.is_far(),
            borrow: PhantomData,
        }
    }

    pub(crate) fn run(self) {
        T::multiply(self);
    }

    /// Halves the part until there are `pieces`. Panels are divided rather than columns as long
    /// as there are few columns, so that the threads share the reading of the weights.
    fn divide(self, compute: &Compute, pieces: usize) {
        let by_panels = self.columns < 32 * pieces && self.panels.len() >= 2 * pieces;
        let width = if by_panels { self.panels.len() } else { self.columns };
        let pieces = pieces.min(width);
        if pieces <= 1 {
            return self.run();
        }
        let left = pieces / 2;
        let at = width * left / pieces;
        let (first, second) = if by_panels { self.cut_panels(at) } else { self.cut_columns(at) };
        compute.join(|| first.divide(compute, left), || second.divide(compute, pieces - left));
    }

    fn cut_panels(self, at: usize) -> (Self, Self) {
        let middle = self.panels.start + at;
        let first = Part { panels: self.panels.start..middle, ..self };
        let second = Part { panels: middle..self.panels.end, ..self };
        (first, second)
    }

    fn cut_columns(self, at: usize) -> (Self, Self) {
        assert!(at < self.columns);
        // Wrapping, because a block without rows may have any stride and no memory to point into.
        let out = self.out.wrapping_add(at.wrapping_mul(self.out_stride));
        let x = self.x.wrapping_add(at.wrapping_mul(self.x_stride));
        let second =
            Part { out, x, columns: self.columns - at, panels: self.panels.clone(), ..self };
        (Part { columns: at, ..self }, second)
    }
}

/// The kernel for one type of number. A trait with two implementations rather than a generic
/// function, so that this crate compiles the kernel and those above it do not compile it again.
pub trait Multiply: Sized {
    /// Computes `part`.
    fn multiply(part: Part<'_, Self>);
}

impl Multiply for f32 {
    fn multiply(part: Part<'_, f32>) {
        part.packed.level.dispatch(part);
    }
}

impl Multiply for f64 {
    fn multiply(part: Part<'_, f64>) {
        part.packed.level.dispatch(part);
    }
}

impl<T: Real> pulp::WithSimd for Part<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The layout in memory was made for this width; every bound below follows from it.
        assert_eq!(self.packed.lanes, lane_count::<T, S>());
        let depth = self.packed.columns;
        if depth == 0 && self.accum == Accum::Replace {
            self.block(simd, 0..0, true);
        }
        for k in (0..depth).step_by(DEPTH) {
            let replace = k == 0 && self.accum == Accum::Replace;
            self.block(simd, k..depth.min(k + DEPTH), replace);
        }
    }
}

/// What a [`Part`] does at once: these panels, these terms.
struct Block<'a> {
    terms: &'a Range<usize>,
    /// The sums are stored and not added.
    replace: bool,
    panels: Range<usize>,
}

impl<T: Real> Part<'_, T> {
    /// Adds the terms `terms` to the output, or stores their sum.
    #[inline(always)]
    fn block<S: Simd>(&self, simd: S, terms: Range<usize>, replace: bool) {
        for first in (0..self.columns).step_by(COLUMN_BLOCK) {
            let columns = first..self.columns.min(first + COLUMN_BLOCK);
            // Sums in registers: 12 of 16, or 16 of 32. That is enough to hide the latency of a
            // multiply-add, and leaves room for two vectors of weights and for `x`; a tile with
            // few columns takes several panels to have as many.
            let full = match S::REGISTER_COUNT >= 32 {
                true => columns.start + columns.len() / 8 * 8,
                false => columns.start + columns.len() / 6 * 6,
            };
            let whole = columns.start..full;
            let rest = full..columns.end;
            // A few panels meet all columns before the next ones do: large weights come from far
            // away, and are read once.
            for p in self.panels.clone().step_by(PANELS) {
                let panels = p..self.panels.end.min(p + PANELS);
                let block = Block { terms: &terms, replace, panels };
                let (whole, rest) = (whole.clone(), rest.clone());
                match S::REGISTER_COUNT >= 32 {
                    true => self.sweep::<S, 1, 8>(simd, &block, whole),
                    false => self.sweep::<S, 1, 6>(simd, &block, whole),
                }
                match rest.len() {
                    7 if S::REGISTER_COUNT >= 32 => self.sweep::<S, 1, 7>(simd, &block, rest),
                    6 if S::REGISTER_COUNT >= 32 => self.sweep::<S, 1, 6>(simd, &block, rest),
                    5 => self.sweep::<S, 1, 5>(simd, &block, rest),
                    4 => self.sweep::<S, 1, 4>(simd, &block, rest),
                    3 => self.sweep::<S, 1, 3>(simd, &block, rest),
                    2 => self.sweep::<S, 2, 2>(simd, &block, rest),
                    1 => self.sweep::<S, 4, 1>(simd, &block, rest),
                    _ => {}
                }
            }
        }
    }

    /// Brings every panel of `block` to `columns`, in tiles of `N` columns and `P` panels; what
    /// remains of the panels goes one by one.
    #[inline(always)]
    fn sweep<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        block: &Block<'_>,
        columns: Range<usize>,
    ) {
        if columns.is_empty() {
            return;
        }
        let whole = block.panels.end.min(self.packed.vectors() / 2);
        let mut p = block.panels.start;
        while P > 1 && p + P <= whole {
            self.tiles::<S, P, 2, N>(simd, block, p, &columns);
            p += P;
        }
        while p < whole {
            self.tiles::<S, 1, 2, N>(simd, block, p, &columns);
            p += 1;
        }
        if p < block.panels.end {
            self.tiles::<S, 1, 1, N>(simd, block, p, &columns);
        }
    }

    /// Panels `p..p + P`, each of `V` vectors, times `columns`, whose number `N` divides.
    #[inline(always)]
    fn tiles<S: Simd, const P: usize, const V: usize, const N: usize>(
        &self,
        simd: S,
        block: &Block<'_>,
        p: usize,
        columns: &Range<usize>,
    ) {
        let &Block { terms, replace, .. } = block;
        let lanes = lane_count::<T, S>();
        let height = V * lanes;
        let first_row = 2 * p * lanes;
        let depth = self.packed.columns;
        let weights = self.packed.memory.as_ptr().cast::<T>();
        let weights = weights.wrapping_add(first_row * depth + terms.start * height);
        // While large panels meet their columns, the next ones come nearer, a part with each tile.
        let panel = P * height * terms.len();
        let tiles = columns.len() / N;
        let next = weights.wrapping_add(P * height * depth);
        for (index, j) in columns.clone().step_by(N).enumerate() {
            let ahead = next.wrapping_add(index * panel / tiles);
            let ahead = Ahead { place: ahead, step: (P * height).div_ceil(tiles) };
            let x = self.x.wrapping_add(j.wrapping_mul(self.x_stride)).wrapping_add(terms.start);
            let out = self.out.wrapping_add(j.wrapping_mul(self.out_stride));
            let out = out.wrapping_add(first_row);
            let (count, length, stride) = (terms.len(), height * depth, self.x_stride);
            // SAFETY: panels `p..p + P` have `V` vectors each and lie one after the other from
            // `first_row * depth` on, `terms` lies inside a panel, and columns `j..j + N` exist:
            // `Part`'s invariants then give readable memory for all that `tile` reads.
            let sums = unsafe {
                match N > 4 && self.far {
                    true => {
                        tile::<T, S, P, V, N, true>(simd, count, weights, length, x, stride, ahead)
                    }
                    false => {
                        tile::<T, S, P, V, N, false>(simd, count, weights, length, x, stride, ahead)
                    }
                }
            };
            let rows = self.packed.rows - first_row;
            if rows >= P * height {
                for n in 0..N {
                    for q in 0..P {
                        for v in 0..V {
                            // SAFETY: column `j + n` exists and has all rows of the `P` panels,
                            // which this value owns for writing. Any alignment is allowed.
                            unsafe {
                                let row = (q * V + v) * lanes;
                                let place = out.add(n * self.out_stride + row).cast();
                                let sum = sums[n][q][v];
                                store::<T, S>(simd, place, sum, replace);
                            }
                        }
                    }
                }
            } else {
                // SAFETY: column `j + n` exists for `n < N`, its remaining `rows` rows belong to
                // these panels, which this value owns for writing, and there are more sums.
                unsafe {
                    // A copy: the address of the sums themselves would keep them in memory.
                    let copy = sums;
                    let sums = (&raw const copy).cast::<T>();
                    write_rows(out, self.out_stride, rows, sums, P * height, N, replace);
                }
            }
        }
    }
}

/// Numbers that will be read soon, and how many of them are fetched with each term.
struct Ahead<T> {
    place: *const T,
    step: usize,
}

/// Brings what is at `place` into the second-level cache, if anything is there.
#[inline(always)]
fn fetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint. It reads nothing that the program sees and never faults, and
    // every x86-64 processor has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// The sums over `depth` terms of `P` panels of `V` vectors with `N` columns, each a chain of
/// fused multiply-adds in ascending order that begins at zero; with `FAR` it fetches `ahead`.
///
/// # Safety
/// From `weights` on, `P` panels must be readable `panel_length` numbers apart, each for `depth`
/// times `V` vectors; from `x` on, `N` columns of `depth` numbers, `x_stride` apart.
#[inline(always)]
unsafe fn tile<
    T: Real,
    S: Simd,
    const P: usize,
    const V: usize,
    const N: usize,
    const FAR: bool,
>(
    simd: S,
    depth: usize,
    weights: *const T,
    panel_length: usize,
    x: *const T,
    x_stride: usize,
    ahead: Ahead<T>,
) -> [[[T::Vector<S>; V]; P]; N] {
    let zero = T::splat(simd, T::ZERO);
    let lanes = lane_count::<T, S>();
    let mut sums = [[[zero; V]; P]; N];
    for k in 0..depth {
        if FAR {
            fetch(ahead.place.wrapping_add(k * ahead.step));
        }
        let mut w = [[zero; V]; P];
        for q in 0..P {
            for v in 0..V {
                // SAFETY: vector `v` of term `k < depth` of panel `q`; readable by the contract.
                w[q][v] = unsafe {
                    let place = weights.add(q * panel_length + (k * V + v) * lanes);
                    place.cast::<T::Vector<S>>().read_unaligned()
                };
            }
        }
        for n in 0..N {
            // SAFETY: term `k < depth` of column `n < N`; readable by the contract.
            let value = T::splat(simd, unsafe { *x.add(n * x_stride + k) });
            for q in 0..P {
                for v in 0..V {
                    sums[n][q][v] = T::mul_add_lanes(simd, w[q][v], value, sums[n][q][v]);
                }
            }
        }
    }
    sums
}

/// Stores `columns` columns of `rows` sums at `out`, or adds them to what is there.
///
/// # Safety
/// From `out` on, `columns` columns of `rows` numbers, `stride` apart, must be writable, and
/// initialised unless `replace`; from `sums` on, as many must be readable, `sums_stride` apart.
#[inline(never)]
unsafe fn write_rows<T: Real>(
    out: *mut T,
    stride: usize,
    rows: usize,
    sums: *const T,
    sums_stride: usize,
    columns: usize,
    replace: bool,
) {
    for n in 0..columns {
        for r in 0..rows {
            // SAFETY: row `r < rows` of column `n < columns`, in both; by the contract.
            unsafe {
                let sum = *sums.add(n * sums_stride + r);
                let place = out.add(n * stride + r);
                *place = if replace { sum } else { *place + sum };
            }
        }
    }
}

/// Stores `sum` at `place`, or adds it to what is there.
///
/// # Safety
/// `place` must be writable, at any alignment, and initialised unless `replace`.
#[inline(always)]
unsafe fn store<T: Real, S: Simd>(
    simd: S,
    place: *mut T::Vector<S>,
    sum: T::Vector<S>,
    replace: bool,
) {
    // SAFETY: by the contract.
    unsafe {
        place.write_unaligned(match replace {
            true => sum,
            false => T::add_lanes(simd, place.read_unaligned(), sum),
        });
    }
}
