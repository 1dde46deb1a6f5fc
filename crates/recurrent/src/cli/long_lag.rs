//! `long-lag`: tasks whose answer was read many steps before, over many seeds, beside what papers report.

use std::path::PathBuf;

use clap::{Args, Command};
use recurrent_cells::CellKind;
use serde_json::json;

use super::{Options, Outcome, print_line, remark, usage};
use crate::long_lag::published::published;
use crate::long_lag::results::{Record, Results};
use crate::long_lag::table::{Row, rows};
use crate::long_lag::{Problem, Profile, RunConfig, Variant, config, grid, variants};
use crate::options::{OptimizerKind, compute, groups};
use crate::run::{Interrupt, Progress, thousands};

/// More seeds than anybody waits for: a slip of the finger.
const MOST_SEEDS: u64 = 10_000;

#[derive(Args)]
pub(super) struct Arguments {
    /// The task [default: all]
    #[arg(value_name = "TASK")]
    task: Option<Problem>,
    /// How much is run
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// What is compared
    #[arg(long, value_name = "A,B", value_delimiter = ',', conflicts_with = "cell")]
    cells: Option<Vec<String>>,
    /// How many seeds each is run with [default: coffee 3, night 20]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    first_seed: u64,
    /// The paper's T, the shortest sequence; what is bridged is T/2 (adding, multiplication), 0.4 T
    /// (temporal-order), 0.24 T (temporal-order-3). Of pixels how many there are [default: what the
    /// profile says]
    #[arg(long, value_name = "STEPS", requires = "task")]
    lag: Option<usize>,
    /// A run fails after so many sequences [default: what the profile says]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    sequences: Option<u64>,
    /// A folder that keeps every result: what is there is not run again
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Prints one JSON object for each line of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Whether an option of a training has a meaning here.
fn takes(name: &str) -> bool {
    let learning = [
        "batch-size",
        "learning-rate",
        "optimizer",
        "momentum",
        "nesterov",
        "weight-decay",
        "warm-up",
        "clip-value",
        "clip-norm",
    ];
    groups::NETWORK.contains(&name) || learning.contains(&name) || name == "threads"
}

/// Options of a training that are not shown in a column of the table, nor change a bit.
fn is_named(name: &str) -> bool {
    !["cell", "hidden-size", "batch-size", "learning-rate", "threads"].contains(&name)
}

/// The help shows the options of a training that have a meaning here.
pub(super) fn with_help(command: Command) -> Command {
    let own: Vec<String> = ["task", "profile", "cells", "seeds", "first-seed", "lag", "sequences"]
        .iter()
        .chain(&["out", "json", "help", "quiet", "version"])
        .map(|&name| name.to_owned())
        .collect();
    let cells = format!(
        "What is compared, such as lstm,lstm-chrono,gru [default: what the profile says]. There are {}",
        variants().iter().map(|variant| &*variant.name).collect::<Vec<_>>().join(", ")
    );
    let cell = format!(
        "One cell instead, with the options below: {} [default: what --cells says]",
        CellKind::NAMED.map(CellKind::name).join(", ")
    );
    let command = command.mut_arg("cells", |argument| argument.help(cells));
    let command = command.mut_arg("cell", |argument| argument.help(cell));
    command.mut_args(|argument| {
        let id = argument.get_id().as_str().replace('_', "-");
        match own.contains(&id) {
            true => argument,
            false => argument.help_heading(groups::heading(&id)).hide(!takes(&id)),
        }
    })
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let plan = plan(&arguments)?;
    let threads = compute(arguments.options.threads)?.threads();
    let mut kept = arguments.out.as_deref().map(Results::open).transpose()?;
    let known = |run: &RunConfig| kept.as_ref().and_then(|kept| kept.outcome(run));
    let mut outcomes: Vec<_> = plan.iter().map(|run| known(run).cloned()).collect();
    let waiting: Vec<usize> = (0..plan.len()).filter(|&k| outcomes[k].is_none()).collect();

    let interrupt = Interrupt::install()?;
    let mut progress = Progress::new(quiet);
    let total = plan.len() as u64;
    let before = total - waiting.len() as u64;
    if before > 0 {
        progress.message(&format!("{before} of {total} runs are there already"));
    }
    progress.start(total, before, "sequences");
    let runs: Vec<RunConfig> = waiting.iter().map(|&k| plan[k].clone()).collect();
    grid::run_all(&runs, threads, &|| interrupt.is_requested(), |at, outcome| {
        let run = runs[at].clone();
        progress.count(outcome.sequences as usize);
        progress.message(&describe(&run, &outcome));
        outcomes[waiting[at]] = Some(outcome.clone());
        match &mut kept {
            Some(kept) => Ok(kept.append(Record { run, outcome })?),
            None => anyhow::Ok(()),
        }
    })?;
    progress.finish();

    let made = plan.into_iter().zip(outcomes);
    let made: Vec<Record> =
        made.filter_map(|(run, outcome)| outcome.map(|outcome| Record { run, outcome })).collect();
    show(&rows(&made), arguments.json)?;
    if interrupt.is_requested() {
        let out = arguments.out.map_or("--out FOLDER keeps them".to_owned(), |folder| {
            format!("the same command with --out {} goes on", folder.display())
        });
        remark(quiet, format!("{} of {total} runs are done; {out}", made.len()));
        return Ok(Outcome::Interrupted);
    }
    Ok(Outcome::Done)
}

/// The runs that were asked for.
fn plan(arguments: &Arguments) -> anyhow::Result<Vec<RunConfig>> {
    let Arguments { profile, options: typed, .. } = arguments;
    if typed.bidirectional {
        return Err(usage(
            "--bidirectional: the suite asks what is remembered until the end, and whoever reads from \
             there too remembers less; drop it",
        ));
    }
    typed.require_known("long-lag", takes)?;
    require_effect(typed)?;
    let compared = compared(arguments)?;
    let problems = arguments.task.map_or(Problem::ALL.to_vec(), |task| vec![task]);
    let seeds = arguments.seeds.unwrap_or(profile.seeds());
    let Some(end) = arguments.first_seed.checked_add(seeds) else {
        return Err(usage("--first-seed: there are not so many seeds behind it"));
    };
    let mut plan = vec![];
    for problem in problems {
        let budget = arguments.sequences.unwrap_or(profile.budget(problem));
        let lags = arguments.lag.map_or(profile.lags(problem).to_vec(), |lag| vec![lag]);
        for lag in lags {
            problem.check_lag(lag).map_err(|reason| usage(format!("--lag: {reason}")))?;
            for variant in &compared {
                let first = config(problem, lag, variant, typed, arguments.first_seed, budget)?;
                // Seeds change nothing of what fits.
                first.check().map_err(usage)?;
                for seed in arguments.first_seed..end {
                    let mut run = first.clone();
                    run.learning.seed = seed;
                    plan.push(run);
                }
            }
        }
    }
    Ok(plan)
}

/// Refuses what a training takes and what would do nothing here.
fn require_effect(typed: &Options) -> anyhow::Result<()> {
    if typed.optimizer == Some(OptimizerKind::NtAsgd) {
        return Err(usage(
            "--optimizer nt-asgd: it averages once held-out losses stop falling, and none are \
             measured here; use sgd",
        ));
    }
    if typed.dropout.is_some_and(|share| share > 0.0) && typed.num_layers.unwrap_or(1) == 1 {
        return Err(usage(
            "--dropout: it acts between layers, and there is one; give --num-layers 2, or use \
             --output-dropout",
        ));
    }
    Ok(())
}

/// What is compared: the cell that was typed, or variants by name; each with what else was typed
/// behind its name.
fn compared(arguments: &Arguments) -> anyhow::Result<Vec<Variant>> {
    let Arguments { profile, options: typed, cells, .. } = arguments;
    let table = typed.table()?;
    let named = table.iter().filter(|(name, _)| is_named(name));
    let behind: String = named.map(|(name, value)| format!(" --{name} {}", plain(value))).collect();
    let mut found = vec![];
    if let Some(cell) = typed.cell {
        found.push(Variant { name: cell.name().to_owned(), options: Options::default() });
    } else {
        let known = variants();
        let profile: Vec<String> = profile.variants().iter().map(|&name| name.into()).collect();
        let names = cells.as_ref().unwrap_or(&profile);
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                return Err(usage(format!(
                    "--cells {name}: it is there twice, and its seeds would count twice; drop one"
                )));
            }
            let Some(variant) = known.iter().find(|variant| variant.name == *name) else {
                let names: Vec<&str> = known.iter().map(|variant| &*variant.name).collect();
                return Err(usage(format!(
                    "--cells {name}: there are {}; or give --cell with --init and --forget-bias",
                    names.join(", ")
                )));
            };
            found.push(variant.clone());
        }
    }
    for variant in &mut found {
        variant.name.push_str(&behind);
    }
    Ok(found)
}

