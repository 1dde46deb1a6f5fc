//! A command line: run by xtask, and printed so that a person can run it again.

use std::{
    ffi::OsString,
    fmt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

const CARGO: &str = "cargo";

/// A call of cargo, or of another program, with the environment variables that it needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Invocation {
    program: &'static str,
    environment: Vec<(&'static str, &'static str)>,
    arguments: Vec<String>,
}

impl Invocation {
    /// `cargo` with these arguments.
    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        Self::of(CARGO, arguments)
    }

    /// Another program with these arguments.
    pub(crate) fn of(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { program, environment: Vec::new(), arguments }
    }

    /// The same with an environment variable.
    pub(crate) fn with_environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Runs it in `root`, with this process's output and no input, and says whether it succeeded.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn succeeds(&self, root: &Path) -> Result<bool> {
        let status = self.command(root).status();
        Ok(status.with_context(|| format!("could not start {self}"))?.success())
    }

    /// Runs it in `root` without showing anything; false also when the program cannot be started.
    pub(crate) fn succeeds_quietly(&self, root: &Path) -> bool {
        let mut command = self.command(root);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn command(&self, root: &Path) -> Command {
        let program = if self.program == CARGO { cargo() } else { self.program.into() };
        let mut command = Command::new(program);
        command.current_dir(root).args(&self.arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().copied());
        command
    }
}

/// The cargo that runs xtask, which need not be the first one on the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(formatter, "{name}=\"{value}\" ")?;
        }
        write!(formatter, "{} {}", self.program, self.arguments.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::Invocation;

    #[test]
    fn is_printed_as_a_person_would_type_it() {
        let docs = Invocation::cargo(&["doc", "--no-deps"])
            .with_environment("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(docs.to_string(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }
}
