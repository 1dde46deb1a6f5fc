//! Golden files: what another program computed, as text, from numbers that both sides make by the
//! same formula.

mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use replay::{Pass, Replay};

/// The number at a row-major position of a tensor with this index: the formula of the generators.
pub fn number(tensor: usize, element: usize) -> f64 {
    (((tensor + 1) * 7919 + (element + 1) * 104_729) % 1000) as f64 / 1000.0 - 0.5
}

/// `count` numbers of a tensor, each times `scale`.
pub fn numbers(tensor: usize, count: usize, scale: f64) -> Vec<f64> {
    (0..count).map(|element| number(tensor, element) * scale).collect()
}

/// How close numbers must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Each within this share of itself, and a thousandth of that share of the largest one.
    Relative(f64),
    /// Each within this share of the largest one.
    OfLargest(f64),
}

/// The golden files in a folder, in the order of their names.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no golden file", folder.display());
    files
}

/// The lines of a golden file: a name, then words.
pub struct Golden {
    name: String,
    lines: BTreeMap<String, String>,
}

impl Golden {
    /// Reads a file.
    ///
    /// # Panics
    /// If it cannot be read.
    #[track_caller]
    pub fn read(path: &Path) -> Golden {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut named = BTreeMap::new();
        for line in lines {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let before = named.insert(name.to_string(), rest.to_string());
            assert!(before.is_none(), "{}: two lines are named {name}", path.display());
        }
        let name = path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into());
        Golden { name, lines: named }
    }

    /// The file's name without its ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A setting, if it is there.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.lines.get(name).map(String::as_str)
    }

    /// A setting that is a number.
    ///
    /// # Panics
    /// If it is not there, or none.
    #[track_caller]
    pub fn size(&self, name: &str) -> usize {
        let word = self.require(name);
        word.parse().unwrap_or_else(|_| panic!("{}: {name} is {word}", self.name))
    }

    /// Numbers.
    ///
    /// # Panics
    /// If they are not there.
    #[track_caller]
    pub fn values(&self, name: &str) -> Vec<f64> {
        let parse = |word: &str| {
            word.parse().unwrap_or_else(|_| panic!("{}: {name} holds {word}", self.name))
        };
        self.require(name).split(' ').map(parse).collect()
    }

    #[track_caller]
    fn require(&self, name: &str) -> &str {
        self.setting(name).unwrap_or_else(|| panic!("{}: there is no {name}", self.name))
    }

    /// Asserts that `got` are the numbers of this name.
    ///
    /// # Panics
    /// Names the first element that is too far away.
    #[track_caller]
    pub fn assert_close(&self, name: &str, got: &[f64], tolerance: Tolerance) {
        let expected = self.values(name);
        assert_eq!(got.len(), expected.len(), "{}: numbers in {name}", self.name);
        let largest = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        assert!(
            expected.iter().all(|x| x.is_finite()),
            "{}: {name} holds numbers that are not finite",
            self.name
        );
        for (element, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let allowed = match tolerance {
                Tolerance::Relative(share) => share * (expected.abs() + 1e-3 * largest),
                Tolerance::OfLargest(share) => share * largest,
            };
            assert!(
                (got - expected).abs() <= allowed,
                "{}: {name}, element {element}: {got} and {expected} (largest {largest})",
                self.name
            );
        }
    }
}
