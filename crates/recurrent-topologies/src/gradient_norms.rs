//! How large gradients are on their way back through time.

use std::sync::atomic::{AtomicU64, Ordering};

use recurrent_cells::Cell;
use recurrent_kernels::{Columns, Real};

use crate::{Direction, Lengths, Observation, Probe, Stack};

/// A [`Probe`] that keeps the size of every gradient of a state: the Euclidean norms of dL/dh_t and
/// dL/dc_t, where the state (h_t, c_t) is what step t hands to the next and, as h, to the layer
/// above. In dL/dc_t h_t is held fixed: it is what reaches c from later steps through c itself.
///
/// A batch has one loss, and its gradients are added up. To see how far the loss of each step of one
/// sequence reaches back, give a batch of copies of the sequence, of which each has the loss of one
/// step alone: sequences of a batch do not mix, so one backward pass gives the norms of
/// dL_s/dh_t for all s and t.
#[derive(Debug)]
pub struct GradientNorms {
    lengths: Lengths,
    /// Cells in the stack, by layer and direction.
    places: Vec<(usize, Direction)>,
    /// By place and column, as bits of `f64`: several threads write, each its own columns.
    h: Vec<AtomicU64>,
    c: Vec<AtomicU64>,
}

impl GradientNorms {
    /// Room for a stack and a batch; all norms are 0.
    pub fn new<C: Cell>(stack: &Stack<C>, lengths: &Lengths) -> GradientNorms {
        let layers = stack.layers.iter().enumerate();
        let places: Vec<(usize, Direction)> = layers
            .flat_map(|(layer, cells)| cells.iter().map(move |own| (layer, own.direction)))
            .collect();
        let zeros = || (0..places.len() * lengths.columns()).map(|_| AtomicU64::new(0)).collect();
        GradientNorms { h: zeros(), c: zeros(), lengths: lengths.clone(), places }
    }

    /// The norm of dL/dh after step `t` of one of the caller's sequences.
    ///
    /// # Panics
    /// If the stack has no such cell, or the sequence no such step.
    #[track_caller]
    pub fn h(&self, layer: usize, direction: Direction, sequence: usize, t: usize) -> f64 {
        let place = self.place(layer, direction, self.lengths.column(sequence, t));
        f64::from_bits(self.h[place].load(Ordering::Relaxed))
    }

    /// The norm of dL/dc after step `t` of one of the caller's sequences; 0 for cells without c.
    ///
    /// # Panics
    /// As [`h`](Self::h).
    #[track_caller]
    pub fn c(&self, layer: usize, direction: Direction, sequence: usize, t: usize) -> f64 {
        let place = self.place(layer, direction, self.lengths.column(sequence, t));
        f64::from_bits(self.c[place].load(Ordering::Relaxed))
    }

    #[track_caller]
    fn place(&self, layer: usize, direction: Direction, column: usize) -> usize {
        let Some(place) = self.places.iter().position(|&it| it == (layer, direction)) else {
            panic!("there is no layer {layer} that reads {direction:?}");
        };
        place * self.lengths.columns() + column
    }
}

impl<T: Real> Probe<T> for GradientNorms {
    fn observe(&self, seen: Observation<'_, T>) {
        let first = self.lengths.offsets()[seen.t] + seen.sequences.start;
        let first = self.place(seen.layer, seen.direction, first);
        for (own, gradients) in [(&self.h, seen.d_h), (&self.c, seen.d_c)] {
            for (j, norm) in own[first..first + seen.sequences.len()].iter().enumerate() {
                norm.store(euclidean(gradients, j).to_bits(), Ordering::Relaxed);
            }
        }
    }
}

/// The norm of a column.
fn euclidean<T: Real>(block: Columns<'_, T>, j: usize) -> f64 {
    root_of_squares(|lift| {
        let lifted = block.column(j).iter().map(|value| lift * value.to_f64());
        lifted.map(|value| value * value).sum()
    })
}

/// The root of a sum of squares, which is asked for a second time where it is so small that squares
/// were lost on the way: then of the same numbers times a power of two.
pub(crate) fn root_of_squares(sum: impl Fn(f64) -> f64) -> f64 {
    // 2^500
    const LIFT: f64 = f64::from_bits((1023 + 500) << 52);
    match sum(1.0) {
        small if small < 1e-280 => sum(LIFT).sqrt() / LIFT,
        sum => sum.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_is_right_where_its_squares_are_lost() {
        for size in [3e-300, 1e-200, 1e-150, 1e-100, 1.0, 1e100] {
            let numbers = [3.0 * size, -4.0 * size];
            let column = Columns::new(&numbers, 2, 1);
            let norm = euclidean(column, 0);
            assert!((norm / (5.0 * size) - 1.0).abs() < 1e-12, "{size}: {norm}");
        }
        assert_eq!(euclidean(Columns::new(&[0.0f64, 0.0], 2, 1), 0), 0.0);
        assert!(euclidean(Columns::new(&[f64::NAN], 1, 1), 0).is_nan());
    }
}
