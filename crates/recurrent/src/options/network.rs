//! The options that say what a model is made of, and what a token is.

use clap::ValueEnum;
use recurrent_cells::CellKind;
use recurrent_topologies::TokenEncoding;
use serde::{Deserialize, Serialize};

use super::{Options, initial, regularization, usage};
use crate::tasks::settings::{Network, Tokens};

/// How the rows of a series become those that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopologyKind {
    /// One stack says at every row all that is to follow it.
    #[default]
    ManyToMany,
    /// One stack reads a window, another writes what follows, row after row.
    EncoderDecoder,
}

/// A cell by its name.
///
/// # Errors
/// A line that names those there are.
pub fn parse_cell(text: &str) -> Result<CellKind, String> {
    let known = CellKind::NAMED.map(CellKind::name).join(", ");
    CellKind::NAMED
        .into_iter()
        .find(|cell| cell.name() == text)
        .ok_or_else(|| format!("there is no such cell; there are: {known}"))
}

impl Options {
    /// The layers that these options ask for; sequences have about `steps` steps.
    ///
    /// # Errors
    /// Wrong usage if options do not go together, or a number is out of range.
    pub fn network(&self, steps: usize) -> anyhow::Result<Network> {
        let cell = self.cell.unwrap_or(CellKind::Lstm);
        let network = Network {
            cell,
            hidden_size: self.hidden_size.unwrap_or(128),
            num_layers: self.num_layers.unwrap_or(1),
            bidirectional: self.bidirectional,
            dropout: self.dropout.unwrap_or(0.0),
            regularization: regularization::regularization(self)?,
            initialization: initial::initialization(self, cell, steps)?,
            forget_bias: self.forget_bias,
        };
        network.check().map_err(usage)?;
        Ok(network)
    }

    /// What a token is, and how it becomes a vector.
    ///
    /// # Errors
    /// Wrong usage if options do not go together, or a number is out of range.
    pub fn token_settings(&self) -> anyhow::Result<Tokens> {
        if self.one_hot && self.embedding_size.is_some() {
            return Err(usage("one-hot and embedding-size exclude each other; drop one of them"));
        }
        if self.max_length == Some(0) {
            return Err(usage("--max-length must be at least 1"));
        }
        let hidden_size = self.hidden_size.unwrap_or(128);
        Ok(Tokens {
            tokens: self.tokens.unwrap_or_default(),
            min_count: self.min_count.unwrap_or(1),
            max_length: self.max_length,
            encoding: match self.one_hot {
                true => TokenEncoding::OneHot,
                false => TokenEncoding::Embedding(self.embedding_size.unwrap_or(hidden_size)),
            },
        })
    }
}
