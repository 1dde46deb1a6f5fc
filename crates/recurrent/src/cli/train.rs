//! `train` and `resume`: the loop around a training, its files, its clock and its Ctrl-C.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use recurrent_cells::Parameters;
use recurrent_checkpoint::write_atomically;
use recurrent_kernels::Compute;
use recurrent_training::{HeldOutReport, OptimizerConfig};
use serde::Serialize;

use super::{Options, Outcome, RunArgument, Task, print_line, remark, thousands, usage};
use crate::data::{Corpus, TokenKind, Vocabulary, source};
use crate::run::{Interrupt, MetricsLog, Progress, RunFolder};
use crate::tasks::checkpoint::{self, Resumed};
use crate::tasks::language_model::{
    Report, RunSchedule, Settings, Training, evaluate, has_exploded,
};

/// Where no `--checkpoint-every` is given, a run saves this often.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// A line of metrics every so many steps.
const MEASURE_EVERY: u64 = 50;

#[derive(Args)]
pub(super) struct TrainArguments {
    /// What to learn.
    task: Task,
    /// The folder for the model and its log; made if it is not there.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// A file with options under their names; what is typed wins.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overwrites the run that is in the folder.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
pub(super) struct ResumeArguments {
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
}

/// A run under way.
pub(super) struct Run {
    pub(super) folder: RunFolder,
    pub(super) corpus: Corpus,
    pub(super) training: Training,
    pub(super) metrics: MetricsLog,
    pub(super) compute: Compute,
    pub(super) save_every: Option<u64>,
}

/// A line of `metrics.jsonl`. There is no time in it: equal runs write equal files.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
enum Measured {
    Step { step: u64, epoch: u64, loss: f64, learning_rate: f64, gradient_norm: f64, clipped: bool },
    Epoch { step: u64, epoch: u64, train_loss: f64, held_out: Report, averaged: bool },
}

pub(super) fn train(arguments: TrainArguments, quiet: bool) -> anyhow::Result<Outcome> {
    let TrainArguments { task, out, config, force, mut options } = arguments;
    if let Some(file) = &config {
        options = options.or(Options::read(file)?);
    }
    if let Some(other) =
        options.task.replace(task.name().into()).filter(|name| *name != task.name())
    {
        bail!(usage(format!("--config is for the task {other}, not {}", task.name())));
    }
    let run = start(&out, force, options, quiet)?;
    drive(run, quiet)
}

/// Reads and checks everything before anything is written.
pub(super) fn start(
    out: &Path,
    force: bool,
    mut options: Options,
    quiet: bool,
) -> anyhow::Result<Run> {
    let settings = options.settings()?;
    let compute = options.compute()?;
    let name = options.data.get_or_insert_with(|| "builtin:text".into());
    let data = source::open(name)?;
    let valid = options.valid.as_ref().map(source::open).transpose()?;
    let corpus = Corpus::load(&data, valid.as_ref(), settings.tokens, settings.min_count)?;
    corpus.require_window(settings.batch_size, settings.sequence_length)?;
    let vocabulary = corpus.vocabulary.clone();
    let training = Training::new(settings, vocabulary, compute.clone(), &corpus.train)
        .map_err(|error| anyhow!(error))?;

    // So that the run can be resumed and evaluated from any folder.
    for path in [&mut options.data, &mut options.valid].into_iter().flatten() {
        if let source::Source::Path(file) = source::open(&*path)? {
            *path = std::path::absolute(file)?;
        }
    }
    let was_there = out.exists();
    let folder = RunFolder::create(out, force)?;
    options.epochs = Some(training.settings.epochs);
    options.seed = Some(training.settings.seed);
    write_config(&folder, &options).inspect_err(|_| {
        // A start that failed leaves no folder of ours behind; one that holds anything stays.
        if !was_there {
            let _ = std::fs::remove_dir(out);
        }
    })?;
    let metrics = MetricsLog::create(folder.metrics())?;
    let run =
        Run { folder, corpus, training, metrics, compute, save_every: options.checkpoint_every };
    describe(&run, quiet);
    let Settings { dropout, num_layers, warm_up, .. } = run.training.settings;
    if warm_up > run.training.total_steps() {
        remark(quiet, "the run ends before it is warm: it never takes the whole learning rate");
    }
    if let OptimizerConfig::NtAsgd { average_after, .. } = run.training.settings.optimizer
        && run.training.settings.epochs < average_after.saturating_add(2)
    {
        remark(
            quiet,
            "the run ends before nt-asgd can begin to average: it needs --average-after epochs and \
             two more",
        );
    }
    if dropout > 0.0 && num_layers == 1 {
        remark(quiet, "dropout acts between layers: with one layer it does nothing");
    }
    Ok(run)
}

pub(super) fn resume(arguments: ResumeArguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let mut options = Options::read(&folder.config())?;
    options.threads = arguments.threads.or(options.threads);
    let compute = options.compute()?;
    folder.model()?;
    let (file, mut settings, vocabulary) = checkpoint::read_head(&folder.last())
        .map_err(|error| name_the_other(error, &folder.last(), &folder.best()))?;
    // A default may have been another when the run began.
    let learning_rate = options.learning_rate.or(Some(settings.learning_rate));
    let given = Options { learning_rate, ..options.clone() }.settings()?;
    let Settings { epochs, steps, patience, .. } = settings;
    let given = Settings { epochs, steps, patience, ..given };
    if given != settings {
        bail!(
            "{}: was changed{}, and a run goes on with the settings that it began with; change it \
             back, or train a new run with --config and another --out",
            folder.config().display(),
            first_difference(&given, &settings).unwrap_or_default()
        );
    }
    if let Some(epochs) = arguments.epochs {
        (settings.epochs, settings.steps) = (epochs, None);
    }
    // A resume that was killed before it saved has left its patience in the file.
    settings.patience = arguments.patience.or(options.patience).or(settings.patience);
    settings.check().map_err(usage)?;
    let corpus = run_data(&folder, &options, vocabulary.clone())?;
    corpus.require_window(settings.batch_size, settings.sequence_length)?;
    let resumed = checkpoint::resume(&file, settings, vocabulary, compute.clone(), &corpus.train)
        .with_context(|| folder.last().display().to_string())?;
    let Resumed { training, metrics_length, fingerprint } = resumed;
    if fingerprint != corpus.fingerprint() {
        bail!(
            "{}: the text is not the one that the run began with, so it cannot go on bit for bit; \
             bring the old text back, or train a new run with another --out",
            data_name(&options).display()
        );
    }
    if training.trainer.steps() >= training.total_steps() {
        bail!(usage(format!(
            "{}: the run is finished after {} steps; ask for more epochs than {} with --epochs",
            folder.path().display(),
            thousands(training.trainer.steps()),
            training.trainer.steps().div_ceil(training.windows_per_epoch()),
        )));
    }
    if training.trainer.is_out_of_patience() {
        let count = training.trainer.without_better();
        bail!(usage(format!(
            "{}: the run ended after {} steps, because {count} {} in a row brought no better \
             held-out loss; ask for more patience than {count} with --patience",
            folder.path().display(),
            thousands(training.trainer.steps()),
            if count == 1 { "epoch" } else { "epochs" },
        )));
    }
    let metrics = MetricsLog::resume(folder.metrics(), metrics_length)?;
    (options.epochs, options.steps) = (Some(training.settings.epochs), training.settings.steps);
    options.patience = training.settings.patience;
    write_config(&folder, &options)?;
    if metrics.missing() > 0 {
        remark(quiet, format!("metrics.jsonl lacks its last {} bytes", metrics.missing()));
    }
    let run =
        Run { folder, corpus, training, metrics, compute, save_every: options.checkpoint_every };
    describe(&run, quiet);
    remark(quiet, format!("goes on after step {}", thousands(run.training.trainer.steps())));
    drive(run, quiet)
}

/// Which setting differs, with both values, for the message that one does.
fn first_difference(given: &Settings, began_with: &Settings) -> Option<String> {
    let fields = |settings: &Settings| serde_json::to_value(settings).ok();
    let (given, began_with) = (fields(given)?, fields(began_with)?);
    let (name, value) =
        given.as_object()?.iter().find(|(name, value)| began_with.get(name) != Some(value))?;
    Some(format!(" ({name} was {} and is {value})", began_with.get(name)?))
}

/// The model to use: that of the best checkpoint, or of the last where no epoch has ended yet.
pub(super) fn load_model(folder: &RunFolder) -> anyhow::Result<checkpoint::Loaded> {
    let file = folder.model()?;
    checkpoint::load_model(&file).map_err(|error| name_the_other(error, &file, &folder.last()))
}

/// What to do about a checkpoint that cannot be used, if the run's other one can.
fn name_the_other(error: anyhow::Error, file: &Path, other: &Path) -> anyhow::Error {
    if file == other || checkpoint::read_head(other).is_err() {
        return error;
    }
    anyhow!("{error:#}; `cp {} {}` goes back to one that is whole", other.display(), file.display())
}

/// The data that a run's options name.
fn data_name(options: &Options) -> PathBuf {
    options.data.clone().unwrap_or_else(|| "builtin:text".into())
}

/// Reads a run's own data again.
pub(super) fn run_data(
    folder: &RunFolder,
    options: &Options,
    vocabulary: Vocabulary,
) -> anyhow::Result<Corpus> {
    let load = || {
        let data = source::open(data_name(options))?;
        let valid = options.valid.as_ref().map(source::open).transpose()?;
        Corpus::load_with(&data, valid.as_ref(), vocabulary)
    };
    // The file that names the data is where to look if they have moved.
    load().with_context(|| folder.config().display().to_string())
}

fn write_config(folder: &RunFolder, options: &Options) -> anyhow::Result<()> {
    let text = toml::to_string(options).context("the options cannot be written as TOML")?;
    write_atomically(folder.config(), text)?;
    Ok(())
}

fn describe(run: &Run, quiet: bool) {
    let (settings, vocabulary) = (&run.training.settings, &run.training.vocabulary);
    remark(
        quiet,
        format!(
            "{} {} x {}, {} parameters, vocabulary of {} {}; {} {} to learn from, {} held out; \
             seed {}; {} {} ({})",
            settings.cell.name(),
            settings.num_layers,
            settings.hidden_size,
            thousands(run.training.model().layout().count() as u64),
            thousands(vocabulary.len() as u64),
            settings.tokens.plural(),
            thousands(run.corpus.train.len() as u64),
            settings.tokens.plural(),
            thousands(run.corpus.valid.len() as u64),
            settings.seed,
            run.compute.threads(),
            if run.compute.threads() == 1 { "thread" } else { "threads" },
            run.compute.level().name(),
        ),
    );
}

/// Trains to the end, or to Ctrl-C.
fn drive(mut run: Run, quiet: bool) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install().context("cannot take over Ctrl-C")?;
    let mut progress = Progress::new(quiet);
    let outcome = train_loop(&mut run, &interrupt, &mut progress)?;
    let (steps, folder) = (run.training.trainer.steps(), run.folder.path().display().to_string());
    if let Outcome::Interrupted = outcome {
        remark(quiet, format!("stopped at step {steps}; go on with `recurrent resume {folder}`"));
        return Ok(outcome);
    }
    let unit = match run.training.settings.tokens {
        TokenKind::Char => "character",
        TokenKind::Word => "word",
        TokenKind::Byte => "byte",
    };
    let best = run.training.best;
    if best.is_infinite() {
        bail!("no held-out loss was a number; the model in {folder} is of no use");
    }
    print_line(format!(
        "held-out loss {best:.4} nats per {unit} (perplexity {:.2}); the model is in {folder}",
        best.exp()
    ))?;
    Ok(outcome)
}

