//! A model in training: which batch comes next, when an epoch ends, when it is over.

use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_training::{Loss, StepReport, Trainer, TrainingError};

use super::{Data, Task, TaskSettings};
use crate::data::DataError;
use crate::gradient_watch::GradientWatch;

/// Randomness for different purposes comes from different streams of the seed.
const INITIALIZATION: u64 = 1;
/// The stream that generation draws from.
pub const GENERATION: u64 = 2;
/// The streams of the epochs' orders begin here.
const ORDER: u64 = 1 << 32;

/// Beyond this many times the loss of plain guessing, training has exploded for good.
const EXPLODED: f64 = 20.0;

/// Whether a loss says that the model has exploded, where guessing gives `guessing`.
pub fn has_exploded(loss: f64, guessing: f64) -> bool {
    loss > EXPLODED * guessing.max(1.0)
}

/// Why a training stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A number was not finite.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// What a batch is made of cannot be read any more.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss is far worse than guessing.
    #[error(
        "the loss exploded: {loss:.1} at step {step}, where plain guessing gives {guessing:.2}; a \
         lower learning rate or a smaller clip norm helps, and with --init identity or a cell \
         without bounds (rnn-relu, rnn-identity) another --init"
    )]
    Exploded {
        /// The step, counted from 1.
        step: u64,
        /// The loss, in nats or squared deviations.
        loss: f64,
        /// That of plain guessing.
        guessing: f64,
        /// The global norm of the step's gradients before clipping.
        gradient_norm: f64,
    },
}

/// What is known of a step that ended a run.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedBy {
    /// The step, counted from 1.
    pub step: u64,
    /// Its loss, if that is what was wrong with it; NaN or infinite where it was no number.
    pub loss: Option<f64>,
    /// The global norm of its gradients, if it was finite.
    pub gradient_norm: Option<f64>,
    /// The first parameter whose gradient was not finite, if that is what was wrong.
    pub parameter: Option<String>,
}

impl StepError {
    /// What is known of the step; nothing where its batch could not be read.
    pub fn step(&self) -> Option<EndedBy> {
        let unknown = EndedBy { step: 0, loss: None, gradient_norm: None, parameter: None };
        Some(match self {
            StepError::Data(_) => return None,
            &StepError::Exploded { step, loss, gradient_norm, .. } => {
                let (loss, gradient_norm) = (Some(loss), Some(gradient_norm));
                EndedBy { step, loss, gradient_norm, ..unknown }
            }
            StepError::Training(error) => match error {
                &TrainingError::NonFiniteLoss { step, loss } => {
                    EndedBy { step, loss: Some(loss), ..unknown }
                }
                TrainingError::NonFiniteGradient { step, parameter } => {
                    EndedBy { step: *step, parameter: Some(parameter.clone()), ..unknown }
                }
                &TrainingError::GradientTooLarge { step, norm, .. } => {
                    EndedBy { step, gradient_norm: Some(norm), ..unknown }
                }
                _ => return None,
            },
        })
    }
}

/// A model in training.
pub struct Training<T: Task> {
    /// The model, its settings and its codec.
    pub task: T,
    /// Its parameters, and all that the next step depends on.
    pub trainer: Trainer<f32, T::Objective>,
    /// The loss of the epoch so far.
    pub epoch_loss: Loss,
    /// The lowest loss on held-out data after an epoch; infinite before the first.
    pub best: f64,
    units: usize,
    steps_per_epoch: u64,
    /// The units in the order of the epoch whose number stands beside.
    order: (Vec<usize>, Option<u64>),
}

impl<T: Task> Training<T> {
    /// A model with fresh parameters.
    ///
    /// # Errors
    /// A line that says which setting is out of range.
    pub fn new(settings: T::Settings, compute: Compute, data: &Data<T>) -> Result<Self, String> {
        let task = build::<T>(settings, data.codec.clone())?;
        let learning = task.learning().clone();
        // Parameters, gradients and what the optimiser keeps, and the tape.
        let buffers = 2 + learning.optimizer.kept() as u128;
        let tape = learning.batch_size as u128 * task.tape(&data.train);
        require_memory(buffers * task.layout().count() as u128 + tape)?;
        let mut generator = Generator::new(learning.seed, INITIALIZATION);
        let mut parameters = task.initialize(&mut generator).map_err(|error| error.to_string())?;
        task.prepare(&compute, &mut parameters, &data.train);
        let units = task.units(&data.train);
        let batch = if T::IN_ORDER { 1 } else { learning.batch_size };
        let steps_per_epoch = units.div_ceil(batch) as u64;
        let total = learning.total_steps(steps_per_epoch);
        let config = learning.trainer(total, steps_per_epoch);
        let trainer = Trainer::new(config, compute, task.objective(), parameters)
            .map_err(|error| error.to_string())?;
        Ok(Training {
            task,
            trainer,
            epoch_loss: Loss::default(),
            best: f64::INFINITY,
            units,
            steps_per_epoch,
            order: (vec![], None),
        })
    }

