//! The options that say how the parameters of cells begin.

use clap::ValueEnum;
use recurrent_cells::CellKind;
use recurrent_cells::initialize::Initialization;
use serde::{Deserialize, Serialize};

use super::{Options, usage};

/// How the weights of cells begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitKind {
    /// PyTorch's default: uniform within 1 / sqrt(hidden size).
    #[default]
    Uniform,
    /// Uniform within Glorot and Bengio's bound, biases zero.
    Xavier,
    /// Recurrent weights that neither stretch nor shrink, the rest as xavier.
    Orthogonal,
    /// Recurrent weights that keep h as it is; rnn-tanh, rnn-relu and rnn-identity only. What is
    /// read adds up over a long text: take small rates, such as sgd with 0.01.
    Identity,
    /// Gates that remember over the length of the sequences; lstm, layer-norm-lstm and gru only.
    Chrono,
}

/// What `--init` and `--forget-bias` ask for.
pub(super) fn initialization(
    options: &Options,
    cell: CellKind,
    steps: usize,
) -> anyhow::Result<Initialization> {
    let kind = options.init.unwrap_or_default();
    let initialization = match kind {
        InitKind::Uniform => Initialization::Uniform,
        InitKind::Xavier => Initialization::Xavier,
        InitKind::Orthogonal => Initialization::Orthogonal,
        InitKind::Identity => Initialization::Identity,
        InitKind::Chrono => Initialization::Chrono { steps: steps as u64 },
    };
    let name = cell.name();
    initialization
        .check(&cell.build(1, 1))
        .map_err(|error| usage(format!("--init: {error}; the cell is {name}")))?;
    if let Some(value) = options.forget_bias {
        if !cell.is_lstm() {
            return Err(usage(format!("--forget-bias: a {name} has no forget gate")));
        }
        if kind == InitKind::Chrono {
            return Err(usage("--forget-bias: --init chrono sets it already; drop one of them"));
        }
        // It becomes an f32, in which 1e39 is infinite.
        if !(value as f32).is_finite() {
            return Err(usage(format!("--forget-bias must be a finite f32, not {value:?}")));
        }
    }
    Ok(initialization)
}
