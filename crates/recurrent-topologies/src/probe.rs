//! A window on backpropagation: gates before they are overwritten, and the gradients that flow
//! from step to step.

use std::ops::Range;

use recurrent_cells::CellPlan;
use recurrent_kernels::{Columns, Real};

use crate::Direction;

/// What a probe sees of one step of one layer, just before the step is undone.
#[derive(Clone)]
pub struct Observation<'a, T> {
    /// Which layer, 0 first.
    pub layer: usize,
    /// Which way the layer reads here.
    pub direction: Direction,
    /// What the cell says of itself: where its gates lie on the tape.
    pub plan: &'a CellPlan,
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

/// What a probe sees of one step of one layer for some sequences, just after the step was undone.
#[derive(Clone)]
pub struct Undone<'a, T> {
    /// Which layer, 0 first.
    pub layer: usize,
    /// Which way the layer reads here.
    pub direction: Direction,
    /// What the cell says of itself: which rows of the tape came from which product.
    pub plan: &'a CellPlan,
    /// Which step.
    pub t: usize,
    /// Which sequences, by column of panel 0.
    pub sequences: Range<usize>,
    /// What backward left on the tape: the gradients of pre-activations. Inner rows are as forward
    /// left them.
    pub tape: Columns<'a, T>,
    /// h before the step, in the direction's own order.
    pub previous_h: Columns<'a, T>,
}

/// Looks on while gradients flow back. Threads call it at the same time, each for its own
/// sequences. `()` is the probe that does nothing.
pub trait Probe<T: Real>: Sync {
    /// Called once for each layer, direction, step and range of sequences, before the step is undone.
    /// No range is empty.
    fn observe(&self, observation: Observation<'_, T>);

    /// Called after a step was undone, with the sequences of one [`observe`](Self::observe) in one or
    /// more ranges. Most probes do not ask.
    #[inline(always)]
    fn observe_undone(&self, _: Undone<'_, T>) {}
}

impl<T: Real> Probe<T> for () {
    #[inline(always)]
    fn observe(&self, _: Observation<'_, T>) {}
}

/// Looks on if it is there.
impl<T: Real, P: Probe<T>> Probe<T> for Option<&P> {
    #[inline(always)]
    fn observe(&self, observation: Observation<'_, T>) {
        if let Some(probe) = self {
            probe.observe(observation);
        }
    }

    #[inline(always)]
    fn observe_undone(&self, undone: Undone<'_, T>) {
        if let Some(probe) = self {
            probe.observe_undone(undone);
        }
    }
}

/// Both look on, one after the other.
impl<T: Real, A: Probe<T>, B: Probe<T>> Probe<T> for (A, B) {
    fn observe(&self, observation: Observation<'_, T>) {
        self.0.observe(observation.clone());
        self.1.observe(observation);
    }

    fn observe_undone(&self, undone: Undone<'_, T>) {
        self.0.observe_undone(undone.clone());
        self.1.observe_undone(undone);
    }
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

    fn observe_undone(&self, undone: Undone<'_, T>) {
        let layer = undone.layer + self.layers;
        self.probe.observe_undone(Undone { layer, ..undone });
    }
}
