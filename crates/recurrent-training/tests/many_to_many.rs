//! Training a many-to-many model: gradients through everything, the same bits at any thread count
//! and after a restart, a state that is carried, and numbers that must not pass.

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::loss::IGNORED;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Real};
use recurrent_testkit::gradient::{added, compare_gradient};
use recurrent_topologies::{
    InputConfig, Lengths, ManyToMany, ManyToManyConfig, ManyToManyTape, Probe, Reading,
    Regularization, StackConfig, TokenEncoding, TokenStream,
};
use recurrent_training::{
    Loss, ManyToManyObjective, Objective, OptimizerConfig, Schedule, Trainer, TrainerConfig,
    TrainingError, Window, Windows,
};

fn configs(classes: usize) -> impl Strategy<Value = ManyToManyConfig> {
    (
        2usize..30,
        prop_oneof![Just(TokenEncoding::OneHot), (1usize..5).prop_map(TokenEncoding::Embedding)],
        prop::sample::select(&CellKind::ALL[..]),
        1usize..5,
        1usize..=3,
        prop::sample::select(vec![0.0, 0.3]),
    )
        .prop_map(
            move |(vocabulary_size, encoding, cell, hidden_size, num_layers, dropout)| {
                let input = InputConfig::Tokens { vocabulary_size, encoding };
                let bidirectional = false;
                let stack = StackConfig {
                    cell,
                    hidden_size,
                    num_layers,
                    bidirectional,
                    dropout,
                    regularization: Regularization::NONE,
                };
                ManyToManyConfig { input, stack, output_size: classes }
            },
        )
}

