//! The loop around a training: its files, its clock and its Ctrl-C.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use recurrent_checkpoint::{Lock, StoreWriter};
use recurrent_training::HeldOutReport;

use super::advance::{Advance, EpochEnd, Work};
use super::{Options, Outcome, Task, print_line, remark, thousands};
use crate::run::saver::{Ended, Snapshot};
use crate::run::{Interrupt, Progress, RunFolder, Saver};
use crate::tasks::Training;
use crate::tasks::settings::RunSchedule;
use crate::tasks::training::{StepError, has_exploded};

/// Where no `--checkpoint-every` is given, a run saves this often.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// And less often where saving holds up the training: it may take one part in so many of its time.
const SAVING_SHARE: u32 = 100;
/// Where no `--keep-last` is given, so many of the newest checkpoints are kept.
const KEEP_LAST: usize = 3;

/// A run under way.
pub(super) struct Run<T: Task> {
    pub(super) folder: RunFolder,
    pub(super) work: Work<T>,
    saver: Saver,
    save_every: Option<u64>,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
    /// Why the last save failed, if it did.
    failure: Option<String>,
    /// There is a best checkpoint, or one is on its way.
    pub(super) has_best: bool,
    /// What the best state so far reached, if this process saw it.
    headline: Option<String>,
}

impl<T: Task> Run<T> {
    /// A run in `folder`, saved by `writer`, whose newest checkpoint is that of step `saved`.
    pub(super) fn new(
        folder: RunFolder,
        writer: StoreWriter,
        saved: Option<u64>,
        work: Work<T>,
        options: &Options,
    ) -> Run<T> {
        let (saver, save_every) = (Saver::new(writer), options.checkpoint_every);
        Run {
            folder,
            work,
            saver,
            save_every,
            saved,
            failure: None,
            has_best: false,
            headline: None,
        }
    }
}

/// Gets ready to save what follows on step `after`.
///
/// # Errors
/// If the folder cannot be read, or what a killed save left there not be removed.
pub(super) fn writer(
    folder: &RunFolder,
    lock: Lock,
    options: &Options,
    after: u64,
) -> anyhow::Result<StoreWriter> {
    Ok(folder.store().writer(lock, options.keep_last.unwrap_or(KEEP_LAST), after)?)
}

/// Says what is trained, and on what.
pub(super) fn describe<T: Task>(run: &Run<T>, quiet: bool) {
    let Work { training, compute, data, .. } = &run.work;
    remark(
        quiet,
        format!(
            "{}: {} parameters; {}; seed {}; {} {} ({})",
            T::NAME,
            thousands(training.task.layout().count()),
            training.task.describe(data),
            training.learning().seed,
            compute.threads(),
            if compute.threads() == 1 { "thread" } else { "threads" },
            compute.level().name(),
        ),
    );
    if let Some(line) = &data.left_out {
        remark(quiet, line);
    }
}

/// Trains to the end, or to Ctrl-C.
pub(super) fn drive<T: Task>(mut run: Run<T>, quiet: bool) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install().context("cannot take over Ctrl-C")?;
    let mut progress = Progress::new(quiet);
    let outcome = train_loop(&mut run, &interrupt, &mut progress)?;
    let (steps, folder) =
        (run.work.training.trainer.steps(), run.folder.path().display().to_string());
    if let Outcome::Interrupted = outcome {
        remark(quiet, format!("stopped at step {steps}; go on with `recurrent resume {folder}`"));
        return Ok(outcome);
    }
    let best = run.work.best_kept;
    if best.is_infinite() {
        bail!("no held-out loss was a number; the model in {folder} is of no use");
    }
    print_line(format!(
        "held-out loss {best:.4}{}; the model is in {folder}",
        run.headline.map(|headline| format!(" ({headline})")).unwrap_or_default()
    ))?;
    Ok(outcome)
}

