//! Which examples are held out where no file for it is given.

use super::DataError;
use std::collections::BTreeSet;

/// Divides examples into those to train on and those held out: a tenth of the different keys,
/// rounded down, at least one. Examples with equal keys stay together, so with the input as the
/// key nothing is asked that was in the training. Which keys are held out follows from the set of
/// keys alone: those with the lowest hashes; the order of the examples does not matter, and is
/// kept on both sides.
///
/// `name` is the data as the person named them, `key_name` what the message calls a key.
///
/// # Errors
/// [`DataError::NoExamples`], or [`DataError::OneKey`] when all keys are equal.
pub fn split_by_key<T>(
    name: &str,
    key_name: &'static str,
    examples: Vec<T>,
    key: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, Vec<T>), DataError> {
    // Sorted by hash; the key itself decides between equal hashes.
    let keys: BTreeSet<(u64, &str)> =
        examples.iter().map(|example| (hash(key(example)), key(example))).collect();
    let border = match keys.len() {
        0 => return Err(DataError::NoExamples { name: name.to_owned() }),
        1 => return Err(DataError::OneKey { name: name.to_owned(), key: key_name }),
        count => (count / 10).max(1),
    };
    let held_out: Vec<bool> = match keys.iter().nth(border) {
        Some(first_kept) => examples.iter().map(|e| (hash(key(e)), key(e)) < *first_kept).collect(),
        None => unreachable!("a tenth is less than all of two keys or more"),
    };
    let (mut train, mut valid) = (Vec::new(), Vec::new());
    for (example, held_out) in examples.into_iter().zip(held_out) {
        if held_out { valid.push(example) } else { train.push(example) }
    }
    Ok((train, valid))
}

/// 64-bit FNV-1a of the bytes, then the finaliser of MurmurHash3, because the high bits of FNV-1a
/// change little with a text's last characters. Fixed for all time: a run that is resumed or
/// evaluated must find the parts it was trained with.
fn hash(text: &str) -> u64 {
    let mut bits = text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}