fn build<T: Real>(config: &ManyToManyConfig) -> (ManyToMany, Parameters<T>) {
    let model = config.build().unwrap();
    let mut generator = Generator::new(1, 0);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

fn vocabulary_size(config: &ManyToManyConfig) -> usize {
    let InputConfig::Tokens { vocabulary_size, .. } = config.input else { unreachable!() };
    vocabulary_size
}

fn tokens(generator: &mut Generator, count: usize, below: usize) -> Vec<u32> {
    (0..count).map(|_| generator.below(below as u64) as u32).collect()
}

/// A text of period 7 that a small model can learn.
fn text(length: usize) -> Vec<u32> {
    (0..length).map(|k| [0, 1, 2, 3, 1, 2, 4][k % 7]).collect()
}

fn small(dropout: f64) -> ManyToManyConfig {
    ManyToManyConfig {
        input: InputConfig::Tokens { vocabulary_size: 5, encoding: TokenEncoding::Embedding(3) },
        stack: StackConfig {
            cell: CellKind::Lstm,
            hidden_size: 9,
            num_layers: 2,
            bidirectional: false,
            dropout,
            regularization: Regularization::NONE,
        },
        output_size: 5,
    }
}

const ADAM: TrainerConfig = TrainerConfig {
    optimizer: OptimizerConfig::ADAM,
    learning_rate: 0.02,
    schedule: Schedule::Cosine { steps: 40 },
    warm_up: 0,
    clip_value: None,
    clip_norm: Some(0.5),
    patience: None,
};

type SmallTrainer = Trainer<f32, ManyToManyObjective<f32>>;

fn trainer(config: TrainerConfig, dropout: f64, threads: usize, batch: usize) -> SmallTrainer {
    let (model, parameters) = build(&small(dropout));
    let objective = ManyToManyObjective::new(model, batch, 11);
    Trainer::new(config, Compute::new(threads).unwrap(), objective, parameters).unwrap()
}

fn train(trainer: &mut SmallTrainer, windows: &Windows<'_>, steps: usize) -> Vec<f64> {
    let first = trainer.steps() as usize;
    (first..first + steps)
        .map(|k| trainer.step(&windows.get(k % windows.count())).unwrap().loss.mean())
        .collect()
}

fn numbers(trainer: &SmallTrainer) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    trainer.visit(|name, _, data| all.push((name.to_string(), data.to_vec())));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradients_agree_with_central_differences(
        config in configs(4),
        lengths in prop::collection::vec(1usize..5, 1..4),
        seed in any::<u64>(),
        bidirectional: bool,
    ) {
        let stack = StackConfig { bidirectional, ..config.stack };
        let config = ManyToManyConfig { stack, ..config };
        let (model, mut parameters) = build::<f64>(&config);
        let mut generator = Generator::new(seed, 0);
        let lengths = Lengths::new(&lengths);
        let window = Window {
            tokens: tokens(&mut generator, lengths.columns(), vocabulary_size(&config)),
            targets: tokens(&mut generator, lengths.columns(), config.output_size),
            lengths,
            carries_state: false,
            carry_after: None,
        };
        let compute = Compute::sequential();
        let batch = window.lengths.batch();
        let mut objective = ManyToManyObjective::new(model, batch, 3);
        let gradients = added(1.0, &parameters, |gradients| {
            objective.gradients(&compute, &parameters, &window, 7, gradients, &());
        });

        let mut scratch = parameters.zeros_like();
        let mut point = parameters.as_slice().to_vec();
        let found = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            scratch.as_mut_slice().fill(0.0);
            objective.gradients(&compute, &parameters, &window, 7, &mut scratch, &()).mean()
        });
        prop_assert!(found.worst <= 1.0, "{} ({} tolerances)", found.place, found.worst);
        // A relu has kinks; the suite of cells bounds their share over many cases.
        let most = if config.stack.cell == CellKind::RnnRelu { found.pairs / 20 + 2 } else { 0 };
        prop_assert!(found.skipped <= most, "{} of {} skipped", found.skipped, found.pairs);
    }

    #[test]
    fn a_stream_has_the_bits_of_forward(config in configs(6), seed in any::<u64>()) {
        let (model, parameters) = build::<f32>(&config);
        let mut generator = Generator::new(seed, 0);
        let (batch, steps) = (3, 6);
        let tokens = tokens(&mut generator, batch * steps, vocabulary_size(&config));
        let compute = Compute::sequential();
        let (initial, lengths) = (model.zero_state(batch), Lengths::equal(batch, steps));
        let mut tape = ManyToManyTape::default();
        let recorded =
            model.forward(&compute, &parameters, Reading::Tokens(&tokens), &initial, &lengths, None, &mut tape);
        let mut stream = model.stream(&compute, parameters.clone(), batch);
        for t in 0..steps {
            let columns = t * batch..(t + 1) * batch;
            let logits = stream.step(&tokens[columns.clone()]);
            let expected = recorded.logits().columns_range(columns);
            prop_assert_eq!(logits.as_slice(), expected.as_slice());
        }
    }
}

#[test]
fn training_has_the_same_bits_at_any_thread_count() {
    let text = text(2000);
    let windows = Windows::new(&text, 24, 11);
    let run = |threads| {
        let mut trainer = trainer(ADAM, 0.2, threads, 24);
        let losses = train(&mut trainer, &windows, 12);
        (losses, numbers(&trainer))
    };
    let expected = run(1);
    assert_eq!(run(2), expected);
    assert_eq!(run(3), expected);
}

