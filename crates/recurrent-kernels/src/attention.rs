//! Attention: one query against a block of columns.
//!
//! A block holds a key and a value for each place that can be looked at. Forward, a query becomes a
//! score for every key, the scores become weights ([`softmax`](crate::loss::softmax)), and the
//! weights mix the values:
//!
//! ```text
//! dot:       score_s = key_s . query                       (Luong, Pham and Manning 2015)
//! additive:  score_s = weight . tanh(query + key_s)        (Bahdanau, Cho and Bengio 2015)
//!            p = softmax(score)      sum = sum over s of p_s value_s
//! ```
//!
//! Everything runs on the calling thread and allocates nothing. Sums over rows have an order that
//! depends on their number alone, sums over columns go from first to last: bits do not depend on the
//! level, on the threads, or on other queries.

use crate::{Columns, ColumnsMut, Level, Real, Vectorized, activation};

/// How many partial sums a product of two columns has: row `r` belongs to number `r % LANES`.
const LANES: usize = 16;

/// Rows that go through tanh at once: they begin at a first lane.
const BLOCK: usize = 64;
const _: () = assert!(BLOCK.is_multiple_of(LANES));

#[track_caller]
fn assert_fits(rows: usize, columns: usize, numbers: usize, weights: usize) {
    assert!(
        rows == numbers && columns == weights,
        "a block of {rows} rows x {columns} columns does not fit a column of {numbers} numbers and \
         {weights} scores or weights"
    );
}

#[track_caller]
fn assert_same(block: Columns<'_, impl Real>, gradient: (usize, usize)) {
    let shape = (block.rows(), block.columns());
    assert!(
        shape == gradient,
        "a block of {} x {} has no gradient of {} x {}",
        shape.0,
        shape.1,
        gradient.0,
        gradient.1
    );
}

/// `scores[s] = keys_s . query`.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn dot_scores<T: Real>(level: Level, keys: Columns<'_, T>, query: &[T], scores: &mut [T]) {
    assert_fits(keys.rows(), keys.columns(), query.len(), scores.len());
    level.run(Products { block: keys, column: query, products: scores });
}

/// Undoes [`dot_scores`]; adds, column after column.
///
/// ```text
/// d_keys_s += d_score_s query      d_query += sum over s of d_score_s keys_s
/// ```
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn dot_scores_backward<T: Real>(
    level: Level,
    keys: Columns<'_, T>,
    query: &[T],
    d_scores: &[T],
    d_keys: ColumnsMut<'_, T>,
    d_query: &mut [T],
) {
    assert_fits(keys.rows(), keys.columns(), query.len(), d_scores.len());
    assert_fits(keys.rows(), keys.columns(), d_query.len(), d_scores.len());
    assert_same(keys, (d_keys.rows(), d_keys.columns()));
    level.run(Spread { factors: d_scores, column: query, sums: d_keys });
    level.run(Mix { block: keys, factors: d_scores, sum: d_query });
}

/// `scores[s] = weight . tanh(query + keys_s)`.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn additive_scores<T: Real>(
    level: Level,
    keys: Columns<'_, T>,
    query: &[T],
    weight: &[T],
    scores: &mut [T],
) {
    assert_fits(keys.rows(), keys.columns(), query.len(), scores.len());
    assert_fits(keys.rows(), keys.columns(), weight.len(), scores.len());
    level.run(Additive { keys, query, weight, scores });
}

/// Undoes [`additive_scores`]; adds, column after column.
///
/// ```text
/// y = tanh(query + keys_s)      d = d_score_s weight (1 - y^2)
/// d_weight += d_score_s y      d_keys_s += d      d_query += d
/// ```
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn additive_scores_backward<T: Real>(
    level: Level,
    keys: Columns<'_, T>,
    query: &[T],
    weight: &[T],
    d_scores: &[T],
    d_keys: ColumnsMut<'_, T>,
    d_query: &mut [T],
    d_weight: &mut [T],
) {
    for numbers in [query.len(), weight.len(), d_query.len(), d_weight.len()] {
        assert_fits(keys.rows(), keys.columns(), numbers, d_scores.len());
    }
    assert_same(keys, (d_keys.rows(), d_keys.columns()));
    level.run(AdditiveBackward { keys, query, weight, d_scores, d_keys, d_query, d_weight });
}

/// `sum = sum over s of weights[s] values_s`, whatever was there before.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn weighted_sum<T: Real>(level: Level, values: Columns<'_, T>, weights: &[T], sum: &mut [T]) {
    assert_fits(values.rows(), values.columns(), sum.len(), weights.len());
    sum.fill(T::ZERO);
    level.run(Mix { block: values, factors: weights, sum });
}

/// Undoes [`weighted_sum`]: overwrites `d_weights`, adds to `d_values`.
///
/// ```text
/// d_weights[s] = values_s . d_sum      d_values_s += weights[s] d_sum
/// ```
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn weighted_sum_backward<T: Real>(
    level: Level,
    values: Columns<'_, T>,
    weights: &[T],
    d_sum: &[T],
    d_weights: &mut [T],
    d_values: ColumnsMut<'_, T>,
) {
    assert_fits(values.rows(), values.columns(), d_sum.len(), weights.len());
    assert_fits(values.rows(), values.columns(), d_sum.len(), d_weights.len());
    assert_same(values, (d_values.rows(), d_values.columns()));
    level.run(Products { block: values, column: d_sum, products: d_weights });
    level.run(Spread { factors: weights, column: d_sum, sums: d_values });
}

