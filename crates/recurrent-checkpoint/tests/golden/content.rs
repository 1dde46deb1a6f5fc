//! What the golden file of format version 1 holds: every element type, and values whose bits are
//! easily lost. Shared by `examples/make_golden.rs` and `tests/golden.rs`.

use recurrent_checkpoint::Checkpoint;

pub(crate) const F32_BITS: [u32; 8] = [
    0x0000_0000, // 0
    0x8000_0000, // -0
    0x0000_0001, // the least subnormal
    0x3F80_0000, // 1
    0x7F80_0000, // infinity
    0xFF80_0000, // -infinity
    0x7FC0_0000, // the usual NaN
    0xFFA5_A5A5, // a signalling NaN with a payload
];

pub(crate) const F64_BITS: [u64; 3] =
    [0x8000_0000_0000_0000, 0x000F_FFFF_FFFF_FFFF, 0x7FF4_DEAD_BEEF_CAFE];

pub(crate) fn golden_checkpoint() -> Checkpoint<'static> {
    let mut checkpoint = Checkpoint::new("recurrent.golden");
    checkpoint.metadata_mut().insert("cell".into(), "lstm".into());
    checkpoint.metadata_mut().insert("comment".into(), "größer als \"klein\"\n".into());
    checkpoint.metadata_mut().insert("empty".into(), String::new());
    checkpoint.insert("f32", &[2, 4], F32_BITS.map(f32::from_bits));
    checkpoint.insert("f64", &[3], F64_BITS.map(f64::from_bits));
    checkpoint.insert("u8/text", &[13], "Zeichen: äß".as_bytes());
    checkpoint.insert("u32", &[1, 1, 2], [0_u32, u32::MAX]);
    checkpoint.insert("u64 scalar", &[], [0x0123_4567_89AB_CDEF_u64]);
    checkpoint.insert("nothing", &[5, 0], Vec::<f32>::new());
    checkpoint.insert("größe", &[17], (0..17).map(|i| f64::from(i) / 8.0).collect::<Vec<_>>());
    checkpoint.insert("ramp", &[40, 10], (0..400).map(|i| i as f32 * 0.25).collect::<Vec<_>>());
    checkpoint
}
