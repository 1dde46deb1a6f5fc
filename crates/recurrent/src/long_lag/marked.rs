//! Experiments 4 and 5 of Hochreiter and Schmidhuber 1997: adding and multiplying two marked numbers.
//!
//! A step has a number and a mark. Numbers are uniform, from [-1, 1] (adding) or [0, 1] (multiplying).
//! Marks are 0 but for two that are 1, and the first and the last, which are -1. The first marked step
//! is one of the first ten; the second is one of the first T/2 - 1 still unmarked ones. There are T
//! to T + T/10 steps. What is asked for after the last step, X_1 and X_2 being the marked numbers:
//!
//! ```text
//! adding           0.5 + (X_1 + X_2) / 4            if the first step is marked, its number is 0
//! multiplying      X_1 X_2                          if the first step is marked, its number is 1
//! ```
//!
//! A step that is first and marked has the mark 1.

use recurrent_kernels::random::Generator;

use super::two_sequence::length;
use super::{Answer, Sequence, Steps};

/// The shortest T: two marks must find room.
pub const LEAST_LAG: usize = 20;

/// What becomes of the marked numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Experiment 4.
    Add,
    /// Experiment 5.
    Multiply,
}

/// A sequence of `lag` to `lag` + `lag` / 10 steps; `lag` is at least [`LEAST_LAG`].
pub fn draw(generator: &mut Generator, operation: Operation, lag: usize) -> Sequence {
    let count = length(generator, lag);
    let (low, neutral) = match operation {
        Operation::Add => (-1.0, 0.0),
        Operation::Multiply => (0.0, 1.0),
    };
    let mut numbers: Vec<f32> =
        (0..count).flat_map(|_| [generator.uniform_between(low, 1.0), 0.0]).collect();
    let first = generator.below(10) as usize;
    // Of the unmarked ones those behind `first` have moved up by one.
    let second = generator.below(lag as u64 / 2 - 1) as usize;
    let second = if second < first { second } else { second + 1 };
    numbers[1] = -1.0;
    numbers[2 * count - 1] = -1.0;
    for marked in [first, second] {
        numbers[2 * marked + 1] = 1.0;
    }
    if first == 0 || second == 0 {
        numbers[0] = neutral;
    }
    let [x_1, x_2] = [first, second].map(|marked| numbers[2 * marked]);
    let answer = match operation {
        Operation::Add => 0.5 + (x_1 + x_2) / 4.0,
        Operation::Multiply => x_1 * x_2,
    };
    Sequence { steps: Steps::Vectors { size: 2, numbers }, answer: Answer::Number(answer) }
}
