//! `cargo xtask torture`: the long forms of tests, for a release or a change of what they prove.
//!
//! A long test shares its body with a short one that every check runs. It is compiled in every
//! build, so that it cannot decay, and is a test where the flag `torture` is set, as it is here.

use anyhow::Result;

use crate::{
    invocation::Invocation,
    steps::{self, Action, Step, Tool},
    workspace,
};

const QEMU: Tool = Tool {
    name: "qemu-x86_64",
    probe: &["qemu-x86_64", "--version"],
    install: "apt-get install qemu-user",
    required: false,
};

/// Runs the steps and prints a summary.
///
/// # Errors
/// When a step fails.
pub(crate) fn run() -> Result<()> {
    steps::run(&workspace::root()?, &plan())
}

fn plan() -> Vec<Step> {
    let command = |line: &str| Invocation::cargo(&line.split(' ').collect::<Vec<_>>());
    let tests = |more: &str| {
        command(&format!("test --release --workspace --all-features --tests {more}"))
            .with_environment("RUSTFLAGS", "--cfg torture")
    };
    let step = |name, command| Step { name, action: Action::Commands(vec![command]), tool: None };
    // A processor that has neither AVX2 nor fused multiply-add: the bits must be the same.
    let old_processor =
        command("test --release -p recurrent-kernels --test activation --test product")
            .with_environment(
                "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
                "qemu-x86_64 -cpu Nehalem",
            );
    vec![
        // Apart, so that its time is not taken for the tests'.
        step("compile", tests("--no-run")),
        step("all tests", tests("--no-fail-fast")),
        Step { tool: Some(QEMU), ..step("old processor", old_processor) },
        step("fuzzing", command("xtask fuzz --executions 10000000")),
    ]
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::steps::Action;

    #[test]
    fn long_forms_are_made_tests() {
        for step in &plan()[..2] {
            let Action::Commands(commands) = &step.action else { panic!("{step:?}") };
            let command = commands[0].to_string();
            assert!(command.contains("--cfg torture") && command.contains("test"), "{command}");
        }
    }
}
