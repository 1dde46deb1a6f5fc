//! The state in the middle of a batch is what a shorter batch ends with.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{AnyCell, CellKind, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    Directions, Input, Lengths, Noise, Regularization, Stack, StackOptions, State, Tape,
};

const SIZE: usize = 3;

fn stack(cell: CellKind, directions: Directions) -> (Stack<AnyCell>, Parameters<f32>) {
    let mut layout = Layout::new();
    let below = directions.count() * SIZE;
    let cells = vec![cell.build(SIZE, SIZE), cell.build(below, SIZE)];
    let options = StackOptions {
        directions,
        dropout: 0.3,
        learned_initial_state: false,
        regularization: Regularization::NONE,
    };
    let stack = Stack::add(&mut layout, "", cells, options);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    let mut generator = Generator::new(1, 0);
    parameters.as_mut_slice().iter_mut().for_each(|value| *value = generator.normal::<f32>());
    (stack, parameters)
}

/// What sequence `j` reads at step t.
fn input(lengths: &Lengths) -> Matrix<f32> {
    let mut x = Matrix::zeros(SIZE, lengths.columns());
    for j in 0..lengths.batch() {
        for t in 0..lengths.length(j) {
            let numbers = (0..SIZE).map(|r| ((j * 31 + t * 7 + r) % 11) as f32 / 5.0 - 1.0);
            let numbers: Vec<f32> = numbers.collect();
            x.as_mut().column(lengths.column(j, t)).copy_from_slice(&numbers);
        }
    }
    x
}

fn state(stack: &Stack<AnyCell>, batch: usize) -> State<f32> {
    let (mut state, mut generator) = (stack.zero_state(batch), Generator::new(5, 0));
    state.visit_mut(|_, numbers| numbers.iter_mut().for_each(|x| *x = generator.normal::<f32>()));
    state
}

proptest! {
    #[test]
    fn it_is_the_final_state_of_the_steps_before_it(
        cell in prop::sample::select(&CellKind::ALL[..]),
        lengths in prop::collection::vec(1usize..9, 1..6),
        steps in 0usize..9,
    ) {
        let steps = steps.min(*lengths.iter().min().unwrap());
        let (stack, parameters) = stack(cell, Directions::Forward);
        let initial = state(&stack, lengths.len());
        let (compute, noise) = (Compute::sequential(), Some(Noise { seed: 2, first_step: 9 }));
        let (mut tape, mut expected) = (Tape::default(), initial.clone());
        if steps > 0 {
            let short = Lengths::equal(lengths.len(), steps);
            let x = input(&short);
            let x = Input::Columns(x.as_ref());
            let run = stack.run(&compute, &parameters, x, &initial, &short, noise, &mut tape);
            run.final_state(&mut expected);
        }
        let whole = Lengths::new(&lengths);
        let x = input(&whole);
        let x = Input::Columns(x.as_ref());
        let run = stack.run(&compute, &parameters, x, &initial, &whole, noise, &mut tape);
        let mut found = stack.zero_state(lengths.len());
        run.state_after(steps, &mut found);
        prop_assert_eq!(found, expected);
    }
}

fn ask(directions: Directions, lengths: &[usize], steps: usize) {
    let (stack, parameters) = stack(CellKind::Gru, directions);
    let lengths = Lengths::new(lengths);
    let (initial, x) = (stack.zero_state(lengths.batch()), input(&lengths));
    let (compute, mut tape) = (Compute::sequential(), Tape::default());
    let x = Input::Columns(x.as_ref());
    let run = stack.run(&compute, &parameters, x, &initial, &lengths, None, &mut tape);
    run.state_after(steps, &mut stack.zero_state(lengths.batch()));
}

#[test]
#[should_panic(expected = "1 of 2 sequences reach step 4, where a state is asked for")]
fn no_sequence_may_be_shorter() {
    ask(Directions::Forward, &[3, 5], 4);
}

#[test]
#[should_panic(expected = "0 of 2 sequences reach step 6")]
fn there_is_no_state_behind_the_end() {
    ask(Directions::Forward, &[5, 5], 6);
}

#[test]
#[should_panic(expected = "what reads in reverse has no state after its first 2 steps")]
fn what_reads_in_reverse_has_none() {
    ask(Directions::Both, &[5, 5], 2);
}
