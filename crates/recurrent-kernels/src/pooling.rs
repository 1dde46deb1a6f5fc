//! Max pooling: of each window of pixels the largest number, channel by channel.
//!
//! Windows are squares side by side (the stride is the window); what fills no whole window is left
//! out, as PyTorch's `MaxPool2d` does by default.

use std::ops::Range;

use crate::image::{Images, without_gaps, without_gaps_mut};
use crate::{Columns, ColumnsMut, Compute, ImageSize, Real, Vectorized};

#[cold]
#[track_caller]
fn bad_shapes(
    size: ImageSize,
    window: usize,
    images: (usize, usize, usize),
    pooled: (usize, usize, usize),
    places: usize,
) -> ! {
    panic!(
        "images of {} x {} pixels in a block of {} rows x {} columns (stride {}) are not pooled \
         by windows of {window} x {window} to one of {} rows x {} columns (stride {}) with \
         {places} places; neither block may have gaps",
        size.height, size.width, images.0, images.1, images.2, pooled.0, pooled.1, pooled.2
    );
}

/// Writes the largest number of each window into `pooled`, and into `places` where it was found:
/// the number of the pixel in its window, row after row. The first of equal numbers counts; NaN
/// counts as larger than all, so that it shows.
///
/// `images` is channels x (images * height * width), `pooled` channels x (images * height / window
/// * width / window), each quotient rounded down; `places` has a place for each number of it.
///
/// # Panics
/// If the shapes do not fit, a block has gaps between its columns, or `window` is 0.
#[track_caller]
pub fn max_pool<T: Real>(
    compute: &Compute,
    size: ImageSize,
    window: usize,
    images: Columns<'_, T>,
    pooled: ColumnsMut<'_, T>,
    places: &mut [u32],
) {
    let shape = (images.rows(), images.columns(), images.stride());
    let pooled_shape = (pooled.rows(), pooled.columns(), pooled.stride());
    let (Some((windows, count)), Some(images), Some(pooled)) = (
        Windows::new(size, window, shape, pooled_shape, places.len()),
        without_gaps(images),
        without_gaps_mut(pooled),
    ) else {
        bad_shapes(size, window, shape, pooled_shape, places.len())
    };
    let pooled = Images::new(pooled, count);
    let least = pooled.least().div_ceil(window * window);
    let level = compute.level();
    let pieces = (pooled, Images::new(places, count), 0..count);
    compute.split(pieces, least, &|(pooled, places, range): (_, _, Range<usize>)| {
        level.run(Pool { windows, images, pooled, places, range });
    });
}

/// Undoes [`max_pool`]: adds the gradient of each pooled number to that of the one it was.
///
/// # Panics
/// If the shapes do not fit, a block has gaps between its columns, `window` is 0, or a place lies
/// outside its window.
#[track_caller]
pub fn max_pool_backward<T: Real>(
    compute: &Compute,
    size: ImageSize,
    window: usize,
    places: &[u32],
    d_pooled: Columns<'_, T>,
    d_images: ColumnsMut<'_, T>,
) {
    let shape = (d_images.rows(), d_images.columns(), d_images.stride());
    let pooled_shape = (d_pooled.rows(), d_pooled.columns(), d_pooled.stride());
    let (Some((windows, count)), Some(d_pooled), Some(d_images)) = (
        Windows::new(size, window, shape, pooled_shape, places.len()),
        without_gaps(d_pooled),
        without_gaps_mut(d_images),
    ) else {
        bad_shapes(size, window, shape, pooled_shape, places.len())
    };
    let d_images = Images::new(d_images, count);
    let least = d_images.least();
    compute.split((d_images, 0..count), least, &|(d_images, range): (Images<'_, T>, _)| {
        let length = windows.pooled_length();
        for (d_image, image) in d_images.each().zip(range) {
            let numbers = image * length..(image + 1) * length;
            windows.pool_backward(&places[numbers.clone()], &d_pooled[numbers], d_image);
        }
    });
}

/// Windows side by side on images.
#[derive(Clone, Copy)]
struct Windows {
    size: ImageSize,
    channels: usize,
    window: usize,
}

impl Windows {
    /// The windows and the number of images; None if the shapes do not belong together.
    fn new(
        size: ImageSize,
        window: usize,
        (channels, columns, _): (usize, usize, usize),
        (pooled_channels, pooled, _): (usize, usize, usize),
        places: usize,
    ) -> Option<(Windows, usize)> {
        let count = size.images(columns)?;
        let fits = window > 0
            // A place is kept in 32 bits.
            && u32::try_from(window.checked_mul(window)?).is_ok()
            && (pooled_channels, pooled) == (channels, count * size.pooled(window).pixels())
            && places == channels * pooled;
        fits.then_some((Windows { size, channels, window }, count))
    }

    /// Numbers of an image.
    #[inline(always)]
    fn length(&self) -> usize {
        self.size.pixels() * self.channels
    }

    /// Numbers of a pooled image.
    #[inline(always)]
    fn pooled_length(&self) -> usize {
        self.size.pooled(self.window).pixels() * self.channels
    }

    /// Where in an image the pixel at `place` of the window in row `y` and column `x` begins.
    #[inline(always)]
    fn pixel(&self, (y, x): (usize, usize), place: usize) -> usize {
        let row = y * self.window + place / self.window;
        let column = x * self.window + place % self.window;
        (row * self.size.width + column) * self.channels
    }

    #[inline(always)]
    fn pool<T: Real>(&self, image: &[T], pooled: &mut [T], places: &mut [u32]) {
        let ImageSize { height, width } = self.size.pooled(self.window);
        for y in 0..height {
            for x in 0..width {
                let first = (y * width + x) * self.channels;
                let largest = &mut pooled[first..first + self.channels];
                let places = &mut places[first..first + self.channels];
                largest.copy_from_slice(&image[self.pixel((y, x), 0)..][..self.channels]);
                places.fill(0);
                for place in 1..self.window * self.window {
                    let pixel = &image[self.pixel((y, x), place)..][..self.channels];
                    for c in 0..self.channels {
                        let (new, old) = (pixel[c], largest[c]);
                        let wins = (new > old) | (new.is_nan() & !old.is_nan());
                        largest[c] = if wins { new } else { old };
                        places[c] = if wins { place as u32 } else { places[c] };
                    }
                }
            }
        }
    }

    fn pool_backward<T: Real>(&self, places: &[u32], d_pooled: &[T], d_image: &mut [T]) {
        let ImageSize { height, width } = self.size.pooled(self.window);
        for y in 0..height {
            for x in 0..width {
                let first = (y * width + x) * self.channels;
                for c in 0..self.channels {
                    let place = places[first + c] as usize;
                    assert!(place < self.window * self.window, "place {place} is in no window");
                    d_image[self.pixel((y, x), place) + c] += d_pooled[first + c];
                }
            }
        }
    }
}

/// [`max_pool`] for the images in `range`.
struct Pool<'a, T> {
    windows: Windows,
    images: &'a [T],
    pooled: Images<'a, T>,
    places: Images<'a, u32>,
    range: Range<usize>,
}

impl<T: Real> Vectorized for Pool<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Pool { windows, images, pooled, places, range } = self;
        let length = windows.length();
        for ((pooled, places), image) in pooled.each().zip(places.each()).zip(range) {
            let image = &images[image * length..(image + 1) * length];
            windows.pool(image, pooled, places);
        }
    }
}
