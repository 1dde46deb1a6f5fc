//! What the repository holds: its packages, as cargo sees them, and its files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::invocation::cargo;

/// The crates that publish something, from the people's side down to the arithmetic. Each may use
/// those after it.
pub(crate) const STACK: [&str; 6] = [
    "recurrent",
    "recurrent-checkpoint",
    "recurrent-training",
    "recurrent-topologies",
    "recurrent-cells",
    "recurrent-kernels",
];

/// The crate of oracles, for tests only.
pub(crate) const TESTKIT: &str = "recurrent-testkit";

/// This crate.
pub(crate) const XTASK: &str = "xtask";

/// One file of the repository.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Relative to the root, with `/` between folders.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// The content, unless it is binary: not UTF-8, or holding a zero byte.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|text| !text.contains('\0'))
    }

    /// The lines with their numbers, from 1; none for a binary file.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text().unwrap_or_default().lines())
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether people write it line by line, unlike data, licences and the lock file.
    pub(crate) fn is_authored(&self) -> bool {
        let extensions = [".rs", ".md", ".toml", ".py", ".sh", ".yml", ".html", ".css", ".js"];
        extensions.iter().any(|extension| self.path.ends_with(extension))
            || self.path.starts_with(".ci/")
    }
}

/// A package as `cargo metadata` describes it; paths are absolute there.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<String>,
    pub(crate) documentation: Option<String>,
    pub(crate) keywords: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// The registries it may go to: `None` for any, empty for `publish = false`.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    pub(crate) features: std::collections::BTreeMap<String, Vec<String>>,
}

impl Package {
    /// Whether it may be published.
    pub(crate) fn is_public(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}

/// An edge from a package to another one.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, otherwise `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The version requirement; `*` when the manifest gives none.
    #[serde(rename = "req")]
    pub(crate) requirement: String,
}

impl Dependency {
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Something that a package compiles to.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Target {
    /// Whether it is a library or a program, rather than a test, an example or a benchmark.
    pub(crate) fn is_product(&self) -> bool {
        self.kind.iter().any(|kind| matches!(kind.as_str(), "lib" | "bin" | "proc-macro"))
    }

    pub(crate) fn is_library(&self) -> bool {
        self.kind.iter().any(|kind| kind == "lib")
    }
}

/// The repository, read into memory: it is small.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Paths in it are relative to the root, with `/` between folders.
    pub(crate) packages: Vec<Package>,
    pub(crate) files: Vec<File>,
}

/// The repository's root folder: where cargo finds xtask's manifest, one folder up.
///
/// # Errors
/// When xtask was started without cargo.
pub(crate) fn root() -> Result<PathBuf> {
    // Read when running, not when compiling: a repository may be moved together with its target.
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").context("start xtask as `cargo xtask`")?;
    let parent = Path::new(&manifest).parent();
    Ok(parent.context("xtask's folder has no parent")?.to_path_buf())
}

/// Asks cargo for the packages of the workspace in `root`.
///
/// # Errors
/// When a manifest is broken.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let output = Command::new(cargo())
        .current_dir(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("could not read cargo metadata's answer")?;
    let mut packages = metadata.packages;
    for package in &mut packages {
        package.manifest_path = relative(root, &package.manifest_path);
        for target in &mut package.targets {
            target.src_path = relative(root, &target.src_path);
        }
    }
    Ok(packages)
}

/// Reads the packages and the files of the repository in `root`.
///
/// # Errors
/// When cargo refuses a manifest, or a file cannot be read.
pub(crate) fn load(root: &Path) -> Result<Workspace> {
    let mut files = Vec::new();
    for path in file_names(root)? {
        let absolute = root.join(&path);
        if absolute.is_file() {
            let bytes = fs::read(&absolute).with_context(|| format!("could not read {path}"))?;
            files.push(File { path, bytes });
        }
    }
    Ok(Workspace { packages: packages(root)?, files })
}

/// The names of the files that belong to the repository, sorted.
///
/// With git: the tracked files, and the new ones in the folders that hold code and docs, so that a
/// rule is broken before the commit and not after it. Data and runs that lie around elsewhere are
/// nobody's business. Without git (an unpacked archive): whatever lies in the known folders.
fn file_names(root: &Path) -> Result<Vec<String>> {
    let new = ["ls-files", "-z", "--others", "--exclude-standard", "--", "crates", "docs", "xtask"];
    let mut names = match (git(root, &["ls-files", "-z"]), git(root, &new)) {
        (Some(tracked), Some(new)) if tracked.split('\0').any(|name| name == "Cargo.toml") => {
            let names = tracked.split('\0').chain(new.split('\0'));
            names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => walk(root)?,
    };
    names.sort();
    names.dedup();
    if names.is_empty() {
        bail!("no files found in {}", root.display());
    }
    Ok(names)
}

/// What git prints for these arguments; `None` when git is missing or this is no repository.
pub(crate) fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.current_dir(root).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

fn walk(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = [".md", ".toml", ".lock"].iter().any(|end| name.ends_with(end));
        if known || name.starts_with("LICENSE") {
            names.push(name);
        }
    }
    let mut folders: Vec<PathBuf> =
        [".cargo", ".ci", "crates", "docs", "xtask"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(slashes(&relative(root, &path)));
            }
        }
    }
    Ok(names)
}

fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_path_buf()
}

/// A relative path as [`File::path`] writes it.
pub(crate) fn slashes(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Builders for the tests of the checks: a clean repository, into which a test plants one fault.
#[cfg(test)]
pub(crate) mod planted {
    use super::{Dependency, File, Package, Target};

    /// A text file.
    pub(crate) fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
    }

    /// A package with a library and complete metadata under `crates/`.
    pub(crate) fn package(name: &str) -> Package {
        let target = Target {
            kind: vec!["lib".to_owned()],
            src_path: format!("crates/{name}/src/lib.rs").into(),
        };
        Package {
            name: name.to_owned(),
            manifest_path: format!("crates/{name}/Cargo.toml").into(),
            description: Some("A crate".to_owned()),
            license: Some("MIT OR Apache-2.0".to_owned()),
            readme: Some("README.md".to_owned()),
            documentation: Some("https://docs.rs/".to_owned()),
            keywords: vec!["rnn".to_owned()],
            categories: vec!["science".to_owned()],
            targets: vec![target],
            ..Package::default()
        }
    }

    /// The same, marked `publish = false`.
    pub(crate) fn private_package(name: &str) -> Package {
        Package { publish: Some(Vec::new()), ..package(name) }
    }

    /// A normal dependency (`kind` empty) or one of the given kind.
    pub(crate) fn dependency(name: &str, kind: &str, requirement: &str) -> Dependency {
        Dependency {
            name: name.to_owned(),
            kind: (!kind.is_empty()).then(|| kind.to_owned()),
            requirement: requirement.to_owned(),
        }
    }
}
