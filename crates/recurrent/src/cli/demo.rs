//! `demo`: the main job on built-in data, in seconds, with a result that a person can judge.

use std::path::Path;

use anyhow::bail;
use clap::{Args, ValueEnum};
use recurrent_topologies::{Sampler, Sampling};

use super::drive::{Run, train_loop};
use super::train::start;
use super::{Options, Outcome, Task, print_line, remark, usage};
use crate::options::ScheduleKind;
use crate::run::{Interrupt, Progress};
use crate::tasks::{LanguageModel, Parts};

mod hello;

/// Where a demo writes.
const FOLDER: &str = "recurrent-demo";

/// The demos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Demo {
    /// An LSTM reads stories of a village, letter by letter, and learns to write some.
    LanguageModel,
    /// A network reads `hello`, one letter after the other, and learns to write it: the whole idea
    /// on one screen. Writes no files.
    Hello,
}

#[derive(Args)]
pub(super) struct Arguments {
    /// Which demo.
    #[arg(default_value = "language-model")]
    name: Demo,
    /// Stops after this many steps, for who only wants to see that it runs
    #[arg(long, value_name = "COUNT")]
    steps: Option<u64>,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    match arguments.name {
        Demo::LanguageModel => language_model(arguments.steps, quiet),
        Demo::Hello if arguments.steps.is_some() => {
            Err(usage("--steps: demo hello takes no time; drop it"))
        }
        Demo::Hello => hello::run(quiet),
    }
}

fn language_model(steps: Option<u64>, quiet: bool) -> anyhow::Result<Outcome> {
    // Measured for the best text from about 50 seconds of one core: a wider layer reads less often
    // in that time and ends no better, and without the schedule the last epochs only jitter.
    let options = Options {
        task: Some(LanguageModel::NAME.into()),
        hidden_size: Some(128),
        epochs: Some(18),
        batch_size: Some(16),
        learning_rate: Some(0.005),
        schedule: Some(ScheduleKind::Cosine),
        steps,
        ..Options::default()
    };
    let folder = Path::new(FOLDER);
    require_no_other_run(folder)?;
    remark(
        quiet,
        format!(
            "An LSTM will read 250,000 characters of made-up village stories {} times, guess each \
             next character,\nand learn from its mistakes. It starts with random numbers and knows \
             no word, not even a letter.\nThis takes about half a minute on two cores; the model \
             goes into {FOLDER}/.\n",
            options.epochs.unwrap_or_default(),
        ),
    );
    let mut run = start::<LanguageModel>(folder, true, options, quiet)?;

    print_line("\nBefore it has read anything, it writes:\n")?;
    print_line(quote(&write(&run)?))?;
    remark(quiet, "");
    let interrupt = Interrupt::install()?;
    let outcome = train_loop(&mut run, &interrupt, &mut Progress::new(quiet))?;
    let Outcome::Done = outcome else {
        remark(quiet, format!("\nstopped; go on with `recurrent resume {FOLDER}`"));
        return Ok(outcome);
    };
    print_line("\nNow it writes:\n")?;
    print_line(quote(&write(&run)?))?;
    // As it was called: it may not be on the path.
    let program = std::env::args().next().unwrap_or_else(|| "recurrent".into());
    remark(
        quiet,
        format!("\nGo on: {program} generate {FOLDER} --prompt \"The miller \" --temperature 0.5"),
    );
    Ok(outcome)
}

/// Checks that the folder holds nothing, or a run that a demo left.
fn require_no_other_run(folder: &Path) -> anyhow::Result<()> {
    let config = folder.join("config.toml");
    let ours = |options: &Options| {
        let of_the_task = options.task.as_deref() == Some(LanguageModel::NAME);
        of_the_task && options.data == LanguageModel::defaults().data
    };
    match config.is_file() && !Options::read(&config).is_ok_and(|options| ours(&options)) {
        true => bail!("{FOLDER}: holds a run that is not the demo's; move it, or go elsewhere"),
        false => Ok(()),
    }
}

/// Some lines from the model as it is.
fn write(run: &Run<LanguageModel>) -> anyhow::Result<String> {
    let sampling = Sampling { temperature: 0.5, top_k: None, top_p: None };
    let training = &run.work.training;
    let mut writer = training.task.writer(
        &run.work.compute,
        training.trainer.evaluation_parameters().clone(),
        Sampler::new(run.work.compute.level(), sampling).map_err(usage)?,
        training.learning().seed,
    );
    let text = writer.write(&[], 400)?;
    Ok(training.task.codec().decode(&text))
}

/// A text set apart from our own words.
fn quote(text: &str) -> String {
    let lines = text.trim_matches('\n').lines().map(|line| format!("    {line}"));
    lines.collect::<Vec<_>>().join("\n")
}
