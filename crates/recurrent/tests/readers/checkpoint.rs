//! A checkpoint's bytes (`docs/checkpoint-format.md`). Nearly every change breaks a checksum and is
//! refused at the first look, so the same bytes are read again with checksums that are right.

use recurrent_checkpoint::{Checkpoint, FormatError, inspect};

use super::{assert_names, crc32, put};

pub(super) fn run(bytes: &[u8]) {
    read(bytes);
    let mut repaired = bytes.to_vec();
    repair(&mut repaired);
    read(&repaired);
}

fn read(bytes: &[u8]) {
    let path = put("a.ckpt", bytes);
    let summary = inspect(&path);
    match Checkpoint::from_bytes(bytes) {
        Ok(checkpoint) => {
            let written = checkpoint.to_bytes().expect("what was read is within the bounds");
            let again = Checkpoint::from_bytes(&written).expect("what is written can be read");
            assert_eq!(again.to_bytes().as_ref(), Ok(&written));
            let summary = summary.expect("what can be loaded can be inspected");
            assert!(summary.is_intact());
            assert_eq!(summary.file_bytes, bytes.len() as u64);
            assert_eq!(
                (&*summary.kind, &summary.metadata),
                (checkpoint.kind(), checkpoint.metadata())
            );
            assert_eq!(summary.sections.len(), checkpoint.sections().len());
            for (told, section) in summary.sections.iter().zip(checkpoint.sections()) {
                assert_eq!((&*told.name, &*told.shape), (section.name(), section.shape()));
                assert_eq!(told.element_type, section.data().element_type());
                let bytes = section.data().len() * told.element_type.bytes();
                assert_eq!(told.bytes, bytes as u64);
            }
            // A later minor version may say more than this one writes.
            if summary.version.to_string() == "1.0" {
                assert!(written == bytes, "version 1.0 has one encoding for each content");
            }
        }
        Err(FormatError::DamagedSection { name }) => {
            // Inspecting goes on behind it, and may find padding that is damaged, too.
            if let Ok(summary) = summary {
                let first = summary.sections.iter().find(|section| !section.intact);
                assert_eq!(first.map(|section| &*section.name), Some(&*name));
            }
        }
        Err(error) => match summary {
            Ok(summary) => panic!("{error}, but inspect says {summary:?}"),
            Err(told) => assert_names(&told, &path),
        },
    }
}

const PREAMBLE: usize = 36;

/// Makes sizes and checksums right, as far as there is something where they should be.
fn repair(bytes: &mut [u8]) -> Option<()> {
    let size = bytes.len() as u64;
    bytes.get_mut(24..32)?.copy_from_slice(&size.to_le_bytes());
    let header = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    let checksum = crc32(bytes.get(..32)?);
    bytes.get_mut(32..PREAMBLE)?.copy_from_slice(&checksum.to_le_bytes());
    let end = usize::try_from(header).ok()?.checked_add(PREAMBLE)?;
    bytes.get(..end)?;
    sections(bytes, end);
    let checksum = crc32(&bytes[PREAMBLE..end]);
    bytes.get_mut(end..end + 4)?.copy_from_slice(&checksum.to_le_bytes());
    Some(())
}

/// Makes the sections' checksums right, up to the first entry that is cut off.
fn sections(bytes: &mut [u8], end: usize) -> Option<()> {
    let mut at = PREAMBLE;
    text(bytes, &mut at, end)?;
    for _ in 0..2 * number(bytes, &mut at, end)?.min(1 << 20) {
        text(bytes, &mut at, end)?;
    }
    for _ in 0..number(bytes, &mut at, end)? {
        text(bytes, &mut at, end)?;
        at += 4;
        let dimensions = number(bytes, &mut at, end)?;
        at = at.checked_add(dimensions.checked_mul(8)?)?;
        let offset = number(bytes, &mut at, end)?;
        let length = number(bytes, &mut at, end)?;
        let values = bytes.get(offset..offset.checked_add(length)?).map(crc32);
        if let Some(checksum) = values {
            bytes[..end].get_mut(at..at + 4)?.copy_from_slice(&checksum.to_le_bytes());
        }
        at += 4;
    }
    Some(())
}

fn number(bytes: &[u8], at: &mut usize, end: usize) -> Option<usize> {
    let value = bytes[..end].get(*at..at.checked_add(8)?)?;
    *at += 8;
    usize::try_from(u64::from_le_bytes(value.try_into().ok()?)).ok()
}

fn text(bytes: &[u8], at: &mut usize, end: usize) -> Option<()> {
    let length = number(bytes, at, end)?;
    *at = at.checked_add(length).filter(|&at| at <= end)?;
    Some(())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut of_each = Checkpoint::new("recurrent.language-model");
    of_each.metadata_mut().insert("settings".into(), "{\"cell\":\"lstm\"}".into());
    of_each.metadata_mut().insert("vocabulary".into(), "{\"char\":\"abc\"}".into());
    of_each.insert("counters", &[3], [5_u64, 6, 7]);
    of_each.insert("losses", &[3], [0.5, f64::NAN, f64::INFINITY]);
    of_each.insert("parameters/readout.bias", &[1, 2], [1.0_f32, -0.0]);
    of_each.insert("text", &[2, 1], *b"ab");
    of_each.insert("u32", &[], [9_u32]);
    let mut nothing = Checkpoint::new("");
    nothing.insert("nothing", &[5, 0], Vec::<f32>::new());
    let golden = include_bytes!("../../../recurrent-checkpoint/tests/golden/version-1.0.ckpt");
    let made = [Checkpoint::new("k"), nothing, of_each];
    let made = made.iter().map(|checkpoint| checkpoint.to_bytes().expect("it is small"));
    made.chain([golden.to_vec()]).collect()
}
