//! `resume`: goes on, bit for bit, where a run stopped.

use std::collections::VecDeque;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use recurrent_checkpoint::{Checkpoint, Found};

use super::advance::Work;
use super::drive::{Run, describe, drive, writer};
use super::verify::verify;
use super::{Options, Outcome, RunArgument, Task, remark, thousands, usage, warn, with_task};
use crate::run::{MetricsLog, RunFolder};
use crate::tasks::checkpoint::{self, Head, Resumed};
use crate::tasks::{Data, TaskName, TaskSettings};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// Epochs of the whole run, those done included; lifts a limit by --steps [default: as before]
    #[arg(long, value_name = "TOTAL")]
    epochs: Option<u64>,
    /// Epochs in a row without a better loss that end the run [default: as before]
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<u64>,
    /// Threads; they change the speed and no bit [default: as before]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// First replays the last so many steps, from a checkpoint before them, and goes on only if
    /// every bit is as it was saved
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    verify: Option<u64>,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let options = Options::read(&folder.config())?;
    with_task!(run_task(&folder, &options)?, T => resume::<T>(folder, options, arguments, quiet))
}

/// The task of a run.
pub(super) fn run_task(folder: &RunFolder, options: &Options) -> anyhow::Result<TaskName> {
    let name = options.task.as_deref().unwrap_or_default();
    TaskName::from_name(name)
        .ok_or_else(|| anyhow!("{}: there is no task named `{name}`", folder.config().display()))
}

fn resume<T: Task>(
    folder: RunFolder,
    mut options: Options,
    arguments: Arguments,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    options.threads = arguments.threads.or(options.threads);
    let compute = options.compute()?;
    // Held to the end, and taken before anything is read: nobody else changes it then.
    let lock = folder.lock()?;
    let newest = folder.newest()?;
    name_skipped(&newest);
    let Head { mut settings, codec } = checkpoint::read_head::<T>(&newest.checkpoint)
        .with_context(|| newest.path.display().to_string())?;
    let began = settings.learning().clone();
    // A default may have been another when the run began.
    let learning_rate = options.learning_rate.or(Some(began.learning_rate));
    let given = Options { learning_rate, ..options.clone() }.or_default(T::defaults())?;
    let mut given = T::settings(&given)?;
    {
        // How long to train may be changed.
        let learning = given.learning_mut();
        (learning.epochs, learning.steps) = (began.epochs, began.steps);
        learning.patience = began.patience;
    }
    if given != settings {
        bail!(
            "{}: was changed{}, and a run goes on with the settings that it began with; change it \
             back, or train a new run with --config and another --out",
            folder.config().display(),
            first_difference(&given, &settings).unwrap_or_default()
        );
    }
    let learning = settings.learning_mut();
    // A resume that was killed before it saved has left what it was asked for in the file.
    if let Some(epochs) = options.epochs {
        (learning.epochs, learning.steps) = (epochs, options.steps);
    }
    if let Some(epochs) = arguments.epochs {
        (learning.epochs, learning.steps) = (epochs, None);
    }
    learning.patience = arguments.patience.or(options.patience).or(learning.patience);
    learning.check().map_err(usage)?;
    let data = run_data::<T>(&folder, &options, &settings, codec)?;
    let resumed = checkpoint::resume::<T>(&newest.checkpoint, settings, compute.clone(), &data)
        .with_context(|| newest.path.display().to_string())?;
    let Resumed { training, metrics_length, fingerprint } = resumed;
    if fingerprint != T::fingerprint(&data) {
        bail!(
            "{}: the data are not those that the run began with, so it cannot go on bit for bit; \
             bring the old data back, or train a new run with another --out",
            options.data_name()?.display()
        );
    }
    let data = match arguments.verify {
        None => data,
        Some(steps) => {
            let data = verify(&folder, &newest, steps, (&compute, &options), data)?;
            if training.is_over() {
                return Ok(Outcome::Done);
            }
            data
        }
    };
    if training.trainer.steps() >= training.total_steps() {
        bail!(usage(format!(
            "{}: the run is finished after {} steps; ask for more epochs than {} with --epochs",
            folder.path().display(),
            thousands(training.trainer.steps() as usize),
            training.trainer.steps().div_ceil(training.steps_per_epoch()),
        )));
    }
    if training.trainer.is_out_of_patience() {
        let count = training.trainer.without_better();
        bail!(usage(format!(
            "{}: the run ended after {} steps, because {count} {} in a row brought no better \
             held-out loss; ask for more patience than {count} with --patience",
            folder.path().display(),
            thousands(training.trainer.steps() as usize),
            if count == 1 { "epoch" } else { "epochs" },
        )));
    }
    // Before any file is changed: these may refuse.
    let best_kept = best_kept(&folder, training.best)?;
    let writer = writer(&folder, lock, &options, newest.step)?;
    let learning = training.learning();
    (options.epochs, options.steps) = (Some(learning.epochs), learning.steps);
    options.patience = learning.patience;
    folder.write_options(&toml::to_string(&options)?)?;
    let metrics = MetricsLog::resume(folder.metrics(), metrics_length, newest.step)?;
    if metrics.missing() > 0 {
        warn(format!("metrics.jsonl lacks {} bytes of what was measured", metrics.missing()));
    }
    let (has_best, best_kept) = (best_kept.is_some(), best_kept.unwrap_or(f64::INFINITY));
    let watch_gradients = options.watch_gradients;
    let last_steps = VecDeque::new();
    let work = Work { data, training, metrics, compute, best_kept, watch_gradients, last_steps };
    let mut run = Run::new(folder, writer, Some(newest.step), work, &options);
    run.has_best = has_best;
    describe(&run, quiet);
    let steps = run.work.training.trainer.steps() as usize;
    remark(quiet, format!("goes on after step {}", thousands(steps)));
    drive(run, quiet)
}

