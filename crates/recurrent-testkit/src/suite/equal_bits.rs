//! The same bits however a batch is run: alone or together, at once or step by step, whole or in
//! pieces, in any order, at any thread count and instruction set, whatever memory held before.

use recurrent_cells::Cell;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Level, Matrix, Real};
use recurrent_topologies::{Directions, Input, Lengths, StackOptions, StackStream, Tape};

use super::run::{Gradients, Way, Weighting, gradients, run};
use super::{Seen, Subject, for_cases};
use crate::case::{Case, Shape, fill_state, flat, shapes};

fn everything<C: Cell, T: Real>(
    subject: &Subject<C>,
    shape: &Shape,
    compute: &Compute,
    way: Way,
    tape: &mut Tape<T>,
) -> Gradients<T> {
    let mut case = shape.build::<C, T>(subject.cell);
    let weighting = Weighting::new(&mut case);
    gradients(&case, &weighting, compute, way, tape)
}

/// Equal in bits, and no NaN.
#[track_caller]
fn assert_equal<T: Real>(what: &str, got: &Gradients<T>, expected: &Gradients<T>) {
    for ((name, got), (_, expected)) in got.named().into_iter().zip(expected.named()) {
        assert!(got == expected, "{what}: another {name}");
    }
}

/// The same sequences in another order.
fn select<C: Cell, T: Real>(case: &Case<C, T>, shape: &Shape, order: &[usize]) -> Case<C, T> {
    let lengths: Vec<usize> = order.iter().map(|&old| case.lengths.length(old)).collect();
    let resets: Vec<(usize, usize)> = order
        .iter()
        .enumerate()
        .flat_map(|(new, old)| {
            shape
                .resets
                .iter()
                .filter(move |(sequence, _)| sequence == old)
                .map(move |r| (new, r.1))
        })
        .collect();
    let lengths = Lengths::new(&lengths).with_resets(&resets);
    let mut x = Matrix::zeros(case.x.rows(), lengths.columns());
    for (new, &old) in order.iter().enumerate() {
        for t in 0..lengths.length(new) {
            let source = case.x.as_ref().column(case.lengths.column(old, t));
            x.as_mut().column(lengths.column(new, t)).copy_from_slice(source);
        }
    }
    Case {
        stack: case.stack.clone(),
        parameters: case.parameters.clone(),
        lengths,
        x,
        initial: case.initial.select_columns(order),
        generator: Generator::new(0, 0),
    }
}

/// Each sequence of a batch has the bits that it has alone; and, in a stack that reads forward,
/// those of a stream that takes it step by step and is reset where a document begins.
///
/// # Panics
/// With the smallest case that differs.
pub fn together_is_alone_is_streamed<C: Cell, T: Real>(subject: &Subject<C>) -> Seen {
    for_cases(subject, 48, shapes(33, 7), |shape| {
        let case = shape.build::<C, T>(subject.cell);
        let compute = Compute::sequential();
        let (output, last) = run(&case, &compute, None, &mut Tape::new());
        let rows = case.stack.output_size();
        let mut state = case.initial.clone();
        fill_state(&mut state, &last);
        for sequence in 0..case.lengths.batch() {
            let single = select(&case, &shape, &[sequence]);
            let (single_output, single_last) = run(&single, &compute, None, &mut Tape::new());
            let own = |t: usize| {
                let column = case.lengths.column(sequence, t) * rows;
                &output[column..column + rows]
            };
            for t in 0..single.lengths.steps() {
                let alone = &single_output[t * rows..(t + 1) * rows];
                assert!(own(t) == alone, "alone, step {t}: {:?} and {alone:?}", own(t));
            }
            let own_last = flat(&state.select_columns(&[sequence]));
            assert!(own_last == single_last, "alone: another final state");
            if shape.options.directions != Directions::Forward {
                continue;
            }
            let mut stream = StackStream::new(&compute, &case.stack, &case.parameters, 1);
            stream.state_mut().clone_from(&single.initial);
            for t in 0..single.lengths.steps() {
                if shape.resets.contains(&(sequence, t)) {
                    *stream.state_mut() = case.stack.initial_state(&case.parameters, 1);
                }
                let x = single.x.as_ref().columns_range(t..t + 1);
                let streamed = stream.step(Input::Columns(x)).column(0);
                assert!(own(t) == streamed, "streamed, step {t}: {:?} and {streamed:?}", own(t));
            }
            assert!(own_last == flat(stream.state()), "streamed: another final state");
        }
        Ok(())
    })
}

/// The order of the sequences of a batch changes no bit.
///
/// # Panics
/// With the smallest case in which it does.
pub fn order_changes_nothing<C: Cell, T: Real>(subject: &Subject<C>) -> Seen {
    for_cases(subject, 48, shapes(20, 7), |shape| {
        let case = shape.build::<C, T>(subject.cell);
        let compute = Compute::sequential();
        let mut order: Vec<usize> = (0..case.lengths.batch()).collect();
        Generator::new(shape.seed, 1).shuffle(&mut order);
        let turned = select(&case, &shape, &order);
        let (output, last) = run(&case, &compute, None, &mut Tape::new());
        let (turned_output, turned_last) = run(&turned, &compute, None, &mut Tape::new());
        let rows = case.stack.output_size();
        for (new, &old) in order.iter().enumerate() {
            for t in 0..turned.lengths.length(new) {
                let a = turned.lengths.column(new, t) * rows;
                let b = case.lengths.column(old, t) * rows;
                assert!(turned_output[a..a + rows] == output[b..b + rows], "step {t}");
            }
        }
        let mut state = case.initial.clone();
        fill_state(&mut state, &last);
        assert!(flat(&state.select_columns(&order)) == turned_last, "another final state");
        Ok(())
    })
}

