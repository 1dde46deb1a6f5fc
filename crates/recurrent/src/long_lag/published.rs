//! What papers report of the tasks.

use super::Problem;

/// A figure of a paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// The task.
    pub problem: Problem,
    /// The lag that it is for.
    pub lag: usize,
    /// Which network, and what is special about it.
    pub network: &'static str,
    /// What became of it.
    pub result: &'static str,
}

const fn of(
    problem: Problem,
    lag: usize,
    network: &'static str,
    result: &'static str,
) -> Published {
    Published { problem, lag, network, result }
}

/// Hochreiter and Schmidhuber 1997: plain online gradient descent; means over 10 trials and more. Every
/// number here was checked against a transcription of the paper or a replication that quotes it; what
/// was found in neither, such as the counts by the stricter criteria of experiments 3 and 5, is left out.
pub const PUBLISHED: &[Published] = &[
    of(Problem::EmbeddedReber, 0, "LSTM, 3 blocks of 2, rate 0.5", "100 %, 8,440 sequences"),
    of(Problem::EmbeddedReber, 0, "LSTM, 4 blocks of 1, rate 0.1", "100 %, 39,740 sequences"),
    of(Problem::EmbeddedReber, 0, "RTRL", "some fraction, 25,000 or 173,000 sequences"),
    of(Problem::EmbeddedReber, 0, "Elman net", "0 % within 200,000 sequences"),
    of(Problem::NoiseFree, 100, "LSTM", "100 %, 5,040 sequences"),
    of(Problem::NoiseFree, 100, "RTRL; BPTT", "0 % within 5,000,000 sequences"),
    of(Problem::NoiseFree, 100, "sequence chunker", "33 %, 32,400 sequences"),
    of(Problem::TwoSequence, 100, "LSTM", "27,380 sequences (the first of two criteria)"),
    of(Problem::TwoSequence, 1000, "LSTM", "446,850 sequences (the first of two criteria)"),
    of(Problem::Adding, 100, "LSTM, 93 weights", "74,000 sequences, then 1 of 2,560 wrong"),
    of(Problem::Adding, 500, "LSTM, 93 weights", "209,000 sequences, then 0 of 2,560 wrong"),
    of(Problem::Adding, 1000, "LSTM, 93 weights", "853,000 sequences, then 1 of 2,560 wrong"),
    of(Problem::Multiplication, 100, "LSTM", "482,000 sequences (the looser of two criteria)"),
    of(Problem::TemporalOrder, 100, "LSTM, 156 weights, rate 0.5", "31,390 sequences"),
    of(Problem::TemporalOrder3, 100, "LSTM, 3 blocks of 2, rate 0.1", "571,100 sequences"),
];

/// The figures for a task with this lag.
pub fn published(problem: Problem, lag: usize) -> impl Iterator<Item = &'static Published> {
    PUBLISHED.iter().filter(move |known| known.problem == problem && known.lag == lag)
}
