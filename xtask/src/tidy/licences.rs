//! A packaged crate stands alone, so each carries the licences of the root.

use super::{Finding, beside_manifest, find};
use crate::workspace::{File, Package};

const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// Every published crate has copies of the licences that equal the root's.
pub(super) fn copies(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in LICENCES {
        let Some(original) = find(files, name) else {
            findings.push(Finding::new(name, 1, "the licence is missing: add it"));
            continue;
        };
        for package in packages.iter().filter(|package| package.is_public()) {
            let path = beside_manifest(package, name);
            if find(files, &path).is_none_or(|copy| copy.bytes != original.bytes) {
                findings.push(Finding::new(path, 1, format!("not the root's: copy {name} here")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::copies;
    use crate::workspace::planted::{file, package, private_package};

    #[test]
    fn a_missing_or_different_copy_is_caught() {
        let packages = [package("recurrent"), private_package("recurrent-testkit")];
        let mut files = vec![
            file("LICENSE-MIT", "MIT\n"),
            file("LICENSE-APACHE", "Apache\n"),
            file("crates/recurrent/LICENSE-MIT", "MIT\n"),
            file("crates/recurrent/LICENSE-APACHE", "Apache\n"),
        ];
        assert_eq!(copies(&packages, &files), []);
        files[3].bytes.pop();
        assert_eq!(copies(&packages, &files)[0].path, "crates/recurrent/LICENSE-APACHE");
        files.pop();
        assert_eq!(copies(&packages, &files).len(), 1);
        assert_eq!(copies(&packages, &[]).len(), 2);
    }
}
