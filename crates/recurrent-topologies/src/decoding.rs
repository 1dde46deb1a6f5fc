//! From a model that is stepped to whole sequences: by drawing each token, or by beam search.

use recurrent_kernels::{Columns, Real};

mod sampler;
pub use sampler::{Sampler, Sampling, SamplingError};

mod constraints;
pub use constraints::Constraints;

mod generate;
pub use generate::sample;

mod beam;
pub use beam::{Beam, beam_search};

/// A model that reads one token of every sequence and tells how likely each next one is.
///
/// What it says of a sequence must not depend on the others that run beside it.
pub trait TokenStream<T: Real> {
    /// How many sequences run side by side.
    fn batch(&self) -> usize;
    /// Reads one token of every sequence and gives the logits: classes x batch.
    fn step(&mut self, tokens: &[u32]) -> Columns<'_, T>;
    /// Sequence j becomes what sequence `columns[j]` is now: finished ones leave, beams fork.
    fn select(&mut self, columns: &[usize]);
}

/// Why a sequence has no further token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model said the end token.
    EndToken,
    /// It is as long as it may be. Whether the end token would have come next was not asked.
    MaximumLength,
    /// Every token was banned, or impossible by the model. The sequence may then be shorter than
    /// the minimum length.
    NothingLeft,
}

/// A sequence that a model made.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// What came after the first token, forced tokens included, the end token left out.
    pub tokens: Vec<u32>,
    /// The logarithm of the probability that the model gives to these tokens, and to the end token
    /// if it ended with it: a sum over log-softmax of the model's own logits, in nats. Bans,
    /// temperature, top-k and top-p do not change it, and forced tokens count.
    pub log_probability: f64,
    /// Why it has no further token.
    pub ended: Ended,
}

/// Why a sequence cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodingError {
    /// There is no length between.
    #[error(
        "the minimum length of {minimum} tokens is above the maximum of {maximum}; lower the one or \
         raise the other"
    )]
    Lengths {
        /// The minimum length.
        minimum: usize,
        /// The maximum length.
        maximum: usize,
    },
    /// Nothing could be said.
    #[error("the maximum length must be at least 1, not 0")]
    NoLength,
    /// The prefix alone is longer than the whole may be.
    #[error(
        "the forced prefix has {length} tokens, more than the maximum length of {maximum}; shorten \
         it or raise the maximum"
    )]
    PrefixLength {
        /// How many tokens are forced.
        length: usize,
        /// The maximum length.
        maximum: usize,
    },
    /// Nothing comes after the end token.
    #[error("the forced prefix holds the end token {0}; leave it out, nothing can follow it")]
    EndInPrefix(u32),
    /// A token is forced and banned at once.
    #[error("token {0} is banned and in the forced prefix; take it out of one of them")]
    BannedInPrefix(u32),
    /// The prefix does what it must not.
    #[error(
        "the forced prefix says the same {size} tokens twice, which the ban on repeated n-grams \
         forbids; change the prefix or the size"
    )]
    RepeatInPrefix {
        /// Tokens of an n-gram.
        size: usize,
    },
    /// An end token that cannot come.
    #[error("the end token {0} is banned; if it shall never come, have no end token")]
    EndBanned(u32),
    /// Every sequence repeats nothing.
    #[error("n-grams that must not repeat have at least 1 token, not 0")]
    NGram,
    /// A constraint names a token that the model does not know.
    #[error("the {what} has token {token}, and the model knows those below {classes} only")]
    UnknownToken {
        /// Which constraint.
        what: &'static str,
        /// The token.
        token: u32,
        /// How many tokens there are.
        classes: usize,
    },
    /// A beam without room.
    #[error("the width of a beam must be at least 1, not 0")]
    Width,
    /// As many as asked for cannot be had.
    #[error(
        "the number of best sequences must be between 1 and the width of the beam, {width}, not \
         {n_best}"
    )]
    NBest {
        /// How many were asked for.
        n_best: usize,
        /// The width of the beam.
        width: usize,
    },
    /// A length penalty out of range.
    #[error("the length penalty must be between 0 (none) and 10, not {0}")]
    LengthPenalty(f64),
    /// A model gave something that is no distribution.
    #[error(
        "the logit of token {token} is {logit} after {length} tokens of sequence {sequence}, so \
         there is nothing to choose from; the model's parameters are broken, or its input is"
    )]
    NonFinite {
        /// The sequence, counted from 0.
        sequence: usize,
        /// How many tokens it had.
        length: usize,
        /// The token.
        token: u32,
        /// Its logit: NaN, infinity, or minus infinity if all tokens have that.
        logit: f64,
    },
}

/// A logit that is part of no distribution.
struct BrokenLogit {
    token: u32,
    logit: f64,
}

impl BrokenLogit {
    fn of(self, sequence: usize, length: usize) -> DecodingError {
        let BrokenLogit { token, logit } = self;
        DecodingError::NonFinite { sequence, length, token, logit }
    }
}

/// Writes the logarithms of the probabilities of a column of logits, in f64 and in a fixed order;
/// minus infinity is a token that cannot come.
///
/// # Errors
/// The first logit that is NaN or infinity, or any if all are minus infinity.
fn log_softmax<T: Real>(logits: &[T], log_probabilities: &mut Vec<f64>) -> Result<(), BrokenLogit> {
    log_probabilities.clear();
    log_probabilities.extend(logits.iter().map(|logit| logit.to_f64()));
    let mut largest = f64::NEG_INFINITY;
    for (token, &logit) in log_probabilities.iter().enumerate() {
        if logit.is_nan() || logit == f64::INFINITY {
            return Err(BrokenLogit { token: token as u32, logit });
        }
        largest = largest.max(logit);
    }
    if largest == f64::NEG_INFINITY {
        return Err(BrokenLogit { token: 0, logit: largest });
    }
    // log p = x - max - ln sum exp(x - max). The sum is at least 1, so log p is at most 0.
    log_probabilities.iter_mut().for_each(|x| *x -= largest);
    let log_sum = libm::log(log_probabilities.iter().map(|&x| libm::exp(x)).sum());
    log_probabilities.iter_mut().for_each(|x| *x -= log_sum);
    Ok(())
}

/// What a stream is given at the start: a first token for each of its sequences.
#[track_caller]
fn assert_first<T: Real>(stream: &(impl TokenStream<T> + ?Sized), first: &[u32]) {
    let (given, batch) = (first.len(), stream.batch());
    assert!(given == batch, "{given} first tokens do not fit a stream of {batch} sequences");
}
