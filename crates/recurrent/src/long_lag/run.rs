//! One training of the suite, as data and as a deed.

use recurrent_cells::initialize::InitializationError;
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::Regularization;
use recurrent_training::{Trainer, TrainingError};
use serde::{Deserialize, Serialize};

use super::learner::{self, Learner};
use super::{Judged, Problem, Sequence, Streak};
use crate::run::thousands;
use crate::tasks::settings::{Learning, Network};

/// Randomness for different purposes comes from different streams of the seed.
const INITIALIZATION: u64 = 1;
const TRAINING: u64 = 2;
const TRAINING_SET: u64 = 3;
const TEST_SET: u64 = 4;
const AFTERWARDS: u64 = 5;

/// After success so many new sequences are judged, as in the paper.
pub const TESTED: usize = 2560;

/// Everything that decides the result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The task.
    pub problem: Problem,
    /// The T of its paper; 0 for the grammar, which has its own.
    pub lag: usize,
    /// What is compared, by name.
    pub variant: String,
    /// The cells and their initial values.
    pub network: Network,
    /// How they learn; the seed decides the sequences too.
    pub learning: Learning,
    /// The run fails when so many sequences have been learnt from.
    pub budget: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The task's goal was reached.
    pub solved: bool,
    /// Sequences learnt from until then, or in all.
    pub sequences: u64,
    /// The mean error when it was last judged; none if it never was, or is not finite.
    pub error: Option<f64>,
    /// After success: how many of [`TESTED`] new sequences are wrong.
    pub wrong: Option<usize>,
    /// Why it ended early, if a number was not finite.
    pub exploded: Option<String>,
}

/// Why a run cannot begin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{problem}, {variant}: {reason}")]
pub struct RunError {
    problem: &'static str,
    variant: String,
    reason: String,
}

/// A training under way.
struct Attempt<'a> {
    config: &'a RunConfig,
    compute: Compute,
    trainer: Trainer<f32, Learner>,
    /// Judges beside the training.
    judge: Learner,
    draws: Generator,
    /// What a fixed training draws from.
    training_set: Option<Vec<Sequence>>,
    streak: Streak,
    test_set: Vec<Sequence>,
    sequences: u64,
    /// The mean error when it was last judged.
    error: f64,
}

/// Whether anything is dropped, or kept from the step before, in training.
fn has_masks(network: &Network) -> bool {
    let Regularization {
        input_dropout,
        embedding_dropout,
        output_dropout,
        weight_dropout,
        zoneout,
        zoneout_cell,
        // These leave to no chance what others do not.
        variational: _,
        regularize_gradients: _,
    } = network.regularization;
    let shares = [input_dropout, embedding_dropout, output_dropout, weight_dropout];
    shares.iter().chain(&[zoneout, zoneout_cell, network.dropout]).any(|&share| share > 0.0)
}

/// Makes a run on the calling thread; nothing if `stop` said so before its end. `stop` is asked before
/// every step.
///
/// # Errors
/// [`RunError`] if the configuration fits no model.
pub fn run(config: &RunConfig, stop: &dyn Fn() -> bool) -> Result<Option<Outcome>, RunError> {
    let mut attempt = Attempt::new(config)?;
    while attempt.sequences < config.budget {
        if stop() {
            return Ok(None);
        }
        match attempt.step() {
            Ok(false) => {}
            Ok(true) => return Ok(Some(attempt.solved())),
            Err(error) => {
                return Ok(Some(Outcome {
                    exploded: Some(error.to_string()),
                    ..attempt.outcome()
                }));
            }
        }
    }
    Ok(Some(attempt.outcome()))
}

impl RunConfig {
    /// Makes sure that a run can begin, by building all that it begins with.
    ///
    /// # Errors
    /// [`RunError`] if the configuration fits no model, or ends before it can be judged.
    pub fn check(&self) -> Result<(), RunError> {
        if let Judged::Training { recent } = self.problem.goal().judged
            && self.budget < recent as u64
        {
            return Err(self.failed(format!(
                "it is judged by its {} most recent sequences; give it at least as many",
                thousands(recent)
            )));
        }
        self.trainer(&Compute::sequential())?;
        Ok(())
    }

    /// The training before its first step.
    fn trainer(&self, compute: &Compute) -> Result<Trainer<f32, Learner>, RunError> {
        let RunConfig { network, learning, .. } = self;
        let failed = |reason: String| self.failed(reason);
        let learner = self.learner()?;
        let (initialization, forget_bias) = (network.initialization, network.forget_bias);
        let parameters = learner
            .initialize(&mut self.stream(INITIALIZATION), initialization, forget_bias)
            .map_err(|error: InitializationError| failed(error.to_string()))?;
        let steps = self.budget.div_ceil(learning.batch_size as u64);
        let settings = learning.trainer(steps, steps);
        Trainer::new(settings, compute.clone(), learner, parameters)
            .map_err(|error| failed(error.to_string()))
    }

    fn learner(&self) -> Result<Learner, RunError> {
        let &RunConfig { problem, lag, ref network, ref learning, .. } = self;
        problem.check_lag(lag).map_err(|reason| self.failed(reason))?;
        Learner::new(problem, lag, network.stack(), learning.seed)
            .map_err(|error| self.failed(error.to_string()))
    }

    fn stream(&self, purpose: u64) -> Generator {
        Generator::new(self.learning.seed, purpose)
    }

    fn failed(&self, reason: String) -> RunError {
        RunError { problem: self.problem.name(), variant: self.variant.clone(), reason }
    }
}

