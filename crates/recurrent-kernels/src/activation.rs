//! Activations: exp, sigmoid and tanh as own polynomials, and relu, written for vectorised loops.
//!
//! Each function is a straight line of multiply-adds and selects that is always inlined, so a
//! plain loop over a slice inside [`Level::run`](crate::Level::run) becomes vector code. The
//! operations are the same at every level and all are rounded as IEEE 754 says, so the bits are
//! the same too, on every machine; the host's libm is never asked.
//!
//! # Accuracy
//! Largest error in units in the last place (ULP) of the exact result:
//!
//! | | f32, all 2^32 inputs | f64, sampled against double-double arithmetic |
//! |---|---|---|
//! | [`exp`] | 1.01 | 1.01 |
//! | [`sigmoid`] | 1.66 | 1.66 |
//! | [`tanh`] | 1.47 | 1.47 |
//!
//! The tests enforce these figures ([`ULP_BOUNDS`]); `cargo run --release -p recurrent-kernels
//! --example ulp` measures f32 over every input there is.
//!
//! # Special values
//! NaN gives NaN and the infinities give their limits. Subnormal inputs and results are ordinary
//! numbers here: nothing is flushed to zero, `exp` and `sigmoid` underflow gradually, and the
//! table above holds for subnormal results. A thread that has set its processor to flush
//! subnormals gets zeros instead.
//!
//! # Polynomials
//! Minimax polynomials found for this crate with the Remez exchange algorithm in 240-bit
//! arithmetic, minimising the relative error of the function, and then rounded to the type. With
//! the rounded coefficients the relative error of `e^r` on `|r| <= 0.3466` is 2^-27.9 (f32) and
//! 2^-60.2 (f64), that of `tanh` on `|x| <= 0.55` is 2^-27.7 (f32) and 2^-58.5 (f64).

use crate::{Columns, ColumnsMut, Compute, Real, Vectorized};

/// The largest errors of [`exp`], [`sigmoid`] and [`tanh`], in units in the last place.
#[doc(hidden)]
pub const ULP_BOUNDS: [f64; 3] = [1.01, 1.66, 1.47];

/// `e^x` of a reduced argument, as the three parts that its callers put together differently.
struct Reduced<T> {
    /// The nearest integer to `x / ln 2`.
    n: T,
    /// `ROUND + n`, whose low bits hold `n` as an integer.
    shifted: T,
    /// `e^(x - n ln 2) - 1`, between -0.30 and 0.42.
    fraction: T,
}

/// Writes `e^x` as `2^n (1 + fraction)`, for `x` from `EXP_LOWEST` to `EXP_HIGHEST` or NaN.
#[inline(always)]
fn reduce<T: Real>(x: T) -> Reduced<T> {
    // Adding 1.5 * 2^(mantissa bits) rounds to an integer, and leaves it in the low bits.
    let shifted = x.mul_add(T::LOG2_OF_E, T::ROUND);
    let n = shifted - T::ROUND;
    // The high part of ln 2 is short enough that its product with n is exact (Cody and Waite).
    let r = n.mul_add(-T::LN_2_LOW, n.mul_add(-T::LN_2_HIGH, x));
    let fraction = (r * r).mul_add(r.exp_tail(), r);
    Reduced { n, shifted, fraction }
}

/// `e^x`.
///
/// Overflows to infinity above ln of the largest number and underflows gradually, to zero below
/// ln of half the smallest subnormal number.
#[inline(always)]
pub fn exp<T: Real>(x: T) -> T {
    // Selects that keep x unless it is beyond, so that NaN stays.
    let x = if x > T::EXP_HIGHEST { T::EXP_HIGHEST } else { x };
    let x = if x < T::EXP_LOWEST { T::EXP_LOWEST } else { x };
    let Reduced { n, shifted, fraction } = reduce(x);
    // 2^n itself may not be a number of the type where the result is, so it is two factors. The
    // first product is exact and the second rounds once.
    let half = n.mul_add(T::HALF, T::ROUND);
    (T::ONE + fraction) * half.power_of_two() * (shifted - (half - T::ROUND)).power_of_two()
}

