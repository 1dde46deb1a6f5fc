//! Convolution and layer normalisation: their definitions, gradients, and independence of threads,
//! levels and neighbours.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{
    Conv2d, LayerNorm, LayerNormTape, Layout, PackedConv2d, Parameters, initialize,
};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, ImageSize, Level, Matrix, Real};
use recurrent_testkit::gradient::assert_gradient;

fn numbers<T: Real>(generator: &mut Generator, rows: usize, columns: usize) -> Matrix<T> {
    Matrix::from_fn(rows, columns, |_, _| generator.uniform_between(-T::ONE, T::ONE))
}

fn dot(a: &Matrix<f64>, b: &Matrix<f64>) -> f64 {
    a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| a * b).sum()
}

fn computes() -> Vec<Compute> {
    let threads = [1, 2, 3].map(|threads| Compute::new(threads).unwrap());
    let with = |level: Level| threads.clone().map(|compute| compute.with_level(level));
    Level::available().into_iter().flat_map(with).collect()
}

/// A convolution whose bias is not what it begins with.
fn convolution<T: Real>(
    generator: &mut Generator,
    channels: [usize; 2],
    kernel_size: usize,
) -> (Conv2d, Parameters<T>) {
    let mut layout = Layout::new();
    let conv = Conv2d::add(&mut layout, "conv", channels[0], channels[1], kernel_size);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    initialize::conv2d(generator, &mut parameters, &conv);
    initialize::uniform(generator, &mut parameters, conv.bias, 2.0);
    (conv, parameters)
}

fn convolve<T: Real>(
    compute: &Compute,
    conv: &Conv2d,
    parameters: &Parameters<T>,
    size: ImageSize,
    x: &Matrix<T>,
) -> (Matrix<T>, Matrix<T>) {
    let mut packed = PackedConv2d::default();
    packed.pack(compute, conv, parameters);
    let mut patches = Matrix::zeros(0, 0);
    let mut y = Matrix::zeros(conv.weight.rows(), x.columns());
    packed.forward(compute, size, x.as_ref(), &mut patches, y.as_mut());
    (y, patches)
}

