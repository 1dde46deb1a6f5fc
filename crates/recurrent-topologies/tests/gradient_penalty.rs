//! The penalty of gradients against scalar loops over equation 9 of Pascanu, Mikolov, Bengio 2013, and
//! its gradient against central differences of it, with states and gradients held constant.

#[path = "support/decoders.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use recurrent_cells::{CellKind, Nonlinearity, Parameters, Rnn};
use recurrent_kernels::random::{Dropout, Generator};
use recurrent_kernels::{Columns, Compute, Matrix, Real};
use recurrent_testkit::case::{Case, Shape, fill, shapes};
use recurrent_testkit::gradient::compare_gradient;
use recurrent_topologies::{
    AttentionKind, Direction, Directions, EncoderDecoderConfig, Input, InputConfig, InputGradient,
    Noise, Observation, Probe, Regularization, StackConfig, Tape, TokenEncoding,
};
use support::Translating;

const NOISE: Noise = Noise { seed: 5, first_step: 1 << 30 };
const WEIGHT: f64 = 0.7;

/// By layer, whether it reads in reverse, step and place: h and its gradient.
type Seen = BTreeMap<(usize, bool, usize, usize), (Vec<f64>, Vec<f64>)>;

#[derive(Default)]
struct Looker(Mutex<Seen>);

impl<T: Real> Probe<T> for Looker {
    fn observe(&self, seen: Observation<'_, T>) {
        let mut all = self.0.lock().unwrap();
        let numbers = |column: &[T]| column.iter().map(|x| x.to_f64()).collect();
        for (j, place) in seen.sequences.enumerate() {
            let columns = (numbers(seen.tape.column(j)), numbers(seen.d_h.column(j)));
            let reverse = seen.direction == Direction::Reverse;
            all.insert((seen.layer, reverse, seen.t, place), columns);
        }
    }
}

