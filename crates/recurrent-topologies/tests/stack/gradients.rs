//! Backpropagation through time against central differences, in f64: the gradients of every
//! parameter, of every input, of h_0 and c_0.

use proptest::prelude::*;
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::gradient::assert_gradient;
use recurrent_topologies::{Input, InputGradient, Noise, State, Tape};

use crate::case::{Case, Shape, fill, flat, shapes};

/// A loss that depends on every output and on the final state: their products with fixed numbers.
struct Weighting {
    output: Matrix<f64>,
    state: State<f64>,
}

impl Weighting {
    fn new(case: &mut Case<f64>) -> Self {
        let hidden_size = case.initial.layers.last().unwrap().h.rows();
        let mut output = Matrix::zeros(hidden_size, case.lengths.columns());
        fill(&mut case.generator, output.as_mut_slice(), 1.0);
        let mut state = case.initial.clone();
        state.visit_mut(|_, data| fill(&mut case.generator, data, 1.0));
        Weighting { output, state }
    }
}

const NOISE: Option<Noise> = Some(Noise { seed: 5, first_step: 1 << 30 });

fn loss(case: &Case<f64>, weighting: &Weighting) -> f64 {
    let compute = Compute::sequential();
    let (mut tape, input) = (Tape::new(), Input::Columns(case.x.as_ref()));
    let recorded = case.stack.run(
        &compute,
        &case.parameters,
        input,
        &case.initial,
        &case.lengths,
        NOISE,
        &mut tape,
    );
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let output = dot(recorded.output().as_slice(), weighting.output.as_slice());
    let mut state = case.initial.clone();
    recorded.final_state(&mut state);
    output + dot(&flat(&state), &flat(&weighting.state))
}

fn check(shape: &Shape) {
    let mut case = shape.build::<f64>();
    let weighting = Weighting::new(&mut case);
    let compute = Compute::sequential();

    let mut tape = Tape::new();
    let input = Input::Columns(case.x.as_ref());
    let Case { stack, parameters, lengths, initial, .. } = &case;
    let recorded = stack.run(&compute, parameters, input, initial, lengths, NOISE, &mut tape);
    let mut turned = recorded.turn();
    turned.output_and_gradient().1.copy_from(weighting.output.as_ref());
    turned.add_final_state_gradient(&weighting.state);
    let mut gradients = parameters.zeros_like();
    let mut d_x = Matrix::zeros(case.x.rows(), case.x.columns());
    let input = InputGradient::Columns { x: case.x.as_ref(), d_x: Some(d_x.as_mut()) };
    let reversed = stack.run_backward(turned, &compute, parameters, input, &mut gradients, &());
    let d_initial = reversed.initial_state_gradient();

    // The gaps between parameters take part: they must have no effect and no gradient.
    let mut point = case.parameters.as_slice().to_vec();
    assert_gradient("parameters", &mut point, gradients.as_slice(), |point| {
        case.parameters.as_mut_slice().copy_from_slice(point);
        loss(&case, &weighting)
    });
    case.parameters.as_mut_slice().copy_from_slice(&point);

    let mut point = case.x.as_slice().to_vec();
    assert_gradient("x", &mut point, d_x.as_slice(), |point| {
        case.x.as_mut_slice().copy_from_slice(point);
        loss(&case, &weighting)
    });
    case.x.as_mut_slice().copy_from_slice(&point);

    let mut point = flat(&case.initial);
    assert_gradient("initial state", &mut point, &flat(&d_initial), |point| {
        let mut rest = point;
        case.initial.visit_mut(|_, data| {
            let (own, others) = rest.split_at(data.len());
            data.copy_from_slice(own);
            rest = others;
        });
        loss(&case, &weighting)
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_gradient_agrees_with_central_differences(shape in shapes(4, 4)) {
        check(&shape);
    }
}
