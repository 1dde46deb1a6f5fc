//! The copying memory problem of Arjovsky, Shah and Bengio 2016, after Hochreiter and Schmidhuber's
//! experiments: ten symbols are read, and written again T steps later.
//!
//! ```text
//! steps      10 symbols   T - 1 blanks   delimiter   10 blanks
//! answer     T + 10 blanks                           the 10 symbols
//! ```
//!
//! Symbols are drawn evenly from eight. Who writes blanks and then guesses has a cross-entropy of
//! 10 ln 8 / (T + 20).

use recurrent_kernels::random::Generator;

use super::{Answer, Sequence, Steps};

/// How many symbols are to be kept.
pub const KEPT: usize = 10;
/// How many different ones there are.
pub const SYMBOLS: u32 = 8;
/// The token of a step that says nothing, and the one that asks.
pub const BLANK: u32 = SYMBOLS;
/// Asks for the symbols.
pub const DELIMITER: u32 = SYMBOLS + 1;

/// A sequence of `lag` + 20 steps; `lag` is at least 1.
pub fn draw(generator: &mut Generator, lag: usize) -> Sequence {
    let symbols: Vec<u32> = (0..KEPT).map(|_| generator.below(u64::from(SYMBOLS)) as u32).collect();
    let blanks = |count: usize| vec![BLANK; count];
    let tokens = [symbols.clone(), blanks(lag - 1), vec![DELIMITER], blanks(KEPT)].concat();
    let answer = [blanks(lag + KEPT), symbols].concat();
    Sequence { steps: Steps::Tokens(tokens), answer: Answer::EveryStep(answer) }
}
