//! A vanilla network that reads with the same weights at every step, or with weights of each step's
//! own, and answers at every step.
//!
//! ```text
//! h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)      shared: one W_ih, W_hh, b for all steps
//!                                                        untied: those of step t
//! y_t = W_out h_t + b_out                                one W_out, b_out for all steps in both
//! ```
//!
//! Which of the two it is, [`Network::set`] decides and no other line: backward adds what a step says
//! to the gradient of the weights that the step used.

use std::sync::Arc;

use recurrent_cells::{
    Cell, CellSlots, Layout, Linear, Nonlinearity, PackedCell, PackedCellBackward, PackedLinear,
    Parameters, Rnn, Slot, StateRef, initialize,
};
use recurrent_kernels::norm::add_row_sums;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Accum, Columns, Compute, Matrix, Operand, gemm};

/// The cell has no c.
const NO_C: &[f64] = &[];

/// Whether steps share their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// One set for all steps.
    Shared,
    /// A set for each step.
    Untied,
}

/// A cell, and where its weights lie.
pub(crate) struct Network {
    cell: Rnn,
    steps: usize,
    /// One set, or one for each step.
    sets: Vec<CellSlots>,
    readout: Linear,
    layout: Arc<Layout>,
}

/// What forward leaves for backward, one block of B columns for each step.
pub(crate) struct Taped {
    tape: Vec<Matrix<f64>>,
    /// After each step; before the first one h is zero, and `h[0]`.
    h: Vec<Matrix<f64>>,
}

impl Network {
    /// A network that reads `input_size` numbers at each of `steps` steps and scores `classes`.
    pub(crate) fn new(
        weights: Weights,
        steps: usize,
        input_size: usize,
        hidden_size: usize,
        classes: usize,
    ) -> Network {
        let cell = Rnn::new(input_size, hidden_size, Nonlinearity::Tanh);
        let shape = cell.shape();
        let mut layout = Layout::new();
        let sets = match weights {
            Weights::Shared => vec![CellSlots::add(&mut layout, shape, "", "")],
            Weights::Untied => {
                let of_step = |t| CellSlots::add(&mut layout, shape, "", &format!("_step{t}"));
                (0..steps).map(of_step).collect()
            }
        };
        let readout = Linear::add(&mut layout, "readout", hidden_size, classes);
        Network { cell, steps, sets, readout, layout: Arc::new(layout) }
    }

    /// The weights of step t.
    pub(crate) fn set(&self, t: usize) -> &CellSlots {
        &self.sets[t % self.sets.len()]
    }

    /// Fresh values, the same at every step: with one seed both kinds of network begin as one function.
    pub(crate) fn initialize(&self, seed: u64) -> Parameters<f64> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        for set in &self.sets {
            let mut generator = Generator::new(seed, 0);
            initialize::recurrent(&mut generator, &mut parameters, &self.cell, set);
        }
        initialize::linear(&mut Generator::new(seed, 1), &mut parameters, &self.readout);
        parameters
    }

    /// Gradients of an untied network, in the shape of those of the `shared` one: what its steps say
    /// to their own weights is added up, and the readout is shared in both.
    pub(crate) fn sum_over_steps(
        &self,
        shared: &Network,
        gradients: &Parameters<f64>,
    ) -> Parameters<f64> {
        let mut sum = Parameters::zeros(Arc::clone(&shared.layout));
        let mut add = |to: Slot, from: Slot| {
            sum.get_mut(to).add(gradients.get(from));
        };
        for set in &self.sets {
            shared.sets[0].all().zip(set.all()).for_each(|(to, from)| add(to, from));
        }
        add(shared.readout.weight, self.readout.weight);
        add(shared.readout.bias, self.readout.bias);
        sum
    }

    /// Reads `x`, a block of `input_size` x B for each step; fills `y`, a block of `classes` x B for
    /// each.
    pub(crate) fn forward(
        &self,
        compute: &Compute,
        parameters: &Parameters<f64>,
        x: &[Matrix<f64>],
        y: &mut [Matrix<f64>],
    ) -> Taped {
        let (batch, size) = (x[0].columns(), self.readout.weight.columns());
        let mut taped = Taped { tape: vec![], h: vec![Matrix::zeros(size, batch)] };
        for (t, x) in x.iter().enumerate() {
            let mut packed = PackedCell::new(&self.cell);
            packed.pack(compute, self.set(t), parameters);
            packed.pack_input(compute, self.set(t), parameters);
            let (mut tape, mut h) = (Matrix::zeros(size, batch), Matrix::zeros(size, batch));
            packed.input_product(compute, tape.as_mut(), x.as_ref());
            let (before, mut c) = (state(&taped.h[t]), Matrix::zeros(0, batch));
            packed.forward(compute, &self.cell, tape.as_mut(), before, h.as_mut(), c.as_mut());
            taped.tape.push(tape);
            taped.h.push(h);
        }
        let mut packed = PackedLinear::default();
        packed.pack(compute, &self.readout, parameters);
        for (h, y) in taped.h[1..].iter().zip(y) {
            packed.forward(compute, h.as_ref(), y.as_mut());
        }
        taped
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients, from those of `y`.
    pub(crate) fn backward(
        &self,
        compute: &Compute,
        parameters: &Parameters<f64>,
        x: &[Matrix<f64>],
        taped: Taped,
        d_y: &[Matrix<f64>],
        gradients: &mut Parameters<f64>,
    ) {
        let Taped { mut tape, h } = taped;
        let (batch, size) = (x[0].columns(), self.readout.weight.columns());
        let mut d_h = Matrix::zeros(size, batch);
        for t in (0..self.steps).rev() {
            // d_h holds W_hh^T d_a_{t+1}; to it comes dL_t/dh_t.
            let (after, d_y) = (h[t + 1].as_ref(), d_y[t].as_ref());
            self.readout.backward(compute, parameters, after, d_y, gradients, d_h.as_mut());
            let mut packed = PackedCellBackward::new(&self.cell);
            packed.pack(compute, self.set(t), parameters);
            let (mut d_h_before, [mut d_c, mut d_inner]) =
                (Matrix::zeros(size, batch), [(); 2].map(|()| Matrix::zeros(0, batch)));
            packed.backward(
                compute,
                &self.cell,
                tape[t].as_mut(),
                state(&h[t]),
                state(&h[t + 1]),
                d_h.as_ref(),
                d_c.as_mut(),
                d_h_before.as_mut(),
                d_inner.as_mut(),
            );
            // The tape has become d_a_t. What it says goes to the weights that step t used:
            //   d_W_ih += d_a_t x_t^T      d_W_hh += d_a_t h_{t-1}^T      d_b += d_a_t
            let d_a = tape[t].as_ref();
            for (slot, read) in [(self.set(t).weight_ih, &x[t]), (self.set(t).weight_hh, &h[t])] {
                let (left, right) = (Operand::Plain(d_a), Operand::Transposed(read.as_ref()));
                gemm(compute, gradients.get_mut(slot), Accum::Add, left, right);
            }
            for slot in [self.set(t).bias_ih, self.set(t).bias_hh].into_iter().flatten() {
                add_row_sums(compute, d_a, gradients.slice_mut(slot));
            }
            d_h = d_h_before;
        }
    }
}

fn state(h: &Matrix<f64>) -> StateRef<'_, f64> {
    StateRef { h: h.as_ref(), c: Columns::new(NO_C, 0, h.columns()) }
}
