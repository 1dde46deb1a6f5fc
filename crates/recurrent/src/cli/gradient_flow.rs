//! `gradient-flow`: how far the loss of a step reaches back through time, in a trained model or in
//! fresh ones of every cell.

use std::path::PathBuf;

use clap::Args;
use recurrent_cells::{CellKind, Parameters};
use serde_json::json;

use super::evaluate::load_model;
use super::resume::{run_data, run_task, warn_of_other_data};
use super::{Options, Outcome, Task, print_line, remark, with_task};
use crate::gradient_flow::{LayerFlow, MOST_STATE, Stretch, shown_lags};
use crate::gradient_watch::{WatchedGate, quartiles};
use crate::options::compute;
use crate::run::RunFolder;
use crate::tasks::{LanguageModel, TaskSettings, Training};

/// Tapes of every step are kept: more need memory that nobody wants to give.
const MOST_LAG: u64 = 10_000;

#[derive(Args)]
pub(super) struct Arguments {
    /// The folder of a run (language-model, tag, classify), whose held-out part is read [default:
    /// fresh models of the five plain cells, on built-in text]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Steps to follow the losses back [default: 100, or as many as most examples have]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..=MOST_LAG))]
    lag: Option<u64>,
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
    let Some(run) = &arguments.run else {
        of_fresh(&arguments, quiet)?;
        return Ok(Outcome::Done);
    };
    let folder = RunFolder::open(run)?;
    let options = Options::read(&folder.config())?;
    with_task!(run_task(&folder, &options)?, T => of_run::<T>(&folder, &options, &arguments, quiet))?;
    Ok(Outcome::Done)
}

/// What the rows are, for who has not met them.
const LEGEND: &str = "columns: steps back in time; dL/dh: norm of what reaches h of a loss; \
                      dL/dc: the same of c, through c itself alone; both are medians over losses; \
                      weight_hh: what the losses add there to its gradient; Jacobian: by how much \
                      so many steps can stretch a gradient";

fn of_run<T: Task>(
    folder: &RunFolder,
    options: &Options,
    arguments: &Arguments,
    quiet: bool,
) -> anyhow::Result<()> {
    let (found, task, parameters) = load_model::<T>(folder)?;
    let data = run_data::<T>(folder, options, task.current(), task.codec().clone())?;
    warn_of_other_data(&found.checkpoint, &data, folder)?;
    let file = found.path.display().to_string();
    show(&task, &parameters, &data.held_out, arguments, (quiet, Some(&file)))
}

fn of_fresh(arguments: &Arguments, quiet: bool) -> anyhow::Result<()> {
    remark(
        quiet,
        "fresh models of the plain cells on built-in text; give a RUN for a trained one, or for a \
             layer-norm-lstm",
    );
    let settings = |cell: CellKind| {
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
        anyhow::Ok((options, settings))
    };
    // All are checked before the first is shown.
    let all = CellKind::ALL.map(settings).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for (number, (options, settings)) in all.into_iter().enumerate() {
        let data = LanguageModel::read(&options, &settings, None)?;
        let compute = compute(arguments.threads)?;
        let training =
            Training::<LanguageModel>::new(settings, compute, &data).map_err(anyhow::Error::msg)?;
        let parameters = training.trainer.parameters();
        show(&training.task, parameters, &data.held_out, arguments, (quiet || number > 0, None))?;
    }
    Ok(())
}

