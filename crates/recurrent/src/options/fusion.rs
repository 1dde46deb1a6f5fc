//! The option that says how an image and a question become one vector.

use clap::ValueEnum;
use recurrent_topologies::Fusion;
use serde::{Deserialize, Serialize};

/// How two vectors become one, each after a linear map of its own if its size is not the one that is
/// fused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionKind {
    /// They are added; a hidden layer with relu follows.
    Sum,
    /// They are multiplied, number by number; no hidden layer follows.
    #[default]
    Product,
    /// One stands above the other; a hidden layer with relu follows.
    Concat,
}

impl FusionKind {
    /// The same as models know it.
    pub fn fusion(self) -> Fusion {
        match self {
            FusionKind::Sum => Fusion::Sum,
            FusionKind::Product => Fusion::Product,
            FusionKind::Concat => Fusion::Concatenation,
        }
    }
}
