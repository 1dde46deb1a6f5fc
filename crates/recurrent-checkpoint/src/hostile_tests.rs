//! Files whose checksums are right and whose statements are not: made by an enemy, not by decay.

use proptest::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::codec::{self, EntryV1, HeaderV1, Limited, MAX_HEADER_BYTES, MAX_SECTIONS};
use crate::error::FormatError;
use crate::format::{LEAST_BYTES, PREAMBLE_BYTES, Preamble, VERSION, Version};

const HOSTILE: [u64; 9] =
    [0, 1, 63, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 63, u64::MAX];

/// A file with right checksums around a header of any bytes, and `payload` bytes of zero.
fn assemble(preamble: Preamble, header: &[u8], payload: usize) -> Vec<u8> {
    let mut bytes = preamble.encode().to_vec();
    bytes.extend(header);
    bytes.extend(crc32fast::hash(header).to_le_bytes());
    bytes.resize(bytes.len() + payload, 0);
    bytes
}

/// As [`assemble`], with the preamble that fits.
fn with_header(header: &[u8], payload: usize) -> Vec<u8> {
    let header_bytes = header.len() as u64;
    let file_bytes = LEAST_BYTES + header_bytes + payload as u64;
    assemble(Preamble { version: VERSION, flags: 0, header_bytes, file_bytes }, header, payload)
}

fn entry(name: &str) -> EntryV1<'_> {
    // CRC-32 of no bytes is 0.
    EntryV1 { name, element_type: 1, shape: Limited(vec![0]), offset: 0, length: 0, checksum: 0 }
}

/// Places empty sections rightly and gives the file.
fn with_entries(mut entries: Vec<EntryV1<'_>>, change: impl FnOnce(&mut HeaderV1<'_>)) -> Vec<u8> {
    let length = |entries: &Vec<EntryV1<'_>>| {
        24 + entries
            .iter()
            .map(|entry| 40 + entry.name.len() + 8 * entry.shape.0.len())
            .sum::<usize>() as u64
    };
    let header_end = LEAST_BYTES + length(&entries);
    let offset = header_end.next_multiple_of(64);
    for entry in &mut entries {
        entry.offset = offset;
    }
    let payload = if entries.is_empty() { 0 } else { offset - header_end };
    let mut header =
        HeaderV1 { kind: "", metadata: Limited(Vec::new()), sections: Limited(entries) };
    change(&mut header);
    with_header(&codec::encode(&header).unwrap(), payload as usize)
}

fn error(bytes: &[u8]) -> FormatError {
    Checkpoint::from_bytes(bytes).expect_err("a hostile file was accepted")
}

#[test]
fn the_unchanged_file_is_accepted() {
    // Otherwise the refusals below would prove nothing.
    let loaded = Checkpoint::from_bytes(&with_entries(vec![entry("a"), entry("b")], |_| ()));
    assert_eq!(loaded.unwrap().sections().len(), 2);
}

#[test]
fn sections_out_of_order_or_twice_are_refused() {
    for names in [["b", "a"], ["a", "a"]] {
        let bytes = with_entries(names.map(entry).into(), |_| ());
        assert!(matches!(error(&bytes), FormatError::InvalidHeader { .. }), "{names:?}");
    }
}

#[test]
fn metadata_out_of_order_or_twice_is_refused() {
    for keys in [["b", "a"], ["a", "a"]] {
        let mut header =
            HeaderV1 { kind: "", metadata: Limited(Vec::new()), sections: Limited(Vec::new()) };
        header.metadata.0.extend(keys.map(|key| (key, "")));
        let bytes = with_header(&codec::encode(&header).unwrap(), 0);
        assert!(matches!(error(&bytes), FormatError::InvalidHeader { .. }), "{keys:?}");
    }
}

