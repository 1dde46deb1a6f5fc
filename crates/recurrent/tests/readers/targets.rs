//! What must hold for any bytes in any file that is read: one target a reader, each with small
//! examples to begin from. `tests/readers.rs` changes those at random for some seconds, and
//! `cargo xtask fuzz` lets libFuzzer search for hours; both call the same functions.
//!
//! Nothing may panic, hang or take memory without bound. What cannot be read is an error that names
//! the file; what can be read is read twice alike and comes back from what is written of it.

// The tests use one part of it, the fuzzing program another.
#![allow(dead_code)]

use std::{
    cell::RefCell,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

mod checkpoint;
mod config;
mod images;
mod learn;
mod metrics;
pub(crate) mod model;
mod predict;
mod series;
mod small;
mod table;
mod tagged;
mod text;
mod vectors;

/// A reader, and how it is tried.
pub(crate) struct Target {
    /// The name, also of its file and of its program.
    pub(crate) name: &'static str,
    /// Reads these bytes. A panic is a finding.
    pub(crate) run: fn(&[u8]),
    /// Bytes that are read without an error, to be changed.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident),*) => {
        [$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),*]
    };
}

/// All of them.
pub(crate) const ALL: [Target; 12] = targets!(
    checkpoint, config, images, learn, metrics, model, predict, series, table, tagged, text,
    vectors
);

/// The target of this name.
pub(crate) fn find(name: &str) -> &'static Target {
    const TARGETS: &[Target] = &ALL;
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target is called {name}"))
}

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A folder of this thread's own, which is deleted when the thread ends.
fn folder() -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let make = || tempfile::tempdir().expect("the system has a folder for temporary files");
        folder.get_or_insert_with(make).path().to_owned()
    })
}

/// Writes a file in the thread's folder.
fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    // A new file: some file systems write one that is only emptied to the disk at once.
    let _ = fs::remove_file(&path);
    fs::write(&path, bytes).expect("a temporary file can be written");
    path
}

/// The first byte, which says how to read, and the others, which are read.
fn choice(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, &[]), |(&first, rest)| (first, rest))
}

/// A seed: how to read, and what.
fn seed(choice: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut seed = vec![choice];
    seed.extend(bytes.as_ref());
    seed
}

/// Fails unless the message of an error names the file and stays short enough to be read.
#[track_caller]
fn assert_names(error: &impl Display, path: &Path) {
    let message = format!("{error:#}");
    let name = path.file_name().and_then(|name| name.to_str()).expect("our own names are UTF-8");
    assert!(message.contains(name), "{name} is not named: {message}");
    assert!(message.len() < 4_000, "{} bytes: {message}", message.len());
}

/// CRC-32 as of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        let shift = |crc: u32, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        (0..8).fold(crc ^ u32::from(byte), shift)
    })
}
