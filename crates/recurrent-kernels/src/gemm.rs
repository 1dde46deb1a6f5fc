//! The one door to faer's matrix product, and to our own for the gradients of weights.
//!
//! Bits must not depend on the number of threads, and faer's do: with more than one thread it may
//! divide the sum. So faer is given one thread here, and the result is cut into tiles by its shape
//! alone, which the threads share. Where faer leaves its general product for other kernels, that
//! sum in other orders (results one number wide, a single term, at most 4,096 multiply-adds), a
//! kernel of our own takes over; its chains of 512 terms are those of [`product`](crate::product).
//! It is also faster where up to three contiguous columns are summed.

use faer::linalg::matmul::matmul;
use faer::{MatMut, MatRef, Par};

use crate::outer::outer;
use crate::product::DEPTH;
use crate::tile::Tile;
use crate::{Columns, ColumnsMut, Compute, Real, SplitColumns};

/// What a product does with the numbers that are in its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accum {
    /// Overwrites them without reading them.
    Replace,
    /// Adds to them.
    Add,
}

/// A factor of a product: a block as it is, or its transpose.
#[derive(Clone, Copy)]
pub enum Operand<'a, T> {
    /// The block itself.
    Plain(Columns<'a, T>),
    /// Its transpose: row `r` of the factor is column `r` of the block.
    Transposed(Columns<'a, T>),
}

/// At most so many multiply-adds, faer sums in another order.
const SMALL: usize = 4096;
/// So many terms of contiguous columns are not worth arranging. (One more, and the loop over rows
/// no longer becomes vector code.)
const FEW: usize = 3;
/// Multiply-adds of a tile: enough for faer to arrange its operands at little cost.
const LEAST_TILE: usize = 1 << 22;
/// A tile has no fewer rows, unless the result has. A multiple of the rows of any of faer's
/// register tiles.
const LEAST_ROWS: usize = 192;
/// A tile has no fewer columns, unless the result has.
const LEAST_COLUMNS: usize = 64;
/// Multiply-adds of a piece for our own kernel.
const LEAST_PIECE: usize = 1 << 18;

impl<'a, T: Real> Columns<'a, T> {
    /// The same block as a faer matrix.
    pub fn as_faer(&self) -> MatRef<'a, T> {
        MatRef::from_column_major_slice_with_stride(
            self.as_slice(),
            self.rows(),
            self.columns(),
            self.stride(),
        )
    }
}

impl<T: Real> ColumnsMut<'_, T> {
    /// The same block as a writable faer matrix.
    pub fn as_faer_mut(&mut self) -> MatMut<'_, T> {
        let (rows, columns, stride) = (self.rows(), self.columns(), self.stride());
        MatMut::from_column_major_slice_with_stride_mut(
            self.reborrow().into_slice(),
            rows,
            columns,
            stride,
        )
    }
}

impl<'a, T: Real> Operand<'a, T> {
    /// Rows of the factor.
    pub fn rows(&self) -> usize {
        match self {
            Operand::Plain(block) => block.rows(),
            Operand::Transposed(block) => block.columns(),
        }
    }

    /// Columns of the factor.
    pub fn columns(&self) -> usize {
        match self {
            Operand::Plain(block) => block.columns(),
            Operand::Transposed(block) => block.rows(),
        }
    }

    fn as_faer(&self) -> MatRef<'a, T> {
        match self {
            Operand::Plain(block) => block.as_faer(),
            Operand::Transposed(block) => block.as_faer().transpose(),
        }
    }

    /// The numbers, and how far apart neighbours in a column and in a row are.
    fn strides(&self) -> Factor<'a, T> {
        match self {
            Operand::Plain(block) => {
                Factor { data: block.as_slice(), down: 1, across: block.stride() }
            }
            Operand::Transposed(block) => {
                Factor { data: block.as_slice(), down: block.stride(), across: 1 }
            }
        }
    }
}

#[cold]
#[track_caller]
fn bad_gemm(out: (usize, usize), left: (usize, usize), right: (usize, usize)) -> ! {
    panic!(
        "a factor of {} x {} times one of {} x {} does not give an output of {} x {}",
        left.0, left.1, right.0, right.1, out.0, out.1
    );
}

