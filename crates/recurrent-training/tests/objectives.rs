//! Losses on whole models: their gradients against central differences, what is not asked for, and
//! trainings that learn, with the same bits at any thread count.

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::loss::IGNORED;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::gradient::{added, compare_gradient};
use recurrent_topologies::{
    InputConfig, Lengths, ManyToManyConfig, ManyToOneConfig, Pool, Regularization, SeriesFeed,
    SeriesForecasterConfig, StackConfig, TokenEncoding,
};
use recurrent_training::{
    ForecastObjective, Labelled, Loss, ManyToOneObjective, Measured, Objective, OptimizerConfig,
    RegressionObjective, Schedule, Series, SeriesForecasterObjective, SeriesWindows, Sources,
    Trainer, TrainerConfig,
};

const TRAINING: TrainerConfig = TrainerConfig {
    optimizer: OptimizerConfig::ADAM,
    learning_rate: 0.02,
    schedule: Schedule::Constant,
    warm_up: 0,
    clip_value: None,
    clip_norm: Some(1.0),
    patience: None,
};

fn stack(dropout: f64) -> StackConfig {
    let (cell, bidirectional) = (CellKind::Lstm, false);
    StackConfig {
        cell,
        hidden_size: 8,
        num_layers: 2,
        bidirectional,
        dropout,
        regularization: Regularization::NONE,
    }
}

fn many_to_one(input: InputConfig, pool: Pool) -> ManyToOneConfig {
    ManyToOneConfig { input, stack: stack(0.0), pool, output_size: 3 }
}

const TOKENS: InputConfig =
    InputConfig::Tokens { vocabulary_size: 5, encoding: TokenEncoding::Embedding(3) };
const UNIFORM: Initialization = Initialization::Uniform;

/// The gradient of a step is that of its mean loss, with the dropout of that step.
fn hold_gradient<O: Objective<f64>>(
    mut objective: O,
    mut parameters: Parameters<f64>,
    batch: &O::Batch,
) -> Loss {
    let compute = Compute::sequential();
    let mut loss = Loss::default();
    let gradients = added(1.0, &parameters, |gradients| {
        loss = objective.gradients(&compute, &parameters, batch, 7, gradients, &());
    });
    let mut point = parameters.as_slice().to_vec();
    let found = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
        parameters.as_mut_slice().copy_from_slice(point);
        let mut scratch = parameters.zeros_like();
        objective.gradients(&compute, &parameters, batch, 7, &mut scratch, &()).mean()
    });
    assert!(found.worst <= 1.0, "{} ({} tolerances)", found.place, found.worst);
    assert!(found.skipped == 0, "kinks in a smooth model");
    loss
}

fn matrix<T: recurrent_kernels::Real>(seed: u64, rows: usize, columns: usize) -> Matrix<T> {
    let mut generator = Generator::new(seed, 2);
    Matrix::from_fn(rows, columns, |_, _| generator.normal())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn gradients_agree_with_central_differences(
        lengths in prop::collection::vec(1usize..5, 1..4),
        seed: u64,
        feed in prop::sample::select(&SeriesFeed::ALL[..]),
        pool in prop::sample::select(&[Pool::Last, Pool::Mean][..]),
        tokens: bool,
    ) {
        let mut generator = Generator::new(seed, 0);
        let lengths = Lengths::new(&lengths);
        let (batch, columns) = (lengths.batch(), lengths.columns());

        let (input, inputs) = if tokens {
            let tokens = (0..columns).map(|_| generator.below(5) as u32).collect();
            (TOKENS, Sources::Tokens(tokens))
        } else {
            (InputConfig::Vectors { size: 2 }, Sources::Vectors(matrix(seed, 2, columns)))
        };
        let config = many_to_one(input, pool);
        let model = ManyToOneConfig { stack: stack(0.3), ..config }.build().unwrap();
        let parameters = model.initialize(&mut generator, UNIFORM, None).unwrap();
        let mut labels: Vec<u32> = (0..batch).map(|_| generator.below(3) as u32).collect();
        if batch > 1 {
            labels[1] = IGNORED;
        }
        let labelled = Labelled { inputs, lengths: lengths.clone(), labels };
        let loss = hold_gradient(ManyToOneObjective::new(model, 3), parameters, &labelled);
        prop_assert_eq!(loss.count, if batch > 1 { batch - 1 } else { 1 });

        let model = ManyToOneConfig { stack: stack(0.3), ..many_to_one(input, pool) };
        let model = model.build().unwrap();
        let parameters = model.initialize(&mut generator, UNIFORM, None).unwrap();
        let Labelled { inputs, lengths, .. } = labelled;
        let targets = matrix(seed + 2, 3, batch);
        let measured = Measured { inputs, lengths: lengths.clone(), targets };
        let loss = hold_gradient(RegressionObjective::new(model, 3), parameters, &measured);
        prop_assert_eq!(loss.count, batch);

        let model = ManyToManyConfig {
            input: InputConfig::Vectors { size: 2 },
            stack: stack(0.3),
            output_size: 4,
        };
        let model = model.build().unwrap();
        let parameters = model.initialize(&mut generator, UNIFORM, None).unwrap();
        let mut asked = vec![true; columns];
        asked[columns / 2] = columns == 1;
        let series = Series {
            x: matrix(seed, 2, columns),
            targets: matrix(seed + 1, 4, columns),
            asked,
            lengths: lengths.clone(),
        };
        let loss = hold_gradient(ForecastObjective::new(model, 3), parameters, &series);
        prop_assert_eq!(loss.count, (columns - 1).max(1));

        let model = SeriesForecasterConfig { columns: 2, stack: stack(0.3), horizon: 3, feed };
        let model = model.build().unwrap();
        let parameters = model.initialize(&mut generator, UNIFORM, None).unwrap();
        let windows = SeriesWindows {
            x: matrix(seed, 2, columns),
            targets: matrix(seed + 1, 2, 3 * batch),
            lengths,
        };
        let loss = hold_gradient(SeriesForecasterObjective::new(model, 3), parameters, &windows);
        prop_assert_eq!(loss.count, 3 * batch);
    }
}

