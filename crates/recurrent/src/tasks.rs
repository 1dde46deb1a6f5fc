//! What a model can be trained to do: one file a task, and what they have in common.
//!
//! A [`Task`] says how a person's data become batches, which model learns from them, and which
//! figures judge it. The loop, the files and the terminal are the same for all of them:
//! [`training`], [`checkpoint`], and the command line.

use std::path::Path;

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_training::Objective;
use serde::Serialize;

use crate::data::DataError;
use crate::gradient_flow::LayerFlow;
use crate::options::{Options, usage};

/// Does `body` with the type of a task as `T`.
macro_rules! with_task {
    ($name:expr, $T:ident => $body:expr) => {
        match $name {
            $crate::tasks::TaskName::LanguageModel => {
                type $T = $crate::tasks::LanguageModel;
                $body
            }
            $crate::tasks::TaskName::Classify => {
                type $T = $crate::tasks::Classify;
                $body
            }
            $crate::tasks::TaskName::Tag => {
                type $T = $crate::tasks::Tag;
                $body
            }
            $crate::tasks::TaskName::Translate => {
                type $T = $crate::tasks::Translate;
                $body
            }
            $crate::tasks::TaskName::Forecast => {
                type $T = $crate::tasks::Forecast;
                $body
            }
            $crate::tasks::TaskName::ConditionalText => {
                type $T = $crate::tasks::ConditionalText;
                $body
            }
            $crate::tasks::TaskName::Caption => {
                type $T = $crate::tasks::Caption;
                $body
            }
            $crate::tasks::TaskName::Vqa => {
                type $T = $crate::tasks::Vqa;
                $body
            }
        }
    };
}
pub(crate) use with_task;

pub mod settings;

mod parts;
pub use parts::{Model, Parts, TaskModel, TaskSettings};

pub mod training;
pub use training::Training;

pub mod checkpoint;

mod apply;
pub use apply::{Generate, Input, Predict, Prediction, Ranking, require_one_text};

pub mod examples;

pub mod writing;

pub mod pictures;

pub mod language_model;
pub use language_model::LanguageModel;

pub mod classify;
pub use classify::Classify;

pub mod tag;
pub use tag::Tag;

pub mod translate;
pub use translate::Translate;

pub mod forecast;
pub use forecast::Forecast;

pub mod conditional_text;
pub use conditional_text::ConditionalText;

pub mod caption;
pub use caption::Caption;

pub mod vqa;
pub use vqa::Vqa;

