//! Sequences made token by token, each token drawn from what the model says.

use recurrent_kernels::Real;
use recurrent_kernels::random::Generator;

use super::{
    Constraints, DecodingError, Ended, Hypothesis, Sampler, TokenStream, assert_first, log_softmax,
};

/// A sequence that is being made.
struct Running {
    /// Its place among the results.
    sequence: usize,
    tokens: Vec<u32>,
    log_probability: f64,
}

/// Makes one sequence from every sequence of the stream, which goes on with its token of `first`.
/// At a temperature of 0 this is greedy: always the most likely token, the lowest of equal ones.
///
/// Every sequence has a generator of its own, so none depends on the others; forced tokens draw
/// nothing. Finished sequences leave the stream, so it is of no more use afterwards.
///
/// # Errors
/// [`DecodingError`] if the constraints contradict each other or the model gives something that is
/// no distribution.
///
/// # Panics
/// If there are not as many first tokens and generators as sequences in the stream.
#[track_caller]
pub fn sample<T: Real>(
    stream: &mut (impl TokenStream<T> + ?Sized),
    first: &[u32],
    constraints: &Constraints,
    sampler: &mut Sampler<T>,
    generators: &mut [Generator],
) -> Result<Vec<Hypothesis>, DecodingError> {
    assert_first(stream, first);
    let (given, batch) = (generators.len(), first.len());
    assert!(given == batch, "{given} generators do not fit a stream of {batch} sequences");
    constraints.check()?;

    let start = |sequence| Running { sequence, tokens: Vec::new(), log_probability: 0.0 };
    let mut running: Vec<Running> = (0..batch).map(start).collect();
    let mut finished: Vec<Option<Hypothesis>> = vec![None; batch];
    let mut read = first.to_vec();
    let (mut columns, mut row) = (Vec::new(), Row::default());
    while !running.is_empty() {
        let logits = stream.step(&read);
        constraints.check_tokens(logits.rows())?;
        read.clear();
        columns.clear();
        let mut kept = Vec::with_capacity(running.len());
        for (column, mut now) in running.into_iter().enumerate() {
            let generator = &mut generators[now.sequence];
            match row.advance(&mut now, logits.column(column), constraints, sampler, generator)? {
                Next::Reads(token) => {
                    read.push(token);
                    columns.push(column);
                    kept.push(now);
                }
                Next::Ends(ended) => {
                    let Running { sequence, tokens, log_probability } = now;
                    finished[sequence] = Some(Hypothesis { tokens, log_probability, ended });
                }
            }
        }
        let left = columns.len() < logits.columns();
        running = kept;
        if left && !running.is_empty() {
            stream.select(&columns);
        }
    }
    Ok(finished.into_iter().map(|hypothesis| hypothesis.expect("every sequence ends")).collect())
}

/// What becomes of a sequence after a step.
enum Next {
    /// It reads this token.
    Reads(u32),
    /// It is finished.
    Ends(Ended),
}

/// What a step computes for one sequence, in memory that all share.
struct Row<T> {
    log_probabilities: Vec<f64>,
    allowed: Vec<f64>,
    logits: Vec<T>,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Row { log_probabilities: Vec::new(), allowed: Vec::new(), logits: Vec::new() }
    }
}

impl<T: Real> Row<T> {
    /// Chooses the next token of a sequence and adds it.
    fn advance(
        &mut self,
        now: &mut Running,
        logits: &[T],
        constraints: &Constraints,
        sampler: &mut Sampler<T>,
        generator: &mut Generator,
    ) -> Result<Next, DecodingError> {
        let (sequence, length) = (now.sequence, now.tokens.len());
        log_softmax(logits, &mut self.log_probabilities)
            .map_err(|wrong| wrong.of(sequence, length))?;
        let token = match constraints.forced(length) {
            Some(token) => token,
            None => match self.draw(&now.tokens, logits, constraints, sampler, generator) {
                Some(token) => token,
                None => return Ok(Next::Ends(Ended::NothingLeft)),
            },
        };
        now.log_probability += self.log_probabilities[token as usize];
        if constraints.end == Some(token) {
            return Ok(Next::Ends(Ended::EndToken));
        }
        now.tokens.push(token);
        if now.tokens.len() == constraints.max_length {
            return Ok(Next::Ends(Ended::MaximumLength));
        }
        Ok(Next::Reads(token))
    }

    /// Draws among what may come, if anything may.
    fn draw(
        &mut self,
        tokens: &[u32],
        logits: &[T],
        constraints: &Constraints,
        sampler: &mut Sampler<T>,
        generator: &mut Generator,
    ) -> Option<u32> {
        self.allowed.clone_from(&self.log_probabilities);
        constraints.ban(tokens, &mut self.allowed);
        let may_come = |&allowed: &f64| allowed > f64::NEG_INFINITY;
        if !self.allowed.iter().any(may_come) {
            return None;
        }
        let impossible = T::from_f64(f64::NEG_INFINITY);
        let logits = self.allowed.iter().zip(logits);
        let logits = logits.map(|(a, &logit)| if may_come(a) { logit } else { impossible });
        self.logits.clear();
        self.logits.extend(logits);
        let drawn = sampler.draw(&self.logits, None, generator);
        Some(drawn.expect("log_softmax refuses what a sampler refuses"))
    }
}
