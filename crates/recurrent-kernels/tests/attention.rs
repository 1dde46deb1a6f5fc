//! Attention against scalar loops straight from the papers, and against central differences; equal
//! bits at every level and beside any other query.

#[path = "support/refusals.rs"]
mod refusals;

use proptest::prelude::*;
use recurrent_kernels::attention::{
    additive_scores, additive_scores_backward, dot_scores, dot_scores_backward, softmax_backward,
    weighted_sum, weighted_sum_backward,
};
use recurrent_kernels::loss::softmax;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{ColumnsMut, Level, Matrix, Real};
use refusals::refuses_others;

/// One query's keys, values and everything else, drawn; exact in f32.
struct Case<T> {
    keys: Matrix<T>,
    values: Matrix<T>,
    query: Vec<T>,
    weight: Vec<T>,
    d_context: Vec<T>,
    additive: bool,
}

fn numbers<T: Real>(generator: &mut Generator, count: usize) -> Vec<T> {
    (0..count).map(|_| T::from_f64(f64::from(generator.uniform::<f32>() * 2.0 - 1.0))).collect()
}

impl<T: Real> Case<T> {
    fn draw(seed: u64, rows: usize, values: usize, columns: usize, additive: bool) -> Self {
        let generator = &mut Generator::new(seed, 0);
        Case {
            keys: Matrix::from_columns(numbers(generator, rows * columns), rows, columns),
            values: Matrix::from_columns(numbers(generator, values * columns), values, columns),
            query: numbers(generator, rows),
            weight: numbers(generator, rows),
            d_context: numbers(generator, values),
            additive,
        }
    }

    fn scores(&self, level: Level) -> Vec<T> {
        let mut scores = vec![T::from_f64(9.0); self.keys.columns()];
        match self.additive {
            false => dot_scores(level, self.keys.as_ref(), &self.query, &mut scores),
            true => {
                let keys = self.keys.as_ref();
                additive_scores(level, keys, &self.query, &self.weight, &mut scores);
            }
        }
        scores
    }

    fn forward(&self, level: Level) -> (Vec<T>, Vec<T>) {
        let (mut weights, columns) = (self.scores(level), self.keys.columns());
        softmax(level, ColumnsMut::new(&mut weights, columns, 1));
        let mut context = vec![T::from_f64(9.0); self.values.rows()];
        weighted_sum(level, self.values.as_ref(), &weights, &mut context);
        (weights, context)
    }

    /// The gradients of keys, values, query and weight, added to ones.
    fn backward(&self, level: Level) -> [Vec<T>; 4] {
        let (weights, _) = self.forward(level);
        let ones = |rows, columns| Matrix::from_fn(rows, columns, |_, _| T::ONE);
        let (rows, columns) = (self.keys.rows(), self.keys.columns());
        let (mut d_keys, mut d_values) = (ones(rows, columns), ones(self.values.rows(), columns));
        let (mut d_query, mut d_weight) = (vec![T::ONE; rows], vec![T::ONE; rows]);
        let mut d = vec![T::from_f64(9.0); columns];
        let (values, d_sum) = (self.values.as_ref(), &self.d_context);
        weighted_sum_backward(level, values, &weights, d_sum, &mut d, d_values.as_mut());
        softmax_backward(level, &weights, &mut d);
        let (keys, query) = (self.keys.as_ref(), &self.query);
        match self.additive {
            false => dot_scores_backward(level, keys, query, &d, d_keys.as_mut(), &mut d_query),
            true => additive_scores_backward(
                level,
                keys,
                query,
                &self.weight,
                &d,
                d_keys.as_mut(),
                &mut d_query,
                &mut d_weight,
            ),
        }
        [d_keys.as_slice().to_vec(), d_values.as_slice().to_vec(), d_query, d_weight]
    }
}

/// The definition in f64, number by number.
fn naive(case: &Case<f64>) -> (Vec<f64>, Vec<f64>) {
    let exponentials: Vec<f64> = naive_scores(case).into_iter().map(libm::exp).collect();
    let sum: f64 = exponentials.iter().sum();
    let weights: Vec<f64> = exponentials.iter().map(|e| e / sum).collect();
    let mut context = vec![0.0; case.values.rows()];
    for (s, weight) in weights.iter().enumerate() {
        for (r, sum) in context.iter_mut().enumerate() {
            *sum += weight * case.values.as_ref().column(s)[r];
        }
    }
    (weights, context)
}

fn naive_scores(case: &Case<f64>) -> Vec<f64> {
    let mut scores = Vec::new();
    for s in 0..case.keys.columns() {
        let mut score = 0.0;
        for r in 0..case.keys.rows() {
            let key = case.keys.as_ref().column(s)[r];
            score += match case.additive {
                false => key * case.query[r],
                true => case.weight[r] * libm::tanh(key + case.query[r]),
            };
        }
        scores.push(score);
    }
    scores
}

fn loss(case: &Case<f64>) -> f64 {
    let (_, context) = naive(case);
    context.iter().zip(&case.d_context).map(|(a, b)| a * b).sum()
}

