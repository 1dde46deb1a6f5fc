//! Streams whose sequences leave, fork and change places.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{AnyCell, CellKind, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{Input, Stack, StackOptions, StackStream};

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

#[test]
#[should_panic(expected = "sequences [0, 2] cannot be selected from a stream of 2")]
fn only_sequences_that_are_there_can_be_selected() {
    let (stack, parameters) = stack(CellKind::Gru, false, 1);
    StackStream::new(&Compute::sequential(), &stack, &parameters, 2).select(&[0, 2]);
}
