//! Choices by chance, and the part that something belongs to: the same on every machine.

use super::Part;

/// Choices by chance (SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The choices of one part of the data set `name`, independent of all others'.
    pub(super) fn of_part(seed: u64, name: &str, part: Part) -> Chance {
        Chance(hash(seed, &[name, part.of(["train", "valid", "test"])]))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `n`, each as likely as the next to within `n / 2^64`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A number of `least..=most`.
    pub(super) fn between(&mut self, least: i32, most: i32) -> i32 {
        least + self.below((most - least + 1) as usize) as i32
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Brings the items into an order by chance, each as likely as the next (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A number of mean 0 and variance 1, nearly normal: the sum of twelve uniform numbers, less
    /// their mean. (The usual ways to a normal number need a logarithm, which differs from
    /// machine to machine.)
    pub(super) fn normal(&mut self) -> f64 {
        let sum: u64 = (0..12).map(|_| self.bits() >> 32).sum();
        sum as f64 / 4_294_967_296.0 - 6.0
    }
}

/// The part that `key` belongs to in the data set `name`, whatever else is drawn: a tenth of all
/// keys are for validation and a tenth for the test.
pub(super) fn part_of(seed: u64, name: &str, key: &str) -> Part {
    match drawn(seed, &["parts", name, key], 10) {
        0 => Part::Valid,
        1 => Part::Test,
        _ => Part::Train,
    }
}

/// A number below `n` that depends on the words alone.
pub(super) fn drawn(seed: u64, words: &[&str], n: usize) -> usize {
    Chance(hash(seed, words)).below(n)
}

/// FNV-1a of the words, one after another, begun from the seed.
fn hash(seed: u64, words: &[&str]) -> u64 {
    let start = Chance(seed).bits();
    // A byte that is in no text parts the words.
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0xFF]));
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
