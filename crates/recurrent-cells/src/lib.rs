//! One step of a recurrent cell (RNN, LSTM, GRU), forward next to backward, with named parameters.
//!
//! A [`Cell`] is its equations and nothing else: it knows no time and keeps no memory between
//! calls. [`PackedCell`] takes a step forward, [`PackedCellBackward`] takes it back;
//! [`Parameters`] holds all numbers of a model in one buffer, under PyTorch's names and in its
//! row order. [`Linear`], [`Embedding`], [`Conv2d`], [`LayerNorm`] and [`initialize`] are what a
//! model needs beside cells.

#![forbid(unsafe_code)]

mod parameters;
pub use parameters::{Entry, Form, Layout, Parameters, Slot};

mod cell;
pub use cell::{
    Backward, Biases, Cell, CellShape, Forward, NormSum, Peephole, PeepholeAt, Phase,
    RecurrentWeight, RowMap, Source, StateRef, Target,
};

mod gate;
pub use gate::{Gate, Keeps};

mod plan;
pub use plan::CellPlan;

mod slots;
pub use slots::CellSlots;

mod activate;

mod rnn;
pub use rnn::{Nonlinearity, Rnn, RnnOptions};

mod layer_norm_lstm;

mod lstm;
pub use lstm::{Lstm, LstmOptions};

mod gru;
pub use gru::{Gru, GruOptions, Reset};

mod any_cell;
pub use any_cell::{AnyCell, CellKind};

mod step;
pub use step::{PackedCell, PackedCellBackward};

mod weighted;
pub use weighted::{PytorchWeights, WeightedCell, WeightsError};

mod linear;
pub use linear::{Linear, PackedLinear};

mod conv2d;
pub use conv2d::{Conv2d, PackedConv2d};

mod layer_norm;
pub use layer_norm::{LayerNorm, LayerNormTape};

mod embedding;
pub use embedding::{Embedding, gather};

pub mod initialize;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
