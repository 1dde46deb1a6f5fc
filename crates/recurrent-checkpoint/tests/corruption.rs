//! Decay: no truncation, appended byte, flipped bit or overwritten byte goes unnoticed.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use recurrent_checkpoint::{Checkpoint, FormatError, LoadError, inspect};
use tempfile::TempDir;

/// 8 KiB, with padding of every kind of neighbour.
fn sample() -> Vec<u8> {
    let mut checkpoint = Checkpoint::new("recurrent.language-model");
    checkpoint.metadata_mut().insert("cell".into(), "lstm".into());
    checkpoint.insert("weight_ih_l0", &[16, 80], (0..1280).map(|i| i as f32).collect::<Vec<_>>());
    checkpoint.insert("weight_hh_l0", &[16, 4], vec![f64::MIN_POSITIVE; 64]);
    checkpoint.insert("step", &[], [12_345_u64]);
    checkpoint.insert("empty", &[0], Vec::<u32>::new());
    checkpoint.insert("vocabulary", &[1987], (0..1987).map(|i| i as u8).collect::<Vec<_>>());
    let bytes = checkpoint.to_bytes().unwrap();
    assert_eq!(bytes.len(), 8192);
    bytes
}

/// The sample as a file, to be damaged in place.
struct OnDisk {
    path: PathBuf,
    file: File,
    _folder: TempDir,
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        fs::write(&path, sample()).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        Self { path, file, _folder: folder }
    }

    fn write(&mut self, at: usize, byte: u8) {
        self.file.seek(SeekFrom::Start(at as u64)).unwrap();
        self.file.write_all(&[byte]).unwrap();
    }

    /// Panics unless loading is an error of the format, and inspecting one or told as damage.
    fn assert_refused(&self, damage: &str) {
        let loaded = Checkpoint::load(&self.path);
        assert!(matches!(loaded, Err(LoadError::Format { .. })), "loaded with {damage}");
        match inspect(&self.path) {
            Ok(summary) => assert!(!summary.is_intact(), "called intact with {damage}"),
            Err(LoadError::Format { .. }) => {}
            Err(other) => panic!("{damage}: {other}"),
        }
    }
}

#[test]
fn truncation_at_every_length_is_an_error() {
    let bytes = sample();
    let disk = OnDisk::new();
    for length in (0..bytes.len()).rev() {
        disk.file.set_len(length as u64).unwrap();
        disk.assert_refused(&format!("{length} bytes of it"));
        let error = Checkpoint::from_bytes(&bytes[..length]).unwrap_err();
        match error {
            FormatError::NotACheckpoint { .. } => assert_eq!(length, 0),
            FormatError::Truncated { found, expected } => {
                assert_eq!(found, length as u64);
                assert_eq!(expected, if length < 36 { 40 } else { bytes.len() as u64 });
            }
            other => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn appended_bytes_are_an_error() {
    let bytes = sample();
    let mut disk = OnDisk::new();
    for value in [0x00, 0x89, 0xFF] {
        let mut longer = bytes.clone();
        for more in 1..=64 {
            longer.push(value);
            let error = Checkpoint::from_bytes(&longer).unwrap_err();
            assert!(matches!(error, FormatError::TrailingBytes { .. }), "{more}: {error}");
            disk.write(longer.len() - 1, value);
            disk.assert_refused(&format!("{more} bytes more"));
        }
        disk.file.set_len(bytes.len() as u64).unwrap();
    }
    assert!(Checkpoint::load(&disk.path).is_ok());
}

#[test]
fn every_flipped_bit_is_an_error() {
    let mut bytes = sample();
    let mut disk = OnDisk::new();
    for at in 0..bytes.len() {
        let right = bytes[at];
        for bit in 0..8 {
            bytes[at] = right ^ (1 << bit);
            assert!(Checkpoint::from_bytes(&bytes).is_err(), "bit {bit} of byte {at}");
            disk.write(at, bytes[at]);
            disk.assert_refused(&format!("bit {bit} of byte {at} flipped"));
        }
        bytes[at] = right;
        disk.write(at, right);
    }
    assert!(Checkpoint::from_bytes(&bytes).is_ok() && Checkpoint::load(&disk.path).is_ok());
}

#[test]
fn every_byte_overwritten_by_zeros_or_ones_is_an_error() {
    let mut bytes = sample();
    let mut disk = OnDisk::new();
    for at in 0..bytes.len() {
        let right = bytes[at];
        for value in [0x00, 0xFF] {
            if right != value {
                bytes[at] = value;
                assert!(Checkpoint::from_bytes(&bytes).is_err(), "{value} at byte {at}");
                disk.write(at, value);
                disk.assert_refused(&format!("{value} at byte {at}"));
            }
        }
        bytes[at] = right;
        disk.write(at, right);
    }
    assert!(Checkpoint::load(&disk.path).is_ok());
}

#[test]
fn lost_blocks_are_an_error() {
    let bytes = sample();
    for size in [16, 64, 512] {
        for start in (0..bytes.len()).step_by(size) {
            let mut holed = bytes.clone();
            let end = (start + size).min(holed.len());
            holed[start..end].fill(0);
            if holed != bytes {
                assert!(Checkpoint::from_bytes(&holed).is_err(), "{size} bytes at {start}");
            }
        }
    }
}

#[test]
fn a_foreign_file_is_called_by_its_first_bytes() {
    for (bytes, expected) in [
        (&b""[..], "not a recurrent checkpoint (it is empty)"),
        (b"PK\x03\x04", "not a recurrent checkpoint (it begins with \"PK\\x03\\x04\")"),
        (b"First Citizen:", "not a recurrent checkpoint (it begins with \"First Ci\")"),
        // Line ends changed by a transfer as text.
        (
            b"\x89RNN\n\x1a\n\x01\x00",
            "not a recurrent checkpoint (it begins with \"\\x89RNN\\n\\x1a\\n\\x01\")",
        ),
    ] {
        assert_eq!(Checkpoint::from_bytes(bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_damaged_part_is_named() {
    let bytes = sample();
    let error_at = |at: usize| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        Checkpoint::from_bytes(&damaged).unwrap_err()
    };
    assert!(matches!(error_at(20), FormatError::DamagedPreamble));
    assert!(matches!(error_at(40), FormatError::DamagedHeader));
    assert!(
        matches!(error_at(bytes.len() - 1), FormatError::DamagedSection { name } if name == "weight_ih_l0")
    );
}
