//! The image encoder against loops straight from its definition, its gradients, and independence of
//! threads, levels and neighbours.

use std::sync::Arc;

use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, Level, Matrix, Real};
use recurrent_testkit::gradient::{Comparison, MOST_SKIPPED, compare_gradient};
use recurrent_topologies::{ConfigError, ImageEncoder, ImageEncoderConfig, ImageEncoderTape};

fn config(size: [usize; 3], convolutions: &[usize], normalize: bool) -> ImageEncoderConfig {
    let [height, width, channels] = size;
    let convolutions = convolutions.to_vec();
    ImageEncoderConfig { height, width, channels, convolutions, output_size: 5, normalize }
}

/// Odd and even sizes, one to three convolutions, with and without normalisation.
fn configs() -> [ImageEncoderConfig; 4] {
    [
        config([2, 2, 1], &[1], false),
        config([5, 4, 3], &[4], true),
        config([7, 6, 2], &[3, 4], false),
        config([9, 11, 3], &[2, 3, 4], true),
    ]
}

/// An encoder with fresh parameters.
fn encoder<T: Real>(config: &ImageEncoderConfig, seed: u64) -> (ImageEncoder, Parameters<T>) {
    let mut layout = Layout::new();
    let encoder = ImageEncoder::add(&mut layout, "image.", config).unwrap();
    let mut parameters = Parameters::zeros(Arc::new(layout));
    encoder.initialize(&mut Generator::new(seed, 0), &mut parameters);
    (encoder, parameters)
}

fn images<T: Real>(config: &ImageEncoderConfig, batch: usize, seed: u64) -> Matrix<T> {
    let mut generator = Generator::new(seed, 1);
    let columns = batch * config.size().pixels();
    Matrix::from_fn(config.channels, columns, |_, _| generator.uniform_between(-T::ONE, T::ONE))
}

fn forward<T: Real>(
    compute: &Compute,
    encoder: &ImageEncoder,
    parameters: &Parameters<T>,
    images: Columns<'_, T>,
) -> Vec<T> {
    let mut tape = ImageEncoderTape::default();
    encoder.forward(compute, parameters, images, &mut tape).as_slice().to_vec()
}

fn named<'p>(parameters: &'p Parameters<f64>, name: &str) -> Columns<'p, f64> {
    let entries = parameters.layout().entries();
    parameters.get(entries.iter().find(|entry| entry.name == name).expect(name).slot)
}

/// The features of one image, given as `image[c][y][x]`, in the order of the books: convolution,
/// relu, pooling.
fn by_definition(
    config: &ImageEncoderConfig,
    parameters: &Parameters<f64>,
    mut image: Vec<Vec<Vec<f64>>>,
) -> Vec<f64> {
    let (mut height, mut width) = (config.height, config.width);
    for (k, &channels) in config.convolutions.iter().enumerate() {
        let weight = named(parameters, &format!("image.convolutions.{k}.weight"));
        let bias = named(parameters, &format!("image.convolutions.{k}.bias")).as_slice();
        let convolved = |o: usize, y: usize, x: usize| {
            let mut sum = bias[o];
            for (c, plane) in image.iter().enumerate() {
                for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
                    if (1..=height).contains(&(y + dy)) && (1..=width).contains(&(x + dx)) {
                        let column = (dy * 3 + dx) * image.len() + c;
                        sum += weight.column(column)[o] * plane[y + dy - 1][x + dx - 1];
                    }
                }
            }
            sum.max(0.0)
        };
        let largest = |o: usize, y: usize, x: usize| {
            let window = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let values = window.map(|(dy, dx)| convolved(o, 2 * y + dy, 2 * x + dx));
            values.into_iter().fold(f64::NEG_INFINITY, f64::max)
        };
        let row = |o, y| (0..width / 2).map(|x| largest(o, y, x)).collect();
        let plane = |o| (0..height / 2).map(|y| row(o, y)).collect();
        let pooled = (0..channels).map(plane).collect();
        (image, height, width) = (pooled, height / 2, width / 2);
    }
    let weight = named(parameters, "image.linear.weight");
    let mut features = named(parameters, "image.linear.bias").as_slice().to_vec();
    for (c, plane) in image.iter().enumerate() {
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let column = weight.column((y * width + x) * image.len() + c);
            features.iter_mut().zip(column).for_each(|(f, w)| *f += w * plane[y][x]);
        }
    }
    if config.normalize {
        let count = features.len() as f64;
        let mean = features.iter().sum::<f64>() / count;
        let variance = features.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / count;
        let gain = named(parameters, "image.norm.weight").as_slice();
        let bias = named(parameters, "image.norm.bias").as_slice();
        for (r, f) in features.iter_mut().enumerate() {
            *f = gain[r] * (*f - mean) / (variance + 1e-5).sqrt() + bias[r];
        }
    }
    features
}

