//! One step of a recurrent cell (LSTM, GRU), forward next to backward, with named parameters.
//!
//! A [`Cell`] is its equations and nothing else: it knows no time and keeps no memory between
//! calls. [`PackedCell`] takes a step forward, [`PackedCellBackward`] takes it back;
//! [`Parameters`] holds all numbers of a model in one buffer, under PyTorch's names and in its
//! row order. [`Linear`], [`Embedding`] and [`initialize`] are what a model needs beside cells.

#![forbid(unsafe_code)]

mod parameters;
pub use parameters::{Entry, Form, Layout, Parameters, Slot};

mod cell;
pub use cell::{
    Backward, Cell, CellShape, CellSlots, Forward, Phase, RecurrentWeight, RowMap, Source, StateRef,
};

mod lstm;
pub use lstm::Lstm;

mod gru;
pub use gru::Gru;

mod any_cell;
pub use any_cell::{AnyCell, CellKind};

mod step;
pub use step::{PackedCell, PackedCellBackward};

mod linear;
pub use linear::{Linear, PackedLinear};

mod embedding;
pub use embedding::{Embedding, gather};

pub mod initialize;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
