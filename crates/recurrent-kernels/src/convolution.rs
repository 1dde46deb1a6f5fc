//! Convolution as one product: images unfolded into patches, and patches folded back.
//!
//! The patch of a pixel is what a kernel sees around it: `kernel_size * kernel_size` pixels with
//! all their channels, in one column. With weights of `out_channels` rows, `weight * patches` is
//! the convolution at every pixel of every image. This is "im2col" (Chellapilla, Puri and Simard
//! 2006, "High performance convolutional neural networks for document processing"), and its
//! adjoint "col2im". Stride 1; pixels outside the image are zeros, so an output has the size of
//! its image ("same" padding).
//!
//! ```text
//! patches[(dy k + dx) channels + c, (y, x)] = image[c, (y + dy - k/2, x + dx - k/2)]
//! ```
//! Channels run fastest, as they do in the image: what a row of the kernel covers is one run of
//! neighbouring numbers in the image and in the patch.

use std::ops::Range;

use crate::image::{Images, without_gaps, without_gaps_mut};
use crate::{Columns, ColumnsMut, Compute, ImageSize, Real, Vectorized};

#[cold]
#[track_caller]
fn bad_shapes(
    size: ImageSize,
    kernel_size: usize,
    images: (usize, usize, usize),
    patches: (usize, usize, usize),
) -> ! {
    panic!(
        "images of {} x {} pixels in a block of {} rows x {} columns (stride {}) have no patches \
         of {kernel_size} x {kernel_size} in one of {} rows x {} columns (stride {}); the kernel \
         must be odd, neither block may have gaps",
        size.height, size.width, images.0, images.1, images.2, patches.0, patches.1, patches.2
    );
}

/// Writes the patches of all pixels of all images: `kernel_size * kernel_size * channels` rows.
/// `images` is channels x (images * height * width), `patches` has as many columns.
///
/// # Panics
/// If the shapes do not fit, a block has gaps between its columns, or `kernel_size` is even.
#[track_caller]
pub fn unfold<T: Real>(
    compute: &Compute,
    size: ImageSize,
    kernel_size: usize,
    images: Columns<'_, T>,
    patches: ColumnsMut<'_, T>,
) {
    let shape = (images.rows(), images.columns(), images.stride());
    let patches_shape = (patches.rows(), patches.columns(), patches.stride());
    let (Some((kernel, count)), Some(images), Some(patches)) = (
        Kernel::new(size, kernel_size, shape, patches_shape),
        without_gaps(images),
        without_gaps_mut(patches),
    ) else {
        bad_shapes(size, kernel_size, shape, patches_shape)
    };
    let patches = Images::new(patches, count);
    let least = patches.least();
    compute.split((patches, 0..count), least, &|(patches, range): (Images<'_, T>, _)| {
        for (patches, image) in patches.each().zip(kernel.each_image(images, range)) {
            kernel.unfold(image, patches);
        }
    });
}

/// The adjoint of [`unfold`]: adds each number of each patch to the pixel it was taken from. The
/// gradient of images from that of their patches.
///
/// A pixel takes its terms in the order of patches.
///
/// # Panics
/// As [`unfold`].
#[track_caller]
pub fn fold<T: Real>(
    compute: &Compute,
    size: ImageSize,
    kernel_size: usize,
    patches: Columns<'_, T>,
    images: ColumnsMut<'_, T>,
) {
    let shape = (images.rows(), images.columns(), images.stride());
    let patches_shape = (patches.rows(), patches.columns(), patches.stride());
    let (Some((kernel, count)), Some(patches), Some(images)) = (
        Kernel::new(size, kernel_size, shape, patches_shape),
        without_gaps(patches),
        without_gaps_mut(images),
    ) else {
        bad_shapes(size, kernel_size, shape, patches_shape)
    };
    let images = Images::new(images, count);
    let least = images.least().div_ceil(kernel_size * kernel_size);
    let level = compute.level();
    compute.split((images, 0..count), least, &|(images, range): (Images<'_, T>, _)| {
        level.run(Fold { kernel, images, range, patches });
    });
}