#[test]
fn features_are_those_of_the_definition() {
    for config in configs() {
        let (encoder, parameters) = encoder::<f64>(&config, 3);
        let images = images::<f64>(&config, 3, 5);
        let features = forward(&Compute::sequential(), &encoder, &parameters, images.as_ref());
        for (number, features) in features.chunks_exact(5).enumerate() {
            let pixel = |y: usize, x: usize| (number * config.height + y) * config.width + x;
            let of = |c, y, x| images.as_ref().column(pixel(y, x))[c];
            let row = |c, y| (0..config.width).map(|x| of(c, y, x)).collect();
            let plane = |c| (0..config.height).map(|y| row(c, y)).collect();
            let image = (0..config.channels).map(plane).collect();
            let expected = by_definition(&config, &parameters, image);
            for (feature, expected) in features.iter().zip(&expected) {
                assert!((feature - expected).abs() < 1e-12, "{feature}, {expected}: {config:?}");
            }
        }
    }
}

#[test]
fn gradients_agree() {
    let compute = Compute::sequential();
    let mut all = Comparison::default();
    for (config, seed) in configs().iter().flat_map(|config| (0..4).map(move |s| (config, s))) {
        let (encoder, mut parameters) = encoder::<f64>(config, seed);
        let images = images::<f64>(config, 2, seed);
        let mut generator = Generator::new(seed, 2);
        let d_features = Matrix::from_fn(5, 2, |_, _| generator.uniform_between(-1.0, 1.0));
        let mut tape = ImageEncoderTape::default();
        let mut gradients = parameters.zeros_like();
        // Twice: a tape is used again, and gradients add up.
        for _ in 0..2 {
            encoder.forward(&compute, &parameters, images.as_ref(), &mut tape);
            let d = d_features.as_ref();
            encoder.backward(&compute, &parameters, &mut tape, d, &mut gradients);
        }
        let halves: Vec<f64> = gradients.as_slice().iter().map(|g| g / 2.0).collect();
        let mut point = parameters.as_slice().to_vec();
        all.add(compare_gradient("parameters", &mut point, &halves, |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            let features = forward(&compute, &encoder, &parameters, images.as_ref());
            features.iter().zip(d_features.as_slice()).map(|(f, d)| f * d).sum()
        }));
    }
    assert!(all.worst <= 1.0, "{} ({:.1} times the tolerance)", all.place, all.worst);
    let share = all.skipped as f64 / all.pairs as f64;
    assert!(share < MOST_SKIPPED, "{} of {} skipped", all.skipped, all.pairs);
}

/// Large enough for the threads to divide every pass, in f32, where every other order shows.
#[test]
fn bits_depend_on_neither_level_nor_threads() {
    let config = config([34, 31, 3], &[8, 16, 24], true);
    let (encoder, parameters) = encoder::<f32>(&config, 3);
    let images = images::<f32>(&config, 24, 5);
    let d_features = Matrix::from_fn(5, 24, |r, j| ((r * 7 + j * 3) % 13) as f32 * 0.1 - 0.6);
    let run = |compute: &Compute| {
        let (mut tape, mut gradients) = (ImageEncoderTape::default(), parameters.zeros_like());
        let features = encoder.forward(compute, &parameters, images.as_ref(), &mut tape);
        let features = features.as_slice().to_vec();
        let d = d_features.as_ref();
        encoder.backward(compute, &parameters, &mut tape, d, &mut gradients);
        (features, gradients)
    };
    let expected = run(&Compute::sequential().with_level(Level::SCALAR));
    assert!(expected.1.as_slice().iter().any(|&g| g != 0.0));
    for level in Level::available() {
        for threads in [1, 2, 3] {
            let compute = Compute::new(threads).unwrap().with_level(level);
            assert!(run(&compute) == expected, "{level:?}, {threads} threads");
        }
    }
}

#[test]
fn an_image_does_not_know_its_neighbours() {
    for config in configs() {
        let (encoder, parameters) = encoder::<f32>(&config, 3);
        let images = images::<f32>(&config, 7, 5);
        let compute = Compute::sequential();
        let together = forward(&compute, &encoder, &parameters, images.as_ref());
        let pixels = config.size().pixels();
        for image in 0..7 {
            let one = images.as_ref().columns_range(image * pixels..(image + 1) * pixels);
            let alone = forward(&compute, &encoder, &parameters, one);
            assert_eq!(alone, together[image * 5..(image + 1) * 5], "image {image}: {config:?}");
        }
    }
}

