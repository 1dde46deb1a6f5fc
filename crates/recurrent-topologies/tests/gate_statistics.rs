//! What is counted of gates and units, where their values are known: without recurrent weights and
//! biases a gate is the sigmoid of what it reads.

use std::f64::consts::LN_2;

use recurrent_cells::{Cell, Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Reset, Rnn};
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::case::{Case, Shape, fill};
use recurrent_topologies::{
    CellGates, Direction, Directions, GATE_BINS, GateStatistics, GradientNorms, GradientProfile,
    Input, InputGradient, Probe, StackOptions, Tape,
};

/// Sequences of different lengths, enough for two threads; all of the second one's end early.
const LENGTHS: [usize; 9] = [3, 9, 1, 2, 4, 2, 2, 3, 3];
const STEPS: usize = 9;
const UNITS: usize = 4;

fn case<C: Cell>(cell: impl Fn(usize, usize) -> C, directions: Directions) -> Case<C, f64> {
    let shape = Shape {
        input_size: 1,
        hidden_size: UNITS,
        num_layers: 1,
        options: StackOptions { directions, ..StackOptions::default() },
        lengths: LENGTHS.to_vec(),
        resets: vec![],
        seed: 3,
    };
    let mut case = shape.build(cell);
    // Wide enough for every bin.
    case.x.as_mut_slice().iter_mut().for_each(|x| *x *= 4.0);
    case
}

/// Sets all parameters to 0 but `weight_ih`, whose row r gets `weight(r)`.
fn read_alone<C>(case: &mut Case<C, f64>, weight: impl Fn(usize) -> f64) {
    case.parameters.visit_mut(|entry, data| {
        data.fill(0.0);
        if entry.name.contains("weight_ih") {
            data.iter_mut().enumerate().for_each(|(row, number)| *number = weight(row));
        }
    });
}

/// A backward pass with drawn gradients of the output.
fn observe<C: Cell>(case: &Case<C, f64>, threads: usize, probe: &impl Probe<f64>) {
    let (compute, mut tape) = (Compute::new(threads).unwrap(), Tape::new());
    let Case { stack, parameters, lengths, x, initial, generator } = case;
    let mut d_output = Matrix::zeros(stack.output_size(), lengths.columns());
    fill(&mut generator.clone(), d_output.as_mut_slice(), 1.0);
    let input = Input::Columns(x.as_ref());
    let run = stack.run(&compute, parameters, input, initial, lengths, None, &mut tape);
    let mut turned = run.turn();
    turned.output_and_gradient().1.copy_from(d_output.as_ref());
    let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
    let mut gradients = parameters.zeros_like();
    let _ = stack.run_backward(turned, &compute, parameters, input, &mut gradients, probe);
}

