//! Gradient clipping: by value, and by the global norm.
//!
//! A trainer that is told to do both clips by value first. Then both limits hold, for scaling down
//! makes no number larger; and one wild number is cut off before it can shrink all the others.

use std::sync::atomic::{AtomicBool, Ordering};

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Real, Vectorized, norm};

/// Fewer numbers than this are not worth a thread of their own.
const LEAST_NUMBERS: usize = 1 << 14;

#[track_caller]
fn require_limit(what: &str, most: f64) {
    assert!(most > 0.0, "a gradient's {what} must be limited to something above 0, not to {most}");
}

/// Scales all gradients together so that their global norm is at most `most`: Pascanu, Mikolov
/// and Bengio 2013. Gives the norm before; the direction stays.
///
/// ```text
/// norm = sqrt(sum of squares over all parameters)      g <- g most / norm   if norm > most
/// ```
///
/// Nothing is scaled if the norm is not finite: the caller must look at it. (PyTorch divides by
/// `norm + 1e-6`.)
///
/// # Panics
/// If `most` is not above 0.
#[track_caller]
pub fn clip_by_global_norm<T: Real>(
    compute: &Compute,
    gradients: &mut Parameters<T>,
    most: f64,
) -> f64 {
    require_limit("norm", most);
    let norm = global_norm(compute, gradients);
    limit_norm(compute, gradients, norm, most);
    norm
}

/// The square root of the sum of squares over all parameters.
pub(crate) fn global_norm<T: Real>(compute: &Compute, gradients: &Parameters<T>) -> f64 {
    norm::sum_of_squares(compute, gradients.as_slice()).sqrt()
}

/// Scales gradients of this norm so that it is at most `most`; says whether it was more.
pub(crate) fn limit_norm<T: Real>(
    compute: &Compute,
    gradients: &mut Parameters<T>,
    norm: f64,
    most: f64,
) -> bool {
    if !norm.is_finite() || norm <= most {
        return false;
    }
    let scale = T::from_f64(most / norm);
    let level = compute.level();
    compute.split(gradients.as_mut_slice(), LEAST_NUMBERS, &|part: &mut [T]| {
        level.run(Scale { part, scale });
    });
    true
}

/// Brings every gradient into [-most, most]; says whether one was outside. The direction changes.
///
/// ```text
/// g <- most if g > most, -most if g < -most
/// ```
///
/// NaN stays NaN: the caller must look at it.
///
/// # Panics
/// If `most` is not above 0.
#[track_caller]
pub fn clip_by_value<T: Real>(compute: &Compute, gradients: &mut Parameters<T>, most: f64) -> bool {
    require_limit("numbers", most);
    let (most, level) = (T::from_f64(most), compute.level());
    let clipped = AtomicBool::new(false);
    compute.split(gradients.as_mut_slice(), LEAST_NUMBERS, &|part: &mut [T]| {
        if level.run(Bound { part, most }) {
            clipped.store(true, Ordering::Relaxed);
        }
    });
    clipped.into_inner()
}

struct Scale<'a, T> {
    part: &'a mut [T],
    scale: T,
}

impl<T: Real> Vectorized for Scale<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.part.iter_mut().for_each(|g| *g *= self.scale);
    }
}

/// Says whether a number was outside.
struct Bound<'a, T> {
    part: &'a mut [T],
    most: T,
}

impl<T: Real> Vectorized for Bound<'_, T> {
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        let mut clipped = false;
        for g in self.part {
            let (above, below) = (*g > self.most, *g < -self.most);
            clipped |= above | below;
            *g = if above { self.most } else { *g };
            *g = if below { -self.most } else { *g };
        }
        clipped
    }
}
