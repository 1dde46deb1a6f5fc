//! Linear maps and embeddings: their gradients; and the names and shapes of parameters.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{
    Cell, CellKind, CellSlots, Embedding, Layout, Linear, Lstm, LstmOptions, PackedLinear,
    Parameters, initialize,
};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::gradient::assert_gradient;

fn numbers(generator: &mut Generator, rows: usize, columns: usize) -> Matrix<f64> {
    Matrix::from_fn(rows, columns, |_, _| generator.uniform_between(-1.0, 1.0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn linear_gradients_agree(rows in 1usize..6, inner in 1usize..6, columns in 1usize..6, seed: u64) {
        let mut generator = Generator::new(seed, 0);
        let mut layout = Layout::new();
        let linear = Linear::add(&mut layout, "linear", inner, rows);
        let mut parameters = Parameters::<f64>::zeros(Arc::new(layout));
        initialize::linear(&mut generator, &mut parameters, &linear);
        let mut x = numbers(&mut generator, inner, columns);
        let d_y = numbers(&mut generator, rows, columns);
        let compute = Compute::sequential();
        let loss = |parameters: &Parameters<f64>, x: &Matrix<f64>| {
            let (mut packed, mut y) = (PackedLinear::default(), Matrix::zeros(rows, columns));
            packed.pack(&compute, &linear, parameters);
            packed.forward(&compute, x.as_ref(), y.as_mut());
            y.as_slice().iter().zip(d_y.as_slice()).map(|(y, d)| y * d).sum::<f64>()
        };
        let mut gradients = parameters.zeros_like();
        let mut d_x = Matrix::zeros(inner, columns);
        let (x_now, d_y_now) = (x.as_ref(), d_y.as_ref());
        linear.backward(&compute, &parameters, x_now, d_y_now, &mut gradients, d_x.as_mut());
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
}

#[test]
fn an_embedding_adds_the_gradients_of_equal_tokens() {
    let mut layout = Layout::new();
    let embedding = Embedding::add(&mut layout, "embedding", 3, 2);
    let mut parameters = Parameters::<f32>::zeros(Arc::new(layout));
    parameters.slice_mut(embedding.weight).copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let mut x = Matrix::zeros(2, 3);
    embedding.forward(&parameters, &[2, 0, 2], x.as_mut());
    assert_eq!(x.as_slice(), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
    let mut gradients = parameters.zeros_like();
    embedding.backward(&[2, 0, 2], x.as_ref(), &mut gradients);
    assert_eq!(gradients.slice(embedding.weight), [0.0, 1.0, 0.0, 0.0, 8.0, 10.0]);
}

#[test]
fn parameter_names_and_shapes_are_pytorchs() {
    let mut layout = Layout::new();
    let cell = CellKind::Gru.build(5, 7);
    CellSlots::add(&mut layout, cell.shape(), "", "_l0");
    let options = LstmOptions { peephole: true, proj_size: Some(2), ..LstmOptions::default() };
    let cell = Lstm::with_options(5, 3, options);
    CellSlots::add(&mut layout, cell.shape(), "", "_l0_reverse");
    Embedding::add(&mut layout, "embedding", 11, 5);
    let lines: Vec<_> = layout
        .entries()
        .iter()
        .map(|entry| format!("{} {:?}", entry.name, entry.pytorch_shape()))
        .collect();
    assert_eq!(
        lines,
        [
            "weight_ih_l0 [21, 5]",
            "weight_hh_l0 [21, 7]",
            "bias_ih_l0 [21]",
            "bias_hh_l0 [21]",
            "weight_ih_l0_reverse [12, 5]",
            "weight_hh_l0_reverse [12, 2]",
            "bias_ih_l0_reverse [12]",
            "bias_hh_l0_reverse [12]",
            "weight_hr_l0_reverse [2, 3]",
            "weight_peephole_l0_reverse [9]",
            "embedding.weight [11, 5]",
        ]
    );
}
