//! The norms of gradients of states against differences: a sequence is cut behind a step, and the
//! rest run from a state that is moved a little.

use recurrent_cells::{Cell, Gru, Lstm, Nonlinearity, Parameters, Rnn};
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::case::{Shape, fill, fill_state, flat};
use recurrent_topologies::{
    Direction, GradientNorms, Input, InputGradient, Lengths, Stack, StackOptions, State, Tape,
};

/// As many copies as steps, so that two threads share them.
const STEPS: usize = 9;
const HIDDEN: usize = 3;

/// What is run: a stack of one layer, its numbers, a sequence, and what a step's loss weighs h by.
struct Sequence<C> {
    stack: Stack<C>,
    parameters: Parameters<f64>,
    x: Matrix<f64>,
    weights: Matrix<f64>,
}

fn sequence<C: Cell>(cell: impl Fn(usize, usize) -> C) -> Sequence<C> {
    let shape = Shape {
        input_size: 2,
        hidden_size: HIDDEN,
        num_layers: 1,
        options: StackOptions::default(),
        lengths: vec![STEPS],
        resets: vec![],
        seed: 11,
    };
    let mut case = shape.build::<_, f64>(cell);
    let mut weights = Matrix::zeros(HIDDEN, STEPS);
    fill(&mut case.generator, weights.as_mut_slice(), 1.0);
    Sequence { stack: case.stack, parameters: case.parameters, x: case.x, weights }
}

impl<C: Cell> Sequence<C> {
    /// Steps `from..to` from a state: the state behind them.
    fn run(&self, initial: &State<f64>, from: usize, to: usize) -> State<f64> {
        let (compute, mut tape) = (Compute::sequential(), Tape::new());
        let input = Input::Columns(self.x.as_ref().columns_range(from..to));
        let lengths = Lengths::equal(1, to - from);
        let Sequence { stack, parameters, .. } = self;
        let run = stack.run(&compute, parameters, input, initial, &lengths, None, &mut tape);
        let mut last = stack.zero_state(1);
        run.final_state(&mut last);
        last
    }

    /// The loss of step `s`, from a state behind step `t`.
    fn loss(&self, state: &State<f64>, t: usize, s: usize) -> f64 {
        let last = self.run(state, t + 1, s + 1);
        let h = last.layers[0].h.as_slice();
        h.iter().zip(self.weights.as_ref().column(s)).map(|(h, weight)| h * weight).sum()
    }

    /// The norms by differences: of h, and of what follows it in the state.
    fn by_differences(&self, t: usize, s: usize) -> (f64, f64) {
        let state = self.run(&self.stack.zero_state(1), 0, t + 1);
        let numbers = flat(&state);
        let squares: Vec<f64> = (0..numbers.len())
            .map(|place| {
                let moved = |by: f64| {
                    let (mut state, mut numbers) = (state.clone(), numbers.clone());
                    numbers[place] += by;
                    fill_state(&mut state, &numbers);
                    self.loss(&state, t, s)
                };
                let step = 1e-5;
                ((moved(step) - moved(-step)) / (2.0 * step)).powi(2)
            })
            .collect();
        let (h, c) = squares.split_at(HIDDEN);
        (h.iter().sum::<f64>().sqrt(), c.iter().sum::<f64>().sqrt())
    }

    /// One backward pass over copies, of which copy s has the loss of step s.
    fn norms(&self, threads: usize) -> GradientNorms {
        let Sequence { stack, parameters, x, weights } = self;
        let lengths = Lengths::equal(STEPS, STEPS);
        let copies =
            Matrix::from_fn(2, STEPS * STEPS, |row, column| x.as_ref().column(column / STEPS)[row]);
        let (compute, mut tape) = (Compute::new(threads).unwrap(), Tape::new());
        let (input, zero) = (Input::Columns(copies.as_ref()), stack.zero_state(STEPS));
        let run = stack.run(&compute, parameters, input, &zero, &lengths, None, &mut tape);
        let mut turned = run.turn();
        let mut d_output = turned.output_and_gradient().1;
        d_output.fill(0.0);
        for s in 0..STEPS {
            d_output.column(lengths.column(s, s)).copy_from_slice(weights.as_ref().column(s));
        }
        let norms = GradientNorms::new(stack, &lengths);
        let input = InputGradient::Columns { x: copies.as_ref(), d_x: None };
        let mut gradients = parameters.zeros_like();
        let _ = stack.run_backward(turned, &compute, parameters, input, &mut gradients, &norms);
        norms
    }
}

fn check<C: Cell>(cell: impl Fn(usize, usize) -> C, has_c: bool) {
    let sequence = sequence(cell);
    let norms = sequence.norms(1);
    for s in 0..STEPS {
        let own =
            sequence.weights.as_ref().column(s).iter().map(|weight| weight * weight).sum::<f64>();
        assert_eq!(norms.h(0, Direction::Forward, s, s), own.sqrt());
        assert_eq!(norms.c(0, Direction::Forward, s, s), 0.0, "only h is read at its own step");
        for t in 0..STEPS {
            let (h, c) =
                (norms.h(0, Direction::Forward, s, t), norms.c(0, Direction::Forward, s, t));
            if t > s {
                assert_eq!((h, c), (0.0, 0.0), "the loss of step {s} reaches step {t}");
            } else if t < s {
                let (expected_h, expected_c) = sequence.by_differences(t, s);
                assert!((h - expected_h).abs() < 1e-8 * (1.0 + h), "h: {h}, not {expected_h}");
                assert!((c - expected_c).abs() < 1e-8 * (1.0 + c), "c: {c}, not {expected_c}");
                assert_eq!(c > 0.0, has_c);
            }
        }
    }
    // Two threads see the same.
    let two = sequence.norms(2);
    for (s, t) in (0..STEPS).flat_map(|s| (0..STEPS).map(move |t| (s, t))) {
        let of = |norms: &GradientNorms| norms.h(0, Direction::Forward, s, t).to_bits();
        assert_eq!(of(&norms), of(&two));
    }
}

#[test]
fn norms_are_those_of_differences() {
    check(Lstm::new, true);
    check(Gru::new, false);
    check(|input, hidden| Rnn::new(input, hidden, Nonlinearity::Tanh), false);
}

#[test]
#[should_panic(expected = "there is no layer 1 that reads Forward")]
fn a_layer_that_is_not_there_is_refused() {
    let sequence = sequence(Lstm::new);
    sequence.norms(1).h(1, Direction::Forward, 0, 0);
}
