//! The language model: predict the next token of a text.
//!
//! Training is truncated backpropagation through time over parallel streams ([`Windows`]).
//!
//! The evaluation protocol is fixed, so that figures can be compared: the held-out text is cut
//! into [`EVALUATION_STREAMS`] parallel streams, read from its start to its end with the state
//! carried from window to window. Every token is predicted once, but for the text's first and up to
//! nine at its end, because streams have equal lengths.

use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::{InputConfig, ManyToMany, ManyToManyConfig, StackConfig, TokenEncoding};
use recurrent_training::{
    Loss, ManyToManyObjective, Objective, OptimizerConfig, Schedule, StepReport, Trainer,
    TrainerConfig, TrainingError, Windows,
};
use serde::{Deserialize, Serialize};

use crate::data::text::EVALUATION_STREAMS;
use crate::data::{TokenKind, Vocabulary};

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunSchedule {
    /// It does not.
    Constant,
    /// It is multiplied by `factor` after every so many epochs.
    Step {
        /// Above 0 and below 1.
        factor: f64,
        /// At least 1.
        epochs: u64,
    },
    /// It falls with every step, so that an epoch multiplies it by `factor`.
    Exponential {
        /// Above 0 and below 1.
        factor: f64,
    },
    /// It falls along half a cosine to zero at the end of the run.
    Cosine,
    /// It is multiplied by `factor` when more than `patience` epochs in a row brought no better
    /// held-out loss.
    Plateau {
        /// Above 0 and below 1.
        factor: f64,
        /// How many epochs in a row may bring no better loss.
        patience: u64,
    },
}

impl RunSchedule {
    /// The same for a run of `total` steps, of which `epoch` make an epoch.
    fn in_steps(self, total: u64, epoch: u64) -> Schedule {
        match self {
            RunSchedule::Constant => Schedule::Constant,
            RunSchedule::Step { factor, epochs } => {
                Schedule::Step { factor, every: epochs.saturating_mul(epoch) }
            }
            RunSchedule::Exponential { factor } => Schedule::Exponential { factor, every: epoch },
            RunSchedule::Cosine => Schedule::Cosine { steps: total },
            RunSchedule::Plateau { factor, patience } => {
                Schedule::Plateau { factor, patience, threshold: 1e-4, minimum: 0.0 }
            }
        }
    }
}

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What a token is.
    pub tokens: TokenKind,
    /// Rarer tokens become one unknown token.
    pub min_count: u64,
    /// The cell of every layer.
    pub cell: CellKind,
    /// Numbers in h.
    pub hidden_size: usize,
    /// Layers.
    pub num_layers: usize,
    /// How a token becomes a vector.
    pub encoding: TokenEncoding,
    /// The share of h dropped between layers.
    pub dropout: f64,
    /// How the cells' parameters begin.
    #[serde(default)]
    pub initialization: Initialization,
    /// The forget gate's bias at the start.
    pub forget_bias: Option<f64>,
    /// How often the training part is read.
    pub epochs: u64,
    /// The most steps.
    pub steps: Option<u64>,
    /// Streams side by side.
    pub batch_size: usize,
    /// Steps of a window.
    pub sequence_length: usize,
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes.
    pub schedule: RunSchedule,
    /// Steps over which the learning rate rises at the start.
    #[serde(default)]
    pub warm_up: u64,
    /// The largest magnitude of a gradient's numbers.
    #[serde(default)]
    pub clip_value: Option<f64>,
    /// The largest global norm of the gradients.
    pub clip_norm: Option<f64>,
    /// Ends the run after so many epochs without a better held-out loss.
    #[serde(default)]
    pub patience: Option<u64>,
    /// Decides initial values and dropout masks.
    pub seed: u64,
}

/// The longest window: dropout masks of different steps would meet beyond it.
const MOST_STEPS: usize = 1 << 24;

