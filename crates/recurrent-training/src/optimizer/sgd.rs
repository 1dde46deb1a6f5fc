//! Stochastic gradient descent: plain, with momentum, averaged.

use recurrent_kernels::Real;

use super::piece::{BLOCK, Piece, Rule};

/// Its constants at one step. The momentum is kept first, or nothing is.
pub(super) struct Sgd<T> {
    pub(super) rate: T,
    pub(super) decay: T,
    pub(super) momentum: T,
    /// How much of a gradient enters the momentum.
    pub(super) fresh: T,
    pub(super) nesterov: bool,
}

impl<T: Real> Rule<T> for Sgd<T> {
    /// ```text
    /// d  = g + decay p
    /// b <- momentum b + (1 - dampening) d     d <- b, with Nesterov d + momentum b
    /// p <- p - rate d
    /// ```
    #[inline(always)]
    fn step(&self, mut piece: Piece<'_, T>) {
        let mut buffer = [T::ZERO; BLOCK];
        while let Some(Piece { p, g, kept: [b, ..] }) = piece.next_block() {
            let d = &mut buffer[..g.len()];
            for ((d, &g), &p) in d.iter_mut().zip(g).zip(&*p) {
                *d = g + self.decay * p;
            }
            for (b, &d) in b.iter_mut().zip(&*d) {
                *b = self.momentum * *b + self.fresh * d;
            }
            if self.nesterov {
                for (d, &b) in d.iter_mut().zip(&*b) {
                    *d += self.momentum * b;
                }
            } else {
                for (d, &b) in d.iter_mut().zip(&*b) {
                    *d = b;
                }
            }
            for (p, &d) in p.iter_mut().zip(&*d) {
                *p -= self.rate * d;
            }
        }
    }
}

/// The constants of averaged descent at one step. The average is kept first, or nothing is.
pub(super) struct AveragedSgd<T> {
    pub(super) rate: T,
    pub(super) decay: T,
    /// The new parameters' share in the average.
    pub(super) share: T,
}

impl<T: Real> Rule<T> for AveragedSgd<T> {
    /// ```text
    /// p <- p - rate (g + decay p)             a <- a + share (p - a)
    /// ```
    #[inline(always)]
    fn step(&self, piece: Piece<'_, T>) {
        let Piece { p, g, kept: [a, ..] } = piece;
        for (p, &g) in p.iter_mut().zip(g) {
            *p -= self.rate * (g + self.decay * *p);
        }
        for (a, &p) in a.iter_mut().zip(&*p) {
            *a += self.share * (p - *a);
        }
    }
}
