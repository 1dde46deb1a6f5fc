//! The gated recurrent unit: Cho et al. 2014, in PyTorch's row order (r, z, n).
//!
//! ```text
//! r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)          reset gate
//! z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)          update gate
//! n  =    tanh(W_in x + b_in + r (W_hn h + b_hn))      candidate, reset after the product
//! n  =    tanh(W_in x + b_in + W_hn (r h) + b_hn)      candidate, reset before the product
//! h' = (1 - z) n + z h                                 the update gate keeps or replaces
//! ```
//!
//! The reset after the product is PyTorch's form, Keras' `reset_after=True` and ONNX's
//! `linear_before_reset=1`. The reset before the product is that of the first version of the paper,
//! Keras' `reset_after=False` and ONNX's default. [`GruOptions::clip`] is ONNX's, as in the LSTM.

use recurrent_kernels::{Level, Real, Vectorized};
use serde::{Deserialize, Serialize};

use crate::activate::{Clip, Sigmoid, Tanh, activate, check_clip, with_clip};
use crate::cell::{
    Backward, Biases, Cell, CellShape, Forward, Phase, RecurrentWeight, RowMap, Source, Target,
};
use crate::{Gate, Keeps};

/// Where the reset gate of a [`Gru`] acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// On the product `W_hn h + b_hn`: PyTorch's form.
    #[default]
    After,
    /// On h, before the product.
    Before,
}

/// What a [`Gru`] may have beside the usual. The default is PyTorch's `nn.GRU`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GruOptions {
    /// Where the reset gate acts.
    pub reset: Reset,
    /// The largest magnitude of a pre-activation; above 0 and finite.
    pub clip: Option<f64>,
    /// Which biases there are.
    pub biases: Biases,
}

/// A GRU cell. The tape of a step holds hn, r, z, n, `hidden_size` rows each; with the reset before
/// the product, `r h` stands in the place of hn.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    input_size: usize,
    hidden_size: usize,
    options: GruOptions,
}

impl Gru {
    /// A cell from `input_size` numbers to `hidden_size` numbers.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Gru { input_size, hidden_size, options: GruOptions::default() }
    }

    /// A cell with options.
    ///
    /// # Panics
    /// If the clip is not above 0 and finite.
    #[track_caller]
    pub fn with_options(input_size: usize, hidden_size: usize, options: GruOptions) -> Self {
        check_clip(options.clip);
        Gru { input_size, hidden_size, options }
    }

    /// The options.
    pub fn options(&self) -> &GruOptions {
        &self.options
    }

    /// The rows of `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` that make the update gate.
    pub fn update_rows(&self) -> std::ops::Range<usize> {
        self.hidden_size..2 * self.hidden_size
    }
}

impl Cell for Gru {
    fn shape(&self) -> CellShape {
        let size = self.hidden_size;
        CellShape {
            input_size: self.input_size,
            hidden_size: size,
            cell_size: 0,
            tape_rows: 4 * size,
            weight_ih_rows: 3 * size,
            weight_hh_rows: 3 * size,
            inner_size: if self.options.reset == Reset::Before { size } else { 0 },
            projects: false,
            peephole_size: 0,
            norm_size: 0,
            biases: self.options.biases,
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
        let gates = RowMap { weight: 0..2 * size, tape: size..3 * size };
        match self.options.reset {
            // Weight rows n to tape rows hn, weight rows r, z to tape rows r, z.
            Reset::After => {
                let candidate = RowMap { weight: 2 * size..3 * size, tape: 0..size };
                vec![Phase::of_hidden(vec![candidate, gates])]
            }
            Reset::Before => {
                let candidate = RowMap { weight: 2 * size..3 * size, tape: 3 * size..4 * size };
                let second = Phase {
                    weight: RecurrentWeight::Hidden,
                    source: Source::Inner(0..size),
                    target: Target::Tape(vec![candidate]),
                };
                vec![Phase::of_hidden(vec![gates]), second]
            }
        }
    }

    fn gates(&self) -> Vec<Gate> {
        let size = self.hidden_size;
        vec![
            Gate::new("reset", size..2 * size),
            Gate::keeping("update", 2 * size..3 * size, Keeps::Value),
        ]
    }

    fn pointwise<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>) {
        let size = self.hidden_size;
        with_clip!(self.options.clip, clip => match (self.options.reset, phase) {
            (Reset::After, _) => level.run(ForwardColumns { size, clip, step }),
            (Reset::Before, 0) => level.run(ResetColumns { size, clip, step }),
            (Reset::Before, _) => level.run(CandidateColumns { size, clip, step }),
        });
    }

