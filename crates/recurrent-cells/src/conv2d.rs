//! A convolution over images: `y = W patches(x) + b`.

use recurrent_kernels::convolution::{fold, unfold};
use recurrent_kernels::norm::add_row_sums;
use recurrent_kernels::{
    Accum, Columns, ColumnsMut, Compute, ImageSize, Matrix, Operand, Real, gemm,
};

use crate::{Form, Layout, Linear, PackedLinear, Parameters, Slot};

/// Where the parameters of a convolution lie: PyTorch's `nn.Conv2d` with an odd square kernel,
/// stride 1 and as many zeros around the image as keep its size (`padding="same"`).
///
/// Images are blocks of channels x (images * height * width): a pixel is a column, rows of pixels
/// and images follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// `out_channels` x (`kernel_size` * `kernel_size` * `in_channels`). Column
    /// `(dy * kernel_size + dx) * in_channels + c` is PyTorch's `weight[:, c, dy, dx]`; PyTorch's
    /// matrix for it is `weight.permute(0, 2, 3, 1).reshape(out_channels, -1)`.
    pub weight: Slot,
    /// `out_channels`.
    pub bias: Slot,
    kernel_size: usize,
}

/// A convolution's parameters, packed for forward.
pub struct PackedConv2d<T> {
    linear: PackedLinear<T>,
    kernel_size: usize,
}

impl<T: Real> Default for PackedConv2d<T> {
    fn default() -> Self {
        PackedConv2d { linear: PackedLinear::default(), kernel_size: 1 }
    }
}

impl Conv2d {
    /// Adds `{name}.weight` and `{name}.bias` to a layout.
    ///
    /// # Panics
    /// If `kernel_size` is even.
    #[track_caller]
    pub fn add(
        layout: &mut Layout,
        name: &str,
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
    ) -> Self {
        let odd = !kernel_size.is_multiple_of(2);
        assert!(odd, "a kernel of {kernel_size} x {kernel_size} pixels has no middle");
        let patch = kernel_size * kernel_size * in_channels;
        Conv2d {
            weight: layout.add(format!("{name}.weight"), Form::Matrix, out_channels, patch),
            bias: layout.add(format!("{name}.bias"), Form::Vector, out_channels, 1),
            kernel_size,
        }
    }

    /// Height and width of the kernel, in pixels.
    pub fn kernel_size(&self) -> usize {
        self.kernel_size
    }

    /// The map from a patch to a pixel of the output.
    pub(crate) fn linear(&self) -> Linear {
        Linear { weight: self.weight, bias: self.bias }
    }

    /// Undoes [`PackedConv2d::forward`]: adds to the gradients of weight and bias, and to that of x
    /// if it is wanted. The patches that forward left become their own gradient then.
    ///
    /// ```text
    /// d_x += fold(d_patches)      d_patches = W^T d_y      d_W += d_y patches^T
    /// d_b += sum over columns of d_y
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        size: ImageSize,
        patches: &mut Matrix<T>,
        d_y: Columns<'_, T>,
        gradients: &mut Parameters<T>,
        d_x: Option<ColumnsMut<'_, T>>,
    ) {
        add_row_sums(compute, d_y, gradients.slice_mut(self.bias));
        let d_weight = gradients.get_mut(self.weight);
        let right = Operand::Transposed(patches.as_ref());
        gemm(compute, d_weight, Accum::Add, Operand::Plain(d_y), right);
        let Some(d_x) = d_x else { return };
        let weight = Operand::Transposed(parameters.get(self.weight));
        gemm(compute, patches.as_mut(), Accum::Replace, weight, Operand::Plain(d_y));
        fold(compute, size, self.kernel_size, patches.as_ref(), d_x);
    }
}

impl<T: Real> PackedConv2d<T> {
    /// Packs the parameters of `conv`.
    pub fn pack(&mut self, compute: &Compute, conv: &Conv2d, parameters: &Parameters<T>) {
        self.linear.pack(compute, &conv.linear(), parameters);
        self.kernel_size = conv.kernel_size;
    }

    /// `y = b + W patches(x)` for images of `size`: x is in_channels x (images * pixels), y
    /// out_channels x as many. The patches stay in `patches`, for backward. An image's bits do not
    /// depend on the others.
    ///
    /// # Panics
    /// If the shapes do not fit, or there are gaps between the columns of x.
    #[track_caller]
    pub fn forward(
        &self,
        compute: &Compute,
        size: ImageSize,
        x: Columns<'_, T>,
        patches: &mut Matrix<T>,
        y: ColumnsMut<'_, T>,
    ) {
        patches.resize(self.kernel_size * self.kernel_size * x.rows(), x.columns());
        unfold(compute, size, self.kernel_size, x, patches.as_mut());
        self.linear.forward(compute, patches.as_ref(), y);
    }
}
