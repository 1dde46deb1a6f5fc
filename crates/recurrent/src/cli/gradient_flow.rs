//! `gradient-flow`: how far the loss of a step reaches back through time, in a trained model or in
//! fresh ones of every cell.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use recurrent_cells::{CellKind, Parameters};
use serde_json::json;

use super::evaluate::load_model;
use super::resume::{run_data, run_task};
use super::{Options, Outcome, Task, TaskName, print_line, remark, usage};
use crate::gradient_flow::{LayerFlow, gradient_flow};
use crate::options::compute;
use crate::run::RunFolder;
use crate::tasks::{LanguageModel, Parts, Training};

/// The lags that are shown, up to the one that is asked for.
const SHOWN: [usize; 12] = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
/// Tapes of every step are kept: more need memory that nobody wants to give.
const MOST_LAG: u64 = 10_000;
/// Tokens that the largest lag needs, and more.
const MOST_READ: usize = 2 * MOST_LAG as usize;

#[derive(Args)]
pub(super) struct Arguments {
    /// The folder of a language model's run, whose held-out text is read [default: fresh models of
    /// all five cells, on built-in text]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Steps to follow the losses back
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MOST_LAG))]
    lag: u64,
    /// Units of the fresh models [default: 64]
    #[arg(long, value_name = "UNITS", conflicts_with = "run")]
    hidden_size: Option<usize>,
    /// Layers of the fresh models [default: 1]
    #[arg(long, value_name = "COUNT", conflicts_with = "run")]
    num_layers: Option<usize>,
    /// Bias of the fresh LSTM's forget gate: the larger, the longer it keeps c
    /// [default: PyTorch's, near 0]
    #[arg(long, value_name = "BIAS", conflicts_with = "run", allow_negative_numbers = true)]
    forget_bias: Option<f64>,
    /// Decides the fresh models [default: 1]
    #[arg(long, conflicts_with = "run")]
    seed: Option<u64>,
    /// Prints one JSON object a model, with every lag
    #[arg(long)]
    json: bool,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    match &arguments.run {
        Some(run) => of_run(&RunFolder::open(run)?, &arguments, quiet)?,
        None => of_fresh(&arguments, quiet)?,
    }
    Ok(Outcome::Done)
}

fn of_run(folder: &RunFolder, arguments: &Arguments, quiet: bool) -> anyhow::Result<()> {
    let options = Options::read(&folder.config())?;
    let name = run_task(folder, &options)?;
    if !matches!(name, TaskName::LanguageModel) {
        bail!(usage(format!(
            "{}: gradient-flow reads the run of a language-model, which has a loss at every step",
            folder.path().display()
        )));
    }
    let (found, task, parameters) = load_model::<LanguageModel>(folder)?;
    let data = run_data::<LanguageModel>(folder, &options, task.current(), task.codec().clone())?;
    remark(quiet, found.path.display());
    show(&task, &parameters, &data.held_out.beginning(MOST_READ)?, arguments)
}

fn of_fresh(arguments: &Arguments, quiet: bool) -> anyhow::Result<()> {
    remark(quiet, "fresh models of every cell on built-in text; give a RUN for a trained one");
    for cell in CellKind::ALL {
        let options = Options {
            cell: Some(cell),
            hidden_size: arguments.hidden_size.or(Some(64)),
            num_layers: arguments.num_layers,
            forget_bias: arguments.forget_bias.filter(|_| cell.is_lstm()),
            seed: arguments.seed.or(Some(1)),
            ..Options::default()
        }
        .or_default(LanguageModel::defaults())?;
        let settings = LanguageModel::settings(&options)?;
        let data = LanguageModel::read(&options, &settings, None)?;
        let compute = compute(arguments.threads)?;
        let training =
            Training::<LanguageModel>::new(settings, compute, &data).map_err(anyhow::Error::msg)?;
        let parameters = training.trainer.parameters();
        show(&training.task, parameters, &data.held_out.beginning(MOST_READ)?, arguments)?;
    }
    Ok(())
}

/// Measures and prints.
fn show(
    task: &LanguageModel,
    parameters: &Parameters<f32>,
    text: &[u32],
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let (compute, lag) = (compute(arguments.threads)?, arguments.lag as usize);
    let flow = gradient_flow(task.model(), &compute, parameters, text, lag)
        .context("--lag, or the text that is held out")?;
    let network = &task.model().config().stack;
    let (cell, units) = (network.cell.name(), network.hidden_size);
    if arguments.json {
        return print_line(json!({
            "cell": cell,
            "hidden_size": units,
            "lag": lag,
            "layers": flow,
        }));
    }
    let mut shown: Vec<usize> = SHOWN.into_iter().filter(|&shown| shown < lag).collect();
    shown.push(lag);
    let heads: String = shown.iter().map(|lag| format!("{lag:>10}")).collect();
    print_line(format!("{:24}{heads}", format!("{cell}, {units} units")))?;
    for LayerFlow { layer, h, c } in &flow {
        let row = |name: &str, norms: &[f64]| {
            let norms: String = shown.iter().map(|&k| format!("{:>10.1e}", norms[k])).collect();
            print_line(format!("{:24}{norms}", format!("  layer {layer}, {name}")))
        };
        row("dL/dh", h)?;
        if let Some(c) = c {
            row("dL/dc", c)?;
        }
    }
    for layer in &flow {
        print_line(format!("  layer {}: {}", layer.layer, judge(layer)))?;
    }
    Ok(())
}

/// What the numbers mean.
fn judge(flow: &LayerFlow) -> String {
    let (lag, factor) = (flow.h.len() - 1, flow.factor());
    let left = flow.h[lag] / flow.h[0];
    match factor {
        0.0 => format!("nothing arrives {lag} steps back"),
        _ if left.is_nan() => "no gradient is a number".into(),
        _ if left > 1.0 => {
            format!("{left:.1e} times as much {lag} steps back: it explodes, by {factor:.3} a step")
        }
        _ => format!("{left:.1e} of it is left {lag} steps back, {factor:.3} of it a step"),
    }
}