/// Columns that ask for nothing count for nothing: the loss and the gradients are those of the
/// window without their sequence.
#[test]
fn ignored_targets_leave_no_trace() {
    let (model, parameters) = build::<f64>(&small(0.0));
    let sequences = [vec![0u32, 1, 2], vec![3, 4, 0]];
    let window = |count: usize, last: u32| Window {
        tokens: Lengths::equal(count, 3).arrange(&sequences[..count]),
        targets: Lengths::equal(count, 3).arrange(&[[1, 2, 3], [last; 3]][..count]),
        lengths: Lengths::equal(count, 3),
        carries_state: false,
        carry_after: None,
    };
    let run = |window: &Window| {
        let mut objective = ManyToManyObjective::new(model.clone(), window.lengths.batch(), 3);
        let mut gradients = parameters.zeros_like();
        let compute = Compute::sequential();
        let loss = objective.gradients(&compute, &parameters, window, 0, &mut gradients, &());
        let evaluated = objective.evaluate(&compute, &parameters, window);
        assert_eq!(loss, evaluated);
        (loss, gradients)
    };
    let (alone, beside) = (run(&window(1, 0)), run(&window(2, IGNORED)));
    assert_eq!((alone.0.count, alone.0), (3, beside.0));
    for (a, b) in alone.1.as_slice().iter().zip(beside.1.as_slice()) {
        assert!((a - b).abs() <= 1e-15 + 1e-12 * a.abs(), "{a} and {b}");
    }
    assert_ne!(run(&window(2, 1)).0, alone.0);
}

/// As above, in shapes above every threshold from which work is divided among threads.
#[test]
fn large_training_has_the_same_bits_at_any_thread_count() {
    let config = ManyToManyConfig {
        input: InputConfig::Tokens { vocabulary_size: 300, encoding: TokenEncoding::Embedding(40) },
        stack: StackConfig {
            cell: CellKind::Lstm,
            hidden_size: 160,
            num_layers: 1,
            bidirectional: false,
            dropout: 0.2,
            regularization: Regularization::NONE,
        },
        output_size: 300,
    };
    let text = tokens(&mut Generator::new(2, 0), 32 * 80 + 1, 300);
    let windows = Windows::new(&text, 32, 40);
    let run = |threads| {
        let (model, parameters) = build::<f32>(&config);
        let objective = ManyToManyObjective::new(model, 32, 11);
        let compute = Compute::new(threads).unwrap();
        let mut trainer = Trainer::new(ADAM, compute, objective, parameters).unwrap();
        train(&mut trainer, &windows, 3);
        let mut bits = Vec::new();
        trainer.visit(|_, _, data| bits.extend(data.iter().map(|x| x.to_bits())));
        bits
    };
    let expected = run(1);
    for threads in [2, 3] {
        let bits = run(threads);
        let other = bits.iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert!(bits == expected, "{other} numbers of {} differ, {threads} threads", bits.len());
    }
}

#[test]
fn a_report_says_what_clipping_did() {
    let text = text(200);
    let windows = Windows::new(&text, 4, 10);
    let step = |clip_norm| {
        let mut trainer = trainer(TrainerConfig { clip_norm, ..ADAM }, 0.0, 1, 4);
        let report = trainer.step(&windows.get(0)).unwrap();
        let squares = trainer.gradients().as_slice().iter().map(|&g| f64::from(g).powi(2));
        (report.clipped, report.gradient_norm, squares.sum::<f64>().sqrt())
    };
    let (clipped, norm, after) = step(None);
    assert!(!clipped && norm > 0.0 && (norm - after).abs() < 1e-6 * norm);
    assert_eq!(step(Some(2.0 * norm)), (false, norm, after));
    let (clipped, before, after) = step(Some(0.5 * norm));
    assert!(clipped && before == norm, "{before} and {norm}");
    assert!((after - 0.5 * norm).abs() < 1e-6 * norm, "{after} and {norm}");
}

/// The gradient that it is told to give, to look at what a trainer does with it.
struct Constant(f32);

impl Objective<f32> for Constant {
    type Batch = ();

    fn gradients(
        &mut self,
        _: &Compute,
        _: &Parameters<f32>,
        _: &(),
        _: u64,
        gradients: &mut Parameters<f32>,
        _: &impl Probe<f32>,
    ) -> Loss {
        gradients.as_mut_slice()[0] = self.0;
        Loss { sum: 1.0, count: 1 }
    }
    fn commit(&mut self) {}
    fn evaluate(&mut self, _: &Compute, _: &Parameters<f32>, _: &()) -> Loss {
        Loss::default()
    }
    fn visit(&self, _: &mut dyn FnMut(&str, &[f32])) {}
    fn visit_mut(&mut self, _: &mut dyn FnMut(&str, &mut [f32])) {}
}

