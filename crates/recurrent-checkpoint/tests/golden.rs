//! The golden file of each released format version: this build reads it, and writes the current
//! one byte for byte. `examples/make_golden.rs` made it.

use recurrent_checkpoint::{Checkpoint, inspect};

#[path = "golden/content.rs"]
mod content;

const VERSION_1_0: &[u8] = include_bytes!("golden/version-1.0.ckpt");

#[test]
fn the_same_content_is_written_as_the_same_bytes() {
    assert!(VERSION_1_0.len() <= 64 * 1024);
    let bytes = content::golden_checkpoint().to_bytes().unwrap();
    assert!(bytes == VERSION_1_0, "the writer no longer gives the released bytes of version 1.0");
}

#[test]
fn the_released_file_is_read_and_written_again_unchanged() {
    let loaded = Checkpoint::from_bytes(VERSION_1_0).unwrap();
    assert_eq!(loaded.kind(), "recurrent.golden");
    assert_eq!(loaded.require_metadata("comment"), Ok("größer als \"klein\"\n"));
    assert_eq!(loaded.metadata().len(), 3);
    let names: Vec<_> = loaded.sections().map(|section| section.name()).collect();
    assert_eq!(names, ["f32", "f64", "größe", "nothing", "ramp", "u32", "u64 scalar", "u8/text"]);
    let bits: Vec<_> =
        loaded.values::<f32>("f32", &[2, 4]).unwrap().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, content::F32_BITS);
    let bits: Vec<_> =
        loaded.values::<f64>("f64", &[3]).unwrap().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, content::F64_BITS);
    assert_eq!(loaded.values::<u32>("u32", &[1, 1, 2]).unwrap(), [0, u32::MAX]);
    assert_eq!(loaded.value::<u64>("u64 scalar"), Ok(0x0123_4567_89AB_CDEF));
    assert_eq!(loaded.values::<u8>("u8/text", &[13]).unwrap(), "Zeichen: äß".as_bytes());
    assert!(loaded.values::<f32>("nothing", &[5, 0]).unwrap().is_empty());
    assert_eq!(loaded.values::<f32>("ramp", &[40, 10]).unwrap()[399], 99.75);
    assert!(loaded.to_bytes().unwrap() == VERSION_1_0);
}

#[test]
fn inspect_tells_what_the_released_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.ckpt");
    std::fs::write(&path, VERSION_1_0).unwrap();
    let summary = inspect(&path).unwrap();
    assert!(summary.is_intact());
    assert_eq!(summary.version.to_string(), "1.0");
    assert_eq!(summary.file_bytes, VERSION_1_0.len() as u64);
    let ramp = &summary.sections[4];
    assert_eq!((&*ramp.name, &*ramp.shape, ramp.bytes), ("ramp", &[40, 10][..], 1600));
    assert_eq!(ramp.element_type.to_string(), "f32");

    // A damaged section is shown among the others, which are still verified.
    let mut damaged = VERSION_1_0.to_vec();
    let place = damaged.windows(4).position(|bytes| bytes == 99.5_f32.to_le_bytes()).unwrap();
    damaged[place] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let summary = inspect(&path).unwrap();
    assert!(!summary.is_intact());
    let broken: Vec<_> = summary.sections.iter().filter(|section| !section.intact).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].name, "ramp");
    assert_eq!(
        Checkpoint::load(&path).unwrap_err().to_string(),
        format!(
            "{}: damaged: section `ramp` fails its checksum; use an earlier checkpoint",
            path.display()
        )
    );
}

/// CRC-32 bit by bit, as the page defines it: no table, no instruction of a processor.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}

/// Checksums come from whatever instructions a processor has, and are the same from all: those of
/// the released file, and those of sections long enough for every way of computing them.
#[test]
fn checksums_are_those_of_the_page_whatever_the_processor_computes_them_with() {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    assert_eq!(crc_32(&VERSION_1_0[..32]), number(&VERSION_1_0[32..36]));
    let header_end = 36 + u64::from_le_bytes(VERSION_1_0[16..24].try_into().unwrap()) as usize;
    let header = &VERSION_1_0[36..header_end];
    assert_eq!(crc_32(header), number(&VERSION_1_0[header_end..header_end + 4]));

    for length in (0..300).chain([1 << 12, (1 << 17) + 5]) {
        let values: Vec<u8> = (0..length).map(|at: u32| (at.wrapping_mul(at) / 7) as u8).collect();
        let mut checkpoint = Checkpoint::new("");
        checkpoint.insert("", &[values.len()], &values);
        let bytes = checkpoint.to_bytes().unwrap();
        // Kind, count of metadata, count of sections, name, type, shape, offset, length; then it.
        let at = 36 + 8 + 8 + 8 + 8 + 4 + 16 + 8 + 8;
        assert_eq!(crc_32(&values), number(&bytes[at..at + 4]), "{length} bytes");
        // And numbers are little-endian, whatever the machine's are.
        assert_eq!(bytes[at - 8..at], u64::from(length).to_le_bytes());
    }
}
