//! The model of a task with its loss, and what is wrong with its answers: one type for all tasks.

use recurrent_cells::Parameters;
use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_kernels::loss::{self, IGNORED};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    ConfigError, Lengths, ManyToManyConfig, ManyToManyTape, ManyToOneConfig, Pool, Probe, Reading,
    StackConfig,
};
use recurrent_training::{
    Labelled, Loss, ManyToManyObjective, ManyToOneObjective, Measured, Objective,
    RegressionObjective, Sources, Window,
};

use super::{Answer, Measure, Problem, Sequence, Steps, embedded_reber};

/// Sequences are judged in batches of this size: what a step costs beside its arithmetic is shared.
const JUDGED_TOGETHER: usize = 64;

/// A model with the loss of its task.
pub(super) enum Learner {
    /// Says a number of a sequence.
    Number(RegressionObjective<f32>),
    /// Says a class of a sequence.
    Class(ManyToOneObjective<f32>),
    /// Says a token at every step.
    EveryStep(Box<EveryStep>),
}

pub(super) struct EveryStep {
    objective: ManyToManyObjective<f32>,
    /// For judging, so that a training's tape stays as it is.
    tape: ManyToManyTape<f32>,
}

/// Sequences as the learner reads them.
pub(super) enum Batch {
    Number(Measured<f32>),
    Class(Labelled<f32>),
    EveryStep(Window),
}

impl Learner {
    /// A learner with fresh parameters, both decided by `seed`.
    pub(super) fn new(
        problem: Problem,
        lag: usize,
        stack: StackConfig,
        seed: u64,
    ) -> Result<Learner, ConfigError> {
        let (input, output_size) = (problem.input(lag), problem.output_size(lag));
        let many_to_one = ManyToOneConfig { input, stack, pool: Pool::Last, output_size };
        let answer = problem.draw(&mut Generator::new(0, 0), lag).answer;
        Ok(match answer {
            Answer::Number(_) => {
                Learner::Number(RegressionObjective::new(many_to_one.build()?, seed))
            }
            Answer::Class(_) => Learner::Class(ManyToOneObjective::new(many_to_one.build()?, seed)),
            Answer::EveryStep(_) => {
                let model = ManyToManyConfig { input, stack, output_size }.build()?;
                let objective = ManyToManyObjective::without_carry(model, seed);
                Learner::EveryStep(Box::new(EveryStep {
                    objective,
                    tape: ManyToManyTape::default(),
                }))
            }
        })
    }