#[test]
fn gradients_whose_square_overflows_are_refused() {
    let limits = [(None, None), (None, Some(1.0)), (Some(1.0), None), (Some(1.0), Some(1.0))];
    for (optimizer, (clip_value, clip_norm)) in
        optimizers().into_iter().flat_map(|optimizer| limits.map(|limit| (optimizer, limit)))
    {
        let config = TrainerConfig { optimizer, clip_value, clip_norm, ..ADAM };
        let (_, parameters) = build::<f32>(&small(0.0));
        let step = |gradient: f32| {
            let (config, parameters) = (config.clone(), parameters.clone());
            let objective = Constant(gradient);
            let mut trainer =
                Trainer::new(config, Compute::sequential(), objective, parameters).unwrap();
            let result = trainer.step(&());
            assert_eq!(*trainer.parameters() == build(&small(0.0)).1, result.is_err());
            result
        };
        assert!(step(1e19).is_ok());
        let error = step(1e21).unwrap_err();
        assert!(matches!(error, TrainingError::GradientTooLarge { step: 1, .. }), "{error}");
        for gradient in [f32::NAN, f32::NEG_INFINITY] {
            let error = step(gradient).unwrap_err();
            assert!(matches!(error, TrainingError::NonFiniteGradient { step: 1, .. }), "{error}");
        }
    }
}

#[test]
fn a_refused_step_can_be_followed_by_another() {
    let text = text(200);
    let windows = Windows::new(&text, 4, 10);
    for optimizer in optimizers() {
        let begin = || {
            let config = TrainerConfig { optimizer, ..ADAM };
            let mut trainer = trainer(config, 0.2, 1, 4);
            for loss in [1.0, 1.0, 2.0] {
                trainer.observe_held_out(loss);
            }
            trainer
        };
        let mut whole = begin();
        train(&mut whole, &windows, 3);
        let mut disturbed = begin();
        train(&mut disturbed, &windows, 2);
        let seen = disturbed.held_out_losses().to_vec();
        let weight = |trainer: &mut SmallTrainer, value: f32| {
            let mut old = 0.0;
            let result = trainer.restore(2, &seen, |name, _, data: &mut [f32]| {
                if name == "parameters/readout.weight" {
                    old = std::mem::replace(&mut data[0], value);
                }
                Ok::<_, ()>(())
            });
            result.unwrap();
            old
        };
        let old = weight(&mut disturbed, f32::NAN);
        // Neither a window that carries the state nor one that starts anew may leave a trace.
        for index in [2, 0] {
            disturbed.step(&windows.get(index)).unwrap_err();
        }
        weight(&mut disturbed, old);
        disturbed.step(&windows.get(2)).unwrap();
        assert_eq!(numbers(&disturbed), numbers(&whole), "{optimizer:?}");
    }
}

/// Every optimiser, with everything that it can keep.
fn optimizers() -> [OptimizerConfig; 6] {
    let (momentum, weight_decay) = (0.6, 0.01);
    [
        OptimizerConfig::ADAM,
        OptimizerConfig::ADAM_W,
        OptimizerConfig::SGD,
        OptimizerConfig::Sgd { momentum, dampening: 0.1, nesterov: false, weight_decay },
        OptimizerConfig::RmsProp {
            alpha: 0.9,
            epsilon: 1e-3,
            momentum,
            centered: true,
            weight_decay,
        },
        OptimizerConfig::NtAsgd { average_after: 1, weight_decay },
    ]
}

/// A loss that falls, then rises: averaging begins, and a plateau lowers the rate.
fn held_out(step: u64) -> f64 {
    (step as f64 - 4.0).abs()
}

