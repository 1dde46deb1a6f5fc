//! How to train, and what is refused.

use recurrent_kernels::Real;
use serde::{Deserialize, Serialize};

use crate::{OptimizerConfig, Schedule};

/// How to train. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerConfig {
    /// The optimiser and its constants.
    pub optimizer: OptimizerConfig,
    /// The learning rate that the schedule starts from; finite and at least 0.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Over so many steps at the start the learning rate rises to what the schedule says; see
    /// [`warm_up`](crate::warm_up).
    pub warm_up: u64,
    /// The largest magnitude of a gradient's numbers; above 0. None leaves them as they are. With
    /// both limits this one is the first.
    pub clip_value: Option<f64>,
    /// The largest global norm of the gradients; above 0. None leaves them as they are.
    pub clip_norm: Option<f64>,
    /// How many held-out losses in a row may be no better than the best before the training should
    /// end; at least 1. None never ends it.
    pub patience: Option<u64>,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is not in its range.
    #[error("{field} must be {range}, not {value}")]
    Range {
        /// Which number.
        field: &'static str,
        /// What is allowed.
        range: &'static str,
        /// What was given.
        value: f64,
    },
    /// A number is in its range, but not once it is rounded to the type of the parameters.
    #[error("{field} must be {range} in {number}, and {value:e} is not")]
    Rounded {
        /// Which number.
        field: &'static str,
        /// What is allowed.
        range: &'static str,
        /// What was given.
        value: f64,
        /// The type: `"f32"` or `"f64"`.
        number: &'static str,
    },
    /// Two numbers have no meaning together.
    #[error("{0}")]
    Meaningless(&'static str),
}

/// A number, what it is allowed to be, and whether it is.
struct Check {
    field: &'static str,
    range: &'static str,
    value: f64,
    holds: bool,
}

impl TrainerConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(Check { field, range, value, .. }) = self.out_of_range(|value| value) {
            return Err(ConfigError::Range { field, range, value });
        }
        if let OptimizerConfig::Sgd { momentum, dampening, nesterov, .. } = self.optimizer {
            if nesterov && (momentum == 0.0 || dampening != 0.0) {
                let reason = "Nesterov's step needs momentum above 0 and dampening of 0";
                return Err(ConfigError::Meaningless(reason));
            }
            if dampening != 0.0 && momentum == 0.0 {
                let reason = "dampening acts on momentum, and there is none";
                return Err(ConfigError::Meaningless(reason));
            }
        }
        Ok(())
    }

    /// Checks every number as it is and as the arithmetic in `T` will see it. An epsilon of 1e-50
    /// is 0 in `f32`, and Adam would divide 0 by 0.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is out of range.
    pub fn check_for<T: Real>(&self) -> Result<(), ConfigError> {
        self.check()?;
        let number = T::NAME;
        match self.out_of_range(|value| T::from_f64(value).to_f64()) {
            Some(Check { field, range, value, .. }) => {
                Err(ConfigError::Rounded { field, range, value, number })
            }
            None => Ok(()),
        }
    }

    /// The first number that is out of its range after `round`.
    fn out_of_range(&self, round: impl Fn(f64) -> f64) -> Option<Check> {
        let mut checks = vec![];
        let mut check =
            |field, range, value, holds| checks.push(Check { field, range, value, holds });
        let at_least_0 = |value: f64| round(value).is_finite() && value >= 0.0;

        let rate = self.learning_rate;
        check("the learning rate", "finite and at least 0", rate, at_least_0(rate));
        for (field, most) in
            [("the clip value", self.clip_value), ("the clip norm", self.clip_norm)]
        {
            if let Some(most) = most {
                let inside = round(most) > 0.0 && most.is_finite();
                check(field, "above 0 and finite", most, inside);
            }
        }
        if let Some(patience) = self.patience {
            check("the patience", "at least 1", patience as f64, patience >= 1);
        }
        self.schedule.check(&mut check);
        self.optimizer.check(rate, round, &mut check);
        checks.into_iter().find(|check| !check.holds)
    }
}

/// Takes a number's name, its range, its value, and whether it is in its range.
type Report<'a> = &'a mut dyn FnMut(&'static str, &'static str, f64, bool);

impl Schedule {
    /// Reports every number. They never meet the type of the parameters: a rate is rounded last.
    fn check(&self, check: Report<'_>) {
        if let Schedule::Step { factor, .. }
        | Schedule::Exponential { factor, .. }
        | Schedule::Plateau { factor, .. } = *self
        {
            let inside = factor > 0.0 && factor < 1.0;
            check("the schedule's factor", "above 0 and below 1", factor, inside);
        }
        if let Schedule::Step { every, .. } | Schedule::Exponential { every, .. } = *self {
            check("the schedule's number of steps", "at least 1", every as f64, every >= 1);
        }
        if let Schedule::Plateau { threshold, minimum, .. } = *self {
            let inside = (0.0..1.0).contains(&threshold);
            check("the plateau's threshold", "in [0, 1)", threshold, inside);
            let inside = minimum.is_finite() && minimum >= 0.0;
            check("the lowest learning rate", "finite and at least 0", minimum, inside);
        }
    }
}

impl OptimizerConfig {
    /// Reports every number as it is after `round`.
    fn check(&self, rate: f64, round: impl Fn(f64) -> f64, check: Report<'_>) {
        let fraction = |value: f64| (0.0..1.0).contains(&round(value));
        let at_least_0 = |value: f64| round(value).is_finite() && value >= 0.0;
        let finite = |value: f64| round(value).is_finite();
        let decay = "the weight decay";
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, weight_decay, .. } => {
                check("the momentum", "in [0, 1)", momentum, fraction(momentum));
                check("the dampening", "in [0, 1)", dampening, fraction(dampening));
                check(decay, "finite and at least 0", weight_decay, at_least_0(weight_decay));
            }
            OptimizerConfig::NtAsgd { weight_decay, .. } => {
                check(decay, "finite and at least 0", weight_decay, at_least_0(weight_decay));
            }
            OptimizerConfig::RmsProp { alpha, epsilon, momentum, weight_decay, .. } => {
                check("RMSprop's alpha", "in [0, 1)", alpha, fraction(alpha));
                check("RMSprop's epsilon", "above 0", epsilon, round(epsilon) > 0.0);
                check("RMSprop's epsilon", "finite", epsilon, finite(epsilon));
                check("the momentum", "in [0, 1)", momentum, fraction(momentum));
                check(decay, "finite and at least 0", weight_decay, at_least_0(weight_decay));
            }
            OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay }
            | OptimizerConfig::AdamW { beta1, beta2, epsilon, weight_decay } => {
                let first_rate = rate / (1.0 - beta1);
                check("Adam's beta1", "in [0, 1)", beta1, fraction(beta1));
                check("Adam's beta2", "in [0, 1)", beta2, fraction(beta2));
                check("Adam's epsilon", "above 0", epsilon, round(epsilon) > 0.0);
                check("Adam's epsilon", "finite", epsilon, finite(epsilon));
                let field = "the learning rate / (1 - beta1)";
                check(field, "finite", first_rate, finite(first_rate));
                check(decay, "finite and at least 0", weight_decay, at_least_0(weight_decay));
            }
        }
        if let OptimizerConfig::AdamW { weight_decay, .. } = *self {
            // Beyond it a step would turn the sign of every parameter.
            let share = rate * weight_decay;
            check("the learning rate times AdamW's weight decay", "at most 1", share, share <= 1.0);
        }
    }
}
