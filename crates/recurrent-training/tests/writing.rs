//! Training models that write: gradients of the whole objective, what each feed lets the decoder
//! see, coins with addresses, the same bits at any number of threads.

use std::cell::RefCell;

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_testkit::gradient::{added, compare_gradient};
use recurrent_topologies::{
    AttentionKind, Condition, EncoderDecoder, EncoderDecoderConfig, InputConfig, Lengths,
    OneToMany, OneToManyConfig, OneToManyTape, Regularization, StackConfig, TokenEncoding,
    TokenStream,
};
use recurrent_training::{
    ConfigError, DummyFed, EncoderDecoderBatch, EncoderDecoderObjective, Feed, Objective,
    OneToManyBatch, OneToManyObjective, OptimizerConfig, Schedule, Sources, Targets,
    TeacherForcing, Trainer, TrainerConfig,
};

const START: u32 = 0;
const VOCABULARY: usize = 6;
const HALF: Feed = Feed::Truth { teacher_forcing: TeacherForcing::Constant { ratio: 0.5 } };
const FEEDS: [Feed; 4] = [Feed::Dummy, Feed::Output, Feed::TRUTH, HALF];

fn layers(cell: CellKind, hidden_size: usize, dropout: f64) -> StackConfig {
    StackConfig {
        cell,
        hidden_size,
        num_layers: 2,
        bidirectional: false,
        dropout,
        regularization: Regularization::NONE,
    }
}

fn writer<T: Real>(condition: Condition, dropout: f64) -> (OneToMany, Parameters<T>) {
    let model = OneToManyConfig {
        condition_size: 3,
        condition,
        vocabulary_size: VOCABULARY,
        encoding: TokenEncoding::Embedding(4),
        stack: layers(CellKind::RnnTanh, 9, dropout),
    }
    .build()
    .unwrap();
    let generator = &mut Generator::new(1, 0);
    let mut parameters = model.initialize(generator, Initialization::Uniform, None).unwrap();
    widen(&mut parameters);
    (model, parameters)
}

/// Larger weights than fresh ones and no bias that prefers a token, so that a model's most likely
/// token changes from step to step.
fn widen<T: Real>(parameters: &mut Parameters<T>) {
    parameters.visit_mut(|entry, numbers| {
        let factor = if entry.name == "decoder.readout.bias" { 0.0 } else { 6.0 };
        numbers.iter_mut().for_each(|x| *x *= T::from_f64(factor));
    });
}