/// The held-out loss of the best checkpoint, infinite if that is no number; none without one. If
/// the best of a training whose best loss is `best` is lost, a person is told.
fn best_kept(folder: &RunFolder, best: f64) -> anyhow::Result<Option<f64>> {
    match folder.whole_best()? {
        Ok(found) => {
            let loss = checkpoint::held_out_loss(&found)
                .with_context(|| folder.store().best_path().display().to_string())?;
            Ok(Some(if loss.is_nan() { f64::INFINITY } else { loss }))
        }
        Err(fault) => {
            if best.is_finite() {
                let next = "the state at the end of the next epoch counts as the best so far";
                warn(format!("{fault}; {next}"));
            }
            Ok(None)
        }
    }
}

/// Which setting differs, with both values, for the message that one does.
fn first_difference(
    given: &impl serde::Serialize,
    began_with: &impl serde::Serialize,
) -> Option<String> {
    let (given, began_with) =
        (serde_json::to_value(given).ok()?, serde_json::to_value(began_with).ok()?);
    let (given, began_with) = (given.as_object()?, began_with.as_object()?);
    let none = &serde_json::Value::Null;
    let value = |of: &serde_json::Map<_, _>, name: &str| of.get(name).unwrap_or(none).clone();
    let name = given
        .keys()
        .chain(began_with.keys())
        .find(|name| value(given, name) != value(began_with, name))?;
    Some(format!(" ({name} was {} and is {})", value(began_with, name), value(given, name)))
}

/// Says which checkpoints were passed over because they are damaged, and what is used instead.
pub(super) fn name_skipped(found: &Found) {
    for error in &found.skipped {
        warn(error);
    }
    if !found.skipped.is_empty() {
        let (file, step) = (found.path.display(), thousands(found.step as usize));
        warn(format!("{file} is used instead, of step {step}"));
    }
}

/// Reads a run's own data again.
pub(super) fn run_data<T: Task>(
    folder: &RunFolder,
    options: &Options,
    settings: &T::Settings,
    codec: T::Codec,
) -> anyhow::Result<Data<T>> {
    // The file that names the data is where to look if they have moved.
    T::read(options, settings, Some(codec)).with_context(|| folder.config().display().to_string())
}

/// Says so if the data are not those that the run was trained on: what is held out now may have been
/// learnt from.
pub(super) fn warn_of_other_data<T: Task>(
    checkpoint: &Checkpoint,
    data: &Data<T>,
    folder: &RunFolder,
) -> anyhow::Result<()> {
    let config = folder.config();
    let of_file = || config.display().to_string();
    if checkpoint::fingerprint(checkpoint).with_context(of_file)? != T::fingerprint(data) {
        warn(format!(
            "{}: the data are not those that the run was trained on, so what is held out now may have \
             been learnt from",
            config.display()
        ));
    }
    Ok(())
}
