//! Weights that are packed once: streams whose sequences leave, fork and change places, and batch
//! after batch.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{AnyCell, CellKind, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    Directions, Input, Lengths, Stack, StackInference, StackOptions, StackStream, Tape,
};

const INPUTS: usize = 3;
const HIDDEN: usize = 5;

fn stack(cell: CellKind, learned: bool, seed: u64) -> (Stack<AnyCell>, Parameters<f32>) {
    let mut layout = Layout::new();
    let cells = vec![cell.build(INPUTS, HIDDEN), cell.build(HIDDEN, HIDDEN)];
    let options = StackOptions { learned_initial_state: learned, ..StackOptions::default() };
    let stack = Stack::add(&mut layout, "", cells, options);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    let mut generator = Generator::new(seed, 0);
    parameters.as_mut_slice().iter_mut().for_each(|value| *value = generator.normal());
    (stack, parameters)
}

fn column(x: &[f32]) -> Matrix<f32> {
    Matrix::from_columns(x.to_vec(), x.len(), 1)
}

proptest! {
    /// After any selections each sequence has the bits of one that read the same alone.
    #[test]
    fn selected_sequences_go_on_as_if_alone(
        cell in prop::sample::select(&CellKind::ALL[..]),
        learned: bool,
        seed in any::<u64>(),
        batch in 1usize..9,
        selections in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..9), 1..5),
    ) {
        let (stack, parameters) = stack(cell, learned, seed);
        let compute = Compute::sequential();
        let mut generator = Generator::new(seed, 1);
        let mut stream = StackStream::new(&compute, &stack, &parameters, batch);
        // What each sequence has read so far.
        let mut read: Vec<Vec<Vec<f32>>> = vec![Vec::new(); batch];
        for selection in &selections {
            let mut x = Matrix::zeros(INPUTS, read.len());
            x.as_mut_slice().iter_mut().for_each(|value| *value = generator.normal());
            for (j, read) in read.iter_mut().enumerate() {
                read.push(x.as_ref().column(j).to_vec());
            }
            let h = stream.step(Input::Columns(x.as_ref()));
            for (j, read) in read.iter().enumerate() {
                let mut alone = StackStream::new(&compute, &stack, &parameters, 1);
                for x in &read[..read.len() - 1] {
                    alone.step(Input::Columns(column(x).as_ref()));
                }
                let x = column(&read[read.len() - 1]);
                let expected = alone.step(Input::Columns(x.as_ref()));
                prop_assert_eq!(h.column(j), expected.column(0));
            }
            let columns: Vec<usize> = selection.iter().map(|index| index.index(read.len())).collect();
            stream.select(&columns);
            read = columns.iter().map(|&column| read[column].clone()).collect();
            prop_assert_eq!((stream.batch(), stream.state().batch()), (read.len(), read.len()));
        }
    }
}

/// Batch after batch has the bits of [`Stack::run`], with the parameters of the beginning.
#[test]
fn weights_that_are_packed_once_give_the_bits_of_a_run() {
    // Long enough that there is no room for all steps together, and, of the larger ones, so that
    // several threads have many columns at a step, few, and both.
    let ragged: Vec<usize> = (0..14).map(|sequence| 1 + 37 * sequence % 70).collect();
    let uneven: Vec<usize> = (0..60).map(|sequence| 1 + 3 * (sequence % 7)).collect();
    let batches = [
        Lengths::new(&[3, 1, 7]),
        Lengths::equal(4, 80),
        Lengths::new(&[4, 6]).with_resets(&[(0, 2), (1, 1), (1, 5)]),
        Lengths::new(&[5]),
        Lengths::new(&ragged).with_resets(&[(0, 0), (4, 3), (13, 20)]),
        Lengths::equal(60, 9),
        Lengths::new(&uneven),
        Lengths::new(&[300]),
        // Most of the work is one sequence.
        Lengths::new(&[&[300][..], &[1; 31]].concat()),
    ];
    for cell in CellKind::ALL {
        for directions in [Directions::Forward, Directions::Reverse, Directions::Both] {
            let mut layout = Layout::new();
            let below = directions.count() * HIDDEN;
            let cells = vec![cell.build(INPUTS, HIDDEN), cell.build(below, HIDDEN)];
            let options =
                StackOptions { directions, learned_initial_state: true, ..StackOptions::default() };
            let stack = Stack::add(&mut layout, "", cells, options);
            let mut parameters = Parameters::<f32>::zeros(Arc::new(layout));
            let mut generator = Generator::new(3, 0);
            // So small that relu does not overflow.
            let mut draw = || 0.2 * generator.normal::<f32>();
            parameters.as_mut_slice().iter_mut().for_each(|value| *value = draw());
            let mut changed = parameters.clone();
            for threads in [1, 3, 8] {
                let compute = Compute::new(threads).unwrap();
                let mut inference = StackInference::new(&compute, &stack, &changed);
                changed.as_mut_slice().fill(f32::NAN);
                for lengths in &batches {
                    let columns = lengths.columns();
                    let mut draw = |rows, columns| {
                        Matrix::from_fn(rows, columns, |_, _| generator.normal::<f32>())
                    };
                    let (x, rows) = (draw(INPUTS, columns), stack.cells().next().unwrap().1);
                    let rows = parameters.get(rows.weight_ih).rows();
                    let (table, reverse) = (draw(rows, 4), draw(rows, 4));
                    let reverse = (directions == Directions::Both).then(|| reverse.as_ref());
                    let tokens: Vec<u32> = (0..columns as u32).map(|at| at * at % 7 % 4).collect();
                    let table = Input::Table { table: table.as_ref(), reverse, tokens: &tokens };
                    let initial = stack.initial_state(&parameters, lengths.batch());
                    for input in [Input::Columns(x.as_ref()), table] {
                        let mut tape = Tape::new();
                        let expected = stack.run(
                            &compute,
                            &parameters,
                            input,
                            &initial,
                            lengths,
                            None,
                            &mut tape,
                        );
                        let given = inference.run(input, &initial, lengths);
                        let mut states = [initial.clone(), initial.clone()];
                        given.final_state(&mut states[0]);
                        expected.final_state(&mut states[1]);
                        assert!(states[0] == states[1], "{cell:?} {directions:?}");
                        for j in 0..columns {
                            assert_eq!(given.output().column(j), expected.output().column(j));
                        }
                    }
                }
                changed = parameters.clone();
            }
        }
    }
}

#[test]
#[should_panic(expected = "sequences [0, 2] cannot be selected from a stream of 2")]
fn only_sequences_that_are_there_can_be_selected() {
    let (stack, parameters) = stack(CellKind::Gru, false, 1);
    StackStream::new(&Compute::sequential(), &stack, &parameters, 2).select(&[0, 2]);
}
