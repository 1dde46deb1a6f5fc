//! From what is known at the beginning to the state that a decoder begins from.

use recurrent_cells::{Cell, Layout, Linear, PackedLinear, Parameters, initialize};
use recurrent_kernels::activation::{tanh_columns, tanh_columns_backward};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};

use crate::{LayerState, StackConfig, State};

/// Makes the initial [`State`] of one stack from the final state of another, or from a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// The state as it is: both stacks have the same cell, sizes, depth and directions.
    Copy,
    /// Linear maps for all layers together.
    ///
    /// ```text
    /// h = tanh(W_h z_h + b_h)      c = W_c z_c + b_c
    /// ```
    /// z_h is h of all layers and directions of the encoder, one upon the other, and z_c its c; z_h
    /// where it has no c. Of a vector z both are z. The rows of h and c are those of all layers of
    /// the decoder, first layer first.
    Linear {
        /// Rows of all h of the decoder.
        h: Linear,
        /// Rows of all c of the decoder, if its cells have one.
        c: Option<Linear>,
    },
}

/// What a [`Bridge`] leaves for backward.
pub(crate) struct BridgeTape<T> {
    /// All h of the encoder.
    z_h: Matrix<T>,
    /// All c of the encoder; no rows where it has none.
    z_c: Matrix<T>,
    /// All h of the decoder.
    h: Matrix<T>,
    /// All c of the decoder.
    c: Matrix<T>,
    packed: PackedLinear<T>,
    d_h: Matrix<T>,
    d_c: Matrix<T>,
}

impl<T: Real> Default for BridgeTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        let packed = PackedLinear::default();
        let (z_h, z_c, h, c) = (empty(), empty(), empty(), empty());
        BridgeTape { z_h, z_c, h, c, packed, d_h: empty(), d_c: empty() }
    }
}

/// Numbers in all h, and in all c, of a stack's state.
fn state_sizes(config: &StackConfig) -> (usize, usize) {
    let shape = config.cell.build(1, config.hidden_size).shape();
    let blocks = config.num_layers * (1 + usize::from(config.bidirectional));
    (blocks * shape.hidden_size, blocks * shape.cell_size)
}

/// How many parameters a bridge has at most, as a number that cannot overflow.
pub(crate) fn count(from: f64, to: &StackConfig) -> f64 {
    2.0 * from * to.hidden_size as f64 * to.num_layers as f64
}

impl Bridge {
    /// Between two stacks: [`Bridge::Copy`] if they are of the same kind, else `{prefix}h.weight`,
    /// `{prefix}h.bias` and, if the cells of `to` have a c, `{prefix}c.weight` and `{prefix}c.bias`.
    pub(crate) fn between(
        layout: &mut Layout,
        prefix: &str,
        from: &StackConfig,
        to: &StackConfig,
    ) -> Self {
        let kind = |config: &StackConfig| {
            let &StackConfig { cell, hidden_size, num_layers, bidirectional, .. } = config;
            (cell, hidden_size, num_layers, bidirectional)
        };
        if kind(from) == kind(to) {
            return Bridge::Copy;
        }
        let (z_h, z_c) = state_sizes(from);
        Bridge::add(layout, prefix, (z_h, if z_c == 0 { z_h } else { z_c }), to)
    }

    /// From vectors of `size` numbers.
    pub(crate) fn from_vector(
        layout: &mut Layout,
        prefix: &str,
        size: usize,
        to: &StackConfig,
    ) -> Self {
        Bridge::add(layout, prefix, (size, size), to)
    }

    fn add(
        layout: &mut Layout,
        prefix: &str,
        (z_h, z_c): (usize, usize),
        to: &StackConfig,
    ) -> Self {
        let (h, c) = state_sizes(to);
        Bridge::Linear {
            h: Linear::add(layout, &format!("{prefix}h"), z_h, h),
            c: (c > 0).then(|| Linear::add(layout, &format!("{prefix}c"), z_c, c)),
        }
    }

