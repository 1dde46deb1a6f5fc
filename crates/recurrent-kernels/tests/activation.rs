//! exp, sigmoid and tanh: their error, their special values, and the same bits at every level.

#[path = "support/truth.rs"]
mod truth;

#[path = "support/double_double.rs"]
mod double_double;

use proptest::prelude::*;
use recurrent_kernels::{Elementwise, Level, Real, activation};
use truth::{Apply, FUNCTIONS, Function, ulp_error};

/// Replaces every number by its exp (0), sigmoid (1) or tanh (2), vectorised at `level`.
fn apply<T: Real>(level: Level, function: usize, values: &mut [T]) {
    level.run_elementwise(Apply(function, values));
}

/// Every 1021st bit pattern: all exponents, both signs, subnormals, infinities and NaN.
fn strided_patterns() -> Vec<f32> {
    (0..=u32::MAX).step_by(1021).map(f32::from_bits).collect()
}

#[test]
fn f32_errors_stay_within_the_stated_bounds() {
    let inputs = strided_patterns();
    for (function, (name, exact)) in FUNCTIONS.iter().enumerate() {
        let mut results = inputs.clone();
        apply(Level::detect(), function, &mut results);
        for (&x, &result) in inputs.iter().zip(&results) {
            let truth = exact(f64::from(x));
            let error = ulp_error(result, truth);
            assert!(
                error <= activation::ULP_BOUNDS[function],
                "{name}({x:e}) = {result:e} and not {truth:e}: {error} ULP"
            );
        }
    }
}

#[test]
fn f64_errors_stay_within_the_stated_bounds() {
    // Dense where the functions bend, then every exponent of both signs.
    let dense = (0..200_000).map(|i| (f64::from(i) - 100_000.0) * 2.5e-4 + 1e-9);
    let wide = (0..200_000).map(|i| (f64::from(i) - 100_000.0) * 7.5e-3 + 1e-7);
    let exponents = (-1074..=1023).flat_map(|exponent| {
        let magnitude = libm::ldexp(1.0 + 0.37 * f64::from(exponent & 3) / 2.0, exponent);
        [magnitude, -magnitude]
    });
    let inputs: Vec<f64> = dense.chain(wide).chain(exponents).collect();
    for (function, (name, _)) in FUNCTIONS.iter().enumerate() {
        let mut results = inputs.clone();
        apply(Level::detect(), function, &mut results);
        let mut worst = (0.0, 0.0);
        for (&x, &result) in inputs.iter().zip(&results) {
            let error = double_double::ulp_error(function, x, result);
            if error.is_nan() || error > worst.1 {
                worst = (x, error);
            }
        }
        assert!(
            worst.1 <= activation::ULP_BOUNDS[function],
            "{name}({:e}) is {} ULP off",
            worst.0,
            worst.1
        );
    }
}

fn special_values<T: Real>() {
    let infinity = T::ONE / T::ZERO;
    let nan = T::from_f64(f64::NAN);
    assert!(activation::exp(nan).is_nan() && activation::exp(-nan).is_nan());
    assert!(activation::sigmoid(nan).is_nan() && activation::sigmoid(-nan).is_nan());
    assert!(activation::tanh(nan).is_nan() && activation::tanh(-nan).is_nan());
    assert_eq!(activation::exp(infinity), infinity);
    assert_eq!(activation::exp(-infinity), T::ZERO);
    assert_eq!(activation::exp(T::ZERO), T::ONE);
    assert_eq!(activation::sigmoid(infinity), T::ONE);
    assert_eq!(activation::sigmoid(-infinity), T::ZERO);
    assert_eq!(activation::sigmoid(T::ZERO), T::from_f64(0.5));
    assert_eq!(activation::tanh(infinity), T::ONE);
    assert_eq!(activation::tanh(-infinity), -T::ONE);
    // 1 / -0 is -inf: the only way to see the sign of a zero by arithmetic.
    assert_eq!(T::ONE / activation::tanh(-T::ZERO), -infinity);
    assert_eq!(T::ONE / activation::tanh(T::ZERO), infinity);
}

#[test]
fn special_values_go_where_they_must() {
    special_values::<f32>();
    special_values::<f64>();
}

#[test]
fn results_stay_in_range_and_tanh_is_odd() {
    for x in strided_patterns().into_iter().filter(|x| !x.is_nan()) {
        let (s, t) = (activation::sigmoid(x), activation::tanh(x));
        assert!((0.0..=1.0).contains(&s), "sigmoid({x:e}) = {s:e}");
        assert!(x.abs() > 15.0 || (s > 0.0 && s < 1.0), "sigmoid({x:e}) = {s:e}");
        assert!(t.abs() <= 1.0, "tanh({x:e}) = {t:e}");
        assert_eq!(activation::tanh(-x).to_bits(), (-t).to_bits(), "tanh({x:e})");
    }
}

#[test]
fn underflow_is_gradual() {
    assert_eq!(activation::exp(-103.9_f32), f32::from_bits(1));
    assert_eq!(activation::exp(-104.1_f32), 0.0);
    assert_eq!(activation::sigmoid(-103.9_f32), f32::from_bits(1));
    assert_eq!(activation::exp(-745.1_f64), f64::from_bits(1));
    assert_eq!(activation::sigmoid(-745.1_f64), f64::from_bits(1));
    assert_eq!(activation::exp(-745.2_f64), 0.0);
    assert!(activation::exp(88.72_f32).is_finite() && activation::exp(88.73_f32).is_infinite());
    assert!(activation::exp(709.78_f64).is_finite() && activation::exp(709.79_f64).is_infinite());
}

fn same_bits_at_every_level<T: Real>(values: &[f64]) {
    let inputs: Vec<T> = values.iter().map(|&x| T::from_f64(x)).collect();
    for function in 0..3 {
        // One number at a time: the oracle.
        let one = |&x: &T| Elementwise::<T, 1, 0>::apply(&Function(function), [x], [])[0];
        let expected: Vec<T> = inputs.iter().map(one).collect();
        for level in Level::available() {
            let mut results = inputs.clone();
            apply(level, function, &mut results);
            for (i, (a, b)) in results.iter().zip(&expected).enumerate() {
                // NaN payloads are the only bits that nobody promises.
                let same = a.to_f64().to_bits() == b.to_f64().to_bits()
                    || (a.to_f64().is_nan() && b.to_f64().is_nan());
                assert!(same, "{} {level:?} at {}", FUNCTIONS[function].0, values[i]);
            }
        }
    }
}

proptest! {
    #[test]
    fn levels_agree_bit_for_bit(
        values in prop::collection::vec(prop_oneof![any::<f64>(), -20.0..20.0, -800.0..800.0], 0..70)
    ) {
        same_bits_at_every_level::<f32>(&values);
        same_bits_at_every_level::<f64>(&values);
    }
}
