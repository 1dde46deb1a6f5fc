//! How images lie in a block of columns, and how threads share them.
//!
//! A pixel is a column with a number for each channel; an image is `height * width` neighbouring
//! columns, row after row of pixels; images of a batch follow one another.

use crate::{Columns, ColumnsMut, Real, SplitColumns};

/// A thread takes at least this many numbers, or starting it costs more than it saves.
const LEAST_NUMBERS: usize = 32 * 1024;

/// Height and width of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

impl ImageSize {
    /// How many pixels an image has: its columns in a block.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// The size after pooling with windows of `window` x `window` pixels; what fills no whole
    /// window is left out.
    ///
    /// # Panics
    /// If `window` is 0.
    pub fn pooled(self, window: usize) -> ImageSize {
        ImageSize { height: self.height / window, width: self.width / window }
    }

    /// How many images a block of this many columns holds; None if it ends inside an image.
    pub fn images(self, columns: usize) -> Option<usize> {
        // Sizes that wrap round must not pass for small ones.
        match self.height.checked_mul(self.width)? {
            0 => (columns == 0).then_some(0),
            pixels => columns.is_multiple_of(pixels).then(|| columns / pixels),
        }
    }
}

/// What is written for each image, without gaps between images; cut between them.
pub(crate) struct Images<'a, N> {
    numbers: &'a mut [N],
    /// Numbers of an image.
    length: usize,
}

impl<'a, N: Send> Images<'a, N> {
    /// `numbers` of `count` images.
    pub(crate) fn new(numbers: &'a mut [N], count: usize) -> Self {
        let length = numbers.len().checked_div(count).unwrap_or(0);
        Images { numbers, length }
    }

    /// The numbers of each image.
    #[inline(always)]
    pub(crate) fn each(self) -> std::slice::ChunksExactMut<'a, N> {
        self.numbers.chunks_exact_mut(self.length.max(1))
    }

    /// The least number of images that is worth a thread.
    pub(crate) fn least(&self) -> usize {
        LEAST_NUMBERS.div_ceil(self.length.max(1))
    }
}

impl<N: Send> SplitColumns for Images<'_, N> {
    fn width(&self) -> usize {
        self.numbers.len().checked_div(self.length).unwrap_or(0)
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let (left, right) = self.numbers.split_at_mut(at * self.length);
        (Images { numbers: left, ..self }, Images { numbers: right, ..self })
    }
}

/// The numbers of a block, if there are no gaps between its columns.
pub(crate) fn without_gaps<'a, T>(block: Columns<'a, T>) -> Option<&'a [T]> {
    let whole = block.stride() == block.rows() || block.columns() <= 1;
    whole.then(|| &block.as_slice()[..block.rows() * block.columns()])
}

/// The numbers of a writable block, if there are no gaps between its columns.
pub(crate) fn without_gaps_mut<'a, T: Real>(block: ColumnsMut<'a, T>) -> Option<&'a mut [T]> {
    let (rows, columns) = (block.rows(), block.columns());
    let whole = block.stride() == rows || columns <= 1;
    whole.then(|| &mut block.into_slice()[..rows * columns])
}
