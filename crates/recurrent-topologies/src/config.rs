//! What models are made of, as data: the parts that several configurations share.

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, CellKind, Layout, Parameters};
use recurrent_kernels::Real;
use recurrent_kernels::random::Generator;
use serde::{Deserialize, Serialize};

use crate::{Directions, Regularization, Stack, StackOptions};

/// How a token becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenEncoding {
    /// As long as the vocabulary, 1 at the token's place and 0 elsewhere.
    OneHot,
    /// A learned vector of this many numbers.
    Embedding(usize),
}

/// What a model reads at every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum InputConfig {
    /// A token.
    Tokens {
        /// How many different ones there are; at least 1.
        vocabulary_size: usize,
        /// How one becomes a vector.
        encoding: TokenEncoding,
    },
    /// A vector of numbers as it is, such as a row of a table.
    Vectors {
        /// How many numbers; at least 1.
        size: usize,
    },
}

impl InputConfig {
    /// Numbers that the first layer reads at a step.
    pub fn size(&self) -> usize {
        match *self {
            InputConfig::Tokens { vocabulary_size, encoding } => match encoding {
                TokenEncoding::OneHot => vocabulary_size,
                TokenEncoding::Embedding(size) => size,
            },
            InputConfig::Vectors { size } => size,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let InputConfig::Tokens { vocabulary_size, .. } = *self {
            at_least_one("vocabulary size", vocabulary_size)?;
        }
        let size = match self {
            InputConfig::Tokens { .. } => "embedding size",
            InputConfig::Vectors { .. } => "size of the vectors",
        };
        at_least_one(size, self.size())
    }

    /// How many parameters, as a number that cannot overflow.
    pub(crate) fn count(&self) -> f64 {
        match *self {
            InputConfig::Tokens { vocabulary_size, encoding: TokenEncoding::Embedding(size) } => {
                vocabulary_size as f64 * size as f64
            }
            _ => 0.0,
        }
    }
}

/// A stack of layers of the same cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    /// The cell of every layer.
    pub cell: CellKind,
    /// Numbers in h; at least 1, with layer normalisation at least 2.
    pub hidden_size: usize,
    /// Layers; at least 1.
    pub num_layers: usize,
    /// Every layer reads both ways, so that each step knows the whole sequence.
    #[serde(default)]
    pub bidirectional: bool,
    /// The share of h dropped on its way up between layers during training; in [0, 1).
    pub dropout: f64,
    /// What else is left to chance in training.
    #[serde(default, skip_serializing_if = "Regularization::is_none")]
    pub regularization: Regularization,
}

impl StackConfig {
    /// Numbers that the last layer gives at a step: `hidden_size`, or twice that with two
    /// directions.
    pub fn output_size(&self) -> usize {
        // What cannot be counted is refused before it is used.
        self.hidden_size.saturating_mul(self.directions().count())
    }

    fn directions(&self) -> Directions {
        if self.bidirectional { Directions::Both } else { Directions::Forward }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        at_least_one("hidden size", self.hidden_size)?;
        at_least_one("number of layers", self.num_layers)?;
        if self.cell == CellKind::LayerNormLstm && self.hidden_size < 2 {
            return Err(ConfigError::NormOfOne { cell: self.cell.name() });
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ConfigError::Dropout { value: self.dropout });
        }
        if self.regularization.zoneout_cell > 0.0 && !self.cell.is_lstm() {
            return Err(ConfigError::ZoneoutCell { cell: self.cell.name() });
        }
        let is_vanilla = !(self.cell.is_lstm() || self.cell == CellKind::Gru);
        if self.regularization.regularize_gradients > 0.0 && !is_vanilla {
            return Err(ConfigError::PenaltyOfGates { cell: self.cell.name() });
        }
        self.regularization.check()
    }

    /// As [`check`](Self::check), and what it drops from must be there.
    pub(crate) fn check_reading(&self, input: &InputConfig) -> Result<(), ConfigError> {
        self.check()?;
        self.regularization.check_input(input)
    }

    /// What writes its output as it goes cannot read it from the end.
    pub(crate) fn check_writes(&self) -> Result<(), ConfigError> {
        if self.bidirectional { Err(ConfigError::BidirectionalDecoder) } else { Ok(()) }
    }

    /// How many parameters at most, as a number that cannot overflow.
    pub(crate) fn count(&self, input_size: usize) -> f64 {
        let [hidden, layers, input] =
            [self.hidden_size, self.num_layers, input_size].map(|size| size as f64);
        let directions = self.directions().count() as f64;
        // No cell has more than four blocks of rows.
        let first = 4.0 * hidden * (input + hidden);
        let others = (layers - 1.0) * 4.0 * hidden * (directions + 1.0) * hidden;
        // Thousands of layers are no network, but would take long to lay out.
        if layers < 1e4 { directions * (first + others) } else { f64::INFINITY }
    }

    /// The stack, with parameters `{prefix}weight_ih_l0` and so on.
    pub(crate) fn add(
        &self,
        layout: &mut Layout,
        prefix: &str,
        input_size: usize,
    ) -> Stack<AnyCell> {
        let cells = (0..self.num_layers)
            .map(|layer| {
                let input_size = if layer == 0 { input_size } else { self.output_size() };
                self.cell.build(input_size, self.hidden_size)
            })
            .collect();
        let (dropout, directions) = (self.dropout, self.directions());
        let regularization = Regularization { embedding_dropout: 0.0, ..self.regularization };
        let options =
            StackOptions { dropout, directions, regularization, ..StackOptions::default() };
        Stack::add(layout, prefix, cells, options)
    }
}

