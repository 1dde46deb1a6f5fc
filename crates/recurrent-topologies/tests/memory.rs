//! Passes that have found their memory take no more.
//!
//! The one test of this program, because it counts the memory of the whole process.

use std::sync::Arc;

use peak_alloc::PeakAlloc;
use recurrent_cells::{AnyCell, Cell, CellKind, CellSlots, Layout, Parameters, WeightedCell};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    Directions, Input, InputConfig, InputGradient, Lengths, ManyToManyConfig, Regularization,
    Stack, StackConfig, StackInference, StackOptions, StackStream, Tape, TokenEncoding,
    TokenStream,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SIZE: usize = 24;

/// Passes until memory must be found. Working memory belongs to a thread, and which thread gets
/// which part of a pass is chance.
const MOST_PASSES: usize = 2000;
/// Passes in a row that take nothing.
const QUIET_PASSES: usize = 20;

/// Passes until none of a row takes memory.
#[track_caller]
fn assert_settles(what: &str, mut pass: impl FnMut()) {
    let mut quiet = 0;
    for _ in 0..MOST_PASSES {
        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        pass();
        quiet = if ALLOCATOR.peak_usage() > before { 0 } else { quiet + 1 };
        if quiet == QUIET_PASSES {
            return;
        }
    }
    panic!("{what} goes on taking memory");
}

fn stack(cell: CellKind, directions: Directions) -> (Stack<AnyCell>, Parameters<f32>) {
    let mut layout = Layout::new();
    let below = directions.count() * SIZE;
    let cells = vec![cell.build(SIZE, SIZE), cell.build(below, SIZE)];
    let options = StackOptions {
        directions,
        dropout: 0.1,
        learned_initial_state: true,
        regularization: Regularization::NONE,
    };
    let stack = Stack::add(&mut layout, "", cells, options);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    let mut generator = Generator::new(1, 0);
    parameters.as_mut_slice().iter_mut().for_each(|value| *value = 0.2 * generator.normal::<f32>());
    (stack, parameters)
}

/// A training step of layers: forward and all gradients.
fn train(compute: &Compute, cell: CellKind, directions: Directions, lengths: &Lengths) {
    let (stack, parameters) = stack(cell, directions);
    let mut gradients = parameters.zeros_like();
    let x = Matrix::from_fn(SIZE, lengths.columns(), |r, j| ((r * 5 + j) % 7) as f32 - 3.0);
    let mut d_x = Matrix::zeros(SIZE, lengths.columns());
    let (initial, mut tape) = (stack.initial_state(&parameters, lengths.batch()), Tape::new());
    let threads = compute.threads();
    assert_settles(&format!("{cell:?}, {directions:?}, {threads} threads"), || {
        let input = Input::Columns(x.as_ref());
        let run = stack.run(compute, &parameters, input, &initial, lengths, None, &mut tape);
        let mut turned = run.turn();
        turned.output_and_gradient().1.fill(1.0);
        let input = InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
        stack.run_backward(turned, compute, &parameters, input, &mut gradients, &());
    });
}

#[test]
fn passes_that_have_found_their_memory_take_no_more() {
    let ragged = Lengths::new(&[9, 30, 2, 30, 17, 8, 8, 8, 12, 5]).with_resets(&[(1, 4)]);
    let cells = [CellKind::RnnTanh, CellKind::Gru, CellKind::Lstm];
    for threads in [1, 2] {
        let compute = Compute::new(threads).unwrap();
        for cell in cells {
            for directions in [Directions::Forward, Directions::Both] {
                train(&compute, cell, directions, &ragged);
                train(&compute, cell, directions, &Lengths::equal(16, 40));
            }
            stream(&compute, cell);
            inference(&compute, cell, &ragged);
            whole_model(&compute, cell);
        }
    }
    for cell in cells {
        weighted(cell);
    }
}

fn stream(compute: &Compute, cell: CellKind) {
    let (stack, parameters) = stack(cell, Directions::Forward);
    for batch in [1, 5] {
        let x = Matrix::from_fn(SIZE, batch, |r, j| (r + j) as f32 * 0.1);
        let mut stream = StackStream::new(compute, &stack, &parameters, batch);
        assert_settles(&format!("a stream of {cell:?}"), || {
            stream.step(Input::Columns(x.as_ref()));
        });
    }
}

fn inference(compute: &Compute, cell: CellKind, lengths: &Lengths) {
    let (stack, parameters) = stack(cell, Directions::Forward);
    let mut inference = StackInference::new(compute, &stack, &parameters);
    let x = Matrix::from_fn(SIZE, lengths.columns(), |r, j| (r + j) as f32 * 0.01);
    let initial = stack.initial_state(&parameters, lengths.batch());
    assert_settles(&format!("inference of {cell:?}"), || {
        inference.run(Input::Columns(x.as_ref()), &initial, lengths);
    });
}

/// A model that writes token by token.
fn whole_model(compute: &Compute, cell: CellKind) {
    let input = InputConfig::Tokens { vocabulary_size: 9, encoding: TokenEncoding::OneHot };
    let stack = StackConfig {
        cell,
        hidden_size: SIZE,
        num_layers: 2,
        bidirectional: false,
        dropout: 0.0,
        regularization: Regularization::NONE,
    };
    let model = ManyToManyConfig { input, stack, output_size: 9 }.build().unwrap();
    let parameters = Parameters::<f32>::zeros(Arc::clone(model.layout()));
    let mut stream = model.stream(compute, parameters, 3);
    assert_settles(&format!("a model of {cell:?} that writes"), || {
        stream.step(&[1, 8, 0]);
    });
}

/// A cell alone with its weights.
fn weighted(kind: CellKind) {
    let (cell, mut layout) = (kind.build(SIZE, SIZE), Layout::new());
    let slots = CellSlots::add(&mut layout, cell.shape(), "", "");
    let c_size = cell.shape().cell_size;
    let parameters = Parameters::<f32>::zeros(Arc::new(layout));
    let mut weighted = WeightedCell::new(cell, slots, parameters);
    let (x, mut h, mut c) = ([0.5; SIZE], [0.0; SIZE], vec![0.0; c_size]);
    assert_settles(&format!("a step of {kind:?}"), || weighted.step(&x, &mut h, &mut c));
}
