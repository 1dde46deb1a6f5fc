//! What tests of whole models share: drawn parts, drawn batches, and a loss that every output
//! enters with a weight of its own.

// Each test file uses its part of it.
#![allow(dead_code)]

use proptest::prelude::*;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, Level, Matrix, Real};
use recurrent_testkit::case::regularizations;
use recurrent_testkit::gradient::{Comparison, MOST_SKIPPED, compare_gradient};
use recurrent_topologies::{InputConfig, Lengths, Reading, StackConfig, TokenEncoding};

pub(crate) fn inputs() -> impl Strategy<Value = InputConfig> {
    // Small vocabularies take the way of the table, larger ones the long way.
    let encodings =
        prop_oneof![Just(TokenEncoding::OneHot), (1usize..4).prop_map(TokenEncoding::Embedding)];
    prop_oneof![
        2 => (2usize..20, encodings).prop_map(|(vocabulary_size, encoding)| {
            InputConfig::Tokens { vocabulary_size, encoding }
        }),
        1 => (1usize..4).prop_map(|size| InputConfig::Vectors { size }),
    ]
}

/// Of one number nothing is left when it is normalised, and two become -1 and 1 with a bend between
/// them that is too sharp for differences.
fn least_hidden_size(cell: CellKind) -> usize {
    if cell == CellKind::LayerNormLstm { 4 } else { 1 }
}

pub(crate) fn stacks(both_ways: bool) -> impl Strategy<Value = StackConfig> {
    let cells = prop::sample::select(&CellKind::NAMED[..]);
    let bidirectional = if both_ways { any::<bool>().boxed() } else { Just(false).boxed() };
    let dropouts = prop::sample::select(vec![0.0, 0.3]);
    (cells, 1usize..5, 1usize..=2, bidirectional, dropouts, regularizations()).prop_map(
        |(cell, hidden_size, num_layers, bidirectional, dropout, mut regularization)| {
            if !cell.is_lstm() {
                regularization.zoneout_cell = 0.0;
            }
            let hidden_size = hidden_size.max(least_hidden_size(cell));
            StackConfig { cell, hidden_size, num_layers, bidirectional, dropout, regularization }
        },
    )
}

/// Sequences to read: tokens, or columns of numbers.
#[derive(Clone)]
pub(crate) enum Sequences {
    Tokens(Vec<Vec<u32>>),
    Vectors(Vec<Matrix<f64>>),
}

impl Sequences {
    pub(crate) fn draw(generator: &mut Generator, input: InputConfig, lengths: &[usize]) -> Self {
        match input {
            InputConfig::Tokens { vocabulary_size, .. } => {
                let mut token = || generator.below(vocabulary_size as u64) as u32;
                let draw = |&length: &usize| (0..length).map(|_| token()).collect();
                Sequences::Tokens(lengths.iter().map(draw).collect())
            }
            InputConfig::Vectors { size } => {
                let draw = |&length: &usize| matrix(generator, size, length);
                Sequences::Vectors(lengths.iter().map(draw).collect())
            }
        }
    }

    /// Some of them, in this order.
    pub(crate) fn select(&self, which: &[usize]) -> Self {
        fn pick<V: Clone>(all: &[V], which: &[usize]) -> Vec<V> {
            which.iter().map(|&k| all[k].clone()).collect()
        }
        match self {
            Sequences::Tokens(all) => Sequences::Tokens(pick(all, which)),
            Sequences::Vectors(all) => Sequences::Vectors(pick(all, which)),
        }
    }

    pub(crate) fn lengths(&self) -> Lengths {
        let lengths: Vec<usize> = match self {
            Sequences::Tokens(all) => all.iter().map(Vec::len).collect(),
            Sequences::Vectors(all) => all.iter().map(Matrix::columns).collect(),
        };
        Lengths::new(&lengths)
    }

    pub(crate) fn arrange<T: Real>(&self) -> Arranged<T> {
        let lengths = self.lengths();
        match self {
            Sequences::Tokens(all) => Arranged::Tokens(lengths.arrange(all)),
            Sequences::Vectors(all) => {
                let mut x = Matrix::zeros(all[0].rows(), lengths.columns());
                for (sequence, vectors) in all.iter().enumerate() {
                    for t in 0..vectors.columns() {
                        let column = vectors.as_ref().column(t).iter().map(|&v| T::from_f64(v));
                        x.as_mut()
                            .column(lengths.column(sequence, t))
                            .copy_from_slice(&column.collect::<Vec<T>>());
                    }
                }
                Arranged::Vectors(x)
            }
        }
    }
}

/// A batch in the order of columns.
pub(crate) enum Arranged<T> {
    Tokens(Vec<u32>),
    Vectors(Matrix<T>),
}

impl<T: Real> Arranged<T> {
    pub(crate) fn reading(&self) -> Reading<'_, T> {
        match self {
            Arranged::Tokens(tokens) => Reading::Tokens(tokens),
            Arranged::Vectors(x) => Reading::Vectors(x.as_ref()),
        }
    }
}

pub(crate) fn matrix<T: Real>(generator: &mut Generator, rows: usize, columns: usize) -> Matrix<T> {
    Matrix::from_fn(rows, columns, |_, _| generator.normal())
}

/// Some numbers that depend on their place alone: the weights of a loss.
pub(crate) fn weights(rows: usize, columns: usize) -> Matrix<f64> {
    matrix(&mut Generator::new(77, 0), rows, columns)
}

/// `sum of weight y`, whose gradient is the weights.
pub(crate) fn weighted_sum(weights: &Matrix<f64>, y: Columns<'_, f64>) -> f64 {
    assert_eq!((weights.rows(), weights.columns()), (y.rows(), y.columns()));
    let terms = |j: usize| weights.as_ref().column(j).iter().zip(y.column(j)).map(|(w, y)| w * y);
    (0..y.columns()).flat_map(terms).sum()
}

/// Holds the gradient of parameters against differences of `loss`.
pub(crate) fn compare_parameters(
    parameters: &mut Parameters<f64>,
    gradients: &Parameters<f64>,
    mut loss: impl FnMut(&Parameters<f64>) -> f64,
) -> Comparison {
    let mut point = parameters.as_slice().to_vec();
    compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
        parameters.as_mut_slice().copy_from_slice(point);
        loss(parameters)
    })
}

/// Runs `draw` on so many cases of a strategy, fails on the worst, and bounds the share of kinks
/// over all.
pub(crate) fn hold_gradients<S: Strategy>(
    cases: u32,
    strategy: S,
    compare: impl Fn(S::Value) -> Comparison,
) where
    S::Value: std::fmt::Debug + Clone,
{
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let mut all = Comparison::default();
    for _ in 0..cases {
        let case = strategy.new_tree(&mut runner).unwrap().current();
        let found = compare(case.clone());
        assert!(found.worst <= 1.0, "{case:?}: {} ({} tolerances)", found.place, found.worst);
        all.add(found);
    }
    let share = all.skipped as f64 / all.pairs as f64;
    assert!(all.pairs > 1000 && share < MOST_SKIPPED, "{} of {} skipped", all.skipped, all.pairs);
}

/// `run` gives the same at one, two and three threads and at every instruction set.
pub(crate) fn hold_bits<R: PartialEq>(run: impl Fn(&Compute) -> R) {
    let expected = run(&Compute::sequential());
    for level in Level::available() {
        for threads in [1, 2, 3] {
            let result = run(&Compute::new(threads).unwrap().with_level(level));
            assert!(result == expected, "{level:?}, {threads} threads");
        }
    }
}
