//! `evaluate`: the loss of a trained model on text that it has not learnt from.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::train::{load_model, run_data};
use super::{Options, Outcome, RunArgument, options::compute, print_line, remark, thousands};
use crate::data::{source, text::load_held_out};
use crate::run::RunFolder;
use crate::tasks::checkpoint::fingerprint;
use crate::tasks::language_model::{Report, evaluate};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// A text to be judged on [default: the run's own held-out part]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let compute = compute(arguments.threads)?;
    let file = folder.model()?;
    let (model, parameters, settings, vocabulary) = load_model(&folder)?;
    let tokens = match &arguments.data {
        Some(data) => load_held_out(&source::open(data)?, &vocabulary)?,
        None => {
            let options = Options::read(&folder.config())?;
            let corpus = run_data(&folder, &options, vocabulary)?;
            // Another text is split elsewhere: what is held out now may have been learnt from.
            if fingerprint(&file)? != corpus.fingerprint() {
                bail!(
                    "{}: the text is not the one that the run was trained on, so its last tenth \
                     may have been learnt from; name a text to be judged on with --data",
                    folder.config().display()
                );
            }
            corpus.valid
        }
    };
    remark(
        quiet,
        format!(
            "{}: {} {}",
            file.display(),
            thousands(tokens.len() as u64),
            settings.tokens.plural()
        ),
    );
    let report = Report::from(evaluate(&compute, &model, &parameters, &tokens));
    if arguments.json {
        print_line(serde_json::to_string(&report)?)?;
    } else {
        print_line(format!("loss            {:.4} nats per token", report.loss))?;
        print_line(format!("perplexity      {:.3}", report.perplexity))?;
        print_line(format!("bits per token  {:.4}", report.bits_per_token))?;
        print_line(format!("tokens          {}", thousands(report.tokens as u64)))?;
    }
    Ok(Outcome::Done)
}
