//! The experiment of docs/bptt.md, whose program is the example `untied_weights`: the gradient of a
//! shared weight is the sum of what the steps say, held against the stack's one product over all steps
//! and, step by step, against central differences; and the two networks learn what the page says.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{Layout, Linear, Nonlinearity, Parameters, Rnn};
use recurrent_kernels::loss::softmax_cross_entropy;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::gradient::compare_gradient;
use recurrent_topologies::{Input, InputGradient, Lengths, Stack, StackOptions, Tape};

#[path = "../examples/untied_weights/experiment.rs"]
mod experiment;
#[path = "../examples/untied_weights/network.rs"]
mod network;

use experiment::{Batch, LETTERS, STEPS, TRAINED, accuracy, gradients, train};
use network::Weights;

/// The gradients of the shared network by the library's stack, in the order of its parameters.
fn gradients_of_stack(parameters: &Parameters<f64>, batch: &Batch) -> Vec<f64> {
    let (compute, size) = (Compute::sequential(), batch.targets[0].len());
    let (input_size, hidden_size) = {
        let entry = &parameters.layout().entries()[0];
        assert_eq!(entry.name, "weight_ih");
        (entry.slot.columns(), entry.slot.rows())
    };
    let mut layout = Layout::new();
    let cell = Rnn::new(input_size, hidden_size, Nonlinearity::Tanh);
    let stack = Stack::add(&mut layout, "", vec![cell], StackOptions::default());
    let readout = Linear::add(&mut layout, "readout", hidden_size, LETTERS);
    let mut own = Parameters::zeros(Arc::new(layout));
    own.as_mut_slice().copy_from_slice(parameters.as_slice());

    let together = |blocks: &[Matrix<f64>]| {
        let numbers: Vec<f64> = blocks.iter().flat_map(|block| block.as_slice().to_vec()).collect();
        Matrix::from_columns(numbers, blocks[0].rows(), blocks.len() * size)
    };
    let (x, lengths) = (together(&batch.x), Lengths::equal(size, STEPS));
    let (mut tape, mut gradients) = (Tape::new(), own.zeros_like());
    let (input, zero) = (Input::Columns(x.as_ref()), stack.zero_state(size));
    let run = stack.run(&compute, &own, input, &zero, &lengths, None, &mut tape);
    let mut y = Matrix::zeros(LETTERS, x.columns());
    let mut packed = recurrent_cells::PackedLinear::default();
    packed.pack(&compute, &readout, &own);
    packed.forward(&compute, run.output(), y.as_mut());
    let (targets, scale) = (batch.targets.concat(), 1.0 / x.columns() as f64);
    softmax_cross_entropy(&compute, y.as_mut(), &targets, scale, &mut vec![0.0; x.columns()]);
    let mut turned = run.turn();
    let (h, d_h) = turned.output_and_gradient();
    readout.backward(&compute, &own, h, y.as_ref(), &mut gradients, d_h);
    let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
    stack.run_backward(turned, &compute, &own, input, &mut gradients, &());
    gradients.as_slice().to_vec()
}

#[track_caller]
fn assert_near(what: &str, given: &[f64], wanted: &[f64]) {
    assert_eq!(given.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for (at, (a, b)) in given.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= 1e-14 * largest, "{what}, number {at}: {a} is not {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_the_steps_say_adds_up_to_the_shared_gradient(
        seed in 0u64..1000,
        size in 1usize..9,
        places in prop::collection::vec(1..=STEPS, 1..4),
    ) {
        let compute = Compute::sequential();
        let batch = Batch::draw(&mut Generator::new(seed, 9), size, &places);
        let [shared, untied] = [Weights::Shared, Weights::Untied].map(experiment::network);
        let (parameters, of_steps) = (shared.initialize(seed), untied.initialize(seed));
        let (loss, d_shared) = gradients(&compute, &shared, &parameters, &batch);
        let (same, d_untied) = gradients(&compute, &untied, &of_steps, &batch);
        prop_assert_eq!(loss, same, "fresh networks are one function");
        let sum = untied.sum_over_steps(&shared, &d_untied);
        let stack = gradients_of_stack(&parameters, &batch);
        assert_near("the sum", sum.as_slice(), &stack);
        assert_near("the shared gradient", d_shared.as_slice(), &stack);
    }
}

#[test]
fn the_gradient_of_each_step_is_that_of_its_own_weights() {
    let compute = Compute::sequential();
    let batch = Batch::draw(&mut Generator::new(1, 9), 3, &[2, 5]);
    for weights in [Weights::Shared, Weights::Untied] {
        let network = network::Network::new(weights, STEPS, batch.x[0].rows(), 3, LETTERS);
        let mut parameters = network.initialize(1);
        let (_, found) = gradients(&compute, &network, &parameters, &batch);
        let mut point = parameters.as_slice().to_vec();
        let found = compare_gradient("parameters", &mut point, found.as_slice(), |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            gradients(&compute, &network, &parameters, &batch).0
        });
        assert!(found.worst <= 1.0, "{weights:?}: {} ({} tolerances)", found.place, found.worst);
        assert_eq!(found.skipped, 0, "kinks in a smooth network");
    }
}

#[test]
fn untied_weights_learn_letters_at_their_own_step_and_shared_ones_at_all() {
    let [shared, untied] = [Weights::Shared, Weights::Untied].map(experiment::network);
    for seed in [1] {
        let parameters = train(&shared, seed, |_| ());
        let named = |place| accuracy(&shared, &parameters, seed, place);
        let all: Vec<f64> = (1..=STEPS).map(named).collect();
        assert!(all.iter().all(|&named| named > 0.95), "shared, seed {seed}: {all:?}");

        let of_letters = |gradients: &Parameters<f64>, t: usize| {
            let weight_ih = gradients.get(untied.set(t).weight_ih);
            (0..LETTERS).flat_map(|letter| weight_ih.column(letter).to_vec()).collect::<Vec<f64>>()
        };
        let parameters = train(&untied, seed, |gradients| {
            for t in 0..STEPS {
                let silent = of_letters(gradients, t).iter().all(|&d| d == 0.0);
                assert_eq!(silent, !TRAINED.contains(&(t + 1)), "step {}", t + 1);
            }
        });
        for place in 1..=STEPS {
            let named = accuracy(&untied, &parameters, seed, place);
            match TRAINED.contains(&place) {
                true => assert!(named > 0.95, "untied, seed {seed}, step {place}: {named}"),
                false => assert!(named < 0.5, "untied, seed {seed}, step {place}: {named}"),
            }
        }
    }
}
