//! `evaluate`: the figures of a trained model on data that it has not learnt from.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use recurrent_cells::Parameters;
use recurrent_checkpoint::Found;

use super::resume::{name_skipped, run_data, run_task};
use super::{Options, Outcome, RunArgument, Task, print_line, remark, warn, with_task};
use crate::data::{Source, source};
use crate::options::compute;
use crate::run::RunFolder;
use crate::tasks::{Report, checkpoint};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// Data to be judged on: a file, or builtin:NAME, whose test part it is
    /// [default: the run's own held-out part]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The columns of --data, by name or by number from 1 [default: as in training]
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "data")]
    columns: Option<Vec<String>>,
    /// The first line of --data is data and names no columns, whatever training was told of its own
    #[arg(long, requires = "data")]
    no_header: bool,
    /// Puts the tokens of every example in an order of chance: what is order worth?
    #[arg(long)]
    shuffle_tokens: bool,
    /// Decides the order of chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let options = Options::read(&folder.config())?;
    with_task!(run_task(&folder, &options)?, T => evaluate::<T>(folder, options, arguments, quiet))
}

/// The model to use, and the checkpoint that it is from: the best, or the newest where no epoch has
/// ended yet. A person is told if damaged ones were passed over.
pub(super) fn load_model<T: Task>(
    folder: &RunFolder,
) -> anyhow::Result<(Found, T, Parameters<f32>)> {
    let found = folder.best()?;
    name_skipped(&found);
    let best = folder.store().best_path();
    let is_lost = found.path != best && found.skipped.is_empty();
    if is_lost && checkpoint::best_loss(&found.checkpoint).is_ok_and(f64::is_finite) {
        let (best, used) = (best.display(), found.path.display());
        warn(format!("{best}: is not there any more; {used} is used instead"));
    }
    let (task, parameters) = checkpoint::load_model(&found.checkpoint)
        .with_context(|| found.path.display().to_string())?;
    Ok((found, task, parameters))
}

fn evaluate<T: Task>(
    folder: RunFolder,
    mut options: Options,
    arguments: Arguments,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    let compute = compute(arguments.threads)?;
    let (found, task, parameters) = load_model::<T>(&folder)?;
    let mut examples = match &arguments.data {
        Some(data) => {
            options.columns = arguments.columns.or(options.columns);
            // Another file may have a header where the training's had none: what is typed counts.
            let is_file = matches!(source::open(data)?, Source::Path(_));
            if is_file && options.no_header && !arguments.no_header {
                let line = "may have a header, though the training's data had none; if it has none \
                            either, add --no-header";
                remark(quiet, format!("{}: {line}", data.display()));
            }
            options.no_header = arguments.no_header;
            task.read_held_out(data, &options)?
        }
        None => {
            let (settings, codec) = (task.current(), task.codec().clone());
            let data = run_data::<T>(&folder, &options, settings, codec)?;
            // Other data are split elsewhere: what is held out now may have been learnt from.
            let fingerprint = checkpoint::fingerprint(&found.checkpoint)
                .with_context(|| found.path.display().to_string())?;
            if fingerprint != T::fingerprint(&data) {
                bail!(
                    "{}: the data are not those that the run was trained on, so what is held out \
                     now may have been learnt from; name data to be judged on with --data",
                    folder.config().display()
                );
            }
            data.held_out
        }
    };
    if arguments.shuffle_tokens {
        task.shuffle_tokens(&mut examples, arguments.seed)?;
    }
    remark(quiet, found.path.display());
    let report = task.evaluate(&compute, &parameters, &examples)?;
    let shuffled_by = arguments.shuffle_tokens.then_some(arguments.seed);
    if arguments.json {
        let Some(seed) = shuffled_by else {
            print_line(serde_json::to_string(&report)?)?;
            return Ok(Outcome::Done);
        };
        let mut report = serde_json::to_value(&report)?;
        report["shuffled_by_seed"] = seed.into();
        print_line(report)?;
        return Ok(Outcome::Done);
    }
    let mut lines = report.lines();
    if let Some(seed) = shuffled_by {
        lines.push(("remark", format!("the tokens were shuffled, by seed {seed}")));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, figure) in lines {
        print_line(format!("{name:width$}  {figure}"))?;
    }
    Ok(Outcome::Done)
}
