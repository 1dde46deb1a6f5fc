//! The vanilla recurrent network: Elman 1990, in PyTorch's form.
//!
//! ```text
//! h' = f(W_ih x + b_ih + W_hh h + b_hh)      f: tanh, relu or identity
//! ```
//!
//! Without an activation (identity) the network is linear in time, and gradients vanish or explode
//! all the same: they are multiplied with `W_hh^T` at every step.

use std::ops::Range;

use recurrent_kernels::{Level, Real, Vectorized};
use serde::{Deserialize, Serialize};

use crate::activate::{Activation, Clip, Identity, Relu, Tanh, activate, check_clip, with_clip};
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
            Nonlinearity::Tanh => clip.slope::<Tanh, T>(h),
            Nonlinearity::Relu => clip.slope::<Relu, T>(h),
            Nonlinearity::Identity => clip.slope::<Identity, T>(h),
        }))
    }

    fn rectified(&self) -> Range<usize> {
        match self.nonlinearity {
            Nonlinearity::Relu => 0..self.hidden_size,
            Nonlinearity::Tanh | Nonlinearity::Identity => 0..0,
        }
    }

    fn pointwise<T: Real>(&self, level: Level, _phase: usize, step: Forward<'_, T>) {
        with_clip!(self.options.clip, clip => match self.nonlinearity {
            Nonlinearity::Tanh => level.run(ForwardColumns { f: Tanh, clip, step }),
            Nonlinearity::Relu => level.run(ForwardColumns { f: Relu, clip, step }),
            Nonlinearity::Identity => level.run(ForwardColumns { f: Identity, clip, step }),
        });
    }

    fn pointwise_backward<T: Real>(&self, level: Level, _phase: usize, step: Backward<'_, T>) {
        with_clip!(self.options.clip, clip => match self.nonlinearity {
            Nonlinearity::Tanh => level.run(BackwardColumns { f: Tanh, clip, step }),
            Nonlinearity::Relu => level.run(BackwardColumns { f: Relu, clip, step }),
            Nonlinearity::Identity => level.run(BackwardColumns { f: Identity, clip, step }),
        });
    }
}

/// All columns of a step:
/// ```text
/// a = f(a + b)      h' = a
/// ```
struct ForwardColumns<'a, T, F, C> {
    #[allow(dead_code)] // its type says which function
    f: F,
    clip: C,
    step: Forward<'a, T>,
}

impl<T: Real, F: Activation, C: Clip> Vectorized for ForwardColumns<'_, T, F, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ForwardColumns { clip, mut step, .. } = self;
        for j in 0..step.tape.columns() {
            let a = step.tape.column(j);
            activate::<F, T>(clip, a, step.bias);
            step.h.column(j).copy_from_slice(a);
        }
    }
}

/// Undoes [`ForwardColumns`]: a becomes the gradient of its pre-activation.
/// ```text
/// a <- d_h' f'(a)
/// ```
struct BackwardColumns<'a, T, F, C> {
    #[allow(dead_code)] // its type says which function
    f: F,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, F: Activation, C: Clip> Vectorized for BackwardColumns<'_, T, F, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let BackwardColumns { clip, mut step, .. } = self;
        for j in 0..step.tape.columns() {
            let a = step.tape.column(j);
            let d_h = &step.d_h.column(j)[..a.len()];
            for k in 0..a.len() {
                a[k] = d_h[k] * clip.slope::<F, T>(a[k]);
            }
        }
    }
}
