//! The loop around a training: its files, its clock and its Ctrl-C.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use recurrent_kernels::Compute;
use recurrent_training::HeldOutReport;
use serde::Serialize;

use super::{Outcome, Task, print_line, remark, thousands};
use crate::run::{Interrupt, MetricsLog, Progress, RunFolder};
use crate::tasks::settings::RunSchedule;
use crate::tasks::training::has_exploded;
use crate::tasks::{Data, Report, Training, checkpoint};

/// Where no `--checkpoint-every` is given, a run saves this often.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// A line of metrics every so many steps.
const MEASURE_EVERY: u64 = 50;

/// A run under way.
pub(super) struct Run<T: Task> {
    pub(super) folder: RunFolder,
    pub(super) data: Data<T>,
    pub(super) training: Training<T>,
    pub(super) metrics: MetricsLog,
    pub(super) compute: Compute,
    pub(super) save_every: Option<u64>,
    /// What the best state so far reached, if this process saw it.
    pub(super) headline: Option<String>,
}

/// A line of `metrics.jsonl`. There is no time in it: equal runs write equal files.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
enum Measured<R> {
    Step { step: u64, epoch: u64, loss: f64, learning_rate: f64, gradient_norm: f64, clipped: bool },
    Epoch { step: u64, epoch: u64, train_loss: f64, held_out: R, averaged: bool },
}

/// Says what is trained, and on what.
pub(super) fn describe<T: Task>(run: &Run<T>, quiet: bool) {
    let Run { training, compute, data, .. } = run;
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
    let (steps, folder) = (run.training.trainer.steps(), run.folder.path().display().to_string());
    if let Outcome::Interrupted = outcome {
        remark(quiet, format!("stopped at step {steps}; go on with `recurrent resume {folder}`"));
        return Ok(outcome);
    }
    let best = run.training.best;
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
    let total = run.training.total_steps();
    progress.start(total, run.training.trainer.steps(), run.training.task.unit());
    let (mut saved, mut epoch_began) = (Instant::now(), Instant::now());
    let mut epoch_units = 0;
    while !run.training.is_over() {
        let epoch = run.training.epoch();
        let report = match run.training.step(&run.data.train) {
            Ok(report) => report,
            Err(error) => {
                progress.finish();
                let saved = match run.folder.last().is_file() {
                    true => "; the last checkpoint is as it was",
                    false => "",
                };
                return Err(anyhow!("{error}{saved}"));
            }
        };
        epoch_units += report.loss.count;
        progress.step(report.loss.mean(), report.loss.count);
        if report.step.is_multiple_of(MEASURE_EVERY) {
            run.metrics.write(&Measured::<T::Report>::Step {
                step: report.step,
                epoch,
                loss: report.loss.mean(),
                learning_rate: report.learning_rate,
                gradient_norm: report.gradient_norm,
                clipped: report.clipped,
            })?;
        }
        if run.training.at_epoch_end() {
            let line =
                end_epoch(run, epoch, epoch_began.elapsed(), epoch_units, report.learning_rate)?;
            progress.message(&line);
            (saved, epoch_began, epoch_units) = (Instant::now(), Instant::now(), 0);
        } else if interrupt.is_requested()
            || run.save_every.map_or(saved.elapsed() >= SAVE_EVERY, |n| report.step % n == 0)
        {
            save(run, false)?;
            saved = Instant::now();
        }
        if interrupt.is_requested() && !run.training.is_over() {
            progress.finish();
            return Ok(Outcome::Interrupted);
        }
    }
    progress.finish();
    Ok(Outcome::Done)
}

/// Measures, logs and saves after an epoch, whose last step had `learning_rate`; gives the line to
/// show.
fn end_epoch<T: Task>(
    run: &mut Run<T>,
    epoch: u64,
    elapsed: Duration,
    units: usize,
    learning_rate: f64,
) -> anyhow::Result<String> {
    let parameters = run.training.trainer.evaluation_parameters();
    let report = run.training.task.evaluate(&run.compute, parameters, &run.data.held_out)?;
    let (loss, headline) = (report.loss(), report.headline());
    let train_loss = run.training.epoch_loss.mean();
    let step = run.training.trainer.steps();
    let averaged = run.training.trainer.averages();
    run.metrics.write(&Measured::Epoch { step, epoch, train_loss, held_out: report, averaged })?;
    // Saved even if every loss is NaN: a run without a best model would be of no use.
    let seen = run.training.trainer.observe_held_out(loss);
    let is_best = seen.is_best || !run.folder.best().is_file();
    if seen.is_best {
        run.training.best = loss;
        run.headline = Some(headline.clone());
    }
    save(run, is_best)?;
    let mut line = format!(
        "epoch {epoch}/{}: loss {train_loss:.4}, held-out loss {loss:.4} ({headline}), {} {}/s",
        run.training.learning().epochs,
        thousands((units as f64 / elapsed.as_secs_f64()) as usize),
        run.training.task.unit(),
    );
    if !is_best {
        line.push_str("; no better than before");
    }
    if has_exploded(loss, run.training.task.guessing()) {
        line.push_str("; far worse than guessing");
        if T::IN_ORDER {
            line.push_str(": the state grows over long texts");
        }
    }
    for remark in changes(&run.training, seen, learning_rate) {
        line.push_str("; ");
        line.push_str(&remark);
    }
    Ok(line)
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

/// Writes `last.ckpt`, and `best.ckpt` too if this is the best state so far.
fn save<T: Task>(run: &mut Run<T>, is_best: bool) -> anyhow::Result<()> {
    let length = run.metrics.sync()?;
    let checkpoint = checkpoint::save(&run.training, length, T::fingerprint(&run.data))?;
    if is_best {
        checkpoint.save(run.folder.best())?;
    }
    checkpoint.save(run.folder.last())?;
    Ok(())
}