impl<'a> Attempt<'a> {
    fn new(config: &'a RunConfig) -> Result<Self, RunError> {
        let &RunConfig { problem, lag, .. } = config;
        let compute = Compute::sequential();
        let (trainer, judge) = (config.trainer(&compute)?, config.learner()?);
        let stream = |purpose| config.stream(purpose);
        let goal = problem.goal();
        let training_set = problem.training_set(&mut stream(TRAINING_SET), lag);
        let (recent, test_set) = match goal.judged {
            Judged::Training { recent } => (recent, vec![]),
            Judged::Test { .. } => {
                let mut draws = stream(TEST_SET);
                (1, problem.test_set(&mut draws, lag, training_set.as_deref()))
            }
        };
        Ok(Attempt {
            config,
            compute,
            trainer,
            judge,
            draws: stream(TRAINING),
            training_set,
            streak: Streak::new(goal, recent),
            test_set,
            sequences: 0,
            error: f64::NAN,
        })
    }

    /// Learns from the next batch; true if the task is solved now.
    fn step(&mut self) -> Result<bool, TrainingError> {
        let &RunConfig { problem, lag, ref network, ref learning, budget, .. } = self.config;
        let count = (budget - self.sequences).min(learning.batch_size as u64);
        let draws = &mut self.draws;
        let sequences: Vec<Sequence> = (0..count)
            .map(|_| match &self.training_set {
                Some(set) => set[draws.below(set.len() as u64) as usize].clone(),
                None => problem.draw(draws, lag),
            })
            .collect();
        let goal = problem.goal();
        // What a training sees of its own errors is what its masks leave of the network. The whole one
        // is judged, as it is used.
        let whole = match goal.judged {
            Judged::Training { .. } if has_masks(network) => {
                let parameters = self.trainer.parameters();
                Some(self.judge.errors(&self.compute, parameters, goal.measure, &sequences))
            }
            _ => None,
        };
        self.trainer.step(&learner::batch(&sequences))?;
        let before = self.sequences;
        self.sequences += count;
        Ok(match goal.judged {
            Judged::Training { .. } => {
                for error in whole.unwrap_or_else(|| self.trainer.objective().training_errors()) {
                    self.streak.push(error);
                }
                self.error = self.streak.mean();
                self.streak.is_reached()
            }
            Judged::Test { every } => {
                let is_due = before / every != self.sequences / every;
                (is_due || self.sequences == budget) && self.passes_test()
            }
        })
    }

    /// The goal is reached on the test set, and on the training's if that is fixed.
    fn passes_test(&mut self) -> bool {
        let goal = self.config.problem.goal();
        let mut reached = true;
        self.error = 0.0;
        for set in [Some(&self.test_set), self.training_set.as_ref()].into_iter().flatten() {
            let (compute, parameters) = (&self.compute, self.trainer.parameters());
            let errors = self.judge.errors(compute, parameters, goal.measure, set);
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            self.error = if mean <= self.error { self.error } else { mean };
            reached &= goal.is_reached_by(&errors);
            if !reached {
                break;
            }
        }
        reached
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            solved: false,
            sequences: self.sequences,
            error: self.error.is_finite().then_some(self.error),
            wrong: None,
            exploded: None,
        }
    }

    fn solved(mut self) -> Outcome {
        let &RunConfig { problem, lag, .. } = self.config;
        let mut draws = Generator::new(self.config.learning.seed, AFTERWARDS);
        let fresh: Vec<Sequence> = (0..TESTED).map(|_| problem.draw(&mut draws, lag)).collect();
        let goal = problem.goal();
        let (compute, parameters) = (&self.compute, self.trainer.parameters());
        let errors = self.judge.errors(compute, parameters, goal.measure, &fresh);
        let wrong = errors.iter().filter(|&&error| goal.is_wrong(error)).count();
        Outcome { solved: true, wrong: Some(wrong), ..self.outcome() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::long_lag::{Variant, config};
    use crate::options::Options;

    fn of(problem: Problem, lag: usize, options: Options) -> RunConfig {
        let options = Options { learning_rate: Some(0.0), ..options };
        let variant = Variant { name: "lstm".to_owned(), options };
        config(problem, lag, &variant, &Options::default(), 1, 40).unwrap()
    }

    #[test]
    fn the_whole_network_is_judged() {
        let error = |options| {
            let outcome = run(&of(Problem::Adding, 20, options), &|| false).unwrap().unwrap();
            outcome.error.unwrap()
        };
        let whole = error(Options::default());
        for masked in [
            Options { input_dropout: Some(0.5), ..Options::default() },
            Options { output_dropout: Some(0.5), ..Options::default() },
            Options { weight_dropout: Some(0.5), ..Options::default() },
        ] {
            let difference = (error(masked.clone()) - whole).abs();
            assert!(difference < 1e-6, "{masked:?}: {difference}");
        }
    }

    #[test]
    fn the_strings_of_the_training_must_be_right_too() {
        let config = of(Problem::EmbeddedReber, 0, Options::default());
        let mut attempt = Attempt::new(&config).unwrap();
        assert!(!attempt.passes_test());
        attempt.test_set.clear();
        assert!(!attempt.passes_test());
        attempt.training_set = Some(vec![]);
        assert!(attempt.passes_test());
    }

    #[test]
    fn what_is_wrong_afterwards_is_counted() {
        for (problem, lag) in [(Problem::Adding, 20), (Problem::TemporalOrder, 20)] {
            let config = of(problem, lag, Options::default());
            let wrong = Attempt::new(&config).unwrap().solved().wrong.unwrap();
            assert!(wrong > TESTED / 2 && wrong <= TESTED, "{problem:?}: {wrong}");
        }
    }
}