/// Undoes a softmax that gave `probabilities`: their gradient `d` becomes that of the scores.
///
/// ```text
/// d_score_s = p_s (d_s - sum over r of p_r d_r)
/// ```
///
/// # Panics
/// If there are not as many gradients as probabilities.
#[track_caller]
pub fn softmax_backward<T: Real>(level: Level, probabilities: &[T], d: &mut [T]) {
    assert_fits(probabilities.len(), 1, d.len(), 1);
    level.run(SoftmaxBackward { probabilities, d });
}

/// Partial sums become one, pairwise: lane `l` with `l + 8`, then with `l + 4`, `l + 2`, `l + 1`.
#[inline(always)]
fn fold<T: Real>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Adds the products number by number to their lanes. Blocks of a column must start at a multiple
/// of `LANES`.
#[inline(always)]
fn add_products<T: Real>(lanes: &mut [T; LANES], a: &[T], b: &[T]) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] = a[l].mul_add(b[l], lanes[l]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = a.mul_add(b, *lane);
    }
}

/// `a . b`, in the order of [`fold`].
#[inline(always)]
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    add_products(&mut lanes, a, b);
    fold(lanes)
}

/// `sums += factor terms`.
#[inline(always)]
fn add_scaled<T: Real>(sums: &mut [T], factor: T, terms: &[T]) {
    for (sum, &term) in sums.iter_mut().zip(terms) {
        *sum = factor.mul_add(term, *sum);
    }
}

/// `y = tanh(a + b)`.
#[inline(always)]
fn tanh_of_sum<T: Real>(y: &mut [T], a: &[T], b: &[T]) {
    for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
        *y = activation::tanh(a + b);
    }
}

/// Each column of a block times one column.
struct Products<'a, T> {
    block: Columns<'a, T>,
    column: &'a [T],
    products: &'a mut [T],
}

impl<T: Real> Vectorized for Products<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (s, product) in self.products.iter_mut().enumerate() {
            *product = dot(self.block.column(s), self.column);
        }
    }
}

/// Adds to one column the sum of all columns of a block, each times its factor.
struct Mix<'a, T> {
    block: Columns<'a, T>,
    factors: &'a [T],
    sum: &'a mut [T],
}

impl<T: Real> Vectorized for Mix<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (s, &factor) in self.factors.iter().enumerate() {
            add_scaled(self.sum, factor, self.block.column(s));
        }
    }
}

/// Adds to each column of a block one column times a factor.
struct Spread<'a, T> {
    factors: &'a [T],
    column: &'a [T],
    sums: ColumnsMut<'a, T>,
}

impl<T: Real> Vectorized for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        for (s, &factor) in self.factors.iter().enumerate() {
            add_scaled(self.sums.column(s), factor, self.column);
        }
    }
}

struct Additive<'a, T> {
    keys: Columns<'a, T>,
    query: &'a [T],
    weight: &'a [T],
    scores: &'a mut [T],
}

impl<T: Real> Vectorized for Additive<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mut y = [T::ZERO; BLOCK];
        for (s, score) in self.scores.iter_mut().enumerate() {
            let mut lanes = [T::ZERO; LANES];
            let key = self.keys.column(s);
            for (first, weight) in self.weight.chunks(BLOCK).enumerate() {
                let rows = first * BLOCK..first * BLOCK + weight.len();
                let y = &mut y[..weight.len()];
                tanh_of_sum(y, &self.query[rows.clone()], &key[rows]);
                add_products(&mut lanes, weight, y);
            }
            *score = fold(lanes);
        }
    }
}

struct AdditiveBackward<'a, T> {
    keys: Columns<'a, T>,
    query: &'a [T],
    weight: &'a [T],
    d_scores: &'a [T],
    d_keys: ColumnsMut<'a, T>,
    d_query: &'a mut [T],
    d_weight: &'a mut [T],
}

impl<T: Real> Vectorized for AdditiveBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let mut y = [T::ZERO; BLOCK];
        for (s, &d_score) in self.d_scores.iter().enumerate() {
            let (key, d_key) = (self.keys.column(s), self.d_keys.column(s));
            for (first, weight) in self.weight.chunks(BLOCK).enumerate() {
                let rows = first * BLOCK..first * BLOCK + weight.len();
                let y = &mut y[..weight.len()];
                tanh_of_sum(y, &self.query[rows.clone()], &key[rows.clone()]);
                add_scaled(&mut self.d_weight[rows.clone()], d_score, y);
                for (y, &weight) in y.iter_mut().zip(weight) {
                    *y = d_score * weight * (T::ONE - *y * *y);
                }
                add_scaled(&mut d_key[rows.clone()], T::ONE, y);
                add_scaled(&mut self.d_query[rows], T::ONE, y);
            }
        }
    }
}

struct SoftmaxBackward<'a, T> {
    probabilities: &'a [T],
    d: &'a mut [T],
}

impl<T: Real> Vectorized for SoftmaxBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mean = dot(self.probabilities, self.d);
        for (d, &p) in self.d.iter_mut().zip(self.probabilities) {
            *d = p * (*d - mean);
        }
    }
}
