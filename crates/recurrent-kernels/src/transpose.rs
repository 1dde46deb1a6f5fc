//! Turning a block: rows become columns.

use crate::{Columns, ColumnsMut, Level, Real, Vectorized};

/// Rows and columns that are turned together, in registers.
const SIDE: usize = 8;

/// `target[j, r] = source[r, j]`.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn transpose<T: Real>(level: Level, source: Columns<'_, T>, target: ColumnsMut<'_, T>) {
    assert!((source.rows(), source.columns()) == (target.columns(), target.rows()));
    T::turn(level, source, target);
}

/// A type of number whose blocks can be turned.
pub trait Turn: Sized {
    /// Turns a block of fitting shape.
    fn turn(level: Level, source: Columns<'_, Self>, target: ColumnsMut<'_, Self>);
}

impl Turn for f32 {
    fn turn(level: Level, source: Columns<'_, f32>, target: ColumnsMut<'_, f32>) {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = level.avx2() {
            return pulp::Simd::vectorize(simd, avx2::Run(simd, source, target));
        }
        level.run(Transpose { source, target, turn: turn_square });
    }
}

impl Turn for f64 {
    fn turn(level: Level, source: Columns<'_, f64>, target: ColumnsMut<'_, f64>) {
        level.run(Transpose { source, target, turn: turn_square });
    }
}

/// Numbers of 8 columns in 8 rows.
type Square<T> = [[T; SIDE]; SIDE];

#[inline(always)]
fn turn_square<T: Real>(columns: Square<T>) -> Square<T> {
    let mut rows = [[T::ZERO; SIDE]; SIDE];
    for j in 0..SIDE {
        for r in 0..SIDE {
            rows[r][j] = columns[j][r];
        }
    }
    rows
}

/// All of a block, with a way to turn a square.
struct Transpose<'a, T, F> {
    source: Columns<'a, T>,
    target: ColumnsMut<'a, T>,
    turn: F,
}

impl<T: Real, F: Fn(Square<T>) -> Square<T>> Vectorized for Transpose<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Transpose { source, mut target, turn } = self;
        let (rows, columns) = (source.rows(), source.columns());
        let (square_rows, square_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
        for j in (0..square_columns).step_by(SIDE) {
            for r in (0..square_rows).step_by(SIDE) {
                let mut square = [[T::ZERO; SIDE]; SIDE];
                for i in 0..SIDE {
                    square[i].copy_from_slice(&source.column(j + i)[r..r + SIDE]);
                }
                let square = turn(square);
                for i in 0..SIDE {
                    target.column(r + i)[j..j + SIDE].copy_from_slice(&square[i]);
                }
            }
        }
        // The edges: rows below the squares, then columns beside them.
        for r in square_rows..rows {
            for (j, place) in target.column(r)[..square_columns].iter_mut().enumerate() {
                *place = source.column(j)[r];
            }
        }
        for j in square_columns..columns {
            for (r, &number) in source.column(j).iter().enumerate() {
                target.column(r)[j] = number;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::__m256;

    use pulp::x86::V3;

    use super::{Square, Transpose};
    use crate::{Columns, ColumnsMut, Vectorized};

    /// Turns a block with the instructions of AVX2.
    pub(super) struct Run<'a>(
        pub(super) V3,
        pub(super) Columns<'a, f32>,
        pub(super) ColumnsMut<'a, f32>,
    );

    impl pulp::NullaryFnOnce for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn call(self) {
            let Run(simd, source, target) = self;
            // Small enough to be inlined, which a closure cannot be told.
            Transpose { source, target, turn: |square| turn_square(simd, square) }.run();
        }
    }

    /// Neighbouring pairs, then pairs of pairs, then halves of registers change places.
    #[inline(always)]
    fn turn_square(simd: V3, columns: Square<f32>) -> Square<f32> {
        let avx = simd.avx;
        let c: [__m256; 8] = columns.map(pulp::cast);
        let mut pairs = c;
        for i in [0, 2, 4, 6] {
            pairs[i] = avx._mm256_unpacklo_ps(c[i], c[i + 1]);
            pairs[i + 1] = avx._mm256_unpackhi_ps(c[i], c[i + 1]);
        }
        let mut fours = pairs;
        for i in [0, 4] {
            // Rows i and i + 4, then i + 1 and i + 5, and so on, of four columns.
            fours[i] = avx._mm256_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
            fours[i + 1] = avx._mm256_shuffle_ps::<0xEE>(pairs[i], pairs[i + 2]);
            fours[i + 2] = avx._mm256_shuffle_ps::<0x44>(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = avx._mm256_shuffle_ps::<0xEE>(pairs[i + 1], pairs[i + 3]);
        }
        let mut rows = fours;
        for i in 0..4 {
            rows[i] = avx._mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            rows[i + 4] = avx._mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        }
        rows.map(pulp::cast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    fn check<T: Real>(level: Level, rows: usize, columns: usize) {
        let number = |r: usize, j: usize| T::from_f64((r * 100 + j) as f64);
        let source = Matrix::from_fn(rows + 2, columns, number);
        let source = source.as_ref().rows_range(1..rows + 1);
        let gap = T::from_f64(-1.0);
        let mut target = Matrix::from_fn(columns + 3, rows, |_, _| gap);
        transpose(level, source, target.as_mut().rows_range(2..columns + 2));
        for r in 0..rows {
            let column = target.as_ref().column(r);
            assert_eq!([column[0], column[1], column[columns + 2]], [gap; 3]);
            for j in 0..columns {
                assert_eq!(column[j + 2], number(r + 1, j), "row {r}, column {j}");
            }
        }
    }

    #[test]
    fn every_number_finds_its_place() {
        for level in Level::available() {
            for (rows, columns) in [(0, 3), (3, 0), (1, 1), (7, 9), (8, 8), (16, 24), (19, 37)] {
                check::<f32>(level, rows, columns);
                check::<f64>(level, rows, columns);
            }
        }
    }
}
