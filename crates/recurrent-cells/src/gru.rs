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

use recurrent_kernels::{Compiled, Elementwise, ElementwiseWork, Level, Numbers, Real, Vectors};
use serde::{Deserialize, Serialize};

use crate::activate::{Clip, Sigmoid, Tanh, check_clip, compiled_pointwise, with_clip};
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

    compiled_pointwise!(Gru);
}

impl Gru {
    /// A phase of a step, [`Cell::pointwise`].
    fn forward<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>) {
        let size = self.hidden_size;
        with_clip!(self.options.clip, clip => match (self.options.reset, phase) {
            (Reset::After, _) => level.run_elementwise(ForwardColumns { size, clip, step }),
            (Reset::Before, 0) => level.run_elementwise(ResetColumns { size, clip, step }),
            (Reset::Before, _) => level.run_elementwise(CandidateColumns { size, clip, step }),
        });
    }

    /// Undoes [`forward`](Self::forward).
    fn backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>) {
        let size = self.hidden_size;
        with_clip!(self.options.clip, clip => match (self.options.reset, phase) {
            (Reset::After, _) => level.run_elementwise(BackwardColumns { size, clip, step }),
            (Reset::Before, 0) => level.run_elementwise(ResetBackwardColumns { size, clip, step }),
            (Reset::Before, _) => level.run_elementwise(CandidateBackwardColumns { size, clip, step }),
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

impl<T: Real, C: Clip> ElementwiseWork for ForwardColumns<'_, T, C> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let ForwardColumns { size, clip, mut step } = self;
        let bias = blocks(step.bias, size);
        for j in 0..step.tape.columns() {
            let [hn, r, z, n] = blocks_mut(step.tape.column(j), size);
            let [b_hn, b_r, b_z, b_n] = bias;
            let (h, h_next) = (step.previous.h.column(j), step.h.column(j));
            let (changed, read) = ([hn, r, z, n, h_next], [h, b_hn, b_r, b_z, b_n]);
            vectors.elementwise(&AfterForward(clip), changed, read);
        }
    }
}

/// The equations of [`ForwardColumns`] at one place.
struct AfterForward<C>(C);

impl<T: Real, C: Clip> Elementwise<T, 5, 5> for AfterForward<C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(
        &self,
        [hn, r, z, n, _]: [N; 5],
        [h, b_hn, b_r, b_z, b_n]: [N; 5],
    ) -> [N; 5] {
        let clip = self.0;
        let hn = hn + b_hn;
        let r = clip.value::<Sigmoid, N>(r + b_r);
        let z = clip.value::<Sigmoid, N>(z + b_z);
        let n = clip.value::<Tanh, N>(r.mul_add(hn, n + b_n));
        [hn, r, z, n, update(z, n, h)]
    }
}

/// `h' = (1 - z) n + z h`
#[inline(always)]
fn update<N: Numbers>(z: N, n: N, h: N) -> N {
    (z.all(Real::ONE) - z) * n + z * h
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

impl<T: Real, C: Clip> ElementwiseWork for BackwardColumns<'_, T, C> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let BackwardColumns { size, clip, mut step } = self;
        for j in 0..step.tape.columns() {
            let [hn, r, z, n] = blocks_mut(step.tape.column(j), size);
            let (h, d_h_next) = (step.previous.h.column(j), step.d_h.column(j));
            let changed = [hn, r, z, n, step.d_h_previous.column(j)];
            vectors.elementwise(&AfterBackward(clip), changed, [h, d_h_next]);
        }
    }
}

/// The equations of [`BackwardColumns`] at one place.
struct AfterBackward<C>(C);

impl<T: Real, C: Clip> Elementwise<T, 5, 2> for AfterBackward<C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(
        &self,
        [hn, r, z, n, d_h]: [N; 5],
        [h, d_h_next]: [N; 2],
    ) -> [N; 5] {
        let [d_z, d_n, d_h] = update_backward(self.0, [z, n, d_h], h, d_h_next);
        let d_r = d_n * hn * self.0.slope::<Sigmoid, N>(r);
        [d_n * r, d_r, d_z, d_n, d_h]
    }
}

