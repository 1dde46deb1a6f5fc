//! How large the gradient of a batch is at each step, counted from the end of its sequences.

use recurrent_kernels::{Columns, Real};

use crate::by_cell::ByCell;
use crate::{Direction, Observation, Probe};

/// A [`Probe`] that keeps how large the gradients of states are, by lag: by how many steps before
/// the last one that a direction takes (which for a reverse direction is step 0).
///
/// It is the cheap companion of [`GradientNorms`](crate::GradientNorms) for the backward pass of a
/// training: it needs to be told nothing of model and batch. The gradient is that of the batch's one
/// loss, to which every step may contribute. Where only the last step does, as when a sequence gets
/// one label, this is how much of it arrives k steps earlier; where all steps do, it says how the
/// gradients of later steps grow or fade on top of one another.
#[derive(Debug, Default)]
pub struct GradientProfile(ByCell<Squares>);

/// How large the gradients of one cell's state were.
#[derive(Clone, Debug, PartialEq)]
pub struct CellProfile {
    /// Which layer, 0 first.
    pub layer: usize,
    /// Which way the layer reads here.
    pub direction: Direction,
    /// By lag from 0: the norm of dL/dh over all sequences that have such a step.
    pub h: Vec<f64>,
    /// The same of dL/dc, what reaches c from later steps; none in a cell without c.
    pub c: Option<Vec<f64>>,
}

/// By step, and by column of panel 0: the sum of squares of d_h and d_c.
#[derive(Debug, Default)]
struct Squares {
    steps: Vec<Vec<[f64; 2]>>,
    has_c: bool,
}

impl GradientProfile {
    /// Nothing is measured yet.
    pub fn new() -> GradientProfile {
        GradientProfile::default()
    }

    /// What was measured, for each cell that was seen: first layer first, forward before reverse.
    pub fn cells(&self) -> Vec<CellProfile> {
        self.0.map(|layer, direction, squares| {
            let [h, c] = squares.by_lag(direction);
            CellProfile { layer, direction, h, c: squares.has_c.then_some(c) }
        })
    }
}

impl<T: Real> Probe<T> for GradientProfile {
    fn observe(&self, seen: Observation<'_, T>) {
        let of_column = |j| [squares(seen.d_h, j), squares(seen.d_c, j)];
        let own: Vec<[f64; 2]> = (0..seen.sequences.len()).map(of_column).collect();
        self.0.change(seen.layer, seen.direction, |all| {
            all.has_c = seen.plan.shape.cell_size > 0;
            all.put(seen.t, seen.sequences.start, &own);
        });
    }
}

impl Squares {
    fn put(&mut self, t: usize, first: usize, own: &[[f64; 2]]) {
        if self.steps.len() <= t {
            self.steps.resize(t + 1, vec![]);
        }
        let (step, end) = (&mut self.steps[t], first + own.len());
        if step.len() < end {
            step.resize(end, [0.0; 2]);
        }
        step[first..end].copy_from_slice(own);
    }

    /// The norms of d_h and d_c by lag. Sums run in the order of steps and sequences.
    fn by_lag(&self, direction: Direction) -> [Vec<f64>; 2] {
        let mut sums = [vec![0.0; self.steps.len()], vec![0.0; self.steps.len()]];
        // The sequences that reach a step are the first ones, so one that is not in a step has ended.
        let places = self.steps.first().map_or(0, Vec::len);
        let ends: Vec<usize> = (0..places)
            .map(|place| self.steps.partition_point(|step| step.len() > place))
            .collect();
        for (t, step) in self.steps.iter().enumerate() {
            for (place, squares) in step.iter().enumerate() {
                let lag = match direction {
                    Direction::Forward => ends[place] - 1 - t,
                    Direction::Reverse => t,
                };
                for (sums, square) in sums.iter_mut().zip(squares) {
                    sums[lag] += square;
                }
            }
        }
        sums.map(|sums| sums.into_iter().map(f64::sqrt).collect())
    }
}

/// The sum of squares of a column.
fn squares<T: Real>(block: Columns<'_, T>, j: usize) -> f64 {
    block.column(j).iter().map(|value| value.to_f64() * value.to_f64()).sum()
}
