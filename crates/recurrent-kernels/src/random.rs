//! Random numbers: one generator with a state of three numbers, and dropout masks by address.
//!
//! The algorithm is ChaCha with 8 rounds (D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008)
//! in its original layout: a key of 256 bits, a stream number of 64 bits, a block counter of 64
//! bits. It is part of what a checkpoint promises: the same seed, stream and position give the
//! same bits on every machine and in every later version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::Real;

/// The last 24 bytes of a generator's key; the seed is the first 8.
const GENERATOR_KEY: [u8; 24] = *b"recurrent: generator (1)";

/// The last 12 bytes of a dropout key, after the seed (8), the site (4) and the step (8).
const DROPOUT_KEY: [u8; 12] = *b"dropout: (1)";

/// A ChaCha8 generator.
///
/// The key is the seed as 8 bytes, least significant first, followed by the ASCII bytes
/// `recurrent: generator (1)`; the stream number is ChaCha's. Take one stream per purpose
/// (initialisation, shuffling, sampling), so that drawing more for one does not shift another.
///
/// How draws use the 32-bit words of the stream is fixed too, and stated with each method.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    stream: u64,
    words: ChaCha8Rng,
}

/// Where a [`Generator`] stands: all that is needed to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorState {
    /// The seed.
    pub seed: u64,
    /// The stream number.
    pub stream: u64,
    /// How many 32-bit words of the stream have been used, below 2^68.
    pub position: u128,
}

/// A position that no generator has, as a damaged file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a random generator's position must be below 2^68, not {position}")]
pub struct PositionError {
    /// The position.
    pub position: u128,
}

