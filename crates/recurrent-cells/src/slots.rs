//! Where a cell's parameters lie.

use recurrent_kernels::Real;

use crate::cell::{Biases, CellShape, Phase, RecurrentWeight, RowMap};
use crate::{CellPlan, Form, Layout, Parameters, Slot};

/// Where a cell's parameters lie: under the same names for every cell, PyTorch's where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSlots {
    /// From x: `weight_ih_rows` x `input_size`.
    pub weight_ih: Slot,
    /// From h: `weight_hh_rows` x `hidden_size`.
    pub weight_hh: Slot,
    /// `weight_ih_rows`, if there are biases.
    pub bias_ih: Option<Slot>,
    /// `weight_hh_rows`, if there are two biases.
    pub bias_hh: Option<Slot>,
    /// To h, in a cell that projects: `hidden_size` x `inner_size`.
    pub weight_hr: Option<Slot>,
    /// `peephole_size`, in a cell with peepholes.
    pub weight_peephole: Option<Slot>,
    /// `norm_size`, in a cell that normalises: gains, then shifts.
    pub weight_norm: Option<Slot>,
}

impl CellSlots {
    /// Adds a cell's parameters to a layout, `{prefix}weight_ih{suffix}` and so on; a suffix is
    /// `_l0` or `_l0_reverse`. A cell has only those that its shape asks for.
    pub fn add(layout: &mut Layout, shape: CellShape, prefix: &str, suffix: &str) -> Self {
        let mut add = |name: &str, form, rows, columns| {
            layout.add(format!("{prefix}{name}{suffix}"), form, rows, columns)
        };
        let CellShape { hidden_size, inner_size, biases, .. } = shape;
        CellSlots {
            weight_ih: add("weight_ih", Form::Matrix, shape.weight_ih_rows, shape.input_size),
            weight_hh: add("weight_hh", Form::Matrix, shape.weight_hh_rows, hidden_size),
            bias_ih: (biases != Biases::None)
                .then(|| add("bias_ih", Form::Vector, shape.weight_ih_rows, 1)),
            bias_hh: (biases == Biases::Two)
                .then(|| add("bias_hh", Form::Vector, shape.weight_hh_rows, 1)),
            weight_hr: shape
                .projects
                .then(|| add("weight_hr", Form::Matrix, hidden_size, inner_size)),
            weight_peephole: (shape.peephole_size > 0)
                .then(|| add("weight_peephole", Form::Vector, shape.peephole_size, 1)),
            weight_norm: (shape.norm_size > 0)
                .then(|| add("weight_norm", Form::Vector, shape.norm_size, 1)),
        }
    }

    /// Every slot there is, in the order of the layout.
    pub fn all(&self) -> impl Iterator<Item = Slot> {
        let CellSlots { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, .. } = *self;
        let vectors = [self.weight_peephole, self.weight_norm];
        let matrices = [Some(weight_ih), Some(weight_hh), bias_ih, bias_hh, weight_hr];
        matrices.into_iter().chain(vectors).flatten()
    }

    /// The weight of a phase.
    ///
    /// # Panics
    /// If the cell has no such weight.
    #[track_caller]
    pub fn recurrent_weight(&self, phase: &Phase) -> Slot {
        match phase.weight {
            RecurrentWeight::Hidden => self.weight_hh,
            RecurrentWeight::Projection => self.weight_hr.expect("a cell that projects has one"),
        }
    }

    /// Both biases by tape row, added where they meet: `bias_ih` along the input's rows, `bias_hh`
    /// along the recurrence's.
    pub fn merge_bias<T: Real>(
        &self,
        plan: &CellPlan,
        parameters: &Parameters<T>,
        bias: &mut Vec<T>,
    ) {
        bias.clear();
        bias.resize(plan.shape.tape_rows, T::ZERO);
        self.for_bias_rows(plan, |slot, map| {
            let source = &parameters.slice(slot)[map.weight.clone()];
            for (sum, &term) in bias[map.tape.clone()].iter_mut().zip(source) {
                *sum += term;
            }
        });
    }

    /// Undoes [`merge_bias`](Self::merge_bias): adds a gradient by tape row to both biases.
    pub fn merge_bias_backward<T: Real>(
        &self,
        plan: &CellPlan,
        d_bias: &[T],
        gradients: &mut Parameters<T>,
    ) {
        self.for_bias_rows(plan, |slot, map| {
            let target = &mut gradients.slice_mut(slot)[map.weight.clone()];
            for (sum, &term) in target.iter_mut().zip(&d_bias[map.tape.clone()]) {
                *sum += term;
            }
        });
    }

    fn for_bias_rows(&self, plan: &CellPlan, mut f: impl FnMut(Slot, &RowMap)) {
        for (bias, maps) in [self.bias_ih, self.bias_hh].into_iter().zip(&plan.bias_maps) {
            if let Some(bias) = bias {
                maps.iter().for_each(|map| f(bias, map));
            }
        }
    }
}