/// Measures and prints; `file` is where the model is from.
fn show<T: Task>(
    task: &T,
    parameters: &Parameters<f32>,
    examples: &T::Examples,
    arguments: &Arguments,
    (quiet, file): (bool, Option<&str>),
) -> anyhow::Result<()> {
    let compute = compute(arguments.threads)?;
    let lag = arguments.lag.map(|lag| lag as usize);
    let flow = task.gradient_flow(&compute, parameters, examples, lag)?;
    if let Some(file) = file {
        remark(quiet, file);
    }
    let lag = flow.first().map_or(0, |own| own.h.len() - 1);
    let network = task.current().network();
    let (cell, units) = (network.cell.name(), network.hidden_size);
    if arguments.json {
        return print_line(json!({
            "cell": cell,
            "hidden_size": units,
            "lag": lag,
            "layers": flow,
        }));
    }
    remark(quiet, LEGEND);
    let shown = shown_lags(lag);
    // Room for the longest name.
    let width = if flow.iter().any(|own| own.reverse) { 32 } else { 24 };
    let heads: String = shown.iter().map(|lag| format!("{lag:>10}")).collect();
    print_line(format!("{:width$}{heads}", format!("{cell}, {units} units")))?;
    for own in &flow {
        for (name, numbers) in rows(own, &shown) {
            let numbers: String = numbers.iter().map(|norm| format!("{norm:>10.1e}")).collect();
            print_line(format!("{:width$}{numbers}", format!("  {}, {name}", name_cell(own))))?;
        }
    }
    for own in &flow {
        for line in judge(own, units) {
            print_line(format!("  {}: {line}", name_cell(own)))?;
        }
    }
    Ok(())
}

fn name_cell(flow: &LayerFlow) -> String {
    format!("layer {}{}", flow.layer, if flow.reverse { " reverse" } else { "" })
}

/// The rows of a table, each with its numbers at the lags that are shown.
fn rows(flow: &LayerFlow, shown: &[usize]) -> Vec<(&'static str, Vec<f64>)> {
    let at = |norms: &[f64]| shown.iter().map(|&lag| norms[lag]).collect::<Vec<f64>>();
    let mut rows = vec![("dL/dh", at(&flow.h))];
    rows.extend(flow.c.as_ref().map(|c| ("dL/dc", at(c))));
    rows.push(("weight_hh", at(&flow.weight_hh)));
    let values = |stretches: &Vec<Stretch>| {
        stretches.iter().map(|stretch| stretch.singular_value).collect::<Vec<f64>>()
    };
    rows.extend(flow.jacobian.as_ref().map(|jacobian| ("Jacobian", values(jacobian))));
    rows
}

/// What the numbers mean.
fn judge(flow: &LayerFlow, units: usize) -> Vec<String> {
    let (lag, factor) = (flow.h.len() - 1, flow.factor());
    let left = flow.h[lag] / flow.h[0];
    let mut lines = vec![match factor {
        _ if flow.h[0] == 0.0 => "no loss reaches it, not even in its own step".into(),
        0.0 => format!("nothing arrives {lag} steps back"),
        _ if left.is_nan() => "no gradient is a number".into(),
        _ if left > 1.0 => {
            format!("{left:.1e} times as much {lag} steps back: it explodes, by {factor:.3} a step")
        }
        _ => format!(
            "{left:.1e} of the gradient is left {lag} steps back, {factor:.3} of it after each step"
        ),
    }];
    if flow.jacobian.is_none() {
        lines.push(format!("no Jacobian: its state has more than {MOST_STATE} numbers"));
    }
    if let Some(half_lives) = &flow.half_lives {
        let [shortest, _, median, _, longest] = quartiles(half_lives.clone()).map(steps);
        lines.push(format!(
            "half-lives of units by their gates: {shortest} to {longest} steps, half of them below \
             {median}"
        ));
    }
    if !flow.gates.is_empty() {
        let share = |gate: &WatchedGate| {
            let [low, high] = [gate.low, gate.high].map(|share| (100.0 * share).round());
            format!("{} {low} % and {high} %", gate.name)
        };
        let shares: Vec<String> = flow.gates.iter().map(share).collect();
        lines.push(format!("gates below 0.1 and above 0.9: {}", shares.join(", ")));
    }
    if let Some(dead) = &flow.dead {
        lines.push(format!("dead units, 0 at every step: {} of {units}", dead.len()));
    }
    lines
}

/// A number of steps with two digits or all before the point.
fn steps(number: f64) -> String {
    match number {
        _ if number >= 9.95 => format!("{number:.0}"),
        _ if number >= 0.095 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
