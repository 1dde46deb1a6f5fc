//! The command line: what a person types, and what each command says.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage, 130 interrupted (after writing a checkpoint).

mod demo;
mod evaluate;
mod generate;
mod inspect;
mod options;
mod train;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use options::Options;

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
    #[command(allow_negative_numbers = true)]
    Train(Box<train::TrainArguments>),
    /// Goes on, bit for bit, where a run stopped.
    #[command(allow_negative_numbers = true)]
    Resume(train::ResumeArguments),
    /// Measures a trained model on text that it has not learnt from.
    #[command(allow_negative_numbers = true)]
    Evaluate(evaluate::Arguments),
    /// Lets a trained model write.
    #[command(allow_negative_numbers = true)]
    Generate(generate::Arguments),
    /// Shows and verifies what is in a checkpoint or a run.
    Inspect(inspect::Arguments),
}

/// What a model is trained to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Predict the next token of a text.
    LanguageModel,
}

impl Task {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Task::LanguageModel => "language-model",
        }
    }
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

/// The numbers that a person gave do not go together: wrong usage, and not a failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    UsageError(message.to_string()).into()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Arguments { command, quiet } = Arguments::parse();
    let result = match command {
        Command::Demo(arguments) => demo::run(arguments, quiet),
        Command::Train(arguments) => train::train(*arguments, quiet),
        Command::Resume(arguments) => train::resume(arguments, quiet),
        Command::Evaluate(arguments) => evaluate::run(arguments, quiet),
        Command::Generate(arguments) => generate::run(arguments, quiet),
        Command::Inspect(arguments) => inspect::run(arguments),
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

/// `1003854` as `1,003,854`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_003_854), "1,003,854");
    }
}
