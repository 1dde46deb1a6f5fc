//! A cell chosen at run time: by a command line, or by a checkpoint.

use std::ops::Range;

use recurrent_kernels::{Level, Real};
use serde::{Deserialize, Serialize};

use crate::cell::{Backward, Cell, CellShape, Forward, NormSum, Peephole, Phase, RowMap};
use crate::{Gate, Gru, Lstm, LstmOptions, Nonlinearity, Rnn};

/// Which cell, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CellKind {
    /// [`Rnn`] with tanh.
    RnnTanh,
    /// [`Rnn`] with relu.
    RnnRelu,
    /// [`Rnn`] without an activation.
    RnnIdentity,
    /// [`Lstm`].
    Lstm,
    /// [`Gru`].
    Gru,
    /// [`Lstm`] with layer normalisation.
    LayerNormLstm,
}

impl CellKind {
    /// The plain kinds: the cells of their papers without an option.
    pub const ALL: [CellKind; 5] = [
        CellKind::RnnTanh,
        CellKind::RnnRelu,
        CellKind::RnnIdentity,
        CellKind::Lstm,
        CellKind::Gru,
    ];

    /// Every kind that has a name.
    pub const NAMED: [CellKind; 6] = [
        CellKind::RnnTanh,
        CellKind::RnnRelu,
        CellKind::RnnIdentity,
        CellKind::Lstm,
        CellKind::Gru,
        CellKind::LayerNormLstm,
    ];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            CellKind::RnnTanh => "rnn-tanh",
            CellKind::RnnRelu => "rnn-relu",
            CellKind::RnnIdentity => "rnn-identity",
            CellKind::Lstm => "lstm",
            CellKind::Gru => "gru",
            CellKind::LayerNormLstm => "layer-norm-lstm",
        }
    }

    /// A cell with c and a forget gate.
    pub fn is_lstm(self) -> bool {
        matches!(self, CellKind::Lstm | CellKind::LayerNormLstm)
    }

    /// A cell of this kind, without other options.
    pub fn build(self, input_size: usize, hidden_size: usize) -> AnyCell {
        let rnn = |nonlinearity| AnyCell::Rnn(Rnn::new(input_size, hidden_size, nonlinearity));
        match self {
            CellKind::RnnTanh => rnn(Nonlinearity::Tanh),
            CellKind::RnnRelu => rnn(Nonlinearity::Relu),
            CellKind::RnnIdentity => rnn(Nonlinearity::Identity),
            CellKind::Lstm => AnyCell::Lstm(Lstm::new(input_size, hidden_size)),
            CellKind::Gru => AnyCell::Gru(Gru::new(input_size, hidden_size)),
            CellKind::LayerNormLstm => {
                let options = LstmOptions { layer_norm: true, ..LstmOptions::default() };
                AnyCell::Lstm(Lstm::with_options(input_size, hidden_size, options))
            }
        }
    }
}

/// One of the cells of this crate, with its options.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AnyCell {
    /// The vanilla recurrent network.
    Rnn(Rnn),
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),
}

/// Calls the same method of whichever cell it is.
macro_rules! each {
    ($self:ident, $cell:ident => $call:expr) => {
        match $self {
            AnyCell::Rnn($cell) => $call,
            AnyCell::Lstm($cell) => $call,
            AnyCell::Gru($cell) => $call,
        }
    };
}

impl Cell for AnyCell {
    fn shape(&self) -> CellShape {
        each!(self, cell => cell.shape())
    }
    fn input_map(&self) -> Vec<RowMap> {
        each!(self, cell => cell.input_map())
    }
    fn phases(&self) -> Vec<Phase> {
        each!(self, cell => cell.phases())
    }
    fn peepholes(&self) -> Vec<Peephole> {
        each!(self, cell => cell.peepholes())
    }
    fn norm_sums(&self) -> Vec<NormSum> {
        each!(self, cell => cell.norm_sums())
    }
    fn bias_rows(&self) -> Option<Range<usize>> {
        each!(self, cell => cell.bias_rows())
    }
    fn hidden_slope<T: Real>(&self, h: T) -> Option<T> {
        each!(self, cell => cell.hidden_slope(h))
    }
    fn gates(&self) -> Vec<Gate> {
        each!(self, cell => cell.gates())
    }
    fn rectified(&self) -> Range<usize> {
        each!(self, cell => cell.rectified())
    }
    fn pointwise<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>) {
        each!(self, cell => cell.pointwise(level, phase, step))
    }
    fn pointwise_backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>) {
        each!(self, cell => cell.pointwise_backward(level, phase, step))
    }
}

macro_rules! from_cell {
    ($($cell:ident),+) => {
        $(impl From<$cell> for AnyCell {
            fn from(cell: $cell) -> Self {
                AnyCell::$cell(cell)
            }
        })+
    };
}
from_cell!(Rnn, Lstm, Gru);
