//! Gradients held against central differences, in f64.
//!
//! ```text
//! (loss(x + s) - loss(x - s)) / 2 s,   s = 6e-6 max(1, |x|)
//! ```
//! The error of the difference is about s^2 from truncation and 1e-16 |loss| / s from rounding,
//! so that a relative tolerance of 1e-6 beside an absolute one of 1e-8 is sharp and safe.

/// Relative tolerance.
pub const RELATIVE: f64 = 1e-6;
/// Absolute tolerance.
pub const ABSOLUTE: f64 = 1e-8;

/// Asserts that `gradient` is the gradient of `loss` at `point`.
///
/// # Panics
/// Names the element with the largest excess over the tolerance.
#[track_caller]
pub fn assert_gradient(
    what: &str,
    point: &mut [f64],
    gradient: &[f64],
    mut loss: impl FnMut(&[f64]) -> f64,
) {
    assert_eq!(point.len(), gradient.len(), "{what}: lengths of point and gradient");
    let mut worst = (0.0, String::new());
    for k in 0..point.len() {
        let x = point[k];
        let s = 6e-6 * x.abs().max(1.0);
        point[k] = x + s;
        let above = loss(point);
        point[k] = x - s;
        let below = loss(point);
        point[k] = x;
        // The distance as the machine made it, not as it was asked for.
        let numeric = (above - below) / ((x + s) - (x - s));
        let tolerance = ABSOLUTE + RELATIVE * numeric.abs();
        let excess = (gradient[k] - numeric).abs() / tolerance;
        if excess > worst.0 || excess.is_nan() {
            let text = format!("element {k}: {} by backward, {numeric} by difference", gradient[k]);
            worst = (if excess.is_nan() { f64::INFINITY } else { excess }, text);
        }
    }
    assert!(worst.0 <= 1.0, "{what}: {} ({:.1} times the tolerance)", worst.1, worst.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "element 1")]
    fn a_wrong_gradient_is_named() {
        assert_gradient("x^2 y", &mut [3.0, 2.0], &[12.0, 9.001], |v| v[0] * v[0] * v[1]);
    }
}
