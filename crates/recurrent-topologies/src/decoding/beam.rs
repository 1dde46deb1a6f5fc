//! Beam search: the likeliest sequences, as far as a search of limited width finds them.

use std::cmp::Ordering;
use std::mem;

use recurrent_kernels::{Columns, Real};
use serde::{Deserialize, Serialize};

use super::{
    Constraints, DecodingError, Ended, Hypothesis, TokenStream, assert_first, log_softmax,
};

/// How wide a search is, and what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beam {
    /// How many sequences of a source run side by side; at least 1.
    pub width: usize,
    /// How many sequences of a source are wanted; from 1 to `width`. Fewer come if there are no
    /// more.
    pub n_best: usize,
    /// The exponent alpha of Wu et al. 2016, from 0 to 10; see [`score`](Self::score). 0 is no
    /// penalty, which prefers short sequences; they found 0.6 to 0.7 best.
    pub length_penalty: f64,
}

impl Beam {
    /// What sequences are compared by; the higher, the better.
    ///
    /// ```text
    /// score = log p / ((5 + length) / 6)^alpha
    /// ```
    ///
    /// This is the length penalty of GNMT (Wu et al. 2016, equation 14, without its coverage). The
    /// length counts the end token.
    pub fn score(&self, hypothesis: &Hypothesis) -> f64 {
        let end = usize::from(hypothesis.ended == Ended::EndToken);
        self.penalized(hypothesis.log_probability, hypothesis.tokens.len() + end)
    }

    fn penalized(&self, log_probability: f64, length: usize) -> f64 {
        log_probability / libm::pow((5.0 + length as f64) / 6.0, self.length_penalty)
    }

    /// Whether there is such a search.
    ///
    /// # Errors
    /// [`DecodingError`] names the first number that is out of range.
    pub fn check(&self) -> Result<(), DecodingError> {
        let Beam { width, n_best, length_penalty } = *self;
        if width == 0 {
            return Err(DecodingError::Width);
        }
        if n_best == 0 || n_best > width {
            return Err(DecodingError::NBest { n_best, width });
        }
        if !(0.0..=10.0).contains(&length_penalty) {
            return Err(DecodingError::LengthPenalty(length_penalty));
        }
        Ok(())
    }
}

/// Searches for the likeliest continuations of every sequence of the stream (a source), which goes
/// on with its token of `first`: for each source its `n_best` by [`Beam::score`], best first, equal
/// ones in the order of their tokens.
///
/// At every step the continuations of a source's running sequences are ranked by their
/// log-probability, equal ones by their last token, then by the rank of what they continue. Those
/// among the best `width` that end are finished; the best `width` of those that do not end run on.
/// A source is done when no sequence that runs can still get a score above its `n_best` finished
/// ones, at the length that favours it most; so a wide search is exhaustive, and a width of 1
/// without penalty is greedy.
///
/// (Logits so near to one another that their log-probabilities are the same f64 are equal here, while
/// a sampler tells them apart. A prefix that the model holds for impossible makes all scores minus infinity; the order of their
/// tokens is then all that tells them apart.)
///
/// The rows of all sources run in one batch, and those of a source leave when it is done; none
/// depends on another source. The stream is of no more use afterwards.
///
/// # Errors
/// [`DecodingError`] if the beam is out of range, the constraints contradict each other, or the
/// model gives something that is no distribution.
///
/// # Panics
/// If there are not as many first tokens as sequences in the stream.
#[track_caller]
pub fn beam_search<T: Real>(
    stream: &mut (impl TokenStream<T> + ?Sized),
    first: &[u32],
    constraints: &Constraints,
    beam: Beam,
) -> Result<Vec<Vec<Hypothesis>>, DecodingError> {
    assert_first(stream, first);
    beam.check()?;
    constraints.check()?;

    let search = Search { constraints, beam };
    let mut sources: Vec<Source> = (0..first.len()).map(Source::new).collect();
    let mut scratch = Scratch::default();
    let mut read = first.to_vec();
    while !read.is_empty() {
        let logits = stream.step(&read);
        constraints.check_tokens(logits.rows())?;
        read.clear();
        let (mut columns, mut column) = (Vec::new(), 0);
        for source in &mut sources {
            let rows = column..column + source.running.len();
            column = rows.end;
            let parents =
                search.advance(source, logits.columns_range(rows.clone()), &mut scratch)?;
            columns.extend(parents.iter().map(|parent| rows.start + parent));
            read.extend(source.running.iter().filter_map(|running| running.tokens.last()));
        }
        // Where every sequence goes on in its own place there is nothing to move.
        let moved = columns.len() != column || columns.iter().enumerate().any(|(j, &c)| j != c);
        if moved && !columns.is_empty() {
            stream.select(&columns);
        }
    }
    Ok(sources.into_iter().map(|source| source.finished).collect())
}

/// A sequence that runs.
#[derive(Clone)]
struct Running {
    tokens: Vec<u32>,
    log_probability: f64,
}

/// The search for one sequence of the stream.
struct Source {
    sequence: usize,
    /// Best first; none once the source is done.
    running: Vec<Running>,
    /// The best finished ones, best first.
    finished: Vec<Hypothesis>,
}

impl Source {
    fn new(sequence: usize) -> Self {
        let running = vec![Running { tokens: Vec::new(), log_probability: 0.0 }];
        Source { sequence, running, finished: Vec::new() }
    }
}

