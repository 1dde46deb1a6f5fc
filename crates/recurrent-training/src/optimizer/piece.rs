//! The numbers that an optimiser's loop runs over: parameters, gradients, and what it keeps beside
//! each parameter.

use recurrent_kernels::{Compute, Real, SplitColumns, Vectorized};

/// Fewer numbers than this are not worth a thread of their own.
const LEAST_NUMBERS: usize = 1 << 14;

/// The most numbers that an optimiser keeps beside a parameter.
pub(super) const MOST_KEPT: usize = 3;

/// Numbers that a loop takes at once where it has several lines: between two lines they wait in a
/// buffer that never leaves the innermost cache.
pub(super) const BLOCK: usize = 256;

/// Numbers at the same places of all buffers. What an optimiser does not keep is empty.
pub(super) struct Piece<'a, T> {
    pub(super) p: &'a mut [T],
    pub(super) g: &'a [T],
    pub(super) kept: [&'a mut [T]; MOST_KEPT],
}

impl<'a, T: Real> Piece<'a, T> {
    /// The next numbers, at most [`BLOCK`]; none at the end.
    #[inline(always)]
    pub(super) fn next_block(&mut self) -> Option<Piece<'a, T>> {
        if self.g.is_empty() {
            return None;
        }
        let whole = Piece {
            p: std::mem::take(&mut self.p),
            g: self.g,
            kept: std::mem::take(&mut self.kept),
        };
        let at = whole.g.len().min(BLOCK);
        let (block, rest) = whole.split_columns(at);
        *self = rest;
        Some(block)
    }
}

impl<T: Real> SplitColumns for Piece<'_, T> {
    fn width(&self) -> usize {
        self.g.len()
    }
    #[inline(always)]
    fn split_columns(self, at: usize) -> (Self, Self) {
        let Piece { p, g, kept: [a, b, c] } = self;
        let (p, p_rest) = p.split_at_mut(at);
        let (g, g_rest) = g.split_at(at);
        // Empty ones stay empty.
        let (a, a_rest) = a.split_at_mut(at.min(a.len()));
        let (b, b_rest) = b.split_at_mut(at.min(b.len()));
        let (c, c_rest) = c.split_at_mut(at.min(c.len()));
        let rest = Piece { p: p_rest, g: g_rest, kept: [a_rest, b_rest, c_rest] };
        (Piece { p, g, kept: [a, b, c] }, rest)
    }
}

/// What an optimiser does to each number at one step, its constants inside. No number may depend
/// on its neighbours.
pub(super) trait Rule<T>: Sync {
    /// Takes the step. Mark it `#[inline(always)]`, as for [`Vectorized`].
    fn step(&self, piece: Piece<'_, T>);
}

/// Takes a step with all threads.
pub(super) fn run<T: Real>(compute: &Compute, rule: &impl Rule<T>, piece: Piece<'_, T>) {
    compute.split(piece, LEAST_NUMBERS, &|piece: Piece<'_, T>| {
        compute.level().run(Step { rule, piece });
    });
}

struct Step<'a, R, T> {
    rule: &'a R,
    piece: Piece<'a, T>,
}

impl<T: Real, R: Rule<T>> Vectorized for Step<'_, R, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.rule.step(self.piece);
    }
}
