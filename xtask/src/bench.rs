//! `cargo xtask bench`: how fast the layers are on this machine.

use anyhow::{Result, bail};

use crate::{invocation::Invocation, workspace};

/// Runs the example `bench` of recurrent with these arguments.
///
/// # Errors
/// When it fails: it has said why.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--release", "-p", "recurrent", "--example", "bench"];
    all.push("--");
    all.extend(arguments.iter().map(String::as_str));
    let bench = Invocation::cargo(&all);
    if !bench.succeeds(&workspace::root()?)? {
        bail!("failed: {bench}");
    }
    Ok(())
}
