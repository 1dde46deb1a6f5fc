//! Long short-term memory: Hochreiter and Schmidhuber 1997, with the forget gate of Gers,
//! Schmidhuber and Cummins 2000, in PyTorch's form and row order (i, f, g, o).
//!
//! ```text
//! i  = sigmoid(W_ii x + b_ii + W_hi h + b_hi)     input gate
//! f  = sigmoid(W_if x + b_if + W_hf h + b_hf)     forget gate
//! g  =    tanh(W_ig x + b_ig + W_hg h + b_hg)     candidate
//! o  = sigmoid(W_io x + b_io + W_ho h + b_ho)     output gate
//! c' = f c + i g                                  the forget gate keeps or drops the old memory
//! h' = o tanh(c')                                 the output gate decides what is shown
//! ```

use recurrent_kernels::activation::{sigmoid, tanh};
use recurrent_kernels::{Level, Real, Vectorized};

use crate::cell::{Backward, Cell, CellShape, Forward, Phase, RecurrentWeight, RowMap, Source};

/// An LSTM cell. The tape of a step holds i, f, g, o, `hidden_size` rows each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lstm {
    input_size: usize,
    hidden_size: usize,
}

impl Lstm {
    /// A cell from `input_size` numbers to `hidden_size` numbers.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Lstm { input_size, hidden_size }
    }

    /// The rows of `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` that make the forget gate.
    pub fn forget_rows(&self) -> std::ops::Range<usize> {
        self.hidden_size..2 * self.hidden_size
    }
}

impl Cell for Lstm {
    fn shape(&self) -> CellShape {
        CellShape {
            input_size: self.input_size,
            hidden_size: self.hidden_size,
            cell_size: self.hidden_size,
            tape_rows: 4 * self.hidden_size,
            weight_ih_rows: 4 * self.hidden_size,
            weight_hh_rows: 4 * self.hidden_size,
        }
    }

    fn input_map(&self) -> Vec<RowMap> {
        vec![RowMap { weight: 0..4 * self.hidden_size, tape: 0..4 * self.hidden_size }]
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase {
            weight: RecurrentWeight::Hidden,
            source: Source::PreviousHidden,
            map: self.input_map(),
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
/// i = sigmoid(i + b_i)    f = sigmoid(f + b_f)    g = tanh(g + b_g)    o = sigmoid(o + b_o)
/// c' = f c + i g
/// h' = o tanh(c')
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
        let b_i = &bias[..size];
        let b_f = &bias[size..][..size];
        let b_g = &bias[2 * size..][..size];
        let b_o = &bias[3 * size..][..size];
        for j in 0..step.tape.columns() {
            let [i, f, g, o] = gates(step.tape.column(j), size);
            let c = &step.previous.c.column(j)[..size];
            let c_next = &mut step.c.column(j)[..size];
            let h_next = &mut step.h.column(j)[..size];
            // One loop a line: the compiler vectorises loops over few slices only.
            for r in 0..size {
                i[r] = sigmoid(i[r] + b_i[r]);
            }
            for r in 0..size {
                f[r] = sigmoid(f[r] + b_f[r]);
            }
            for r in 0..size {
                g[r] = tanh(g[r] + b_g[r]);
            }
            for r in 0..size {
                o[r] = sigmoid(o[r] + b_o[r]);
            }
            for r in 0..size {
                c_next[r] = f[r].mul_add(c[r], i[r] * g[r]);
            }
            for r in 0..size {
                h_next[r] = o[r] * tanh(c_next[r]);
            }
        }
    }
}

/// Reads [`ForwardColumns`] from its last line to its first. Every gate becomes the gradient of
/// its pre-activation, through s' = s (1 - s) for a sigmoid s and g' = 1 - g^2:
/// ```text
/// d_c' += d_h' o (1 - tanh(c')^2)         o <- d_h' tanh(c') o'
/// i <- d_c' g i'      g <- d_c' i g'
/// f <- d_c' c f'      d_c = d_c' f
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
            let [i, f, g, o] = gates(step.tape.column(j), size);
            let c = &step.previous.c.column(j)[..size];
            let c_next = &step.next.c.column(j)[..size];
            let d_h = &step.d_h.column(j)[..size];
            let d_c = &mut step.d_c.column(j)[..size];
            for r in 0..size {
                let shown = tanh(c_next[r]);
                d_c[r] += d_h[r] * o[r] * (T::ONE - shown * shown);
                o[r] = d_h[r] * shown * (o[r] * (T::ONE - o[r]));
            }
            for r in 0..size {
                let (input, candidate) = (i[r], g[r]);
                i[r] = d_c[r] * candidate * (input * (T::ONE - input));
                g[r] = d_c[r] * input * (T::ONE - candidate * candidate);
            }
            for r in 0..size {
                let forget = f[r];
                f[r] = d_c[r] * c[r] * (forget * (T::ONE - forget));
                d_c[r] *= forget;
            }
        }
    }
}

/// The rows of i, f, g, o in a column.
#[inline(always)]
fn gates<T>(column: &mut [T], size: usize) -> [&mut [T]; 4] {
    let (i, rest) = column.split_at_mut(size);
    let (f, rest) = rest.split_at_mut(size);
    let (g, o) = rest.split_at_mut(size);
    [i, f, g, &mut o[..size]]
}
