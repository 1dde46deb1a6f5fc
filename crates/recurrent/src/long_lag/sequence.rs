//! What a task draws: a sequence, and the answer to it.

/// What is read, step after step.
#[derive(Clone, Debug, PartialEq)]
pub enum Steps {
    /// A token a step, read as a vector with a 1 in the token's place.
    Tokens(Vec<u32>),
    /// As many numbers at each step.
    Vectors {
        /// How many.
        size: usize,
        /// Those of the first step, then of the second, and so on.
        numbers: Vec<f32>,
    },
}

impl Steps {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Steps::Tokens(tokens) => tokens.len(),
            Steps::Vectors { size, numbers } => numbers.len() / size,
        }
    }
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A number, after the last step.
    Number(f32),
    /// A class, after the last step.
    Class(u32),
    /// A token at every step; [`IGNORED`](recurrent_kernels::loss::IGNORED) where none is asked for.
    EveryStep(Vec<u32>),
}

/// A sequence with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// What is read.
    pub steps: Steps,
    /// What is to be said.
    pub answer: Answer,
}