/// A tape that holds NaN of an earlier batch, or numbers of another, is as good as a new one.
///
/// # Panics
/// With the smallest case in which it is not.
pub fn garbage_changes_nothing<C: Cell, T: Real>(subject: &Subject<C>) -> Seen {
    let pairs = (shapes(9, 5), shapes(9, 5));
    for_cases(subject, 48, pairs, |(before, shape)| {
        let compute = Compute::sequential();
        let expected = everything(subject, &shape, &compute, Way::AtOnce, &mut Tape::new());
        let mut tape = Tape::new();
        for poisoned in [&before, &shape] {
            let mut case = poisoned.build::<C, T>(subject.cell);
            let weighting = Weighting::new(&mut case);
            case.x.as_mut_slice().fill(T::from_f64(f64::NAN));
            case.initial.visit_mut(|_, data| data.fill(T::from_f64(f64::NAN)));
            gradients(&case, &weighting, &compute, Way::AtOnce, &mut tape);
            let got = everything(subject, &shape, &compute, Way::AtOnce, &mut tape);
            assert_equal("on a used tape", &got, &expected);
        }
        Ok(())
    })
}

/// Any number of threads gives the same bits, gradients included.
///
/// # Panics
/// With the smallest case in which one does not.
pub fn threads_agree<C: Cell, T: Real>(subject: &Subject<C>) -> Seen {
    let computes: Vec<Compute> =
        (2..=3).map(|threads| Compute::new(threads).expect("threads start")).collect();
    for_cases(subject, 32, shapes(40, 23), |shape| {
        let ways = if shape.options.directions == Directions::Forward { 2 } else { 1 };
        for way in [Way::AtOnce, Way::StepByStep].into_iter().take(ways) {
            let sequential = Compute::sequential();
            let expected = everything::<C, T>(subject, &shape, &sequential, way, &mut Tape::new());
            for compute in &computes {
                let got = everything(subject, &shape, compute, way, &mut Tape::new());
                assert_equal(&format!("{} threads", compute.threads()), &got, &expected);
            }
        }
        Ok(())
    })
}

/// Every instruction set gives the same bits, gradients included.
///
/// # Panics
/// With the smallest case in which one does not.
pub fn levels_agree<C: Cell, T: Real>(subject: &Subject<C>) -> Seen {
    for_cases(subject, 32, shapes(40, 9), |shape| {
        let compute = Compute::sequential();
        let expected = everything::<C, T>(subject, &shape, &compute, Way::AtOnce, &mut Tape::new());
        for level in Level::available() {
            let compute = Compute::sequential().with_level(level);
            let got = everything(subject, &shape, &compute, Way::AtOnce, &mut Tape::new());
            assert_equal(level.name(), &got, &expected);
        }
        Ok(())
    })
}

/// A batch in two pieces, the state carried over, has the bits of the whole.
///
/// # Panics
/// With the smallest case in which it has not.
pub fn pieces_are_the_whole<C: Cell>(subject: &Subject<C>) -> Seen {
    use proptest::strategy::Strategy as _;
    let whole = (shapes(20, 5), 2usize..9).prop_map(|(shape, steps)| Shape {
        options: StackOptions { directions: Directions::Forward, ..shape.options },
        lengths: vec![steps; shape.lengths.len()],
        resets: Vec::new(),
        ..shape
    });
    for_cases(subject, 48, whole, |shape| {
        let case = shape.build::<C, f32>(subject.cell);
        let compute = Compute::sequential();
        let (output, last) = run(&case, &compute, None, &mut Tape::new());
        let (batch, steps) = (case.lengths.batch(), case.lengths.steps());
        let (mut state, mut pieces) = (case.initial.clone(), Vec::new());
        let middle = steps / 2;
        for piece in [0..middle, middle..steps] {
            let columns = piece.start * batch..piece.end * batch;
            let x = case.x.as_ref().columns_range(columns);
            let part = Case {
                stack: case.stack.clone(),
                parameters: case.parameters.clone(),
                lengths: Lengths::equal(batch, piece.len()),
                x: Matrix::from_columns(x.as_slice().to_vec(), x.rows(), x.columns()),
                initial: state.clone(),
                generator: Generator::new(0, 0),
            };
            let (output, last) = run(&part, &compute, None, &mut Tape::new());
            pieces.extend(output);
            fill_state(&mut state, &last);
        }
        assert!(pieces == output && flat(&state) == last, "two pieces differ from the whole");
        Ok(())
    })
}

/// A batch that is run step by step has the bits of one that is run at once. Its gradients agree
/// within rounding: what comes from above and what comes from the next step is added in another
/// order.
///
/// # Panics
/// With the smallest case in which they do not.
pub fn step_by_step_is_at_once<C: Cell>(subject: &Subject<C>) -> Seen {
    use proptest::strategy::Strategy as _;
    let forward = shapes(20, 7).prop_map(|shape| Shape {
        options: StackOptions { directions: Directions::Forward, ..shape.options },
        ..shape
    });
    for_cases(subject, 48, forward, |shape| {
        let compute = Compute::sequential();
        let at_once =
            everything::<C, f64>(subject, &shape, &compute, Way::AtOnce, &mut Tape::new());
        let stepwise =
            everything::<C, f64>(subject, &shape, &compute, Way::StepByStep, &mut Tape::new());
        assert!(at_once.output == stepwise.output, "another output");
        for ((name, a), (_, b)) in at_once.named().into_iter().zip(stepwise.named()) {
            let largest = a.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-13 * largest, "{name}: {a} and {b}");
            }
        }
        Ok(())
    })
}
