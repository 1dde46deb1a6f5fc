//! `cargo xtask torture`: the long forms of tests, for a release or a change of what they prove.
//!
//! A long test shares its body with a short one that every check runs; it is ignored there, with
//! the name of this command as the reason. Its release build is also another one than the tests'.

use anyhow::Result;

use crate::{
    invocation::Invocation,
    steps::{self, Action, Step},
    workspace,
};

/// Runs the steps and prints a summary.
///
/// # Errors
/// When a step fails.
pub(crate) fn run() -> Result<()> {
    steps::run(&workspace::root()?, &plan())
}

fn plan() -> Vec<Step> {
    let step = |name, lines: &[&str]| {
        let commands = lines.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Invocation::cargo(&words)
        });
        Step { name, action: Action::Commands(commands.collect()), tool: None }
    };
    vec![
        // Apart, so that its time is not taken for the tests'.
        step("compile", &["test --release --workspace --all-features --tests --no-run"]),
        step(
            "long tests",
            &["test --release --workspace --all-features --tests --no-fail-fast -- --ignored"],
        ),
        step("fuzzing", &["xtask fuzz --executions 10000000"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::steps::Action;

    #[test]
    fn ignored_tests_run_and_no_others() {
        let steps = plan();
        let step = steps.iter().find(|step| step.name == "long tests").unwrap();
        let Action::Commands(commands) = &step.action else { panic!("{step:?}") };
        assert_eq!(
            commands[0].to_string(),
            "cargo test --release --workspace --all-features --tests --no-fail-fast -- --ignored"
        );
    }
}