/// The loss that an evaluation finds, and that of a step.
fn both<O: Objective<f64>>(
    objective: &mut O,
    parameters: &Parameters<f64>,
    batch: &O::Batch,
) -> (Loss, Loss) {
    let (compute, mut gradients) = (Compute::sequential(), parameters.zeros_like());
    let evaluated = objective.evaluate(&compute, parameters, batch);
    (evaluated, objective.gradients(&compute, parameters, batch, 0, &mut gradients, &()))
}

/// Without dropout a step has the loss that an evaluation finds, but for a forecaster that was shown
/// the truth.
#[test]
fn an_evaluation_finds_the_loss_of_a_step_and_never_shows_the_truth() {
    let lengths = Lengths::new(&[3, 1, 4]);
    let mut generator = Generator::new(1, 0);
    let windows = SeriesWindows {
        x: matrix(1, 2, lengths.columns()),
        targets: matrix(2, 2, 12),
        lengths: lengths.clone(),
    };
    for feed in SeriesFeed::ALL {
        let config = SeriesForecasterConfig { columns: 2, stack: stack(0.0), horizon: 4, feed };
        let model = config.build().unwrap();
        let parameters = model.initialize(&mut generator, UNIFORM, None).unwrap();
        let mut objective = SeriesForecasterObjective::new(model, 3);
        let (evaluated, step) = both(&mut objective, &parameters, &windows);
        assert_eq!(evaluated == step, feed != SeriesFeed::Truth, "{feed:?}");
    }

    let model = many_to_one(TOKENS, Pool::Max).build().unwrap();
    let parameters = model.initialize::<f64>(&mut generator, UNIFORM, None).unwrap();
    let inputs = Sources::Tokens((0..8).map(|k| k % 5).collect());
    let batch = Labelled { inputs, lengths: lengths.clone(), labels: vec![2, 0, 1] };
    let mut objective = ManyToOneObjective::new(model.clone(), 3);
    let (evaluated, step) = both(&mut objective, &parameters, &batch);
    assert_eq!(evaluated, step);
    assert_eq!(objective.losses().iter().sum::<f64>(), step.sum);

    let batch = Measured { inputs: batch.inputs, lengths, targets: matrix(5, 3, 3) };
    let mut objective = RegressionObjective::new(model, 3);
    let (evaluated, step) = both(&mut objective, &parameters, &batch);
    assert_eq!(evaluated, step);
    assert_eq!(objective.losses().iter().sum::<f64>(), step.sum);
}

fn train<O: Objective<f32> + Send>(
    build: impl Fn() -> (O, Parameters<f32>),
    batch: &O::Batch,
    steps: usize,
) -> Vec<f64>
where
    O::Batch: Sync,
{
    let run = |threads: usize| {
        let (objective, parameters) = build();
        let compute = Compute::new(threads).unwrap();
        let mut trainer = Trainer::new(TRAINING, compute, objective, parameters).unwrap();
        (0..steps).map(|_| trainer.step(batch).unwrap().loss.mean()).collect::<Vec<f64>>()
    };
    let losses = run(1);
    assert_eq!(run(2), losses, "two threads");
    losses
}