fn translator<T: Real>(
    attention: Option<AttentionKind>,
    dropout: f64,
) -> (EncoderDecoder, Parameters<T>) {
    let tokens = InputConfig::Tokens { vocabulary_size: 5, encoding: TokenEncoding::Embedding(4) };
    let model = EncoderDecoderConfig {
        source: tokens,
        encoder: layers(CellKind::Lstm, 5, dropout),
        target_vocabulary_size: VOCABULARY,
        target_encoding: TokenEncoding::OneHot,
        decoder: layers(CellKind::Gru, 5, dropout),
        attention,
        input_feeding: attention.is_some(),
        reverse_source: true,
    }
    .build()
    .unwrap();
    let generator = &mut Generator::new(1, 0);
    let parameters = model.initialize(generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

fn sequences(seed: u64, lengths: &[usize], below: u64) -> Vec<Vec<u32>> {
    let generator = &mut Generator::new(seed, 0);
    let draw = |&length: &usize| (0..length).map(|_| generator.below(below) as u32).collect();
    lengths.iter().map(draw).collect()
}

fn targets(seed: u64, lengths: &[usize]) -> Targets {
    Targets::new(&sequences(seed, lengths, VOCABULARY as u64), START)
}

fn condition<T: Real>(columns: usize) -> Matrix<T> {
    let generator = &mut Generator::new(2, 0);
    Matrix::from_fn(3, columns, |_, _| generator.uniform_between(-T::ONE, T::ONE))
}

fn pairs<T: Real>(seed: u64, sources: &[usize], lengths: &[usize]) -> EncoderDecoderBatch<T> {
    let source_lengths = Lengths::new(sources);
    let sources = Sources::Tokens(source_lengths.arrange(&sequences(seed + 1, sources, 5)));
    EncoderDecoderBatch { sources, source_lengths, targets: targets(seed, lengths) }
}

/// The gradient of the mean loss, against central differences.
fn check_gradients<O: Objective<f64>>(
    mut objective: O,
    mut parameters: Parameters<f64>,
    batch: &O::Batch,
    what: &str,
) {
    let compute = Compute::sequential();
    let gradients = added(1.0, &parameters, |gradients| {
        objective.gradients(&compute, &parameters, batch, 7, gradients, &());
    });
    let mut scratch = parameters.zeros_like();
    let mut point = parameters.as_slice().to_vec();
    let found = compare_gradient(what, &mut point, gradients.as_slice(), |point| {
        parameters.as_mut_slice().copy_from_slice(point);
        scratch.as_mut_slice().fill(0.0);
        objective.gradients(&compute, &parameters, batch, 7, &mut scratch, &()).mean()
    });
    assert!(found.worst <= 1.0, "{} ({} tolerances)", found.place, found.worst);
    assert!(found.skipped == 0, "{what}: {} of {} skipped", found.skipped, found.pairs);
}

#[test]
fn gradients_agree_with_central_differences() {
    for feed in FEEDS {
        for seen in Condition::ALL {
            let (model, parameters) = writer::<f64>(seen, 0.3);
            let batch = OneToManyBatch { condition: condition(3), targets: targets(3, &[2, 4, 3]) };
            let objective = OneToManyObjective::new(model, feed, 5);
            check_gradients(objective, parameters, &batch, &format!("{feed:?}, {seen:?}"));
        }
        for attention in [None, Some(AttentionKind::Additive)] {
            let (model, parameters) = translator::<f64>(attention, 0.3);
            let batch = pairs(4, &[3, 1, 4], &[2, 4, 3]);
            let objective = EncoderDecoderObjective::new(model, feed, 5);
            check_gradients(objective, parameters, &batch, &format!("{feed:?}, {attention:?}"));
        }
    }
}

/// The logits of a model on what a feed gives it to read.
fn logits(feed: Feed, targets: &Targets) -> Vec<f32> {
    let (model, parameters) = writer::<f32>(Condition::InitialState, 0.0);
    let compute = Compute::sequential();
    let condition = condition(targets.lengths.batch());
    let tokens = feed
        .inputs(targets, (9, 0), || model.stream(&compute, parameters.clone(), condition.as_ref()));
    let mut tape = OneToManyTape::default();
    let (condition, lengths) = (condition.as_ref(), &targets.lengths);
    let recorded =
        model.forward(&compute, &parameters, condition, &tokens, lengths, None, &mut tape);
    recorded.logits().as_slice().to_vec()
}

#[test]
fn a_dummy_fed_model_cannot_see_the_target() {
    let lengths = [4, 2, 5];
    let (one, other) = (targets(1, &lengths), targets(2, &lengths));
    assert_ne!(one.tokens, other.tokens);
    for feed in [Feed::Dummy, Feed::Output] {
        assert_eq!(logits(feed, &one), logits(feed, &other), "{feed:?} sees the target");
    }
    for feed in [Feed::TRUTH, HALF] {
        assert_ne!(logits(feed, &one), logits(feed, &other), "{feed:?} does not");
    }
    assert_ne!(logits(Feed::Dummy, &one), logits(Feed::Output, &one));
}

/// Teacher forcing with what the model wrote itself is free running: the same inputs, the same loss.
#[test]
fn its_own_output_as_truth_is_free_running() {
    let compute = Compute::sequential();
    let lengths = [4, 2, 5];
    let (model, parameters) = writer::<f32>(Condition::FirstInput, 0.0);
    let condition = condition(3);
    // What the model writes, from the start token on.
    let mut stream = model.stream(&compute, parameters.clone(), condition.as_ref());
    let mut written = vec![vec![START]; 3];
    for t in 0..5 {
        let now: Vec<u32> = written.iter().map(|own| own[t]).collect();
        let logits = stream.step(&now);
        for (row, own) in written.iter_mut().enumerate() {
            let column = logits.column(row);
            let best = (0..VOCABULARY).fold(0, |b, k| if column[k] > column[b] { k } else { b });
            own.push(best as u32);
        }
    }
    let own: Vec<&[u32]> =
        written.iter().zip(lengths).map(|(own, length)| &own[1..=length]).collect();
    assert!(own.iter().any(|own| own.iter().any(|&token| token != own[0])), "{own:?} never change");
    let targets = Targets::new(&own, START);
    let inputs = |feed: Feed| {
        feed.inputs(&targets, (1, 1), || {
            model.stream(&compute, parameters.clone(), condition.as_ref())
        })
    };
    let truth = inputs(Feed::TRUTH);
    assert_eq!(truth, targets.truth());
    for feed in [Feed::Output, HALF] {
        assert_eq!(inputs(feed), truth, "{feed:?}");
    }
    let loss = |feed| {
        let batch = OneToManyBatch { condition: condition.clone(), targets: targets.clone() };
        let mut objective = OneToManyObjective::new(model.clone(), feed, 1);
        objective.evaluate(&compute, &parameters, &batch)
    };
    assert_eq!(loss(Feed::Output), loss(Feed::TRUTH));
    assert_ne!(loss(Feed::Output), loss(Feed::Dummy));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A ragged batch that shrinks on its way is each sequence alone.
    #[test]
    fn a_mixed_run_is_that_of_each_sequence(
        lengths in prop::collection::vec(1usize..7, 1..6), seed: u64,
    ) {
        let compute = Compute::sequential();
        let (model, parameters) = writer::<f32>(Condition::EveryStep, 0.0);
        let all = condition(lengths.len());
        let tokens = sequences(seed, &lengths, VOCABULARY as u64);
        let targets = Targets::new(&tokens, START);
        let truth = |sequence: usize, t: usize| (seed >> ((sequence * 7 + t) % 64)) & 1 == 1;
        let mut stream = model.stream(&compute, parameters.clone(), all.as_ref());
        let mixed = targets.mixed(&mut stream, truth);
        prop_assert_eq!(mixed.len(), targets.tokens.len());
        for (sequence, own) in tokens.iter().enumerate() {
            let alone = all.as_ref().columns_range(sequence..sequence + 1);
            let mut stream = model.stream(&compute, parameters.clone(), alone);
            let mut token = START;
            for t in 0..own.len() {
                prop_assert_eq!(mixed[targets.lengths.column(sequence, t)], token);
                let logits = stream.step(&[token]).column(0).to_vec();
                let best = (0..VOCABULARY).fold(0, |b, k| if logits[k] > logits[b] { k } else { b });
                token = if truth(sequence, t + 1) { own[t] } else { best as u32 };
            }
        }
    }
}

/// A stream that always finds the last token most likely.
struct Last(usize, RefCell<Matrix<f32>>);

impl TokenStream<f32> for Last {
    fn batch(&self) -> usize {
        self.0
    }
    fn step(&mut self, tokens: &[u32]) -> recurrent_kernels::Columns<'_, f32> {
        assert_eq!(tokens.len(), self.0);
        *self.1.get_mut() = Matrix::from_fn(9, self.0, |r, _| f32::from(u8::from(r == 8)));
        self.1.get_mut().as_ref()
    }
    fn select(&mut self, columns: &[usize]) {
        self.0 = columns.len();
    }
}

/// Which tokens were the truth: targets are 1, outputs are 8.
fn coins(batch: usize, steps: usize, ratio: f64, address: (u64, u64)) -> Vec<Vec<bool>> {
    let targets = Targets::new(&vec![vec![1; steps]; batch], 0);
    let feed = Feed::Truth { teacher_forcing: TeacherForcing::Constant { ratio } };
    let read: Vec<u32> =
        feed.inputs(&targets, address, || Last(batch, RefCell::new(Matrix::zeros(0, 0))));
    (0..batch)
        .map(|j| (1..steps).map(|t| read[targets.lengths.column(j, t)] == 1).collect())
        .collect()
}

#[test]
fn coins_have_addresses_and_the_right_share() {
    for ratio in [0.0, 0.25, 0.9, 1.0] {
        let flips = coins(100, 101, ratio, (3, 5)).concat();
        let share = flips.iter().filter(|&&truth| truth).count() as f64 / flips.len() as f64;
        // Ten thousand flips: five standard deviations.
        let allowed = 5.0 * (ratio * (1.0 - ratio) / 10_000.0).sqrt();
        assert!((share - ratio).abs() <= allowed, "{share} of {ratio}");
    }
    let all = coins(8, 20, 0.5, (3, 5));
    // Neither later sequences nor later steps move a coin.
    let some = coins(3, 11, 0.5, (3, 5));
    for (all, some) in all.iter().zip(&some) {
        assert_eq!(&all[..10], some);
    }
    assert_ne!(coins(8, 20, 0.5, (3, 6)), all);
    assert_ne!(coins(8, 20, 0.5, (4, 5)), all);
    assert_ne!(all[0], all[1]);
}

/// Coins are drawn from no stream that somebody else takes: neither a shuffle nor anything else that
/// draws more or less moves one, and no coin says what an order will be.
#[test]
fn coins_are_streams_of_their_own() {
    let (seed, steps) = (3, 65);
    let flips = |step| coins(1, steps, 0.5, (seed, step)).concat();
    let all: Vec<Vec<bool>> = (0..40).map(flips).collect();
    // Streams of the purposes that have small numbers, and those that have one for each epoch.
    let others = (0..100).chain((1 << 32)..(1 << 32) + 100);
    for mut other in others.map(|stream| Generator::new(seed, stream)) {
        let draws: Vec<f64> = (0..steps).map(|_| other.uniform()).collect();
        let drawn = |first: usize| -> Vec<bool> {
            draws[first..first + steps - 1].iter().map(|&draw| draw < 0.5).collect()
        };
        assert!(!all.contains(&drawn(0)) && !all.contains(&drawn(1)));
    }
    // A shuffle in between, and coins between two shuffles, change neither.
    let shuffled = |between: bool| {
        let mut order: Vec<usize> = (0..50).collect();
        let mut generator = Generator::new(seed, 1 << 32);
        generator.shuffle(&mut order);
        if between {
            assert_eq!(flips(7), all[7]);
        }
        generator.shuffle(&mut order);
        order
    };
    assert_eq!(shuffled(true), shuffled(false));
}

#[test]
fn schedules_are_those_of_the_paper() {
    let linear = TeacherForcing::Linear { floor: 0.2, steps: 10 };
    let ratios = [0, 5, 10, 1000].map(|step| linear.ratio(step));
    for (ratio, expected) in ratios.iter().zip([1.0, 0.6, 0.2, 0.2]) {
        assert!((ratio - expected).abs() < 1e-12, "{ratio} and {expected}");
    }
    let sigmoid = TeacherForcing::InverseSigmoid { k: 10.0 };
    assert!((sigmoid.ratio(0) - 10.0 / 11.0).abs() < 1e-15);
    assert!((sigmoid.ratio(23) - 10.0 / (10.0 + libm_exp(2.3))).abs() < 1e-15);
    assert_eq!(sigmoid.ratio(u64::MAX), 0.0);
    for pair in [0, 7, 20, 50, 90].windows(2) {
        assert!(sigmoid.ratio(pair[0]) > sigmoid.ratio(pair[1]));
    }
    assert_eq!(TeacherForcing::ALWAYS.ratio(12), 1.0);
    assert!([linear, sigmoid, TeacherForcing::ALWAYS].iter().all(|own| own.check().is_ok()));
    let refused = [
        TeacherForcing::Constant { ratio: 1.5 },
        TeacherForcing::Constant { ratio: f64::NAN },
        TeacherForcing::Linear { floor: -0.1, steps: 5 },
        TeacherForcing::Linear { floor: 0.1, steps: 0 },
        TeacherForcing::InverseSigmoid { k: 0.5 },
        TeacherForcing::InverseSigmoid { k: f64::INFINITY },
    ];
    for teacher_forcing in refused {
        let error = Feed::Truth { teacher_forcing }.check().unwrap_err();
        assert!(matches!(error, ConfigError::Range { .. }), "{error}");
    }
}

/// e^2.3 to the last digit of f64.
fn libm_exp(x: f64) -> f64 {
    assert_eq!(x, 2.3);
    9.974_182_454_814_718
}

#[test]
fn a_dummy_fed_stream_reads_the_start_token() {
    let compute = Compute::sequential();
    let (model, parameters) = writer::<f32>(Condition::InitialState, 0.0);
    let condition = condition(2);
    let stream = || model.stream(&compute, parameters.clone(), condition.as_ref());
    let (mut plain, mut fed) = (stream(), DummyFed::new(stream(), START));
    for tokens in [[1, 2], [3, 4]] {
        let expected = plain.step(&[START; 2]).as_slice().to_vec();
        assert_eq!(fed.step(&tokens).as_slice(), expected);
    }
}

const ADAM: TrainerConfig = TrainerConfig {
    optimizer: OptimizerConfig::ADAM,
    learning_rate: 0.02,
    schedule: Schedule::Constant,
    warm_up: 0,
    clip_value: None,
    clip_norm: Some(1.0),
    patience: None,
};

#[test]
fn training_has_the_same_bits_at_any_thread_count() {
    let sources: Vec<usize> = (0..20).map(|k| 1 + k * 3 % 7).collect();
    let lengths: Vec<usize> = (0..20).map(|k| 1 + k * 5 % 6).collect();
    let run = |threads, attention, feed| {
        let (model, parameters) = translator::<f32>(attention, 0.2);
        let objective = EncoderDecoderObjective::new(model, feed, 5);
        let compute = Compute::new(threads).unwrap();
        let mut trainer = Trainer::new(ADAM, compute, objective, parameters).unwrap();
        for step in 0..4 {
            trainer.step(&pairs(step, &sources, &lengths)).unwrap();
        }
        trainer.parameters().as_slice().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    for feed in FEEDS {
        for attention in [None, Some(AttentionKind::General)] {
            let expected = run(1, attention, feed);
            for threads in [2, 3] {
                assert!(run(threads, attention, feed) == expected, "{feed:?}, {threads} threads");
            }
        }
    }
}

/// Sources are written again, end token last: with attention that is soon learnt.
#[test]
fn a_model_learns_to_repeat_what_it_reads() {
    let (model, parameters) = translator::<f32>(Some(AttentionKind::General), 0.0);
    let objective = EncoderDecoderObjective::new(model, HALF, 5);
    let compute = Compute::sequential();
    let mut trainer = Trainer::new(ADAM, compute, objective, parameters).unwrap();
    let batch = |step: u64| {
        let lengths: Vec<usize> = (0..16).map(|k| 1 + (k + step as usize) % 3).collect();
        let source_lengths = Lengths::new(&lengths);
        let sources = sequences(step, &lengths, 4);
        let written = |source: &Vec<u32>| {
            let mut own: Vec<u32> = source.iter().map(|token| token + 1).collect();
            own.push(5);
            own
        };
        let written: Vec<Vec<u32>> = sources.iter().map(written).collect();
        EncoderDecoderBatch {
            sources: Sources::Tokens(source_lengths.arrange(&sources)),
            source_lengths,
            targets: Targets::new(&written, START),
        }
    };
    let first = trainer.step(&batch(0)).unwrap().loss.mean();
    let last = (1..400).map(|step| trainer.step(&batch(step)).unwrap().loss.mean()).last().unwrap();
    assert!(first > 1.5 && last < 0.3, "from {first} to {last}");
}
