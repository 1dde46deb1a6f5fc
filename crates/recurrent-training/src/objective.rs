//! What a trainer makes smaller: a model with a loss on top.

use std::ops::Range;

use recurrent_cells::Parameters;
use recurrent_kernels::{ColumnsMut, Compute, Real, loss};
use recurrent_topologies::{
    ManyToMany, ManyToManyHidden, ManyToManyTape, Noise, Probe, Reading, State,
};

use crate::Window;

mod token_loss;
pub use token_loss::{token_loss, token_loss_gradient};

mod one_to_many;
pub use one_to_many::{OneToManyBatch, OneToManyObjective};

mod image_captioner;
pub use image_captioner::{CaptionBatch, ImageCaptionerObjective};

mod image_answerer;
pub use image_answerer::{AnswerBatch, ImageAnswererObjective};

mod encoder_decoder;
pub use encoder_decoder::{EncoderDecoderBatch, EncoderDecoderObjective, Sources};

mod many_to_one;
pub use many_to_one::{Labelled, ManyToOneObjective};

mod regression;
pub use regression::{Measured, RegressionObjective};

mod forecast;
pub use forecast::{ForecastObjective, Series, SeriesForecasterObjective, SeriesWindows};

/// A loss over some predictions: cross-entropy in nats, or the mean of squared errors over the
/// numbers of a prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// The sum over predictions.
    pub sum: f64,
    /// How many predictions.
    pub count: usize,
}

impl Loss {
    /// The loss of each prediction; NaN if there are none.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl std::ops::AddAssign for Loss {
    fn add_assign(&mut self, other: Loss) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// A model with a loss on top, whose gradients a [`Trainer`](crate::Trainer) follows.
pub trait Objective<T: Real> {
    /// What a step learns from.
    type Batch;

    /// The loss of `batch`; adds the gradient of its mean to `gradients`. `step` counts the
    /// training's steps from 0 and decides the dropout masks.
    ///
    /// What is carried to the next batch changes only with [`commit`](Self::commit): a step that
    /// is refused for its numbers must leave nothing of them behind.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Self::Batch,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss;

    /// The step of the last [`gradients`](Self::gradients) is taken: carries what that batch left.
    /// Does nothing if it was called before, or if nothing is carried.
    fn commit(&mut self) {}

    /// The loss of `batch` without gradients and without dropout.
    ///
    /// It carries its state like a step, and overwrites that of a training: use an objective of
    /// its own to evaluate.
    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &Self::Batch,
    ) -> Loss;

    /// Calls `f` with the name and the numbers of everything that it carries from batch to batch.
    fn visit(&self, _f: &mut dyn FnMut(&str, &[T])) {}

    /// As [`visit`](Self::visit), writable.
    fn visit_mut(&mut self, _f: &mut dyn FnMut(&str, &mut [T])) {}
}

/// Cross-entropy at every step of a [`ManyToMany`], with the state carried from window to window or
/// each batch on its own.
pub struct ManyToManyObjective<T> {
    model: ManyToMany,
    seed: u64,
    tape: ManyToManyTape<T>,
    /// The state before the next window.
    state: State<T>,
    /// The state that the last window leaves for the next, not yet committed if `pending`.
    next_state: State<T>,
    /// A window may go on where the one before ended.
    carries: bool,
    pending: bool,
    losses: Vec<f64>,
}

/// Steps of different batches never share a dropout mask as long as a batch has fewer steps.
const MOST_STEPS: u64 = 1 << 24;

impl<T: Real> ManyToManyObjective<T> {
    /// Batches of any number of sequences, none of which carries a state; `seed` decides the dropout
    /// masks.
    pub fn without_carry(model: ManyToMany, seed: u64) -> Self {
        ManyToManyObjective { carries: false, ..ManyToManyObjective::new(model, 0, seed) }
    }

    /// Windows of `batch` sequences; `seed` decides the dropout masks.
    pub fn new(model: ManyToMany, batch: usize, seed: u64) -> Self {
        ManyToManyObjective {
            seed,
            tape: ManyToManyTape::default(),
            state: model.zero_state(batch),
            next_state: model.zero_state(batch),
            carries: true,
            pending: false,
            losses: vec![],
            model,
        }
    }