/// A layer normalisation whose gain and bias are not what they begin with.
fn normalization<T: Real>(generator: &mut Generator, size: usize) -> (LayerNorm, Parameters<T>) {
    let mut layout = Layout::new();
    let norm = LayerNorm::add(&mut layout, "norm", size);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    for slot in [norm.weight, norm.bias] {
        initialize::uniform(generator, &mut parameters, slot, 2.0);
    }
    (norm, parameters)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// `y[o, p] = b[o] + sum over c, dy, dx of weight[o, c, dy, dx] x[c, p + (dy, dx) - k / 2]`, with
    /// PyTorch's order of the weight.
    #[test]
    fn a_convolution_is_its_definition(
        height in 1usize..6, width in 1usize..6, inner in 1usize..4, outer in 1usize..4,
        radius in 0usize..3, seed: u64
    ) {
        let mut generator = Generator::new(seed, 0);
        let k = 2 * radius + 1;
        let (conv, parameters) = convolution::<f64>(&mut generator, [inner, outer], k);
        let x = numbers(&mut generator, inner, 2 * height * width);
        let (weight, bias) = (parameters.get(conv.weight), parameters.slice(conv.bias));
        let pytorch = |o: usize, c: usize, dy: usize, dx: usize| {
            weight.column((dy * k + dx) * inner + c)[o]
        };
        let size = ImageSize { height, width };
        let (y, _) = convolve(&Compute::sequential(), &conv, &parameters, size, &x);
        for (j, o) in (0..x.columns()).flat_map(|j| (0..outer).map(move |o| (j, o))) {
            let (image, row, column) = (j / (height * width), j / width % height, j % width);
            let mut expected = bias[o];
            for (dy, dx) in (0..k).flat_map(|dy| (0..k).map(move |dx| (dy, dx))) {
                let (row, column) = (row + dy, column + dx);
                let inside = (radius..radius + height).contains(&row)
                    && (radius..radius + width).contains(&column);
                if inside {
                    let pixel = (image * height + row - radius) * width + column - radius;
                    for c in 0..inner {
                        expected += pytorch(o, c, dy, dx) * x.as_ref().column(pixel)[c];
                    }
                }
            }
            prop_assert!((y.as_ref().column(j)[o] - expected).abs() < 1e-13);
        }
    }

    #[test]
    fn convolution_gradients_agree(
        height in 1usize..5, width in 1usize..5, inner in 1usize..4, outer in 1usize..4,
        radius in 0usize..3, seed: u64
    ) {
        let mut generator = Generator::new(seed, 0);
        let (conv, mut parameters) =
            convolution::<f64>(&mut generator, [inner, outer], 2 * radius + 1);
        let (size, compute) = (ImageSize { height, width }, Compute::sequential());
        let mut x = numbers(&mut generator, inner, 2 * height * width);
        let d_y = numbers(&mut generator, outer, x.columns());
        let loss = |parameters: &Parameters<f64>, x: &Matrix<f64>| {
            dot(&convolve(&compute, &conv, parameters, size, x).0, &d_y)
        };
        let (_, mut patches) = convolve(&compute, &conv, &parameters, size, &x);
        // Gradients add to what is there.
        let mut gradients = parameters.zeros_like();
        gradients.slice_mut(conv.weight)[0] = 3.0;
        let mut d_x = Matrix::from_fn(inner, x.columns(), |_, _| 5.0);
        let into = Some(d_x.as_mut());
        conv.backward(&compute, &parameters, size, &mut patches, d_y.as_ref(), &mut gradients, into);
        gradients.slice_mut(conv.weight)[0] -= 3.0;
        d_x.as_mut_slice().iter_mut().for_each(|d| *d -= 5.0);
        let mut point = x.as_slice().to_vec();
        assert_gradient("x", &mut point, d_x.as_slice(), |point| {
            x.as_mut_slice().copy_from_slice(point);
            loss(&parameters, &x)
        });
        x.as_mut_slice().copy_from_slice(&point);
        let mut point = parameters.as_slice().to_vec();
        assert_gradient("parameters", &mut point, gradients.as_slice(), |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            loss(&parameters, &x)
        });
    }

    #[test]
    fn layer_norm_gradients_agree(rows in 1usize..9, columns in 1usize..6, seed: u64) {
        let mut generator = Generator::new(seed, 0);
        let (norm, mut parameters) = normalization::<f64>(&mut generator, rows);
        let compute = Compute::sequential();
        // Rows apart: nearly equal numbers are scaled up, and their third derivative by the cube.
        let mut x = Matrix::from_fn(rows, columns, |r, _| {
            r as f64 + generator.uniform_between(-0.3, 0.3)
        });
        let d_y = numbers(&mut generator, rows, columns);
        let run = |parameters: &Parameters<f64>, x: &Matrix<f64>| {
            let (mut tape, mut y) = (LayerNormTape::default(), Matrix::zeros(rows, columns));
            norm.forward(&compute, parameters, x.as_ref(), &mut tape, y.as_mut());
            (dot(&y, &d_y), tape)
        };
        let (_, tape) = run(&parameters, &x);
        let mut gradients = parameters.zeros_like();
        let mut d_x = Matrix::from_fn(rows, columns, |_, _| 5.0);
        let d = d_y.as_ref();
        norm.backward(&compute, &parameters, &tape, d, &mut gradients, d_x.as_mut());
        d_x.as_mut_slice().iter_mut().for_each(|d| *d -= 5.0);
        let mut point = x.as_slice().to_vec();
        assert_gradient("x", &mut point, d_x.as_slice(), |point| {
            x.as_mut_slice().copy_from_slice(point);
            run(&parameters, &x).0
        });
        x.as_mut_slice().copy_from_slice(&point);
        let mut point = parameters.as_slice().to_vec();
        assert_gradient("parameters", &mut point, gradients.as_slice(), |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            run(&parameters, &x).0
        });
    }
}

#[test]
fn a_normalized_column_has_mean_0_and_variance_1() {
    let mut generator = Generator::new(1, 0);
    let mut layout = Layout::new();
    let norm = LayerNorm::add(&mut layout, "norm", 50);
    let mut parameters = Parameters::<f32>::zeros(Arc::new(layout));
    initialize::layer_norm(&mut parameters, &norm);
    let mut x = numbers::<f32>(&mut generator, 50, 3);
    // Far from zero, where a variance from squares alone would be all rounding.
    x.as_mut().column(1).iter_mut().for_each(|x| *x += 1000.0);
    // Equal numbers have no variance to divide by.
    x.as_mut().column(2).fill(7.0);
    let (mut tape, mut y) = (LayerNormTape::default(), Matrix::zeros(50, 3));
    let compute = Compute::sequential();
    norm.forward(&compute, &parameters, x.as_ref(), &mut tape, y.as_mut());
    for j in 0..2 {
        let y: Vec<f64> = y.as_ref().column(j).iter().map(|&y| f64::from(y)).collect();
        let mean = y.iter().sum::<f64>() / 50.0;
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 50.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-4, "{mean}, {variance}");
    }
    assert_eq!(y.as_ref().column(2), [0.0; 50]);
}