    /// Fresh parameters: PyTorch's default of a linear map.
    pub(crate) fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
    ) {
        if let Bridge::Linear { h, c } = self {
            initialize::linear(generator, parameters, h);
            if let Some(c) = c {
                initialize::linear(generator, parameters, c);
            }
        }
    }

    /// Writes the decoder's state from the encoder's. Both are in the caller's order.
    pub(crate) fn forward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        from: &State<T>,
        to: &mut State<T>,
        tape: &mut BridgeTape<T>,
    ) {
        let Bridge::Linear { h, c } = self else {
            return copy(from, to);
        };
        let rows = |size: fn(&LayerState<T>) -> usize| from.layers.iter().map(size).sum::<usize>();
        let (rows_h, rows_c) = (rows(|layer| layer.h.rows()), rows(|layer| layer.c.rows()));
        tape.z_h.resize(rows_h, from.batch());
        tape.z_c.resize(rows_c, from.batch());
        let (mut at_h, mut at_c) = (0, 0);
        for layer in &from.layers {
            put(&mut tape.z_h, &mut at_h, layer.h.as_ref());
            put(&mut tape.z_c, &mut at_c, layer.c.as_ref());
        }
        let BridgeTape { z_h, z_c, h: all_h, c: all_c, packed, .. } = tape;
        let z_h = z_h.as_ref();
        let z_c = if rows_c == 0 { z_h } else { z_c.as_ref() };
        map((h, c.as_ref()), compute, parameters, (z_h, z_c), packed, (all_h, all_c));
        spread((all_h, all_c), to);
    }

    /// As [`forward`](Self::forward), from the columns of a vector.
    pub(crate) fn forward_vector<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        z: Columns<'_, T>,
        to: &mut State<T>,
        tape: &mut BridgeTape<T>,
    ) {
        let Bridge::Linear { h, c } = self else { unreachable!("a vector is no state to copy") };
        let BridgeTape { h: all_h, c: all_c, packed, .. } = tape;
        map((h, c.as_ref()), compute, parameters, (z, z), packed, (all_h, all_c));
        spread((all_h, all_c), to);
    }

    /// Undoes [`forward`](Self::forward): from the gradient of the decoder's state to that of the
    /// encoder's, which is written.
    pub(crate) fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        d_to: &State<T>,
        d_from: &mut State<T>,
        tape: &mut BridgeTape<T>,
        gradients: &mut Parameters<T>,
    ) {
        let Bridge::Linear { h, c } = self else {
            return copy(d_to, d_from);
        };
        gather(compute, d_to, tape);
        let BridgeTape { z_h, z_c, d_h, d_c, .. } = tape;
        let (z_h, z_c) = (z_h.as_ref(), z_c.as_ref());
        let mut d_z_h = Matrix::zeros(z_h.rows(), z_h.columns());
        let mut d_z_c = Matrix::zeros(z_c.rows(), z_c.columns());
        h.backward(compute, parameters, z_h, d_h.as_ref(), gradients, d_z_h.as_mut());
        if let Some(c) = c {
            let shares = z_c.rows() == 0;
            let (z, d_z) = if shares { (z_h, &mut d_z_h) } else { (z_c, &mut d_z_c) };
            c.backward(compute, parameters, z, d_c.as_ref(), gradients, d_z.as_mut());
        }
        spread((&d_z_h, &d_z_c), d_from);
    }

    /// Undoes [`forward_vector`](Self::forward_vector): adds the gradient of `z` to `d_z`.
    pub(crate) fn backward_vector<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        z: Columns<'_, T>,
        d_to: &State<T>,
        mut d_z: ColumnsMut<'_, T>,
        tape: &mut BridgeTape<T>,
        gradients: &mut Parameters<T>,
    ) {
        let Bridge::Linear { h, c } = self else { unreachable!("a vector is no state to copy") };
        gather(compute, d_to, tape);
        let BridgeTape { d_h, d_c, .. } = tape;
        h.backward(compute, parameters, z, d_h.as_ref(), gradients, d_z.reborrow());
        if let Some(c) = c {
            c.backward(compute, parameters, z, d_c.as_ref(), gradients, d_z);
        }
    }
}

/// A state becomes another one of the same shapes.
fn copy<T: Real>(from: &State<T>, to: &mut State<T>) {
    for (target, source) in to.layers.iter_mut().zip(&from.layers) {
        target.h.as_mut().copy_from(source.h.as_ref());
        target.c.as_mut().copy_from(source.c.as_ref());
    }
}

/// `h = tanh(W_h z_h + b_h)`, `c = W_c z_c + b_c`.
fn map<T: Real>(
    (h, c): (&Linear, Option<&Linear>),
    compute: &Compute,
    parameters: &Parameters<T>,
    (z_h, z_c): (Columns<'_, T>, Columns<'_, T>),
    packed: &mut PackedLinear<T>,
    (all_h, all_c): (&mut Matrix<T>, &mut Matrix<T>),
) {
    packed.pack(compute, h, parameters);
    all_h.resize(h.weight.rows(), z_h.columns());
    packed.forward(compute, z_h, all_h.as_mut());
    tanh_columns(compute, all_h.as_mut());
    all_c.resize(c.map_or(0, |c| c.weight.rows()), z_c.columns());
    if let Some(c) = c {
        packed.pack(compute, c, parameters);
        packed.forward(compute, z_c, all_c.as_mut());
    }
}

/// The gradients of what [`map`] gave, before tanh, from those of the decoder's state.
fn gather<T: Real>(compute: &Compute, d_to: &State<T>, tape: &mut BridgeTape<T>) {
    let BridgeTape { h, c, d_h, d_c, .. } = tape;
    d_h.resize(h.rows(), h.columns());
    d_c.resize(c.rows(), c.columns());
    let (mut at_h, mut at_c) = (0, 0);
    for layer in &d_to.layers {
        put(d_h, &mut at_h, layer.h.as_ref());
        put(d_c, &mut at_c, layer.c.as_ref());
    }
    tanh_columns_backward(compute, h.as_ref(), d_h.as_mut());
}

/// Copies a block to the rows from `at` on, and moves `at` below them.
fn put<T: Real>(target: &mut Matrix<T>, at: &mut usize, block: Columns<'_, T>) {
    target.as_mut().rows_range(*at..*at + block.rows()).copy_from(block);
    *at += block.rows();
}

/// Undoes [`put`] for a whole state.
fn spread<T: Real>((h, c): (&Matrix<T>, &Matrix<T>), state: &mut State<T>) {
    let (mut at_h, mut at_c) = (0, 0);
    for layer in &mut state.layers {
        for (target, source, at) in [(&mut layer.h, h, &mut at_h), (&mut layer.c, c, &mut at_c)] {
            let rows = *at..*at + target.rows();
            *at = rows.end;
            target.as_mut().copy_from(source.as_ref().rows_range(rows));
        }
    }
}