/// `out` (M x N) becomes, or grows by, `left` (M x K) times `right` (K x N).
///
/// For products with a long sum, such as weight gradients, `d_gates * x^T`; forward products are
/// [`product`](crate::product)'s. The result has the same bits at any number of threads and at
/// any [`Level`](crate::Level): the part that faer computes always runs at the best instruction
/// set of the processor, which cannot be lowered. On other architectures than x86-64 the bits may
/// depend on the machine all the same: there faer blocks long sums by the sizes of its caches,
/// while on x86-64 it keeps chains of 512 terms. Allocates nothing, except that faer reserves
/// working memory the first time a thread multiplies. Without terms (K = 0), `Accum::Replace`
/// writes zeros.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn gemm<T: Real>(
    compute: &Compute,
    mut out: ColumnsMut<'_, T>,
    accum: Accum,
    left: Operand<'_, T>,
    right: Operand<'_, T>,
) {
    let (rows, columns, depth) = (out.rows(), out.columns(), left.columns());
    if (left.rows(), right.rows(), right.columns()) != (rows, depth, columns) {
        let (left, right) = ((left.rows(), depth), (right.rows(), right.columns()));
        bad_gemm((rows, columns), left, right);
    }
    if rows == 0 || columns == 0 {
        return;
    }
    if depth == 0 {
        if accum == Accum::Replace {
            out.fill(T::ZERO);
        }
        return;
    }
    let work = rows.saturating_mul(columns).saturating_mul(depth);
    let few = depth == 1 || depth <= FEW && matches!(left, Operand::Plain(_));
    if rows == 1 || columns == 1 || few || work <= SMALL {
        let (left, right) = (left.strides(), right.strides());
        let least = LEAST_PIECE.div_ceil(rows.saturating_mul(depth));
        compute.split(Piece { out, first: 0 }, least, &|piece: Piece<'_, T>| {
            compute.level().dispatch(Chains { piece, accum, left, right, depth });
        });
        return;
    }
    match (left, right) {
        (Operand::Plain(left), Operand::Transposed(right)) => {
            outer(compute, out.into(), accum, left, right);
        }
        _ => multiply(out.into(), compute, accum, left.as_faer(), right.as_faer()),
    }
}

/// The multiple of `least` that is nearest to half of `side`. Both parts are at least `least` if
/// `side` is at least `2 * least`.
fn middle(side: usize, least: usize) -> usize {
    (side / 2 + least / 2) / least * least
}

/// Halves the longer side of the output as long as the halves are large enough, and multiplies what
/// is left.
fn multiply<T: Real>(
    out: Tile<'_, T>,
    compute: &Compute,
    accum: Accum,
    left: MatRef<'_, T>,
    right: MatRef<'_, T>,
) {
    let (rows, columns) = (out.rows(), out.columns());
    let work = rows.saturating_mul(columns).saturating_mul(left.ncols());
    let by_rows = rows >= 2 * LEAST_ROWS;
    let by_columns = columns >= 2 * LEAST_COLUMNS;
    if work < 2 * LEAST_TILE || !(by_rows || by_columns) {
        return matmul(out.into_faer(), accum.into(), left, right, T::ONE, Par::Seq);
    }
    if by_rows && (rows >= columns || !by_columns) {
        let at = middle(rows, LEAST_ROWS);
        let (top, bottom) = out.split_at_row(at);
        let (left_top, left_bottom) = left.split_at_row(at);
        compute.join(
            || multiply(top, compute, accum, left_top, right),
            || multiply(bottom, compute, accum, left_bottom, right),
        );
    } else {
        let at = middle(columns, LEAST_COLUMNS);
        let (first, second) = out.split_at_column(at);
        let (right_first, right_second) = right.split_at_col(at);
        compute.join(
            || multiply(first, compute, accum, left, right_first),
            || multiply(second, compute, accum, left, right_second),
        );
    }
}

impl From<Accum> for faer::Accum {
    fn from(accum: Accum) -> Self {
        match accum {
            Accum::Replace => faer::Accum::Replace,
            Accum::Add => faer::Accum::Add,
        }
    }
}

/// A factor as numbers with a distance between neighbours in a column (`down`) and in a row
/// (`across`).
#[derive(Clone, Copy)]
struct Factor<'a, T> {
    data: &'a [T],
    down: usize,
    across: usize,
}

/// Columns of the output, of which the first is column `first` of the whole.
struct Piece<'a, T> {
    out: ColumnsMut<'a, T>,
    first: usize,
}

impl<T: Real> SplitColumns for Piece<'_, T> {
    fn width(&self) -> usize {
        self.out.columns()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let (left, right) = self.out.split_at_column(at);
        (Piece { out: left, first: self.first }, Piece { out: right, first: self.first + at })
    }
}

