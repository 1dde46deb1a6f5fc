//! `generate`: a trained model writes, each token drawn and fed back as the next input.

use clap::Args;
use recurrent_topologies::Sampling;

use super::evaluate::load_model;
use super::resume::run_task;
use super::{
    MOST_HYPOTHESES, MOST_TEXTS, Options, Outcome, RunArgument, Task, print_line, remark, usage,
    with_task,
};
use crate::options::compute;
use crate::run::RunFolder;
use crate::tasks::Generate;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// The text to go on from; it is printed too [default: a new line]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// What to write about: one of the labels that the model learnt
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// How many tokens to write at most
    /// [default: 500; conditional-text: twice the longest text of its training, at least 10]
    #[arg(long, value_name = "COUNT")]
    length: Option<usize>,
    /// How many texts to write
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,
    /// Below 1 more careful, above 1 more daring, 0 always the most likely token
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Draws from the K most likely tokens only
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draws from the fewest tokens whose probabilities reach P together
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Draws nothing, and keeps N hypotheses side by side
    #[arg(long, value_name = "N", conflicts_with_all = ["temperature", "top_k", "top_p"])]
    beam: Option<usize>,
    /// The same seed writes the same text
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints one JSON object a text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let options = Options::read(&folder.config())?;
    with_task!(run_task(&folder, &options)?, T => generate::<T>(folder, arguments, quiet))
}

fn generate<T: Task>(
    folder: RunFolder,
    arguments: Arguments,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    let compute = compute(Some(1))?;
    let Arguments { prompt, label, length, count, temperature, top_k, top_p, beam, seed, .. } =
        arguments;
    if count == 0 || beam == Some(0) {
        return Err(usage("--count and --beam must be at least 1"));
    }
    if count > MOST_TEXTS {
        return Err(usage(format!("--count must be at most {MOST_TEXTS}")));
    }
    if beam.is_some_and(|width| width > MOST_HYPOTHESES) {
        return Err(usage(format!("--beam must be at most {MOST_HYPOTHESES}")));
    }
    let sampling = Sampling { temperature, top_k, top_p };
    let (_, task, parameters) = load_model::<T>(&folder)?;
    let how = Generate { prompt, label, length, count, sampling, beam, seed };
    // Said once it is known that the model takes all this.
    let mut how_drawn = Some(match beam {
        None => format!("seed {seed}, temperature {temperature:?}"),
        Some(width) => format!("the most likely of {width} side by side"),
    });
    task.generate(&compute, parameters, &how, &mut |prediction| {
        how_drawn.take().into_iter().for_each(|line| remark(quiet, line));
        prediction.remark.into_iter().for_each(|line| remark(quiet, line));
        print_line(if arguments.json { prediction.json.to_string() } else { prediction.text })
    })?;
    Ok(Outcome::Done)
}
