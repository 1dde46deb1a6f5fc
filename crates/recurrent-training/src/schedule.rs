//! How the learning rate changes over a training.

use serde::{Deserialize, Serialize};

/// How the learning rate changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum Schedule {
    /// It does not.
    Constant,
    /// It falls along half a cosine to zero at step `steps`: Loshchilov and Hutter 2017, without
    /// restarts.
    Cosine {
        /// The length of the whole training.
        steps: u64,
    },
}

impl Schedule {
    /// The learning rate of `step`, counted from 0.
    ///
    /// ```text
    /// cosine: base (1 + cos(pi step / steps)) / 2
    /// ```
    pub fn learning_rate(&self, base: f64, step: u64) -> f64 {
        match *self {
            Schedule::Constant => base,
            Schedule::Cosine { steps } => {
                let progress = (step as f64 / steps.max(1) as f64).min(1.0);
                base * (0.5 + 0.5 * libm::cos(std::f64::consts::PI * progress))
            }
        }
    }
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
}
