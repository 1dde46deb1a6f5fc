//! Truncated backpropagation through time: what counts, how far back gradients go and from which
//! state, where documents begin, and that all of it goes on bit for bit.

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::loss::IGNORED;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Real};
use recurrent_testkit::gradient::{added, compare_gradient};
use recurrent_topologies::{
    InputConfig, Lengths, ManyToMany, ManyToManyConfig, ManyToManyTape, Noise, Reading,
    Regularization, StackConfig, State, TokenEncoding,
};
use recurrent_training::{
    Loss, ManyToManyObjective, Objective, OptimizerConfig, Schedule, Trainer, TrainerConfig,
    Window, Windows,
};

const VOCABULARY: usize = 6;
/// The token that separates documents where there are any.
const END: [u32; 2] = [5, 5];
const SEED: u64 = 11;

fn build<T: Real>(cell: CellKind, dropout: f64) -> (ManyToMany, Parameters<T>) {
    let config = ManyToManyConfig {
        input: InputConfig::Tokens {
            vocabulary_size: VOCABULARY,
            encoding: TokenEncoding::Embedding(3),
        },
        stack: StackConfig {
            cell,
            hidden_size: 4,
            num_layers: 2,
            bidirectional: false,
            dropout,
            regularization: Regularization::NONE,
        },
        output_size: VOCABULARY,
    };
    let model = config.build().unwrap();
    let mut generator = Generator::new(1, 0);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

fn text(length: usize, seed: u64) -> Vec<u32> {
    let mut generator = Generator::new(seed, 0);
    (0..length).map(|_| generator.below(VOCABULARY as u64) as u32).collect()
}

/// The gradient of the mean loss over all windows, with the same parameters at each, and the losses.
fn gradient<T: Real>(
    model: &ManyToMany,
    parameters: &Parameters<T>,
    windows: &Windows<'_>,
) -> (Loss, Vec<f64>) {
    let (compute, predictions) = (Compute::sequential(), windows.predictions());
    let streams = windows.get(0).lengths.batch();
    let mut objective = ManyToManyObjective::new(model.clone(), streams, SEED);
    let (mut sums, mut whole) = (vec![0.0; parameters.as_slice().len()], Loss::default());
    for index in 0..windows.count() {
        let mut own = parameters.zeros_like();
        let window = windows.get(index);
        let loss = objective.gradients(&compute, parameters, &window, 0, &mut own, &());
        objective.commit();
        whole += loss;
        let share = loss.count as f64 / predictions as f64;
        for (sum, own) in sums.iter_mut().zip(own.as_slice()) {
            *sum += share * own.to_f64();
        }
    }
    (whole, sums)
}

#[track_caller]
fn assert_near(left: &[f64], right: &[f64]) {
    assert_eq!(left.len(), right.len());
    for (at, (a, b)) in left.iter().zip(right).enumerate() {
        assert!((a - b).abs() <= 1e-14 + 1e-11 * b.abs(), "number {at}: {a} and {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The text's tokens are its positions, so a target says which loss it is.
    #[test]
    fn every_loss_counts_once_and_every_step_is_read_in_order(
        length in 2usize..90,
        streams in 1usize..4,
        steps in 1usize..9,
        more in 0usize..30,
    ) {
        let text: Vec<u32> = (0..length as u32).collect();
        let windows = Windows::new(&text, streams, steps).with_backward_steps(steps + more);
        let stream_length = (length - 1) / streams;
        let mut counted = vec![];
        // What the next window has to begin with, if it goes on.
        let mut next = vec![];
        for index in 0..windows.count() {
            let Window { tokens, targets, lengths, carries_state, carry_after } = windows.get(index);
            prop_assert!(lengths.steps() <= steps + more);
            for (&token, &target) in tokens.iter().zip(&targets) {
                if target != IGNORED {
                    prop_assert_eq!(target, token + 1);
                    counted.push(token);
                }
            }
            prop_assert!(targets[targets.len() - 1] != IGNORED);
            if carries_state {
                prop_assert_eq!(&tokens[..streams], &next[..]);
            } else {
                prop_assert!((0..streams).all(|s| tokens[s] as usize == s * stream_length));
            }
            let after = carry_after.unwrap_or(lengths.steps());
            next = tokens[..streams].iter().map(|&token| token + after as u32).collect();
        }
        counted.sort_unstable();
        let all: Vec<u32> = (0..(stream_length * streams) as u32).collect();
        prop_assert_eq!(counted, all);
    }

    #[test]
    fn as_many_steps_back_as_a_window_has_change_nothing(
        length in 2usize..90,
        streams in 1usize..4,
        steps in 1usize..9,
    ) {
        let text = text(length, 3);
        let windows = Windows::new(&text, streams, steps);
        let same = windows.clone().with_backward_steps(steps);
        prop_assert_eq!(same.count(), windows.count());
        for index in 0..windows.count() {
            prop_assert_eq!(same.get(index), windows.get(index));
            prop_assert_eq!(windows.get(index).carry_after, None);
        }
    }
}

/// With steps back to the beginning, the sum over all windows is the gradient of the whole text, for
/// one stream and for several.
#[test]
fn with_all_steps_back_the_gradient_is_that_of_the_whole_text() {
    for (cell, streams) in [(CellKind::Lstm, 1), (CellKind::Gru, 1), (CellKind::RnnTanh, 3)] {
        let ((model, parameters), text) = (build::<f64>(cell, 0.0), text(31, 5));
        let length = 30 / streams;
        let (loss, whole) = gradient(&model, &parameters, &Windows::new(&text, streams, length));
        for steps in [1, 4, 7] {
            let windows = Windows::new(&text, streams, steps);
            let all = windows.clone().with_backward_steps(length + steps);
            let (same, sum) = gradient(&model, &parameters, &all);
            assert!((same.sum - loss.sum).abs() < 1e-12 && same.count == loss.count);
            assert_near(&sum, &whole);
            // And with fewer it is another.
            let (_, less) = gradient(&model, &parameters, &windows.with_backward_steps(steps));
            let distance = less.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(distance > 1e-4, "{cell:?}, {steps} steps: {distance}");
        }
    }
}

/// The state after the first tokens of a text, read alone, with the given parameters.
fn state_after<T: Real>(
    (model, parameters): (&ManyToMany, &Parameters<T>),
    from: &State<T>,
    tokens: &[u32],
    noise: Option<Noise>,
) -> State<T> {
    let mut state = from.clone();
    if tokens.is_empty() {
        return state;
    }
    let (compute, lengths) = (Compute::sequential(), Lengths::equal(1, tokens.len()));
    let mut tape = ManyToManyTape::default();
    let reading = Reading::Tokens(tokens);
    let recorded = model.forward(&compute, parameters, reading, from, &lengths, noise, &mut tape);
    recorded.final_state(&mut state);
    state
}

/// In the middle of a text the gradient is that of the window's losses alone, as a function of the
/// parameters from the state that stands k2 - k1 steps before them.
#[test]
fn gradients_agree_with_central_differences_from_the_stored_state() {
    let (compute, text) = (Compute::sequential(), text(40, 7));
    for (cell, steps, backward_steps, index) in
        [(CellKind::Lstm, 3, 8, 6), (CellKind::Gru, 2, 3, 9), (CellKind::RnnTanh, 1, 6, 20)]
    {
        let (model, mut parameters) = build::<f64>(cell, 0.0);
        let windows = Windows::new(&text, 1, steps).with_backward_steps(backward_steps);
        let mut objective = ManyToManyObjective::new(model.clone(), 1, SEED);
        for before in 0..index {
            objective.evaluate(&compute, &parameters, &windows.get(before));
        }
        let window = windows.get(index);
        let gradients = added(1.0, &parameters, |gradients| {
            let _ = objective.gradients(&compute, &parameters, &window, 0, gradients, &());
        });

        // From here on the objective is not asked: the text's own steps, a fixed state before them.
        let counted = index * steps;
        let begin = counted - (backward_steps - steps);
        let zero = model.zero_state(1);
        let state = state_after((&model, &parameters), &zero, &text[..begin], None);
        let read = &text[begin..counted + steps];
        let lengths = Lengths::equal(1, read.len());
        let mut tape = ManyToManyTape::default();
        let mut point = parameters.as_slice().to_vec();
        let found = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            let reading = Reading::Tokens(read);
            let recorded =
                model.forward(&compute, &parameters, reading, &state, &lengths, None, &mut tape);
            let losses = (backward_steps - steps..read.len()).map(|t| {
                let (logits, target) = (recorded.logits().column(t), text[begin + t + 1] as usize);
                libm::log(logits.iter().map(|&logit| libm::exp(logit)).sum()) - logits[target]
            });
            losses.sum::<f64>() / steps as f64
        });
        assert!(found.worst <= 1.0, "{cell:?}: {} ({} tolerances)", found.place, found.worst);
        assert_eq!(found.skipped, 0);
    }
}

const ADAM: TrainerConfig = TrainerConfig {
    optimizer: OptimizerConfig::ADAM,
    learning_rate: 0.05,
    schedule: Schedule::Constant,
    warm_up: 0,
    clip_value: None,
    clip_norm: Some(0.5),
    patience: None,
};

type SmallTrainer = Trainer<f32, ManyToManyObjective<f32>>;

fn trainer(threads: usize, streams: usize) -> SmallTrainer {
    let (model, parameters) = build(CellKind::Lstm, 0.3);
    let objective = ManyToManyObjective::new(model, streams, SEED);
    Trainer::new(ADAM, Compute::new(threads).unwrap(), objective, parameters).unwrap()
}

fn train(trainer: &mut SmallTrainer, windows: &Windows<'_>, steps: usize) {
    let first = trainer.steps() as usize;
    for index in first..first + steps {
        trainer.step(&windows.get(index % windows.count())).unwrap();
    }
}

fn bits(trainer: &SmallTrainer) -> Vec<(String, Vec<u32>)> {
    let mut all = Vec::new();
    trainer.visit(|name, _, data| {
        all.push((name.to_string(), data.iter().map(|number| number.to_bits()).collect()));
    });
    all
}

/// What is stored while the parameters move is the state that the last window made on its way, from
/// the one stored before, with the parameters of its own step.
#[test]
fn the_stored_state_is_made_again_with_the_parameters_of_each_step() {
    let (text, steps, backward_steps) = (text(60, 9), 2, 7);
    let windows = Windows::new(&text, 1, steps).with_backward_steps(backward_steps);
    let mut trainer = trainer(1, 1);
    let model = trainer.objective().model().clone();
    let (mut stored, mut begin) = (model.zero_state::<f32>(1), 0);
    for index in 0..20 {
        let parameters = trainer.parameters().clone();
        trainer.step(&windows.get(index)).unwrap();
        let next = ((index + 1) * steps).saturating_sub(backward_steps - steps);
        let noise = Some(Noise { seed: SEED, first_step: (index as u64) << 24 });
        stored = state_after((&model, &parameters), &stored, &text[begin..next], noise);
        begin = next;
        let mut found = vec![];
        trainer.objective().visit(&mut |_, numbers| found.push(numbers.to_vec()));
        let mut expected = vec![];
        stored.visit(|_, matrix| expected.push(matrix.as_slice().to_vec()));
        assert_eq!(found, expected, "after step {}", index + 1);
    }
}

#[test]
fn training_goes_on_to_the_same_bits_at_any_number_of_threads() {
    let text = text(900, 2);
    let windows = Windows::new(&text, 24, 4).with_backward_steps(11).with_document_end(&END);
    assert!((0..3).all(|index| windows.get(index).lengths.has_resets()));
    let mut whole = trainer(1, 24);
    train(&mut whole, &windows, 9);
    for threads in [1, 2] {
        for stop in [0, 1, 3, 5] {
            let mut first = trainer(threads, 24);
            train(&mut first, &windows, stop);
            let mut second = trainer(3 - threads, 24);
            let kept = bits(&first);
            let mut numbers = kept.iter();
            second
                .restore(stop as u64, &[], |name, _, data| {
                    let (kept, numbers) = numbers.next().unwrap();
                    assert_eq!(name, kept);
                    data.iter_mut().zip(numbers).for_each(|(x, &bits)| *x = f32::from_bits(bits));
                    Ok::<_, ()>(())
                })
                .unwrap();
            train(&mut second, &windows, 9 - stop);
            assert!(bits(&second) == bits(&whole), "{threads} threads, stopped after {stop}");
        }
    }
}

/// Documents in one long row have the losses and gradients of documents read alone, whatever windows
/// cut them.
#[test]
fn rows_of_documents_are_documents_alone() {
    let documents = [&[1, 2, 3, 0, 5][..], &[5, 4, 5], &[5, 0, 1, 1, 2, 5], &[5, 5, 0, 3, 2, 1]];
    // The last ending's last token begins the next document, so documents lie end to end. Within the
    // last there is an ending right at its beginning: a document of one token.
    let text: Vec<u32> = documents.concat();
    let alone = [&documents[..3], &[&[5][..], &[5, 0, 3, 2, 1]]].concat();
    let (model, parameters) = build::<f64>(CellKind::Lstm, 0.0);
    let (mut loss, mut gradients) = (Loss::default(), vec![0.0; parameters.as_slice().len()]);
    let (mut first, count) = (0, text.len() - 1);
    for document in alone {
        let steps = document.len().min(count - first);
        let own = &text[first..=first + steps];
        let (part, gradient) = gradient(&model, &parameters, &Windows::new(own, 1, steps));
        loss += part;
        let share = part.count as f64 / count as f64;
        gradients.iter_mut().zip(gradient).for_each(|(sum, own)| *sum += share * own);
        first += steps;
    }
    assert_eq!((first, loss.count), (count, count));
    for (steps, backward_steps) in [(count, count), (1, 40), (3, 30), (4, 25)] {
        let windows = Windows::new(&text, 1, steps)
            .with_backward_steps(backward_steps)
            .with_document_end(&END);
        let (same, whole) = gradient(&model, &parameters, &windows);
        assert!((same.sum - loss.sum).abs() < 1e-12, "{} and {}", same.sum, loss.sum);
        assert_near(&whole, &gradients);
    }
    // Side by side too: two rows of it, cut by windows of few steps back, have its losses twice.
    let twice: Vec<u32> = [&text[..count], &text[..count], &text[count..]].concat();
    let forgetful = Windows::new(&twice, 2, 3).with_document_end(&END);
    let (both, _) = gradient(&model, &parameters, &forgetful);
    let (once, _) =
        gradient(&model, &parameters, &Windows::new(&text, 1, count).with_document_end(&END));
    // The first row's last target is the second's first token.
    assert_eq!(both.count, 2 * once.count);
    let last = Windows::new(&twice[..=count], 1, count).with_document_end(&END);
    let (first_row, _) = gradient(&model, &parameters, &last);
    assert!((both.sum - first_row.sum - once.sum).abs() < 1e-12);
}