    /// How to learn.
    pub fn learning(&self) -> &super::settings::Learning {
        self.task.learning()
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.learning().total_steps(self.steps_per_epoch)
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// The epoch that the next step belongs to, counted from 1.
    pub fn epoch(&self) -> u64 {
        self.trainer.steps() / self.steps_per_epoch + 1
    }

    /// There is nothing more to do: every step is taken, or patience is at its end.
    pub fn is_over(&self) -> bool {
        self.trainer.steps() >= self.total_steps() || self.trainer.is_out_of_patience()
    }

    /// An epoch has just ended, or the run.
    pub fn at_epoch_end(&self) -> bool {
        let steps = self.trainer.steps();
        steps > 0 && (steps.is_multiple_of(self.steps_per_epoch) || steps == self.total_steps())
    }

    /// Learns from the next batch of the training part, while `watch` looks on.
    ///
    /// # Errors
    /// [`StepError`] if the training went wrong for good.
    pub fn step(
        &mut self,
        train: &T::Examples,
        watch: Option<&GradientWatch>,
    ) -> Result<StepReport, StepError> {
        let steps = self.trainer.steps();
        if steps.is_multiple_of(self.steps_per_epoch) {
            self.epoch_loss = Loss::default();
        }
        let index = (steps % self.steps_per_epoch) as usize;
        let batch = if T::IN_ORDER {
            self.task.batch(train, &[index])?
        } else {
            self.arrange(self.epoch());
            let size = self.learning().batch_size;
            let units = index * size..(index * size + size).min(self.units);
            self.task.batch(train, &self.order.0[units])?
        };
        let report = self.trainer.step_with_probe(&batch, &watch)?;
        self.epoch_loss += report.loss;
        let (loss, guessing) = (report.loss.mean(), self.task.guessing_of(&batch));
        if has_exploded(loss, guessing) {
            let StepReport { step, gradient_norm, .. } = report;
            return Err(StepError::Exploded { step, loss, guessing, gradient_norm });
        }
        Ok(report)
    }

    /// The order of an epoch depends on the seed and its number alone, so that a run that goes on
    /// in the middle of one finds it again.
    fn arrange(&mut self, epoch: u64) {
        if self.order.1 == Some(epoch) {
            return;
        }
        let mut order: Vec<usize> = (0..self.units).collect();
        Generator::new(self.learning().seed, ORDER + epoch).shuffle(&mut order);
        self.order = (order, Some(epoch));
    }
}

/// The model of these settings, if the system has the memory for its parameters.
///
/// # Errors
/// A line that says which setting is out of range.
pub fn build<T: Task>(settings: T::Settings, codec: T::Codec) -> Result<T, String> {
    let model = T::build(&settings, &codec).map_err(|error| error.to_string())?;
    let task = T::new(settings, codec, model);
    require_memory(task.layout().count() as u128)?;
    Ok(task)
}

/// Asks the system for the memory that a look at gradients needs which go back through so many steps
/// of all sequences together: parameters, gradients and the tape; where it is `exact`, all of this in
/// f64, and what [`WeightContributions`](recurrent_topologies::WeightContributions) keeps.
///
/// # Errors
/// A line that says how much it would be, and what to lower: `less`.
pub fn require_memory_for_steps<T: Task>(
    task: &T,
    steps: usize,
    exact: bool,
    less: &str,
) -> Result<(), String> {
    let network = task.current().network();
    // A column of the two factors: what `weight_hh` makes, and the h that it multiplies.
    let blocks = match network.cell {
        cell if cell.is_lstm() => 5,
        CellKind::Gru => 4,
        _ => 2,
    };
    let directions = if network.bidirectional { 2 } else { 1 };
    let kept = blocks * directions * (network.num_layers as u128) * network.hidden_size as u128;
    let of_step = if exact { 2 * (network.tape() + kept) } else { network.tape() };
    let numbers = 5 * task.layout().count() as u128 + steps as u128 * of_step;
    require(numbers, |gigabytes| {
        format!(
            "gradients that go back through so many steps need at least {gigabytes:.1} GB of memory, \
             more than there is; lower {less}"
        )
    })
}

/// Zeros for the parameters of a model.
pub fn zeros<T: Task>(task: &T) -> Parameters<f32> {
    Parameters::zeros(task.layout().clone())
}

fn require_memory(numbers: u128) -> Result<(), String> {
    require(numbers, |gigabytes| {
        format!(
            "a model of these sizes needs at least {gigabytes:.1} GB of memory, more than there is; \
             lower --hidden-size, --embedding-size, --num-layers or --batch-size"
        )
    })
}

/// Asks the system for room for so many `f32`, and gives it back: sizes that cannot fit are a
/// line of text, and not an abort in the middle of the work.
fn require(numbers: u128, refusal: impl FnOnce(f64) -> String) -> Result<(), String> {
    let bytes = numbers * 4;
    let mut room = Vec::<u8>::new();
    let granted = usize::try_from(bytes).is_ok_and(|bytes| room.try_reserve_exact(bytes).is_ok());
    // Without this the compiler may leave out an allocation that nobody reads.
    std::hint::black_box(&mut room);
    if granted {
        return Ok(());
    }
    Err(refusal(bytes as f64 / 1e9))
}
