//! The LSTM with layer normalisation: Ba, Kiros and Hinton 2016, "Layer normalization", equations 20
//! to 22.
//!
//! ```text
//! a  = gain_h N(W_hh h) + gain_x N(W_ih x) + b_ih + b_hh      i, f, g, o by rows
//! c' = sigmoid(f) c + sigmoid(i) tanh(g)
//! h' = sigmoid(o) tanh(gain_c N(c') + shift_c)                N: a column at mean 0 and variance 1
//! ```
//! N looks at one column alone, at all four gates together. The shifts of both products are the two
//! biases. Every h' is then of one size, whatever the weights, and a gradient that returns is neither
//! stretched nor shrunk with them.

use std::ops::Range;

use recurrent_kernels::activation::{sigmoid, tanh};
use recurrent_kernels::{Level, Real, Vectorized};

use crate::cell::{Backward, Biases, CellShape, Forward, NormSum, RowMap};
use crate::layer_norm::{normalize, normalize_backward};

/// A cell of this many units. In its tape stand, after backward:
///
/// ```text
/// rows of H                         forward              backward
/// 4   gates                         i, f, g, o           gradient of a
/// 1   c^                            N(c')                the same
/// 1   shown                         tanh(gain c^ + ..)   gradient of gain c^ + shift
/// 4   h^, 4 x^                      N(W_hh h), N(W_ih x) the same
/// 3 numbers                         1 over the standard deviations of W_hh h, W_ih x, c'
/// 4   W_hh h, 4 W_ih x              the products         their gradients
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Normed {
    pub(crate) size: usize,
}

/// The rows of a column.
struct Rows<'a, T> {
    gates: &'a mut [T],
    c_hat: &'a mut [T],
    shown: &'a mut [T],
    h_hat: &'a mut [T],
    x_hat: &'a mut [T],
    scales: &'a mut [T],
    h_product: &'a mut [T],
    x_product: &'a mut [T],
}

/// The parts of `weight_norm`.
struct Gains<'a, T> {
    h: &'a [T],
    x: &'a [T],
    c: &'a [T],
    shift: &'a [T],
}

impl Normed {
    pub(crate) fn shape(&self, input_size: usize, biases: Biases) -> CellShape {
        let size = self.size;
        CellShape {
            input_size,
            hidden_size: size,
            cell_size: size,
            tape_rows: 22 * size + 3,
            weight_ih_rows: 4 * size,
            weight_hh_rows: 4 * size,
            inner_size: 0,
            projects: false,
            peephole_size: 0,
            norm_size: 10 * size,
            biases,
        }
    }

    pub(crate) fn gates(&self) -> Range<usize> {
        0..4 * self.size
    }

    pub(crate) fn recurrent_map(&self) -> RowMap {
        let first = 14 * self.size + 3;
        RowMap { weight: 0..4 * self.size, tape: first..first + 4 * self.size }
    }

    pub(crate) fn input_map(&self) -> RowMap {
        let first = 18 * self.size + 3;
        RowMap { weight: 0..4 * self.size, tape: first..first + 4 * self.size }
    }

    pub(crate) fn sums(&self) -> Vec<NormSum> {
        let blocks = |range: Range<usize>| range.start * self.size..range.end * self.size;
        let sum = |weight, tape, with: Option<Range<usize>>| NormSum {
            weight: blocks(weight),
            tape: blocks(tape),
            with: with.map(blocks),
        };
        vec![
            sum(0..4, 0..4, Some(6..10)),
            sum(4..8, 0..4, Some(10..14)),
            sum(8..9, 5..6, Some(4..5)),
            sum(9..10, 5..6, None),
        ]
    }

    pub(crate) fn forward<T: Real>(self, level: Level, step: Forward<'_, T>) {
        level.run(ForwardColumns { normed: self, step });
    }

    pub(crate) fn backward<T: Real>(self, level: Level, step: Backward<'_, T>) {
        level.run(BackwardColumns { normed: self, step });
    }

