//! The command line: what a person types, and what each command says.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage, 130 interrupted (after writing a checkpoint).

mod advance;
mod demo;
mod drive;
mod evaluate;
mod generate;
mod gradient_flow;
mod help;
mod inspect;
mod long_lag;
mod predict;
mod report;
mod resume;
mod train;
mod truncation;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, FromArgMatches, Parser, Subcommand};

use crate::options::{Options, UsageError, usage};
use crate::run::progress::WARNING;
use crate::run::thousands;
use crate::tasks::{Task, TaskName, with_task};

/// The most hypotheses side by side, and the most texts: more may not fit into memory.
const MOST_HYPOTHESES: usize = 1_000;
const MOST_TEXTS: usize = 10_000;

/// Train, run and look into recurrent networks on a CPU.
#[derive(Parser)]
#[command(name = "recurrent", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Says nothing but results and errors.
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Trains on built-in data for half a minute and shows what was learnt.
    Demo(demo::Arguments),
    /// Trains a model on your data.
    #[command(subcommand_value_name = "TASK", subcommand_help_heading = "Tasks")]
    Train {
        /// What to learn.
        #[command(subcommand)]
        task: train::TrainTask,
    },
    /// Goes on, bit for bit, where a run stopped.
    #[command(allow_negative_numbers = true)]
    Resume(resume::Arguments),
    /// Measures a trained model on data that it has not learnt from.
    #[command(allow_negative_numbers = true)]
    Evaluate(evaluate::Arguments),
    /// Applies a trained model: one result for each line of input that is not empty.
    #[command(allow_negative_numbers = true)]
    Predict(predict::Arguments),
    /// Lets a trained model write.
    #[command(allow_negative_numbers = true)]
    Generate(generate::Arguments),
    /// Measures how far the loss of a step reaches back through time.
    GradientFlow(gradient_flow::Arguments),
    /// Measures what truncated backpropagation through time leaves out of the gradient.
    Truncation(truncation::Arguments),
    /// Tries cells on tasks whose answer was read many steps before, over many seeds.
    #[command(allow_negative_numbers = true)]
    LongLag(Box<long_lag::Arguments>),
    /// Shows a run on one page, report.html: curves, gates, units, confusions, examples.
    Report(report::Arguments),
    /// Shows and verifies what is in a checkpoint or a run.
    Inspect(inspect::Arguments),
}

/// A folder that `train` made.
#[derive(Args)]
struct RunArgument {
    /// The folder of a run, as `train --out` made it.
    run: PathBuf,
}

/// How a command ended when it did not fail.
enum Outcome {
    Done,
    Interrupted,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let result = match arguments() {
        Ok(Arguments { command, quiet }) => run(command, quiet),
        Err(error) => Err(error),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        // Whoever reads our output has enough: `recurrent generate RUN | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

/// What was typed. Help, and whatever clap itself explains best, ends the program here.
fn arguments() -> anyhow::Result<Arguments> {
    let matches =
        help::command().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    matches.or_else(|error| match help::unknown_task(&error) {
        Some(message) => Err(usage(message)),
        None => error.exit(),
    })
}

fn run(command: Command, quiet: bool) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(arguments) => demo::run(arguments, quiet),
        Command::Train { task } => {
            let (task, arguments) = task.split();
            with_task!(task, T => train::train::<T>(arguments, quiet))
        }
        Command::Resume(arguments) => resume::run(arguments, quiet),
        Command::Evaluate(arguments) => evaluate::run(arguments, quiet),
        Command::Predict(arguments) => predict::run(arguments, quiet),
        Command::Generate(arguments) => generate::run(arguments, quiet),
        Command::GradientFlow(arguments) => gradient_flow::run(arguments, quiet),
        Command::Truncation(arguments) => truncation::run(arguments, quiet),
        Command::LongLag(arguments) => long_lag::run(*arguments, quiet),
        Command::Report(arguments) => report::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a line of results.
fn print_line(line: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// Writes a remark, unless the person wants quiet.
fn remark(quiet: bool, line: impl std::fmt::Display) {
    if !quiet {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Writes what went wrong and ended nothing; whoever wants quiet wants to know it too.
fn warn(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{WARNING}{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        help::command().debug_assert();
    }
}
