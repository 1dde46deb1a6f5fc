//! Training as a machine that takes one step at a time. The loop, the clock and the files belong
//! to whoever drives it.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Real, norm};
use recurrent_topologies::Probe;
use serde::{Deserialize, Serialize};

use crate::{Loss, Objective, Optimizer, OptimizerConfig, Schedule, clip_by_global_norm};

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
    /// The largest global norm of the gradients; above 0. None leaves them as they are.
    pub clip_norm: Option<f64>,
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
}

impl TrainerConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |field, range, value| ConfigError::Range { field, range, value };
        self.out_of_range(|value| value).map_or(Ok(()), |(f, r, v)| Err(error(f, r, v)))
    }

    /// Checks every number as it is and as the arithmetic in `T` will see it. An epsilon of 1e-50
    /// is 0 in `f32`, and Adam would divide 0 by 0.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is out of range.
    pub fn check_for<T: Real>(&self) -> Result<(), ConfigError> {
        self.check()?;
        let number = T::NAME;
        let error = |field, range, value| ConfigError::Rounded { field, range, value, number };
        let round = |value| T::from_f64(value).to_f64();
        self.out_of_range(round).map_or(Ok(()), |(f, r, v)| Err(error(f, r, v)))
    }

    /// The first number that is out of its range after `round`: its name, its range, its value.
    fn out_of_range(
        &self,
        round: impl Fn(f64) -> f64,
    ) -> Option<(&'static str, &'static str, f64)> {
        let positive = |value: f64| round(value) > 0.0;
        let finite = |value: f64| round(value).is_finite();
        let fraction = |value: f64| (0.0..1.0).contains(&round(value));

        let rate = self.learning_rate;
        let mut checks =
            vec![("the learning rate", "finite and at least 0", rate, finite(rate) && rate >= 0.0)];
        if let Some(most) = self.clip_norm {
            checks.push(("the clip norm", "above 0", most, positive(most)));
        }
        if let OptimizerConfig::Adam { beta1, beta2, epsilon } = self.optimizer {
            let first_rate = rate / (1.0 - beta1);
            checks.extend([
                ("Adam's beta1", "in [0, 1)", beta1, fraction(beta1)),
                ("Adam's beta2", "in [0, 1)", beta2, fraction(beta2)),
                ("Adam's epsilon", "above 0", epsilon, positive(epsilon)),
                ("Adam's epsilon", "finite", epsilon, finite(epsilon)),
                ("the learning rate / (1 - beta1)", "finite", first_rate, finite(first_rate)),
            ]);
        }
        let refused = checks.into_iter().find(|&(.., ok)| !ok);
        refused.map(|(field, range, value, _)| (field, range, value))
    }
}

/// Why a step was refused. The parameters are those before the step, and so is all else that the
/// next step depends on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// The loss became infinite or NaN.
    #[error(
        "the loss became {loss} at step {step}; a lower learning rate or a smaller clip norm helps"
    )]
    NonFiniteLoss {
        /// The step, counted from 1.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// A gradient became infinite or NaN.
    #[error(
        "the gradient of `{parameter}` is not finite at step {step}; a lower learning rate helps"
    )]
    NonFiniteGradient {
        /// The step, counted from 1.
        step: u64,
        /// The first parameter concerned.
        parameter: String,
    },
    /// The gradients are finite and their squares, which Adam needs, are not.
    #[error(
        "the gradients' norm of {norm} at step {step} is too large for {number}: its square \
         overflows; a lower learning rate helps"
    )]
    GradientTooLarge {
        /// The step, counted from 1.
        step: u64,
        /// The global norm before clipping.
        norm: f64,
        /// The type: `"f32"` or `"f64"`.
        number: &'static str,
    },
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: u64,
    /// The loss before the step.
    pub loss: Loss,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// The gradients were scaled down.
    pub clipped: bool,
}

/// A model in training: parameters, gradients, an optimiser, and the number of steps taken.
pub struct Trainer<T, O> {
    config: TrainerConfig,
    compute: Compute,
    objective: O,
    parameters: Parameters<T>,
    gradients: Parameters<T>,
    optimizer: Optimizer<T>,
    steps: u64,
}

