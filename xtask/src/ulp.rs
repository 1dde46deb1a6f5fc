//! `cargo xtask ulp`: the error of every activation over all inputs.

use anyhow::{Result, bail};

use crate::{invocation::Invocation, workspace};

/// Runs the example `ulp` of recurrent-kernels, which prints the worst error it finds and fails
/// where it exceeds what the activation's documentation promises.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let ulp =
        Invocation::cargo(&["run", "--release", "-p", "recurrent-kernels", "--example", "ulp"]);
    if !ulp.succeeds(&root)? {
        bail!("failed: {ulp}");
    }
    Ok(())
}
