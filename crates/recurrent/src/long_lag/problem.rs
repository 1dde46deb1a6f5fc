//! The tasks of the suite, by name.

use recurrent_kernels::random::Generator;
use recurrent_topologies::{InputConfig, TokenEncoding};
use serde::{Deserialize, Serialize};

use super::marked::{self, Operation};
use super::temporal_order::{self, Order};
use super::{Goal, Judged, Mean, Measure, Sequence};
use super::{copy_memory, embedded_reber, noise_free, pixels, two_sequence};

/// A task of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// Predict the symbols of the embedded Reber grammar (experiment 1).
    EmbeddedReber,
    /// Predict a sequence that ends as it began (experiment 2a).
    NoiseFree,
    /// Classify by the first three numbers, noise behind them (experiment 3a).
    TwoSequence,
    /// Add two marked numbers (experiment 4).
    Adding,
    /// Multiply two marked numbers (experiment 5).
    Multiplication,
    /// Tell in which order two symbols came (experiment 6a).
    TemporalOrder,
    /// Tell in which order three symbols came (experiment 6b).
    #[value(name = "temporal-order-3")]
    #[serde(rename = "temporal-order-3")]
    TemporalOrder3,
    /// Write ten symbols that were read long before (Arjovsky, Shah and Bengio 2016).
    CopyMemory,
    /// Tell a shape by its pixels, read one by one (after Le, Jaitly and Hinton 2015).
    Pixels,
}

/// Sequences of a training or of a test set that is fixed.
const SET: usize = 256;

