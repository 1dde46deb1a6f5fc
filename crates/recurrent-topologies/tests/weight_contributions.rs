//! What each lag contributes to the gradient of the recurrent weight, against differences: the weight
//! is moved at one step alone.

use recurrent_cells::{
    Cell, Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Parameters, Reset, Rnn,
};
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::case::{Case, Shape, fill};
use recurrent_topologies::{
    Direction, Directions, Input, InputGradient, Lengths, StackOptions, Tape, WeightContributions,
};

/// As many copies as steps, so that two threads share them.
const STEPS: usize = 8;
const HIDDEN: usize = 3;

/// A sequence, and what the loss of each step weighs the last layer's h by.
struct Sequence<C> {
    case: Case<C, f64>,
    weights: Matrix<f64>,
    /// The step before which a document begins.
    reset: Option<usize>,
    /// A copy ends with its loss, so that copies have different lengths.
    is_ragged: bool,
}

impl<C: Cell> Sequence<C> {
    fn new(cell: impl Fn(usize, usize) -> C, num_layers: usize, directions: Directions) -> Self {
        let shape = Shape {
            input_size: 2,
            hidden_size: HIDDEN,
            num_layers,
            options: StackOptions { directions, ..StackOptions::default() },
            lengths: vec![STEPS],
            resets: vec![],
            seed: 23,
        };
        let mut case = shape.build(cell);
        let mut weights = Matrix::zeros(case.stack.output_size(), STEPS);
        fill(&mut case.generator, weights.as_mut_slice(), 1.0);
        Sequence { case, weights, reset: None, is_ragged: false }
    }

    /// The steps as a direction takes them.
    fn order(direction: Direction) -> Vec<usize> {
        match direction {
            Direction::Forward => (0..STEPS).collect(),
            Direction::Reverse => (0..STEPS).rev().collect(),
        }
    }

    /// The loss of step `s`, where `other` parameters serve at step `t`.
    fn loss(&self, direction: Direction, s: usize, t: usize, other: &Parameters<f64>) -> f64 {
        let (compute, mut tape) = (Compute::sequential(), Tape::new());
        let Case { stack, parameters, x, initial, .. } = &self.case;
        let mut state = initial.clone();
        for step in Self::order(direction) {
            if self.reset == Some(step) {
                state = stack.zero_state(1);
            }
            let input = Input::Columns(x.as_ref().columns_range(step..step + 1));
            let used = if step == t { other } else { parameters };
            let one = Lengths::equal(1, 1);
            let run = stack.run(&compute, used, input, &state, &one, None, &mut tape);
            if step == s {
                let h = run.output().column(0).to_vec();
                return h.iter().zip(self.weights.as_ref().column(s)).map(|(h, w)| h * w).sum();
            }
            let mut next = state.clone();
            run.final_state(&mut next);
            state = next;
        }
        unreachable!("step {s} is one of {STEPS}")
    }

    /// By lag: the norm of the explicit matrix.
    fn by_differences(&self, layer: usize, direction: Direction) -> Vec<f64> {
        let order = Self::order(direction);
        let suffix = if self.case.stack.options().directions == Directions::Both
            && direction == Direction::Reverse
        {
            "_reverse"
        } else {
            ""
        };
        let name = format!("weight_hh_l{layer}{suffix}");
        let mut size = 0;
        self.case.parameters.visit(|entry, data| {
            if entry.name == name {
                size = data.len();
            }
        });
        let norm = |lag: usize| {
            let mut matrix = vec![0.0; size];
            for late in lag..STEPS {
                let (s, t) = (order[late], order[late - lag]);
                for (place, sum) in matrix.iter_mut().enumerate() {
                    let moved = |by: f64| {
                        let mut other = self.case.parameters.clone();
                        other.visit_mut(|entry, data| {
                            if entry.name == name {
                                data[place] += by;
                            }
                        });
                        self.loss(direction, s, t, &other)
                    };
                    let step = 1e-5;
                    *sum += (moved(step) - moved(-step)) / (2.0 * step);
                }
            }
            matrix.iter().map(|number| number * number).sum::<f64>().sqrt()
        };
        (0..STEPS).map(norm).collect()
    }