    fn pointwise_backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>) {
        let size = self.hidden_size;
        with_clip!(self.options.clip, clip => match (self.options.reset, phase) {
            (Reset::After, _) => level.run(BackwardColumns { size, clip, step }),
            (Reset::Before, 0) => level.run(ResetBackwardColumns { size, clip, step }),
            (Reset::Before, _) => level.run(CandidateBackwardColumns { size, clip, step }),
        });
    }
}

/// All columns of a step with the reset after the product:
/// ```text
/// hn = hn + b_hn    r = sigmoid(r + b_r)    z = sigmoid(z + b_z)    n = tanh(n + b_n + r hn)
/// h' = (1 - z) n + z h        exactly h when z is 1
/// ```
struct ForwardColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Forward<'a, T>,
}

impl<T: Real, C: Clip> Vectorized for ForwardColumns<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ForwardColumns { size, clip, mut step } = self;
        let [b_hn, b_r, b_z, b_n] = blocks(step.bias, size);
        for j in 0..step.tape.columns() {
            let [hn, r, z, n] = blocks_mut(step.tape.column(j), size);
            // One loop a line: the compiler vectorises loops over few slices only.
            for k in 0..size {
                hn[k] += b_hn[k];
            }
            activate::<Sigmoid, T>(clip, r, b_r);
            activate::<Sigmoid, T>(clip, z, b_z);
            for k in 0..size {
                n[k] = clip.value::<Tanh, T>(r[k].mul_add(hn[k], n[k] + b_n[k]));
            }
            update(z, n, step.previous.h.column(j), step.h.column(j));
        }
    }
}

/// `h' = (1 - z) n + z h`
#[inline(always)]
fn update<T: Real>(z: &[T], n: &[T], h: &[T], h_next: &mut [T]) {
    let size = z.len();
    let (n, h, h_next) = (&n[..size], &h[..size], &mut h_next[..size]);
    for k in 0..size {
        h_next[k] = (T::ONE - z[k]) * n[k] + z[k] * h[k];
    }
}

/// Reads [`ForwardColumns`] from its last line to its first. r, z and n become the gradients of
/// their pre-activations, through s' = s (1 - s) for a sigmoid s and n' = 1 - n^2, or 0 where the
/// clip held them, and hn its own:
/// ```text
/// d_h += d_h' z
/// n <- d_h' (1 - z) n'        z <- d_h' (h - n) z'
/// r <- d_n hn r'              hn <- d_n r             with d_n, what n has become
/// ```
struct BackwardColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, C: Clip> Vectorized for BackwardColumns<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let BackwardColumns { size, clip, mut step } = self;
        for j in 0..step.tape.columns() {
            let [hn, r, z, n] = blocks_mut(step.tape.column(j), size);
            let (h, d_h_next) = (step.previous.h.column(j), step.d_h.column(j));
            update_backward(clip, z, n, h, d_h_next, step.d_h_previous.column(j));
            for k in 0..size {
                let reset = r[k];
                r[k] = n[k] * hn[k] * clip.slope::<Sigmoid, T>(reset);
                hn[k] = n[k] * reset;
            }
        }
    }
}

/// Undoes [`update`]: `d_h += d_h' z`, `n <- d_h' (1 - z) n'`, `z <- d_h' (h - n) z'`.
#[inline(always)]
fn update_backward<T: Real>(
    clip: impl Clip,
    z: &mut [T],
    n: &mut [T],
    h: &[T],
    d_h_next: &[T],
    d_h: &mut [T],
) {
    let size = z.len();
    let (n, h) = (&mut n[..size], &h[..size]);
    let (d_h_next, d_h) = (&d_h_next[..size], &mut d_h[..size]);
    for k in 0..size {
        d_h[k] += d_h_next[k] * z[k];
    }
    for k in 0..size {
        let (update, candidate) = (z[k], n[k]);
        n[k] = d_h_next[k] * (T::ONE - update) * clip.slope::<Tanh, T>(candidate);
        z[k] = d_h_next[k] * (h[k] - candidate) * clip.slope::<Sigmoid, T>(update);
    }
}

