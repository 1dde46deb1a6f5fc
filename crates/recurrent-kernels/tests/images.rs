//! Unfolding, folding and max pooling against loops straight from their definitions.

#[path = "support/refusals.rs"]
mod refusals;

use proptest::prelude::*;
use recurrent_kernels::convolution::{fold, unfold};
use recurrent_kernels::pooling::{max_pool, max_pool_backward};
use recurrent_kernels::{Columns, Compute, ImageSize, Level, Matrix};
use refusals::{refuses_others, said};

/// Small whole numbers, whose sums are exact in any order, with many ties.
fn numbers(rows: usize, columns: usize, seed: usize) -> Matrix<f64> {
    Matrix::from_fn(rows, columns, |r, j| {
        ((seed + r * 31 + j * 17) * 7919 % 10_007 % 7) as f64 - 3.0
    })
}

/// Images of one shape in a block.
struct Case {
    size: ImageSize,
    count: usize,
    channels: usize,
}

impl Case {
    fn images(&self, seed: usize) -> Matrix<f64> {
        numbers(self.channels, self.count * self.size.pixels(), seed)
    }

    /// A number of an image; 0 outside.
    fn pixel(&self, images: Columns<'_, f64>, image: usize, c: usize, y: isize, x: isize) -> f64 {
        let ImageSize { height, width } = self.size;
        match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < height && x < width => {
                images.column((image * height + y) * width + x)[c]
            }
            _ => 0.0,
        }
    }

    /// The pixels of all images: image, row, column.
    fn pixels(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let ImageSize { height, width } = self.size;
        (0..self.count * height * width)
            .map(move |j| (j / (height * width), j / width % height, j % width))
    }
}

/// Every shape at the edge: images of one pixel, kernels and windows larger than the image, odd
/// sizes, no images, no channels.
fn cases() -> impl Iterator<Item = Case> {
    let sizes = [(1, 1), (1, 4), (5, 1), (2, 2), (3, 7), (6, 5), (8, 8), (0, 3)];
    sizes.into_iter().flat_map(|(height, width)| {
        [(1, 1), (3, 2), (2, 17), (0, 3), (2, 0)].map(|(count, channels)| Case {
            size: ImageSize { height, width },
            count,
            channels,
        })
    })
}

fn computes() -> Vec<Compute> {
    let threads = [1, 2, 3].map(|threads| Compute::new(threads).unwrap());
    let with = |level: Level| threads.clone().map(|compute| compute.with_level(level));
    Level::available().into_iter().flat_map(with).collect()
}

#[test]
fn a_patch_is_what_the_kernel_sees() {
    for case in cases() {
        let images = case.images(3);
        for k in [1, 3, 5, 9] {
            let mut patches = numbers(k * k * case.channels, images.columns(), 5);
            let (compute, into) = (Compute::sequential(), patches.as_mut());
            unfold(&compute, case.size, k, images.as_ref(), into);
            let mut seen = Vec::new();
            for (image, y, x) in case.pixels() {
                for row in 0..k * k * case.channels {
                    let (place, c) = (row / case.channels, row % case.channels);
                    let (y, x) = ((y + place / k) as isize, (x + place % k) as isize);
                    let radius = (k / 2) as isize;
                    seen.push(case.pixel(images.as_ref(), image, c, y - radius, x - radius));
                }
            }
            assert_eq!(patches.as_slice(), seen, "{:?}, kernel {k}", case.size);
        }
    }
}

/// `<unfold(x), p> = <x, fold(p)>` for every x and p, and what was there before stays.
#[test]
fn folding_is_the_adjoint_of_unfolding() {
    let compute = Compute::sequential();
    let dot = |a: &Matrix<f64>, b: &Matrix<f64>| -> f64 {
        a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| a * b).sum()
    };
    for case in cases() {
        let images = case.images(3);
        for k in [1, 3, 5, 9] {
            let patches = numbers(k * k * case.channels, images.columns(), 5);
            let mut unfolded = Matrix::zeros(patches.rows(), patches.columns());
            unfold(&compute, case.size, k, images.as_ref(), unfolded.as_mut());
            let before = case.images(7);
            let mut folded = before.clone();
            fold(&compute, case.size, k, patches.as_ref(), folded.as_mut());
            let gained = dot(&images, &folded) - dot(&images, &before);
            assert_eq!(dot(&unfolded, &patches), gained, "{:?}, kernel {k}", case.size);
        }
    }
}