/// A task: from what a person has to a model that is trained, measured and used.
///
/// A value of the type is a [`TaskModel`].
pub trait Task: Parts + Send + 'static {
    /// The name on the command line and in files.
    const NAME: &'static str;
    /// The options that it takes beside [`COMMON`](crate::options::groups::COMMON).
    const OPTIONS: &'static [&'static [&'static str]];
    /// What a step learns from comes in the order of the data; else it is shuffled every epoch.
    const IN_ORDER: bool = false;

    /// Data as numbers: the training part, or a part to be judged on.
    type Examples;
    /// The model with its loss.
    type Objective: Objective<f32, Batch: Sync> + Send;
    /// The figures of an evaluation.
    type Report: Report;

    /// The options where a person gives none; what is not here has one default for all tasks.
    fn defaults() -> Options;

    /// The settings that options make; defaults are filled in already.
    ///
    /// # Errors
    /// Wrong usage if options do not go together, or a number is out of range.
    fn settings(options: &Options) -> anyhow::Result<Self::Settings>;

    /// Reads both parts, learns the codec from the training part unless it is given, and checks
    /// that there is enough of either.
    ///
    /// # Errors
    /// A line that says what is wrong with the data, and where.
    fn read(
        options: &Options,
        settings: &Self::Settings,
        codec: Option<Self::Codec>,
    ) -> anyhow::Result<Data<Self>>;

    /// Reads data to be judged on.
    ///
    /// # Errors
    /// A line that says what is wrong with the data, and where.
    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<Self::Examples>;

    /// The model of these settings, for what the training part taught.
    ///
    /// # Errors
    /// A line that says which setting is out of range.
    fn build(settings: &Self::Settings, codec: &Self::Codec) -> anyhow::Result<Self::Model>;

    /// Fits fresh parameters to the data before the first step, where that helps; else nothing.
    fn prepare(
        &self,
        _compute: &Compute,
        _parameters: &mut Parameters<f32>,
        _examples: &Self::Examples,
    ) {
    }

    /// The model with its loss on top.
    fn objective(&self) -> Self::Objective;

    /// How many units an epoch has: examples, of which a batch takes `batch_size`, or windows in
    /// order, of which a step takes one.
    fn units(&self, examples: &Self::Examples) -> usize;

    /// The batch of these units.
    ///
    /// # Errors
    /// If examples that are read as they are needed cannot be read.
    fn batch(
        &self,
        examples: &Self::Examples,
        units: &[usize],
    ) -> Result<<Self::Objective as Objective<f32>>::Batch, DataError>;

    /// Numbers that the longest sequence of a training leaves on its tape at least, to be asked of
    /// the system before the work begins.
    fn tape(&self, examples: &Self::Examples) -> u128;

    /// A number that changes when anything does that a training reads or is judged on.
    fn fingerprint(data: &Data<Self>) -> u64;

    /// What the data are, for a line at the start: "vocabulary of 65; 1,003 lines to learn from".
    fn describe(&self, data: &Data<Self>) -> String;

    /// What a loss counts, in the plural: "characters", "examples".
    fn unit(&self) -> &'static str;

    /// The loss of guessing without having learnt anything; far above it training has exploded.
    fn guessing(&self) -> f64;

    /// The same for one batch, where batches are not equally hard to guess.
    fn guessing_of(&self, _batch: &<Self::Objective as Objective<f32>>::Batch) -> f64 {
        self.guessing()
    }

    /// The figures on data that the model has not learnt from.
    ///
    /// # Errors
    /// If the model's numbers are of no use.
    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Self::Examples,
    ) -> anyhow::Result<Self::Report>;

    /// How far a loss reaches back through time in examples that the model has not learnt from,
    /// through `lag` steps or as many as the task thinks right: layer by layer.
    ///
    /// # Errors
    /// Wrong usage if a loss has no lag in this task; if no example is as long.
    fn gradient_flow(
        &self,
        _compute: &Compute,
        _parameters: &Parameters<f32>,
        _examples: &Self::Examples,
        _lag: Option<usize>,
    ) -> anyhow::Result<Vec<LayerFlow>> {
        let name = Self::NAME;
        Err(usage(format!(
            "gradient-flow follows a loss back through the steps of one sequence; in {name} it goes \
             through more than that; `train {name} --watch-gradients 100` shows what reaches its layers"
        )))
    }

    /// Puts the tokens of every example in an order of chance, to show what order is worth.
    ///
    /// # Errors
    /// Wrong usage if there is nothing to shuffle.
    fn shuffle_tokens(&self, _examples: &mut Self::Examples, _seed: u64) -> anyhow::Result<()> {
        Err(usage(format!(
            "--shuffle-tokens: {} reads no sequence whose order could be lost",
            Self::NAME
        )))
    }

    /// One result for each piece of input.
    ///
    /// # Errors
    /// A line that says what is wrong with the input, and where.
    fn predict(
        &self,
        _compute: &Compute,
        _parameters: Parameters<f32>,
        _input: Input<'_>,
        _how: &Predict,
        _emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        Err(usage(format!("a model of {} does not predict; use generate", Self::NAME)))
    }

    /// Texts of the model's own, each to `emit`.
    ///
    /// # Errors
    /// Wrong usage, if the model's numbers are of no use, or what `emit` fails with.
    fn generate(
        &self,
        _compute: &Compute,
        _parameters: Parameters<f32>,
        _how: &Generate,
        _emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        Err(usage(format!("a model of {} does not write; use predict", Self::NAME)))
    }
}

/// What a training reads.
pub struct Data<T: Task> {
    /// What turns it into numbers.
    pub codec: T::Codec,
    /// The part to learn from.
    pub train: T::Examples,
    /// The part to be judged on.
    pub held_out: T::Examples,
    /// How many examples are too long to learn from, in a line, if there are any.
    pub left_out: Option<String>,
}

/// The figures of an evaluation; as JSON they are an object.
pub trait Report: Serialize + Send {
    /// What is to become small: the best model has the lowest.
    fn loss(&self) -> f64;
    /// The most telling figure, for a line: "perplexity 5.31", "accuracy 93.1 %".
    fn headline(&self) -> String;
    /// Every figure with its name and unit, for a person.
    fn lines(&self) -> Vec<(&'static str, String)>;
}

/// The tasks by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskName {
    /// [`LanguageModel`].
    LanguageModel,
    /// [`Classify`].
    Classify,
    /// [`Tag`].
    Tag,
    /// [`Translate`].
    Translate,
    /// [`Forecast`].
    Forecast,
    /// [`ConditionalText`].
    ConditionalText,
    /// [`Caption`].
    Caption,
    /// [`Vqa`].
    Vqa,
}

impl TaskName {
    /// All of them, in the order of the help.
    pub const ALL: [TaskName; 8] = [
        TaskName::LanguageModel,
        TaskName::Classify,
        TaskName::Tag,
        TaskName::Translate,
        TaskName::Forecast,
        TaskName::ConditionalText,
        TaskName::Caption,
        TaskName::Vqa,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        with_task!(self, T => T::NAME)
    }

    /// The task of this name, if there is one.
    pub fn from_name(name: &str) -> Option<TaskName> {
        TaskName::ALL.into_iter().find(|task| task.name() == name)
    }

    /// The options where a person gives none.
    pub fn defaults(self) -> Options {
        with_task!(self, T => T::defaults())
    }

    /// Whether the task has this option.
    pub fn takes(self, option: &str) -> bool {
        let own = with_task!(self, T => T::OPTIONS);
        own.iter().chain(crate::options::groups::COMMON).any(|group| group.contains(&option))
    }
}
