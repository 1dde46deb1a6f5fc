//! Two vectors become one: an image and a question about it.

use recurrent_cells::{Layout, Linear, PackedLinear, Parameters, initialize};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

/// How two vectors u and v of one size become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fusion {
    /// `u + v`. A linear map of the sum asks each vector on its own, so that a hidden layer is needed
    /// to ask both at once.
    Sum,
    /// `u v`, number by number: each vector says what counts of the other, and a linear map of the
    /// product asks both at once.
    Product,
    /// u above v: twice as many numbers.
    Concatenation,
}

impl Fusion {
    /// All of them.
    pub const ALL: [Fusion; 3] = [Fusion::Sum, Fusion::Product, Fusion::Concatenation];

    /// The name that configurations use.
    pub fn name(self) -> &'static str {
        match self {
            Fusion::Sum => "sum",
            Fusion::Product => "product",
            Fusion::Concatenation => "concatenation",
        }
    }
}

/// A fusion of two vectors, each of which goes through a linear map of its own if it has not the
/// size that is fused: `u = W_u a + b_u`, else `u = a`, and v of b alike.
#[derive(Clone, Copy, Debug)]
pub struct FusionLayer {
    fusion: Fusion,
    size: usize,
    input_sizes: [usize; 2],
    maps: [Option<Linear>; 2],
}

/// What a [`FusionLayer`] leaves for backward.
pub struct FusionTape<T> {
    packed: [PackedLinear<T>; 2],
    /// u and v: `size` x batch, both.
    mapped: [Matrix<T>; 2],
    d_mapped: Matrix<T>,
}

impl<T: Real> Default for FusionTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        FusionTape {
            packed: [PackedLinear::default(), PackedLinear::default()],
            mapped: [empty(), empty()],
            d_mapped: empty(),
        }
    }
}

impl FusionLayer {
    /// Adds the maps of two vectors with these names and sizes to a layout: `{name}.weight` and
    /// `{name}.bias` of each that has not `size` numbers.
    pub fn add(
        layout: &mut Layout,
        fusion: Fusion,
        inputs: [(&str, usize); 2],
        size: usize,
    ) -> Self {
        let maps = inputs.map(|(name, input_size)| {
            (input_size != size).then(|| Linear::add(layout, name, input_size, size))
        });
        FusionLayer { fusion, size, input_sizes: inputs.map(|(_, input_size)| input_size), maps }
    }

    /// Numbers in the fused vector: `size`, concatenated twice that.
    pub fn output_size(&self) -> usize {
        match self.fusion {
            Fusion::Sum | Fusion::Product => self.size,
            Fusion::Concatenation => 2 * self.size,
        }
    }

    /// Fresh parameters by PyTorch's default for linear maps.
    pub fn initialize<T: Real>(&self, generator: &mut Generator, parameters: &mut Parameters<T>) {
        for map in self.maps.iter().flatten() {
            initialize::linear(generator, parameters, map);
        }
    }

    /// Fuses column j of the first block with column j of the second into column j of `fused`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        inputs: [Columns<'_, T>; 2],
        mut fused: ColumnsMut<'_, T>,
        tape: &mut FusionTape<T>,
    ) {
        let batch = fused.columns();
        self.assert_shapes(inputs, fused.as_ref());
        for (k, input) in inputs.into_iter().enumerate() {
            tape.mapped[k].resize(self.size, batch);
            match &self.maps[k] {
                None => tape.mapped[k].as_mut().copy_from(input),
                Some(map) => {
                    tape.packed[k].pack(compute, map, parameters);
                    tape.packed[k].forward(compute, input, tape.mapped[k].as_mut());
                }
            }
        }
        for j in 0..batch {
            let [u, v] = [0, 1].map(|k| tape.mapped[k].as_ref().column(j));
            let fused = fused.column(j);
            match self.fusion {
                Fusion::Sum => combine(fused, u, v, |u, v| u + v),
                Fusion::Product => combine(fused, u, v, |u, v| u * v),
                Fusion::Concatenation => {
                    fused[..self.size].copy_from_slice(u);
                    fused[self.size..].copy_from_slice(v);
                }
            }
        }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters and of both
    /// inputs.
    ///
    /// ```text
    /// sum:            d_u = d_f             d_v = d_f
    /// product:        d_u = v d_f           d_v = u d_f
    /// concatenation:  d_u = d_f, above      d_v = d_f, below
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        inputs: [Columns<'_, T>; 2],
        d_fused: Columns<'_, T>,
        tape: &mut FusionTape<T>,
        gradients: &mut Parameters<T>,
        d_inputs: [ColumnsMut<'_, T>; 2],
    ) {
        self.assert_shapes(inputs, d_fused);
        let FusionTape { mapped, d_mapped, .. } = tape;
        d_mapped.resize(self.size, d_fused.columns());
        for (k, mut d_input) in d_inputs.into_iter().enumerate() {
            for j in 0..d_fused.columns() {
                let mut d_mapped = d_mapped.as_mut();
                let (target, d_fused) = (d_mapped.column(j), d_fused.column(j));
                match self.fusion {
                    Fusion::Sum => target.copy_from_slice(d_fused),
                    Fusion::Product => {
                        let other = mapped[1 - k].as_ref().column(j);
                        combine(target, other, d_fused, |other, d| other * d);
                    }
                    Fusion::Concatenation => {
                        target.copy_from_slice(&d_fused[k * self.size..(k + 1) * self.size]);
                    }
                }
            }
            let d_y = d_mapped.as_ref();
            match &self.maps[k] {
                None => d_input.add(d_y),
                Some(map) => {
                    map.backward(compute, parameters, inputs[k], d_y, gradients, d_input);
                }
            }
        }
    }

    #[track_caller]
    fn assert_shapes<T>(&self, inputs: [Columns<'_, T>; 2], fused: Columns<'_, T>) {
        let [a, b] = inputs;
        let sizes = self.input_sizes;
        assert!(
            [a.rows(), b.rows()] == sizes
                && fused.rows() == self.output_size()
                && a.columns() == fused.columns()
                && b.columns() == fused.columns(),
            "blocks of {} rows x {} columns and {} rows x {} columns cannot be fused into {} rows x \
             {} columns: {} and {} rows become {}, in equally many columns",
            a.rows(),
            a.columns(),
            b.rows(),
            b.columns(),
            fused.rows(),
            fused.columns(),
            sizes[0],
            sizes[1],
            self.output_size()
        );
    }
}

/// `target = f(a, b)`, number by number.
fn combine<T: Real>(target: &mut [T], a: &[T], b: &[T], f: impl Fn(T, T) -> T) {
    for ((target, &a), &b) in target.iter_mut().zip(a).zip(b) {
        *target = f(a, b);
    }
}