    /// Fresh parameters.
    pub(super) fn initialize(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<f32>, InitializationError> {
        match self {
            Learner::Number(objective) => {
                objective.model().initialize(generator, initialization, forget_bias)
            }
            Learner::Class(objective) => {
                objective.model().initialize(generator, initialization, forget_bias)
            }
            Learner::EveryStep(learner) => {
                learner.objective.model().initialize(generator, initialization, forget_bias)
            }
        }
    }

    /// The error of each sequence of the last step's batch, before the step.
    ///
    /// # Panics
    /// If the answers are one a step: their tasks are judged by a test.
    pub(super) fn training_errors(&self) -> Vec<f64> {
        match self {
            Learner::Number(objective) => distances(objective.losses()),
            Learner::Class(objective) => doubts(objective.losses()),
            Learner::EveryStep(_) => panic!("answers at every step are judged by a test"),
        }
    }

    /// The error of each sequence, by the task's measure.
    pub(super) fn errors(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        measure: Measure,
        sequences: &[Sequence],
    ) -> Vec<f64> {
        let chunks = sequences.chunks(JUDGED_TOGETHER);
        let errors = chunks.flat_map(|sequences| match (&mut *self, batch(sequences)) {
            (Learner::Number(objective), Batch::Number(batch)) => {
                objective.evaluate(compute, parameters, &batch);
                distances(objective.losses())
            }
            (Learner::Class(objective), Batch::Class(batch)) => {
                objective.evaluate(compute, parameters, &batch);
                doubts(objective.losses())
            }
            (Learner::EveryStep(learner), Batch::EveryStep(window)) => {
                learner.errors(compute, parameters, measure, sequences, &window)
            }
            _ => unreachable!("sequences of another task"),
        });
        errors.collect()
    }
}

impl EveryStep {
    fn errors(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        measure: Measure,
        sequences: &[Sequence],
        window: &Window,
    ) -> Vec<f64> {
        let (model, lengths) = (self.objective.model(), &window.lengths);
        let (reading, zero) = (Reading::Tokens(&window.tokens), model.zero_state(lengths.batch()));
        let recorded =
            model.forward(compute, parameters, reading, &zero, lengths, None, &mut self.tape);
        let logits = recorded.logits();
        let mut losses = vec![0.0; window.targets.len()];
        loss::cross_entropy(compute, logits, &window.targets, &mut losses);
        let of_sequence = |(k, sequence): (usize, &Sequence)| -> f64 {
            let columns: Vec<usize> =
                (0..lengths.length(k)).map(|step| lengths.column(k, step)).collect();
            match measure {
                Measure::Legal => {
                    let Steps::Tokens(read) = &sequence.steps else {
                        unreachable!("a grammar of tokens")
                    };
                    let allowed = embedded_reber::allowed(read);
                    let legal = columns
                        .iter()
                        .zip(allowed)
                        .all(|(&j, allowed)| are_largest(logits.column(j), allowed));
                    f64::from(!legal)
                }
                Measure::WrongTokens => {
                    // Blanks are easy; the tokens to be kept are those that are not one.
                    let kept = columns.iter().filter(|&&j| is_kept(window.targets[j]));
                    let (mut asked, mut wrong) = (0, 0);
                    for &j in kept {
                        asked += 1;
                        let target = 1 << window.targets[j];
                        wrong += usize::from(!are_largest(logits.column(j), target));
                    }
                    wrong as f64 / asked as f64
                }
                Measure::Probability | Measure::Distance => {
                    let losses: Vec<f64> = columns.iter().map(|&j| losses[j]).collect();
                    // NaN must not get lost: f64::max would drop it.
                    doubts(&losses).into_iter().fold(0.0, |worst, doubt| match doubt <= worst {
                        true => worst,
                        false => doubt,
                    })
                }
            }
        };
        sequences.iter().enumerate().map(of_sequence).collect()
    }
}

fn is_kept(target: u32) -> bool {
    target != IGNORED && target < super::copy_memory::SYMBOLS
}

/// Whether every output in `these` (bit r for row r) is larger than every other.
fn are_largest(outputs: &[f32], these: u32) -> bool {
    let inside = |row: usize| these >> row & 1 == 1;
    let rows = || 0..outputs.len();
    rows().filter(|&row| inside(row)).all(|row| {
        rows().filter(|&other| !inside(other)).all(|other| outputs[row] > outputs[other])
    })
}

/// |y - target|, from its square.
fn distances(losses: &[f64]) -> Vec<f64> {
    losses.iter().map(|loss| loss.sqrt()).collect()
}

/// 1 - p, from -ln p.
fn doubts(losses: &[f64]) -> Vec<f64> {
    losses.iter().map(|loss| 1.0 - libm::exp(-loss)).collect()
}

/// Sequences of one task, side by side.
pub(super) fn batch(sequences: &[Sequence]) -> Batch {
    let counts: Vec<usize> = sequences.iter().map(|sequence| sequence.steps.count()).collect();
    let lengths = Lengths::new(&counts);
    let inputs = inputs(sequences, &lengths);
    match sequences[0].answer {
        Answer::Number(_) => {
            let target = |k: usize| match sequences[k].answer {
                Answer::Number(number) => number,
                _ => unreachable!("a task with one kind of answer"),
            };
            let targets = Matrix::from_fn(1, sequences.len(), |_, k| target(k));
            Batch::Number(Measured { inputs, lengths, targets })
        }
        Answer::Class(_) => {
            let labels = sequences.iter().map(|sequence| match sequence.answer {
                Answer::Class(class) => class,
                _ => unreachable!("a task with one kind of answer"),
            });
            Batch::Class(Labelled { inputs, lengths, labels: labels.collect() })
        }
        Answer::EveryStep(_) => {
            let answers = sequences.iter().map(|sequence| match &sequence.answer {
                Answer::EveryStep(tokens) => &tokens[..],
                _ => unreachable!("a task with one kind of answer"),
            });
            let targets = lengths.arrange(&answers.collect::<Vec<_>>());
            let Sources::Tokens(tokens) = inputs else { unreachable!("tokens in, tokens out") };
            Batch::EveryStep(Window {
                tokens,
                targets,
                lengths,
                carries_state: false,
                carry_after: None,
            })
        }
    }
}

fn inputs(sequences: &[Sequence], lengths: &Lengths) -> Sources<f32> {
    match &sequences[0].steps {
        Steps::Tokens(_) => {
            let tokens = sequences.iter().map(|sequence| match &sequence.steps {
                Steps::Tokens(tokens) => &tokens[..],
                Steps::Vectors { .. } => unreachable!("a task that reads tokens"),
            });
            Sources::Tokens(lengths.arrange(&tokens.collect::<Vec<_>>()))
        }
        &Steps::Vectors { size, .. } => {
            let vectors = sequences.iter().map(|sequence| match &sequence.steps {
                Steps::Vectors { numbers, .. } => numbers.chunks(size).collect(),
                Steps::Tokens(_) => unreachable!("a task that reads vectors"),
            });
            let columns = lengths.arrange(&vectors.collect::<Vec<Vec<&[f32]>>>());
            Sources::Vectors(Matrix::from_fn(size, columns.len(), |row, j| columns[j][row]))
        }
    }
}

impl Objective<f32> for Learner {
    type Batch = Batch;

    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        batch: &Batch,
        step: u64,
        gradients: &mut Parameters<f32>,
        probe: &impl Probe<f32>,
    ) -> Loss {
        match (self, batch) {
            (Learner::Number(objective), Batch::Number(batch)) => {
                objective.gradients(compute, parameters, batch, step, gradients, probe)
            }
            (Learner::Class(objective), Batch::Class(batch)) => {
                objective.gradients(compute, parameters, batch, step, gradients, probe)
            }
            (Learner::EveryStep(learner), Batch::EveryStep(window)) => {
                learner.objective.gradients(compute, parameters, window, step, gradients, probe)
            }
            _ => unreachable!("a batch of another task"),
        }
    }