impl Stack<AnyCell> {
    /// Fresh parameters for the cells, by `initialization`, then with this forget bias if one is
    /// given ([`initialize::forget_bias`]).
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for these cells.
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<(), InitializationError> {
        for (cell, slots) in self.cells() {
            initialization.fill(generator, parameters, cell, slots)?;
            if let Some(value) = forget_bias {
                let AnyCell::Lstm(lstm) = cell else {
                    let (what, cells) = ("a forget bias", "lstm and layer-norm-lstm");
                    return Err(InitializationError::Cell { what, cells });
                };
                initialize::forget_bias(parameters, lstm, slots, value)?;
            }
        }
        Ok(())
    }
}

/// Why a configuration cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size is 0.
    #[error("{field} must be at least 1")]
    Zero {
        /// Which size.
        field: &'static str,
    },
    /// Dropout is not a share.
    #[error("dropout must be at least 0 and below 1, not {value}")]
    Dropout {
        /// What was given.
        value: f64,
    },
    /// Something that is left to chance is not a share.
    #[error("{what} must be at least 0 and below 1, not {value}")]
    Share {
        /// Which.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// A one-hot token is one number.
    #[error("{what} drops from vectors of tokens, and one-hot tokens have none: take an embedding")]
    OneHotDropout {
        /// Which.
        what: &'static str,
    },
    /// One number is its own mean.
    #[error(
        "hidden size must be at least 2 for {cell}: of one number, normalised, always 0 is left"
    )]
    NormOfOne {
        /// The cell.
        cell: &'static str,
    },
    /// There is no c.
    #[error(
        "zoneout of c is for cells that have one: lstm and layer-norm-lstm; the cell is {cell}"
    )]
    ZoneoutCell {
        /// The cell.
        cell: &'static str,
    },
    /// The weight of the penalty of gradients is none.
    #[error("the weight that regularizes gradients must be finite and at least 0, not {value}")]
    PenaltyWeight {
        /// What was given.
        value: f64,
    },
    /// The penalty is not for this cell.
    #[error(
        "regularizing gradients holds the one way through h at one size, and {cell} has gates beside \
         it that decide how much passes; it is for rnn-tanh, rnn-relu and rnn-identity"
    )]
    PenaltyOfGates {
        /// The cell.
        cell: &'static str,
    },
    /// With zoneout there is another way.
    #[error(
        "regularizing gradients and zoneout do not go together: what zoneout keeps passes by W_hh"
    )]
    PenaltyWithZoneout,
    /// There are no words.
    #[error("embedding dropout drops words, and vectors are read: take input dropout")]
    NoWords,
    /// What comes later is not written yet.
    #[error("a decoder cannot read both ways: what comes later is not written yet")]
    BidirectionalDecoder,
    /// A product of columns of different lengths.
    #[error(
        "dot attention multiplies the encoder's output of {encoder_size} numbers with the decoder's \
         of {decoder_size}; make them equal, or use general attention"
    )]
    DotAttention {
        /// Rows of the encoder's output.
        encoder_size: usize,
        /// Rows of the decoder's h.
        decoder_size: usize,
    },
    /// There is nothing to feed.
    #[error("input feeding feeds what attention found, and there is no attention")]
    InputFeeding,
    /// The parameters would not fit into memory.
    #[error("a model of these sizes has too many parameters")]
    TooLarge,
    /// Pooling leaves nothing of an image.
    #[error(
        "images of {height} x {width} pixels are too small for {convolutions} convolutions, each \
         of which halves them: take at most {most}, or larger images"
    )]
    ImageTooSmall {
        /// Rows of pixels.
        height: usize,
        /// Pixels in a row.
        width: usize,
        /// How many convolutions were asked for.
        convolutions: usize,
        /// How many such images allow.
        most: usize,
    },
}

pub(crate) fn at_least_one(field: &'static str, size: usize) -> Result<(), ConfigError> {
    if size == 0 { Err(ConfigError::Zero { field }) } else { Ok(()) }
}

/// Refuses sizes that no machine holds, and that arithmetic on them could not count. Whether this
/// machine has the memory is for the caller to find out.
pub(crate) fn countable(parameters: f64) -> Result<(), ConfigError> {
    if parameters < 2f64.powi(40) { Ok(()) } else { Err(ConfigError::TooLarge) }
}
