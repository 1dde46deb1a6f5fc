//! Trustworthy values of exp, sigmoid and tanh, and how far a result is from them.

use recurrent_kernels::activation::{exp, sigmoid, tanh};
use recurrent_kernels::{Elementwise, ElementwiseWork, Numbers, Real, Vectors};

type Exact = fn(f64) -> f64;

/// The three functions in `f64` by the libm crate: truth enough for results in `f32`.
pub(crate) const FUNCTIONS: [(&str, Exact); 3] =
    [("exp", libm::exp), ("sigmoid", exact_sigmoid), ("tanh", libm::tanh)];

fn exact_sigmoid(x: f64) -> f64 {
    let e = libm::exp(-libm::fabs(x));
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// The distance of `result` from `truth` in units in the last place of `truth` as an `f32`.
///
/// Infinity counts as 2^128, the number that would come next if exponents went on. NaN for NaN
/// is no distance, NaN for anything else is infinitely far.
pub(crate) fn ulp_error(result: f32, truth: f64) -> f64 {
    if truth.is_nan() || result.is_nan() {
        return if truth.is_nan() && result.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let overflow = libm::ldexp(1.0, 128);
    let result = f64::from(result).clamp(-overflow, overflow);
    let truth = truth.clamp(-overflow, overflow);
    // The exponent of an f64 lies in its bits; f32 has no finer spacing than 2^-149.
    let exponent = ((truth.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let spacing = f64::from_bits(((exponent.clamp(-126, 127) - 23 + 1023) as u64) << 52);
    (result - truth).abs() / spacing
}

/// Replaces every number by its exp (0), sigmoid (1) or tanh (2), several at a time.
pub(crate) struct Apply<'a, T>(pub(crate) usize, pub(crate) &'a mut [T]);

/// The function of this index.
#[derive(Clone, Copy)]
pub(crate) struct Function(pub(crate) usize);

impl<T: Real> Elementwise<T, 1, 0> for Function {
    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [x]: [N; 1], _: [N; 0]) -> [N; 1] {
        match self.0 {
            0 => [exp(x)],
            1 => [sigmoid(x)],
            _ => [tanh(x)],
        }
    }
}

impl<T: Real> ElementwiseWork for Apply<'_, T> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        vectors.elementwise(&Function(self.0), [self.1], []);
    }
}