impl<T: Real, O: Objective<T> + Send> Trainer<T, O>
where
    O::Batch: Sync,
{
    /// A trainer that starts from `parameters`.
    ///
    /// # Errors
    /// [`ConfigError`] if a number of the configuration is out of range, or becomes so when it is
    /// rounded to `T`.
    pub fn new(
        config: TrainerConfig,
        compute: Compute,
        objective: O,
        parameters: Parameters<T>,
    ) -> Result<Self, ConfigError> {
        config.check_for::<T>()?;
        let gradients = parameters.zeros_like();
        let optimizer = Optimizer::new(config.optimizer, &parameters);
        Ok(Trainer { config, compute, objective, parameters, gradients, optimizer, steps: 0 })
    }

    /// Learns from one batch.
    ///
    /// # Errors
    /// [`TrainingError`] if the loss, a gradient or the square of their norm is not finite; the
    /// parameters, the optimiser's moments and what the objective carries are then left as they
    /// were.
    pub fn step(&mut self, batch: &O::Batch) -> Result<StepReport, TrainingError> {
        self.step_with_probe(batch, &())
    }

    /// As [`step`](Self::step), with a window on the gradients on their way back.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn step_with_probe(
        &mut self,
        batch: &O::Batch,
        probe: &impl Probe<T>,
    ) -> Result<StepReport, TrainingError> {
        let compute = self.compute.clone();
        compute.enter(|| self.step_inside(batch, probe))
    }

    fn step_inside(
        &mut self,
        batch: &O::Batch,
        probe: &impl Probe<T>,
    ) -> Result<StepReport, TrainingError> {
        let Trainer { config, compute, objective, parameters, gradients, optimizer, steps } = self;
        let step = *steps + 1;
        gradients.as_mut_slice().fill(T::ZERO);
        let loss = objective.gradients(compute, parameters, batch, *steps, gradients, probe);
        if !loss.sum.is_finite() {
            return Err(TrainingError::NonFiniteLoss { step, loss: loss.mean() });
        }
        let gradient_norm = match config.clip_norm {
            Some(most) => clip_by_global_norm(compute, gradients, most),
            None => norm::sum_of_squares(compute, gradients.as_slice()).sqrt(),
        };
        // A square that overflows in Adam's second moment would stop its parameter for good.
        if !T::from_f64(gradient_norm * gradient_norm).is_finite() {
            return Err(match gradients.first_non_finite() {
                Some(name) => {
                    TrainingError::NonFiniteGradient { step, parameter: name.to_string() }
                }
                None => {
                    let (norm, number) = (gradient_norm, T::NAME);
                    TrainingError::GradientTooLarge { step, norm, number }
                }
            });
        }
        let learning_rate = config.schedule.learning_rate(config.learning_rate, *steps);
        optimizer.step(compute, parameters, gradients, learning_rate, step);
        objective.commit();
        *steps = step;
        let clipped = config.clip_norm.is_some_and(|most| gradient_norm > most);
        Ok(StepReport { step, loss, learning_rate, gradient_norm, clipped })
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters<T> {
        &self.parameters
    }

    /// The gradients of the last step, after clipping.
    pub fn gradients(&self) -> &Parameters<T> {
        &self.gradients
    }

    /// The objective.
    pub fn objective(&self) -> &O {
        &self.objective
    }

    /// How many steps have been taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Calls `f` with the name and the numbers of everything that the next step depends on, in a
    /// fixed order: parameters, the optimiser's moments, what the objective carries. Together with
    /// [`steps`](Self::steps) they are the whole state of a training.
    pub fn visit(&self, mut f: impl FnMut(&str, &[usize], &[T])) {
        let mut visit = |group: &str, parameters: &Parameters<T>| {
            parameters.visit(|entry, data| {
                let shape = [entry.slot.columns(), entry.slot.rows()];
                f(&format!("{group}/{}", entry.name), &shape, data);
            });
        };
        visit("parameters", &self.parameters);
        for (name, moment) in self.optimizer.moments() {
            visit(name, moment);
        }
        self.objective.visit(&mut |name, data| {
            f(&format!("carried/{name}"), &[data.len()], data);
        });
    }

    /// Puts back what [`visit`](Self::visit) gave, and the number of steps. `f` fills each block;
    /// at its first error everything stops and the trainer must not be used further.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn restore<E>(
        &mut self,
        steps: u64,
        mut f: impl FnMut(&str, &[usize], &mut [T]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut result = Ok(());
        let mut fill = |name: &str, shape: &[usize], data: &mut [T]| {
            if result.is_ok() {
                result = f(name, shape, data);
            }
        };
        let mut restore = |group: &str, parameters: &mut Parameters<T>| {
            parameters.visit_mut(|entry, data| {
                let shape = [entry.slot.columns(), entry.slot.rows()];
                fill(&format!("{group}/{}", entry.name), &shape, data);
            });
        };
        restore("parameters", &mut self.parameters);
        for (name, moment) in self.optimizer.moments_mut() {
            restore(name, moment);
        }
        self.objective.visit_mut(&mut |name, data| {
            fill(&format!("carried/{name}"), &[data.len()], data);
        });
        self.steps = steps;
        result
    }
}