pub(super) fn train_loop(
    run: &mut Run,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> anyhow::Result<Outcome> {
    let total = run.training.total_steps();
    progress.start(total, run.training.trainer.steps());
    let (mut saved, mut epoch_began) = (Instant::now(), Instant::now());
    let mut epoch_tokens = 0;
    while !run.training.is_over() {
        let epoch = run.training.epoch();
        let report = match run.training.step(&run.corpus.train) {
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
        epoch_tokens += report.loss.count;
        progress.step(report.loss.mean(), report.loss.count as u64);
        if report.step.is_multiple_of(MEASURE_EVERY) {
            run.metrics.write(&Measured::Step {
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
                end_epoch(run, epoch, epoch_began.elapsed(), epoch_tokens, report.learning_rate)?;
            progress.message(&line);
            (saved, epoch_began, epoch_tokens) = (Instant::now(), Instant::now(), 0);
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
fn end_epoch(
    run: &mut Run,
    epoch: u64,
    elapsed: Duration,
    tokens: usize,
    learning_rate: f64,
) -> anyhow::Result<String> {
    let parameters: &Parameters<f32> = run.training.trainer.evaluation_parameters();
    let loss = evaluate(&run.compute, run.training.model(), parameters, &run.corpus.valid);
    let held_out = Report::from(loss);
    let train_loss = run.training.epoch_loss.mean();
    let step = run.training.trainer.steps();
    let averaged = run.training.trainer.averages();
    run.metrics.write(&Measured::Epoch { step, epoch, train_loss, held_out, averaged })?;
    // Saved even if every loss is NaN: a run without a best model would be of no use.
    let seen = run.training.trainer.observe_held_out(held_out.loss);
    let is_best = seen.is_best || !run.folder.best().is_file();
    if seen.is_best {
        run.training.best = held_out.loss;
    }
    save(run, is_best)?;
    let mut line = format!(
        "epoch {epoch}/{}: loss {train_loss:.4}, held-out loss {:.4} (perplexity {:.2}), {} {}/s",
        run.training.settings.epochs,
        held_out.loss,
        held_out.perplexity,
        thousands((tokens as f64 / elapsed.as_secs_f64()) as u64),
        run.training.settings.tokens.plural(),
    );
    if !is_best {
        line.push_str("; no better than before");
    }
    if has_exploded(held_out.loss, run.training.vocabulary.len()) {
        line.push_str("; far worse than guessing: the state grows over long texts");
    }
    for remark in changes(&run.training, seen, learning_rate) {
        line.push_str("; ");
        line.push_str(&remark);
    }
    Ok(line)
}

/// What changes with the epoch that has just ended, for a person to read.
fn changes(training: &Training, seen: HeldOutReport, learning_rate: f64) -> Vec<String> {
    if training.is_over() {
        let ended = format!("{} in a row, so the run ends", seen.without_better);
        let early = training.trainer.steps() < training.total_steps();
        return if early { vec![ended] } else { vec![] };
    }
    let mut changes = vec![];
    let next = training.trainer.learning_rate();
    let stepped = matches!(training.settings.schedule, RunSchedule::Step { .. });
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
fn save(run: &mut Run, is_best: bool) -> anyhow::Result<()> {
    let length = run.metrics.sync()?;
    let checkpoint = checkpoint::save(&run.training, length, run.corpus.fingerprint())?;
    if is_best {
        checkpoint.save(run.folder.best())?;
    }
    checkpoint.save(run.folder.last())?;
    Ok(())
}