/// Gradients of the parameters, what the penalty came to, and what was seen on the way.
fn backward<T: Real>(
    case: &Case<Rnn, T>,
    d_output: &Matrix<T>,
    compute: &Compute,
    noise: Option<Noise>,
) -> (Parameters<T>, f64, Seen) {
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
        // What weight-drop leaves of it: a mask for each cell, at the address of the training step.
        let dropout = Dropout::new(shape.options.regularization.weight_dropout, NOISE.seed);
        let left = |row: usize, column: usize| -> f64 {
            dropout.factor((1 << 30) + at as u32, NOISE.first_step, column as u64, row as u32)
        };
        let d_a: Vec<f64> = h.iter().zip(d_h).map(|(&h, d_h)| d_h * slope(h)).collect();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm(&d_a) < 1e-30 {
            continue;
        }
        let h_before = &seen[&(layer, reverse, before, place)].0;
        let reached: Vec<f64> = (0..h.len())
            .map(|r| {
                let product = |j: usize| left(j, r) * weight.column(r)[j] * d_a[j];
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

fn case<T: Real>(shape: &Shape, nonlinearity: Nonlinearity, weight: f64) -> Case<Rnn, T> {
    let mut shape = shape.clone();
    shape.options.regularization = Regularization {
        regularize_gradients: weight,
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
        let [with, without] = [WEIGHT, 0.0].map(|weight| case::<f64>(&shape, nonlinearity, weight));
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
    /// Where gradients vanish, which is what the penalty is for: |d_a|^2 is far below what f32 holds.
    #[test]
    fn tiny_gradients_cost_the_same_in_f32(
        shape in shapes(4, 4),
        nonlinearity in prop::sample::select(vec![Nonlinearity::Tanh, Nonlinearity::Identity]),
        scale in prop::sample::select(vec![1e-20, 1e-25, 1e-34]),
    ) {
        let (exact, d_output) = (case::<f64>(&shape, nonlinearity, WEIGHT), scaled(&shape, scale));
        let (single, d_single) = (case::<f32>(&shape, nonlinearity, WEIGHT), scaled(&shape, scale));
        let compute = Compute::sequential();
        let (exact, exact_penalty, _) = backward(&exact, &d_output, &compute, Some(NOISE));
        let (single, penalty, _) = backward(&single, &d_single, &compute, Some(NOISE));
        let near = |found: f64, expected: f64, size: f64| {
            (found - expected).abs() <= 1e-3 * (1e-30 + size.max(expected.abs()))
        };
        prop_assert!(near(penalty, exact_penalty, 0.0), "{penalty} {exact_penalty}");
        prop_assert_eq!(penalty == 0.0, scale < 1e-30 || exact_penalty == 0.0);
        let size = exact.as_slice().iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        for (&found, &expected) in single.as_slice().iter().zip(exact.as_slice()) {
            prop_assert!(near(f64::from(found), expected, size), "{found} {expected}");
        }
    }
}

/// Gradients of what a stack of this shape gives, about as large as `scale`; the same in both types.
fn scaled<T: Real>(shape: &Shape, scale: f64) -> Matrix<T> {
    let columns = shape.lengths.iter().sum();
    let mut numbers =
        Matrix::<f64>::zeros(shape.options.directions.count() * shape.hidden_size, columns);
    fill(&mut Generator::new(shape.seed, 1), numbers.as_mut_slice(), 1.0);
    Matrix::from_fn(numbers.rows(), columns, |row, j| {
        T::from_f64(f64::from((scale * numbers.as_ref().column(j)[row]) as f32))
    })
}

/// Equation 10 by scalar loops: what the penalty adds to the `weight_hh` of a layer of tanh.
fn equation_10(seen: &Seen, layer: usize, weight: Columns<'_, f64>, batch: usize) -> Vec<f64> {
    let size = weight.rows();
    let (slope, mut sum) = (slope_of(Nonlinearity::Tanh), vec![0.0; size * size]);
    for (&(at, reverse, t, place), (h, d_h)) in seen {
        if at != layer || t == 0 {
            continue;
        }
        let h_before = &seen[&(layer, reverse, t - 1, place)].0;
        let d_a: Vec<f64> = h.iter().zip(d_h).map(|(&h, d_h)| d_h * slope(h)).collect();
        let reaches = |r: usize| -> f64 {
            slope(h_before[r]) * weight.column(r).iter().zip(&d_a).map(|(w, d)| w * d).sum::<f64>()
        };
        let v: Vec<f64> = (0..size).map(reaches).collect();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (reached, came) = (norm(&v), norm(&d_a));
        let factor = 2.0 * WEIGHT / batch as f64 * (reached / came - 1.0) / (reached * came);
        for (k, sum) in sum.iter_mut().enumerate() {
            let (row, column) = (k % size, k / size);
            *sum += d_a[row] * factor * slope(h_before[column]) * v[column];
        }
    }
    sum
}

/// Encoders and decoders have it as well, where a decoder runs at once and where it goes step by step.
#[test]
fn what_writes_pays_too() {
    let compute = Compute::sequential();
    for input_feeding in [false, true] {
        let case = |regularize_gradients| {
            let encoding = TokenEncoding::Embedding(2);
            let stack = StackConfig {
                cell: CellKind::RnnTanh,
                hidden_size: 3,
                num_layers: 2,
                bidirectional: false,
                dropout: 0.0,
                regularization: Regularization { regularize_gradients, ..Regularization::NONE },
            };
            let config = EncoderDecoderConfig {
                source: InputConfig::Tokens { vocabulary_size: 5, encoding },
                encoder: stack,
                target_vocabulary_size: 4,
                target_encoding: encoding,
                decoder: stack,
                attention: Some(AttentionKind::General),
                input_feeding,
                reverse_source: false,
            };
            let mut case = Translating::<f64>::draw(&config, &[(3, 2), (4, 5), (1, 3)], 12);
            case.noise = Some(NOISE);
            case
        };
        let (with, without, looker) = (case(WEIGHT), case(0.0), Looker::default());
        let mut found = with.probed_gradients(&compute, 0.0, &looker).1;
        let plain = without.gradients(&compute, 0.0).1;
        for (sum, term) in found.as_mut_slice().iter_mut().zip(plain.as_slice()) {
            *sum -= term;
        }
        let seen = looker.0.into_inner().unwrap();
        let mut expected = with.parameters.zeros_like();
        let cells = with.model.encoder().cells().chain(with.model.decoder().cells());
        for (layer, (_, slots)) in cells.enumerate() {
            let weight = with.parameters.get(slots.weight_hh);
            let gradient = equation_10(&seen, layer, weight, 3);
            assert!(gradient.iter().all(|&x| x != 0.0), "{layer}: {gradient:?}");
            expected.slice_mut(slots.weight_hh).copy_from_slice(&gradient);
        }
        for (found, expected) in found.as_slice().iter().zip(expected.as_slice()) {
            let difference = (found - expected).abs();
            assert!(difference < 1e-12 * (1.0 + expected.abs()), "{found} {expected}");
        }
    }
}
