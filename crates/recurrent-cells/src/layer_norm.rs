//! Layer normalisation: each column is shifted and scaled to mean 0 and variance 1.
//!
//! Ba, Kiros and Hinton 2016, "Layer normalization". Unlike batch normalisation it looks at one
//! column alone, so that no output depends on its neighbours in the batch.

use std::ops::Range;

use recurrent_kernels::norm::{add_row_products, add_row_sums};
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};

use crate::{Form, Layout, Parameters, Slot};

/// Added to the variance, so that a column of equal numbers can be divided by its root. PyTorch's
/// default.
const EPSILON: f64 = 1e-5;

/// A thread takes at least this many numbers, or starting it costs more than it saves.
const LEAST_NUMBERS: usize = 16 * 1024;

/// Where the parameters of a layer normalisation lie: PyTorch's `nn.LayerNorm` over the rows of a
/// column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerNorm {
    /// The gain: one number a row.
    pub weight: Slot,
    /// One number a row.
    pub bias: Slot,
}

/// What [`LayerNorm::forward`] leaves for backward.
pub struct LayerNormTape<T> {
    /// Every column at mean 0 and variance 1, before gain and bias.
    normalized: Matrix<T>,
    /// What every column was multiplied with: 1 over its standard deviation.
    scale: Vec<T>,
}

impl<T: Real> Default for LayerNormTape<T> {
    fn default() -> Self {
        LayerNormTape { normalized: Matrix::zeros(0, 0), scale: Vec::new() }
    }
}

#[cold]
#[track_caller]
fn bad_shapes(what: &str, rows: usize, blocks: &[(usize, usize)]) -> ! {
    panic!("a layer normalisation of {rows} rows cannot go {what} between blocks of {blocks:?}");
}

fn shape<T>(block: &Columns<'_, T>) -> (usize, usize) {
    (block.rows(), block.columns())
}

impl LayerNorm {
    /// Adds `{name}.weight` and `{name}.bias` to a layout.
    pub fn add(layout: &mut Layout, name: &str, size: usize) -> Self {
        LayerNorm {
            weight: layout.add(format!("{name}.weight"), Form::Vector, size, 1),
            bias: layout.add(format!("{name}.bias"), Form::Vector, size, 1),
        }
    }

    /// For each column, with means over its rows:
    ///
    /// ```text
    /// scale = 1 / sqrt(mean((x - mean(x))^2) + 1e-5)
    /// normalized = scale (x - mean(x))
    /// y = weight normalized + bias
    /// ```
    /// The means are sums in f64 from the first row to the last.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        x: Columns<'_, T>,
        tape: &mut LayerNormTape<T>,
        y: ColumnsMut<'_, T>,
    ) {
        let rows = self.weight.rows();
        if x.rows() != rows || shape(&x) != shape(&y.as_ref()) {
            bad_shapes("forward", rows, &[shape(&x), shape(&y.as_ref())]);
        }
        let (weight, bias) = (parameters.slice(self.weight), parameters.slice(self.bias));
        let LayerNormTape { normalized, scale } = tape;
        normalized.resize(rows, x.columns());
        scale.resize(x.columns(), T::ZERO);
        let pieces = (y, normalized.as_mut(), scale.as_mut_slice(), 0..x.columns());
        let least = LEAST_NUMBERS.div_ceil(rows.max(1));
        compute.split(pieces, least, &|(mut y, mut normalized, scale, range): Piece<'_, T>| {
            for (k, j) in range.enumerate() {
                let (x, normalized) = (x.column(j), normalized.column(k));
                scale[k] = normalize(x, normalized);
                let y = y.column(k);
                for r in 0..rows {
                    y[r] = weight[r].mul_add(normalized[r], bias[r]);
                }
            }
        });
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of gain, bias and x.
    ///
    /// ```text
    /// d_bias += sum over columns of d_y      d_weight += sum over columns of d_y normalized
    /// d_normalized = weight d_y
    /// d_x += scale (d_normalized - mean(d_normalized) - normalized mean(d_normalized normalized))
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &LayerNormTape<T>,
        d_y: Columns<'_, T>,
        gradients: &mut Parameters<T>,
        d_x: ColumnsMut<'_, T>,
    ) {
        let rows = self.weight.rows();
        let (normalized, weight) = (tape.normalized.as_ref(), parameters.slice(self.weight));
        let shapes = [shape(&normalized), shape(&d_y), shape(&d_x.as_ref())];
        if shapes != [(rows, d_y.columns()); 3] {
            bad_shapes("backward", rows, &shapes);
        }
        add_row_sums(compute, d_y, gradients.slice_mut(self.bias));
        add_row_products(compute, d_y, normalized, gradients.slice_mut(self.weight));
        let least = LEAST_NUMBERS.div_ceil(rows.max(1));
        let pieces = (d_x, 0..d_y.columns());
        compute.split(pieces, least, &|(mut d_x, range): (ColumnsMut<'_, T>, Range<usize>)| {
            for (k, j) in range.enumerate() {
                let (d_y, normalized, scale) = (d_y.column(j), normalized.column(j), tape.scale[j]);
                let d_x = d_x.column(k);
                normalize_backward((weight, normalized), d_y, |r, across| {
                    d_x[r] += scale * T::from_f64(across);
                });
            }
        });
    }
}

/// Columns of y, of what is kept, their scales and their numbers.
type Piece<'a, T> = (ColumnsMut<'a, T>, ColumnsMut<'a, T>, &'a mut [T], Range<usize>);

/// Writes a column at mean 0 and variance 1, and gives what it was multiplied with.
///
/// ```text
/// scale = 1 / sqrt(mean((x - mean(x))^2) + 1e-5)      normalized = scale (x - mean(x))
/// ```
/// Sums are in f64, from the first row to the last.
#[inline(always)]
pub(crate) fn normalize<T: Real>(x: &[T], normalized: &mut [T]) -> T {
    let mean = mean(x.iter().map(|x| x.to_f64()));
    let variance = self::mean(x.iter().map(|x| {
        let distance = x.to_f64() - mean;
        distance * distance
    }));
    let scale = 1.0 / (variance + EPSILON).sqrt();
    for (normalized, x) in normalized.iter_mut().zip(x) {
        *normalized = T::from_f64((x.to_f64() - mean) * scale);
    }
    T::from_f64(scale)
}

/// Undoes [`normalize`], from the gradient `d_y` of `gain normalized + ...`: calls `write` with each
/// row and what its `d_x = scale across` is made of.
///
/// ```text
/// d_normalized = gain d_y
/// across = d_normalized - mean(d_normalized) - normalized mean(d_normalized normalized)
/// ```
#[inline(always)]
pub(crate) fn normalize_backward<T: Real>(
    (gain, normalized): (&[T], &[T]),
    d_y: &[T],
    mut write: impl FnMut(usize, f64),
) {
    let d_normalized = |r: usize| gain[r].to_f64() * d_y[r].to_f64();
    let shift = mean((0..d_y.len()).map(d_normalized));
    let along = mean((0..d_y.len()).map(|r| d_normalized(r) * normalized[r].to_f64()));
    for r in 0..d_y.len() {
        write(r, d_normalized(r) - shift - normalized[r].to_f64() * along);
    }
}

/// The mean, summed from the first to the last.
#[inline(always)]
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
