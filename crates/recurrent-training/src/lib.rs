//! Training of recurrent networks: losses, truncated backpropagation through time, clipping,
//! optimisers, schedules, and the training step.
//!
//! A [`Trainer`] is a machine that takes one step at a time. The loop around it, the clock, the
//! terminal and the files belong to whoever drives it. An [`Objective`] is a model with a loss on
//! top; [`Windows`] cuts a long text into batches.

#![forbid(unsafe_code)]

mod windows;
pub use windows::{TokenSource, Window, Windows};

mod feeding;
pub use feeding::{DummyFed, Feed, Targets, TeacherForcing};

mod objective;
pub use objective::{
    AnswerBatch, CaptionBatch, EncoderDecoderBatch, EncoderDecoderObjective, ForecastObjective,
    ImageAnswererObjective, ImageCaptionerObjective, Labelled, Loss, ManyToManyObjective,
    ManyToOneObjective, Measured, Objective, OneToManyBatch, OneToManyObjective,
    RegressionObjective, Series, SeriesForecasterObjective, SeriesWindows, Sources, token_loss,
    token_loss_gradient,
};

mod clip;
pub use clip::{clip_by_global_norm, clip_by_value};

mod optimizer;
pub use optimizer::{Optimizer, OptimizerConfig};

mod schedule;
pub use schedule::{Schedule, warm_up};

mod held_out;
pub use held_out::{HeldOutLoss, HeldOutReport};

mod config;
pub use config::{ConfigError, TrainerConfig};

mod trainer;
pub use trainer::{StepReport, Trainer, TrainingError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
