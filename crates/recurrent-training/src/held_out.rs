//! What held-out losses decide: when a plateau lowers the learning rate, when NT-ASGD begins to
//! average, when patience ends.
//!
//! The losses themselves are the whole state. Everything else follows from them and the
//! configuration, so whoever keeps them can go on with the same bits.

use crate::{OptimizerConfig, Schedule, TrainerConfig};

/// A loss on held-out data, and when it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOutLoss {
    /// How many steps had been taken.
    pub step: u64,
    /// The loss; lower is better, and NaN is worse than any number.
    pub loss: f64,
}

/// What a held-out loss changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOutReport {
    /// It is lower than every one before.
    pub is_best: bool,
    /// How many in a row, this one included, were not.
    pub without_better: u64,
    /// The plateau's new learning rate, if this loss lowered it. (Warm-up takes its share of it.)
    pub lowered_rate: Option<f64>,
    /// From here on the mean of the parameters counts.
    pub averaging_began: bool,
    /// The configured patience is at its end: whoever drives the training should stop.
    pub out_of_patience: bool,
}

/// All held-out losses of a training, and what followed from them.
#[derive(Clone, Debug)]
pub(crate) struct HeldOut {
    losses: Vec<HeldOutLoss>,
    best: f64,
    without_better: u64,
    plateau: Plateau,
    average_since: Option<u64>,
}

/// The state of PyTorch's `ReduceLROnPlateau`.
#[derive(Clone, Debug)]
struct Plateau {
    /// The rate before warm-up.
    rate: f64,
    best: f64,
    without_better: u64,
}

impl HeldOut {
    /// Before the first loss.
    pub(crate) fn new(config: &TrainerConfig) -> Self {
        let best = f64::INFINITY;
        let plateau = Plateau { rate: config.learning_rate, best, without_better: 0 };
        HeldOut { losses: vec![], best, without_better: 0, plateau, average_since: None }
    }

    /// The losses so far.
    pub(crate) fn losses(&self) -> &[HeldOutLoss] {
        &self.losses
    }

    /// The step at which averaging began.
    pub(crate) fn average_since(&self) -> Option<u64> {
        self.average_since
    }

    /// The learning rate from which the schedule's curve starts.
    pub(crate) fn base_rate(&self) -> f64 {
        self.plateau.rate
    }

    /// How many in a row, the last one included, were no better than the best.
    pub(crate) fn without_better(&self) -> u64 {
        self.without_better
    }

    /// The configured patience is at its end.
    pub(crate) fn is_out_of_patience(&self, config: &TrainerConfig) -> bool {
        config.patience.is_some_and(|most| self.without_better >= most)
    }

    /// Takes the next loss into account.
    pub(crate) fn observe(&mut self, config: &TrainerConfig, next: HeldOutLoss) -> HeldOutReport {
        let HeldOutLoss { step, loss } = next;
        let is_best = loss < self.best;
        if is_best {
            (self.best, self.without_better) = (loss, 0);
        } else {
            self.without_better += 1;
        }
        let lowered_rate = self.plateau.observe(config.schedule, loss);
        let averaging_began = self.average_since.is_none() && self.stalls(config.optimizer, loss);
        if averaging_began {
            self.average_since = Some(step);
        }
        self.losses.push(next);
        HeldOutReport {
            is_best,
            without_better: self.without_better,
            lowered_rate,
            averaging_began,
            out_of_patience: self.is_out_of_patience(config),
        }
    }

    /// NT-ASGD's trigger: `loss` is worse than the best of all before it but the last
    /// `average_after`.
    fn stalls(&self, optimizer: OptimizerConfig, loss: f64) -> bool {
        let OptimizerConfig::NtAsgd { average_after, .. } = optimizer else {
            return false;
        };
        let considered = (self.losses.len() as u64).saturating_sub(average_after) as usize;
        let earlier = self.losses[..considered].iter().map(|earlier| earlier.loss);
        let best = earlier.fold(f64::INFINITY, f64::min);
        loss > best || (loss.is_nan() && best.is_finite())
    }
}

impl Plateau {
    /// The new rate, if `loss` lowers it.
    fn observe(&mut self, schedule: Schedule, loss: f64) -> Option<f64> {
        let Schedule::Plateau { factor, patience, threshold, minimum } = schedule else {
            return None;
        };
        if loss < self.best * (1.0 - threshold) {
            (self.best, self.without_better) = (loss, 0);
        } else {
            self.without_better += 1;
        }
        if self.without_better <= patience {
            return None;
        }
        self.without_better = 0;
        let rate = (self.rate * factor).max(minimum);
        if rate >= self.rate {
            return None;
        }
        self.rate = rate;
        Some(rate)
    }
}
