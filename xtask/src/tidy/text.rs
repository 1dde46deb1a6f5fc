//! What no tracked file may hold: unfinished marks, machine paths, stray whitespace, binaries.
//!
//! The forbidden words are built by concatenation, so that this file passes its own checks.

use super::{Finding, contains_word};
use crate::workspace::File;

const UNFINISHED_WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

const UNFINISHED_CODE: [&str; 3] =
    [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("#[", "ignore")];

const MACHINE_PATHS: [&str; 8] = [
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/t", "mp/"),
    concat!("/wo", "rk/"),
    concat!("/var/", "folders/"),
    concat!("/m", "nt/"),
    concat!(":\\", "Users\\"),
];

/// The most bytes a binary fixture may have.
const LARGEST_FIXTURE: usize = 64 * 1024;

/// What is merged is finished, and every test runs.
pub(super) fn unfinished(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_authored()) {
        for (number, line) in file.lines() {
            let word = UNFINISHED_WORDS.into_iter().find(|word| contains_word(line, word));
            let code = UNFINISHED_CODE.into_iter().find(|code| line.contains(code));
            if let Some(mark) = word.or(code) {
                let advice = format!("`{mark}` marks unfinished work: finish it or leave it out");
                findings.push(Finding::new(&file.path, number, advice));
            }
        }
    }
    findings
}

/// Nothing depends on the machine where it was written.
pub(super) fn machine_paths(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            if let Some(path) = MACHINE_PATHS.into_iter().find(|path| begins_in(line, path)) {
                let advice = format!("`{path}` is a path of one machine: make it relative");
                findings.push(Finding::new(&file.path, number, advice));
            }
        }
    }
    findings
}

/// Whether `line` holds `path` where a path begins, not in the middle of a longer one or of a URL.
fn begins_in(line: &str, path: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "._-/~)}$*".contains(c);
    line.match_indices(path)
        .any(|(start, _)| path.starts_with(':') || !line[..start].ends_with(goes_on))
}

/// No trailing whitespace in what people write, no tabs in Rust.
pub(super) fn whitespace(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_authored()) {
        for (number, line) in file.lines() {
            if line.ends_with([' ', '\t']) {
                let advice = "whitespace at the end of the line: remove it";
                findings.push(Finding::new(&file.path, number, advice));
            } else if file.is_rust() && line.contains('\t') {
                findings.push(Finding::new(&file.path, number, "a tab: use spaces, or write \\t"));
            }
        }
    }
    findings
}

/// No binary files, small fixtures of tests excepted: git keeps them for ever.
pub(super) fn binaries(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.text().is_none()) {
        let advice = if !file.path.split('/').any(|folder| folder == "tests") {
            "a binary file: generate it, or make it a fixture under a tests/ folder"
        } else if file.bytes.len() > LARGEST_FIXTURE {
            "a binary fixture of more than 64 KiB: make it smaller, or generate it"
        } else {
            continue;
        };
        findings.push(Finding::new(&file.path, 1, advice));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{
        LARGEST_FIXTURE, MACHINE_PATHS, UNFINISHED_CODE, UNFINISHED_WORDS, binaries, machine_paths,
        unfinished, whitespace,
    };
    use crate::workspace::{File, planted::file};

    #[test]
    fn unfinished_marks_are_caught() {
        for mark in UNFINISHED_WORDS.into_iter().chain(UNFINISHED_CODE) {
            let findings =
                unfinished(&[file("crates/a/src/b.rs", &format!("//! B.\n\n{mark}: x"))]);
            assert_eq!((findings.len(), findings[0].line), (1, 3), "{mark}");
        }
        let clean = format!("//! B.\nconst {}: &str = \"\";\n", concat!("MAXX", "XL"));
        assert_eq!(unfinished(&[file("crates/a/src/b.rs", &clean)]), []);
    }

    #[test]
    fn machine_paths_are_caught() {
        for path in MACHINE_PATHS {
            let text = format!("data\nlet file = \"{path}ada/text.txt\";\n");
            let findings = machine_paths(&[file("docs/a.md", &text)]);
            assert_eq!((findings.len(), findings[0].line), (1, 2), "{path}");
        }
    }

    #[test]
    fn longer_paths_and_addresses_pass() {
        for path in MACHINE_PATHS.into_iter().filter(|path| path.starts_with('/')) {
            for before in ["https://example.org", "..", "~", "{root}", "$HOME"] {
                let text = format!("see {before}{path}ada/text.txt\n");
                assert_eq!(machine_paths(&[file("docs/a.md", &text)]), [], "{text}");
            }
        }
    }

    #[test]
    fn stray_whitespace_is_caught() {
        let check = |path, text| whitespace(&[file(path, text)]).len();
        assert_eq!(check("crates/a/src/b.rs", "//! B.\r\nfn f() {}\n"), 0);
        assert_eq!(check("crates/a/src/b.rs", "//! B. \n"), 1);
        assert_eq!(check("crates/a/src/b.rs", "//! B.\n\tlet x;\n"), 1);
        assert_eq!(check("README.md", "a line \t\n"), 1);
        assert_eq!(check("README.md", "a\tb\n"), 0);
        assert_eq!(check("crates/a/data/words.tsv", "a\tb\t\n"), 0);
    }

    #[test]
    fn binary_files_are_caught() {
        let binary = |path: &str, size| File { path: path.to_owned(), bytes: vec![0xff; size] };
        assert_eq!(binaries(&[binary("crates/a/tests/golden.bin", LARGEST_FIXTURE)]), []);
        assert_eq!(binaries(&[binary("crates/a/tests/golden.bin", LARGEST_FIXTURE + 1)]).len(), 1);
        assert_eq!(binaries(&[binary("crates/a/src/weights.bin", 1)]).len(), 1);
        assert_eq!(binaries(&[file("crates/a/src/zero.txt", "a\0b")]).len(), 1);
        assert_eq!(binaries(&[file("docs/a.md", "Größe")]), []);
    }
}