#[test]
fn hostile_entries_are_refused() {
    type Change = fn(&mut EntryV1<'_>, u64);
    let changes: [(&str, Change); 5] = [
        ("length", |entry, value| entry.length = value),
        ("offset", |entry, value| entry.offset = value),
        ("shape", |entry, value| entry.shape.0[0] = value),
        ("shape and length", |entry, value| {
            entry.shape.0[0] = value;
            entry.length = value.wrapping_mul(4);
        }),
        ("element type", |entry, value| entry.element_type = (value as u32).max(6)),
    ];
    for (what, change) in changes {
        for value in HOSTILE {
            if value == 0 && what != "offset" && what != "element type" {
                continue; // It is 0 already.
            }
            for which in 0..2 {
                let bytes = with_entries(vec![entry("a"), entry("b")], |header| {
                    change(&mut header.sections.0[which], value);
                });
                let error = error(&bytes);
                assert!(
                    matches!(
                        error,
                        FormatError::InvalidSection { .. } | FormatError::InvalidHeader { .. }
                    ),
                    "{what} {value}: {error}"
                );
            }
        }
    }
}

#[test]
fn shapes_whose_product_overflows_are_refused() {
    for shape in [vec![1 << 32, 1 << 32], vec![u64::MAX, u64::MAX, 0], vec![1 << 62, 4]] {
        let mut hostile = entry("a");
        hostile.shape = Limited(shape);
        let bytes = with_entries(vec![hostile], |_| ());
        assert!(matches!(error(&bytes), FormatError::InvalidSection { .. }));
    }
}

#[test]
fn holes_and_bytes_behind_the_last_section_are_refused() {
    let mut bytes = with_entries(vec![entry("a")], |header| header.sections.0[0].offset += 64);
    assert!(matches!(error(&bytes), FormatError::InvalidSection { .. }));
    // The file's length is right, but no section covers its end.
    let header = codec::encode(&HeaderV1 {
        kind: "",
        metadata: Limited(Vec::new()),
        sections: Limited(Vec::new()),
    });
    bytes = with_header(&header.unwrap(), 64);
    assert!(matches!(error(&bytes), FormatError::InvalidHeader { .. }));
}

#[test]
fn hostile_preambles_are_refused() {
    let header = [0; 24];
    let right = Preamble {
        version: VERSION,
        flags: 0,
        header_bytes: 24,
        file_bytes: LEAST_BYTES + header.len() as u64,
    };
    assert!(Checkpoint::from_bytes(&assemble(right, &header, 0)).is_ok());
    for value in HOSTILE {
        let long_header = assemble(Preamble { header_bytes: value, ..right }, &header, 0);
        assert!(matches!(
            error(&long_header),
            FormatError::InvalidHeader { .. } | FormatError::DamagedHeader
        ));
        let long_file = assemble(Preamble { file_bytes: value, ..right }, &header, 0);
        assert!(matches!(
            error(&long_file),
            FormatError::Truncated { found: 64, .. } | FormatError::TrailingBytes { found: 64, .. }
        ));
    }
    let flags = assemble(Preamble { flags: 6, ..right }, &header, 0);
    assert_eq!(
        error(&flags).to_string(),
        "needs features that this build does not know (format 1.0 with critical flags 0x00000006; \
         this build reads up to 1.0); update recurrent"
    );
    let version = Version { major: 0, minor: 9 };
    let unreleased = assemble(Preamble { version, ..right }, &header, 0);
    assert!(matches!(error(&unreleased), FormatError::DamagedPreamble));
}

#[test]
fn a_newer_major_version_is_refused_and_a_newer_minor_one_is_read() {
    let mut header = vec![0; 24];
    let file = |version, header: &[u8]| {
        let header_bytes = header.len() as u64;
        let file_bytes = LEAST_BYTES + header_bytes;
        assemble(Preamble { version, flags: 0, header_bytes, file_bytes }, header, 0)
    };
    // What a later minor version may append to the header.
    header.extend(b"something new");
    let minor = Version { major: VERSION.major, minor: VERSION.minor + 1 };
    assert!(Checkpoint::from_bytes(&file(minor, &header)).is_ok());
    assert!(matches!(error(&file(VERSION, &header)), FormatError::InvalidHeader { .. }));

    let major = Version { major: VERSION.major + 1, minor: 0 };
    // The rest may be anything: the version is what a person is told.
    let mut bytes = file(major, &header);
    bytes[20..].fill(0xAA);
    assert_eq!(
        error(&bytes).to_string(),
        "made by a newer version (format 2.0; this build reads up to 1.0); update recurrent"
    );
}

#[test]
fn a_header_above_its_bounds_is_refused() {
    let header = vec![0; MAX_HEADER_BYTES + 1];
    assert!(matches!(error(&with_header(&header, 0)), FormatError::InvalidHeader { .. }));

    // One section more than allowed, all of them plausible, in a file that is large enough.
    let mut header = vec![0; 24];
    header[16..].copy_from_slice(&(MAX_SECTIONS as u64 + 1).to_le_bytes());
    header.resize(24 + 40 * (MAX_SECTIONS + 1), 0);
    assert!(matches!(error(&with_header(&header, 0)), FormatError::InvalidHeader { .. }));
}

/// A small file with everything in it.
fn sample() -> Vec<u8> {
    let mut checkpoint = Checkpoint::new("kind");
    checkpoint.metadata_mut().insert("key".into(), "value".into());
    checkpoint.insert("a", &[2, 3], vec![1.0_f32; 6]);
    checkpoint.insert("b", &[], [7_u64]);
    checkpoint.insert("c", &[0], Vec::<u8>::new());
    checkpoint.to_bytes().unwrap()
}

/// Makes the checksums of preamble and header right again, as far as the lengths allow.
fn repair(bytes: &mut [u8]) {
    let header_bytes = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) as usize;
    if let Some(header) = bytes.get(PREAMBLE_BYTES..PREAMBLE_BYTES.saturating_add(header_bytes)) {
        let checksum = crc32fast::hash(header).to_le_bytes();
        let end = PREAMBLE_BYTES + header_bytes;
        if let Some(place) = bytes.get_mut(end..end + 4) {
            place.copy_from_slice(&checksum);
        }
    }
    let checksum = crc32fast::hash(&bytes[..32]).to_le_bytes();
    bytes[32..PREAMBLE_BYTES].copy_from_slice(&checksum);
}