    /// The model.
    pub fn model(&self) -> &ManyToMany {
        &self.model
    }

    /// Runs a window from its initial state to h of its last layer, and notes the state that it leaves.
    fn forward<'s>(
        &'s mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        window: &'s Window,
        noise: Option<Noise>,
    ) -> Forward<'s, T> {
        let ManyToManyObjective {
            model, tape, state, next_state, carries, pending, losses, ..
        } = self;
        let Window { tokens, lengths, carries_state, carry_after, .. } = window;
        let reading = Reading::Tokens(tokens);
        losses.resize(tokens.len(), 0.0);
        assert!(*carries || !carries_state, "a window that goes on, where nothing is carried");
        if !*carries && next_state.batch() != lengths.batch() {
            *next_state = model.zero_state(lengths.batch());
        }
        if !carries_state {
            next_state.reset();
        }
        let initial = if *carries_state { &*state } else { &*next_state };
        let hidden =
            model.forward_hidden(compute, parameters, reading, initial, lengths, noise, tape);
        match *carry_after {
            None => hidden.final_state(next_state),
            Some(steps) => hidden.state_after(steps, next_state),
        }
        *pending = *carries;
        let together = columns_together(model.config().output_size);
        Forward { model, hidden, together, losses }
    }
}

/// A window that has run forward, and where its losses go.
struct Forward<'s, T> {
    model: &'s ManyToMany,
    hidden: ManyToManyHidden<'s, T>,
    /// Columns whose logits are there together.
    together: usize,
    losses: &'s mut [f64],
}

/// The most logits that are there at once: 64 MiB of f32.
const MOST_LOGITS: usize = 1 << 24;

/// The fewest columns whose logits are made together: with fewer the readout's weights would be read
/// too often.
const LEAST_COLUMNS: usize = 512;

/// How many columns are taken together where each has so many logits. It depends on the model
/// alone, so that bits do, too.
fn columns_together(logits: usize) -> usize {
    (MOST_LOGITS / logits).max(LEAST_COLUMNS)
}

/// How many targets are asked for: those that are not [`IGNORED`](loss::IGNORED).
fn predictions(targets: &[u32]) -> usize {
    targets.iter().filter(|&&target| target != loss::IGNORED).count()
}

/// The number of a step's first time step, in which dropout masks are counted.
///
/// # Panics
/// If the window is so long that its masks would be those of the next step.
#[track_caller]
fn first_time_step(step: u64, time_steps: usize) -> u64 {
    assert!(
        time_steps as u64 <= MOST_STEPS,
        "a window of {time_steps} steps is longer than {MOST_STEPS} and would share dropout masks"
    );
    step.wrapping_mul(MOST_STEPS)
}

impl<T: Real> Objective<T> for ManyToManyObjective<T> {
    type Batch = Window;

    /// # Panics
    /// If the window does not fit the model or the batch, or has more than 2^24 time steps, which
    /// would share dropout masks with the next.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        window: &Window,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let first_step = first_time_step(step, window.lengths.steps());
        let noise = Some(Noise { seed: self.seed, first_step });
        let Forward { model, hidden, together, losses } =
            self.forward(compute, parameters, window, noise);

