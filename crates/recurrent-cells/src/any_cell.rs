//! A cell chosen at run time: by a command line, or by a checkpoint.

use recurrent_kernels::{Level, Real};
use serde::{Deserialize, Serialize};

use crate::cell::{Backward, Cell, CellShape, Forward, Phase, RowMap};
use crate::{Gru, Lstm};

/// Which cell, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CellKind {
    /// [`Lstm`].
    Lstm,
    /// [`Gru`].
    Gru,
}

impl CellKind {
    /// Every kind there is.
    pub const ALL: [CellKind; 2] = [CellKind::Lstm, CellKind::Gru];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            CellKind::Lstm => "lstm",
            CellKind::Gru => "gru",
        }
    }

    /// A cell of this kind.
    pub fn build(self, input_size: usize, hidden_size: usize) -> AnyCell {
        match self {
            CellKind::Lstm => AnyCell::Lstm(Lstm::new(input_size, hidden_size)),
            CellKind::Gru => AnyCell::Gru(Gru::new(input_size, hidden_size)),
        }
    }
}

/// One of the cells of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnyCell {
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),
}

/// Calls the same method of whichever cell it is.
macro_rules! each {
    ($self:ident, $cell:ident => $call:expr) => {
        match $self {
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
    fn pointwise<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>) {
        each!(self, cell => cell.pointwise(level, phase, step))
    }
    fn pointwise_backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>) {
        each!(self, cell => cell.pointwise_backward(level, phase, step))
    }
}
