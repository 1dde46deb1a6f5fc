//! Gradient clipping.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Real, Vectorized, norm};

/// Scales all gradients together so that their global norm is at most `most`: Pascanu, Mikolov
/// and Bengio 2013. Gives the norm before; the direction stays.
///
/// ```text
/// norm = sqrt(sum of squares over all parameters)      g <- g most / norm   if norm > most
/// ```
///
/// Nothing is scaled if the norm is not finite: the caller must look at it.
pub fn clip_by_global_norm<T: Real>(
    compute: &Compute,
    gradients: &mut Parameters<T>,
    most: f64,
) -> f64 {
    let norm = norm::sum_of_squares(compute, gradients.as_slice()).sqrt();
    if norm.is_finite() && norm > most {
        let scale = T::from_f64(most / norm);
        let level = compute.level();
        compute.split(gradients.as_mut_slice(), 1 << 14, &|part: &mut [T]| {
            level.run(Scale { part, scale });
        });
    }
    norm
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
