//! How much each lag has to say in the gradient of the recurrent weight.

use std::ops::Range;

use recurrent_cells::{CellPlan, Phase, RecurrentWeight, Source, Target};
use recurrent_kernels::{Columns, Matrix, Real};

use crate::by_cell::ByCell;
use crate::gradient_norms::root_of_squares;
use crate::{Direction, Lengths, Probe, Undone};

/// A [`Probe`] that tells what each lag contributes to the gradient of `weight_hh`.
///
/// The weight serves at every step, so the loss L_t of step t moves it through its use at step t,
/// through that at step t - 1, and so on. Its gradient is a sum over steps and lags,
///
/// ```text
/// d_weight_hh = sum over k of G_k        G_k = sum over t of d_a^(t)_{t-k} h_{t-k-1}^T
/// ```
///
/// where `d_a^(t)_{t-k}` is the gradient of the loss of step t with respect to the pre-activations
/// of step t - k. Give a batch in which each sequence has the loss of one step alone (copies of one
/// sequence, for instance): then all terms of `G_k` are columns of the tape. Its norm needs no matrix
/// of the weight's size, but the scalar products of these columns:
///
/// ```text
/// |G_k|^2 = sum over i, j of (d_i . d_j) (h_i . h_j)        (D^T D) * (H^T H), summed up
/// ```
///
/// What a GRU with the reset before its product multiplies is `r h`; it counts with its own rows.
/// The columns are kept, so this costs as much memory as the tape. Terms that cancel one another
/// leave an error of 1e-8 of the largest.
#[derive(Debug)]
pub struct WeightContributions<T> {
    lengths: Lengths,
    /// By the caller's sequence: the step whose loss it has.
    losses: Vec<usize>,
    cells: ByCell<Vec<Factors<T>>>,
}

/// The two factors of the gradient of some rows of the weight, a column for each of the batch.
#[derive(Debug)]
struct Factors<T> {
    d_rows: Matrix<T>,
    source: Matrix<T>,
}

impl<T: Real> WeightContributions<T> {
    /// Room for a batch, whose sequence i has the loss of step `losses[i]` alone.
    ///
    /// # Panics
    /// If there are not as many losses as sequences, or a sequence has no such step.
    #[track_caller]
    pub fn new(lengths: &Lengths, losses: &[usize]) -> Self {
        let (given, batch) = (losses.len(), lengths.batch());
        assert!(given == batch, "{given} losses for {batch} sequences");
        for (sequence, &t) in losses.iter().enumerate() {
            let steps = lengths.length(sequence);
            assert!(t < steps, "the loss of step {t} in sequence {sequence} of {steps} steps");
        }
        let (lengths, losses) = (lengths.clone(), losses.to_vec());
        WeightContributions { lengths, losses, cells: ByCell::default() }
    }

    /// By lag from 0: the norm of what the losses say at that lag, until no sequence goes back any
    /// further. Empty if the layer was not seen.
    pub fn norms(&self, layer: usize, direction: Direction) -> Vec<f64> {
        let norms = self.cells.map(|own_layer, own_direction, factors| {
            let is_it = (own_layer, own_direction) == (layer, direction);
            is_it.then(|| self.by_lag(direction, factors))
        });
        norms.into_iter().flatten().next().unwrap_or_default()
    }

    fn by_lag(&self, direction: Direction, factors: &[Factors<T>]) -> Vec<f64> {
        let of_lag = |lag| {
            let columns = self.columns(direction, lag);
            (!columns.is_empty()).then(|| {
                root_of_squares(|lift| {
                    let squares = factors.iter().map(|factors| factors.square(&columns, lift));
                    // Rounding can leave less than nothing.
                    squares.sum::<f64>().max(0.0)
                })
            })
        };
        (0..self.lengths.steps()).map_while(of_lag).collect()
    }

    /// The columns `lag` steps before each loss, as this direction goes.
    fn columns(&self, direction: Direction, lag: usize) -> Vec<usize> {
        let step = |(sequence, &t): (usize, &usize)| {
            let step = match direction {
                Direction::Forward => t.checked_sub(lag),
                Direction::Reverse => Some(t + lag).filter(|&t| t < self.lengths.length(sequence)),
            };
            step.map(|t| self.lengths.column(sequence, t))
        };
        self.losses.iter().enumerate().filter_map(step).collect()
    }
}

impl<T: Real> Probe<T> for WeightContributions<T> {
    fn observe(&self, _: crate::Observation<'_, T>) {}

    fn observe_undone(&self, seen: Undone<'_, T>) {
        let Undone { layer, direction, plan, t, sequences, tape, previous_h } = seen;
        let first = self.lengths.offsets()[t] + sequences.start;
        let columns = first..first + sequences.len();
        self.cells.change(layer, direction, |all| {
            let phases = phases(plan).enumerate();
            for (at, (phase, rows)) in phases {
                let d_rows = tape.rows_range(rows);
                let source = match &phase.source {
                    Source::PreviousHidden => previous_h,
                    Source::Inner(rows) => tape.rows_range(rows.clone()),
                };
                if all.len() <= at {
                    let zeros =
                        |of: Columns<'_, T>| Matrix::zeros(of.rows(), self.lengths.columns());
                    all.push(Factors { d_rows: zeros(d_rows), source: zeros(source) });
                }
                all[at].d_rows.as_mut().columns_range(columns.clone()).copy_from(d_rows);
                all[at].source.as_mut().columns_range(columns.clone()).copy_from(source);
            }
        });
    }
}

/// The phases that multiply with `weight_hh`, and the rows of the tape that each fills.
fn phases(plan: &CellPlan) -> impl Iterator<Item = (&Phase, Range<usize>)> {
    plan.phases.iter().filter(|phase| phase.weight == RecurrentWeight::Hidden).map(|phase| {
        let Target::Tape(map) = &phase.target else { return (phase, 0..0) };
        // They follow one another without gaps.
        let start = map.first().map_or(0, |map| map.tape.start);
        (phase, start..map.last().map_or(start, |map| map.tape.end))
    })
}

impl<T: Real> Factors<T> {
    /// `|sum over columns of lift d_rows source^T|^2`
    fn square(&self, columns: &[usize], lift: f64) -> f64 {
        let (d_rows, source) = (self.d_rows.as_ref(), self.source.as_ref());
        let mut sum = 0.0;
        for (at, &i) in columns.iter().enumerate() {
            let of = |j| {
                dot(d_rows.column(i), d_rows.column(j), lift)
                    * dot(source.column(i), source.column(j), 1.0)
            };
            sum += of(i);
            // Both (i, j) and (j, i).
            sum += columns[..at].iter().map(|&j| 2.0 * of(j)).sum::<f64>();
        }
        sum
    }
}

/// The scalar product of two columns, each times `lift`.
fn dot<T: Real>(a: &[T], b: &[T], lift: f64) -> f64 {
    a.iter().zip(b).map(|(a, b)| (lift * a.to_f64()) * (lift * b.to_f64())).sum()
}
