//! Cargo.lock: versions that must not change by accident, and where packages come from.

use super::{Finding, find};
use crate::workspace::File;

const LOCKFILE: &str = "Cargo.lock";

/// The public registry, as Cargo.lock writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package in the lock file, at the line with its name.
struct Locked<'a> {
    line: usize,
    name: &'a str,
    version: &'a str,
    source: Option<&'a str>,
}

fn locked(lockfile: &File) -> Vec<Locked<'_>> {
    let mut packages: Vec<Locked> = Vec::new();
    for (line, text) in lockfile.lines() {
        let Some((key, value)) = text.split_once(" = ") else {
            continue;
        };
        let value = value.trim_matches('"');
        match (key, packages.last_mut()) {
            ("name", _) => packages.push(Locked { line, name: value, version: "", source: None }),
            ("version", Some(package)) => package.version = value,
            ("source", Some(package)) => package.source = Some(value),
            _ => {}
        }
    }
    packages
}

/// A version's numbers; `None` for what is none, such as a pre-release.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Versions whose results or bytes we rely on.
pub(super) fn versions(files: &[File]) -> Vec<Finding> {
    let Some(lockfile) = find(files, LOCKFILE) else {
        return vec![Finding::new(LOCKFILE, 1, "missing: commit it, the versions are part of us")];
    };
    let mut findings = Vec::new();
    for Locked { line, name, version, .. } in locked(lockfile) {
        let advice = match name {
            "private-gemm-x86" if numbers(version).is_none_or(|v| v < vec![0, 1, 22]) => {
                "private-gemm-x86 before 0.1.22 gives wrong products: \
                 cargo update private-gemm-x86"
            }
            "bincode" if version != "2.0.1" => {
                "bincode must be 2.0.1, which defines the bytes of a checkpoint's header: pin it"
            }
            _ => continue,
        };
        findings.push(Finding::new(LOCKFILE, line, advice));
    }
    findings
}

/// Every package comes from the public registry, so that everybody gets the same.
pub(super) fn sources(files: &[File]) -> Vec<Finding> {
    let packages = find(files, LOCKFILE).map(locked).unwrap_or_default();
    packages
        .into_iter()
        .filter(|package| package.source.is_some_and(|source| source != REGISTRY))
        .map(|Locked { line, name, .. }| {
            Finding::new(
                LOCKFILE,
                line,
                format!("{name} is not from crates.io: take it from there"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{REGISTRY, sources, versions};
    use crate::workspace::{File, planted::file};

    fn lockfile(name: &str, version: &str, source: &str) -> [File; 1] {
        let own = "[[package]]\nname = \"recurrent\"\nversion = \"0.1.0\"\n\n";
        let other = format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n"
        );
        [file("Cargo.lock", &format!("version = 4\n\n{own}{other}"))]
    }

    #[test]
    fn wrong_versions_are_caught() {
        for (name, version) in
            [("private-gemm-x86", "0.1.22"), ("private-gemm-x86", "0.2.0"), ("bincode", "2.0.1")]
        {
            assert_eq!(versions(&lockfile(name, version, REGISTRY)), [], "{name} {version}");
        }
        for (name, version) in [
            ("private-gemm-x86", "0.1.9"),
            ("private-gemm-x86", "0.1.22-rc.1"),
            ("bincode", "2.0.0"),
            ("bincode", "3.0.0"),
        ] {
            let findings = versions(&lockfile(name, version, REGISTRY));
            assert_eq!((findings.len(), findings[0].line), (1, 8), "{name} {version}");
        }
        assert_eq!(versions(&[]).len(), 1);
    }

    #[test]
    fn foreign_sources_are_caught() {
        assert_eq!(sources(&lockfile("rayon", "1.12.0", REGISTRY)), []);
        let git = "git+https://example.org/rayon#0123";
        assert_eq!(sources(&lockfile("rayon", "1.12.0", git))[0].line, 8);
    }
}
