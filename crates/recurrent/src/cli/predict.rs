//! `predict`: a trained model applied, one result for each line of input that is not empty.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::evaluate::load_model;
use super::resume::run_task;
use super::{
    MOST_HYPOTHESES, Options, Outcome, RunArgument, Task, print_line, remark, usage, with_task,
};
use crate::options::compute;
use crate::run::RunFolder;
use crate::tasks::{Input, Predict};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// What to apply the model to, a line each; - is standard input [default: -]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Prints one JSON object a result
    #[arg(long)]
    json: bool,
    /// Keeps N hypotheses side by side [default: 1, the most likely token at each step]
    #[arg(long, value_name = "N")]
    beam: Option<usize>,
    /// Shows the N best results
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Above 0 prefers longer results; with --beam
    #[arg(long, value_name = "NUMBER")]
    length_penalty: Option<f64>,
    /// The most tokens of a result
    #[arg(long, value_name = "COUNT")]
    max_length: Option<usize>,
    /// The least tokens of a result
    #[arg(long, value_name = "COUNT")]
    min_length: Option<usize>,
    /// No sequence of N tokens comes twice in a result
    #[arg(long, value_name = "N")]
    no_repeat_ngram: Option<usize>,
    /// What every result begins with
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Also shows the vector that holds the whole source
    #[arg(long)]
    show_context: bool,
    /// Also shows where the decoder looked; needs a model with attention
    #[arg(long)]
    show_attention: bool,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let options = Options::read(&folder.config())?;
    with_task!(run_task(&folder, &options)?, T => predict::<T>(folder, arguments, quiet))
}

fn predict<T: Task>(
    folder: RunFolder,
    arguments: Arguments,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    let counts = [
        ("beam", arguments.beam),
        ("top", arguments.top),
        ("max-length", arguments.max_length),
        ("no-repeat-ngram", arguments.no_repeat_ngram),
    ];
    if let Some((name, _)) = counts.into_iter().find(|&(_, count)| count == Some(0)) {
        return Err(usage(format!("--{name} must be at least 1")));
    }
    if arguments.beam.is_some_and(|width| width > MOST_HYPOTHESES) {
        return Err(usage(format!("--beam must be at most {MOST_HYPOTHESES}")));
    }
    let compute = compute(arguments.threads)?;
    let (_, task, parameters) = load_model::<T>(&folder)?;
    let file = arguments.input.as_deref().filter(|path| *path != Path::new("-"));
    let input = match file {
        None => Input {
            reader: Box::new(BufReader::new(io::stdin())),
            name: "standard input".into(),
            folder: Path::new(""),
        },
        Some(path) => Input {
            reader: Box::new(BufReader::new(
                File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?,
            )),
            name: path.display().to_string(),
            folder: path.parent().unwrap_or(Path::new("")),
        },
    };
    let how = Predict {
        beam: arguments.beam,
        top: arguments.top,
        length_penalty: arguments.length_penalty,
        max_length: arguments.max_length,
        min_length: arguments.min_length,
        no_repeat_ngram: arguments.no_repeat_ngram,
        prefix: arguments.prefix,
        show_context: arguments.show_context,
        show_attention: arguments.show_attention,
    };
    task.predict(&compute, parameters, input, &how, &mut |prediction| {
        if let Some(line) = prediction.remark {
            remark(quiet, line);
        }
        match arguments.json {
            true => print_line(prediction.json),
            false => print_line(prediction.text),
        }
    })?;
    Ok(Outcome::Done)
}
