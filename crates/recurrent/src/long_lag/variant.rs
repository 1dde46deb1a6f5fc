//! What is compared: cells with their initial values and cures, by name.

use recurrent_cells::CellKind;

use crate::options::{InitKind, Options};

/// A cell, how it begins, and what else is done for it: a name, and options of a training. What they
/// leave open is a default of the task.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// The name used on the command line, in files and in tables.
    pub name: String,
    /// The options.
    pub options: Options,
}

/// Every variant that has a name. A new one is one line.
pub fn variants() -> Vec<Variant> {
    use CellKind::{Gru, LayerNormLstm, Lstm, RnnIdentity, RnnRelu, RnnTanh};
    use InitKind::{Chrono, Identity, Orthogonal};
    let cell = |cell| Options { cell: Some(cell), ..Options::default() };
    let init = |kind, init| Options { init: Some(init), ..cell(kind) };
    [
        ("lstm", cell(Lstm)),
        ("lstm-forget-1", Options { forget_bias: Some(1.0), ..cell(Lstm) }),
        ("lstm-forget-5", Options { forget_bias: Some(5.0), ..cell(Lstm) }),
        ("lstm-chrono", init(Lstm, Chrono)),
        ("lstm-orthogonal", init(Lstm, Orthogonal)),
        ("lstm-chrono-zoneout", Options { zoneout_cell: Some(0.05), ..init(Lstm, Chrono) }),
        ("lstm-chrono-weight-drop", Options { weight_dropout: Some(0.1), ..init(Lstm, Chrono) }),
        ("layer-norm-lstm", cell(LayerNormLstm)),
        ("layer-norm-lstm-chrono", init(LayerNormLstm, Chrono)),
        ("gru", cell(Gru)),
        ("gru-chrono", init(Gru, Chrono)),
        ("rnn-tanh", cell(RnnTanh)),
        ("rnn-tanh-orthogonal", init(RnnTanh, Orthogonal)),
        (
            "rnn-tanh-regularized",
            Options { regularize_gradients: Some(1.0), ..init(RnnTanh, Orthogonal) },
        ),
        ("rnn-relu", cell(RnnRelu)),
        ("rnn-relu-identity", init(RnnRelu, Identity)),
        ("rnn-identity-orthogonal", init(RnnIdentity, Orthogonal)),
    ]
    .map(|(name, options)| Variant { name: name.to_owned(), options })
    .into()
}
