//! Softmax and cross-entropy over columns of logits; the squared error over columns of numbers.
//!
//! A column is one distribution: its rows are the classes. Everything is computed from
//! `x - max(x)`, so no exponential overflows and the sum is at least 1 (the log-sum-exp trick, e.g.
//! Goodfellow, Bengio and Courville, "Deep Learning", section 4.1). Sums have a fixed order that
//! depends only on the number of rows, and a column never touches its neighbours: bits do not
//! depend on the instruction set, on the threads, or on the rest of the batch.

use pulp::{Simd, WithSimd};

use crate::{Columns, ColumnsMut, Compute, Level, Real, SplitColumns, activation};

/// How many partial sums a column has: row `r` belongs to number `r % LANES`.
const LANES: usize = 16;

/// Rows that are exponentiated at once where the logits must stay as they are.
const BLOCK: usize = 256;

/// A thread takes at least this many logits, or starting it costs more than it saves.
const LEAST_LOGITS: usize = 16 * 1024;

/// The target of a column that asks for no prediction: its loss and its gradient are 0. (PyTorch's
/// `ignore_index`.)
pub const IGNORED: u32 = u32::MAX;

/// Turns each column of logits into probabilities: `e^(x_r) / sum over s of e^(x_s)`.
///
/// A logit of minus infinity is a masked class and gets probability 0. NaN or plus infinity
/// anywhere in a column, or minus infinity everywhere, makes the whole column NaN. A block without
/// rows stays as it is. Runs on the calling thread.
pub fn softmax<T: Real>(level: Level, mut logits: ColumnsMut<'_, T>) {
    for j in 0..logits.columns() {
        let column = logits.column(j);
        level.dispatch(Softmax { column });
    }
}

/// The cross-entropy of each column, and its gradient in place of the logits.
///
/// `losses[j]` becomes `-ln softmax(x_j)[targets[j]]`, in nats and unscaled; column `j` becomes
/// `(softmax(x_j) - onehot(targets[j])) * scale`, the gradient of `scale * losses[j]`.
///
/// A logit that is not finite, minus infinity included, makes the column's loss and gradient NaN:
/// arithmetic has gone wrong earlier and must not pass for a number.
///
/// # Panics
/// If `targets` or `losses` are not one per column, or a target is neither a row nor [`IGNORED`].
#[track_caller]
pub fn softmax_cross_entropy<T: Real>(
    compute: &Compute,
    logits: ColumnsMut<'_, T>,
    targets: &[u32],
    scale: T,
    losses: &mut [f64],
) {
    assert_targets(logits.rows(), logits.columns(), targets, losses);
    let least = least_columns(logits.rows());
    let level = compute.level();
    compute.split((logits, Shared(targets), losses), least, &|(mut logits, targets, losses)| {
        for (j, loss) in losses.iter_mut().enumerate() {
            let (column, target) = (logits.column(j), targets.0[j] as usize);
            if targets.0[j] == IGNORED {
                column.fill(T::ZERO);
                *loss = 0.0;
                continue;
            }
            *loss = level.dispatch(Gradient { column, target, scale });
        }
    });
}

/// The cross-entropy of each column, in nats: `losses[j] = -ln softmax(x_j)[targets[j]]`.
///
/// Gives the bits of [`softmax_cross_entropy`]'s losses, NaN included, and leaves the logits.
///
/// # Panics
/// If `targets` or `losses` are not one per column, or a target is neither a row nor [`IGNORED`].
#[track_caller]
pub fn cross_entropy<T: Real>(
    compute: &Compute,
    logits: Columns<'_, T>,
    targets: &[u32],
    losses: &mut [f64],
) {
    assert_targets(logits.rows(), logits.columns(), targets, losses);
    let least = least_columns(logits.rows());
    let level = compute.level();
    let parts = (Shared(logits), Shared(targets), losses);
    compute.split(parts, least, &|(logits, targets, losses)| {
        for (j, loss) in losses.iter_mut().enumerate() {
            let (column, target) = (logits.0.column(j), targets.0[j] as usize);
            *loss = match targets.0[j] {
                IGNORED => 0.0,
                _ => level.dispatch(Loss { column, target }),
            };
        }
    });
}