    fn rows<'a, T>(&self, column: &'a mut [T]) -> Rows<'a, T> {
        let size = self.size;
        let (gates, rest) = column.split_at_mut(4 * size);
        let (c_hat, rest) = rest.split_at_mut(size);
        let (shown, rest) = rest.split_at_mut(size);
        let (h_hat, rest) = rest.split_at_mut(4 * size);
        let (x_hat, rest) = rest.split_at_mut(4 * size);
        let (scales, rest) = rest.split_at_mut(3);
        let (h_product, x_product) = rest.split_at_mut(4 * size);
        Rows { gates, c_hat, shown, h_hat, x_hat, scales, h_product, x_product }
    }

    fn gains<'a, T>(&self, norm: &'a [T]) -> Gains<'a, T> {
        let size = self.size;
        let (h, rest) = norm.split_at(4 * size);
        let (x, rest) = rest.split_at(4 * size);
        let (c, shift) = rest.split_at(size);
        Gains { h, x, c, shift }
    }
}

/// All columns of a step: the equations above, from the first line to the last.
struct ForwardColumns<'a, T> {
    normed: Normed,
    step: Forward<'a, T>,
}

impl<T: Real> Vectorized for ForwardColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ForwardColumns { normed, mut step } = self;
        let size = normed.size;
        let gain = normed.gains(step.norm);
        let bias = &step.bias[normed.gates()];
        for j in 0..step.tape.columns() {
            let Rows { gates, c_hat, shown, h_hat, x_hat, scales, h_product, x_product } =
                normed.rows(step.tape.column(j));
            scales[0] = normalize(h_product, h_hat);
            scales[1] = normalize(x_product, x_hat);
            for r in 0..4 * size {
                let a = gain.x[r].mul_add(x_hat[r], bias[r]);
                gates[r] = gain.h[r].mul_add(h_hat[r], a);
            }
            let (input_forget, go) = gates.split_at_mut(2 * size);
            let (g, o) = go.split_at_mut(size);
            input_forget.iter_mut().chain(&mut *o).for_each(|a| *a = sigmoid(*a));
            g.iter_mut().for_each(|a| *a = tanh(*a));
            let (i, f) = input_forget.split_at(size);
            let c = step.previous.c.column(j);
            let c_next = step.c.column(j);
            for r in 0..size {
                c_next[r] = f[r].mul_add(c[r], i[r] * g[r]);
            }
            scales[2] = normalize(c_next, c_hat);
            let h = step.h.column(j);
            for r in 0..size {
                shown[r] = tanh(gain.c[r].mul_add(c_hat[r], gain.shift[r]));
                h[r] = o[r] * shown[r];
            }
        }
    }
}

/// Reads [`ForwardColumns`] from its last line to its first.
struct BackwardColumns<'a, T> {
    normed: Normed,
    step: Backward<'a, T>,
}

impl<T: Real> Vectorized for BackwardColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let BackwardColumns { normed, mut step } = self;
        let size = normed.size;
        let gain = normed.gains(step.norm);
        let scaled = |scale: T, across: f64| T::from_f64(scale.to_f64() * across);
        for j in 0..step.tape.columns() {
            let Rows { gates, c_hat, shown, h_hat, x_hat, scales, h_product, x_product } =
                normed.rows(step.tape.column(j));
            let (d_h, c) = (step.d_h.column(j), step.previous.c.column(j));
            let d_c = step.d_c.column(j);
            let (i, rest) = gates.split_at_mut(size);
            let (f, rest) = rest.split_at_mut(size);
            let (g, o) = rest.split_at_mut(size);
            for r in 0..size {
                let (output, seen) = (o[r], shown[r]);
                o[r] = d_h[r] * seen * output * (T::ONE - output);
                shown[r] = d_h[r] * output * (T::ONE - seen * seen);
            }
            normalize_backward((gain.c, c_hat), shown, |r, d| d_c[r] += scaled(scales[2], d));
            for r in 0..size {
                let (input, forget, candidate) = (i[r], f[r], g[r]);
                i[r] = d_c[r] * candidate * input * (T::ONE - input);
                g[r] = d_c[r] * input * (T::ONE - candidate * candidate);
                f[r] = d_c[r] * c[r] * forget * (T::ONE - forget);
                d_c[r] *= forget;
            }
            normalize_backward((gain.h, h_hat), gates, |r, d| h_product[r] = scaled(scales[0], d));
            normalize_backward((gain.x, x_hat), gates, |r, d| x_product[r] = scaled(scales[1], d));
        }
    }
}