/// A kernel that is moved over images: what it covers around each pixel.
#[derive(Clone, Copy)]
struct Kernel {
    size: ImageSize,
    channels: usize,
    kernel_size: usize,
}

/// Where a row of the kernel lies: the first of `length` numbers in the image and in the patch.
struct Run {
    image: usize,
    patch: usize,
    length: usize,
}

impl Kernel {
    /// The kernel and the number of images; None if patches of the second shape do not belong to
    /// images of the first.
    fn new(
        size: ImageSize,
        kernel_size: usize,
        (channels, columns, _): (usize, usize, usize),
        (rows, patches, _): (usize, usize, usize),
    ) -> Option<(Kernel, usize)> {
        let count = size.images(columns)?;
        let odd = !kernel_size.is_multiple_of(2);
        let fits = kernel_size.checked_mul(kernel_size)?.checked_mul(channels)? == rows;
        let kernel = Kernel { size, channels, kernel_size };
        (odd && fits && columns == patches).then_some((kernel, count))
    }

    /// Numbers of a patch.
    #[inline(always)]
    fn patch(&self) -> usize {
        self.kernel_size * self.kernel_size * self.channels
    }

    /// The part of a side of the kernel around `at` that lies inside `0..side`.
    #[inline(always)]
    fn inside(&self, at: usize, side: usize) -> Range<usize> {
        let radius = self.kernel_size / 2;
        radius.saturating_sub(at)..self.kernel_size.min(side + radius - at)
    }

    /// Row `dy` of the kernel around the pixel in row `y` and column `x`, as far as its columns
    /// `inside` lie in the image.
    #[inline(always)]
    fn run(&self, (y, x): (usize, usize), dy: usize, inside: &Range<usize>) -> Run {
        let radius = self.kernel_size / 2;
        let pixel = (y + dy - radius) * self.size.width + (x + inside.start - radius);
        Run {
            image: pixel * self.channels,
            patch: (dy * self.kernel_size + inside.start) * self.channels,
            length: inside.len() * self.channels,
        }
    }

    /// The numbers of the images in `range`.
    fn each_image<'a, T>(
        &self,
        images: &'a [T],
        range: Range<usize>,
    ) -> impl Iterator<Item = &'a [T]> {
        let length = self.size.pixels() * self.channels;
        range.map(move |image| &images[image * length..(image + 1) * length])
    }

    fn unfold<T: Real>(&self, image: &[T], patches: &mut [T]) {
        let ImageSize { height, width } = self.size;
        let mut patches = patches.chunks_exact_mut(self.patch().max(1));
        for y in 0..height {
            let rows = self.inside(y, height);
            for (x, patch) in (0..width).zip(&mut patches) {
                let columns = self.inside(x, width);
                if rows.len().min(columns.len()) < self.kernel_size {
                    patch.fill(T::ZERO);
                }
                for dy in rows.clone() {
                    let run = self.run((y, x), dy, &columns);
                    patch[run.patch..run.patch + run.length]
                        .copy_from_slice(&image[run.image..run.image + run.length]);
                }
            }
        }
    }

    #[inline(always)]
    fn fold<T: Real>(&self, patches: &[T], image: &mut [T]) {
        let ImageSize { height, width } = self.size;
        let length = self.patch();
        for y in 0..height {
            let rows = self.inside(y, height);
            for x in 0..width {
                let columns = self.inside(x, width);
                let patch = &patches[(y * width + x) * length..][..length];
                for dy in rows.start..rows.end {
                    let run = self.run((y, x), dy, &columns);
                    let terms = &patch[run.patch..run.patch + run.length];
                    let sums = &mut image[run.image..run.image + run.length];
                    for k in 0..terms.len() {
                        sums[k] += terms[k];
                    }
                }
            }
        }
    }
}

/// [`fold`] for the images in `range`.
struct Fold<'a, T> {
    kernel: Kernel,
    images: Images<'a, T>,
    range: Range<usize>,
    patches: &'a [T],
}

impl<T: Real> Vectorized for Fold<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Fold { kernel, images, range, patches } = self;
        let length = kernel.size.pixels() * kernel.patch();
        for (image, first) in images.each().zip(range) {
            kernel.fold(&patches[first * length..(first + 1) * length], image);
        }
    }
}
