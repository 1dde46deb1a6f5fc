//! Experiment 3a of Hochreiter and Schmidhuber 1997: the two-sequence problem of Bengio, Simard and
//! Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult".
//!
//! One number a step. The first three are 1 in a sequence of class 1 and -1 in one of class 0 (each
//! with probability 0.5); all later ones are noise from a normal distribution of mean 0 and variance
//! 0.2. The class is asked for after the last step. There are T to T + T/10 steps, every number of
//! them equally likely.

use recurrent_kernels::random::Generator;

use super::{Answer, Sequence, Steps};

/// How many numbers tell the class: the paper's N.
pub const TELLING: usize = 3;
/// The variance of the others.
pub const VARIANCE: f64 = 0.2;

/// A sequence of `lag` to `lag` + `lag` / 10 steps; `lag` is at least 4.
pub fn draw(generator: &mut Generator, lag: usize) -> Sequence {
    let class = generator.below(2) as u32;
    let count = length(generator, lag);
    let number = |step: usize| match (step < TELLING, class) {
        (true, 1) => 1.0,
        (true, _) => -1.0,
        _ => (libm::sqrt(VARIANCE) * generator.normal::<f64>()) as f32,
    };
    let numbers = (0..count).map(number).collect();
    Sequence { steps: Steps::Vectors { size: 1, numbers }, answer: Answer::Class(class) }
}

/// A number from `lag` to `lag` + `lag` / 10, every one equally likely.
pub(super) fn length(generator: &mut Generator, lag: usize) -> usize {
    lag + generator.below(lag as u64 / 10 + 1) as usize
}