/// Large enough to be divided, in f32, where every other order shows.
#[test]
fn bits_depend_on_neither_level_nor_threads() {
    let mut generator = Generator::new(1, 0);
    let (conv, parameters) = convolution::<f32>(&mut generator, [16, 24], 3);
    let (norm, norm_parameters) = normalization::<f32>(&mut generator, 24);
    let size = ImageSize { height: 17, width: 15 };
    let x = numbers(&mut generator, 16, 9 * size.pixels());
    let d_y = numbers::<f32>(&mut generator, 24, x.columns());
    let run = |compute: &Compute| {
        let (y, mut patches) = convolve(compute, &conv, &parameters, size, &x);
        let mut gradients = parameters.zeros_like();
        let (mut d_x, d) = (Matrix::zeros(16, x.columns()), d_y.as_ref());
        let into = Some(d_x.as_mut());
        conv.backward(compute, &parameters, size, &mut patches, d, &mut gradients, into);
        let (mut tape, mut z) = (LayerNormTape::default(), Matrix::zeros(24, y.columns()));
        norm.forward(compute, &norm_parameters, y.as_ref(), &mut tape, z.as_mut());
        let (mut norm_gradients, mut d_z) = (norm_parameters.zeros_like(), y.clone());
        let d_y = d_y.as_ref();
        norm.backward(compute, &norm_parameters, &tape, d_y, &mut norm_gradients, d_z.as_mut());
        (y, gradients, d_x, z, norm_gradients, d_z)
    };
    let mut computes = computes().into_iter();
    let expected = run(&computes.next().unwrap());
    for compute in computes {
        let (level, threads) = (compute.level(), compute.threads());
        assert!(run(&compute) == expected, "{level:?}, {threads} threads");
    }
}

#[test]
fn an_image_does_not_know_its_neighbours() {
    let mut generator = Generator::new(1, 0);
    let (conv, parameters) = convolution::<f32>(&mut generator, [3, 5], 3);
    let size = ImageSize { height: 5, width: 7 };
    let x = numbers(&mut generator, 3, 4 * size.pixels());
    let compute = Compute::sequential();
    let (together, _) = convolve(&compute, &conv, &parameters, size, &x);
    for image in 0..4 {
        let columns = image * size.pixels()..(image + 1) * size.pixels();
        let one = x.as_ref().columns_range(columns.clone()).as_slice().to_vec();
        let one = Matrix::from_columns(one, 3, size.pixels());
        let (alone, _) = convolve(&compute, &conv, &parameters, size, &one);
        assert_eq!(alone.as_slice(), together.as_ref().columns_range(columns).as_slice());
    }
}

#[test]
fn a_convolution_has_these_shapes_in_pytorch() {
    let (_, parameters) = convolution::<f64>(&mut Generator::new(1, 0), [8, 16], 3);
    let shapes: Vec<_> = parameters
        .layout()
        .entries()
        .iter()
        .map(|entry| format!("{} {:?}", entry.name, entry.pytorch_shape()))
        .collect();
    assert_eq!(shapes, ["conv.weight [16, 72]", "conv.bias [16]"]);
}

#[test]
#[should_panic(expected = "a kernel of 2 x 2 pixels has no middle")]
fn even_kernels_are_refused() {
    Conv2d::add(&mut Layout::new(), "conv", 3, 5, 2);
}

#[test]
#[should_panic(expected = "a layer normalisation of 3 rows cannot go forward")]
fn other_rows_are_refused() {
    let (norm, parameters) = normalization::<f32>(&mut Generator::new(1, 0), 3);
    let (x, mut y) = (Matrix::zeros(4, 2), Matrix::zeros(4, 2));
    let tape = &mut LayerNormTape::default();
    norm.forward(&Compute::sequential(), &parameters, x.as_ref(), tape, y.as_mut());
}

/// What passes a convolution and relu is as large, in the mean of squares, as what was read.
#[test]
fn fresh_convolutions_keep_what_passes_as_large_as_it_was() {
    let mut layout = Layout::new();
    let conv = Conv2d::add(&mut layout, "conv", 24, 48, 3);
    let mut parameters = Parameters::<f64>::zeros(Arc::new(layout));
    parameters.slice_mut(conv.bias).fill(1.0);
    let mut generator = Generator::new(3, 0);
    initialize::conv2d(&mut generator, &mut parameters, &conv);
    assert!(parameters.slice(conv.bias).iter().all(|&bias| bias == 0.0));
    // Pixels at the edge see zeros beyond it, so the image is large.
    let size = ImageSize { height: 40, width: 40 };
    let x = Matrix::from_fn(24, size.pixels(), |_, _| generator.normal::<f64>());
    let (y, _) = convolve(&Compute::sequential(), &conv, &parameters, size, &x);
    let squares = |values: &[f64]| values.iter().map(|x| x.max(0.0).powi(2)).sum::<f64>();
    let mean = squares(y.as_slice()) / y.as_slice().len() as f64;
    assert!((mean - 1.0).abs() < 0.1, "a mean square of {mean} after relu");
}
