//! Sums in a fixed order: squares for norms, rows for the gradients of biases, products of rows for
//! those of weights that multiply number by number.
//!
//! The order depends on shapes only. It is the same for any number of threads and at every
//! instruction set, and short partial sums keep the rounding error small.

use pulp::{Simd, WithSimd};

use crate::{Columns, Compute, Real, SplitColumns};

/// Partial sums that run side by side, so that they fill vector registers.
const LANES: usize = 16;

/// Numbers that one call of a leaf sums; the tree above them is of this grain.
const CHUNK: usize = 16 * 1024;

/// Columns that are summed before they are added to the whole.
const COLUMNS: usize = 64;

/// Rows that a partial sum covers at once: one buffer on the stack.
const ROWS: usize = 256;

/// A thread takes at least this many numbers, or starting it costs more than it saves.
const LEAST_NUMBERS: usize = 32 * 1024;

/// The sum of all squares, accumulated in f64.
///
/// Chunks of 16,384 numbers are summed in 16 interleaved partial sums, and the chunks in a
/// balanced binary tree. Allocates nothing. NaN and infinity show in the result; squares of `f32`
/// are exact and cannot overflow.
pub fn sum_of_squares<T: Real>(compute: &Compute, values: &[T]) -> f64 {
    if values.len() <= CHUNK {
        return compute.level().dispatch(Squares(values));
    }
    let half = values.len().div_ceil(CHUNK) / 2 * CHUNK;
    let (left, right) = values.split_at(half);
    let (left, right) =
        compute.join(|| sum_of_squares(compute, left), || sum_of_squares(compute, right));
    left + right
}

/// Gives the sum of the squares of one chunk. An operation and not a closure, because only what
/// is always inlined is sure to be compiled for the level.
struct Squares<'a, T>(&'a [T]);

impl<T: Real> WithSimd for Squares<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for l in 0..LANES {
                let x = chunk[l].to_f64();
                lanes[l] = x.mul_add(x, lanes[l]);
            }
        }
        for l in 0..rest.len() {
            let x = rest[l].to_f64();
            lanes[l] = x.mul_add(x, lanes[l]);
        }
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// Adds to `sums[r]` the sum of row `r` over all columns of `block`: the gradient of a bias.
///
/// Columns are summed in order, 64 at a time, then the partial sums in order, then the whole is
/// added to `sums`.
///
/// # Panics
/// If `sums` is not one per row.
#[track_caller]
pub fn add_row_sums<T: Real>(compute: &Compute, block: Columns<'_, T>, sums: &mut [T]) {
    #[cold]
    #[track_caller]
    fn bad_sums(sums: usize, rows: usize, columns: usize) -> ! {
        panic!("{sums} sums cannot take the rows of a block of {rows} rows x {columns} columns");
    }
    if sums.len() != block.rows() {
        bad_sums(sums.len(), block.rows(), block.columns());
    }
    sum_rows(compute, Rows { block, factors: None, sums });
}

/// Adds to `sums[r]` the sum over all columns of row `r` of `block` times row `r` of `factors`: the
/// gradient of a weight that multiplies number by number. In the order of [`add_row_sums`].
///
/// # Panics
/// If the blocks have different shapes, or `sums` is not one per row.
#[track_caller]
pub fn add_row_products<T: Real>(
    compute: &Compute,
    block: Columns<'_, T>,
    factors: Columns<'_, T>,
    sums: &mut [T],
) {
    let of = |block: Columns<'_, T>| (block.rows(), block.columns());
    assert!(
        of(block) == of(factors) && sums.len() == block.rows(),
        "blocks of {:?} and {:?} rows and columns do not make {} sums of products",
        of(block),
        of(factors),
        sums.len()
    );
    sum_rows(compute, Rows { block, factors: Some(factors), sums });
}

fn sum_rows<T: Real>(compute: &Compute, rows: Rows<'_, T>) {
    let least = (LEAST_NUMBERS / rows.block.columns().max(1)).max(LANES);
    let level = compute.level();
    compute.split(rows, least, &|rows: Rows<'_, T>| level.dispatch(rows));
}

/// Rows of a block, and what they are multiplied with, with their sums; cut between rows.
struct Rows<'a, T> {
    block: Columns<'a, T>,
    factors: Option<Columns<'a, T>>,
    sums: &'a mut [T],
}

impl<T: Real> SplitColumns for Rows<'_, T> {
    fn width(&self) -> usize {
        self.sums.len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let rows = self.sums.len();
        let (above, below) = self.sums.split_at_mut(at);
        let part = |range: std::ops::Range<usize>, sums| Rows {
            block: self.block.rows_range(range.clone()),
            factors: self.factors.map(|factors| factors.rows_range(range)),
            sums,
        };
        (part(0..at, above), part(at..rows, below))
    }
}

impl<T: Real> WithSimd for Rows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let columns = self.block.columns();
        for (tile, sums) in self.sums.chunks_mut(ROWS).enumerate() {
            let first = tile * ROWS;
            let mut whole = [T::ZERO; ROWS];
            let mut start = 0;
            while start < columns {
                let end = (start + COLUMNS).min(columns);
                let mut partial = [T::ZERO; ROWS];
                for j in start..end {
                    let terms = &self.block.column(j)[first..first + sums.len()];
                    match self.factors {
                        None => add(&mut partial, terms),
                        Some(factors) => {
                            let factors = &factors.column(j)[first..first + sums.len()];
                            add_products(&mut partial, terms, factors);
                        }
                    }
                }
                add(&mut whole, &partial);
                start = end;
            }
            add(sums, &whole);
        }
    }
}

/// Adds number by number, as far as the shorter slice goes.
#[inline(always)]
fn add<T: Real>(sums: &mut [T], terms: &[T]) {
    for (sum, &term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

/// Adds the products number by number, as far as the shortest slice goes.
#[inline(always)]
fn add_products<T: Real>(sums: &mut [T], terms: &[T], factors: &[T]) {
    for ((sum, &term), &factor) in sums.iter_mut().zip(terms).zip(factors) {
        *sum = term.mul_add(factor, *sum);
    }
}
