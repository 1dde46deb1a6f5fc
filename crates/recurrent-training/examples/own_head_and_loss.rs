//! Your own head and your own loss: a stack of cells below, and on top whatever you need.
//!
//! Here an LSTM reads 20 pairs of a number and a mark and learns the sum of the two marked numbers
//! (the adding problem of Hochreiter and Schmidhuber 1997): a linear head on its last h, and the
//! squared error. Between the two rules stand the thirty-odd lines that a model of your own takes.
//!
//! ```text
//! cargo run --release -p recurrent-training --example own_head_and_loss
//! ```

#![allow(clippy::print_stdout)] // an example shows what it does

use std::sync::Arc;

use recurrent_cells::{Layout, Linear, Lstm, PackedLinear, Parameters, initialize};
use recurrent_kernels::{Compute, Matrix, random::Generator};
use recurrent_topologies::{Input, InputGradient, Lengths, Stack, StackOptions, Tape};
use recurrent_training::{Optimizer, OptimizerConfig, clip_by_global_norm};

const BATCH: usize = 32;
const STEPS: usize = 20;

fn main() {
    let (compute, mut generator) = (Compute::sequential(), Generator::new(1, 0));
    // ------------------------------------------------------------------------------------------
    let mut layout = Layout::new();
    let stack = Stack::add(&mut layout, "rnn.", vec![Lstm::new(2, 32)], StackOptions::default());
    let head = Linear::add(&mut layout, "head", stack.output_size(), 1);
    let mut parameters = Parameters::<f32>::zeros(Arc::new(layout));
    for (cell, slots) in stack.cells() {
        initialize::recurrent(&mut generator, &mut parameters, cell, slots);
    }
    initialize::linear(&mut generator, &mut parameters, &head);
    let mut optimizer = Optimizer::new(OptimizerConfig::ADAM, &parameters);
    let (mut gradients, mut tape) = (parameters.zeros_like(), Tape::new());
    let (lengths, zero) = (Lengths::equal(BATCH, STEPS), stack.zero_state(BATCH));
    let last = lengths.offsets()[STEPS - 1]..lengths.columns(); // the columns of the last step
    let (mut packed, mut y) = (PackedLinear::default(), Matrix::zeros(1, BATCH));
    for step in 1..=1500 {
        let (x, target) = batch(&mut generator);
        // Forward.
        let input = Input::Columns(x.as_ref());
        let run = stack.run(&compute, &parameters, input, &zero, &lengths, None, &mut tape);
        packed.pack(&compute, &head, &parameters);
        packed.forward(&compute, run.output().columns_range(last.clone()), y.as_mut());
        // The loss, whose gradient takes the place of y: here forward turns round.
        let mut loss = 0.0;
        for (y, target) in y.as_mut_slice().iter_mut().zip(&target) {
            let error = *y - target;
            (loss, *y) = (loss + error * error / BATCH as f32, 2.0 * error / BATCH as f32);
        }
        // Backward.
        gradients.as_mut_slice().fill(0.0);
        let mut turned = run.turn();
        let (h, d_h) = turned.output_and_gradient();
        let (h, d_h) = (h.columns_range(last.clone()), d_h.columns_range(last.clone()));
        head.backward(&compute, &parameters, h, y.as_ref(), &mut gradients, d_h);
        let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
        stack.run_backward(turned, &compute, &parameters, input, &mut gradients, &());
        clip_by_global_norm(&compute, &mut gradients, 1.0);
        optimizer.step(&compute, &mut parameters, &gradients, 0.01, step);
        // --------------------------------------------------------------------------------------
        if step % 300 == 0 {
            println!("step {step}: mean squared error {loss:.4} (guessing the mean gives 0.167)");
        }
    }
}

/// Numbers in [0, 1) in row 0, marks in row 1, one in each half; a step's columns after another.
fn batch(generator: &mut Generator) -> (Matrix<f32>, Vec<f32>) {
    let mut x = Matrix::from_fn(2, BATCH * STEPS, |row, _| match row {
        0 => generator.uniform(),
        _ => 0.0,
    });
    let mut target = vec![0.0; BATCH];
    for (sequence, sum) in target.iter_mut().enumerate() {
        for half in [0, STEPS / 2] {
            let step = half + generator.below(STEPS as u64 / 2) as usize;
            let column = step * BATCH + sequence;
            *sum += x.as_ref().column(column)[0];
            x.as_mut().column(column)[1] = 1.0;
        }
    }
    (x, target)
}