impl Problem {
    /// Every one, in the order of the table.
    pub const ALL: [Problem; 9] = [
        Problem::EmbeddedReber,
        Problem::NoiseFree,
        Problem::TwoSequence,
        Problem::Adding,
        Problem::Multiplication,
        Problem::TemporalOrder,
        Problem::TemporalOrder3,
        Problem::CopyMemory,
        Problem::Pixels,
    ];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Problem::EmbeddedReber => "embedded-reber",
            Problem::NoiseFree => "noise-free",
            Problem::TwoSequence => "two-sequence",
            Problem::Adding => "adding",
            Problem::Multiplication => "multiplication",
            Problem::TemporalOrder => "temporal-order",
            Problem::TemporalOrder3 => "temporal-order-3",
            Problem::CopyMemory => "copy-memory",
            Problem::Pixels => "pixels",
        }
    }

    /// What must hold of the lag T, and whether it does. The grammar has none, which is 0 here; of an
    /// image it is the number of pixels.
    pub fn check_lag(self, lag: usize) -> Result<(), String> {
        let side = (lag as f64).sqrt() as usize;
        let (range, holds) = match self {
            Problem::EmbeddedReber => {
                ("left out: how far apart its symbols are is the grammar's", lag == 0)
            }
            Problem::NoiseFree => ("at least 2", lag >= 2),
            Problem::TwoSequence => ("at least 4", lag >= 4),
            Problem::Adding | Problem::Multiplication => ("at least 20", lag >= marked::LEAST_LAG),
            Problem::TemporalOrder | Problem::TemporalOrder3 => ("at least 10", lag >= 10),
            Problem::CopyMemory => ("at least 1", lag >= 1),
            Problem::Pixels => (
                "a square number, at least 64: as many pixels as the image has",
                side * side == lag && side >= pixels::LEAST_SIDE,
            ),
        };
        match holds && lag <= MOST_LAG {
            true => Ok(()),
            false if lag > MOST_LAG => Err(format!("the lag must be at most {MOST_LAG}")),
            false => Err(format!("the lag of {} must be {range}", self.name())),
        }
    }

    /// What a model reads at a step.
    pub fn input(self, lag: usize) -> InputConfig {
        let tokens = |vocabulary_size| InputConfig::Tokens {
            vocabulary_size,
            encoding: TokenEncoding::OneHot,
        };
        match self {
            Problem::EmbeddedReber => tokens(embedded_reber::SYMBOLS.len()),
            Problem::NoiseFree => tokens(lag + 1),
            Problem::TwoSequence | Problem::Pixels => InputConfig::Vectors { size: 1 },
            Problem::Adding | Problem::Multiplication => InputConfig::Vectors { size: 2 },
            Problem::TemporalOrder | Problem::TemporalOrder3 => {
                tokens(temporal_order::SYMBOLS.len())
            }
            Problem::CopyMemory => tokens(copy_memory::SYMBOLS as usize + 2),
        }
    }

    /// What it says: numbers, or one number for each class or token.
    pub fn output_size(self, lag: usize) -> usize {
        match self {
            Problem::EmbeddedReber => embedded_reber::SYMBOLS.len(),
            Problem::NoiseFree => lag + 1,
            Problem::TwoSequence => 2,
            Problem::Adding | Problem::Multiplication => 1,
            Problem::TemporalOrder => Order::OfTwo.classes(),
            Problem::TemporalOrder3 => Order::OfThree.classes(),
            Problem::CopyMemory => copy_memory::SYMBOLS as usize + 1,
            Problem::Pixels => pixels::SHAPES.len(),
        }
    }

    /// A sequence, drawn like every other.
    ///
    /// # Panics
    /// If [`check_lag`](Self::check_lag) refuses the lag.
    #[track_caller]
    pub fn draw(self, generator: &mut Generator, lag: usize) -> Sequence {
        if let Err(message) = self.check_lag(lag) {
            panic!("{message}, not {lag}");
        }
        match self {
            Problem::EmbeddedReber => embedded_reber::draw(generator),
            Problem::NoiseFree => noise_free::draw(generator, lag),
            Problem::TwoSequence => two_sequence::draw(generator, lag),
            Problem::Adding => marked::draw(generator, Operation::Add, lag),
            Problem::Multiplication => marked::draw(generator, Operation::Multiply, lag),
            Problem::TemporalOrder => temporal_order::draw(generator, Order::OfTwo, lag),
            Problem::TemporalOrder3 => temporal_order::draw(generator, Order::OfThree, lag),
            Problem::CopyMemory => copy_memory::draw(generator, lag),
            Problem::Pixels => pixels::draw(generator, (lag as f64).sqrt() as usize),
        }
    }

    /// The sequences that a training draws from, where they are fixed; else each is a new one.
    pub fn training_set(self, generator: &mut Generator, lag: usize) -> Option<Vec<Sequence>> {
        match self {
            Problem::EmbeddedReber => Some((0..SET).map(|_| self.draw(generator, lag)).collect()),
            _ => None,
        }
    }

    /// The sequences of a test. Where the training's are fixed, none of them is among these.
    pub fn test_set(
        self,
        generator: &mut Generator,
        lag: usize,
        training: Option<&[Sequence]>,
    ) -> Vec<Sequence> {
        if self == Problem::NoiseFree {
            return noise_free::both(lag);
        }
        let mut set = vec![];
        while set.len() < SET {
            let sequence = self.draw(generator, lag);
            if !training.is_some_and(|training| training.contains(&sequence)) {
                set.push(sequence);
            }
        }
        set
    }

    /// When it counts as solved. Those of experiments 1 to 6 are the paper's.
    pub fn goal(self) -> Goal {
        let recent = Judged::Training { recent: 2000 };
        let test = |every| Judged::Test { every };
        let goal = |judged, measure, right_below, mean| Goal {
            judged,
            measure,
            right_below,
            most_wrong: 0,
            mean,
        };
        match self {
            // All symbols that can come are the most active outputs, in training and test set.
            Problem::EmbeddedReber => goal(test(500), Measure::Legal, 0.5, Mean::Any),
            // No output is ever off by 0.25, over 10,000 sequences drawn from the two.
            Problem::NoiseFree => goal(test(100), Measure::Probability, 0.25, Mean::Any),
            // ST2: none of 256 is wrong, and the mean error is below 0.01.
            Problem::TwoSequence => goal(test(500), Measure::Probability, 0.2, Mean::Error(0.01)),
            // The 2,000 most recent sequences are right, and the average training error is below 0.01.
            Problem::Adding => goal(recent, Measure::Distance, 0.04, Mean::Error(0.01)),
            // Fewer than n_seq = 13 of them are wrong: the harder of the paper's two criteria.
            Problem::Multiplication => {
                Goal { most_wrong: 12, ..goal(recent, Measure::Distance, 0.04, Mean::Any) }
            }
            // The 2,000 most recent are right, and the average training error is below 0.1.
            Problem::TemporalOrder | Problem::TemporalOrder3 => {
                goal(recent, Measure::Probability, 0.3, Mean::Error(0.1))
            }
            // Ours: 99 % of the symbols of 256 sequences.
            Problem::CopyMemory => Goal {
                most_wrong: usize::MAX,
                ..goal(test(1000), Measure::WrongTokens, 1e-9, Mean::Error(0.01))
            },
            // Ours: at most 5 % of 256 images are wrong, by the likeliest shape (p above 1/2 is).
            Problem::Pixels => Goal {
                most_wrong: SET / 20,
                ..goal(test(1000), Measure::Probability, 0.5, Mean::Any)
            },
        }
    }
}

/// Longer sequences would only wait for memory.
const MOST_LAG: usize = 100_000;
