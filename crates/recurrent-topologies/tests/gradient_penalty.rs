//! The penalty of gradients against scalar loops over equation 9 of Pascanu, Mikolov, Bengio 2013, and
//! its gradient against central differences of it, with states and gradients held constant.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use recurrent_cells::{Nonlinearity, Parameters, Rnn};
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::case::{Case, Shape, fill, shapes};
use recurrent_testkit::gradient::compare_gradient;
use recurrent_topologies::{
    Direction, Directions, Input, InputGradient, Noise, Observation, Probe, Regularization, Tape,
};

const NOISE: Noise = Noise { seed: 5, first_step: 1 << 30 };
const WEIGHT: f64 = 0.7;

/// By layer, whether it reads in reverse, step and place: h and its gradient.
type Seen = BTreeMap<(usize, bool, usize, usize), (Vec<f64>, Vec<f64>)>;

#[derive(Default)]
struct Looker(Mutex<Seen>);

impl Probe<f64> for Looker {
    fn observe(&self, seen: Observation<'_, f64>) {
        let mut all = self.0.lock().unwrap();
        for (j, place) in seen.sequences.enumerate() {
            let columns = (seen.tape.column(j).to_vec(), seen.d_h.column(j).to_vec());
            let reverse = seen.direction == Direction::Reverse;
            all.insert((seen.layer, reverse, seen.t, place), columns);
        }
    }
}

/// Gradients of the parameters, what the penalty came to, and what was seen on the way.
fn backward(
    case: &Case<Rnn, f64>,
    d_output: &Matrix<f64>,
    compute: &Compute,
    noise: Option<Noise>,
) -> (Parameters<f64>, f64, Seen) {
    let Case { stack, parameters, lengths, x, initial, .. } = case;
    let (mut tape, looker) = (Tape::new(), Looker::default());
    let input = Input::Columns(x.as_ref());
    let recorded = stack.run(compute, parameters, input, initial, lengths, noise, &mut tape);
    let mut turned = recorded.turn();
    turned.output_and_gradient().1.copy_from(d_output.as_ref());
    let mut gradients = parameters.zeros_like();
    let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
    let reversed = stack.run_backward(turned, compute, parameters, input, &mut gradients, &looker);
    let penalty = reversed.gradient_penalty();
    (gradients, penalty, looker.0.into_inner().unwrap())
}

/// Equation 9 by scalar loops, for all cells of the stack.
fn omega(
    case: &Case<Rnn, f64>,
    shape: &Shape,
    parameters: &Parameters<f64>,
    seen: &Seen,
    slope: fn(f64) -> f64,
) -> f64 {
    let lengths = &case.lengths;
    let directions = shape.options.directions;
    let mut sum = 0.0;
    for (&(layer, reverse, t, place), (h, d_h)) in seen {
        let sequence = lengths.order()[place];
        let (border, before) = match reverse {
            false => (t, t.checked_sub(1)),
            true => (t + 1, (t + 1 < lengths.length(sequence)).then_some(t + 1)),
        };
        let Some(before) = before.filter(|_| !shape.resets.contains(&(sequence, border))) else {
            continue;
        };
        let at = match directions {
            Directions::Both => 2 * layer + usize::from(reverse),
            _ => layer,
        };
        let (_, slots) = case.stack.cells().nth(at).unwrap();
        let weight = parameters.get(slots.weight_hh);
        let d_a: Vec<f64> = h.iter().zip(d_h).map(|(&h, d_h)| d_h * slope(h)).collect();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm(&d_a) == 0.0 {
            continue;
        }
        let h_before = &seen[&(layer, reverse, before, place)].0;
        let reached: Vec<f64> = (0..h.len())
            .map(|r| {
                let product = |j: usize| weight.column(r)[j] * d_a[j];
                slope(h_before[r]) * (0..h.len()).map(product).sum::<f64>()
            })
            .collect();
        sum += (norm(&reached) / norm(&d_a) - 1.0).powi(2);
    }
    WEIGHT * sum / lengths.batch() as f64
}

fn slope_of(nonlinearity: Nonlinearity) -> fn(f64) -> f64 {
    match nonlinearity {
        Nonlinearity::Tanh => |h| 1.0 - h * h,
        Nonlinearity::Relu => |h| if h > 0.0 { 1.0 } else { 0.0 },
        Nonlinearity::Identity => |_| 1.0,
    }
}

fn case(shape: &Shape, nonlinearity: Nonlinearity, weight: f64) -> Case<Rnn, f64> {
    let mut shape = shape.clone();
    shape.options.regularization = Regularization {
        regularize_gradients: weight,
        weight_dropout: 0.0,
        zoneout: 0.0,
        ..shape.options.regularization
    };
    shape.build(|input, hidden| Rnn::new(input, hidden, nonlinearity))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn value_and_gradient_are_those_of_the_paper(
        shape in shapes(4, 4),
        nonlinearity in prop::sample::select(
            vec![Nonlinearity::Tanh, Nonlinearity::Relu, Nonlinearity::Identity],
        ),
    ) {
        let compute = Compute::sequential();
        let [with, without] = [WEIGHT, 0.0].map(|weight| case(&shape, nonlinearity, weight));
        let mut generator = with.generator.clone();
        let mut d_output = Matrix::zeros(with.stack.output_size(), with.lengths.columns());
        fill(&mut generator, d_output.as_mut_slice(), 1.0);
        let (mut gradients, penalty, seen) = backward(&with, &d_output, &compute, Some(NOISE));
        let (plain, none, _) = backward(&without, &d_output, &compute, Some(NOISE));
        prop_assert_eq!(none, 0.0);

        let slope = slope_of(nonlinearity);
        let expected = omega(&with, &shape, &with.parameters, &seen, slope);
        prop_assert!((penalty - expected).abs() <= 1e-12 * (1.0 + expected), "{penalty} {expected}");
        // What the penalty adds to the gradients is its own.
        for (sum, term) in gradients.as_mut_slice().iter_mut().zip(plain.as_slice()) {
            *sum -= term;
        }
        let mut parameters = with.parameters.clone();
        let mut point = parameters.as_slice().to_vec();
        let found = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
            parameters.as_mut_slice().copy_from_slice(point);
            omega(&with, &shape, &parameters, &seen, slope)
        });
        prop_assert!(found.worst <= 1.0, "{} ({} tolerances)", found.place, found.worst);

        // In evaluation there is none; threads change no bit.
        let (evaluated, none, _) = backward(&with, &d_output, &compute, None);
        let (plain, _, _) = backward(&without, &d_output, &compute, None);
        prop_assert_eq!(none, 0.0);
        prop_assert!(evaluated == plain);
        let threads = Compute::new(3).unwrap();
        let again = backward(&with, &d_output, &threads, Some(NOISE));
        let once = backward(&with, &d_output, &compute, Some(NOISE));
        prop_assert_eq!(again.1, once.1);
        prop_assert!(again.0 == once.0);
    }
}
