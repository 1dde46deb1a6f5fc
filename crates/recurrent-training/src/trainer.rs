//! Training as a machine that takes one step at a time. The loop, the clock and the files belong
//! to whoever drives it.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Real};
use recurrent_topologies::Probe;

use crate::clip::{global_norm, limit_norm};
use crate::held_out::HeldOut;
use crate::{
    ConfigError, HeldOutLoss, HeldOutReport, Loss, Objective, Optimizer, TrainerConfig,
    clip_by_value, warm_up,
};

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
    /// The gradients are finite and the square of their norm is not: Adam and RMSprop need squares,
    /// and with any optimiser so large a gradient means that training has exploded.
    #[error(
        "the gradients' norm of {norm:.3e} at step {step} is too large for {number}: its square \
         overflows; a lower learning rate helps, and less weight decay if there is any"
    )]
    GradientTooLarge {
        /// The step, counted from 1.
        step: u64,
        /// The global norm before clipping, and with what weight decay can add to it at most.
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
    /// The gradients were clipped, by value or by norm.
    pub clipped: bool,
    /// The global norm of the gradients that the optimiser took: after clipping.
    pub clipped_norm: f64,
}

/// A model in training: parameters, gradients, an optimiser, and the number of steps taken.
pub struct Trainer<T, O> {
    config: TrainerConfig,
    compute: Compute,
    objective: O,
    parameters: Parameters<T>,
    gradients: Parameters<T>,
    optimizer: Optimizer<T>,
    held_out: HeldOut,
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
        let held_out = HeldOut::new(&config);
        let steps = 0;
        Ok(Trainer {
            config,
            compute,
            objective,
            parameters,
            gradients,
            optimizer,
            held_out,
            steps,
        })
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
        let learning_rate = self.learning_rate();
        let Trainer { config, compute, objective, parameters, gradients, optimizer, steps, .. } =
            self;
        let step = *steps + 1;
        gradients.as_mut_slice().fill(T::ZERO);
        let loss = objective.gradients(compute, parameters, batch, *steps, gradients, probe);
        if !loss.sum.is_finite() {
            return Err(TrainingError::NonFiniteLoss { step, loss: loss.mean() });
        }
        let gradient_norm = global_norm(compute, gradients);
        let decay = config.optimizer.coupled_decay();
        let largest = match decay > 0.0 {
            true => gradient_norm + decay * global_norm(compute, parameters),
            false => gradient_norm,
        };
        // A square that overflows in a second moment would stop its parameter for good.
        if !T::from_f64(largest * largest).is_finite() {
            return Err(match gradients.first_non_finite() {
                Some(name) => {
                    TrainingError::NonFiniteGradient { step, parameter: name.to_string() }
                }
                None => TrainingError::GradientTooLarge { step, norm: largest, number: T::NAME },
            });
        }
        let mut clipped =
            config.clip_value.is_some_and(|most| clip_by_value(compute, gradients, most));
        let mut clipped_norm =
            if clipped { global_norm(compute, gradients) } else { gradient_norm };
        if let Some(most) = config.clip_norm
            && limit_norm(compute, gradients, clipped_norm, most)
        {
            (clipped, clipped_norm) = (true, most);
        }
        optimizer.step(compute, parameters, gradients, learning_rate, step);
        objective.commit();
        *steps = step;
        Ok(StepReport { step, loss, learning_rate, gradient_norm, clipped, clipped_norm })
    }

    /// Takes a loss on held-out data into account, measured with
    /// [`evaluation_parameters`](Self::evaluation_parameters). A plateau may lower the learning
    /// rate, NT-ASGD may begin to average, patience may end; the report says so. Whoever has
    /// nothing held out need not call it, and then none of this happens.
    pub fn observe_held_out(&mut self, loss: f64) -> HeldOutReport {
        let next = HeldOutLoss { step: self.steps, loss };
        let report = self.held_out.observe(&self.config, next);
        if report.averaging_began {
            self.optimizer.begin_average(&self.parameters, self.steps);
        }
        report
    }

    /// The held-out losses so far, in the order in which they were observed.
    pub fn held_out_losses(&self) -> &[HeldOutLoss] {
        self.held_out.losses()
    }

    /// How many held-out losses in a row, the last one included, were no better than the best.
    pub fn without_better(&self) -> u64 {
        self.held_out.without_better()
    }

    /// As many held-out losses in a row as the configured patience were no better than the best.
    /// The trainer does not stop by itself.
    pub fn is_out_of_patience(&self) -> bool {
        self.held_out.is_out_of_patience(&self.config)
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let TrainerConfig { schedule, warm_up: steps, .. } = self.config;
        let base = self.held_out.base_rate();
        schedule.learning_rate(base, self.steps) * warm_up(self.steps, steps)
    }

    /// The parameters to be evaluated, used and kept: NT-ASGD's average once it has begun, else
    /// those that the next step starts from.
    pub fn evaluation_parameters(&self) -> &Parameters<T> {
        self.optimizer.average().unwrap_or(&self.parameters)
    }

    /// [`evaluation_parameters`](Self::evaluation_parameters) are an average.
    pub fn averages(&self) -> bool {
        self.optimizer.average().is_some()
    }

    /// The parameters that the next step starts from.
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
    /// fixed order: parameters, the optimiser's moments and average, what the objective carries.
    /// Together with [`steps`](Self::steps) and [`held_out_losses`](Self::held_out_losses) they are
    /// the whole state of a training.
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
        if let Some(average) = self.optimizer.average() {
            visit("average", average);
        }
        self.objective.visit(&mut |name, data| {
            f(&format!("carried/{name}"), &[data.len()], data);
        });
    }

    /// Puts back what [`visit`](Self::visit) gave, the number of steps and the held-out losses. `f`
    /// fills each block; at its first error everything stops and the trainer must not be used
    /// further.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn restore<E>(
        &mut self,
        steps: u64,
        held_out: &[HeldOutLoss],
        mut f: impl FnMut(&str, &[usize], &mut [T]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.held_out = HeldOut::new(&self.config);
        for &loss in held_out {
            self.held_out.observe(&self.config, loss);
        }
        self.optimizer.restore_average(self.held_out.average_since());
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
        if let Some(average) = self.optimizer.average_mut() {
            restore("average", average);
        }
        self.objective.visit_mut(&mut |name, data| {
            fill(&format!("carried/{name}"), &[data.len()], data);
        });
        self.steps = steps;
        result
    }
}