/// The mean squared error of each column, and its gradient in place of the outputs.
///
/// ```text
/// losses[j] = sum over rows of (y - target)^2 / rows      d_y = scale 2 (y - target) / rows
/// ```
///
/// A column that is not `asked` for has loss 0 and gradient 0, and its target is not read: what
/// [`IGNORED`] is for classes. NaN is no such mark: what is not finite, in outputs or in targets, makes
/// the column's loss not finite.
///
/// The squares are added in f64, row after row. With no rows a loss is 0.
///
/// # Panics
/// If `targets` has another shape than `outputs`, or `asked` or `losses` are not one per column.
#[track_caller]
pub fn squared_error<T: Real>(
    compute: &Compute,
    outputs: ColumnsMut<'_, T>,
    targets: Columns<'_, T>,
    asked: &[bool],
    scale: T,
    losses: &mut [f64],
) {
    let (rows, columns) = (outputs.rows(), outputs.columns());
    assert!(
        (targets.rows(), targets.columns()) == (rows, columns)
            && asked.len() == columns
            && losses.len() == columns,
        "outputs of {rows} rows x {columns} columns need as many targets and {columns} marks and \
         losses, and there are targets of {} x {}, {} marks and {} losses",
        targets.rows(),
        targets.columns(),
        asked.len(),
        losses.len()
    );
    let share = 1.0 / rows.max(1) as f64;
    let slope = scale * T::from_f64(2.0 * share);
    let parts = (outputs, Shared(targets), Shared(asked), losses);
    compute.split(parts, least_columns(rows), &|(mut outputs, targets, asked, losses)| {
        for (j, loss) in losses.iter_mut().enumerate() {
            let column = outputs.column(j);
            *loss = 0.0;
            if !asked.0[j] {
                column.fill(T::ZERO);
                continue;
            }
            for (y, &target) in column.iter_mut().zip(targets.0.column(j)) {
                let distance = *y - target;
                *loss += distance.to_f64() * distance.to_f64();
                *y = slope * distance;
            }
            *loss *= share;
        }
    });
}

/// Something that threads only read, cut along with what they write.
struct Shared<V>(V);

impl<V: Sync> SplitColumns for Shared<&[V]> {
    fn width(&self) -> usize {
        self.0.len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let (left, right) = self.0.split_at(at);
        (Shared(left), Shared(right))
    }
}

impl<T: Real> SplitColumns for Shared<Columns<'_, T>> {
    fn width(&self) -> usize {
        self.0.columns()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let all = self.0.columns();
        (Shared(self.0.columns_range(0..at)), Shared(self.0.columns_range(at..all)))
    }
}

fn least_columns(rows: usize) -> usize {
    (LEAST_LOGITS / rows.max(1)).max(1)
}

#[track_caller]
fn assert_targets(rows: usize, columns: usize, targets: &[u32], losses: &[f64]) {
    #[cold]
    #[track_caller]
    fn bad_lengths(rows: usize, columns: usize, targets: usize, losses: usize) -> ! {
        panic!(
            "logits of {rows} rows x {columns} columns need {columns} targets and {columns} \
             losses, and there are {targets} targets and {losses} losses"
        );
    }
    #[cold]
    #[track_caller]
    fn bad_target(rows: usize, columns: usize, column: usize, target: u32) -> ! {
        panic!(
            "target {target} of column {column} is not a row of logits of {rows} rows x \
             {columns} columns"
        );
    }
    if targets.len() != columns || losses.len() != columns {
        bad_lengths(rows, columns, targets.len(), losses.len());
    }
    if let Some(j) = targets.iter().position(|&target| target != IGNORED && target as usize >= rows)
    {
        bad_target(rows, columns, j, targets[j]);
    }
}

