//! `train`: reads and checks everything, then makes a run and trains it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use recurrent_training::OptimizerConfig;

use super::advance::Work;
use super::drive::{Run, describe, drive, writer};
use super::{Options, Outcome, Task, TaskName, remark, usage};
use crate::data::source;
use crate::run::{MetricsLog, RunFolder};
use crate::tasks::Training;

#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct TrainArguments {
    /// The folder for the model and its log; made if it is not there
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// A file with options under their names; what is typed wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overwrites the run that is in the folder
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    options: Options,
}

/// What a model is trained to do.
#[derive(Subcommand)]
pub(super) enum TrainTask {
    /// Predict the next token of a text, and so learn to write.
    LanguageModel(Box<TrainArguments>),
    /// Give a whole text, or a series of numbers, one label.
    Classify(Box<TrainArguments>),
    /// Find the tag of every word in a sentence.
    Tag(Box<TrainArguments>),
    /// Read a text and write another, such as its translation.
    Translate(Box<TrainArguments>),
    /// Forecast the rows of numbers that follow.
    Forecast(Box<TrainArguments>),
    /// Write texts of a kind: names of a language, for example.
    ConditionalText(Box<TrainArguments>),
    /// Say in words what a picture shows.
    Caption(Box<TrainArguments>),
    /// Answer questions about pictures.
    Vqa(Box<TrainArguments>),
}

impl TrainTask {
    /// Which task it is, and what was typed behind its name.
    pub(super) fn split(self) -> (TaskName, TrainArguments) {
        match self {
            TrainTask::LanguageModel(arguments) => (TaskName::LanguageModel, *arguments),
            TrainTask::Classify(arguments) => (TaskName::Classify, *arguments),
            TrainTask::Tag(arguments) => (TaskName::Tag, *arguments),
            TrainTask::Translate(arguments) => (TaskName::Translate, *arguments),
            TrainTask::Forecast(arguments) => (TaskName::Forecast, *arguments),
            TrainTask::ConditionalText(arguments) => (TaskName::ConditionalText, *arguments),
            TrainTask::Caption(arguments) => (TaskName::Caption, *arguments),
            TrainTask::Vqa(arguments) => (TaskName::Vqa, *arguments),
        }
    }
}

pub(super) fn train<T: Task>(arguments: TrainArguments, quiet: bool) -> anyhow::Result<Outcome> {
    let TrainArguments { out, config, force, mut options } = arguments;
    if let Some(file) = &config {
        options = options.or(Options::read(file)?)?;
    }
    if let Some(other) = options.task.replace(T::NAME.into()).filter(|name| *name != T::NAME) {
        bail!(usage(format!("--config is for the task {other}, not {}", T::NAME)));
    }
    drive(start::<T>(&out, force, options, quiet)?, quiet)
}

/// Reads and checks everything before anything is written.
pub(super) fn start<T: Task>(
    out: &Path,
    force: bool,
    options: Options,
    quiet: bool,
) -> anyhow::Result<Run<T>> {
    if let Some(task) = TaskName::from_name(T::NAME) {
        options.require_known(T::NAME, |option| task.takes(option))?;
    }
    let mut options = options.or_default(T::defaults())?;
    let settings = T::settings(&options)?;
    let compute = options.compute()?;
    let data = T::read(&options, &settings, None)?;
    let training =
        Training::<T>::new(settings, compute.clone(), &data).map_err(|error| anyhow!(error))?;

    // So that the run can be resumed and evaluated from any folder.
    let paths = [&mut options.data, &mut options.valid, &mut options.embeddings];
    for path in paths.into_iter().flatten() {
        if let source::Source::Path(file) = source::open(&*path)? {
            *path = std::path::absolute(file)?;
        }
    }
    options.seed = Some(training.learning().seed);
    let (folder, lock) = RunFolder::create(out, force, &toml::to_string(&options)?)?;
    let metrics = MetricsLog::create(folder.metrics())?;
    let writer = writer(&folder, lock, &options, 0)?;
    let (best_kept, watch_gradients) = (f64::INFINITY, options.watch_gradients);
    let last_steps = VecDeque::new();
    let work = Work { data, training, metrics, compute, best_kept, watch_gradients, last_steps };
    let run = Run::new(folder, writer, None, work, &options);
    describe(&run, quiet);
    for line in remarks(&run.work.training, &options) {
        remark(quiet, line);
    }
    Ok(run)
}

/// What a person may not have meant.
fn remarks<T: Task>(training: &Training<T>, options: &Options) -> Vec<&'static str> {
    let mut remarks = vec![];
    let learning = training.learning();
    if learning.warm_up > training.total_steps() {
        remarks.push("the run ends before it is warm: it never takes the whole learning rate");
    }
    if let OptimizerConfig::NtAsgd { average_after, .. } = learning.optimizer
        && learning.epochs < average_after.saturating_add(2)
    {
        remarks.push(
            "the run ends before nt-asgd can begin to average: it needs --average-after epochs and \
             two more",
        );
    }
    let layers = options.num_layers.unwrap_or(1);
    if options.dropout.is_some_and(|share| share > 0.0) && layers == 1 {
        remarks.push("dropout acts between layers: with one layer it does nothing");
    }
    remarks
}