/// The logistic function `1 / (1 + e^-x)`, in [0, 1].
///
/// Strictly between 0 and 1 for `|x| <= 15`; accurate relative to the result on both sides, down
/// to gradual underflow at about -88 (f32) and -709 (f64).
#[inline(always)]
pub fn sigmoid<T: Real>(x: T) -> T {
    let y = -x.abs();
    let y = if y < T::EXP_LOWEST { T::EXP_LOWEST } else { y };
    let Reduced { shifted, fraction, .. } = reduce(y);
    // y is not positive, so one factor that is raised by a constant can never overflow.
    let e = (T::ONE + fraction) * (shifted + T::RAISE).power_of_two() * T::LOWER;
    // With q = e / (1 + e), sigmoid(|x|) = 1 - q and sigmoid(-|x|) = e (1 - q). Both are `a - a q`,
    // which rounds better than a quotient because q is small where e is.
    let q = e / (T::ONE + e);
    let a = if x < T::ZERO { e } else { T::ONE };
    a.mul_add(-q, a)
}

/// The hyperbolic tangent, in [-1, 1].
///
/// Exactly odd: `tanh(-x)` has the bits of `-tanh(x)`, also at zero.
#[inline(always)]
pub fn tanh<T: Real>(x: T) -> T {
    let y = x.abs();
    let y = if y > T::TANH_SATURATED { T::TANH_SATURATED } else { y };
    // Near zero the other form cancels, so below 0.55 (tanh is 1/2 at 0.5493) a polynomial.
    let z = y * y;
    let small = (y * z).mul_add(z.tanh_tail(), y);
    let Reduced { shifted, fraction, .. } = reduce(y + y);
    let e = (T::ONE + fraction) * shifted.power_of_two();
    let large = T::ONE - T::TWO / (T::ONE + e);
    let magnitude = if y < T::TANH_SMALL { small } else { large };
    magnitude.with_sign_of(x)
}

/// The rectifier `max(x, 0)`; NaN stays NaN.
#[inline(always)]
pub fn relu<T: Real>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

/// The derivative of [`relu`], from its value `y`; 0 at 0, as in PyTorch.
#[inline(always)]
pub fn relu_slope<T: Real>(y: T) -> T {
    if y == T::ZERO { T::ZERO } else { T::ONE }
}

/// Numbers below which a second thread costs more than it brings.
const LEAST_NUMBERS: usize = 1 << 14;

/// Every number of `block` becomes its [`tanh`]; divided among the threads.
pub fn tanh_columns<T: Real>(compute: &Compute, block: ColumnsMut<'_, T>) {
    let (level, least) = (compute.level(), LEAST_NUMBERS / block.rows().max(1));
    compute.split(block, least, &|block| level.run(Tanh(block)));
}

/// Undoes [`tanh_columns`], which gave `y`: the gradient of y becomes that of its argument,
/// `d_y <- d_y (1 - y^2)`.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn tanh_columns_backward<T: Real>(
    compute: &Compute,
    y: Columns<'_, T>,
    d_y: ColumnsMut<'_, T>,
) {
    let (own, given) = ((y.rows(), y.columns()), (d_y.rows(), d_y.columns()));
    assert!(
        own == given,
        "a block of {} x {} has no gradient of {} x {}",
        own.0,
        own.1,
        given.0,
        given.1
    );
    let (level, least) = (compute.level(), LEAST_NUMBERS / y.rows().max(1));
    let columns = 0..y.columns();
    compute.split((d_y, columns), least, &|(d_y, columns): (_, std::ops::Range<usize>)| {
        level.run(TanhBackward { y: y.columns_range(columns), d_y });
    });
}

struct Tanh<'a, T>(ColumnsMut<'a, T>);

impl<T: Real> Vectorized for Tanh<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        for j in 0..self.0.columns() {
            for x in self.0.column(j) {
                *x = tanh(*x);
            }
        }
    }
}

struct TanhBackward<'a, T> {
    y: Columns<'a, T>,
    d_y: ColumnsMut<'a, T>,
}

impl<T: Real> Vectorized for TanhBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        for j in 0..self.y.columns() {
            for (d, &y) in self.d_y.column(j).iter_mut().zip(self.y.column(j)) {
                *d *= T::ONE - y * y;
            }
        }
    }
}
