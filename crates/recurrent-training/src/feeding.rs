//! What a decoder reads while it learns to write: always the same token, what it wrote itself, or
//! what it should have written.

use recurrent_kernels::loss::IGNORED;
use recurrent_kernels::random::{Generator, GeneratorState};
use recurrent_kernels::{Columns, Real};
use recurrent_topologies::{Lengths, TokenStream};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// The sequences that a batch of decoders should write, and the token that they begin from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The tokens to write, in the order of columns ([`Lengths::arrange`]). The last of each sequence
    /// is mostly the end token.
    pub tokens: Vec<u32>,
    /// The length of each sequence.
    pub lengths: Lengths,
    /// What is read before the first token.
    pub start: u32,
}

impl Targets {
    /// One target for each of `sequences`, in their order.
    ///
    /// # Panics
    /// If there is no sequence, or one without tokens or with [`IGNORED`] among them.
    #[track_caller]
    pub fn new(sequences: &[impl AsRef<[u32]>], start: u32) -> Self {
        let ignored = |tokens: &[u32]| tokens.contains(&IGNORED);
        if let Some(at) = sequences.iter().position(|tokens| ignored(tokens.as_ref())) {
            panic!("target {at} has a token to be ignored, which a decoder cannot read");
        }
        let lengths: Vec<usize> = sequences.iter().map(|tokens| tokens.as_ref().len()).collect();
        let lengths = Lengths::new(&lengths);
        Targets { tokens: lengths.arrange(sequences), lengths, start }
    }

    /// The start token at every step.
    pub fn dummy(&self) -> Vec<u32> {
        vec![self.start; self.tokens.len()]
    }

    /// At every step the true token of the step before; at the first the start token.
    pub fn truth(&self) -> Vec<u32> {
        let offsets = self.lengths.offsets();
        let mut read = vec![self.start; self.lengths.width(0)];
        for t in 1..self.lengths.steps() {
            let before = offsets[t - 1]..offsets[t - 1] + self.lengths.width(t);
            read.extend_from_slice(&self.tokens[before]);
        }
        read
    }

    /// A free run of `stream`, which has a row for each target in the caller's order: at every step
    /// but the first it reads the true token of the step before where `truth(sequence, step)` says
    /// so, and else the one that it found most likely there, of equal ones the first.
    ///
    /// # Panics
    /// If the stream has another number of rows.
    #[track_caller]
    pub fn mixed<T: Real>(
        &self,
        stream: &mut impl TokenStream<T>,
        truth: impl Fn(usize, usize) -> bool,
    ) -> Vec<u32> {
        let (rows, batch) = (stream.batch(), self.lengths.batch());
        assert!(rows == batch, "a stream of {rows} rows cannot write {batch} targets");
        let (order, offsets) = (self.lengths.order(), self.lengths.offsets());
        // In sorted order the targets that go on are always the first rows.
        stream.select(order);
        let mut read = vec![self.start; batch];
        for t in 1..self.lengths.steps() {
            let width = self.lengths.width(t);
            let logits = stream.step(&read[offsets[t - 1]..]);
            for place in 0..width {
                let token = match truth(order[place], t) {
                    true => self.tokens[offsets[t - 1] + place],
                    false => most_likely(logits.column(place)),
                };
                read.push(token);
            }
            if width < self.lengths.width(t - 1) {
                stream.select(&(0..width).collect::<Vec<_>>());
            }
        }
        read
    }
}

/// The first of the largest.
fn most_likely<T: Real>(logits: &[T]) -> u32 {
    let larger = |best: usize, k: usize| if logits[k] > logits[best] { k } else { best };
    (1..logits.len()).fold(0, larger) as u32
}

/// What the decoder reads at each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feed {
    /// The start token at every step: the decoder sees nothing of what was written, and must
    /// remember it. Whoever writes with such a model feeds it the start token too ([`DummyFed`]).
    Dummy,
    /// What it found most likely at the step before.
    Output,
    /// What was true at the step before (teacher forcing: Williams and Zipser 1989), or sometimes
    /// its own output.
    Truth {
        /// How often the truth.
        teacher_forcing: TeacherForcing,
    },
}

/// A stream of a model that learnt with [`Feed::Dummy`]: whatever it is given, it reads the start
/// token.
#[derive(Clone, Debug)]
pub struct DummyFed<S> {
    stream: S,
    start: u32,
    read: Vec<u32>,
}

impl<S> DummyFed<S> {
    /// Makes `stream` read `start` at every step.
    pub fn new(stream: S, start: u32) -> Self {
        DummyFed { stream, start, read: Vec::new() }
    }
}

impl<T: Real, S: TokenStream<T>> TokenStream<T> for DummyFed<S> {
    fn batch(&self) -> usize {
        self.stream.batch()
    }
    fn step(&mut self, tokens: &[u32]) -> Columns<'_, T> {
        self.read.clear();
        self.read.resize(tokens.len(), self.start);
        self.stream.step(&self.read)
    }
    fn select(&mut self, columns: &[usize]) {
        self.stream.select(columns);
    }
}

