//! Gradients held against central differences, in f64.
//!
//! ```text
//! D(s) = (loss(x + s) - loss(x - s)) / 2 s,   s = 6e-6 max(1, |x|)
//! ```
//! The error of the difference is about s^2 from truncation and 1e-16 |loss| / s from rounding,
//! so that a relative tolerance of 1e-6 beside an absolute one of 1e-8 is sharp and safe. Where a
//! gradient does not agree, the function may be so bent that truncation is more: then a difference
//! whose error is about s^4 decides (Richardson), R(s) = (4 D(s / 2) - D(s)) / 3.
//!
//! A function with kinks (relu, a clip, a maximum) has no such difference where a kink lies between
//! the two points. Only where a gradient does not agree is this looked into: R(s) and R(s / 2) of a
//! smooth function differ by less than the tolerance, and around a kink they do not, whatever the
//! gradient under test says. Such a pair is skipped and counted; callers bound the share.

use recurrent_cells::Parameters;
use recurrent_kernels::Real;

/// Relative tolerance.
pub const RELATIVE: f64 = 1e-6;
/// Absolute tolerance.
pub const ABSOLUTE: f64 = 1e-8;
/// The largest share of pairs that may be skipped for kinks.
pub const MOST_SKIPPED: f64 = 0.01;

/// What a comparison with central differences found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Elements compared, those skipped included.
    pub pairs: usize,
    /// Elements with a kink between the two points.
    pub skipped: usize,
    /// The largest distance, in tolerances, of the others: at most 1 if all agree.
    pub worst: f64,
    /// Where that is, in words.
    pub place: String,
}

impl Comparison {
    /// Takes another one in.
    pub fn add(&mut self, other: Comparison) {
        self.pairs += other.pairs;
        self.skipped += other.skipped;
        if other.worst > self.worst || self.place.is_empty() {
            (self.worst, self.place) = (other.worst, other.place);
        }
    }
}

/// Compares `gradient` with the central differences of `loss` at `point`, element by element. The
/// point is as before afterwards.
///
/// # Panics
/// If there are not as many gradients as numbers.
#[track_caller]
pub fn compare_gradient(
    what: &str,
    point: &mut [f64],
    gradient: &[f64],
    mut loss: impl FnMut(&[f64]) -> f64,
) -> Comparison {
    assert_eq!(point.len(), gradient.len(), "{what}: lengths of point and gradient");
    let mut found = Comparison { pairs: point.len(), ..Comparison::default() };
    for k in 0..point.len() {
        let x = point[k];
        let s = 6e-6 * x.abs().max(1.0);
        let mut difference = |s: f64| {
            point[k] = x + s;
            let above = loss(point);
            point[k] = x - s;
            let below = loss(point);
            point[k] = x;
            // The distance as the machine made it, not as it was asked for.
            (above - below) / ((x + s) - (x - s))
        };
        let mut numeric = difference(s);
        let tolerance = ABSOLUTE + RELATIVE * numeric.abs();
        let mut excess = (gradient[k] - numeric).abs() / tolerance;
        if excess > 1.0 {
            let [near, nearest] = [s / 2.0, s / 4.0].map(difference);
            let [rough, fine] =
                [(numeric, near), (near, nearest)].map(|(d, e)| (4.0 * e - d) / 3.0);
            if (fine - rough).abs() > tolerance {
                found.skipped += 1;
                continue;
            }
            numeric = fine;
            excess = (gradient[k] - numeric).abs() / tolerance;
        }
        if excess <= found.worst && !excess.is_nan() {
            continue;
        }
        found.worst = if excess.is_nan() { f64::INFINITY } else { excess };
        found.place =
            format!("{what}, element {k}: {} by backward, {numeric} by difference", gradient[k]);
    }
    found
}

/// What `backward` adds to gradients that are all `start`. Where that is not 0, a gradient which
/// replaces what was there before shows, but the last bits of what is added are lost.
pub fn added<T: Real>(
    start: T,
    parameters: &Parameters<T>,
    backward: impl FnOnce(&mut Parameters<T>),
) -> Parameters<T> {
    let mut gradients = parameters.zeros_like();
    gradients.as_mut_slice().fill(start);
    backward(&mut gradients);
    gradients.as_mut_slice().iter_mut().for_each(|gradient| *gradient -= start);
    gradients
}

/// Asserts that `gradient` is the gradient of `loss` at `point`, and that `loss` has no kink there.
///
/// # Panics
/// Names the element with the largest excess over the tolerance, or says that there are kinks.
#[track_caller]
pub fn assert_gradient(
    what: &str,
    point: &mut [f64],
    gradient: &[f64],
    loss: impl FnMut(&[f64]) -> f64,
) {
    let found = compare_gradient(what, point, gradient, loss);
    assert!(found.worst <= 1.0, "{} ({:.1} times the tolerance)", found.place, found.worst);
    assert!(found.skipped == 0, "{what}: {} kinks in a smooth function", found.skipped);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "element 1")]
    fn a_wrong_gradient_is_named() {
        assert_gradient("x^2 y", &mut [3.0, 2.0], &[12.0, 9.001], |v| v[0] * v[0] * v[1]);
    }

    /// At 0 the difference of c x^3 is off by more than the tolerance.
    #[test]
    fn a_bent_function_has_a_gradient_all_the_same() {
        for c in [333.0, 5000.0] {
            let loss = |v: &[f64]| c * v[0] * v[0] * v[0];
            assert_gradient("c x^3", &mut [0.0], &[0.0], loss);
            let off = compare_gradient("c x^3", &mut [0.0], &[-1.1e-8], loss);
            assert!(off.worst > 1.0 && off.skipped == 0, "{off:?}");
        }
    }

    #[test]
    fn kinks_are_skipped_and_wrong_gradients_beside_them_are_not() {
        // One kink between the points, one far away.
        let loss = |v: &[f64]| (v[0] - 1.0).abs() + (v[1] - 1.0).abs();
        let mut point = [1.0 + 2e-6, 3.0];
        let found = compare_gradient("|x - 1|", &mut point, &[1.0, 1.0], loss);
        assert_eq!((found.pairs, found.skipped), (2, 1));
        assert!(found.worst <= 1.0);
        let found = compare_gradient("|x - 1|", &mut point, &[1.0, -1.0], loss);
        assert!(found.worst > 1.0, "{found:?}");
    }
}