impl Settings {
    /// Checks every number.
    ///
    /// # Errors
    /// A line that names the first number out of range.
    pub fn check(&self) -> Result<(), String> {
        let sizes = [
            // First, because the embedding size follows it where none is given.
            ("hidden size", self.hidden_size as u64),
            ("the number of epochs", self.epochs),
            ("the number of steps", self.steps.unwrap_or(1)),
            ("the batch size", self.batch_size as u64),
            ("the sequence length", self.sequence_length as u64),
        ];
        if let Some((what, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Err(format!("{what} must be at least 1"));
        }
        // Two moments of four parameters a layer are as many sections as a checkpoint can hold.
        if self.num_layers > MOST_LAYERS {
            return Err(format!("the number of layers must be at most {MOST_LAYERS}"));
        }
        if self.sequence_length > MOST_STEPS {
            return Err(format!("the sequence length must be at most {MOST_STEPS}"));
        }
        self.model(2).build().map_err(|error| error.to_string())?;
        self.trainer(1, 1).check_for::<f32>().map_err(|error| error.to_string())
    }

    /// The model for a vocabulary of this size.
    pub fn model(&self, vocabulary_size: usize) -> ManyToManyConfig {
        let &Settings { encoding, cell, hidden_size, num_layers, dropout, .. } = self;
        ManyToManyConfig {
            input: InputConfig::Tokens { vocabulary_size, encoding },
            stack: StackConfig { cell, hidden_size, num_layers, bidirectional: false, dropout },
            output_size: vocabulary_size,
        }
    }

    /// How to train for `total` steps, of which `epoch` make an epoch.
    fn trainer(&self, total: u64, epoch: u64) -> TrainerConfig {
        TrainerConfig {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            schedule: self.schedule.in_steps(total, epoch),
            warm_up: self.warm_up,
            clip_value: self.clip_value,
            clip_norm: self.clip_norm,
            patience: self.patience,
        }
    }
}

/// The deepest stack.
const MOST_LAYERS: usize = 1000;

/// Randomness for different purposes comes from different streams of the seed.
const INITIALIZATION: u64 = 1;

/// Beyond this many times the loss of plain guessing, training has exploded for good.
const EXPLODED: f64 = 20.0;

/// Whether a loss over a vocabulary of this size says that the model has exploded.
pub fn has_exploded(loss: f64, vocabulary_size: usize) -> bool {
    loss > EXPLODED * (vocabulary_size as f64).ln().max(1.0)
}

/// Why a training stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A number was not finite.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// The loss is far worse than guessing.
    #[error(
        "the loss exploded: {loss:.1} at step {step}, where plain guessing gives {guessing:.2}; a \
         lower learning rate or a smaller clip norm helps, and with --init identity or a cell \
         without bounds (rnn-relu, rnn-identity) another --init"
    )]
    Exploded {
        /// The step, counted from 1.
        step: u64,
        /// The loss, in nats per token.
        loss: f64,
        /// ln(vocabulary size).
        guessing: f64,
    },
}

/// A language model in training.
pub struct Training {
    /// What decides its bits.
    pub settings: Settings,
    /// Its tokens.
    pub vocabulary: Vocabulary,
    /// Its parameters, and all that the next step depends on.
    pub trainer: Trainer<f32, ManyToManyObjective<f32>>,
    /// The loss of the epoch so far.
    pub epoch_loss: Loss,
    /// The lowest loss on held-out text after an epoch; infinite before the first.
    pub best: f64,
    windows_per_epoch: u64,
}

impl Training {
    /// A model with fresh parameters. `train` is the training part.
    ///
    /// # Errors
    /// A line that says which setting is out of range.
    pub fn new(
        settings: Settings,
        vocabulary: Vocabulary,
        compute: Compute,
        train: &[u32],
    ) -> Result<Self, String> {
        settings.check()?;
        let model = build(&settings, &vocabulary)?;
        // Parameters, gradients and what the optimiser keeps; and of each step and layer at least
        // the four gates, c and h.
        let tokens = settings.batch_size as u128 * settings.sequence_length as u128;
        let tape = tokens * 6 * settings.num_layers as u128 * settings.hidden_size as u128;
        let buffers = 2 + settings.optimizer.kept() as u128;
        require_memory(buffers * model.layout().count() as u128 + tape)?;
        let mut generator = Generator::new(settings.seed, INITIALIZATION);
        let parameters = model
            .initialize(&mut generator, settings.initialization, settings.forget_bias)
            .map_err(|error| error.to_string())?;
        let objective = ManyToManyObjective::new(model, settings.batch_size, settings.seed);
        let windows = Windows::new(train, settings.batch_size, settings.sequence_length);
        let windows_per_epoch = windows.count() as u64;
        let total = total_steps(&settings, windows_per_epoch);
        let config = settings.trainer(total, windows_per_epoch);
        let trainer = Trainer::new(config, compute, objective, parameters)
            .map_err(|error| error.to_string())?;
        let epoch_loss = Loss::default();
        let best = f64::INFINITY;
        Ok(Training { settings, vocabulary, trainer, epoch_loss, best, windows_per_epoch })
    }

