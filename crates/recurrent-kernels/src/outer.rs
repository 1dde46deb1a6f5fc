//! The product of a block with another's transpose, `d_y x^T`: the gradient of a weight, a sum over
//! all columns of a batch.
//!
//! Both factors lie across the sum: the numbers that meet in it are a whole column apart. So 512
//! columns at a time are arranged anew, those of the left factor as [`Packed`] weights and those of
//! the right one turned, and the packed product does the rest. Its chains of 512 terms are what
//! faer computes for the same product, bit for bit; faer, whose arrangement serves any layout, takes
//! up to twice as long.

use std::cell::Cell;
use std::thread::LocalKey;

use crate::product::{DEPTH, Part};
use crate::tile::Tile;
use crate::transpose::transpose;
use crate::{Accum, Columns, Compute, Level, Matrix, Packed, Real};

/// Rows that are packed together: with `DEPTH` terms 256 KiB of `f32`, which stay in the
/// second-level cache while the columns pass by.
const ROWS: usize = 128;

/// Columns that are turned together.
const COLUMNS: usize = 512;

/// Numbers from one turned column to the next: not a power of two, of which few fit into the cache
/// together.
const STRIDE: usize = DEPTH + 16;

/// Multiply-adds below which a second thread costs more than it brings.
const LEAST_WORK: usize = 1 << 19;

/// Working memory of a thread, kept from product to product.
pub struct Scratch<T> {
    packed: Packed<T>,
    turned: Matrix<T>,
}

impl<T: Real> Default for Scratch<T> {
    fn default() -> Self {
        Scratch { packed: Packed::new(), turned: Matrix::zeros(0, 0) }
    }
}

/// A type of number with working memory for each thread.
pub trait Scratched: Sized + 'static {
    /// Where it is.
    fn scratch() -> &'static LocalKey<Cell<Scratch<Self>>>;
}

macro_rules! scratched {
    ($t:ident) => {
        impl Scratched for $t {
            fn scratch() -> &'static LocalKey<Cell<Scratch<$t>>> {
                thread_local! {
                    static SCRATCH: Cell<Scratch<$t>> = Cell::default();
                }
                &SCRATCH
            }
        }
    };
}
scratched!(f32);
scratched!(f64);

/// `out` (M x N) becomes, or grows by, `left` (M x K) times the transpose of `right` (N x K). The
/// shapes must fit, and there must be terms.
pub(crate) fn outer<T: Real>(
    compute: &Compute,
    out: Tile<'_, T>,
    accum: Accum,
    left: Columns<'_, T>,
    right: Columns<'_, T>,
) {
    let work = out.rows().saturating_mul(out.columns()).saturating_mul(left.columns());
    let pieces = compute.threads().min(work / LEAST_WORK).max(1);
    Outer { out, accum, left, right }.divide(compute, pieces);
}

/// What [`outer`] is given, or a part of it: rows of `left`, rows of `right`, and the numbers of
/// the output where they meet.
struct Outer<'a, T> {
    out: Tile<'a, T>,
    accum: Accum,
    left: Columns<'a, T>,
    right: Columns<'a, T>,
}

impl<T: Real> Outer<'_, T> {
    /// Halves the part until there are `pieces`: its rows, because columns are turned by every
    /// thread that needs them, and packing rows twice would take longer; or columns where there
    /// are few rows.
    fn divide(self, compute: &Compute, pieces: usize) {
        let Outer { out, accum, left, right } = self;
        let (rows, columns) = (out.rows(), out.columns());
        let share = pieces / 2;
        if pieces <= 1 {
            Outer { out, accum, left, right }.run(compute.level());
        } else if rows >= 32 * pieces {
            // Whole vectors, as far as possible.
            let at = (rows * share / pieces).next_multiple_of(16);
            let (first, second) = out.split_at_row(at);
            let first = Outer { out: first, accum, left: left.rows_range(0..at), right };
            let second = Outer { out: second, accum, left: left.rows_range(at..rows), right };
            compute
                .join(|| first.divide(compute, share), || second.divide(compute, pieces - share));
        } else {
            let at = columns * share / pieces;
            let (first, second) = out.split_at_column(at);
            let first = Outer { out: first, accum, left, right: right.rows_range(0..at) };
            let second = Outer { out: second, accum, left, right: right.rows_range(at..columns) };
            compute
                .join(|| first.divide(compute, share), || second.divide(compute, pieces - share));
        }
    }

    fn run(self, level: Level) {
        let Outer { mut out, mut accum, left, right } = self;
        // Taken and not borrowed: a thread that waits may be given another product meanwhile.
        let mut scratch = T::scratch().take();
        let Scratch { packed, turned } = &mut scratch;
        turned.resize(STRIDE, COLUMNS.min(out.columns()));
        for first in (0..left.columns()).step_by(DEPTH) {
            let terms = first..left.columns().min(first + DEPTH);
            let (left, right) = (left.columns_range(terms.clone()), right.columns_range(terms));
            let (depth, mut rest) = (left.columns(), out.reborrow());
            for first in (0..right.rows()).step_by(COLUMNS) {
                let columns = first..right.rows().min(first + COLUMNS);
                let mut x = turned.as_mut().rows_range(0..depth).columns_range(0..columns.len());
                let (mut block, after) = rest.split_at_column(columns.len());
                let source = right.rows_range(columns);
                transpose(level, source, x.reborrow());
                for first in (0..left.rows()).step_by(ROWS) {
                    let rows = first..left.rows().min(first + ROWS);
                    let (part, below) = block.split_at_row(rows.len());
                    let left = left.rows_range(rows);
                    packed.pack_here(level, left);
                    Part::new(part, accum, packed, x.as_ref()).run();
                    block = below;
                }
                rest = after;
            }
            accum = Accum::Add;
        }
        T::scratch().set(scratch);
    }
}
