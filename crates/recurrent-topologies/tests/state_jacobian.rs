//! The derivative of a state with respect to the state some steps before, against differences: a
//! sequence is cut, and the rest runs from a state that is moved a little.

use recurrent_cells::{Cell, Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Reset, Rnn};
use recurrent_kernels::Compute;
use recurrent_testkit::case::{Case, Shape};
use recurrent_topologies::{
    Direction, Directions, Input, Lengths, StackOptions, State, StateJacobian, Tape,
};

const STEPS: usize = 6;
const LAGS: [usize; 4] = [0, 1, 3, 5];

fn case<C: Cell>(
    cell: impl Fn(usize, usize) -> C,
    hidden_size: usize,
    num_layers: usize,
    directions: Directions,
) -> Case<C, f64> {
    let options = StackOptions { directions, ..StackOptions::default() };
    let lengths = vec![STEPS];
    Shape { input_size: 2, hidden_size, num_layers, options, lengths, resets: vec![], seed: 5 }
        .build(cell)
}

fn measure<C: Cell>(
    case: &Case<C, f64>,
    threads: usize,
    of: (usize, Direction),
    lags: &[usize],
) -> StateJacobian {
    let compute = Compute::new(threads).unwrap();
    let Case { stack, parameters, x, initial, .. } = case;
    StateJacobian::measure(stack, &compute, parameters, x.as_ref(), initial, of, lags)
}

/// Some steps from a state: the state behind them.
fn run<C: Cell>(
    case: &Case<C, f64>,
    initial: &State<f64>,
    steps: std::ops::Range<usize>,
) -> State<f64> {
    let (compute, mut tape) = (Compute::sequential(), Tape::new());
    let lengths = Lengths::equal(1, steps.len());
    let Case { stack, parameters, x, .. } = case;
    let input = Input::Columns(x.as_ref().columns_range(steps));
    let run = stack.run(&compute, parameters, input, initial, &lengths, None, &mut tape);
    let mut last = stack.zero_state(1);
    run.final_state(&mut last);
    last
}

/// h and c of one cell.
fn numbers(state: &State<f64>, at: usize) -> Vec<f64> {
    [state.layers[at].h.as_slice(), state.layers[at].c.as_slice()].concat()
}

#[track_caller]
fn check<C: Cell>(case: &Case<C, f64>, of: (usize, Direction)) {
    let jacobian = measure(case, 1, of, &LAGS);
    assert_eq!(jacobian.lags(), LAGS);
    let at = case.stack.place(of.0, of.1).unwrap();
    let size = numbers(&case.initial, at).len();
    for (&lag, product) in LAGS.iter().zip(jacobian.products()) {
        assert_eq!((product.rows(), product.columns()), (size, size));
        let (before, after) = match of.1 {
            Direction::Forward => (0..STEPS - lag, STEPS - lag..STEPS),
            Direction::Reverse => (lag..STEPS, 0..lag),
        };
        let state = run(case, &case.initial, before);
        for column in 0..size {
            let moved = |by: f64| {
                let mut state = state.clone();
                let layer = &mut state.layers[at];
                match column.checked_sub(layer.h.rows()) {
                    None => layer.h.as_mut_slice()[column] += by,
                    Some(row) => layer.c.as_mut_slice()[row] += by,
                }
                match lag {
                    0 => numbers(&state, at),
                    _ => numbers(&run(case, &state, after.clone()), at),
                }
            };
            let step = 1e-5;
            let (up, down) = (moved(step), moved(-step));
            for (row, (up, down)) in up.iter().zip(down).enumerate() {
                let expected = (up - down) / (2.0 * step);
                let found = product.as_ref().column(column)[row];
                assert!(
                    (found - expected).abs() < 1e-8,
                    "{of:?}, lag {lag}, number {row} by {column}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn products_are_those_of_differences() {
    let forward = |layer| (layer, Direction::Forward);
    check(&case(Lstm::new, 3, 1, Directions::Forward), forward(0));
    check(&case(Gru::new, 3, 1, Directions::Forward), forward(0));
    let rnn = |input, hidden| Rnn::new(input, hidden, Nonlinearity::Tanh);
    check(&case(rnn, 4, 1, Directions::Forward), forward(0));
    let before = GruOptions { reset: Reset::Before, ..GruOptions::default() };
    let gru = |input, hidden| Gru::with_options(input, hidden, before);
    check(&case(gru, 3, 1, Directions::Forward), forward(0));
    let options = LstmOptions { proj_size: Some(2), peephole: true, ..LstmOptions::default() };
    let lstm = |input, hidden| Lstm::with_options(input, hidden, options);
    check(&case(lstm, 3, 1, Directions::Forward), forward(0));
    let options = LstmOptions { layer_norm: true, ..LstmOptions::default() };
    let lstm = |input, hidden| Lstm::with_options(input, hidden, options);
    check(&case(lstm, 3, 1, Directions::Forward), forward(0));
}

#[test]
fn a_layer_has_its_own_in_any_depth_and_direction() {
    let two = case(Lstm::new, 3, 2, Directions::Forward);
    check(&two, (0, Direction::Forward));
    check(&two, (1, Direction::Forward));
    check(&case(Gru::new, 3, 2, Directions::Reverse), (1, Direction::Reverse));
    let both = case(Gru::new, 3, 1, Directions::Both);
    check(&both, (0, Direction::Forward));
    check(&both, (0, Direction::Reverse));
}

/// More numbers than go back together, and enough of them for two threads.
#[test]
fn large_states_have_the_same_bits_on_two_threads() {
    let large = case(Lstm::new, 20, 1, Directions::Forward);
    check(&large, (0, Direction::Forward));
    let values = |threads| {
        let jacobian = measure(&large, threads, (0, Direction::Forward), &LAGS);
        let products = jacobian.products().iter().flat_map(|product| product.as_slice().to_vec());
        let numbers = products.chain(jacobian.largest_singular_values());
        numbers.map(f64::to_bits).collect::<Vec<u64>>()
    };
    assert_eq!(values(1), values(2));
}

/// h_t = w h_{t-1} + x_t, number by number: the product of k steps is w^k.
#[test]
fn a_diagonal_identity_network_stretches_by_powers() {
    let identity = |input, hidden| Rnn::new(input, hidden, Nonlinearity::Identity);
    let mut case = case(identity, 3, 1, Directions::Forward);
    case.parameters.visit_mut(|entry, data| {
        if entry.name.contains("weight_hh") {
            data.fill(0.0);
            (data[0], data[4], data[8]) = (0.5, -1.1, 0.9);
        }
    });
    let jacobian = measure(&case, 1, (0, Direction::Forward), &LAGS);
    for (&lag, value) in LAGS.iter().zip(jacobian.largest_singular_values()) {
        let expected = 1.1_f64.powi(lag as i32);
        assert!((value - expected).abs() < 1e-8 * expected, "lag {lag}: {value}, not {expected}");
    }
}

#[test]
#[should_panic(expected = "a lag of 6 in a sequence of 6 steps")]
fn a_lag_before_the_sequence_is_refused() {
    let case = case(Lstm::new, 3, 1, Directions::Forward);
    measure(&case, 1, (0, Direction::Forward), &[2, 6]);
}

#[test]
#[should_panic(expected = "there is no layer 0 that reads Reverse")]
fn a_direction_that_is_not_there_is_refused() {
    let case = case(Lstm::new, 3, 1, Directions::Forward);
    measure(&case, 1, (0, Direction::Reverse), &LAGS);
}