    fn commit(&mut self) {
        if let Learner::EveryStep(learner) = self {
            Objective::<f32>::commit(&mut learner.objective);
        }
    }

    fn evaluate(&mut self, compute: &Compute, parameters: &Parameters<f32>, batch: &Batch) -> Loss {
        match (self, batch) {
            (Learner::Number(objective), Batch::Number(batch)) => {
                objective.evaluate(compute, parameters, batch)
            }
            (Learner::Class(objective), Batch::Class(batch)) => {
                objective.evaluate(compute, parameters, batch)
            }
            (Learner::EveryStep(learner), Batch::EveryStep(window)) => {
                learner.objective.evaluate(compute, parameters, window)
            }
            _ => unreachable!("a batch of another task"),
        }
    }
}

#[cfg(test)]
mod tests {
    use recurrent_cells::CellKind;
    use recurrent_topologies::Regularization;

    use super::*;

    #[test]
    fn the_legal_ones_must_all_be_larger_than_all_others() {
        assert!(are_largest(&[0.1, 3.0, 2.0, 0.5], 0b0110));
        assert!(!are_largest(&[0.1, 3.0, 0.4, 0.5], 0b0110), "one is legal and smaller");
        assert!(!are_largest(&[0.5, 0.5], 0b01), "equal is not larger");
        assert!(!are_largest(&[f32::NAN, 0.5], 0b01));
        assert!(!are_largest(&[0.5, f32::NAN], 0b01));
    }

