//! Gated recurrent unit: Cho et al. 2014, in PyTorch's form: the reset gate acts after the
//! recurrent product. Row order of the weights is PyTorch's (r, z, n).
//!
//! ```text
//! r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)     reset gate
//! z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)     update gate
//! hn =                         W_hn h + b_hn      what the reset gate scales
//! n  =    tanh(W_in x + b_in + r hn)              candidate
//! h' = (1 - z) n + z h
//! ```
//!
//! The tape keeps hn in rows of its own, before the others, so that the recurrent product is one
//! block (hn, r, z) and the input product another (r, z, n).

use recurrent_kernels::activation::{sigmoid, tanh};
use recurrent_kernels::{Level, Real, Vectorized};

use crate::cell::{Backward, Cell, CellShape, Forward, Phase, RecurrentWeight, RowMap, Source};

/// A GRU cell. The tape of a step holds hn, r, z, n, `hidden_size` rows each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gru {
    input_size: usize,
    hidden_size: usize,
}

impl Gru {
    /// A cell from `input_size` numbers to `hidden_size` numbers.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Gru { input_size, hidden_size }
    }
}

impl Cell for Gru {
    fn shape(&self) -> CellShape {
        CellShape {
            input_size: self.input_size,
            hidden_size: self.hidden_size,
            cell_size: 0,
            tape_rows: 4 * self.hidden_size,
            weight_ih_rows: 3 * self.hidden_size,
            weight_hh_rows: 3 * self.hidden_size,
        }
    }

    fn input_map(&self) -> Vec<RowMap> {
        // Weight rows r, z, n to tape rows r, z, n.
        vec![RowMap {
            weight: 0..3 * self.hidden_size,
            tape: self.hidden_size..4 * self.hidden_size,
        }]
    }

    fn phases(&self) -> Vec<Phase> {
        let size = self.hidden_size;
        vec![Phase {
            weight: RecurrentWeight::Hidden,
            source: Source::PreviousHidden,
            map: vec![
                // Weight rows n to tape rows hn, weight rows r, z to tape rows r, z.
                RowMap { weight: 2 * size..3 * size, tape: 0..size },
                RowMap { weight: 0..2 * size, tape: size..3 * size },
            ],
        }]
    }

    fn pointwise<T: Real>(&self, level: Level, _phase: usize, step: Forward<'_, T>) {
        level.run(ForwardColumns { size: self.hidden_size, step });
    }

    fn pointwise_backward<T: Real>(&self, level: Level, _phase: usize, step: Backward<'_, T>) {
        level.run(BackwardColumns { size: self.hidden_size, step });
    }
}

/// All columns of a step:
/// ```text
/// hn = hn + b_hn    r = sigmoid(r + b_r)    z = sigmoid(z + b_z)    n = tanh(n + b_n + r hn)
/// h' = (1 - z) n + z h        exactly h when z is 1
/// ```
struct ForwardColumns<'a, T> {
    size: usize,
    step: Forward<'a, T>,
}

impl<T: Real> Vectorized for ForwardColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ForwardColumns { size, mut step } = self;
        let bias = step.bias;
        let b_hn = &bias[..size];
        let b_r = &bias[size..][..size];
        let b_z = &bias[2 * size..][..size];
        let b_n = &bias[3 * size..][..size];
        for j in 0..step.tape.columns() {
            let [hn, r, z, n] = blocks(step.tape.column(j), size);
            let h = &step.previous.h.column(j)[..size];
            let h_next = &mut step.h.column(j)[..size];
            // One loop a line: the compiler vectorises loops over few slices only.
            for k in 0..size {
                hn[k] += b_hn[k];
            }
            for k in 0..size {
                r[k] = sigmoid(r[k] + b_r[k]);
            }
            for k in 0..size {
                z[k] = sigmoid(z[k] + b_z[k]);
            }
            for k in 0..size {
                n[k] = tanh(r[k].mul_add(hn[k], n[k] + b_n[k]));
            }
            for k in 0..size {
                h_next[k] = (T::ONE - z[k]) * n[k] + z[k] * h[k];
            }
        }
    }
}

/// Reads [`ForwardColumns`] from its last line to its first. r, z and n become the gradients of
/// their pre-activations, through s' = s (1 - s) for a sigmoid s and n' = 1 - n^2, and hn its own:
/// ```text
/// d_h += d_h' z
/// n <- d_h' (1 - z) n'        z <- d_h' (h - n) z'
/// r <- d_n hn r'              hn <- d_n r             with d_n, what n has become
/// ```
struct BackwardColumns<'a, T> {
    size: usize,
    step: Backward<'a, T>,
}

impl<T: Real> Vectorized for BackwardColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let BackwardColumns { size, mut step } = self;
        for j in 0..step.tape.columns() {
            let [hn, r, z, n] = blocks(step.tape.column(j), size);
            let h = &step.previous.h.column(j)[..size];
            let d_h_next = &step.d_h.column(j)[..size];
            let d_h = &mut step.d_h_previous.column(j)[..size];
            for k in 0..size {
                d_h[k] += d_h_next[k] * z[k];
            }
            for k in 0..size {
                let (update, candidate) = (z[k], n[k]);
                n[k] = d_h_next[k] * (T::ONE - update) * (T::ONE - candidate * candidate);
                z[k] = d_h_next[k] * (h[k] - candidate) * (update * (T::ONE - update));
            }
            for k in 0..size {
                let reset = r[k];
                r[k] = n[k] * hn[k] * (reset * (T::ONE - reset));
                hn[k] = n[k] * reset;
            }
        }
    }
}

/// The rows of hn, r, z, n in a column.
#[inline(always)]
fn blocks<T>(column: &mut [T], size: usize) -> [&mut [T]; 4] {
    let (hn, rest) = column.split_at_mut(size);
    let (r, rest) = rest.split_at_mut(size);
    let (z, n) = rest.split_at_mut(size);
    [hn, r, z, &mut n[..size]]
}
