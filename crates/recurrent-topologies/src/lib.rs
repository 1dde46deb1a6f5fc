//! Recurrent cells through time and depth: ragged batches, stacks of layers, backpropagation
//! through time, whole models, and drawing tokens from what they say.
//!
//! [`Lengths`] puts sequences of different lengths into one batch without padding. A [`Stack`]
//! runs cells over it and back again: what forward leaves is a [`Tape`], and the [`Recorded`] that
//! forward hands out is the one ticket for backward. [`ManyToMany`] is a whole model around a
//! stack; what writes runs token by token, too, as a [`DecoderStream`]. [`ManyToOne`] reads a whole
//! sequence and says one thing of it. [`ImageEncoder`] is a part of models
//! that look at an image. What can be stepped is a [`TokenStream`]: [`sample`] and [`beam_search`]
//! make whole sequences with it, within [`Constraints`].

#![forbid(unsafe_code)]

mod lengths;
pub use lengths::Lengths;

mod direction;
pub use direction::{Direction, Directions};

mod state;
pub use state::{LayerState, State};

mod probe;
pub use probe::{Observation, Probe, Undone};

mod gradient_norms;
pub use gradient_norms::GradientNorms;

mod by_cell;

mod gradient_profile;
pub use gradient_profile::{CellProfile, GradientProfile};

mod gate_statistics;
pub use gate_statistics::{CellGates, GATE_BINS, GateHistogram, GateStatistics};

mod weight_contributions;
pub use weight_contributions::WeightContributions;

mod singular_value;

mod state_jacobian;
pub use state_jacobian::StateJacobian;

mod layer;
pub use layer::{Input, InputGradient};

mod tape;
pub use tape::{Recorded, Tape, Turned};

mod stack;
pub use stack::{InputSlots, Stack, StackOptions};

mod near;

mod unroll;
pub use unroll::Noise;

mod regularization;
pub use regularization::Regularization;

mod zoneout;

mod gradient_penalty;

mod stepwise;
pub use stepwise::{Retreating, Reversed, Taping};

mod stream;
pub use stream::StackStream;

mod inference;
pub use inference::{Inferred, StackInference};

mod config;
pub use config::{ConfigError, InputConfig, StackConfig, TokenEncoding};

mod sequence_input;
pub use sequence_input::{Reading, SequenceInput, SequenceInputTape};

mod reader;

mod pool;
pub use pool::Pool;

mod sequence_encoder;
pub use sequence_encoder::{SequenceEncoder, SequenceEncoderRecorded, SequenceEncoderTape};

mod many_to_one;
pub use many_to_one::{ManyToOne, ManyToOneConfig, ManyToOneRecorded, ManyToOneTape};

mod fusion;
pub use fusion::{Fusion, FusionLayer, FusionTape};

mod visual_question;
pub use visual_question::{
    VisualQuestion, VisualQuestionConfig, VisualQuestionRecorded, VisualQuestionTape,
};

mod series_forecaster;
pub use series_forecaster::{
    SeriesFeed, SeriesForecaster, SeriesForecasterConfig, SeriesForecasterRecorded,
    SeriesForecasterTape,
};

mod many_to_many;
pub use many_to_many::{
    ManyToMany, ManyToManyConfig, ManyToManyHidden, ManyToManyRecorded, ManyToManyTape,
};

mod image_encoder;
pub use image_encoder::{ImageEncoder, ImageEncoderConfig, ImageEncoderTape};

mod image_input;
pub use image_input::{ImageInput, ImageInputConfig, ImageInputTape};

mod bridge;
pub use bridge::Bridge;

mod attention;
pub use attention::AttentionKind;

mod decoder;

mod decoder_stream;
pub use decoder_stream::DecoderStream;

mod one_to_many;
pub use one_to_many::{Condition, OneToMany, OneToManyConfig, OneToManyRecorded, OneToManyTape};

mod image_captioner;
pub use image_captioner::{
    ImageCaptioner, ImageCaptionerConfig, ImageCaptionerRecorded, ImageCaptionerTape,
};

mod image_answerer;
pub use image_answerer::{
    ImageAnswerer, ImageAnswererConfig, ImageAnswererRecorded, ImageAnswererTape,
};

mod encoder_decoder;
pub use encoder_decoder::{
    EncoderDecoder, EncoderDecoderConfig, EncoderDecoderRecorded, EncoderDecoderTape,
};

mod decoding;
pub use decoding::{
    Beam, Constraints, DecodingError, Ended, Hypothesis, Sampler, Sampling, SamplingError,
    TokenStream, beam_search, sample,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