    /// The errors that a model has whose outputs are `outputs` at every step.
    fn errors(
        problem: Problem,
        measure: Measure,
        outputs: &[f32],
        sequences: &[Sequence],
    ) -> Vec<f64> {
        let stack = StackConfig {
            cell: CellKind::Gru,
            hidden_size: 2,
            num_layers: 1,
            bidirectional: false,
            dropout: 0.0,
            regularization: Regularization::NONE,
        };
        let lag = if problem == Problem::EmbeddedReber { 0 } else { 20 };
        let mut learner = Learner::new(problem, lag, stack, 1).unwrap();
        let generator = &mut Generator::new(1, 1);
        let mut parameters =
            learner.initialize(generator, Initialization::default(), None).unwrap();
        parameters.visit_mut(|entry, numbers| match entry.name.as_str() {
            "readout.bias" => numbers.copy_from_slice(outputs),
            _ => numbers.fill(0.0),
        });
        learner.errors(&Compute::sequential(), &parameters, measure, sequences)
    }

    fn tokens(read: &[u32], asked: &[u32]) -> Sequence {
        let steps = Steps::Tokens(read.to_vec());
        Sequence { steps, answer: Answer::EveryStep(asked.to_vec()) }
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{got:?} and {expected:?}");
        }
    }

    #[test]
    fn an_error_is_what_its_measure_says() {
        // A distance, of a model that says 0.7.
        let steps = Steps::Vectors { size: 2, numbers: vec![0.0; 40] };
        let number = |target| Sequence { steps: steps.clone(), answer: Answer::Number(target) };
        let got = errors(Problem::Adding, Measure::Distance, &[0.7], &[number(0.5), number(1.0)]);
        assert_close(&got, &[0.2, 0.3]);

        // 1 - p of the class that is asked for.
        let shares = [0.4, 0.3, 0.2, 0.1f32];
        let class =
            |class| Sequence { steps: Steps::Tokens(vec![0; 20]), answer: Answer::Class(class) };
        let outputs = shares.map(|share| libm::log(f64::from(share)) as f32);
        let got = errors(
            Problem::TemporalOrder,
            Measure::Probability,
            &outputs,
            &[class(0), class(3), class(1)],
        );
        assert_close(&got, &[0.6, 0.9, 0.7]);

        // At every step: the worst, wherever it is.
        let mut outputs = [-100.0; 21];
        outputs[..4].copy_from_slice(&shares.map(|share| libm::log(f64::from(share)) as f32));
        let got = errors(
            Problem::NoiseFree,
            Measure::Probability,
            &outputs,
            &[tokens(&[0; 3], &[3, 0, 1]), tokens(&[0; 2], &[0, 2]), tokens(&[0; 2], &[0, 0])],
        );
        assert_close(&got, &[0.9, 0.8, 0.6]);
    }

    #[test]
    fn one_step_that_is_not_legal_is_one_too_many() {
        // T and P have the largest outputs: right behind B, wrong behind BT, where B must come.
        let outputs = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let strings = [tokens(&[0], &[1]), tokens(&[0, 1], &[1, 0]), tokens(&[0], &[2])];
        let got = errors(Problem::EmbeddedReber, Measure::Legal, &outputs, &strings);
        assert_eq!(got, [0.0, 1.0, 0.0]);
    }

    #[test]
    fn of_a_copy_only_what_was_kept_counts() {
        // Always 3, where 8 is the blank.
        let mut outputs = [0.0; 9];
        outputs[3] = 1.0;
        let sequences = [tokens(&[0; 6], &[8, 8, 3, 3, 5, 3]), tokens(&[0; 3], &[8, 8, 3])];
        let got = errors(Problem::CopyMemory, Measure::WrongTokens, &outputs, &sequences);
        assert_eq!(got, [0.25, 0.0]);
    }
}