/// The first phase of a step with the reset before the product; rh is what the second multiplies:
/// ```text
/// r = sigmoid(r + b_r)    z = sigmoid(z + b_z)    rh = r h
/// ```
struct ResetColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Forward<'a, T>,
}

impl<T: Real, C: Clip> Vectorized for ResetColumns<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ResetColumns { size, clip, mut step } = self;
        let [_, b_r, b_z, _] = blocks(step.bias, size);
        for j in 0..step.tape.columns() {
            let [rh, r, z, _] = blocks_mut(step.tape.column(j), size);
            let h = &step.previous.h.column(j)[..size];
            activate::<Sigmoid, T>(clip, r, b_r);
            activate::<Sigmoid, T>(clip, z, b_z);
            for k in 0..size {
                rh[k] = r[k] * h[k];
            }
        }
    }
}

/// Undoes [`ResetColumns`], after z has become its gradient in the phase above:
/// ```text
/// d_h += d_rh r        r <- d_rh h r'
/// ```
struct ResetBackwardColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, C: Clip> Vectorized for ResetBackwardColumns<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ResetBackwardColumns { size, clip, mut step } = self;
        for j in 0..step.tape.columns() {
            let [_, r, _, _] = blocks_mut(step.tape.column(j), size);
            let h = &step.previous.h.column(j)[..size];
            let d_rh = &step.d_inner.as_ref().column(j)[..size];
            let d_h = &mut step.d_h_previous.column(j)[..size];
            for k in 0..size {
                let reset = r[k];
                d_h[k] += d_rh[k] * reset;
                r[k] = d_rh[k] * h[k] * clip.slope::<Sigmoid, T>(reset);
            }
        }
    }
}

/// The second phase of a step with the reset before the product:
/// ```text
/// n = tanh(n + b_n)       h' = (1 - z) n + z h
/// ```
struct CandidateColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Forward<'a, T>,
}

impl<T: Real, C: Clip> Vectorized for CandidateColumns<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let CandidateColumns { size, clip, mut step } = self;
        let [_, _, _, b_n] = blocks(step.bias, size);
        for j in 0..step.tape.columns() {
            let [_, _, z, n] = blocks_mut(step.tape.column(j), size);
            activate::<Tanh, T>(clip, n, b_n);
            update(z, n, step.previous.h.column(j), step.h.column(j));
        }
    }
}

/// Undoes [`CandidateColumns`]; see [`update_backward`].
struct CandidateBackwardColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, C: Clip> Vectorized for CandidateBackwardColumns<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let CandidateBackwardColumns { size, clip, mut step } = self;
        for j in 0..step.tape.columns() {
            let [_, _, z, n] = blocks_mut(step.tape.column(j), size);
            let (h, d_h_next) = (step.previous.h.column(j), step.d_h.column(j));
            update_backward(clip, z, n, h, d_h_next, step.d_h_previous.column(j));
        }
    }
}

/// The four blocks of a column of biases.
#[inline(always)]
fn blocks<T>(column: &[T], size: usize) -> [&[T]; 4] {
    let (hn, rest) = column.split_at(size);
    let (r, rest) = rest.split_at(size);
    let (z, n) = rest.split_at(size);
    [hn, r, z, &n[..size]]
}

/// The four blocks of a column of the tape: hn (or rh), r, z, n.
#[inline(always)]
fn blocks_mut<T>(column: &mut [T], size: usize) -> [&mut [T]; 4] {
    let (hn, rest) = column.split_at_mut(size);
    let (r, rest) = rest.split_at_mut(size);
    let (z, n) = rest.split_at_mut(size);
    [hn, r, z, &mut n[..size]]
}
