//! `truncation`: how far the gradient of a training is from that through the whole text.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::evaluate::load_model;
use super::resume::{run_data, run_task, warn_of_other_data};
use super::{Options, Outcome, TaskName, print_line, remark, thousands, usage};
use crate::options::compute;
use crate::run::RunFolder;
use crate::tasks::training::require_memory_for_steps;
use crate::tasks::{LanguageModel, Parts};
use crate::truncation::{Comparison, ProbeBatch, Truncation, truncation_bias};

/// The tape of all steps is kept: more need memory that nobody wants to give.
const MOST_COLUMNS: usize = 1 << 20;

/// Steps back where none are asked for.
const USUAL: [usize; 3] = [16, 64, 256];

#[derive(Args)]
pub(super) struct Arguments {
    /// The folder of a language model's run, whose held-out text is read
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Steps that gradients go back, each a truncation of its own (k2), at most --steps
    /// [default: 16,64,256, as far as --steps goes]
    #[arg(long, value_name = "STEPS,...", value_delimiter = ',')]
    backward_steps: Vec<usize>,
    /// Steps between two updates [k1; default: as many as go back]
    #[arg(long, value_name = "STEPS")]
    sequence_length: Option<usize>,
    /// Steps of the text through which the whole gradient goes
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    steps: usize,
    /// Streams side by side
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    batch_size: usize,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

impl Arguments {
    /// What is to be compared.
    fn truncations(&self) -> anyhow::Result<Vec<Truncation>> {
        let &Arguments { steps, batch_size, .. } = self;
        if steps == 0 || batch_size == 0 {
            bail!(usage("--steps and --batch-size must be at least 1"));
        }
        if steps.saturating_mul(batch_size) > MOST_COLUMNS {
            bail!(usage(format!(
                "--steps times --batch-size must be at most {MOST_COLUMNS}: every step is kept"
            )));
        }
        let of = |backward_steps: usize| {
            let sequence_length = self.sequence_length.unwrap_or(backward_steps);
            if sequence_length == 0 || backward_steps < sequence_length {
                bail!(usage(format!(
                    "--backward-steps must be at least those of --sequence-length, and those at \
                     least 1; they are {backward_steps} and {sequence_length}"
                )));
            }
            if backward_steps > steps {
                bail!(usage(format!(
                    "--backward-steps must be at most --steps, {steps}, because no gradient goes back \
                     any further; they are {backward_steps}"
                )));
            }
            Ok(Truncation { sequence_length, backward_steps })
        };
        match self.backward_steps.is_empty() {
            true => {
                let mut usual = USUAL.map(|usual| usual.min(steps)).to_vec();
                usual.dedup();
                usual.into_iter().map(of).collect()
            }
            false => self.backward_steps.iter().copied().map(of).collect(),
        }
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let truncations = arguments.truncations()?;
    let folder = RunFolder::open(&arguments.run)?;
    let options = Options::read(&folder.config())?;
    if !matches!(run_task(&folder, &options)?, TaskName::LanguageModel) {
        bail!(usage(format!(
            "{}: truncation reads the run of a language-model, whose text is cut into windows",
            folder.path().display()
        )));
    }
    let (found, task, parameters) = load_model::<LanguageModel>(&folder)?;
    let data = run_data::<LanguageModel>(&folder, &options, task.current(), task.codec().clone())?;
    warn_of_other_data(&found.checkpoint, &data, &folder)?;
    remark(quiet, found.path.display());
    let Arguments { steps, batch_size: streams, .. } = arguments;
    let (text, document_end) = (data.held_out.beginning(steps * streams + 1)?, task.document_end());
    let batch = ProbeBatch { text: &text, document_end: &document_end, streams, steps };
    let fitting = (text.len().saturating_sub(1)).min(steps * streams);
    require_memory_for_steps(&task, fitting, false, "--steps or --batch-size")
        .map_err(anyhow::Error::msg)?;
    let compute = compute(arguments.threads)?;
    let report = truncation_bias(task.model(), &compute, &parameters, batch, &truncations)
        .context("--steps and --batch-size, or the text that is held out")?;

    let network = &task.model().config().stack;
    let (cell, units) = (network.cell.name(), network.hidden_size);
    if arguments.json {
        print_line(json!({
            "cell": cell,
            "hidden_size": units,
            "batch_size": streams,
            "steps": steps,
            "loss": report.loss,
            "truncations": report.truncations,
        }))?;
        return Ok(Outcome::Done);
    }
    print_line(format!(
        "{cell}, {units} units; loss {:.4} over {streams} x {} steps; cosine with the gradient \
         through all of them, and norm as a part of its",
        report.loss,
        thousands(steps),
    ))?;
    let of_all = |row: &dyn Fn(Truncation) -> String| -> String {
        truncations.iter().map(|&truncation| row(truncation)).collect()
    };
    let k1 = of_all(&|t| format!("{:>19}", format!("k1 = {}", t.sequence_length)));
    let k2 = of_all(&|t| format!("{:>19}", format!("k2 = {}", t.backward_steps)));
    print_line(format!("{:NAME$}{k1}", ""))?;
    print_line(format!("{:NAME$}{k2}", ""))?;
    let rows = task.model().layout().entries().len();
    for row in 0..=rows {
        let of = |at: usize| match row.checked_sub(1) {
            None => &report.truncations[at].all,
            Some(row) => &report.truncations[at].parameters[row],
        };
        let figures: String = (0..truncations.len()).map(|at| figures(of(at))).collect();
        print_line(format!("{:NAME$}{figures}", of(0).parameter))?;
    }
    Ok(Outcome::Done)
}

/// Room for the name of a parameter.
const NAME: usize = 24;

fn figures(Comparison { cosine, relative_norm, .. }: &Comparison) -> String {
    format!("{cosine:>11.4} {relative_norm:>7.3}")
}
