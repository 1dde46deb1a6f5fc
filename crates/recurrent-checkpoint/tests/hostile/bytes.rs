//! Checkpoint files of at most 1 KiB written by hand from `docs/checkpoint-format.md`, with right
//! checksums around statements that may be wrong. Nothing of the crate's writer is used.

use std::ops::Range;

/// A section as the page describes it.
#[derive(Clone)]
struct Part {
    name: &'static str,
    element_type: u32,
    shape: Vec<u64>,
    /// Added to the right offset.
    shift: i64,
    values: Vec<u8>,
}

/// A file, and where each integer of its preamble and header lies.
struct Sheet {
    bytes: Vec<u8>,
    fields: Vec<(String, Range<usize>)>,
}

impl Sheet {
    fn number(&mut self, name: impl Into<String>, bytes: &[u8]) {
        self.fields.push((name.into(), self.bytes.len()..self.bytes.len() + bytes.len()));
        self.bytes.extend(bytes);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.number(format!("length of {name}"), &(text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn new(metadata: &[(&str, &str)], parts: &[Part], appended: &[u8]) -> Self {
        let texts: usize = metadata.iter().map(|(key, value)| 16 + key.len() + value.len()).sum();
        let entries: usize =
            parts.iter().map(|part| 40 + part.name.len() + 8 * part.shape.len()).sum();
        let header_end = 36 + 8 + 4 + 8 + texts + 8 + entries + appended.len();

        let mut places = Vec::new();
        let mut end = header_end + 4;
        for part in parts {
            places.push(end.next_multiple_of(64));
            end = end.next_multiple_of(64) + part.values.len();
        }

        let mut sheet = Self { bytes: b"\x89RNN\r\n\x1a\n".to_vec(), fields: Vec::new() };
        sheet.number("major version", &1_u16.to_le_bytes());
        sheet.number("minor version", &0_u16.to_le_bytes());
        sheet.number("critical flags", &0_u32.to_le_bytes());
        sheet.number("length of the header", &(header_end as u64 - 36).to_le_bytes());
        sheet.number("length of the file", &(end as u64).to_le_bytes());
        sheet.bytes.extend([0; 4]);
        sheet.text("the kind", "kind");
        sheet.number("count of metadata", &(metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            sheet.text("a key", key);
            sheet.text("a value", value);
        }
        sheet.number("count of sections", &(parts.len() as u64).to_le_bytes());
        for (part, &place) in parts.iter().zip(&places) {
            sheet.text("a name", part.name);
            sheet.number("element type", &part.element_type.to_le_bytes());
            sheet.number("count of dimensions", &(part.shape.len() as u64).to_le_bytes());
            for size in &part.shape {
                sheet.number("dimension", &size.to_le_bytes());
            }
            let offset = (place as u64).wrapping_add_signed(part.shift);
            sheet.number("offset of a section", &offset.to_le_bytes());
            sheet.number("length of a section", &(part.values.len() as u64).to_le_bytes());
            let checksum = crc32fast::hash(&part.values);
            sheet.number("checksum of a section", &checksum.to_le_bytes());
        }
        sheet.bytes.extend(appended);
        assert_eq!(sheet.bytes.len(), header_end);
        sheet.bytes.extend([0; 4]);
        for (part, place) in parts.iter().zip(places) {
            sheet.bytes.resize(place, 0);
            sheet.bytes.extend(&part.values);
        }
        assert!(sheet.bytes.len() <= 1024);
        repair(&mut sheet.bytes);
        sheet
    }

    /// The file with another value in the field `at`.
    fn with(&self, field: &Range<usize>, value: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[field.clone()].copy_from_slice(&value.to_le_bytes()[..field.len()]);
        repair(&mut bytes);
        bytes
    }

    fn field(&self, name: &str) -> Range<usize> {
        self.fields.iter().find(|(field, _)| field == name).unwrap().1.clone()
    }
}

/// Makes the checksums of preamble and header right, as far as the lengths allow.
fn repair(bytes: &mut [u8]) {
    let length = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    let end = usize::try_from(length).ok().and_then(|length| length.checked_add(36));
    if let Some(end) = end.filter(|end| end.saturating_add(4) <= bytes.len()) {
        let checksum = crc32fast::hash(&bytes[36..end]).to_le_bytes();
        bytes[end..end + 4].copy_from_slice(&checksum);
    }
    let checksum = crc32fast::hash(&bytes[..32]).to_le_bytes();
    bytes[32..36].copy_from_slice(&checksum);
}

fn parts() -> Vec<Part> {
    let part = |name, element_type, shape: &[u64], bytes: usize| Part {
        name,
        element_type,
        shape: shape.to_vec(),
        shift: 0,
        values: vec![0x3F; bytes],
    };
    vec![part("a", 1, &[2, 3], 24), part("b", 5, &[], 8), part("c", 3, &[1, 1, 70], 70)]
}

const METADATA: [(&str, &str); 2] = [("key", "value"), ("other", "")];

/// Files that are right, each with what it is: otherwise refusing the others would prove nothing.
pub(crate) fn right_files() -> Vec<(String, Vec<u8>)> {
    let sheet = Sheet::new(&METADATA, &parts(), b"");
    let newer = Sheet::new(&METADATA, &parts(), b"what a later version appends");
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    vec![
        named("with sections", sheet.bytes.clone()),
        named("empty", Sheet::new(&[], &[], b"").bytes),
        named("newer minor version", sheet.with(&sheet.field("minor version"), 7)),
        named("newer header", newer.with(&newer.field("minor version"), 1)),
        named("newest header", newer.with(&newer.field("minor version"), u64::MAX)),
    ]
}

/// Files that must be refused, each with what is wrong in it.
pub(crate) fn hostile_files() -> Vec<(String, Vec<u8>)> {
    let sheet = Sheet::new(&METADATA, &parts(), b"");
    let mut files = Vec::new();
    for (name, field) in &sheet.fields {
        let mut right = [0; 8];
        right[..field.len()].copy_from_slice(&sheet.bytes[field.clone()]);
        let right = u64::from_le_bytes(right);
        let near = [right.wrapping_sub(1), right + 1, right + 64, right * 2];
        let far = [0, 1, 63, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 63, u64::MAX];
        // The bounds of dimensions, entries and the header, which a reader may trust too far.
        let bounds = [16, 17, 16_384, 16_385, 1 << 24, (1 << 24) + 1];
        for value in near.into_iter().chain(bounds).chain(far) {
            let bytes = sheet.with(field, value);
            // A value that is right again in so few bytes, and the one field that may be larger.
            if bytes != sheet.bytes && name != "minor version" {
                files.push((format!("{name} {right}: {value}"), bytes));
            }
        }
    }

    let mut with_parts = |what: &str, change: fn(&mut Vec<Part>)| {
        let mut parts = parts();
        change(&mut parts);
        files.push((what.to_owned(), Sheet::new(&METADATA, &parts, b"").bytes));
    };
    with_parts("a section twice", |parts| parts[1] = parts[0].clone());
    with_parts("sections out of order", |parts| parts.swap(0, 2));
    with_parts("a section upon another", |parts| parts[1].shift = -64);
    with_parts("a section upon the header", |parts| parts[0].shift = -64);
    with_parts("a section inside another", |parts| parts[2].shift = -60);
    with_parts("a hole", |parts| parts[2].shift = 64);
    with_parts("a section that is not aligned", |parts| parts[2].shift = 4);
    with_parts("sections that change places", |parts| {
        parts[0].shift = 64;
        parts[1].shift = -64;
    });
    with_parts("too many dimensions", |parts| parts[1].shape = vec![1; 17]);
    with_parts("a shape whose product overflows", |parts| parts[0].shape = vec![1 << 32, 1 << 32]);
    with_parts("a shape that overflows before its zero", |parts| {
        parts[0] = Part { shape: vec![1 << 63, 2, 0], values: Vec::new(), ..parts[0].clone() };
    });
    with_parts("a shape whose bytes overflow", |parts| {
        parts[0] = Part { shape: vec![1 << 62], values: Vec::new(), ..parts[0].clone() };
    });

    let with_metadata = |what: &str, metadata: &[(&str, &str)]| {
        (what.to_owned(), Sheet::new(metadata, &parts(), b"").bytes)
    };
    files.push(with_metadata("a key twice", &[("key", "a"), ("key", "b")]));
    files.push(with_metadata("keys out of order", &[("other", ""), ("key", "")]));
    files.push(("bytes behind the header".to_owned(), Sheet::new(&[], &[], b"more").bytes));
    for name in ["length of the kind", "length of a value", "length of a name"] {
        let mut bytes = sheet.bytes.clone();
        bytes[sheet.field(name).end] = 0xFF;
        repair(&mut bytes);
        files.push((format!("{name}: not UTF-8"), bytes));
    }
    for at in [sheet.field("checksum of a section").end, sheet.bytes.len() - 71] {
        // Behind the last entry comes the header's checksum; before the last values, padding.
        let mut bytes = sheet.bytes.clone();
        bytes[at] ^= 1;
        files.push((format!("byte {at}"), bytes));
    }
    files
}
