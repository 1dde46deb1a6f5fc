//! A window on backpropagation: gates before they are overwritten, and the gradients that flow
//! from step to step.

use std::ops::Range;

use recurrent_kernels::{Columns, Real};

use crate::Direction;

/// What a probe sees of one step of one layer, just before the step is undone.
pub struct Observation<'a, T> {
    /// Which layer, 0 first.
    pub layer: usize,
    /// Which way the layer reads here.
    pub direction: Direction,
    /// Which step.
    pub t: usize,
    /// Which sequences, by column of panel 0 (`Lengths::order` names the caller's).
    pub sequences: Range<usize>,
    /// What forward left on the tape: for an LSTM i, f, g, o (coupled: i, g, o; with a projection m
    /// before them); for a GRU hn, r, z, n (reset before the product: r h in the place of hn); for an
    /// RNN h.
    pub tape: Columns<'a, T>,
    /// c after the step; no rows for cells without c.
    pub c: Columns<'a, T>,
    /// The whole gradient of h after the step.
    pub d_h: Columns<'a, T>,
    /// The gradient that reaches c after the step from later steps.
    pub d_c: Columns<'a, T>,
}

/// Looks on while gradients flow back. Threads call it at the same time, each for its own
/// sequences. `()` is the probe that does nothing.
pub trait Probe<T: Real>: Sync {
    /// Called once for each layer, direction, step and range of sequences, before the step is undone.
    fn observe(&self, observation: Observation<'_, T>);
}

impl<T: Real> Probe<T> for () {
    #[inline(always)]
    fn observe(&self, _: Observation<'_, T>) {}
}

/// Shows a probe the decoder's layers above the encoder's, of which there are `layers`.
pub(crate) struct Above<'p, P> {
    pub(crate) probe: &'p P,
    pub(crate) layers: usize,
}

impl<T: Real, P: Probe<T>> Probe<T> for Above<'_, P> {
    fn observe(&self, observation: Observation<'_, T>) {
        let layer = observation.layer + self.layers;
        self.probe.observe(Observation { layer, ..observation });
    }
}