/// A value as it is typed.
fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A line for a run that has ended.
fn describe(run: &RunConfig, outcome: &crate::long_lag::Outcome) -> String {
    let lag = if run.lag > 0 { format!(" {}", run.lag) } else { String::new() };
    let sequences = thousands(outcome.sequences as usize);
    let end = match (&outcome.exploded, outcome.solved) {
        (Some(reason), _) => format!("{reason}, after {sequences} sequences"),
        (None, true) => format!("solved after {sequences} sequences"),
        (None, false) => format!("not solved after {sequences} sequences"),
    };
    format!("{}{lag}, {}, seed {}: {end}", run.problem.name(), run.variant, run.learning.seed)
}

fn show(rows: &[Row], json: bool) -> anyhow::Result<()> {
    let mut last = None;
    let width =
        rows.iter().map(|row| row.cells.chars().count()).max().unwrap_or(0).max("cells".len());
    for row in rows {
        let lag = row.lag.unwrap_or(0);
        if json {
            let mut line = json!(row);
            line["published"] = published(row.task, lag)
                .map(|known| json!({ "network": known.network, "result": known.result }))
                .collect();
            print_line(line)?;
            continue;
        }
        let task = (row.task, row.lag);
        if last != Some(task) {
            let lag = row.lag.map_or(String::new(), |lag| format!(", lag {lag}"));
            if last.is_some() {
                print_line("")?;
            }
            print_line(format!("{}{lag}", row.task.name()))?;
            for known in published(row.task, row.lag.unwrap_or(0)) {
                print_line(format!("  published: {}: {}", known.network, known.result))?;
            }
            print_line(format!("  {}", Row::heads(width)))?;
            last = Some(task);
        }
        print_line(format!("  {}", row.line(width)))?;
    }
    Ok(())
}
