//! Stacks of a cell with drawn shapes and drawn numbers: what the suite runs.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{Cell, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Matrix, Real};
use recurrent_topologies::{
    Directions, InputConfig, Lengths, Regularization, Stack, StackOptions, State, TokenEncoding,
};

/// The shape of a case: everything but the cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Numbers that the first layer reads.
    pub input_size: usize,
    /// Units of every cell: what it calls its hidden size.
    pub hidden_size: usize,
    /// Layers upon one another.
    pub num_layers: usize,
    /// Dropout, directions, learned initial state.
    pub options: StackOptions,
    /// The length of each sequence.
    pub lengths: Vec<usize>,
    /// Sequences and the steps before which their state begins afresh.
    pub resets: Vec<(usize, usize)>,
    /// Decides all numbers.
    pub seed: u64,
}

/// Any depth from 1 to 3, ragged or regular lengths up to 5, with and without dropout, all
/// directions, a learned initial state and resets; up to `most_hidden` units and `most_batch`
/// sequences.
pub fn shapes(most_hidden: usize, most_batch: usize) -> impl Strategy<Value = Shape> {
    let lengths = prop_oneof![
        prop::collection::vec(1usize..6, 1..=most_batch),
        (1usize..6, 1..=most_batch).prop_map(|(steps, batch)| vec![steps; batch]),
    ];
    let directions = vec![Directions::Forward, Directions::Reverse, Directions::Both];
    let options = (
        prop::sample::select(vec![0.0, 0.4]),
        prop::sample::select(directions),
        any::<bool>(),
        regularizations(),
    )
        .prop_map(|(dropout, directions, learned_initial_state, regularization)| {
            StackOptions { dropout, directions, learned_initial_state, regularization }
        });
    // Resets are places among all steps; half of the cases have none.
    let resets = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ];
    (1usize..5, 1..=most_hidden, 1usize..=3, options, lengths, resets, any::<u64>()).prop_map(
        |(input_size, hidden_size, num_layers, options, lengths, resets, seed)| {
            let place = |(sequence, step): (prop::sample::Index, prop::sample::Index)| {
                let sequence = sequence.index(lengths.len());
                (sequence, step.index(lengths[sequence]))
            };
            let resets = resets.into_iter().map(place).collect();
            Shape { input_size, hidden_size, num_layers, options, lengths, resets, seed }
        },
    )
}

/// None, or any of those that a stack has.
pub fn regularizations() -> impl Strategy<Value = Regularization> {
    let share = || prop::sample::select(vec![0.0, 0.3]);
    let columns = (share(), share(), any::<bool>());
    let some = (columns, share(), share(), share()).prop_map(
        |((input_dropout, output_dropout, variational), weight_dropout, zoneout, zoneout_cell)| {
            Regularization {
                input_dropout,
                embedding_dropout: 0.0,
                output_dropout,
                variational,
                weight_dropout,
                zoneout,
                zoneout_cell,
                regularize_gradients: 0.0,
            }
        },
    );
    prop_oneof![Just(Regularization::NONE), some]
}

/// As [`regularizations`], for a whole model that reads `input`: of embedded tokens words are dropped
/// as well, from one-hot ones nothing is.
pub fn suited(mut drawn: Regularization, input: &InputConfig) -> Regularization {
    if let InputConfig::Tokens { encoding, .. } = input {
        match encoding {
            TokenEncoding::OneHot => drawn.input_dropout = 0.0,
            TokenEncoding::Embedding(_) if drawn.output_dropout > 0.0 => {
                drawn.embedding_dropout = 0.3;
            }
            TokenEncoding::Embedding(_) => {}
        }
    }
    drawn
}

/// A stack, its parameters, an input for every column, an initial state.
pub struct Case<C, T> {
    /// The layers.
    pub stack: Stack<C>,
    /// Drawn parameters.
    pub parameters: Parameters<T>,
    /// The batch.
    pub lengths: Lengths,
    /// `input_size` x N.
    pub x: Matrix<T>,
    /// A drawn initial state.
    pub initial: State<T>,
    /// Where the numbers come from, for more of them.
    pub generator: Generator,
}

impl Shape {
    /// The case with cells made by `cell`, from the numbers that it reads and its units. All numbers
    /// are exact in f32, so that both types have the same case.
    pub fn build<C: Cell, T: Real>(&self, cell: impl Fn(usize, usize) -> C) -> Case<C, T> {
        let mut layout = Layout::new();
        let mut cells = Vec::new();
        let mut input_size = self.input_size;
        for _ in 0..self.num_layers {
            cells.push(cell(input_size, self.hidden_size));
            input_size = self.options.directions.count() * cells[0].shape().hidden_size;
        }
        let mut options = self.options;
        if cells[0].shape().cell_size == 0 {
            options.regularization.zoneout_cell = 0.0;
        }
        let stack = Stack::add(&mut layout, "", cells, options);
        let mut generator = Generator::new(self.seed, 0);
        let mut parameters = Parameters::zeros(Arc::new(layout));
        parameters.visit_mut(|_, data| fill(&mut generator, data, 0.8));
        let lengths = Lengths::new(&self.lengths).with_resets(&self.resets);
        let mut x = Matrix::zeros(self.input_size, lengths.columns());
        fill(&mut generator, x.as_mut_slice(), 1.0);
        let mut initial = stack.zero_state(lengths.batch());
        initial.visit_mut(|_, data| fill(&mut generator, data, 0.9));
        Case { stack, parameters, lengths, x, initial, generator }
    }
}

/// Uniform numbers between `-bound` and `bound`, exact in f32.
pub fn fill<T: Real>(generator: &mut Generator, data: &mut [T], bound: f64) {
    for value in data {
        *value = T::from_f64(f64::from(generator.uniform_between(-bound, bound) as f32));
    }
}

/// All numbers of a state, in order.
pub fn flat<T: Real>(state: &State<T>) -> Vec<T> {
    let mut numbers = Vec::new();
    state.visit(|_, matrix| numbers.extend_from_slice(matrix.as_slice()));
    numbers
}

/// Undoes [`flat`].
pub fn fill_state<T: Real>(state: &mut State<T>, mut numbers: &[T]) {
    state.visit_mut(|_, data| {
        let (own, rest) = numbers.split_at(data.len());
        data.copy_from_slice(own);
        numbers = rest;
    });
}