/// Undoes [`update`]: `z <- d_h' (h - n) z'`, `n <- d_h' (1 - z) n'`, `d_h += d_h' z`.
#[inline(always)]
fn update_backward<N: Numbers>(clip: impl Clip, [z, n, d_h]: [N; 3], h: N, d_h_next: N) -> [N; 3] {
    let d_z = d_h_next * (h - n) * clip.slope::<Sigmoid, N>(z);
    let d_n = d_h_next * (z.all(Real::ONE) - z) * clip.slope::<Tanh, N>(n);
    [d_z, d_n, d_h + d_h_next * z]
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

impl<T: Real, C: Clip> ElementwiseWork for ResetColumns<'_, T, C> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let ResetColumns { size, clip, mut step } = self;
        let [_, b_r, b_z, _] = blocks(step.bias, size);
        for j in 0..step.tape.columns() {
            let [rh, r, z, _] = blocks_mut(step.tape.column(j), size);
            let read = [step.previous.h.column(j), b_r, b_z];
            vectors.elementwise(&ResetForward(clip), [rh, r, z], read);
        }
    }
}

/// The equations of [`ResetColumns`] at one place.
struct ResetForward<C>(C);

impl<T: Real, C: Clip> Elementwise<T, 3, 3> for ResetForward<C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [_, r, z]: [N; 3], [h, b_r, b_z]: [N; 3]) -> [N; 3] {
        let r = self.0.value::<Sigmoid, N>(r + b_r);
        [r * h, r, self.0.value::<Sigmoid, N>(z + b_z)]
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

impl<T: Real, C: Clip> ElementwiseWork for ResetBackwardColumns<'_, T, C> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let ResetBackwardColumns { size, clip, mut step } = self;
        for j in 0..step.tape.columns() {
            let [_, r, _, _] = blocks_mut(step.tape.column(j), size);
            let read = [step.previous.h.column(j), step.d_inner.as_ref().column(j)];
            let changed = [r, step.d_h_previous.column(j)];
            vectors.elementwise(&ResetBackward(clip), changed, read);
        }
    }
}

/// The equations of [`ResetBackwardColumns`] at one place.
struct ResetBackward<C>(C);

impl<T: Real, C: Clip> Elementwise<T, 2, 2> for ResetBackward<C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [r, d_h]: [N; 2], [h, d_rh]: [N; 2]) -> [N; 2] {
        [d_rh * h * self.0.slope::<Sigmoid, N>(r), d_h + d_rh * r]
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

impl<T: Real, C: Clip> ElementwiseWork for CandidateColumns<'_, T, C> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let CandidateColumns { size, clip, mut step } = self;
        let [_, _, _, b_n] = blocks(step.bias, size);
        for j in 0..step.tape.columns() {
            let [_, _, z, n] = blocks_mut(step.tape.column(j), size);
            let read = [&*z, step.previous.h.column(j), b_n];
            vectors.elementwise(&CandidateForward(clip), [n, step.h.column(j)], read);
        }
    }
}

/// The equations of [`CandidateColumns`] at one place.
struct CandidateForward<C>(C);

impl<T: Real, C: Clip> Elementwise<T, 2, 3> for CandidateForward<C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [n, _]: [N; 2], [z, h, b_n]: [N; 3]) -> [N; 2] {
        let n = self.0.value::<Tanh, N>(n + b_n);
        [n, update(z, n, h)]
    }
}

/// Undoes [`CandidateColumns`]; see [`update_backward`].
struct CandidateBackwardColumns<'a, T, C> {
    size: usize,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, C: Clip> ElementwiseWork for CandidateBackwardColumns<'_, T, C> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let CandidateBackwardColumns { size, clip, mut step } = self;
        for j in 0..step.tape.columns() {
            let [_, _, z, n] = blocks_mut(step.tape.column(j), size);
            let (h, d_h_next) = (step.previous.h.column(j), step.d_h.column(j));
            let changed = [z, n, step.d_h_previous.column(j)];
            vectors.elementwise(&CandidateBackward(clip), changed, [h, d_h_next]);
        }
    }
}

/// The equations of [`CandidateBackwardColumns`] at one place.
struct CandidateBackward<C>(C);

impl<T: Real, C: Clip> Elementwise<T, 3, 2> for CandidateBackward<C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, changed: [N; 3], [h, d_h_next]: [N; 2]) -> [N; 3] {
        update_backward(self.0, changed, h, d_h_next)
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