/// Partial results of a column, one a lane, combined pairwise: lane `l` with `l + 8`, then with
/// `l + 4`, `l + 2`, `l + 1`.
#[inline(always)]
fn fold<T: Real>(mut lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] = combine(lanes[l], lanes[l + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The larger number. NaN never wins: it shows in the exponentials instead.
#[inline(always)]
fn larger<T: Real>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

/// The largest logit, or minus infinity if all are NaN or there are none.
#[inline(always)]
fn maximum<T: Real>(column: &[T]) -> T {
    let mut lanes = [-T::ONE / T::ZERO; LANES];
    let (chunks, rest) = column.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], chunk[l]);
        }
    }
    for l in 0..rest.len() {
        lanes[l] = larger(lanes[l], rest[l]);
    }
    fold(lanes, larger)
}

/// The largest logit, or NaN if any is not finite.
#[inline(always)]
fn finite_maximum<T: Real>(column: &[T]) -> T {
    // 0 * x is zero for a number and NaN for anything else, and NaN stays in a sum.
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = column.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = chunk[l].mul_add(T::ZERO, lanes[l]);
        }
    }
    for l in 0..rest.len() {
        lanes[l] = rest[l].mul_add(T::ZERO, lanes[l]);
    }
    maximum(column) + fold(lanes, |a, b| a + b)
}

/// Adds each number to its lane. Blocks of a column must start at a multiple of `LANES`.
#[inline(always)]
fn add_to_lanes<T: Real>(lanes: &mut [T; LANES], values: &[T]) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] += chunk[l];
        }
    }
    for l in 0..rest.len() {
        lanes[l] += rest[l];
    }
}

/// Replaces each number `x` by `e^(x - shift)` and returns their sum.
#[inline(always)]
fn exponentials<T: Real>(column: &mut [T], shift: T) -> T {
    let mut lanes = [T::ZERO; LANES];
    // Two passes over a block that stays in the nearest cache: each is a loop that vectorises.
    for block in column.chunks_mut(BLOCK) {
        for x in block.iter_mut() {
            *x = activation::exp(*x - shift);
        }
        add_to_lanes(&mut lanes, block);
    }
    fold(lanes, |a, b| a + b)
}

/// `-ln softmax` of a class with logit `x`: `ln(sum) - (x - shift)`, in f64.
fn nats<T: Real>(sum: T, x: T, shift: T) -> f64 {
    libm::log(sum.to_f64()) - (x.to_f64() - shift.to_f64())
}

// The work on one column, as operations and not as closures: only what is always inlined is sure
// to be compiled for the level, and a closure of this size is not.

/// Logits become probabilities.
struct Softmax<'a, T> {
    column: &'a mut [T],
}

impl<T: Real> WithSimd for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let shift = maximum(self.column);
        let inverse = T::ONE / exponentials(self.column, shift);
        for x in self.column.iter_mut() {
            *x *= inverse;
        }
    }
}

/// Logits become the gradient of `scale` times the loss; gives the loss.
struct Gradient<'a, T> {
    column: &'a mut [T],
    target: usize,
    scale: T,
}

impl<T: Real> WithSimd for Gradient<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Gradient { column, target, scale } = self;
        let shift = finite_maximum(column);
        let of_target = column[target];
        let sum = exponentials(column, shift);
        let factor = scale / sum;
        for x in column.iter_mut() {
            *x *= factor;
        }
        column[target] -= scale;
        nats(sum, of_target, shift)
    }
}

/// Gives the loss and leaves the logits.
struct Loss<'a, T> {
    column: &'a [T],
    target: usize,
}

impl<T: Real> WithSimd for Loss<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let shift = finite_maximum(self.column);
        let mut lanes = [T::ZERO; LANES];
        let mut buffer = [T::ZERO; BLOCK];
        for block in self.column.chunks(BLOCK) {
            let exponentials = &mut buffer[..block.len()];
            for (e, &x) in exponentials.iter_mut().zip(block) {
                *e = activation::exp(x - shift);
            }
            add_to_lanes(&mut lanes, exponentials);
        }
        nats(fold(lanes, |a, b| a + b), self.column[self.target], shift)
    }
}