/// How often a decoder reads the truth and not its own output: scheduled sampling (Bengio et al.
/// 2015, "Scheduled sampling for sequence prediction with recurrent neural networks"). Each token is
/// a coin flip of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum TeacherForcing {
    /// The same share at every step of the training.
    Constant {
        /// The share, in [0, 1].
        ratio: f64,
    },
    /// It falls evenly from 1 to `floor` and stays there.
    Linear {
        /// The lowest share, in [0, 1].
        floor: f64,
        /// After how many steps of the training it is reached; at least 1.
        steps: u64,
    },
    /// `k / (k + e^(i / k))` at step i.
    InverseSigmoid {
        /// At least 1: the larger, the later the share falls. It is near a half at step k ln k.
        k: f64,
    },
}

impl TeacherForcing {
    /// The truth, always.
    pub const ALWAYS: TeacherForcing = TeacherForcing::Constant { ratio: 1.0 };

    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (field, range, value, holds) = match *self {
            TeacherForcing::Constant { ratio } => {
                ("the share of true tokens", "between 0 and 1", ratio, (0.0..=1.0).contains(&ratio))
            }
            TeacherForcing::Linear { floor, .. } if !(0.0..=1.0).contains(&floor) => {
                ("the lowest share of true tokens", "between 0 and 1", floor, false)
            }
            TeacherForcing::Linear { steps, .. } => {
                let field = "the steps until the lowest share of true tokens";
                (field, "at least 1", steps as f64, steps > 0)
            }
            TeacherForcing::InverseSigmoid { k } => {
                let holds = k.is_finite() && k >= 1.0;
                ("k of the inverse sigmoid", "finite and at least 1", k, holds)
            }
        };
        if holds { Ok(()) } else { Err(ConfigError::Range { field, range, value }) }
    }

    /// The share of true tokens at `step`, counted from 0.
    pub fn ratio(&self, step: u64) -> f64 {
        match *self {
            TeacherForcing::Constant { ratio } => ratio,
            TeacherForcing::Linear { floor, steps } => {
                let progress = (step as f64 / steps as f64).min(1.0);
                1.0 - (1.0 - floor) * progress
            }
            TeacherForcing::InverseSigmoid { k } => k / (k + libm::exp(step as f64 / k)),
        }
    }
}

impl Default for TeacherForcing {
    fn default() -> Self {
        TeacherForcing::ALWAYS
    }
}

/// Streams of the seed from here on hold coins: those below are other purposes'.
const FIRST_COIN_STREAM: u64 = 1 << 63;

/// A sequence has this many words for its coins: two for each time step.
const WORDS_OF_A_SEQUENCE: u128 = 1 << 32;

impl Feed {
    /// The truth, always: plain teacher forcing.
    pub const TRUTH: Feed = Feed::Truth { teacher_forcing: TeacherForcing::ALWAYS };

    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            Feed::Dummy | Feed::Output => Ok(()),
            Feed::Truth { teacher_forcing } => teacher_forcing.check(),
        }
    }

    /// What the decoder reads at `step` of a training, counted from 0, arranged as the targets are.
    /// Where some of it is the model's own output, `stream` makes the model as it writes, with a row
    /// for each target in the caller's order. Nothing learns from which token was chosen.
    ///
    /// The coin of a token depends on `seed`, `step`, the sequence's number in the batch as the
    /// caller gave it, and the time step alone.
    pub fn inputs<T: Real, S: TokenStream<T>>(
        &self,
        targets: &Targets,
        (seed, step): (u64, u64),
        stream: impl FnOnce() -> S,
    ) -> Vec<u32> {
        match *self {
            Feed::Dummy => targets.dummy(),
            Feed::Output => targets.mixed(&mut stream(), |_, _| false),
            Feed::Truth { teacher_forcing } => {
                let ratio = teacher_forcing.ratio(step);
                if ratio >= 1.0 {
                    return targets.truth();
                }
                targets.mixed(&mut stream(), |sequence, t| coin(seed, step, sequence, t) < ratio)
            }
        }
    }

    /// What the decoder reads when it is measured: as [`inputs`](Self::inputs), but where it learns
    /// from the truth it is measured on the truth alone.
    pub fn evaluation_inputs<T: Real, S: TokenStream<T>>(
        &self,
        targets: &Targets,
        stream: impl FnOnce() -> S,
    ) -> Vec<u32> {
        match self {
            Feed::Dummy | Feed::Output => self.inputs(targets, (0, 0), stream),
            Feed::Truth { .. } => targets.truth(),
        }
    }
}

/// A number in [0, 1) with an address.
fn coin(seed: u64, step: u64, sequence: usize, t: usize) -> f64 {
    let position = sequence as u128 * WORDS_OF_A_SEQUENCE + 2 * t as u128;
    let stream = FIRST_COIN_STREAM.wrapping_add(step);
    let generator = Generator::from_state(GeneratorState { seed, stream, position });
    // A batch has fewer than 2^36 sequences.
    generator.expect("the position is below 2^68").uniform()
}
