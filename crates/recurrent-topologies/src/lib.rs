//! Recurrent cells through time and depth: ragged batches, stacks of layers, backpropagation
//! through time, whole models, and drawing tokens from what they say.
//!
//! [`Lengths`] puts sequences of different lengths into one batch without padding. A [`Stack`]
//! runs cells over it and back again: what forward leaves is a [`Tape`], and the [`Recorded`] that
//! forward hands out is the one ticket for backward. [`ManyToMany`] is a whole model around a
//! stack, [`ManyToManyStream`] the same model token by token, [`Sampler`] draws the next token.
//! [`ManyToOne`] reads a whole sequence and says one thing of it.

#![forbid(unsafe_code)]

mod lengths;
pub use lengths::Lengths;

mod direction;
pub use direction::{Direction, Directions};

mod state;
pub use state::{LayerState, State};

mod probe;
pub use probe::{Observation, Probe};

mod layer;
pub use layer::{Input, InputGradient};

mod tape;
pub use tape::{Recorded, Tape, Turned};

mod stack;
pub use stack::{InputSlots, Stack, StackOptions};

mod unroll;
pub use unroll::Noise;

mod stepwise;
pub use stepwise::{Retreating, Reversed, Taping};

mod stream;
pub use stream::StackStream;

mod config;
pub use config::{ConfigError, InputConfig, StackConfig, TokenEncoding};

mod sequence_input;
pub use sequence_input::{Reading, SequenceInput, SequenceInputTape};

mod pool;
pub use pool::Pool;

mod sequence_encoder;
pub use sequence_encoder::{SequenceEncoder, SequenceEncoderRecorded, SequenceEncoderTape};

mod many_to_one;
pub use many_to_one::{ManyToOne, ManyToOneConfig, ManyToOneRecorded, ManyToOneTape};

mod many_to_many;
pub use many_to_many::{
    ManyToMany, ManyToManyConfig, ManyToManyRecorded, ManyToManyStream, ManyToManyTape,
};

mod decoding;
pub use decoding::{Sampler, Sampling, SamplingError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
