//! What decides the bits of a run, as a checkpoint holds it: the parts that tasks have in common.
//!
//! A new field has a serde default, so that older checkpoints stay readable.

use recurrent_cells::initialize::Initialization;
use recurrent_cells::{Cell, CellKind, CellShape};
use recurrent_topologies::{InputConfig, Regularization, StackConfig, TokenEncoding};
use recurrent_training::{OptimizerConfig, Schedule, TrainerConfig};
use serde::{Deserialize, Serialize};

use crate::data::TokenKind;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// A character, a word or a byte.
    pub tokens: TokenKind,
    /// Rarer tokens become one unknown token.
    pub min_count: u64,
    /// Longer examples are left out of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// How a token becomes a vector.
    pub encoding: TokenEncoding,
}

impl Tokens {
    /// An input of tokens from a vocabulary of this size.
    pub fn input(&self, vocabulary_size: usize) -> InputConfig {
        InputConfig::Tokens { vocabulary_size, encoding: self.encoding }
    }
}

/// A stack of layers, and how its parameters begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The cell of every layer.
    pub cell: CellKind,
    /// Numbers in h.
    pub hidden_size: usize,
    /// Layers.
    pub num_layers: usize,
    /// Every layer reads both ways.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bidirectional: bool,
    /// The share of h dropped between layers.
    pub dropout: f64,
    /// What else is left to chance in training.
    #[serde(default, skip_serializing_if = "Regularization::is_none")]
    pub regularization: Regularization,
    /// How the cells' parameters begin.
    #[serde(default)]
    pub initialization: Initialization,
    /// The forget gate's bias at the start.
    pub forget_bias: Option<f64>,
}

/// The deepest stack: two moments of all its parameters are as many sections as a checkpoint can
/// hold.
const MOST_LAYERS: usize = 1000;

impl Network {
    /// The stack.
    pub fn stack(&self) -> StackConfig {
        let &Network { cell, hidden_size, num_layers, bidirectional, dropout, .. } = self;
        let regularization = self.regularization;
        StackConfig { cell, hidden_size, num_layers, bidirectional, dropout, regularization }
    }

    /// Checks what a configuration does not.
    ///
    /// # Errors
    /// A line that names the first number out of range.
    pub fn check(&self) -> Result<(), String> {
        // First, because the embedding size follows it where none is given.
        if self.hidden_size == 0 {
            return Err("hidden size must be at least 1".into());
        }
        let most = if self.bidirectional { MOST_LAYERS / 2 } else { MOST_LAYERS };
        if self.num_layers > most {
            return Err(format!("the number of layers must be at most {most}"));
        }
        Ok(())
    }

    /// Numbers that a step of a sequence leaves on the tape at least: what the cell keeps, c and h, of
    /// every layer and direction.
    pub fn tape(&self) -> u128 {
        let directions = if self.bidirectional { 2 } else { 1 };
        // A cell counts its rows in usize; of more units than this no machine holds one step.
        let units = self.hidden_size.min(usize::MAX >> 8);
        let CellShape { tape_rows, cell_size, hidden_size, .. } = self.cell.build(1, units).shape();
        let rows = [tape_rows, cell_size, hidden_size].map(|rows| rows as u128);
        directions * self.num_layers as u128 * rows.iter().sum::<u128>()
    }
}

/// How a model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// How often the training part is read.
    pub epochs: u64,
    /// The most steps.
    pub steps: Option<u64>,
    /// Sequences side by side.
    pub batch_size: usize,
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes.
    pub schedule: RunSchedule,
    /// Steps over which the learning rate rises at the start.
    #[serde(default)]
    pub warm_up: u64,
    /// The largest magnitude of a gradient's numbers.
    #[serde(default)]
    pub clip_value: Option<f64>,
    /// The largest global norm of the gradients.
    pub clip_norm: Option<f64>,
    /// Ends the run after so many epochs without a better held-out loss.
    #[serde(default)]
    pub patience: Option<u64>,
    /// Decides initial values, the order of examples and dropout masks.
    pub seed: u64,
}

impl Learning {
    /// Checks every number.
    ///
    /// # Errors
    /// A line that names the first number out of range.
    pub fn check(&self) -> Result<(), String> {
        let sizes = [
            ("the number of epochs", self.epochs),
            ("the number of steps", self.steps.unwrap_or(1)),
            ("the batch size", self.batch_size as u64),
        ];
        if let Some((what, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Err(format!("{what} must be at least 1"));
        }
        self.trainer(1, 1).check_for::<f32>().map_err(|error| error.to_string())
    }

    /// How to train for `total` steps, of which `epoch` make an epoch.
    pub fn trainer(&self, total: u64, epoch: u64) -> TrainerConfig {
        TrainerConfig {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            schedule: self.schedule.in_steps(total, epoch),
            warm_up: self.warm_up,
            clip_value: self.clip_value,
            clip_norm: self.clip_norm,
            patience: self.patience,
        }
    }

    /// Steps of a run whose epochs have so many.
    pub fn total_steps(&self, steps_per_epoch: u64) -> u64 {
        let all = self.epochs.saturating_mul(steps_per_epoch);
        self.steps.map_or(all, |steps| steps.min(all))
    }
}

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunSchedule {
    /// It does not.
    Constant,
    /// It is multiplied by `factor` after every so many epochs.
    Step {
        /// Above 0 and below 1.
        factor: f64,
        /// At least 1.
        epochs: u64,
    },
    /// It falls with every step, so that an epoch multiplies it by `factor`.
    Exponential {
        /// Above 0 and below 1.
        factor: f64,
    },
    /// It falls along half a cosine to zero at the end of the run.
    Cosine,
    /// It is multiplied by `factor` when more than `patience` epochs in a row brought no better
    /// held-out loss.
    Plateau {
        /// Above 0 and below 1.
        factor: f64,
        /// How many epochs in a row may bring no better loss.
        patience: u64,
    },
}

impl RunSchedule {
    /// The same for a run of `total` steps, of which `epoch` make an epoch.
    fn in_steps(self, total: u64, epoch: u64) -> Schedule {
        match self {
            RunSchedule::Constant => Schedule::Constant,
            RunSchedule::Step { factor, epochs } => {
                Schedule::Step { factor, every: epochs.saturating_mul(epoch) }
            }
            RunSchedule::Exponential { factor } => Schedule::Exponential { factor, every: epoch },
            RunSchedule::Cosine => Schedule::Cosine { steps: total },
            RunSchedule::Plateau { factor, patience } => {
                Schedule::Plateau { factor, patience, threshold: 1e-4, minimum: 0.0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tape_is_what_the_cell_keeps() {
        let tape = |cell, hidden_size, bidirectional| {
            let network = Network {
                cell,
                hidden_size,
                num_layers: 2,
                bidirectional,
                dropout: 0.0,
                regularization: Regularization::NONE,
                initialization: Initialization::Uniform,
                forget_bias: None,
            };
            network.tape()
        };
        assert_eq!(tape(CellKind::RnnTanh, 8, false), 2 * 2 * 8);
        assert_eq!(tape(CellKind::Gru, 8, false), 2 * 5 * 8);
        assert_eq!(tape(CellKind::Lstm, 8, true), 2 * 2 * 6 * 8);
        assert_eq!(tape(CellKind::LayerNormLstm, 8, true), 2 * 2 * (24 * 8 + 3));
        for cell in CellKind::NAMED {
            assert!(tape(cell, usize::MAX, true) > 1 << 57, "{cell:?}");
        }
    }
}
