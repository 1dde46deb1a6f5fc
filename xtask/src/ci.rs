//! `cargo xtask ci`: everything that has to hold, one step after the other.

mod plan;

use std::time::SystemTime;

use anyhow::Result;

use crate::{
    steps,
    workspace::{self, git},
};

/// How much to check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    /// What takes seconds when warm.
    Quick,
    /// Everything.
    Whole,
}

/// Runs the steps and prints a summary.
///
/// # Errors
/// When a component of the toolchain is missing, or a step fails.
pub(crate) fn run(scope: Scope) -> Result<()> {
    let root = workspace::root()?;
    // Uncommitted work is normal on a desk; on a fresh clone nothing is uncommitted.
    let dirty = git(&root, &["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    // A folder that never was before; `plan::package` says why.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let packing = format!("target/package-{}-{}", now.as_nanos(), std::process::id());
    let outcome =
        steps::run(&root, &plan::steps(scope, &workspace::packages(&root)?, dirty, &packing));
    // Not there if packing was not reached.
    let _ = std::fs::remove_dir_all(root.join(packing));
    outcome
}
