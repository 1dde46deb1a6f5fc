//! Decay: no truncation, appended byte, flipped bit or overwritten byte goes unnoticed.

use recurrent_checkpoint::{Checkpoint, FormatError};

/// Between 2 and 4 KiB, with padding of every kind of neighbour.
fn sample() -> Vec<u8> {
    let mut checkpoint = Checkpoint::new("recurrent.language-model");
    checkpoint.metadata_mut().insert("cell".into(), "lstm".into());
    checkpoint.insert("weight_ih_l0", &[16, 8], (0..128).map(|i| i as f32).collect::<Vec<_>>());
    checkpoint.insert("weight_hh_l0", &[16, 4], vec![f64::MIN_POSITIVE; 64]);
    checkpoint.insert("step", &[], [12_345_u64]);
    checkpoint.insert("empty", &[0], Vec::<u32>::new());
    checkpoint.insert("vocabulary", &[500], (0..500).map(|i| i as u8).collect::<Vec<_>>());
    let bytes = checkpoint.to_bytes().unwrap();
    assert!((2048..=4096).contains(&bytes.len()), "{}", bytes.len());
    bytes
}

#[test]
fn truncation_at_every_length_is_an_error() {
    let bytes = sample();
    for length in 0..bytes.len() {
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
    for more in 1..=64 {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        let error = Checkpoint::from_bytes(&longer).unwrap_err();
        assert!(matches!(error, FormatError::TrailingBytes { .. }), "{more}: {error}");
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let mut bytes = sample();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(Checkpoint::from_bytes(&bytes).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
    assert!(Checkpoint::from_bytes(&bytes).is_ok());
}

#[test]
fn every_byte_overwritten_by_zeros_or_ones_is_an_error() {
    let mut bytes = sample();
    for at in 0..bytes.len() {
        for value in [0x00, 0xFF] {
            let right = std::mem::replace(&mut bytes[at], value);
            if right != value {
                assert!(Checkpoint::from_bytes(&bytes).is_err(), "{value} at byte {at}");
            }
            bytes[at] = right;
        }
    }
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