#[test]
fn a_restored_training_goes_on_with_the_same_bits() {
    for optimizer in optimizers() {
        let schedule =
            Schedule::Plateau { factor: 0.5, patience: 0, threshold: 1e-4, minimum: 0.0 };
        let config = TrainerConfig { optimizer, schedule, warm_up: 9, ..ADAM };
        let text = text(900);
        let windows = Windows::new(&text, 6, 8);
        let go_on = |trainer: &mut SmallTrainer, steps: u64| -> Vec<f64> {
            let one = |_| {
                let loss = train(trainer, &windows, 1)[0];
                trainer.observe_held_out(held_out(trainer.steps()));
                loss
            };
            (0..steps).map(one).collect()
        };
        // Before and after averaging begins.
        for done in [3, 7] {
            let mut whole = trainer(config.clone(), 0.2, 1, 6);
            go_on(&mut whole, done);
            let (saved, seen) = (numbers(&whole), whole.held_out_losses().to_vec());
            let losses = go_on(&mut whole, 9);

            let mut resumed = trainer(config.clone(), 0.2, 1, 6);
            let mut blocks = saved.iter();
            resumed
                .restore(done, &seen, |name, _, data| {
                    let (saved_name, saved) = blocks.next().ok_or("too few")?;
                    assert_eq!(saved_name, name);
                    data.copy_from_slice(saved);
                    Ok::<_, &str>(())
                })
                .unwrap();
            assert_eq!(go_on(&mut resumed, 9), losses, "{optimizer:?}");
            assert_eq!(numbers(&resumed), numbers(&whole), "{optimizer:?}");
            assert_eq!(resumed.held_out_losses(), whole.held_out_losses());
            assert_eq!(resumed.learning_rate(), whole.learning_rate());
            assert!(whole.learning_rate() < config.learning_rate, "the plateau did nothing");
            let averages = matches!(optimizer, OptimizerConfig::NtAsgd { .. });
            assert_eq!(whole.averages(), averages, "{optimizer:?}");
        }
    }
}

#[test]
fn the_state_is_carried_from_window_to_window() {
    // Without learning, the loss of a text does not depend on how it is cut into windows.
    let text = text(400);
    let (model, parameters) = build::<f64>(&small(0.0));
    let loss = |steps: usize| {
        let windows = Windows::new(&text, 3, steps);
        let mut objective = ManyToManyObjective::new(model.clone(), 3, 0);
        let compute = Compute::sequential();
        let sum: f64 = (0..windows.count())
            .map(|k| objective.evaluate(&compute, &parameters, &windows.get(k)).sum)
            .sum();
        sum / windows.predictions() as f64
    };
    assert!((loss(5) - loss(133)).abs() < 1e-12, "{} and {}", loss(5), loss(133));
}

#[test]
fn a_period_is_learnt() {
    let text = text(3000);
    let windows = Windows::new(&text, 8, 14);
    let config = TrainerConfig { schedule: Schedule::Constant, ..ADAM };
    let mut trainer = trainer(config, 0.0, 2, 8);
    let losses = train(&mut trainer, &windows, 120);
    assert!(losses[0] > 1.3, "starts at {}", losses[0]);
    // Only the first letters of a stream cannot be known.
    assert!(losses[119] < 0.1, "ends at {}", losses[119]);
}

