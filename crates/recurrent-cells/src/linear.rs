//! A linear map with a bias: `y = W x + b`.

use recurrent_kernels::norm::add_row_sums;
use recurrent_kernels::{Accum, Columns, ColumnsMut, Compute, Operand, Packed, Real, gemm};

use crate::{Form, Layout, Parameters, Slot};

/// Where a linear map's parameters lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// `output_size` x `input_size`.
    pub weight: Slot,
    /// `output_size`.
    pub bias: Slot,
}

/// A linear map's parameters, packed for forward.
pub struct PackedLinear<T> {
    weight: Packed<T>,
    bias: Vec<T>,
}

impl<T: Real> Default for PackedLinear<T> {
    fn default() -> Self {
        PackedLinear { weight: Packed::new(), bias: Vec::new() }
    }
}

impl Linear {
    /// Adds `{name}.weight` and `{name}.bias` to a layout.
    pub fn add(layout: &mut Layout, name: &str, input_size: usize, output_size: usize) -> Self {
        Linear {
            weight: layout.add(format!("{name}.weight"), Form::Matrix, output_size, input_size),
            bias: layout.add(format!("{name}.bias"), Form::Vector, output_size, 1),
        }
    }

    /// Undoes [`PackedLinear::forward`]: adds to the gradients of weight, bias and x.
    ///
    /// ```text
    /// d_b += sum over columns of d_y      d_W += d_y x^T      d_x += W^T d_y
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        x: Columns<'_, T>,
        d_y: Columns<'_, T>,
        gradients: &mut Parameters<T>,
        d_x: ColumnsMut<'_, T>,
    ) {
        add_row_sums(compute, d_y, gradients.slice_mut(self.bias));
        let d_weight = gradients.get_mut(self.weight);
        gemm(compute, d_weight, Accum::Add, Operand::Plain(d_y), Operand::Transposed(x));
        let weight = Operand::Transposed(parameters.get(self.weight));
        gemm(compute, d_x, Accum::Add, weight, Operand::Plain(d_y));
    }
}

impl<T: Real> PackedLinear<T> {
    /// Packs the parameters of `linear`.
    pub fn pack(&mut self, compute: &Compute, linear: &Linear, parameters: &Parameters<T>) {
        let weight = parameters.get(linear.weight);
        self.weight.pack(compute, weight, std::slice::from_ref(&(0..weight.rows())));
        self.bias.clear();
        self.bias.extend_from_slice(parameters.slice(linear.bias));
    }

    /// `y = b + W x`, for any number of columns.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward(&self, compute: &Compute, x: Columns<'_, T>, mut y: ColumnsMut<'_, T>) {
        assert!(
            y.rows() == self.bias.len(),
            "a linear map to {} numbers cannot write {} rows x {} columns",
            self.bias.len(),
            y.rows(),
            y.columns()
        );
        for j in 0..y.columns() {
            y.column(j).copy_from_slice(&self.bias);
        }
        compute.product(y, Accum::Add, &self.weight, x);
    }
}