    /// One backward pass over copies, of which copy s has the loss of step s.
    fn contributions(&self, threads: usize) -> WeightContributions<f64> {
        let Sequence { case: Case { stack, parameters, x, initial, .. }, weights, .. } = self;
        let length = |s: usize| if self.is_ragged { s + 1 } else { STEPS };
        let steps: Vec<Vec<usize>> = (0..STEPS).map(|s| (0..length(s)).collect()).collect();
        let resets = self.reset.into_iter().flat_map(|reset| (0..STEPS).map(move |s| (s, reset)));
        let resets: Vec<(usize, usize)> = resets.filter(|&(s, reset)| reset < length(s)).collect();
        let lengths = Lengths::new(&(0..STEPS).map(length).collect::<Vec<usize>>());
        let lengths = lengths.with_resets(&resets);
        let step_of = lengths.arrange(&steps);
        let copies = Matrix::from_fn(2, step_of.len(), |row, column| {
            x.as_ref().column(step_of[column])[row]
        });
        let (compute, mut tape) = (Compute::new(threads).unwrap(), Tape::new());
        let initial = initial.select_columns(&[0; STEPS]);
        let input = Input::Columns(copies.as_ref());
        let run = stack.run(&compute, parameters, input, &initial, &lengths, None, &mut tape);
        let mut turned = run.turn();
        let mut d_output = turned.output_and_gradient().1;
        d_output.fill(0.0);
        for s in 0..STEPS {
            d_output.column(lengths.column(s, s)).copy_from_slice(weights.as_ref().column(s));
        }
        let losses: Vec<usize> = (0..STEPS).collect();
        let probe = WeightContributions::new(&lengths, &losses);
        let input = InputGradient::Columns { x: copies.as_ref(), d_x: None };
        let mut gradients = parameters.zeros_like();
        let _ = stack.run_backward(turned, &compute, parameters, input, &mut gradients, &probe);
        probe
    }

    #[track_caller]
    fn check(&self, layer: usize, direction: Direction) {
        let found = self.contributions(1).norms(layer, direction);
        let expected = self.by_differences(layer, direction);
        assert_eq!(found.len(), STEPS);
        // A loss goes back to the beginning of its document, where h is 0 and says nothing.
        let longest = self.reset.map_or(STEPS - 1, |reset| (STEPS - 2 - reset).max(reset - 1));
        assert!(expected[0] > 1e-3 && expected[longest] > 1e-9, "nothing to compare");
        assert!(expected[longest + 1..].iter().all(|norm| *norm == 0.0), "{expected:?}");
        for (lag, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() < 1e-8 * (1.0 + expected),
                "layer {layer}, {direction:?}, lag {lag}: {found}, not {expected}"
            );
        }
        // Two threads see the same.
        let two = self.contributions(2).norms(layer, direction);
        let bits = |norms: &[f64]| norms.iter().map(|norm| norm.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&two));
    }
}

#[test]
fn norms_are_those_of_explicit_matrices() {
    let one = Directions::Forward;
    Sequence::new(Lstm::new, 1, one).check(0, Direction::Forward);
    Sequence::new(Gru::new, 1, one).check(0, Direction::Forward);
    let rnn = |input, hidden| Rnn::new(input, hidden, Nonlinearity::Tanh);
    Sequence::new(rnn, 1, one).check(0, Direction::Forward);
    let before = GruOptions { reset: Reset::Before, ..GruOptions::default() };
    let gru = |input, hidden| Gru::with_options(input, hidden, before);
    Sequence::new(gru, 1, one).check(0, Direction::Forward);
    let options = LstmOptions { proj_size: Some(2), peephole: true, ..LstmOptions::default() };
    let lstm = |input, hidden| Lstm::with_options(input, hidden, options);
    Sequence::new(lstm, 1, one).check(0, Direction::Forward);
    let options = LstmOptions { layer_norm: true, ..LstmOptions::default() };
    let lstm = |input, hidden| Lstm::with_options(input, hidden, options);
    Sequence::new(lstm, 1, one).check(0, Direction::Forward);
}

#[test]
fn layers_and_directions_have_their_own() {
    let two = Sequence::new(Lstm::new, 2, Directions::Forward);
    two.check(0, Direction::Forward);
    two.check(1, Direction::Forward);
    let reverse = Sequence::new(Gru::new, 2, Directions::Reverse);
    reverse.check(0, Direction::Reverse);
    reverse.check(1, Direction::Reverse);
    assert!(two.contributions(1).norms(2, Direction::Forward).is_empty());
}

#[test]
fn sequences_may_end_and_documents_begin_anywhere() {
    for (is_ragged, reset) in [(true, None), (false, Some(3)), (true, Some(3)), (true, Some(5))] {
        let of = |num_layers| {
            let sequence = Sequence::new(Lstm::new, num_layers, Directions::Forward);
            Sequence { is_ragged, reset, ..sequence }
        };
        of(1).check(0, Direction::Forward);
        of(2).check(0, Direction::Forward);
        let before = GruOptions { reset: Reset::Before, ..GruOptions::default() };
        let gru = |input, hidden| Gru::with_options(input, hidden, before);
        let sequence = Sequence::new(gru, 1, Directions::Forward);
        Sequence { is_ragged, reset, ..sequence }.check(0, Direction::Forward);
    }
}

#[test]
#[should_panic(expected = "the loss of step 3 in sequence 1 of 3 steps")]
fn a_loss_behind_the_end_is_refused() {
    WeightContributions::<f64>::new(&Lengths::new(&[5, 3]), &[4, 3]);
}
