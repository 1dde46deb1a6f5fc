//! Experiments 6a and 6b of Hochreiter and Schmidhuber 1997: the order of widely separated symbols.
//!
//! A sequence begins with E, ends with B, and otherwise has symbols drawn evenly from a, b, c, d, but
//! for two or three places, of which each is X or Y by a coin. The class is which of the 4 or 8 orders
//! they make. There are T to T + T/10 steps; the places, here for T = 100, counted from 0:
//!
//! ```text
//! 6a, two symbols        t_1 in 10..=20    t_2 in 50..=60
//! 6b, three symbols      t_1 in 10..=20    t_2 in 33..=43    t_3 in 66..=76
//! ```

use recurrent_kernels::random::Generator;

use super::two_sequence::length;
use super::{Answer, Sequence, Steps};

/// The symbols, in the order of their numbers.
pub const SYMBOLS: [char; 8] = ['E', 'B', 'a', 'b', 'c', 'd', 'X', 'Y'];
const E: u32 = 0;
const B: u32 = 1;
const A: u32 = 2;
const X: u32 = 6;

/// Where the places begin, in hundredths of T; each reaches a tenth of T further.
const TWO: &[usize] = &[10, 50];
const THREE: &[usize] = &[10, 33, 66];

/// How many symbols decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Experiment 6a.
    OfTwo,
    /// Experiment 6b.
    OfThree,
}

impl Order {
    /// How many orders there are.
    pub fn classes(self) -> usize {
        1 << self.places().len()
    }

    fn places(self) -> &'static [usize] {
        match self {
            Order::OfTwo => TWO,
            Order::OfThree => THREE,
        }
    }
}

/// A sequence of `lag` to `lag` + `lag` / 10 steps; `lag` is at least 10. In the class the first
/// symbol has the highest place value: XX is 0, XY 1, YX 2, YY 3.
pub fn draw(generator: &mut Generator, order: Order, lag: usize) -> Sequence {
    let count = length(generator, lag);
    let mut tokens: Vec<u32> = (0..count).map(|_| A + generator.below(4) as u32).collect();
    tokens[0] = E;
    tokens[count - 1] = B;
    let mut class = 0;
    for begin in order.places() {
        let place = lag * begin / 100 + generator.below(lag as u64 / 10 + 1) as usize;
        let is_y = generator.below(2) as u32;
        tokens[place] = X + is_y;
        class = 2 * class + is_y;
    }
    Sequence { steps: Steps::Tokens(tokens), answer: Answer::Class(class) }
}
