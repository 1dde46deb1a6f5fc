//! Rust source files: headers, lengths, names, and where unsafe code may be.

use super::{Finding, find};
use crate::workspace::{self, File, Package, TESTKIT};

/// A longer file is split: it has more than one subject.
const MOST_LINES: usize = 600;

/// Names that say nothing about what is inside, and so attract everything.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "misc", "common", "shared"];

/// The one crate with unsafe code.
const UNSAFE_CRATE: &str = "crates/recurrent-kernels/";

/// The one other file with unsafe code: an allocator that counts, for tests, cannot do without.
const COUNTING_ALLOCATOR: &str = "crates/recurrent-testkit/src/counting_allocator.rs";

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.is_rust())
}

/// Every file opens by saying what it is.
pub(super) fn headers(files: &[File]) -> Vec<Finding> {
    rust(files)
        .filter(|file| !file.text().is_some_and(|text| text.starts_with("//!")))
        .map(|file| Finding::new(&file.path, 1, "open with `//!` and say what the file is"))
        .collect()
}

/// No file is too long to be read in one sitting.
pub(super) fn lengths(files: &[File]) -> Vec<Finding> {
    let counted = rust(files).map(|file| (file, file.lines().count()));
    counted
        .filter(|&(_, lines)| lines > MOST_LINES)
        .map(|(file, lines)| {
            let advice = format!("{lines} lines: split at a seam, {MOST_LINES} is the limit");
            Finding::new(&file.path, MOST_LINES + 1, advice)
        })
        .collect()
}

/// Files, folders and modules are named after what is inside.
pub(super) fn names(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust(files) {
        let stem = file.path.trim_end_matches(".rs");
        if let Some(name) = stem.split('/').find(|part| EMPTY_NAMES.contains(part)) {
            findings.push(Finding::new(&file.path, 1, empty_name(name)));
        }
        for (number, line) in file.lines() {
            // A module of its own file is named by that file.
            let module = line.trim_end().strip_suffix('{').and_then(|line| {
                let (visibility, name) = line.split_once("mod ")?;
                let visibility = visibility.trim();
                (visibility.is_empty() || visibility.starts_with("pub")).then(|| name.trim())
            });
            if let Some(name) = module.filter(|name| EMPTY_NAMES.contains(name)) {
                findings.push(Finding::new(&file.path, number, empty_name(name)));
            }
        }
    }
    findings
}

fn empty_name(name: &str) -> String {
    format!("`{name}` says nothing: name it after what is inside")
}

/// Every library and program outside the kernels forbids unsafe code at its root.
pub(super) fn forbidden_unsafe(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        for target in package.targets.iter().filter(|target| target.is_product()) {
            let path = workspace::slashes(&target.src_path);
            let Some(root) = find(files, &path).filter(|_| !path.starts_with(UNSAFE_CRATE)) else {
                continue;
            };
            let has = |attribute: &str| root.lines().any(|(_, line)| line.trim_end() == attribute);
            // `forbid` cannot be lifted for one file; the testkit has one that needs it.
            let lifted = package.name == TESTKIT
                && find(files, COUNTING_ALLOCATOR).is_some()
                && has("#![deny(unsafe_code)]");
            if !has("#![forbid(unsafe_code)]") && !lifted {
                findings.push(Finding::new(path, 1, "add `#![forbid(unsafe_code)]`"));
            }
        }
    }
    findings
}

/// Nothing outside the kernels and the counting allocator lifts the ban again.
pub(super) fn unsafe_exceptions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust(files) {
        if file.path.starts_with(UNSAFE_CRATE) || file.path == COUNTING_ALLOCATOR {
            continue;
        }
        for (number, line) in file.lines() {
            let line = line.trim_start();
            if line.starts_with('#') && line.contains("unsafe_code") && line.contains("allow(") {
                let advice = "unsafe code belongs to recurrent-kernels: move it there";
                findings.push(Finding::new(&file.path, number, advice));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{COUNTING_ALLOCATOR, forbidden_unsafe, headers, lengths, names, unsafe_exceptions};
    use crate::workspace::planted::{file, package};

    #[test]
    fn a_missing_header_is_caught() {
        let good = file("crates/a/src/lib.rs", "//! A crate.\n");
        assert_eq!(headers(&[good, file("README.md", "# A\n")]), []);
        for text in ["", "\n//! Late.\n", "// Not documentation.\n", "use std::fmt;\n"] {
            assert_eq!(headers(&[file("crates/a/src/b.rs", text)]).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_long_file_is_caught() {
        let lines = |count| file("crates/a/src/b.rs", &"//\n".repeat(count));
        assert_eq!(lengths(&[lines(600)]), []);
        let findings = lengths(&[lines(601)]);
        assert_eq!((findings.len(), findings[0].line), (1, 601));
    }

    #[test]
    fn empty_names_are_caught() {
        let good = "//! B.\nmod gates;\npub mod shapes {}\n// A common mod utils {\n";
        assert_eq!(names(&[file("crates/a/src/b.rs", good), file("docs/common.md", "")]), []);
        for path in ["crates/a/src/utils.rs", "crates/a/tests/common/mod.rs"] {
            assert_eq!(names(&[file(path, "")]).len(), 1, "{path}");
        }
        for text in ["//! B.\nmod misc {\n", "//! B.\npub(crate) mod helpers {\n"] {
            let findings = names(&[file("crates/a/src/b.rs", text)]);
            assert_eq!((findings.len(), findings[0].line), (1, 2), "{text:?}");
        }
    }

    #[test]
    fn a_root_without_the_ban_is_caught() {
        let check = |name: &str, text: &str| {
            let root = file(&format!("crates/{name}/src/lib.rs"), text);
            forbidden_unsafe(&[package(name)], &[root]).len()
        };
        assert_eq!(check("recurrent-cells", "//! A.\n\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(check("recurrent-kernels", "//! A.\n"), 0);
        assert_eq!(check("recurrent-cells", "//! A.\n"), 1);
        assert_eq!(check("recurrent-cells", "//! A.\n// #![forbid(unsafe_code)]\n"), 1);
        assert_eq!(check("recurrent-cells", "//! A.\n#![deny(unsafe_code)]\n"), 1);
        assert_eq!(check("recurrent-testkit", "//! A.\n#![deny(unsafe_code)]\n"), 1);
    }

    #[test]
    fn the_testkit_may_deny_for_its_allocator() {
        let root = file("crates/recurrent-testkit/src/lib.rs", "//! A.\n#![deny(unsafe_code)]\n");
        let allocator = file(COUNTING_ALLOCATOR, "//! A.\n#![allow(unsafe_code)]\n");
        let files = [root, allocator];
        assert_eq!(forbidden_unsafe(&[package("recurrent-testkit")], &files), []);
        assert_eq!(unsafe_exceptions(&files), []);
    }

    #[test]
    fn a_lifted_ban_is_caught() {
        let text = "//! A.\n#[allow(unsafe_code)]\nfn f() {}\n";
        assert_eq!(unsafe_exceptions(&[file("crates/recurrent-kernels/src/a.rs", text)]), []);
        let findings = unsafe_exceptions(&[file("crates/recurrent-cells/src/a.rs", text)]);
        assert_eq!((findings.len(), findings[0].line), (1, 2));
    }
}