/// A sequence that runs, and one token more.
struct Candidate {
    log_probability: f64,
    token: u32,
    /// The place among the running ones of what it continues.
    parent: usize,
}

impl Candidate {
    /// The better one comes first.
    fn compare(&self, other: &Self) -> Ordering {
        let by_probability = other.log_probability.total_cmp(&self.log_probability);
        by_probability.then(self.token.cmp(&other.token)).then(self.parent.cmp(&other.parent))
    }
}

/// Memory that all sources share.
#[derive(Default)]
struct Scratch {
    log_probabilities: Vec<f64>,
    candidates: Vec<Candidate>,
    parents: Vec<usize>,
}

struct Search<'s> {
    constraints: &'s Constraints,
    beam: Beam,
}

impl Search<'_> {
    /// Takes a source one token on. Gives for each sequence that now runs the place of the one that
    /// it continues.
    fn advance<'a, T: Real>(
        &self,
        source: &mut Source,
        logits: Columns<'_, T>,
        scratch: &'a mut Scratch,
    ) -> Result<&'a [usize], DecodingError> {
        let Scratch { log_probabilities, candidates, parents } = scratch;
        candidates.clear();
        parents.clear();
        let before = mem::take(&mut source.running);
        for (parent, running) in before.iter().enumerate() {
            log_softmax(logits.column(parent), log_probabilities)
                .map_err(|wrong| wrong.of(source.sequence, running.tokens.len()))?;
            if !self.continuations(running, parent, log_probabilities, candidates) {
                let Running { tokens, log_probability } = running.clone();
                let ended = Ended::NothingLeft;
                self.finish(source, Hypothesis { tokens, log_probability, ended });
            }
        }
        // Each sequence ends in one way only, so among twice the width enough run on.
        keep_best(candidates, 0, self.beam.width.saturating_mul(2));
        candidates.sort_unstable_by(Candidate::compare);

        for (rank, &Candidate { log_probability, token, parent }) in candidates.iter().enumerate() {
            let tokens = &before[parent].tokens;
            if self.constraints.end == Some(token) {
                if rank < self.beam.width {
                    let (tokens, ended) = (tokens.clone(), Ended::EndToken);
                    self.finish(source, Hypothesis { tokens, log_probability, ended });
                }
            } else if source.running.len() < self.beam.width {
                let tokens = [tokens.as_slice(), &[token]].concat();
                source.running.push(Running { tokens, log_probability });
                parents.push(parent);
            }
        }
        self.end(source);
        parents.truncate(source.running.len());
        Ok(parents)
    }

    /// Adds what may come after a running sequence; whether there is anything.
    fn continuations(
        &self,
        running: &Running,
        parent: usize,
        log_probabilities: &mut [f64],
        candidates: &mut Vec<Candidate>,
    ) -> bool {
        let candidate = |token: usize, log_probability: f64| Candidate {
            log_probability: running.log_probability + log_probability,
            token: token as u32,
            parent,
        };
        if let Some(token) = self.constraints.forced(running.tokens.len()) {
            candidates.push(candidate(token as usize, log_probabilities[token as usize]));
            return true;
        }
        self.constraints.ban(&running.tokens, log_probabilities);
        let start = candidates.len();
        for (token, &log_probability) in log_probabilities.iter().enumerate() {
            if log_probability > f64::NEG_INFINITY {
                candidates.push(candidate(token, log_probability));
            }
        }
        let any = candidates.len() > start;
        // No more of one sequence are ever among the best of all.
        keep_best(candidates, start, self.beam.width.saturating_mul(2));
        any
    }

    /// Ends a source whose sequences are as long as they may be, or too unlikely by now.
    fn end(&self, source: &mut Source) {
        let Some(best) = source.running.first() else { return };
        let maximum = self.constraints.max_length;
        if best.tokens.len() == maximum {
            for Running { tokens, log_probability } in mem::take(&mut source.running) {
                let ended = Ended::MaximumLength;
                self.finish(source, Hypothesis { tokens, log_probability, ended });
            }
            return;
        }
        // log p only falls, and the longer a sequence, the less a given log p costs it. A length
        // of `max_length` is also that of the longest one which the end token ends.
        let bound = self.beam.penalized(best.log_probability, maximum);
        if source.finished.len() == self.beam.n_best {
            let worst = source.finished.last().map(|hypothesis| self.beam.score(hypothesis));
            if worst.is_some_and(|worst| bound < worst) {
                source.running.clear();
            }
        }
    }

    /// Puts a finished sequence among the best ones, if it is one of them.
    fn finish(&self, source: &mut Source, hypothesis: Hypothesis) {
        let score = self.beam.score(&hypothesis);
        let better = |other: &Hypothesis| {
            let by_score = self.beam.score(other).total_cmp(&score);
            by_score.then(hypothesis.tokens.cmp(&other.tokens)).is_gt()
        };
        let place = source.finished.partition_point(better);
        source.finished.insert(place, hypothesis);
        source.finished.truncate(self.beam.n_best);
    }
}

/// Leaves the best `count` from `start` on, in any order.
fn keep_best(candidates: &mut Vec<Candidate>, start: usize, count: usize) {
    let rest = &mut candidates[start..];
    if count < rest.len() {
        rest.select_nth_unstable_by(count, Candidate::compare);
        candidates.truncate(start + count);
    }
}
