//! Experiment 2a of Hochreiter and Schmidhuber 1997: noise-free sequences with a long lag.
//!
//! ```text
//! y a_1 a_2 ... a_{p-1} y      or      x a_1 a_2 ... a_{p-1} x      each with probability 0.5
//! ```
//!
//! At every step the next of p + 1 symbols is to be predicted. All but the last follow from the one
//! before; the last is the first again, p steps later. An error that comes back from it must reach
//! that step, and nothing on the way says anything.

use recurrent_kernels::random::Generator;

use super::{Answer, Sequence, Steps};

/// One of the two sequences, chosen by a coin.
pub fn draw(generator: &mut Generator, lag: usize) -> Sequence {
    sequence(lag, generator.below(2) == 1)
}

/// Both sequences.
pub fn both(lag: usize) -> Vec<Sequence> {
    [false, true].map(|is_y| sequence(lag, is_y)).to_vec()
}

/// Symbols `0..lag - 1` are a_1 and so on, `lag - 1` is x, `lag` is y.
fn sequence(lag: usize, is_y: bool) -> Sequence {
    let (between, outer) = (lag as u32 - 1, lag as u32 - 1 + u32::from(is_y));
    let read = std::iter::once(outer).chain(0..between).collect();
    let next = (0..between).chain([outer]).collect();
    Sequence { steps: Steps::Tokens(read), answer: Answer::EveryStep(next) }
}
