//! The same bits however a batch is run: alone or together, at once or step by step, whole or in
//! pieces, at any thread count and instruction set.

use proptest::prelude::*;
use recurrent_kernels::{Compute, Level, Matrix, Real};
use recurrent_topologies::{Input, InputGradient, Lengths, Noise, StackStream, State, Tape};

use crate::case::{Case, Shape, fill, flat, shapes};

/// Output at every step and final state.
fn run<T: Real>(case: &Case<T>, compute: &Compute, noise: Option<Noise>) -> (Vec<T>, Vec<T>) {
    let mut tape = Tape::new();
    let Case { stack, parameters, lengths, x, initial, .. } = case;
    let input = Input::Columns(x.as_ref());
    let recorded = stack.run(compute, parameters, input, initial, lengths, noise, &mut tape);
    let mut state = initial.clone();
    recorded.final_state(&mut state);
    (recorded.output().as_slice().to_vec(), flat(&state))
}

/// The case with only one of its sequences.
fn alone<T: Real>(case: &Case<T>, sequence: usize) -> Case<T> {
    let length = case.lengths.length(sequence);
    let x = Matrix::from_fn(case.x.rows(), length, |row, t| {
        case.x.as_ref().column(case.lengths.column(sequence, t))[row]
    });
    Case {
        stack: case.stack.clone(),
        parameters: case.parameters.clone(),
        lengths: Lengths::equal(1, length),
        x,
        initial: case.initial.select_columns(&[sequence]),
        generator: recurrent_kernels::random::Generator::new(0, 0),
    }
}

fn batch_alone_and_stream<T: Real>(shape: &Shape) {
    let case = shape.build::<T>();
    let compute = Compute::sequential();
    let (output, last) = run(&case, &compute, None);
    let rows = shape.hidden_size;
    for sequence in 0..case.lengths.batch() {
        let single = alone(&case, sequence);
        let (single_output, single_last) = run(&single, &compute, None);
        let mut stream = StackStream::new(&compute, &case.stack, &case.parameters, 1);
        stream.state_mut().clone_from(&single.initial);
        for t in 0..single.lengths.steps() {
            let column = case.lengths.column(sequence, t) * rows;
            let together = &output[column..column + rows];
            assert_eq!(together, &single_output[t * rows..(t + 1) * rows], "alone, step {t}");
            let x = single.x.as_ref().columns_range(t..t + 1);
            let streamed = stream.step(Input::Columns(x));
            assert_eq!(together, streamed.column(0), "streamed, step {t}");
        }
        assert_eq!(single_last, flat(stream.state()), "final state, streamed");
        let mut state = case.initial.clone();
        fill_state(&mut state, &last);
        assert_eq!(single_last, flat(&state.select_columns(&[sequence])), "final state, together");
    }
}

fn fill_state<T: Real>(state: &mut State<T>, mut numbers: &[T]) {
    state.visit_mut(|_, data| {
        let (own, rest) = numbers.split_at(data.len());
        data.copy_from_slice(own);
        numbers = rest;
    });
}

/// Everything that backward gives: gradients of parameters, input and initial state.
fn gradients<T: Real>(shape: &Shape, compute: &Compute, stepwise: bool) -> [Vec<T>; 3] {
    gradients_on(shape, compute, stepwise, &mut Tape::new())
}