impl Generator {
    /// Stream number `stream` of `seed`, from its beginning.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(&GENERATOR_KEY);
        let mut words = ChaCha8Rng::from_seed(key);
        words.set_stream(stream);
        Generator { seed, stream, words }
    }

    /// The generator that stands where `state` says.
    ///
    /// # Errors
    /// [`PositionError`] if the position is not below 2^68, the length of a stream.
    pub fn from_state(state: GeneratorState) -> Result<Self, PositionError> {
        if state.position >= 1 << 68 {
            return Err(PositionError { position: state.position });
        }
        let mut generator = Generator::new(state.seed, state.stream);
        generator.words.set_word_pos(state.position);
        Ok(generator)
    }

    /// Where the generator stands.
    pub fn state(&self) -> GeneratorState {
        GeneratorState { seed: self.seed, stream: self.stream, position: self.words.get_word_pos() }
    }

    /// 32 random bits: one word.
    pub fn next_u32(&mut self) -> u32 {
        self.words.next_u32()
    }

    /// 64 random bits: two words, the low half first.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32());
        high << 32 | low
    }

    /// A number in [0, 1), uniform. Two words, whatever the type: the `f32` is the first 24 bits
    /// of the `f64`, so that a model in `f32` and one in `f64` start from the same numbers.
    pub fn uniform<T: Real>(&mut self) -> T {
        let bits = if size_of::<T>() == size_of::<f32>() { 24 } else { 53 };
        let kept = self.next_u64() >> (64 - bits);
        T::from_f64(libm::ldexp(kept as f64, -bits))
    }

    /// A number from `low` to `high`, uniform; rounding can give `high` itself. Two words.
    ///
    /// # Panics
    /// If `low` is not at most `high`.
    #[track_caller]
    pub fn uniform_between<T: Real>(&mut self, low: T, high: T) -> T {
        assert!(low <= high, "no numbers from {low} to {high}");
        self.uniform::<T>().mul_add(high - low, low)
    }

    /// A number from the standard normal distribution, by Box and Muller's transform (1958) in
    /// f64. Four words; the second number of the pair is not kept, so that the position is all
    /// of the state.
    pub fn normal<T: Real>(&mut self) -> T {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform::<f64>()));
        let angle = std::f64::consts::TAU * self.uniform::<f64>();
        T::from_f64(radius * libm::cos(angle))
    }

    /// An integer in `0..n`, every one equally likely (D. Lemire, "Fast random integer generation
    /// in an interval", 2019). Two words, and two more each time that a draw is refused.
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        let refused = n.wrapping_neg() % n; // 2^64 mod n
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= refused {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts `values` in random order, every order equally likely (Fisher and Yates, from the end).
    pub fn shuffle<V>(&mut self, values: &mut [V]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Inverted dropout with masks by address: whether a number is dropped depends only on the seed
/// and on where it is, never on what was asked before, so backward repeats the mask of forward
/// and threads and the batch's order do not matter.
///
/// Row `r` uses word `r` of the ChaCha8 stream numbered by the sequence, under the key made of
/// seed, site and step (8, 4 and 8 bytes, least significant first) and the ASCII bytes
/// `dropout: (1)`. It is dropped if the word is less than `probability * 2^32`, rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    probability: f64,
    seed: u64,
    /// Words below this drop their row.
    threshold: u64,
}

impl Dropout {
    /// Drops each number with `probability`. Take another `seed` for every pass over the data, or
    /// number steps so that they never repeat.
    ///
    /// # Panics
    /// If `probability` is not in [0, 1).
    #[track_caller]
    pub fn new(probability: f64, seed: u64) -> Self {
        assert!(
            (0.0..1.0).contains(&probability),
            "a dropout probability of {probability} is not in [0, 1)"
        );
        let threshold = libm::round(libm::ldexp(probability, 32)) as u64;
        Dropout { probability, seed, threshold }
    }

    /// The probability of being dropped.
    pub fn probability(&self) -> f64 {
        self.probability
    }

    /// Multiplies each number of `column` by 0 or by `1 / (1 - probability)`.
    ///
    /// `site` is the place in the model, `step` the time step (or any number that tells passes
    /// apart as well), `sequence` the sequence's own number, independent of its place in a batch.
    /// With probability 0 the column stays as it is.
    pub fn apply<T: Real>(&self, site: u32, step: u64, sequence: u64, column: &mut [T]) {
        if self.threshold == 0 {
            return;
        }
        let kept = self.kept();
        self.for_rows(site, step, sequence, column.len(), |row, is_dropped| {
            column[row] *= if is_dropped { T::ZERO } else { kept };
        });
    }

    /// Calls `f` with each of `rows` rows of a column in order, and whether it is dropped.
    #[inline(always)]
    pub fn for_rows(
        &self,
        site: u32,
        step: u64,
        sequence: u64,
        rows: usize,
        mut f: impl FnMut(usize, bool),
    ) {
        let mut words = self.words(site, step, sequence);
        // Words first, then selects: a branch on random bits would be mispredicted half the time.
        let mut block = [0; 64];
        for start in (0..rows).step_by(block.len()) {
            block.fill_with(|| words.next_u32());
            for (row, &word) in (start..rows).zip(&block) {
                f(row, u64::from(word) < self.threshold);
            }
        }
    }
    /// What [`apply`](Self::apply) multiplies row `row` of such a column with, alone.
    pub fn factor<T: Real>(&self, site: u32, step: u64, sequence: u64, row: u32) -> T {
        if self.threshold == 0 {
            return T::ONE;
        }
        let mut words = self.words(site, step, sequence);
        words.set_word_pos(u128::from(row));
        if u64::from(words.next_u32()) < self.threshold { T::ZERO } else { self.kept() }
    }

    /// What a number that is not dropped is multiplied with.
    fn kept<T: Real>(&self) -> T {
        T::from_f64(1.0 / (1.0 - self.probability))
    }

    /// The words of a column, row by row.
    fn words(&self, site: u32, step: u64, sequence: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..12].copy_from_slice(&site.to_le_bytes());
        key[12..20].copy_from_slice(&step.to_le_bytes());
        key[20..].copy_from_slice(&DROPOUT_KEY);
        let mut words = ChaCha8Rng::from_seed(key);
        words.set_stream(sequence);
        words
    }
}