pub(super) fn train_loop<T: Task>(
    run: &mut Run<T>,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> anyhow::Result<Outcome> {
    let training = &run.work.training;
    progress.start(training.total_steps(), training.trainer.steps(), training.task.unit());
    let (mut saved, mut epoch_began) = (Instant::now(), Instant::now());
    let (mut save_after, mut epoch_units) = (SAVE_EVERY, 0);
    let mut outcome = Outcome::Done;
    while !run.work.training.is_over() {
        let Advance { step, epoch, ended } = match run.work.advance() {
            Ok(advance) => advance,
            Err(error) => {
                progress.finish();
                run.wait_for_save(progress);
                if let Some(failure) = run.failure.take() {
                    progress.warn(&failure);
                }
                let kept = run.saved.map(|step| format!("; the state after step {step} is kept"));
                let ended = error.downcast_ref().and_then(StepError::step);
                let shown = ended.map(|_| {
                    let folder = run.folder.path().display();
                    format!("; `recurrent report {folder}` shows the steps before it")
                });
                let [kept, shown] = [kept, shown].map(Option::unwrap_or_default);
                return Err(anyhow!("{error:#}{kept}{shown}"));
            }
        };
        epoch_units += step.loss.count;
        progress.step(step.loss.mean(), step.loss.count);
        // Asked once: pressed behind this line, it stops the run after the next step.
        let (now, stop) = (Instant::now(), interrupt.is_requested());
        let is_due = match run.save_every {
            Some(steps) => step.step.is_multiple_of(steps),
            None => now - saved >= save_after,
        };
        if ended.is_some() || stop || is_due {
            // Saved even if every loss is NaN: a run without a best model would be of no use.
            let is_best = ended.as_ref().is_some_and(|end| end.is_best || !run.has_best);
            run.save(is_best, progress)?;
            saved = Instant::now();
            save_after = SAVE_EVERY.max((saved - now) * SAVING_SHARE);
            if let Some(end) = ended {
                let speed = epoch_units as f64 / (now - epoch_began).as_secs_f64();
                progress.message(&line(run, epoch, &end, is_best, speed, step.learning_rate));
                (epoch_began, epoch_units) = (Instant::now(), 0);
                if is_best {
                    run.headline = Some(end.headline);
                }
            }
        } else if let Some(ended) = run.saver.poll() {
            run.note(ended, progress);
            run.tell_failure(progress);
        }
        if stop && !run.work.training.is_over() {
            outcome = Outcome::Interrupted;
            break;
        }
    }
    progress.finish();
    run.wait_for_save(progress);
    // Until here a save that failed was tried again with the next.
    let Some(failure) = &run.failure else { return Ok(outcome) };
    let folder = run.folder.path().display();
    bail!(match run.saved {
        Some(step) => format!(
            "{failure}; the run is saved up to step {step}: with the cause mended, `recurrent \
             resume {folder}` makes the other steps again"
        ),
        None => format!("{failure}; nothing of the run is saved"),
    })
}

impl<T: Task> Run<T> {
    /// Hands a copy of the state to whoever writes it, and goes on.
    fn save(&mut self, is_best: bool, progress: &mut Progress) -> anyhow::Result<()> {
        self.wait_for_save(progress);
        self.tell_failure(progress);
        let checkpoint = self.work.snapshot(self.work.metrics.length())?;
        let (step, metrics) = (self.work.training.trainer.steps(), self.work.metrics.to_sync());
        self.saver.save(Snapshot { step, checkpoint, is_best, metrics });
        self.has_best |= is_best;
        Ok(())
    }

    /// A save that failed ends no run: a disk that is full now may have room in a minute.
    fn tell_failure(&mut self, progress: &mut Progress) {
        if let Some(failure) = self.failure.take() {
            progress.warn(&format!("{failure}; the next save tries again"));
        }
    }

    fn wait_for_save(&mut self, progress: &mut Progress) {
        if let Some(ended) = self.saver.wait() {
            self.note(ended, progress);
        }
    }

    /// Takes note of how a save ended.
    fn note(&mut self, Ended { step, result }: Ended, progress: &mut Progress) {
        self.failure = None;
        match result {
            Ok(saved) => {
                for (path, error) in saved.not_removed {
                    progress.warn(&format!("cannot remove {}: {error}", path.display()));
                }
            }
            Err(error) if error.is_uncertain() => progress.warn(&error.to_string()),
            Err(error) => {
                self.failure = Some(error.to_string());
                return;
            }
        }
        self.saved = Some(step);
    }
}

/// What an epoch brought, for a person to read.
fn line<T: Task>(
    run: &Run<T>,
    epoch: u64,
    end: &EpochEnd,
    is_best: bool,
    speed: f64,
    learning_rate: f64,
) -> String {
    let EpochEnd { train_loss, held_out_loss: loss, headline, seen, .. } = end;
    let training = &run.work.training;
    let mut line = format!(
        "epoch {epoch}/{}: loss {train_loss:.4}, held-out loss {loss:.4} ({headline}), {} {}/s",
        training.learning().epochs,
        thousands(speed as usize),
        training.task.unit(),
    );
    if !is_best {
        line.push_str("; no better than before");
    }
    if has_exploded(*loss, training.task.guessing()) {
        line.push_str("; far worse than guessing");
        if T::IN_ORDER {
            line.push_str(": the state grows over long texts");
        }
    }
    for remark in changes(training, *seen, learning_rate) {
        line.push_str("; ");
        line.push_str(&remark);
    }
    line
}

/// What changes with the epoch that has just ended, for a person to read.
fn changes<T: Task>(
    training: &Training<T>,
    seen: HeldOutReport,
    learning_rate: f64,
) -> Vec<String> {
    if training.is_over() {
        let ended = format!("{} in a row, so the run ends", seen.without_better);
        let early = training.trainer.steps() < training.total_steps();
        return if early { vec![ended] } else { vec![] };
    }
    let mut changes = vec![];
    let next = training.trainer.learning_rate();
    let stepped = matches!(training.learning().schedule, RunSchedule::Step { .. });
    if seen.lowered_rate.is_some() || (stepped && next < learning_rate) {
        changes.push(format!("the learning rate drops to {}", short(next)));
    }
    if seen.averaging_began {
        changes.push("from here on the average of all parameters counts".into());
    }
    changes
}

/// A number with four digits at most.
fn short(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}