        // The gradient of the mean: forward turns round here.
        let count = predictions(&window.targets);
        let scale = T::from_f64(1.0 / count as f64);
        let turn = |columns: Range<usize>, logits: ColumnsMut<'_, T>| {
            let (targets, losses) = (&window.targets[columns.clone()], &mut losses[columns]);
            loss::softmax_cross_entropy(compute, logits, targets, scale, losses);
        };
        model.backward_from_hidden(hidden, compute, parameters, gradients, probe, together, turn);
        Loss { sum: losses.iter().sum(), count }
    }

    fn commit(&mut self) {
        if std::mem::take(&mut self.pending) {
            std::mem::swap(&mut self.state, &mut self.next_state);
        }
    }

    fn evaluate(&mut self, compute: &Compute, parameters: &Parameters<T>, window: &Window) -> Loss {
        let Forward { mut hidden, together, losses, .. } =
            self.forward(compute, parameters, window, None);
        hidden.say(compute, together, |columns, logits| {
            let (targets, losses) = (&window.targets[columns.clone()], &mut losses[columns]);
            loss::cross_entropy(compute, logits.as_ref(), targets, losses);
        });
        let count = predictions(&window.targets);
        let loss = Loss { sum: losses.iter().sum(), count };
        self.commit();
        loss
    }

    fn visit(&self, f: &mut dyn FnMut(&str, &[T])) {
        if self.carries {
            self.state.visit(|name, matrix| f(name, matrix.as_slice()));
        }
    }

    fn visit_mut(&mut self, f: &mut dyn FnMut(&str, &mut [T])) {
        // What is written now must not be replaced by what an earlier batch left.
        self.pending = false;
        if self.carries {
            self.state.visit_mut(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Windows;
    use recurrent_cells::CellKind;
    use recurrent_cells::initialize::Initialization;
    use recurrent_kernels::random::Generator;
    use recurrent_topologies::{
        InputConfig, ManyToManyConfig, Regularization, StackConfig, TokenEncoding,
    };

    /// So many classes that their logits are made in two pieces.
    #[test]
    fn a_large_vocabulary_is_learnt_as_a_small_one() {
        const CLASSES: usize = 40_000;
        let encoding = TokenEncoding::Embedding(2);
        let config = ManyToManyConfig {
            input: InputConfig::Tokens { vocabulary_size: CLASSES, encoding },
            stack: StackConfig {
                cell: CellKind::RnnTanh,
                hidden_size: 2,
                num_layers: 1,
                bidirectional: false,
                dropout: 0.0,
                regularization: Regularization::NONE,
            },
            output_size: CLASSES,
        };
        let (model, mut generator) = (config.build().unwrap(), Generator::new(1, 0));
        let parameters: Parameters<f32> =
            model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
        let text: Vec<u32> = (0..641).map(|_| generator.below(CLASSES as u64) as u32).collect();
        let window = Windows::new(&text, 8, 80).get(0);
        let (together, columns) = (columns_together(CLASSES), window.tokens.len());
        assert!(together < columns, "{columns} columns are one piece");

        let compute = Compute::sequential();
        let (mut tape, mut expected) = (ManyToManyTape::default(), parameters.zeros_like());
        let (state, reading) = (model.zero_state(8), Reading::Tokens(&window.tokens));
        let mut recorded =
            model.forward(&compute, &parameters, reading, &state, &window.lengths, None, &mut tape);
        let (scale, mut losses) = (1.0 / columns as f32, vec![0.0; columns]);
        let logits = recorded.logits_mut();
        loss::softmax_cross_entropy(&compute, logits, &window.targets, scale, &mut losses);
        model.backward(recorded, &compute, &parameters, &mut expected, &());

        let mut objective = ManyToManyObjective::new(model, 8, 0);
        let mut gradients = parameters.zeros_like();
        let said = objective.gradients(&compute, &parameters, &window, 0, &mut gradients, &());
        assert_eq!(said, Loss { sum: losses.iter().sum(), count: columns });
        assert_eq!(objective.evaluate(&compute, &parameters, &window), said);
        let most = expected.as_slice().iter().fold(0.0, |most: f32, number| most.max(number.abs()));
        for (number, expected) in gradients.as_slice().iter().zip(expected.as_slice()) {
            assert!((number - expected).abs() <= 1e-5 * most, "{number} and not {expected}");
        }
    }

    #[test]
    fn steps_have_masks_of_their_own_as_long_as_windows_allow() {
        let longest = MOST_STEPS as usize;
        assert_eq!(first_time_step(3, longest) + MOST_STEPS, first_time_step(4, 1));
    }

    #[test]
    #[should_panic(expected = "would share dropout masks")]
    fn longer_windows_are_refused() {
        first_time_step(0, MOST_STEPS as usize + 1);
    }
}
