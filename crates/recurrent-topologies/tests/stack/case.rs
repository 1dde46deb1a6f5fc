//! A stack of drawn shape with drawn numbers.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{AnyCell, CellKind, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Matrix, Real};
use recurrent_topologies::{Lengths, Stack, State};

/// The shape of a test.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) cell: CellKind,
    pub(crate) input_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_layers: usize,
    pub(crate) dropout: f64,
    pub(crate) lengths: Vec<usize>,
    pub(crate) seed: u64,
}

/// Any cell, depth 1 to 3, ragged or regular lengths, with and without dropout.
pub(crate) fn shapes(most_hidden: usize, most_batch: usize) -> impl Strategy<Value = Shape> {
    let lengths = prop_oneof![
        prop::collection::vec(1usize..6, 1..=most_batch),
        (1usize..6, 1..=most_batch).prop_map(|(steps, batch)| vec![steps; batch]),
    ];
    (
        prop::sample::select(&CellKind::ALL[..]),
        1usize..5,
        1..=most_hidden,
        1usize..=3,
        prop::sample::select(vec![0.0, 0.4]),
        lengths,
        any::<u64>(),
    )
        .prop_map(|(cell, input_size, hidden_size, num_layers, dropout, lengths, seed)| {
            Shape { cell, input_size, hidden_size, num_layers, dropout, lengths, seed }
        })
}

/// A stack, its parameters, an input for every column, an initial state.
pub(crate) struct Case<T> {
    pub(crate) stack: Stack<AnyCell>,
    pub(crate) parameters: Parameters<T>,
    pub(crate) lengths: Lengths,
    pub(crate) x: Matrix<T>,
    pub(crate) initial: State<T>,
    pub(crate) generator: Generator,
}

impl Shape {
    pub(crate) fn build<T: Real>(&self) -> Case<T> {
        let mut layout = Layout::new();
        let cells = (0..self.num_layers)
            .map(|layer| {
                let input_size = if layer == 0 { self.input_size } else { self.hidden_size };
                self.cell.build(input_size, self.hidden_size)
            })
            .collect();
        let stack = Stack::add(&mut layout, "", cells, self.dropout);
        let mut generator = Generator::new(self.seed, 0);
        let mut parameters = Parameters::zeros(Arc::new(layout));
        parameters.visit_mut(|_, data| fill(&mut generator, data, 0.8));
        let lengths = Lengths::new(&self.lengths);
        let mut x = Matrix::zeros(self.input_size, lengths.columns());
        fill(&mut generator, x.as_mut_slice(), 1.0);
        let mut initial = stack.zero_state(lengths.batch());
        initial.visit_mut(|_, data| fill(&mut generator, data, 0.9));
        Case { stack, parameters, lengths, x, initial, generator }
    }
}

/// Uniform numbers between `-bound` and `bound`.
pub(crate) fn fill<T: Real>(generator: &mut Generator, data: &mut [T], bound: f64) {
    for value in data {
        *value = T::from_f64(generator.uniform_between(-bound, bound));
    }
}

/// All numbers of a state, in order.
pub(crate) fn flat<T: Real>(state: &State<T>) -> Vec<T> {
    let mut numbers = Vec::new();
    state.visit(|_, matrix| numbers.extend_from_slice(matrix.as_slice()));
    numbers
}