/// What a larger batch left in the buffers does not show.
#[test]
fn a_tape_is_used_again_for_other_batches() {
    let config = config([9, 11, 3], &[2, 3], true);
    let (encoder, parameters) = encoder::<f32>(&config, 3);
    let compute = Compute::sequential();
    let run = |tape: &mut ImageEncoderTape<f32>, batch: usize| {
        let images = images::<f32>(&config, batch, 5);
        let features = encoder.forward(&compute, &parameters, images.as_ref(), tape);
        let d_features = Matrix::from_columns(features.as_slice().to_vec(), 5, batch);
        let mut gradients = parameters.zeros_like();
        encoder.backward(&compute, &parameters, tape, d_features.as_ref(), &mut gradients);
        (d_features, gradients)
    };
    let mut tape = ImageEncoderTape::default();
    for batch in [6, 1, 0, 4] {
        let fresh = run(&mut ImageEncoderTape::default(), batch);
        assert!(run(&mut tape, batch) == fresh, "{batch} images");
    }
}

#[test]
fn parameters_have_names() {
    let (_, parameters) = encoder::<f32>(&config([9, 11, 3], &[2, 4], true), 1);
    let lines: Vec<_> = parameters
        .layout()
        .entries()
        .iter()
        .map(|entry| format!("{} {:?}", entry.name, entry.pytorch_shape()))
        .collect();
    assert_eq!(
        lines,
        [
            "image.convolutions.0.weight [2, 27]",
            "image.convolutions.0.bias [2]",
            "image.convolutions.1.weight [4, 18]",
            "image.convolutions.1.bias [4]",
            "image.linear.weight [5, 16]",
            "image.linear.bias [5]",
            "image.norm.weight [5]",
            "image.norm.bias [5]",
        ]
    );
}

#[test]
fn what_cannot_be_built_is_refused_with_a_reason() {
    let good = config([8, 9, 3], &[2, 3, 4], true);
    let change = |f: &dyn Fn(&mut ImageEncoderConfig)| {
        let mut config = good.clone();
        f(&mut config);
        let mut layout = Layout::new();
        let error = ImageEncoder::add(&mut layout, "", &config).unwrap_err();
        assert_eq!(layout, Layout::new(), "something was added before {error}");
        error
    };
    assert!(ImageEncoder::add(&mut Layout::new(), "", &good).is_ok());
    for (text, error) in [
        ("image height must be at least 1", change(&|c| c.height = 0)),
        ("image width must be at least 1", change(&|c| c.width = 0)),
        ("number of an image's channels must be at least 1", change(&|c| c.channels = 0)),
        ("number of convolutions must be at least 1", change(&|c| c.convolutions.clear())),
        (
            "number of a convolution's channels must be at least 1",
            change(&|c| c.convolutions[1] = 0),
        ),
        ("number of an image's features must be at least 1", change(&|c| c.output_size = 0)),
        (
            "images of 7 x 9 pixels are too small for 3 convolutions, each of which halves them: \
             take at most 2, or larger images",
            change(&|c| c.height = 7),
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let (huge, most) = (1 << 40, usize::MAX);
    assert_eq!(change(&|c| c.convolutions[2] = huge), ConfigError::TooLarge);
    assert_eq!(change(&|c| (c.height, c.width) = (most, most)), ConfigError::TooLarge);
    assert_eq!(change(&|c| c.channels = most), ConfigError::TooLarge);
    assert_eq!(change(&|c| c.output_size = most), ConfigError::TooLarge);
}

#[test]
#[should_panic(expected = "holds no images of 3 channels x 5 x 4 pixels")]
fn half_an_image_is_refused() {
    let (encoder, parameters) = encoder::<f32>(&config([5, 4, 3], &[4], true), 1);
    forward(&Compute::sequential(), &encoder, &parameters, Matrix::zeros(3, 30).as_ref());
}

#[test]
#[should_panic(expected = "every backward pass needs a forward pass of its own")]
fn a_tape_is_undone_once() {
    let config = config([5, 4, 3], &[4], true);
    let (encoder, parameters) = encoder::<f32>(&config, 1);
    let (compute, mut tape) = (Compute::sequential(), ImageEncoderTape::default());
    let (images, d_features) = (images::<f32>(&config, 2, 1), Matrix::zeros(5, 2));
    encoder.forward(&compute, &parameters, images.as_ref(), &mut tape);
    let mut gradients = parameters.zeros_like();
    for _ in 0..2 {
        let d = d_features.as_ref();
        encoder.backward(&compute, &parameters, &mut tape, d, &mut gradients);
    }
}