/// The fixed-order kernel: every element is a chain of fused multiply-adds over ascending `k`, in
/// blocks of 512 terms.
///
/// It advances many chains together, along the side of the output on which a factor is contiguous.
struct Chains<'a, T> {
    piece: Piece<'a, T>,
    accum: Accum,
    left: Factor<'a, T>,
    right: Factor<'a, T>,
    depth: usize,
}

impl<T: Real> pulp::WithSimd for Chains<'_, T> {
    type Output = ();

    // Plain loops, vectorised by the compiler. Not a closure: one of this size is not inlined, and
    // would be compiled without the instructions of the level.
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        chains(self);
    }
}

#[inline(always)]
fn chains<T: Real>(work: Chains<'_, T>) {
    if work.left.down == 1 && work.piece.out.rows() > 1 {
        match work.depth {
            1 => return few::<T, 1>(work),
            2 => return few::<T, 2>(work),
            FEW => return few::<T, FEW>(work),
            _ => {}
        }
    }
    let Chains { piece, accum, left, right, depth } = work;
    let (rows, columns, stride) = (piece.out.rows(), piece.out.columns(), piece.out.stride());
    let out = piece.out.into_slice();
    let right = Factor { data: &right.data[piece.first * right.across..], ..right };
    let down_rows = if left.down == 1 { rows > 1 } else { right.across != 1 || columns == 1 };
    // The transpose of the right factor, seen from its side, is a left factor.
    let turned = Factor { data: right.data, down: right.across, across: right.down };
    let (along, other, wide, lines, step, jump) = match down_rows {
        true => (left, turned, rows, columns, 1, stride),
        false => (turned, left, columns, rows, stride, 1),
    };
    // As many chains as keep the vector units busy while their sums travel through the cache.
    const CHAINS: usize = 128;
    for line in 0..lines {
        for first in (0..wide).step_by(CHAINS) {
            let count = CHAINS.min(wide - first);
            for start in (0..depth).step_by(DEPTH) {
                let mut sums = [T::ZERO; CHAINS];
                let sums = &mut sums[..count];
                for k in start..depth.min(start + DEPTH) {
                    let factor = other.data[line * other.down + k * other.across];
                    let from = &along.data[first * along.down + k * along.across..];
                    if along.down == 1 {
                        for (sum, &value) in sums.iter_mut().zip(&from[..count]) {
                            *sum = value.mul_add(factor, *sum);
                        }
                    } else {
                        for (sum, &value) in sums.iter_mut().zip(from.iter().step_by(along.down)) {
                            *sum = value.mul_add(factor, *sum);
                        }
                    }
                }
                let replace = accum == Accum::Replace && start == 0;
                let place = &mut out[line * jump + first * step..];
                let store = |number: &mut T, sum| {
                    *number = if replace { sum } else { *number + sum };
                };
                if step == 1 {
                    // A loop of its own, because only this one becomes vector code.
                    place.iter_mut().zip(&*sums).for_each(|(number, &sum)| store(number, sum));
                } else {
                    let numbers = place.iter_mut().step_by(step);
                    numbers.zip(&*sums).for_each(|(number, &sum)| store(number, sum));
                }
            }
        }
    }
}

/// So few terms that the output's way through the processor is what takes time: each of its numbers
/// is touched once, and no sum is kept anywhere. The left factor's columns are contiguous.
#[inline(always)]
fn few<T: Real, const K: usize>(Chains { piece, accum, left, right, .. }: Chains<'_, T>) {
    let Piece { mut out, first } = piece;
    let rows = out.rows();
    let terms: [&[T]; K] = std::array::from_fn(|k| &left.data[k * left.across..][..rows]);
    for j in 0..out.columns() {
        let place = (first + j) * right.across;
        let factors: [T; K] = std::array::from_fn(|k| right.data[place + k * right.down]);
        let column = &mut out.column(j)[..rows];
        for r in 0..rows {
            let mut sum = T::ZERO;
            for k in 0..K {
                sum = terms[k][r].mul_add(factors[k], sum);
            }
            column[r] = if accum == Accum::Replace { sum } else { column[r] + sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tile_is_smaller_than_its_least() {
        for least in [LEAST_ROWS, LEAST_COLUMNS] {
            for side in 2 * least..20 * least {
                let at = middle(side, least);
                assert!(at >= least && side - at >= least, "{side} is cut at {at}");
                assert!(
                    at.is_multiple_of(least) && at.abs_diff(side - at) <= least + 1,
                    "{side} at {at}"
                );
            }
        }
    }
}
