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

use crate::elementary::Elementary;
use crate::{Columns, ColumnsMut, Compute, Numbers, Real, Vectorized};

/// The largest errors of [`exp`], [`sigmoid`] and [`tanh`], in units in the last place.
#[doc(hidden)]
pub const ULP_BOUNDS: [f64; 3] = [1.01, 1.66, 1.47];

/// `e^x` of a reduced argument, as the three parts that its callers put together differently.
struct Reduced<N> {
    /// The nearest integer to `x / ln 2`.
    n: N,
    /// `ROUND + n`, whose low bits hold `n` as an integer.
    shifted: N,
    /// `e^(x - n ln 2) - 1`, between -0.30 and 0.42.
    fraction: N,
}

/// Writes `e^x` as `2^n (1 + fraction)`, for `x` from `EXP_LOWEST` to `EXP_HIGHEST` or NaN.
#[inline(always)]
fn reduce<T: Real, N: Numbers<Number = T>>(x: N) -> Reduced<N> {
    // Adding 1.5 * 2^(mantissa bits) rounds to an integer, and leaves it in the low bits.
    let shifted = x.mul_add(x.all(T::LOG2_OF_E), x.all(T::ROUND));
    let n = shifted - x.all(T::ROUND);
    // The high part of ln 2 is short enough that its product with n is exact (Cody and Waite).
    let r = n.mul_add(x.all(-T::LN_2_LOW), n.mul_add(x.all(-T::LN_2_HIGH), x));
    let fraction = (r * r).mul_add(T::exp_tail(r), r);
    Reduced { n, shifted, fraction }
}

/// `e^x`.
///
/// Overflows to infinity above ln of the largest number and underflows gradually, to zero below
/// ln of half the smallest subnormal number.
#[inline(always)]
pub fn exp<N: Numbers>(x: N) -> N {
    let [one, half, round] = constants(x, [Real::ONE, Elementary::HALF, Elementary::ROUND]);
    let [lowest, highest] = constants(x, [Elementary::EXP_LOWEST, Elementary::EXP_HIGHEST]);
    // Selects that keep x unless it is beyond, so that NaN stays.
    let x = highest.if_less(x, highest, x);
    let x = x.if_less(lowest, lowest, x);
    let Reduced { n, shifted, fraction } = reduce(x);
    // 2^n itself may not be a number of the type where the result is, so it is two factors. The
    // first product is exact and the second rounds once.
    let first = n.mul_add(half, round);
    (one + fraction) * first.power_of_two() * (shifted - (first - round)).power_of_two()
}

/// The logistic function `1 / (1 + e^-x)`, in [0, 1].
///
/// Strictly between 0 and 1 for `|x| <= 15`; accurate relative to the result on both sides, down
/// to gradual underflow at about -88 (f32) and -709 (f64).
#[inline(always)]
pub fn sigmoid<N: Numbers>(x: N) -> N {
    let [zero, one, lowest] = constants(x, [Real::ZERO, Real::ONE, Elementary::EXP_LOWEST]);
    let [raise, lower] = constants(x, [Elementary::RAISE, Elementary::LOWER]);
    let y = -x.abs();
    let y = y.if_less(lowest, lowest, y);
    let Reduced { shifted, fraction, .. } = reduce(y);
    // y is not positive, so one factor that is raised by a constant can never overflow.
    let e = (one + fraction) * (shifted + raise).power_of_two() * lower;
    // With q = e / (1 + e), sigmoid(|x|) = 1 - q and sigmoid(-|x|) = e (1 - q). Both are `a - a q`,
    // which rounds better than a quotient because q is small where e is.
    let q = e / (one + e);
    let a = x.if_less(zero, e, one);
    a.mul_add(-q, a)
}

/// The hyperbolic tangent, in [-1, 1].
///
/// Exactly odd: `tanh(-x)` has the bits of `-tanh(x)`, also at zero.
#[inline(always)]
pub fn tanh<N: Numbers>(x: N) -> N {
    let [one, two] = constants(x, [Real::ONE, Elementary::TWO]);
    let [limit, saturated] = constants(x, [Elementary::TANH_SMALL, Elementary::TANH_SATURATED]);
    let y = x.abs();
    let y = saturated.if_less(y, saturated, y);
    // Near zero the other form cancels, so below 0.55 (tanh is 1/2 at 0.5493) a polynomial.
    let z = y * y;
    let small = (y * z).mul_add(Elementary::tanh_tail(z), y);
    let Reduced { shifted, fraction, .. } = reduce(y + y);
    let e = (one + fraction) * shifted.power_of_two();
    let large = one - two / (one + e);
    y.if_less(limit, small, large).with_sign_of(x)
}

/// Each of `values` beside each of the numbers of `x`.
#[inline(always)]
fn constants<N: Numbers, const COUNT: usize>(x: N, values: [N::Number; COUNT]) -> [N; COUNT] {
    let mut constants = [x; COUNT];
    for k in 0..COUNT {
        constants[k] = x.all(values[k]);
    }
    constants
}

/// The rectifier `max(x, 0)`; NaN stays NaN.
#[inline(always)]
pub fn relu<N: Numbers>(x: N) -> N {
    let zero = x.all(Real::ZERO);
    x.if_less(zero, zero, x)
}

/// The derivative of [`relu`], from its value `y`; 0 at 0, as in PyTorch.
#[inline(always)]
pub fn relu_slope<N: Numbers>(y: N) -> N {
    let zero = y.all(Real::ZERO);
    y.if_at_most(zero, zero, y.all(Real::ONE))
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