#[test]
fn pooling_finds_the_first_of_the_largest() {
    let compute = Compute::sequential();
    for case in cases() {
        let images = case.images(3);
        for window in [1, 2, 3] {
            let small = case.size.pooled(window);
            let count = case.size.images(images.columns()).unwrap();
            let mut pooled = numbers(case.channels, count * small.pixels(), 5);
            let mut places = vec![99; case.channels * pooled.columns()];
            max_pool(&compute, case.size, window, images.as_ref(), pooled.as_mut(), &mut places);
            let before = case.images(7);
            let (mut d_images, mut expected) = (before.clone(), before);
            let d_pooled = numbers(case.channels, pooled.columns(), 11);
            let whole = Case { size: small, count, ..case };
            for (j, (image, y, x)) in whole.pixels().enumerate() {
                for c in 0..case.channels {
                    let of = |place: usize| {
                        let (y, x) = (y * window + place / window, x * window + place % window);
                        (image * case.size.height + y) * case.size.width + x
                    };
                    let value = |place: usize| images.as_ref().column(of(place))[c];
                    let all = 0..window * window;
                    let largest = all.clone().map(value).fold(f64::NEG_INFINITY, f64::max);
                    let first = all.clone().position(|place| value(place) == largest).unwrap();
                    assert_eq!(pooled.as_ref().column(j)[c], largest);
                    assert_eq!(places[j * case.channels + c] as usize, first);
                    expected.as_mut().column(of(first))[c] += d_pooled.as_ref().column(j)[c];
                }
            }
            let (d_pooled, into) = (d_pooled.as_ref(), d_images.as_mut());
            max_pool_backward(&compute, case.size, window, &places, d_pooled, into);
            assert_eq!(d_images, expected, "{:?}, window {window}", case.size);
        }
    }
}

#[test]
fn nan_passes_and_the_first_one_is_remembered() {
    let nan = f32::NAN;
    for (window, place) in [
        ([nan, 1.0, 2.0, 3.0], 0),
        ([1.0, 2.0, nan, 3.0], 2),
        ([1.0, nan, nan, 3.0], 1),
        ([f32::INFINITY, 1.0, 2.0, nan], 3),
    ] {
        for compute in computes() {
            let (mut pooled, mut places) = (Matrix::zeros(1, 1), [9]);
            let size = ImageSize { height: 2, width: 2 };
            let image = Columns::new(&window, 1, 4);
            max_pool(&compute, size, 2, image, pooled.as_mut(), &mut places);
            assert!(pooled.as_slice()[0].is_nan(), "{window:?}");
            assert_eq!(places, [place], "{window:?}");
        }
    }
    let (mut pooled, mut places) = (Matrix::zeros(1, 1), [9]);
    let lowest = Matrix::from_columns(vec![f32::NEG_INFINITY; 4], 1, 4);
    let size = ImageSize { height: 2, width: 2 };
    max_pool(&computes()[0], size, 2, lowest.as_ref(), pooled.as_mut(), &mut places);
    assert_eq!((pooled.as_slice()[0], places), (f32::NEG_INFINITY, [0]));
}

