//! RMSprop.

use recurrent_kernels::Real;

use super::piece::{BLOCK, Piece, Rule};

/// Its constants at one step. Kept are the mean square, then the mean gradient if it is centered,
/// then the momentum if there is one.
pub(super) struct RmsProp<T> {
    pub(super) rate: T,
    pub(super) decay: T,
    pub(super) alpha: T,
    pub(super) rest: T,
    pub(super) epsilon: T,
    pub(super) momentum: T,
    pub(super) centered: bool,
}

impl<T: Real> Rule<T> for RmsProp<T> {
    /// ```text
    /// d  = g + decay p
    /// v <- alpha v + (1 - alpha) d^2
    /// m <- alpha m + (1 - alpha) d            centered: r = sqrt(v - m^2); else r = sqrt(v)
    /// d <- d / (r + epsilon)
    /// b <- momentum b + d                     d <- b, if there is momentum
    /// p <- p - rate d
    /// ```
    #[inline(always)]
    fn step(&self, mut piece: Piece<'_, T>) {
        let RmsProp { rate, decay, alpha, rest, epsilon, momentum, centered } = *self;
        let (mut steps, mut roots) = ([T::ZERO; BLOCK], [T::ZERO; BLOCK]);
        while let Some(Piece { p, g, kept: [v, second, third] }) = piece.next_block() {
            let (m, b): (&mut [T], &mut [T]) =
                if centered { (second, third) } else { (&mut [], second) };
            let (d, r) = (&mut steps[..g.len()], &mut roots[..g.len()]);
            for ((d, &g), &p) in d.iter_mut().zip(g).zip(&*p) {
                *d = g + decay * p;
            }
            for ((v, r), &d) in v.iter_mut().zip(&mut *r).zip(&*d) {
                *v = alpha * *v + rest * d * d;
                *r = *v;
            }
            for ((m, r), &d) in m.iter_mut().zip(&mut *r).zip(&*d) {
                *m = alpha * *m + rest * d;
                // Rounding can bring it below 0, and a root of that is not a number.
                let variance = *r - *m * *m;
                *r = if variance > T::ZERO { variance } else { T::ZERO };
            }
            for (d, &r) in d.iter_mut().zip(&*r) {
                *d /= r.sqrt() + epsilon;
            }
            for (b, d) in b.iter_mut().zip(&mut *d) {
                *b = momentum * *b + *d;
                *d = *b;
            }
            for (p, &d) in p.iter_mut().zip(&*d) {
                *p -= rate * d;
            }
        }
    }
}