fn gates<C: Cell>(case: &Case<C, f64>) -> CellGates {
    let of = |threads| {
        let probe = GateStatistics::new();
        observe(case, threads, &probe);
        probe.cells()
    };
    let cells = of(1);
    assert_eq!(cells, of(2), "two threads count the same");
    assert_eq!(cells.len(), 1);
    cells.into_iter().next().unwrap()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// By unit a weight, and none is 0.
fn weight(row: usize) -> f64 {
    [0.5, -1.0, 2.0, 0.7, 1.5, -0.3, 1.1][row % 7]
}

/// The gates of `found` are those whose first row of `weight_ih` is named; the one that keeps gives
/// the half-lives.
fn check<C: Cell>(
    cell: impl Fn(usize, usize) -> C,
    names: &[(&'static str, usize)],
    (keeping, rest): (usize, bool),
) {
    let mut case = case(cell, Directions::Forward);
    read_alone(&mut case, weight);
    let found = gates(&case);
    assert_eq!((found.layer, found.direction), (0, Direction::Forward));
    assert_eq!(found.dead, None);
    assert_eq!(found.gates.len(), names.len());
    for (gate, &(name, first)) in found.gates.iter().zip(names) {
        assert_eq!(gate.name, name);
        let mut counts = [0_u64; GATE_BINS];
        let (mut low, mut high) = (0, 0);
        for &x in case.x.as_slice() {
            for row in first..first + UNITS {
                let value = sigmoid(weight(row) * x);
                counts[(value * 20.0) as usize] += 1;
                low += u64::from(value < 0.1);
                high += u64::from(value > 0.9);
            }
        }
        assert_eq!(gate.counts, counts, "{name}");
        let all = (LENGTHS.iter().sum::<usize>() * UNITS) as f64;
        assert_eq!((gate.low() * all).round() as u64, low, "{name}");
        assert_eq!((gate.high() * all).round() as u64, high, "{name}");
        assert!(low > 0 && high > 0, "nothing is saturated");
    }
    let half_lives = found.half_lives.unwrap();
    assert_eq!(half_lives.len(), UNITS);
    for (unit, found) in half_lives.into_iter().enumerate() {
        let kept = |x: &f64| {
            let value = sigmoid(weight(keeping + unit) * x);
            if rest { 1.0 - value } else { value }
        };
        let logarithms = case.x.as_slice().iter().map(|x| libm::log(kept(x)));
        let expected = -LN_2 / (logarithms.sum::<f64>() / case.x.columns() as f64);
        assert!((found - expected).abs() < 1e-9 * expected, "{found}, not {expected}");
    }
}

#[test]
fn gates_are_counted_and_units_have_half_lives() {
    // Rows of weight_ih: LSTM i, f, g, o; coupled i, g, o; GRU r, z, n.
    let lstm = [("input", 0), ("forget", UNITS), ("output", 3 * UNITS)];
    check(Lstm::new, &lstm, (UNITS, false));
    let projected = LstmOptions { proj_size: Some(2), ..LstmOptions::default() };
    check(|i, h| Lstm::with_options(i, h, projected), &lstm, (UNITS, false));
    let coupled = LstmOptions { coupled: true, ..LstmOptions::default() };
    let names = [("input", 0), ("output", 2 * UNITS)];
    check(|i, h| Lstm::with_options(i, h, coupled), &names, (0, true));
    let gru = [("reset", 0), ("update", UNITS)];
    check(Gru::new, &gru, (UNITS, false));
    let before = GruOptions { reset: Reset::Before, ..GruOptions::default() };
    check(|i, h| Gru::with_options(i, h, before), &gru, (UNITS, false));
}

#[test]
fn what_is_no_number_is_in_no_bin() {
    let mut case = case(Lstm::new, Directions::Forward);
    case.parameters.as_mut_slice().fill(f64::NAN);
    let found = gates(&case).gates;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|gate| gate.counts.iter().sum::<u64>() == 0), "{found:?}");
}

#[test]
fn a_unit_is_dead_if_it_never_speaks() {
    let relu = |input, hidden| Rnn::new(input, hidden, Nonlinearity::Relu);
    let mut case = case(relu, Directions::Forward);
    // Unit 1 reads nothing; units 2 and 3 speak where x is above 0 or below.
    read_alone(&mut case, |row| [1.0, 0.0, 2.0, -1.0][row]);
    let found = gates(&case);
    assert_eq!((found.dead, found.half_lives, found.gates), (Some(vec![1]), None, vec![]));
    // One number above 0, in one step of one sequence, brings units 0 and 2 to life.
    case.x.as_mut_slice().fill(-1.0);
    assert_eq!(gates(&case).dead, Some(vec![0, 1, 2]));
    for place in [0, case.x.columns() - 1] {
        case.x.as_mut_slice()[place] = 0.1;
        assert_eq!(gates(&case).dead, Some(vec![1]));
        case.x.as_mut_slice()[place] = -1.0;
    }
}

#[test]
fn what_a_cell_has_not_is_not_there() {
    for nonlinearity in [Nonlinearity::Tanh, Nonlinearity::Identity] {
        let cell = |input, hidden| Rnn::new(input, hidden, nonlinearity);
        let found = gates(&case(cell, Directions::Forward));
        assert_eq!((found.dead, found.half_lives, found.gates), (None, None, vec![]));
    }
}

#[test]
fn a_gate_that_never_closes_keeps_for_ever_and_one_that_is_shut_forgets_at_once() {
    let mut case = case(Lstm::new, Directions::Forward);
    case.x.as_mut_slice().fill(1.0);
    read_alone(&mut case, |row| if row % 2 == 0 { 1e4 } else { -1e4 });
    let half_lives = gates(&case).half_lives.unwrap();
    assert_eq!(half_lives[0], f64::INFINITY);
    assert!(half_lives[1] > 0.0 && half_lives[1] < 0.01, "{half_lives:?}");
}

/// The profile of a batch against the norms of its columns, which are held against differences.
#[test]
fn a_profile_is_the_sum_over_sequences_that_are_as_long() {
    let case = case(Lstm::new, Directions::Both);
    let of = |threads| {
        let norms = GradientNorms::new(&case.stack, &case.lengths);
        let probe = (norms, GradientProfile::new());
        observe(&case, threads, &probe);
        let cells = probe.1.cells();
        (probe.0, cells)
    };
    let (norms, cells) = of(1);
    assert_eq!(cells, of(2).1, "two threads see the same");
    let directions: Vec<_> = cells.iter().map(|cell| (cell.layer, cell.direction)).collect();
    assert_eq!(directions, [(0, Direction::Forward), (0, Direction::Reverse)]);
    for cell in &cells {
        let c = cell.c.as_ref().unwrap();
        assert_eq!((cell.h.len(), c.len()), (STEPS, STEPS));
        for lag in 0..STEPS {
            let long = (0..LENGTHS.len()).filter(|&sequence| LENGTHS[sequence] > lag);
            let (mut h, mut c_squares) = (0.0, 0.0);
            for sequence in long {
                let t = match cell.direction {
                    Direction::Forward => LENGTHS[sequence] - 1 - lag,
                    Direction::Reverse => lag,
                };
                h += norms.h(0, cell.direction, sequence, t).powi(2);
                c_squares += norms.c(0, cell.direction, sequence, t).powi(2);
            }
            assert!((cell.h[lag] - h.sqrt()).abs() < 1e-12 * h.sqrt());
            assert!((c[lag] - c_squares.sqrt()).abs() <= 1e-12 * c_squares.sqrt());
        }
        assert!(cell.h.iter().all(|&norm| norm > 0.0) && c[0] == 0.0 && c[1] > 0.0);
    }
}

#[test]
fn a_profile_has_no_c_where_the_cell_has_none() {
    let probe = GradientProfile::new();
    observe(&case(Gru::new, Directions::Reverse), 1, &probe);
    let [cell] = &probe.cells()[..] else { panic!("one cell") };
    assert_eq!((cell.direction, cell.c.as_ref()), (Direction::Reverse, None));
}

/// A probe that is not there changes no bit, and sees nothing.
#[test]
fn an_absent_probe_is_none() {
    let case = case(Lstm::new, Directions::Forward);
    observe(&case, 1, &None::<&GateStatistics>);
    let there = GateStatistics::new();
    observe(&case, 1, &Some(&there));
    assert_eq!(there.cells(), [gates(&case)]);
}