/// The label is the first token: with a state that is read at the end it must be carried that far.
#[test]
fn a_label_is_learnt() {
    let mut generator = Generator::new(4, 0);
    let sequences: Vec<Vec<u32>> = (0..24)
        .map(|k| {
            let rest = (0..k % 6).map(|_| generator.below(5) as u32);
            std::iter::once(k as u32 % 3).chain(rest.collect::<Vec<_>>()).collect()
        })
        .collect();
    let lengths = Lengths::new(&sequences.iter().map(Vec::len).collect::<Vec<_>>());
    let inputs = Sources::Tokens(lengths.arrange(&sequences));
    let labels = sequences.iter().map(|sequence| sequence[0]).collect();
    let batch = Labelled { inputs, lengths, labels };
    for pool in Pool::ALL {
        let build = || {
            let model = many_to_one(TOKENS, pool).build().unwrap();
            let parameters = model.initialize(&mut Generator::new(1, 0), UNIFORM, None).unwrap();
            (ManyToOneObjective::new(model, 3), parameters)
        };
        let losses = train(build, &batch, 150);
        assert!(losses[0] > 0.9 && losses[149] < 0.1, "{pool:?}: {} to {}", losses[0], losses[149]);
    }
}

/// The number is the first that is read, whatever comes after it.
#[test]
fn a_number_is_learnt() {
    let lengths = Lengths::new(&[5, 3, 1, 4, 2, 5]);
    let series: Vec<Vec<f32>> = (0..lengths.batch())
        .map(|k| (0..lengths.length(k)).map(|t| (k + 7 * t) as f32 % 5.0 - 2.0).collect())
        .collect();
    let targets = Matrix::from_fn(3, series.len(), |r, k| series[k][0] * r as f32 / 4.0);
    let values = lengths.arrange(&series);
    let inputs = Sources::Vectors(Matrix::from_fn(2, values.len(), |r, j| values[j] * r as f32));
    let batch = Measured { inputs, lengths, targets };
    let build = || {
        let model = many_to_one(InputConfig::Vectors { size: 2 }, Pool::Last).build().unwrap();
        let parameters = model.initialize(&mut Generator::new(1, 0), UNIFORM, None).unwrap();
        (RegressionObjective::new(model, 3), parameters)
    };
    let losses = train(build, &batch, 150);
    assert!(losses[0] > 0.2 && losses[149] < 0.01, "{} to {}", losses[0], losses[149]);
}

/// A sine: two rows are enough to know the next.
#[test]
fn a_series_is_learnt() {
    let value = |k: usize| libm::sinf(k as f32 * 0.7);
    let (batch, steps, horizon) = (9, 6, 3);
    let lengths = Lengths::equal(batch, steps);
    let x = Matrix::from_fn(1, batch * steps, |_, j| value(j / batch + j % batch));
    let targets =
        Matrix::from_fn(horizon, batch * steps, |r, j| value(j / batch + j % batch + 1 + r));
    let asked = (0..batch * steps).map(|j| j / batch > 1).collect();
    let series = Series { x: x.clone(), targets, asked, lengths: lengths.clone() };
    let build = || {
        let input = InputConfig::Vectors { size: 1 };
        let config = ManyToManyConfig { input, stack: stack(0.0), output_size: horizon };
        let model = config.build().unwrap();
        let parameters = model.initialize(&mut Generator::new(1, 0), UNIFORM, None).unwrap();
        (ForecastObjective::new(model, 3), parameters)
    };
    let losses = train(build, &series, 200);
    assert!(losses[0] > 0.4 && losses[199] < 0.02, "{} to {}", losses[0], losses[199]);

    let targets = Matrix::from_fn(1, batch * horizon, |_, j| value(j / batch + j % batch + steps));
    let windows = SeriesWindows { x, targets, lengths };
    for feed in SeriesFeed::ALL {
        let build = || {
            let config = SeriesForecasterConfig { columns: 1, stack: stack(0.0), horizon, feed };
            let model = config.build().unwrap();
            let parameters = model.initialize(&mut Generator::new(1, 0), UNIFORM, None).unwrap();
            (SeriesForecasterObjective::new(model, 3), parameters)
        };
        let losses = train(build, &windows, 200);
        assert!(losses[0] > 0.4 && losses[199] < 0.02, "{feed:?}: {} {}", losses[0], losses[199]);
    }
}
