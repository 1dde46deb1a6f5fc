//! Adam and AdamW.

use recurrent_kernels::Real;

use super::piece::{Piece, Rule};

/// Its constants at one step. The first moment is kept first, then the second.
pub(super) struct Adam<T> {
    beta1: T,
    beta2: T,
    rest1: T,
    rest2: T,
    rate: T,
    inverse_root: T,
    epsilon: T,
    /// Coupled weight decay.
    decay: T,
    /// What decoupled weight decay leaves of a parameter.
    keep: T,
}

impl<T: Real> Adam<T> {
    /// Without weight decay; `step` counts from 1.
    pub(super) fn new([beta1, beta2, epsilon]: [f64; 3], learning_rate: f64, step: u64) -> Adam<T> {
        let correction = |beta: f64| 1.0 - libm::pow(beta, step as f64);
        Adam {
            beta1: T::from_f64(beta1),
            beta2: T::from_f64(beta2),
            rest1: T::from_f64(1.0 - beta1),
            rest2: T::from_f64(1.0 - beta2),
            rate: T::from_f64(learning_rate / correction(beta1)),
            inverse_root: T::from_f64(1.0 / correction(beta2).sqrt()),
            epsilon: T::from_f64(epsilon),
            decay: T::ZERO,
            keep: T::ONE,
        }
    }

    /// With weight decay that is added to the gradient.
    pub(super) fn coupled(self, decay: T) -> Adam<T> {
        Adam { decay, ..self }
    }

    /// With weight decay that leaves `keep` of every parameter.
    pub(super) fn decoupled(self, keep: T) -> Adam<T> {
        Adam { keep, ..self }
    }
}

impl<T: Real> Rule<T> for Adam<T> {
    /// ```text
    /// d  = g + decay p                        (Adam)
    /// p <- (1 - rate decay) p                 (AdamW, decoupled)
    /// m <- beta1 m + (1 - beta1) d            v <- beta2 v + (1 - beta2) d^2
    /// p <- p - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
    /// ```
    #[inline(always)]
    fn step(&self, piece: Piece<'_, T>) {
        let Piece { p, g, kept: [m, v, _] } = piece;
        let size = g.len();
        let (p, m, v) = (&mut p[..size], &mut m[..size], &mut v[..size]);
        for k in 0..size {
            let d = g[k] + self.decay * p[k];
            m[k] = self.beta1 * m[k] + self.rest1 * d;
            v[k] = self.beta2 * v[k] + self.rest2 * d * d;
            let root = v[k].sqrt() * self.inverse_root;
            p[k] = self.keep * p[k] - self.rate * m[k] / (root + self.epsilon);
        }
    }
}