#[test]
fn what_is_not_finite_never_reaches_the_parameters() {
    let text = text(200);
    let windows = Windows::new(&text, 4, 10);
    let mut trainer = trainer(ADAM, 0.0, 1, 4);
    train(&mut trainer, &windows, 2);
    // An infinite weight in the readout makes the loss NaN.
    trainer
        .restore(2, &[], |name, _, data: &mut [f32]| {
            if name == "parameters/readout.weight" {
                data[0] = f32::INFINITY;
            }
            Ok::<_, ()>(())
        })
        .unwrap();
    let before = numbers(&trainer);
    let error = trainer.step(&windows.get(2)).unwrap_err();
    assert!(matches!(error, TrainingError::NonFiniteLoss { step: 3, .. }), "{error}");
    assert_eq!(trainer.steps(), 2);
    assert_eq!(numbers(&trainer), before);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let refused = |config: TrainerConfig| config.check().unwrap_err().to_string();
    for learning_rate in [f64::NAN, -0.1, f64::INFINITY] {
        let message = refused(TrainerConfig { learning_rate, ..ADAM });
        assert!(message.contains("learning rate must be finite"), "{message}");
    }
    for clip_norm in [Some(0.0), Some(f64::NAN), Some(-1.0)] {
        let message = refused(TrainerConfig { clip_norm, ..ADAM });
        assert!(message.contains("clip norm must be above 0"), "{message}");
    }
    let adam = |beta1, beta2, epsilon| TrainerConfig {
        optimizer: OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay: 0.0 },
        ..ADAM
    };
    // Good in f64 and degenerate in f32.
    for (config, field) in [
        (adam(0.9, 0.999, 1e-50), "epsilon must be above 0"),
        (adam(0.9, 0.999, 1e39), "epsilon must be finite"),
        (adam(1.0 - 1e-9, 0.999, 1e-8), "beta1 must be in [0, 1)"),
        (adam(0.9, 1.0 - 1e-9, 1e-8), "beta2 must be in [0, 1)"),
        (TrainerConfig { learning_rate: 1e39, ..ADAM }, "learning rate must be finite"),
        (TrainerConfig { learning_rate: 1e38, ..ADAM }, "rate / (1 - beta1) must be finite"),
        (TrainerConfig { clip_norm: Some(1e-60), ..ADAM }, "clip norm must be above 0"),
    ] {
        config.check_for::<f64>().unwrap();
        let message = config.check_for::<f32>().unwrap_err().to_string();
        assert!(message.contains(field) && message.contains("f32"), "{message}");
        let (model, parameters) = build::<f32>(&small(0.0));
        let objective = ManyToManyObjective::new(model, 4, 0);
        assert!(Trainer::new(config, Compute::sequential(), objective, parameters).is_err());
    }
    assert!(refused(adam(0.9, 0.999, f64::INFINITY)).contains("epsilon must be finite"));
    let refused = |stack| ManyToManyConfig { stack, ..small(0.0) }.build().unwrap_err().to_string();
    let stack = small(0.0).stack;
    let message = refused(StackConfig { hidden_size: 0, ..stack });
    assert_eq!(message, "hidden size must be at least 1");
    let message = refused(StackConfig { dropout: 1.5, ..stack });
    assert_eq!(message, "dropout must be at least 0 and below 1, not 1.5");
}

#[test]
fn a_model_begins_as_it_was_asked_to() {
    let model = small(0.0).build().unwrap();
    let initialize =
        |how, forget_bias| model.initialize(&mut Generator::new(1, 0), how, forget_bias).unwrap();
    let parameters: Parameters<f64> = initialize(Initialization::Orthogonal, Some(1.5));
    for (_, slots) in model.stack().cells() {
        // The columns of each gate's block have length 1.
        let weight_hh = parameters.get(slots.weight_hh);
        for gate in 0..4 {
            let column = &weight_hh.column(3)[gate * 9..(gate + 1) * 9];
            assert!((column.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert!(parameters.slice(slots.bias_ih.unwrap())[9..18].iter().all(|&b| b == 1.5));
    }
    let stack = StackConfig { cell: CellKind::Gru, ..small(0.0).stack };
    let gru = ManyToManyConfig { stack, ..small(0.0) }.build().unwrap();
    let refused = |how, forget_bias| {
        gru.initialize::<f64>(&mut Generator::new(1, 0), how, forget_bias).unwrap_err().to_string()
    };
    assert_eq!(
        refused(Initialization::Uniform, Some(1.0)),
        "a forget bias is for lstm and layer-norm-lstm"
    );
    let message = refused(Initialization::Identity, None);
    assert_eq!(message, "identity is for rnn-tanh, rnn-relu and rnn-identity");
}
