//! One step of a run and what is measured of it: the same for who trains and for who replays.

use std::collections::VecDeque;

use recurrent_checkpoint::Checkpoint;
use recurrent_kernels::Compute;
use recurrent_training::{HeldOutReport, StepReport};
use serde::Serialize;

use super::Task;
use crate::gradient_watch::{GradientWatch, WatchedCell};
use crate::run::MetricsLog;
use crate::tasks::training::{EndedBy, StepError};
use crate::tasks::{Data, Report, Training, checkpoint};

/// A line of metrics every so many steps.
const MEASURE_EVERY: u64 = 50;
/// So many of the last steps are told where a run ends in the middle.
const LAST_STEPS: usize = 50;

/// What a step depends on, and the log that it is written into.
pub(super) struct Work<T: Task> {
    pub(super) data: Data<T>,
    pub(super) training: Training<T>,
    pub(super) metrics: MetricsLog,
    pub(super) compute: Compute,
    /// The held-out loss of the model that is kept as the best; infinite where none is. The lowest
    /// loss of the training may be another: a file can be lost.
    pub(super) best_kept: f64,
    /// Gradients are watched every so many steps.
    pub(super) watch_gradients: Option<u64>,
    /// The last steps that this process took, for the case that the next ends the run.
    pub(super) last_steps: VecDeque<LastStep>,
}

/// What a step did.
pub(super) struct Advance {
    pub(super) step: StepReport,
    /// The epoch that it was of, counted from 1.
    pub(super) epoch: u64,
    /// What held-out data said, if the epoch ended with it.
    pub(super) ended: Option<EpochEnd>,
}

/// A step, as it is told where a later one ends the run.
#[derive(Serialize)]
pub(super) struct LastStep {
    step: u64,
    loss: f64,
    gradient_norm: f64,
    clipped: bool,
}

/// The end of an epoch.
pub(super) struct EpochEnd {
    pub(super) train_loss: f64,
    pub(super) held_out_loss: f64,
    /// The task's main figure.
    pub(super) headline: String,
    /// It is lower than that of the model that was kept as the best.
    pub(super) is_best: bool,
    /// What follows for the training.
    pub(super) seen: HeldOutReport,
}

/// A line of `metrics.jsonl`. There is no time in it: equal runs write equal files.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
enum Measured<R> {
    Step {
        step: u64,
        epoch: u64,
        loss: f64,
        learning_rate: f64,
        gradient_norm: f64,
        clipped: bool,
    },
    Clip {
        step: u64,
        epoch: u64,
        gradient_norm: f64,
        clipped_norm: f64,
    },
    Gradients {
        step: u64,
        epoch: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        gradient_norm: Option<f64>,
        cells: Vec<WatchedCell>,
    },
    Failure {
        step: u64,
        epoch: u64,
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        gradient_norm: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter: Option<String>,
        before: Vec<LastStep>,
    },
    Epoch {
        step: u64,
        epoch: u64,
        train_loss: f64,
        held_out: R,
        averaged: bool,
    },
}

impl<T: Task> Work<T> {
    /// Takes a step; where an epoch ends with it, measures on held-out data. Both are logged.
    ///
    /// # Errors
    /// If the training went wrong for good (the log then ends with where it did), or the held-out
    /// data cannot be evaluated.
    pub(super) fn advance(&mut self) -> anyhow::Result<Advance> {
        let epoch = self.training.epoch();
        let next = self.training.trainer.steps() + 1;
        let is_watched = self.watch_gradients.is_some_and(|every| next.is_multiple_of(every));
        let watch = is_watched.then(GradientWatch::new);
        let step = match self.training.step(&self.data.train, watch.as_ref()) {
            Ok(step) => step,
            Err(error) => {
                // What the step saw that ended the run is the most worth knowing.
                self.write_gradients(next, epoch, None, watch)?;
                self.write_failure(&error, epoch)?;
                return Err(error.into());
            }
        };
        if self.last_steps.len() == LAST_STEPS {
            self.last_steps.pop_front();
        }
        self.last_steps.push_back(LastStep {
            step: step.step,
            loss: step.loss.mean(),
            gradient_norm: step.gradient_norm,
            clipped: step.clipped,
        });
        if step.step.is_multiple_of(MEASURE_EVERY) {
            self.metrics.write(&Measured::<T::Report>::Step {
                step: step.step,
                epoch,
                loss: step.loss.mean(),
                learning_rate: step.learning_rate,
                gradient_norm: step.gradient_norm,
                clipped: step.clipped,
            })?;
        }
        self.write_clipping(&step, epoch)?;
        self.write_gradients(step.step, epoch, Some(step.gradient_norm), watch)?;
        let ended = match self.training.at_epoch_end() {
            true => Some(self.end_epoch(epoch)?),
            false => None,
        };
        Ok(Advance { step, epoch, ended })
    }

    /// Logs every clipping while gradients are watched.
    fn write_clipping(&mut self, report: &StepReport, epoch: u64) -> anyhow::Result<()> {
        let &StepReport { step, gradient_norm, clipped_norm, clipped, .. } = report;
        if self.watch_gradients.is_some() && clipped {
            let line = Measured::<T::Report>::Clip { step, epoch, gradient_norm, clipped_norm };
            self.metrics.write(&line)?;
        }
        Ok(())
    }

    /// Logs what a step's watch saw.
    fn write_gradients(
        &mut self,
        step: u64,
        epoch: u64,
        gradient_norm: Option<f64>,
        watch: Option<GradientWatch>,
    ) -> anyhow::Result<()> {
        if let Some(watch) = watch {
            let cells = watch.cells();
            let line = Measured::<T::Report>::Gradients { step, epoch, gradient_norm, cells };
            self.metrics.write(&line)?;
        }
        Ok(())
    }

    /// Logs the step that ended the run, and those before it, of which few were measured: what explodes
    /// does so within a few steps.
    fn write_failure(&mut self, error: &StepError, epoch: u64) -> anyhow::Result<()> {
        if let Some(EndedBy { step, loss, gradient_norm, parameter }) = error.step() {
            let (reason, before) = (error.to_string(), self.last_steps.drain(..).collect());
            self.metrics.write(&Measured::<T::Report>::Failure {
                step,
                epoch,
                reason,
                loss,
                gradient_norm,
                parameter,
                before,
            })?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, epoch: u64) -> anyhow::Result<EpochEnd> {
        let Work { data, training, metrics, compute, best_kept, .. } = self;
        let parameters = training.trainer.evaluation_parameters();
        let held_out = training.task.evaluate(compute, parameters, &data.held_out)?;
        let (held_out_loss, headline) = (held_out.loss(), held_out.headline());
        let train_loss = training.epoch_loss.mean();
        let step = training.trainer.steps();
        let averaged = training.trainer.averages();
        metrics.write(&Measured::Epoch { step, epoch, train_loss, held_out, averaged })?;
        let seen = training.trainer.observe_held_out(held_out_loss);
        if seen.is_best {
            training.best = held_out_loss;
        }
        let is_best = held_out_loss < *best_kept;
        if is_best {
            *best_kept = held_out_loss;
        }
        Ok(EpochEnd { train_loss, held_out_loss, headline, is_best, seen })
    }

    /// The state as a checkpoint that counts on `metrics_length` bytes of metrics.
    ///
    /// # Errors
    /// As [`checkpoint::save`].
    pub(super) fn snapshot(&self, metrics_length: u64) -> anyhow::Result<Checkpoint<'static>> {
        checkpoint::save(&self.training, metrics_length, T::fingerprint(&self.data))
    }
}