    /// The model.
    pub fn model(&self) -> &ManyToMany {
        self.trainer.objective().model()
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        total_steps(&self.settings, self.windows_per_epoch)
    }

    /// Steps of an epoch.
    pub fn windows_per_epoch(&self) -> u64 {
        self.windows_per_epoch
    }

    /// The epoch that the next step belongs to, counted from 1.
    pub fn epoch(&self) -> u64 {
        self.trainer.steps() / self.windows_per_epoch + 1
    }

    /// There is nothing more to do: every step is taken, or patience is at its end.
    pub fn is_over(&self) -> bool {
        self.trainer.steps() >= self.total_steps() || self.trainer.is_out_of_patience()
    }

    /// An epoch has just ended, or the run.
    pub fn at_epoch_end(&self) -> bool {
        let steps = self.trainer.steps();
        steps > 0 && (steps.is_multiple_of(self.windows_per_epoch) || steps == self.total_steps())
    }

    /// Learns from the next window of the training part.
    ///
    /// # Errors
    /// [`StepError`] if the training went wrong for good.
    pub fn step(&mut self, train: &[u32]) -> Result<StepReport, StepError> {
        let Settings { batch_size, sequence_length, .. } = self.settings;
        let steps = self.trainer.steps();
        if steps.is_multiple_of(self.windows_per_epoch) {
            self.epoch_loss = Loss::default();
        }
        let windows = Windows::new(train, batch_size, sequence_length);
        let report = self.trainer.step(&windows.get((steps % self.windows_per_epoch) as usize))?;
        self.epoch_loss += report.loss;
        let (loss, guessing) = (report.loss.mean(), (self.vocabulary.len() as f64).ln());
        if has_exploded(loss, self.vocabulary.len()) {
            return Err(StepError::Exploded { step: report.step, loss, guessing });
        }
        Ok(report)
    }
}

fn total_steps(settings: &Settings, windows_per_epoch: u64) -> u64 {
    let all = settings.epochs.saturating_mul(windows_per_epoch);
    settings.steps.map_or(all, |steps| steps.min(all))
}

/// The model of these settings and this vocabulary.
///
/// # Errors
/// A line that says which setting is out of range.
pub fn build(settings: &Settings, vocabulary: &Vocabulary) -> Result<ManyToMany, String> {
    let model = settings.model(vocabulary.len()).build().map_err(|error| error.to_string())?;
    require_memory(model.layout().count() as u128)?;
    Ok(model)
}

/// Asks the system for room for so many `f32`, and gives it back: sizes that cannot fit are a
/// line of text, and not an abort in the middle of the work.
fn require_memory(numbers: u128) -> Result<(), String> {
    let bytes = numbers * 4;
    let mut room = Vec::<u8>::new();
    let granted = usize::try_from(bytes).is_ok_and(|bytes| room.try_reserve_exact(bytes).is_ok());
    // Without this the compiler may leave out an allocation that nobody reads.
    std::hint::black_box(&mut room);
    if granted {
        return Ok(());
    }
    Err(format!(
        "a model of these sizes needs at least {:.1} GB of memory, more than there is; lower \
         --hidden-size, --embedding-size, --num-layers or --batch-size",
        bytes as f64 / 1e9
    ))
}

/// The loss on held-out text by the fixed protocol; see the module's head.
pub fn evaluate(
    compute: &Compute,
    model: &ManyToMany,
    parameters: &Parameters<f32>,
    tokens: &[u32],
) -> Loss {
    // The window only bounds memory: the state is carried and nothing is learnt.
    let windows = Windows::new(tokens, EVALUATION_STREAMS, 100);
    let mut objective = ManyToManyObjective::new(model.clone(), EVALUATION_STREAMS, 0);
    let mut loss = Loss::default();
    for index in 0..windows.count() {
        loss += objective.evaluate(compute, parameters, &windows.get(index));
    }
    loss
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Nats per token.
    pub loss: f64,
    /// e to the loss: among how many equally likely tokens the model seems to choose.
    pub perplexity: f64,
    /// The loss in bits.
    pub bits_per_token: f64,
    /// How many tokens were predicted.
    pub tokens: usize,
}

impl From<Loss> for Report {
    fn from(loss: Loss) -> Report {
        let mean = loss.mean();
        Report {
            loss: mean,
            perplexity: mean.exp(),
            bits_per_token: mean / std::f64::consts::LN_2,
            tokens: loss.count,
        }
    }
}
