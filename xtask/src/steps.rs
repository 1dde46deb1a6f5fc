//! Steps of a command, one after the other, with a summary of their times.
//!
//! They run the commands that a person would run, show their output as it comes, and stop at the
//! first step that fails, because what follows would mostly repeat the same fault.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{invocation::Invocation, tidy};

/// One line of the summary.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
    /// What must be installed besides cargo and rustc.
    pub(crate) tool: Option<Tool>,
}

/// What a step does.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// The house rules, checked in this process.
    Tidy,
    /// Commands that must all succeed.
    Commands(Vec<Invocation>),
}

/// A program that may be missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// The program and the arguments that show whether it is there.
    pub(crate) probe: &'static [&'static str],
    pub(crate) install: &'static str,
    /// Without a required tool nothing is checked; without another one its step is skipped.
    pub(crate) required: bool,
}

impl Tool {
    /// Succeeds exactly when the tool is installed.
    pub(crate) fn probe(&self) -> Invocation {
        Invocation::of(self.probe[0], &self.probe[1..])
    }

    /// What to tell somebody who has not got it.
    pub(crate) fn advice(&self) -> String {
        format!("{} is not installed ({})", self.name, self.install)
    }
}

/// The tools that these steps need, each once.
pub(crate) fn tools(steps: &[Step]) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    for tool in steps.iter().filter_map(|step| step.tool) {
        if !tools.contains(&tool) {
            tools.push(tool);
        }
    }
    tools
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Passed(Duration),
    /// With the command that repeats what failed.
    Failed(Duration, String),
    /// With the reason.
    Skipped(String),
    NotReached,
}

/// Runs the steps in `root` and prints a summary.
///
/// # Errors
/// When a required tool is missing, or a step fails.
pub(crate) fn run(root: &Path, steps: &[Step]) -> Result<()> {
    let is_there = |tool: &Tool| tool.probe().succeeds_quietly(root);
    let missing: Vec<Tool> = tools(steps).into_iter().filter(|t| !is_there(t)).collect();
    let required: Vec<_> = missing.iter().filter(|tool| tool.required).map(Tool::advice).collect();
    if !required.is_empty() {
        bail!("{}", required.join("\nerror: "));
    }

    let start = Instant::now();
    let mut outcomes: Vec<(&str, Outcome)> = Vec::new();
    let mut failed = false;
    for step in steps {
        let absent = step.tool.as_ref().filter(|tool| missing.contains(tool));
        let outcome = match absent {
            _ if failed => Outcome::NotReached,
            Some(tool) => Outcome::Skipped(tool.advice()),
            None => run_step(step, root)?,
        };
        match &outcome {
            Outcome::Passed(time) => println!("-- {}: {}", step.name, seconds(*time)),
            Outcome::Failed(time, _) => {
                println!("-- {}: failed after {}", step.name, seconds(*time));
                failed = true;
            }
            Outcome::Skipped(reason) => println!("\n== {}\nskipped: {reason}", step.name),
            Outcome::NotReached => {}
        }
        outcomes.push((step.name, outcome));
    }
    print!("{}", summary(&outcomes, start.elapsed()));
    for (name, outcome) in &outcomes {
        if let Outcome::Failed(_, command) = outcome {
            bail!("{name} failed; to repeat it alone: {command}");
        }
    }
    Ok(())
}

fn run_step(step: &Step, root: &Path) -> Result<Outcome> {
    println!("\n== {}", step.name);
    let start = Instant::now();
    match &step.action {
        Action::Tidy => {
            if let Err(error) = tidy::run() {
                println!("{error:#}");
                return Ok(Outcome::Failed(start.elapsed(), "cargo xtask tidy".to_owned()));
            }
        }
        Action::Commands(commands) => {
            for command in commands {
                println!("$ {command}");
                if !command.succeeds(root)? {
                    return Ok(Outcome::Failed(start.elapsed(), Invocation::to_string(command)));
                }
            }
        }
    }
    Ok(Outcome::Passed(start.elapsed()))
}

/// A table with a line per step, what was skipped and why, and the whole time.
fn summary(outcomes: &[(&str, Outcome)], total: Duration) -> String {
    let mut text = String::from("\n== summary\n");
    let mut row = |name: &str, word: &str, time: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", format!("{name:<16}{word:<13}{time:>9}").trim_end());
    };
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed(time) => row(name, "passed", &seconds(*time)),
            Outcome::Failed(time, _) => row(name, "FAILED", &seconds(*time)),
            Outcome::Skipped(_) => row(name, "skipped", ""),
            Outcome::NotReached => row(name, "not reached", ""),
        }
    }
    row("total", "", &seconds(total));
    for (_, outcome) in outcomes {
        if let Outcome::Skipped(reason) = outcome {
            let _ = writeln!(text, "skipped: {reason}");
        }
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, summary};

    #[test]
    fn the_summary_names_every_step() {
        let second = Duration::from_secs(1);
        let outcomes = [
            ("fmt", Outcome::Passed(second)),
            ("dependencies", Outcome::Skipped("cargo-deny is not installed".to_owned())),
            ("clippy", Outcome::Failed(Duration::from_millis(12_340), "cargo clippy".to_owned())),
            ("tests", Outcome::NotReached),
        ];
        let expected = "
== summary
fmt             passed           1.0 s
dependencies    skipped
clippy          FAILED          12.3 s
tests           not reached
total                           75.0 s
skipped: cargo-deny is not installed
";
        assert_eq!(summary(&outcomes, Duration::from_secs(75)), expected);
    }
}
