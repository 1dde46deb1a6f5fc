//! Drawn content for checkpoints: any names, types and bits.

use proptest::prelude::*;
use recurrent_checkpoint::Data;

/// Values of any type, by their bits: every NaN is among them.
fn data() -> impl Strategy<Value = Data<'static>> {
    // Above 16 KiB now and then, where values are handled in several runs.
    let length = prop_oneof![4 => 0..40_usize, 1 => 4000..5000_usize];
    length.prop_flat_map(|length| {
        prop_oneof![
            prop::collection::vec(any::<u32>().prop_map(f32::from_bits), length).prop_map_into(),
            prop::collection::vec(any::<u64>().prop_map(f64::from_bits), length).prop_map_into(),
            prop::collection::vec(any::<u64>(), length).prop_map_into(),
            prop::collection::vec(any::<u32>(), length).prop_map_into(),
            prop::collection::vec(any::<u8>(), length * 5).prop_map_into(),
        ]
    })
}

/// A shape of `count` values, with dimensions drawn from the divisors.
fn shape(count: usize, seeds: &[usize]) -> Vec<usize> {
    let mut left = count;
    let mut shape = Vec::new();
    for &seed in seeds {
        let size = 1 + seed % 7;
        if left != 0 && left.is_multiple_of(size) {
            shape.push(size);
            left /= size;
        }
    }
    if left != 1 || shape.len() % 2 == 1 {
        shape.push(left);
    }
    shape
}

/// A name, a shape and values.
pub(crate) type Part = (String, Vec<usize>, Data<'static>);

/// Sections of any names, shapes and values.
pub(crate) fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::btree_map(
        ".{0,12}",
        (data(), prop::collection::vec(any::<usize>(), 0..4)),
        0..6,
    )
    .prop_map(|sections| {
        let part = |(name, (data, seeds)): (String, (Data<'static>, Vec<usize>))| {
            (name, shape(data.len(), &seeds), data)
        };
        sections.into_iter().map(part).collect()
    })
}
