//! `reader.py`, written from `docs/checkpoint-format.md` alone, reads what this crate writes and
//! refuses what this crate refuses: so the page is enough to write a reader.

// Another program reads what this one wrote.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use recurrent_checkpoint::{Checkpoint, Data, Section};
use serde_json::{Value, json};

#[path = "round_trip/drawn.rs"]
mod drawn;
#[path = "hostile/bytes.rs"]
mod hostile;

const GOLDEN: &[u8] = include_bytes!("golden/version-1.0.ckpt");

/// Whether there is a Python; if not, says so loudly.
fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output();
    let is_there = found.is_ok_and(|output| output.status.success());
    if !is_there {
        // The test harness keeps what the print macros write to itself.
        let text = b"\nSKIPPED: the reader in Python: there is no python3\n";
        std::io::stderr().write_all(text).unwrap();
    }
    is_there
}

/// The reader's exit status, and its line for each of the files.
fn read<'f>(files: impl IntoIterator<Item = &'f [u8]>) -> (i32, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for bytes in files {
        names.push(format!("{}.ckpt", names.len()));
        fs::write(folder.path().join(names.last().unwrap()), bytes).unwrap();
    }
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
    let mut command = Command::new("python3");
    let output = command.arg(reader).args(&names).current_dir(folder.path()).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), names.len());
    (output.status.code().unwrap(), lines)
}

/// A value as the reader prints it: JSON has no infinity and no NaN.
fn number(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else if value.is_nan() {
        json!("nan")
    } else {
        json!(if value > 0.0 { "inf" } else { "-inf" })
    }
}

fn hexadecimal(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expected_section(section: &Section<'_>) -> Value {
    let (values, bytes): (Vec<Value>, String) = match section.data() {
        Data::F32(values) => (
            values.iter().map(|&value| number(value.into())).collect(),
            hexadecimal(values.iter().flat_map(|value| value.to_le_bytes())),
        ),
        Data::F64(values) => (
            values.iter().map(|&value| number(value)).collect(),
            hexadecimal(values.iter().flat_map(|value| value.to_le_bytes())),
        ),
        Data::U64(values) => (
            values.iter().map(|&value| json!(value)).collect(),
            hexadecimal(values.iter().flat_map(|value| value.to_le_bytes())),
        ),
        Data::U32(values) => (
            values.iter().map(|&value| json!(value)).collect(),
            hexadecimal(values.iter().flat_map(|value| value.to_le_bytes())),
        ),
        Data::Bytes(values) => {
            (values.iter().map(|&value| json!(value)).collect(), hexadecimal(values.to_vec()))
        }
        other => panic!("{other:?} has no form in JSON yet"),
    };
    json!({
        "name": section.name(),
        "type": section.data().element_type().to_string(),
        "shape": section.shape(),
        "values": values,
        "bytes": bytes,
    })
}

fn expected(checkpoint: &Checkpoint<'_>) -> Value {
    let sections: Vec<Value> = checkpoint.sections().map(expected_section).collect();
    json!({ "kind": checkpoint.kind(), "metadata": checkpoint.metadata(), "sections": sections })
}

#[test]
fn the_page_alone_is_enough_to_read_golden_and_drawn_checkpoints() {
    if !has_python() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let texts = prop::collection::btree_map(".{0,8}", ".{0,30}", 0..5);
    let content = (".{0,20}", texts, drawn::parts());
    let mut files = vec![GOLDEN.to_vec()];
    files.extend(hostile::right_files().into_iter().map(|(_, bytes)| bytes));
    for _ in 0..64 {
        let (kind, metadata, parts) = content.new_tree(&mut runner).unwrap().current();
        let mut checkpoint = Checkpoint::new(kind);
        *checkpoint.metadata_mut() = metadata;
        for (name, shape, data) in parts {
            checkpoint.insert(name, &shape, data);
        }
        files.push(checkpoint.to_bytes().unwrap());
    }
    let (status, lines) = read(files.iter().map(Vec::as_slice));
    assert_eq!(status, 0);
    for (file, line) in files.iter().zip(lines) {
        assert_eq!(line, expected(&Checkpoint::from_bytes(file).unwrap()));
    }
}

#[test]
fn the_page_alone_is_enough_to_refuse_damaged_and_hostile_checkpoints() {
    if !has_python() {
        return;
    }
    let mut files = hostile::hostile_files();
    for at in 0..GOLDEN.len() {
        let mut bytes = GOLDEN.to_vec();
        bytes[at] ^= 1 << (at % 8);
        files.push((format!("a flipped bit in byte {at}"), bytes));
    }
    for length in (0..GOLDEN.len()).step_by(13) {
        files.push((format!("{length} bytes of it"), GOLDEN[..length].to_vec()));
    }
    files.push(("a byte more".to_owned(), [GOLDEN, &[0]].concat()));
    let (status, lines) = read(files.iter().map(|(_, bytes)| bytes.as_slice()));
    assert_eq!(status, 1);
    for ((what, bytes), line) in files.iter().zip(lines) {
        assert!(line["refused"].is_string(), "{what}: {line}");
        assert!(Checkpoint::from_bytes(bytes).is_err(), "{what}");
    }
    // Alone, too.
    assert_eq!(read([&files[0].1[..]]).0, 1);
}
