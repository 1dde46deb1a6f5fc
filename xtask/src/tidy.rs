//! `cargo xtask tidy`: the house rules that neither rustc nor clippy knows.
//!
//! Each check is a function of the data it looks at, and has a test that plants a violation.

mod documents;
mod edges;
mod licences;
mod lints;
mod lockfile;
mod manifests;
mod sources;
mod text;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::{self, File, Package, Workspace};

/// A broken rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    advice: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, advice: impl Into<String>) -> Self {
        Self { path: path.into(), line, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// Runs every check on the repository and prints what it finds, sorted by file and line.
///
/// # Errors
/// When a rule is broken, or the repository cannot be read.
pub(crate) fn run() -> Result<()> {
    let workspace = workspace::load(&workspace::root()?)?;
    let findings = check(&workspace);
    for finding in &findings {
        println!("{finding}");
    }
    let files = workspace.files.len();
    match findings.len() {
        0 => println!("tidy: {files} files, nothing to report"),
        1 => bail!("tidy: 1 finding in {files} files"),
        count => bail!("tidy: {count} findings in {files} files"),
    }
    Ok(())
}

fn check(Workspace { packages, files }: &Workspace) -> Vec<Finding> {
    let mut findings = [
        edges::order(packages, files),
        edges::exclusive(packages, files),
        sources::headers(files),
        sources::lengths(files),
        sources::names(files),
        sources::forbidden_unsafe(packages, files),
        sources::unsafe_exceptions(files),
        text::unfinished(files),
        text::machine_paths(files),
        text::whitespace(files),
        text::binaries(files),
        manifests::metadata(packages, files),
        manifests::readme_examples(packages, files),
        licences::copies(packages, files),
        documents::links(files),
        documents::architecture(packages, files),
        lockfile::versions(files),
        lockfile::sources(files),
        lints::disallowed_methods(files),
    ]
    .concat();
    findings.sort();
    findings
}

fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    files.iter().find(|file| file.path == path)
}

/// A package's manifest, as [`File::path`] writes it.
fn manifest(package: &Package) -> String {
    workspace::slashes(&package.manifest_path)
}

/// The path of a file next to a package's manifest.
fn beside_manifest(package: &Package, name: &str) -> String {
    workspace::slashes(&package.manifest_path.with_file_name(name))
}

/// Whether `text` holds `word` with no letter, digit, `_` or `-` right before or after it.
fn contains_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(start, _)| {
        !text[..start].ends_with(joins) && !text[start + word.len()..].starts_with(joins)
    })
}

#[cfg(test)]
mod tests {
    use super::{Finding, contains_word};

    #[test]
    fn a_finding_can_be_clicked() {
        let finding = Finding::new("crates/recurrent/src/lib.rs", 3, "say why");
        assert_eq!(finding.to_string(), "crates/recurrent/src/lib.rs:3: say why");
    }

    #[test]
    fn words_end_at_punctuation_only() {
        assert!(contains_word("see (recurrent).", "recurrent"));
        assert!(contains_word("recurrent-cells and recurrent", "recurrent"));
        assert!(!contains_word("recurrent-cells, nonrecurrent", "recurrent"));
    }
}