fn gradients_on<T: Real>(
    shape: &Shape,
    compute: &Compute,
    stepwise: bool,
    tape: &mut Tape<T>,
) -> [Vec<T>; 3] {
    let mut case = shape.build::<T>();
    let mut d_output = Matrix::zeros(shape.hidden_size, case.lengths.columns());
    fill(&mut case.generator, d_output.as_mut_slice(), 1.0);
    let noise = Some(Noise { seed: 3, first_step: 77 });
    let Case { stack, parameters, lengths, x, initial, .. } = &case;
    let recorded = if stepwise {
        let mut taping = stack.begin(compute, parameters, initial, lengths, noise, tape);
        for t in 0..lengths.steps() {
            let columns = lengths.offsets()[t]..lengths.offsets()[t + 1];
            taping.advance(Input::Columns(x.as_ref().columns_range(columns)));
        }
        taping.finish()
    } else {
        let input = Input::Columns(x.as_ref());
        stack.run(compute, parameters, input, initial, lengths, noise, tape)
    };
    let mut turned = recorded.turn();
    turned.output_and_gradient().1.copy_from(d_output.as_ref());
    let mut gradients = parameters.zeros_like();
    let mut d_x = Matrix::zeros(x.rows(), x.columns());
    let reversed = if stepwise {
        let mut retreating = stack.begin_backward(turned, compute, parameters);
        for t in (0..lengths.steps()).rev() {
            let columns = lengths.offsets()[t]..lengths.offsets()[t + 1];
            let undone = retreating.retreat(Some(d_x.as_mut().columns_range(columns)), &());
            assert_eq!(undone, t);
        }
        let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
        retreating.finish(parameters, input, &mut gradients)
    } else {
        let input = InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
        stack.run_backward(turned, compute, parameters, input, &mut gradients, &())
    };
    let d_initial = flat(&reversed.initial_state_gradient());
    [gradients.as_slice().to_vec(), d_x.as_slice().to_vec(), d_initial]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn together_is_alone_is_streamed(shape in shapes(33, 7)) {
        batch_alone_and_stream::<f32>(&shape);
        batch_alone_and_stream::<f64>(&shape);
    }

    #[test]
    fn a_sequence_in_two_pieces_is_the_whole(shape in shapes(20, 5), steps in 2usize..9) {
        let lengths = vec![steps; shape.lengths.len()];
        let whole = Shape { lengths, dropout: 0.0, ..shape }.build::<f32>();
        let compute = Compute::sequential();
        let (output, last) = run(&whole, &compute, None);
        let (batch, rows) = (whole.lengths.batch(), output.len() / whole.lengths.columns());
        let (mut state, mut pieces) = (whole.initial.clone(), Vec::new());
        let middle = steps / 2;
        for piece in [0..middle, middle..steps] {
            let mut tape = Tape::new();
            let x = whole.x.as_ref().columns_range(piece.start * batch..piece.end * batch);
            let lengths = Lengths::equal(batch, piece.len());
            let (stack, parameters) = (&whole.stack, &whole.parameters);
            let input = Input::Columns(x);
            let before = state.clone();
            let recorded =
                stack.run(&compute, parameters, input, &before, &lengths, None, &mut tape);
            recorded.final_state(&mut state);
            pieces.extend_from_slice(recorded.output().as_slice());
        }
        prop_assert_eq!(rows * batch * steps, pieces.len());
        prop_assert_eq!(pieces, output);
        prop_assert_eq!(flat(&state), last);
    }

    #[test]
    fn thread_counts_agree(shape in shapes(40, 23)) {
        for stepwise in [false, true] {
            let expected = gradients::<f32>(&shape, &Compute::sequential(), stepwise);
            for threads in 1..=3 {
                let compute = Compute::new(threads).unwrap();
                prop_assert_eq!(&gradients::<f32>(&shape, &compute, stepwise), &expected);
            }
        }
    }

    #[test]
    fn step_by_step_is_at_once(shape in shapes(20, 7)) {
        // Forward has the same bits. Backward adds what comes from above and what comes from the
        // next step in another order, so it agrees within rounding.
        let compute = Compute::sequential();
        let at_once = gradients::<f64>(&shape, &compute, false);
        let stepwise = gradients::<f64>(&shape, &compute, true);
        for (a, b) in at_once.iter().flatten().zip(stepwise.iter().flatten()) {
            prop_assert!((a - b).abs() <= 1e-13 * (1.0 + a.abs()), "{} and {}", a, b);
        }
    }

    #[test]
    fn a_used_tape_is_as_good_as_a_new_one(shapes in prop::collection::vec(shapes(9, 5), 4)) {
        let (compute, mut tape) = (Compute::sequential(), Tape::new());
        for shape in &shapes {
            let reused = gradients_on::<f32>(shape, &compute, false, &mut tape);
            prop_assert_eq!(reused, gradients::<f32>(shape, &compute, false));
        }
    }

    #[test]
    fn levels_agree(shape in shapes(40, 9)) {
        let case = shape.build::<f32>();
        let expected = run(&case, &Compute::sequential(), None);
        let expected_gradients = gradients::<f32>(&shape, &Compute::sequential(), false);
        for level in Level::available() {
            let compute = Compute::sequential().with_level(level);
            prop_assert_eq!(&run(&case, &compute, None), &expected);
            prop_assert_eq!(&gradients::<f32>(&shape, &compute, false), &expected_gradients);
        }
    }

    #[test]
    fn the_order_of_a_batch_changes_nothing(shape in shapes(20, 6)) {
        let case = shape.build::<f32>();
        let noise = None;
        let (output, _) = run(&case, &Compute::sequential(), noise);
        // The same sequences, last first.
        let order: Vec<usize> = (0..case.lengths.batch()).rev().collect();
        let lengths: Vec<usize> = order.iter().map(|&s| case.lengths.length(s)).collect();
        let lengths = Lengths::new(&lengths);
        let mut x = Matrix::zeros(case.x.rows(), case.x.columns());
        for (now, &before) in order.iter().enumerate() {
            for t in 0..lengths.length(now) {
                let source = case.x.as_ref().column(case.lengths.column(before, t));
                x.as_mut().column(lengths.column(now, t)).copy_from_slice(source);
            }
        }
        let initial = case.initial.select_columns(&order);
        let turned = Case { x, initial, lengths, ..shape.build::<f32>() };
        let (turned_output, _) = run(&turned, &Compute::sequential(), noise);
        let rows = shape.hidden_size;
        for (now, &before) in order.iter().enumerate() {
            for t in 0..turned.lengths.length(now) {
                let a = turned.lengths.column(now, t) * rows;
                let b = case.lengths.column(before, t) * rows;
                prop_assert_eq!(&turned_output[a..a + rows], &output[b..b + rows]);
            }
        }
    }
}