/// Large enough for every thread to get images, with numbers whose sums round.
#[test]
fn bits_depend_on_neither_level_nor_threads() {
    let (size, count, channels, k) = (ImageSize { height: 23, width: 31 }, 7, 19, 3);
    let noise = |rows: usize, columns: usize| {
        Matrix::from_fn(rows, columns, |r, j| ((r * 7919 + j * 104_729) % 10_007) as f32 / 10_007.0)
    };
    let images = noise(channels, count * size.pixels());
    let d_patches = noise(k * k * channels, images.columns());
    let small = size.pooled(2);
    let d_pooled = noise(channels, count * small.pixels());
    let run = |compute: &Compute| {
        let mut patches = Matrix::zeros(d_patches.rows(), d_patches.columns());
        unfold(compute, size, k, images.as_ref(), patches.as_mut());
        let mut d_images = images.clone();
        fold(compute, size, k, d_patches.as_ref(), d_images.as_mut());
        let mut pooled = Matrix::zeros(channels, d_pooled.columns());
        let mut places = vec![0; channels * d_pooled.columns()];
        max_pool(compute, size, 2, images.as_ref(), pooled.as_mut(), &mut places);
        let into = d_images.as_mut();
        max_pool_backward(compute, size, 2, &places, d_pooled.as_ref(), into);
        (patches, d_images, pooled, places)
    };
    let mut computes = computes().into_iter();
    let expected = run(&computes.next().unwrap());
    for compute in computes {
        let (level, threads) = (compute.level(), compute.threads());
        assert!(run(&compute) == expected, "{level:?}, {threads} threads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A convolution by its definition is the product of its weights with patches.
    #[test]
    fn a_product_with_patches_is_a_convolution(
        height in 1usize..6, width in 1usize..6, channels in 1usize..4, k in 0usize..3, seed in 0usize..999
    ) {
        let k = 2 * k + 1;
        let case = Case { size: ImageSize { height, width }, count: 2, channels };
        let images = case.images(seed);
        let mut patches = Matrix::zeros(k * k * channels, images.columns());
        unfold(&Compute::sequential(), case.size, k, images.as_ref(), patches.as_mut());
        let kernel = numbers(k * k * channels, 1, seed + 1);
        for (j, (image, y, x)) in case.pixels().enumerate() {
            let product: f64 = kernel.as_slice().iter().zip(patches.as_ref().column(j))
                .map(|(weight, pixel)| weight * pixel).sum();
            let mut convolved = 0.0;
            for c in 0..channels {
                for dy in 0..k {
                    for dx in 0..k {
                        let weight = kernel.as_slice()[(dy * k + dx) * channels + c];
                        let (y, x) = ((y + dy) as isize, (x + dx) as isize);
                        let radius = (k / 2) as isize;
                        let pixel = case.pixel(images.as_ref(), image, c, y - radius, x - radius);
                        convolved += weight * pixel;
                    }
                }
            }
            prop_assert_eq!(product, convolved);
        }
    }
}

fn refuse(size: ImageSize, kernel_size: usize, images: Columns<'_, f32>, rows: usize) {
    let mut patches = Matrix::zeros(rows, images.columns());
    unfold(&Compute::sequential(), size, kernel_size, images, patches.as_mut());
}

#[test]
#[should_panic(expected = "the kernel must be odd")]
fn even_kernels_are_refused() {
    refuse(ImageSize { height: 2, width: 2 }, 2, Columns::new(&[0.0; 4], 1, 4), 4);
}

#[test]
#[should_panic(expected = "images of 2 x 2 pixels in a block of 1 rows x 6 columns")]
fn half_an_image_is_refused() {
    refuse(ImageSize { height: 2, width: 2 }, 1, Columns::new(&[0.0; 6], 1, 6), 1);
}

#[test]
#[should_panic(expected = "neither block may have gaps")]
fn gaps_are_refused() {
    let images = Columns::with_stride(&[0.0; 8], 1, 4, 2);
    refuse(ImageSize { height: 2, width: 2 }, 1, images, 1);
}

#[test]
#[should_panic(expected = "are not pooled")]
fn sizes_that_wrap_are_refused() {
    const HALF: usize = 1 << (usize::BITS / 2);
    let (mut pooled, size) = (Matrix::zeros(1, 0), ImageSize { height: HALF, width: HALF });
    let none = Columns::<f32>::new(&[], 1, 0);
    max_pool(&Compute::sequential(), size, 2, none, pooled.as_mut(), &mut []);
}

/// One image of 2 x 2 pixels with 2 channels: a patch has 18 numbers, one window covers it all.
#[test]
fn every_size_has_to_fit() {
    let (compute, size) = (Compute::sequential(), ImageSize { height: 2, width: 2 });
    let block = Matrix::<f32>::zeros;
    let sizes = [2, 4, 18, 4];
    refuses_others(sizes, &["have no patches"], |[channels, pixels, rows, columns]| {
        let (images, mut patches) = (block(channels, pixels), block(rows, columns));
        unfold(&compute, size, 3, images.as_ref(), patches.as_mut());
    });
    refuses_others(sizes, &["have no patches"], |[channels, pixels, rows, columns]| {
        let (mut images, patches) = (block(channels, pixels), block(rows, columns));
        fold(&compute, size, 3, patches.as_ref(), images.as_mut());
    });
    let sizes = [2, 4, 2, 1, 2];
    let words = ["are not pooled"];
    refuses_others(sizes, &words, |[channels, pixels, rows, columns, places]| {
        let (images, mut pooled) = (block(channels, pixels), block(rows, columns));
        max_pool(&compute, size, 2, images.as_ref(), pooled.as_mut(), &mut vec![0; places]);
    });
    refuses_others(sizes, &words, |[channels, pixels, rows, columns, places]| {
        let (mut d_images, d_pooled) = (block(channels, pixels), block(rows, columns));
        let (d_images, d_pooled) = (d_images.as_mut(), d_pooled.as_ref());
        max_pool_backward(&compute, size, 2, &vec![0; places], d_pooled, d_images);
    });
    let none = said(|| {
        let (images, mut pooled) = (block(2, 4), block(2, 1));
        max_pool(&compute, size, 0, images.as_ref(), pooled.as_mut(), &mut [0; 2]);
    });
    assert!(none.contains("by windows of 0 x 0"), "{none}");
    let outside = said(|| {
        let (mut d_images, d_pooled) = (block(2, 4), block(2, 1));
        max_pool_backward(&compute, size, 2, &[3, 4], d_pooled.as_ref(), d_images.as_mut());
    });
    assert!(outside.contains("place 4 is in no window"), "{outside}");
}