fn bits<T: Real>(numbers: &[T]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_f64().to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_the_definition(
        rows in 1usize..150, values in 1usize..40, columns in 1usize..20, additive: bool, seed: u64,
    ) {
        let double = Case::<f64>::draw(seed, rows, values, columns, additive);
        let single = Case::<f32>::draw(seed, rows, values, columns, additive);
        let (weights, context) = naive(&double);
        let (own_weights, own_context) = double.forward(Level::detect());
        let (single_weights, single_context) = single.forward(Level::detect());
        // A softmax does not tell scores from others that are all larger.
        let scores = [naive_scores(&double), double.scores(Level::detect())];
        let all = |a: &[f64], b: &[f64], c: &[f64]| [a, b, c].concat();
        let own = all(&own_weights, &own_context, &scores[1]);
        for (x, e) in own.iter().zip(all(&weights, &context, &scores[0])) {
            prop_assert!((x - e).abs() <= 1e-12, "{} and {}", x, e);
        }
        let expected = [weights, context].concat();
        for (x, e) in [single_weights, single_context].concat().iter().zip(&expected) {
            prop_assert!((f64::from(*x) - e).abs() <= 1e-4, "{} and {}", x, e);
        }
    }

    #[test]
    fn gradients_are_those_of_the_definition(
        rows in 1usize..80, values in 1usize..8, columns in 1usize..6, additive: bool, seed: u64,
    ) {
        let mut case = Case::<f64>::draw(seed, rows, values, columns, additive);
        let gradients = case.backward(Level::detect());
        for (which, gradient) in gradients.iter().enumerate() {
            for (k, &own) in gradient.iter().enumerate() {
                let mut at = |change: f64| {
                    let number = match which {
                        0 => &mut case.keys.as_mut_slice()[k],
                        1 => &mut case.values.as_mut_slice()[k],
                        2 => &mut case.query[k],
                        _ => &mut case.weight[k],
                    };
                    let old = std::mem::replace(number, *number + change);
                    let found = loss(&case);
                    match which {
                        0 => case.keys.as_mut_slice()[k] = old,
                        1 => case.values.as_mut_slice()[k] = old,
                        2 => case.query[k] = old,
                        _ => case.weight[k] = old,
                    }
                    found
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                // Gradients were added to 1.
                let own = own - 1.0;
                prop_assert!((own - expected).abs() < 1e-8, "{which}, {k}: {own}, {expected}");
            }
        }
    }

    #[test]
    fn levels_have_the_same_bits(
        rows in 1usize..200, values in 1usize..70, columns in 1usize..20, additive: bool, seed: u64,
    ) {
        let single = Case::<f32>::draw(seed, rows, values, columns, additive);
        let double = Case::<f64>::draw(seed, rows, values, columns, additive);
        let everything = |level: Level| {
            let (weights, context) = single.forward(level);
            let mut all = vec![bits(&weights), bits(&context)];
            all.extend(single.backward(level).iter().map(|part| bits(part)));
            let (weights, context) = double.forward(level);
            all.extend([bits(&weights), bits(&context)]);
            all.extend(double.backward(level).iter().map(|part| bits(part)));
            all
        };
        let expected = everything(Level::SCALAR);
        for level in Level::available() {
            prop_assert_eq!(&everything(level), &expected, "{}", level.name());
        }
    }
}

const WORDS: [&str; 2] = ["does not fit a column of", "has no gradient of"];

#[test]
fn every_size_has_to_fit() {
    let level = Level::SCALAR;
    let block = Matrix::<f32>::zeros;
    let numbers = |count| vec![0.0f32; count];
    refuses_others([3, 2, 3, 2], &WORDS, |[rows, columns, query, scores]| {
        dot_scores(level, block(rows, columns).as_ref(), &numbers(query), &mut numbers(scores));
    });
    refuses_others(
        [3, 2, 3, 2, 3, 2, 3],
        &WORDS,
        |[rows, columns, query, scores, r, c, d_query]| {
            let (keys, query, d_scores) = (block(rows, columns), numbers(query), numbers(scores));
            let (mut d_keys, mut d_query) = (block(r, c), numbers(d_query));
            let (keys, d_keys) = (keys.as_ref(), d_keys.as_mut());
            dot_scores_backward(level, keys, &query, &d_scores, d_keys, &mut d_query);
        },
    );
    refuses_others([3, 2, 3, 3, 2], &WORDS, |[rows, columns, query, weight, scores]| {
        let (keys, query, weight) = (block(rows, columns), numbers(query), numbers(weight));
        additive_scores(level, keys.as_ref(), &query, &weight, &mut numbers(scores));
    });
    refuses_others([3, 2, 3, 3, 2, 3, 2, 3, 3], &WORDS, |sizes| {
        let [rows, columns, query, weight, scores, r, c, d_query, d_weight] = sizes;
        let (query, weight, d_scores) = (numbers(query), numbers(weight), numbers(scores));
        let (mut d_query, mut d_weight) = (numbers(d_query), numbers(d_weight));
        additive_scores_backward(
            level,
            block(rows, columns).as_ref(),
            &query,
            &weight,
            &d_scores,
            block(r, c).as_mut(),
            &mut d_query,
            &mut d_weight,
        );
    });
    refuses_others([3, 2, 2, 3], &WORDS, |[rows, columns, weights, sum]| {
        let values = block(rows, columns);
        weighted_sum(level, values.as_ref(), &numbers(weights), &mut numbers(sum));
    });
    refuses_others(
        [3, 2, 2, 3, 2, 3, 2],
        &WORDS,
        |[rows, columns, weights, sum, d_weights, r, c]| {
            let (values, weights, d_sum) = (block(rows, columns), numbers(weights), numbers(sum));
            let (mut d_weights, mut d_values) = (numbers(d_weights), block(r, c));
            let (values, d_values) = (values.as_ref(), d_values.as_mut());
            weighted_sum_backward(level, values, &weights, &d_sum, &mut d_weights, d_values);
        },
    );
    refuses_others([3, 3], &WORDS, |[probabilities, d]| {
        softmax_backward(level, &numbers(probabilities), &mut numbers(d));
    });
}
