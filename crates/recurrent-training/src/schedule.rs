//! How the learning rate changes over a training.
//!
//! Two things move it. A curve is a function of the step alone, and warm-up too. A plateau depends
//! on the held-out losses: it has a state, which lives with them (see
//! [`observe_held_out`](crate::Trainer::observe_held_out)).

use serde::{Deserialize, Serialize};

/// How the learning rate changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum Schedule {
    /// It does not.
    Constant,
    /// It is multiplied by `factor` after every `every` steps.
    Step {
        /// Above 0 and below 1.
        factor: f64,
        /// At least 1.
        every: u64,
    },
    /// It falls with every step, so that `every` of them multiply it by `factor`.
    Exponential {
        /// Above 0 and below 1.
        factor: f64,
        /// At least 1.
        every: u64,
    },
    /// It falls along half a cosine to zero at step `steps`: Loshchilov and Hutter 2017, without
    /// restarts.
    Cosine {
        /// The length of the whole training.
        steps: u64,
    },
    /// It is multiplied by `factor` when more than `patience` held-out losses in a row were no
    /// better than the best: PyTorch's `ReduceLROnPlateau`.
    Plateau {
        /// Above 0 and below 1.
        factor: f64,
        /// How many losses in a row may be no better.
        patience: u64,
        /// A loss counts as better if it is below `(1 - threshold)` times the best; in [0, 1).
        threshold: f64,
        /// The rate never falls below this; finite and at least 0.
        minimum: f64,
    },
}

impl Schedule {
    /// The learning rate of `step`, counted from 0, without warm-up.
    ///
    /// ```text
    /// step:        base factor^floor(step / every)
    /// exponential: base factor^(step / every)
    /// cosine:      base (1 + cos(pi step / steps)) / 2
    /// ```
    ///
    /// A plateau's rate does not depend on the step: it is the base until held-out losses lower it.
    pub fn learning_rate(&self, base: f64, step: u64) -> f64 {
        match *self {
            Schedule::Constant | Schedule::Plateau { .. } => base,
            Schedule::Step { factor, every } => {
                base * libm::pow(factor, (step / every.max(1)) as f64)
            }
            Schedule::Exponential { factor, every } => {
                base * libm::pow(factor, step as f64 / every.max(1) as f64)
            }
            Schedule::Cosine { steps } => {
                let progress = (step as f64 / steps.max(1) as f64).min(1.0);
                base * (0.5 + 0.5 * libm::cos(std::f64::consts::PI * progress))
            }
        }
    }
}

/// The share of the learning rate that `step`, counted from 0, takes when the first `steps` of a
/// training warm up: it rises by equal amounts and is whole from step `steps - 1` on (Goyal et al.
/// 2017).
///
/// ```text
/// (step + 1) / steps, at most 1
/// ```
pub fn warm_up(step: u64, steps: u64) -> f64 {
    if step >= steps { 1.0 } else { (step + 1) as f64 / steps as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_starts_at_the_base_and_ends_at_zero() {
        let schedule = Schedule::Cosine { steps: 100 };
        assert_eq!(schedule.learning_rate(2.0, 0), 2.0);
        assert!((schedule.learning_rate(2.0, 50) - 1.0).abs() < 1e-12);
        assert!(schedule.learning_rate(2.0, 100).abs() < 1e-12);
        assert!(schedule.learning_rate(2.0, 500).abs() < 1e-12);
        assert_eq!(Schedule::Constant.learning_rate(2.0, 77), 2.0);
    }

    #[test]
    fn steps_fall_at_once_and_exponentials_all_the_time() {
        let (factor, every) = (0.25, 10);
        let step = |step| Schedule::Step { factor, every }.learning_rate(2.0, step);
        assert_eq!([0, 9, 10, 19, 20].map(step), [2.0, 2.0, 0.5, 0.5, 0.125]);
        let exponential = |step| Schedule::Exponential { factor, every }.learning_rate(2.0, step);
        assert_eq!([0, 5, 10, 20].map(exponential), [2.0, 1.0, 0.5, 0.125]);
        assert!(exponential(1) < 2.0 && exponential(1) > exponential(2));
    }

    #[test]
    fn warm_up_rises_by_equal_amounts_to_the_whole() {
        assert_eq!(
            [0, 1, 2, 3, 4, u64::MAX].map(|step| warm_up(step, 4)),
            [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
        );
        assert_eq!([0, 1].map(|step| warm_up(step, 0)), [1.0, 1.0]);
    }
}
