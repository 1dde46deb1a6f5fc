//! What the value of every task is made of: settings, a codec and a model.

use std::fmt::Debug;
use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_topologies::{
    EncoderDecoder, ImageAnswerer, ImageCaptioner, ManyToMany, ManyToOne, OneToMany,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::forecast::Forecaster;
use super::settings::{Learning, Network};

/// Why a codec of a file is refused: nothing that this program writes is like that.
pub(super) const MISFIT: &str = "what the training part taught does not fit together";

/// A model with its settings and what its data taught before training; parameters stay outside.
///
/// Every task is one of these, with its own three types: `type Tag = TaskModel<Settings, Codec,
/// ManyToMany>`.
pub struct TaskModel<S, C, M> {
    pub(super) settings: S,
    pub(super) codec: C,
    pub(super) model: M,
}

/// The three parts by name. [`TaskModel`] alone has them, so that what every task does with them is
/// written once, and a [`Task`](super::Task) says the rest.
pub trait Parts: Sized {
    /// Everything that decides the bits of a run, beside the data.
    type Settings: TaskSettings;
    /// What turns data into numbers and back: vocabularies, labels, scales. It is learnt from the
    /// training part before training and kept with the model.
    type Codec: Clone + Serialize + DeserializeOwned;
    /// The model.
    type Model: Model;

    /// The parts as a whole.
    fn new(settings: Self::Settings, codec: Self::Codec, model: Self::Model) -> Self;
    /// The settings.
    fn current(&self) -> &Self::Settings;
    /// What turns data into numbers and back.
    fn codec(&self) -> &Self::Codec;
    /// The model.
    fn model(&self) -> &Self::Model;

    /// The part of the settings that says how to learn.
    fn learning(&self) -> &Learning {
        self.current().learning()
    }

    /// The table of the model's parameters.
    fn layout(&self) -> &Arc<Layout> {
        self.model().layout()
    }

    /// Fresh parameters.
    ///
    /// # Errors
    /// [`InitializationError`] if an option is not for these cells.
    fn initialize(
        &self,
        generator: &mut Generator,
    ) -> Result<Parameters<f32>, InitializationError> {
        let &Network { initialization, forget_bias, .. } = self.current().network();
        self.model().initialize(generator, initialization, forget_bias)
    }
}

impl<S, C, M> Parts for TaskModel<S, C, M>
where
    S: TaskSettings,
    C: Clone + Serialize + DeserializeOwned,
    M: Model,
{
    type Settings = S;
    type Codec = C;
    type Model = M;

    fn new(settings: S, codec: C, model: M) -> Self {
        TaskModel { settings, codec, model }
    }

    fn current(&self) -> &S {
        &self.settings
    }

    fn codec(&self) -> &C {
        &self.codec
    }

    fn model(&self) -> &M {
        &self.model
    }
}

/// Settings of a task: those that all have.
pub trait TaskSettings: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// The layers.
    fn network(&self) -> &Network;
    /// How to learn.
    fn learning(&self) -> &Learning;
    /// The same, writable.
    fn learning_mut(&mut self) -> &mut Learning;
}

/// Every task's own settings have the fields `network` and `learning`.
macro_rules! task_settings {
    ($($task:ident),*) => {$(
        impl TaskSettings for super::$task::Settings {
            fn network(&self) -> &Network {
                &self.network
            }

            fn learning(&self) -> &Learning {
                &self.learning
            }

            fn learning_mut(&mut self) -> &mut Learning {
                &mut self.learning
            }
        }
    )*};
}
task_settings!(language_model, classify, tag, translate, forecast, conditional_text, caption, vqa);

/// A model whose parameters a training fits.
pub trait Model {
    /// The table of its parameters.
    fn layout(&self) -> &Arc<Layout>;

    /// Fresh parameters.
    ///
    /// # Errors
    /// [`InitializationError`] if an option is not for these cells.
    fn initialize(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<f32>, InitializationError>;
}

/// Every model has both as methods of its own.
macro_rules! models {
    ($($Model:ident),*) => {$(
        impl Model for $Model {
            fn layout(&self) -> &Arc<Layout> {
                $Model::layout(self)
            }

            fn initialize(
                &self,
                generator: &mut Generator,
                initialization: Initialization,
                forget_bias: Option<f64>,
            ) -> Result<Parameters<f32>, InitializationError> {
                $Model::initialize(self, generator, initialization, forget_bias)
            }
        }
    )*};
}
models!(
    ManyToMany,
    ManyToOne,
    EncoderDecoder,
    OneToMany,
    ImageCaptioner,
    ImageAnswerer,
    Forecaster
);