/// Whatever is accepted is written again as the very same bytes: no file has two spellings, so
/// nothing in an accepted file was ignored.
fn is_refused_or_canonical(bytes: &[u8]) -> bool {
    Checkpoint::from_bytes(bytes).map_or(true, |loaded| loaded.to_bytes().unwrap() == bytes)
}

#[test]
fn hostile_numbers_anywhere_in_the_header_are_refused_or_mean_what_they_say() {
    let sample = sample();
    for at in 12..sample.len() - 8 {
        for value in HOSTILE {
            for width in [1, 2, 4, 8] {
                let mut bytes = sample.clone();
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                repair(&mut bytes);
                assert!(is_refused_or_canonical(&bytes), "{value} in {width} bytes at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn random_changes_with_right_checksums_are_refused_or_canonical(
        changes in prop::collection::vec((12..1000_usize, any::<u8>()), 1..6),
        resize in prop::option::of(36..1000_usize),
    ) {
        let mut bytes = sample();
        if let Some(length) = resize {
            bytes.resize(length, 0);
        }
        for (at, value) in changes {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes[..8].copy_from_slice(&crate::format::MAGIC);
        bytes[8..12].copy_from_slice(&[1, 0, 0, 0]);
        repair(&mut bytes);
        prop_assert!(is_refused_or_canonical(&bytes));
    }

    #[test]
    fn random_bytes_as_a_header_never_panic(header in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = with_header(&header, 0);
        prop_assert!(is_refused_or_canonical(&bytes));
    }
}
