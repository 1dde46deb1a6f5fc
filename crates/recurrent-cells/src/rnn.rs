//! The vanilla recurrent network: Elman 1990, in PyTorch's form.
//!
//! ```text
//! h' = f(W_ih x + b_ih + W_hh h + b_hh)      f: tanh, relu or identity
//! ```
//!
//! Without an activation (identity) the network is linear in time, and gradients vanish or explode
//! all the same: they are multiplied with `W_hh^T` at every step.

use std::ops::Range;

use recurrent_kernels::{Compiled, Elementwise, ElementwiseWork, Level, Numbers, Real, Vectors};
use serde::{Deserialize, Serialize};

use crate::activate::{
    Activation, Clip, Identity, Relu, Tanh, check_clip, compiled_pointwise, with_clip,
};
use crate::cell::{Backward, Biases, Cell, CellShape, Forward, Phase, RowMap};

/// The function f of an [`Rnn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    Tanh,
    /// `max(a, 0)`.
    Relu,
    /// None: `h'` is the pre-activation itself.
    Identity,
}

/// What an [`Rnn`] may have beside the usual. The default is PyTorch's `nn.RNN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RnnOptions {
    /// The largest magnitude of a pre-activation; above 0 and finite.
    pub clip: Option<f64>,
    /// Which biases there are.
    pub biases: Biases,
}

/// A vanilla recurrent cell. The tape of a step holds h', `hidden_size` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rnn {
    input_size: usize,
    hidden_size: usize,
    nonlinearity: Nonlinearity,
    options: RnnOptions,
}

impl Rnn {
    /// A cell from `input_size` numbers to `hidden_size` numbers.
    pub fn new(input_size: usize, hidden_size: usize, nonlinearity: Nonlinearity) -> Self {
        Rnn { input_size, hidden_size, nonlinearity, options: RnnOptions::default() }
    }

    /// A cell with options.
    ///
    /// # Panics
    /// If the clip is not above 0 and finite.
    #[track_caller]
    pub fn with_options(
        input_size: usize,
        hidden_size: usize,
        nonlinearity: Nonlinearity,
        options: RnnOptions,
    ) -> Self {
        check_clip(options.clip);
        Rnn { input_size, hidden_size, nonlinearity, options }
    }

    /// The function f.
    pub fn nonlinearity(&self) -> Nonlinearity {
        self.nonlinearity
    }

    /// The options.
    pub fn options(&self) -> &RnnOptions {
        &self.options
    }
}

impl Cell for Rnn {
    fn shape(&self) -> CellShape {
        let size = self.hidden_size;
        CellShape {
            input_size: self.input_size,
            hidden_size: size,
            cell_size: 0,
            tape_rows: size,
            weight_ih_rows: size,
            weight_hh_rows: size,
            inner_size: 0,
            projects: false,
            peephole_size: 0,
            norm_size: 0,
            biases: self.options.biases,
        }
    }

    fn input_map(&self) -> Vec<RowMap> {
        vec![RowMap { weight: 0..self.hidden_size, tape: 0..self.hidden_size }]
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase::of_hidden(self.input_map())]
    }

    #[inline]
    fn hidden_slope<T: Real>(&self, h: T) -> Option<T> {
        Some(with_clip!(self.options.clip, clip => match self.nonlinearity {
            Nonlinearity::Tanh => clip.slope::<Tanh, _>(h),
            Nonlinearity::Relu => clip.slope::<Relu, _>(h),
            Nonlinearity::Identity => clip.slope::<Identity, _>(h),
        }))
    }

    fn rectified(&self) -> Range<usize> {
        match self.nonlinearity {
            Nonlinearity::Relu => 0..self.hidden_size,
            Nonlinearity::Tanh | Nonlinearity::Identity => 0..0,
        }
    }

    compiled_pointwise!(Rnn);
}

impl Rnn {
    /// A phase of a step, [`Cell::pointwise`].
    fn forward<T: Real>(&self, level: Level, _phase: usize, step: Forward<'_, T>) {
        with_clip!(self.options.clip, clip => match self.nonlinearity {
            Nonlinearity::Tanh => level.run_elementwise(ForwardColumns { f: Tanh, clip, step }),
            Nonlinearity::Relu => level.run_elementwise(ForwardColumns { f: Relu, clip, step }),
            Nonlinearity::Identity => level.run_elementwise(ForwardColumns { f: Identity, clip, step }),
        });
    }

    /// Undoes [`forward`](Self::forward).
    fn backward<T: Real>(&self, level: Level, _phase: usize, step: Backward<'_, T>) {
        with_clip!(self.options.clip, clip => match self.nonlinearity {
            Nonlinearity::Tanh => level.run_elementwise(BackwardColumns { f: Tanh, clip, step }),
            Nonlinearity::Relu => level.run_elementwise(BackwardColumns { f: Relu, clip, step }),
            Nonlinearity::Identity => level.run_elementwise(BackwardColumns { f: Identity, clip, step }),
        });
    }
}

/// All columns of a step:
/// ```text
/// a = f(a + b)      h' = a
/// ```
struct ForwardColumns<'a, T, F, C> {
    f: F,
    clip: C,
    step: Forward<'a, T>,
}

impl<T: Real, F: Activation, C: Clip> ElementwiseWork for ForwardColumns<'_, T, F, C> {
    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) {
        for j in 0..self.step.tape.columns() {
            let (a, h) = (self.step.tape.column(j), self.step.h.column(j));
            vectors.elementwise(&Forwards(self.f, self.clip), [a, h], [self.step.bias]);
        }
    }
}

/// a and h' from a and b.
struct Forwards<F, C>(F, C);

impl<T: Real, F: Activation, C: Clip> Elementwise<T, 2, 1> for Forwards<F, C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [a, _]: [N; 2], [b]: [N; 1]) -> [N; 2] {
        let a = self.1.value::<F, N>(a + b);
        [a, a]
    }
}

/// Undoes [`ForwardColumns`]: a becomes the gradient of its pre-activation.
/// ```text
/// a <- d_h' f'(a)
/// ```
struct BackwardColumns<'a, T, F, C> {
    f: F,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, F: Activation, C: Clip> ElementwiseWork for BackwardColumns<'_, T, F, C> {
    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) {
        for j in 0..self.step.tape.columns() {
            let (a, d_h) = (self.step.tape.column(j), self.step.d_h.column(j));
            vectors.elementwise(&Backwards(self.f, self.clip), [a], [d_h]);
        }
    }
}

/// a from a and d_h'.
struct Backwards<F, C>(F, C);

impl<T: Real, F: Activation, C: Clip> Elementwise<T, 1, 1> for Backwards<F, C> {
    const SIDE_BY_SIDE: bool = !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [a]: [N; 1], [d_h]: [N; 1]) -> [N; 1] {
        [d_h * self.1.slope::<F, N>(a)]
    }
}
