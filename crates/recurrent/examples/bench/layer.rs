//! One layer of ours, ready to be timed.

use std::sync::Arc;

use recurrent_cells::{Cell, Gru, Layout, Lstm, Nonlinearity, Parameters, Rnn, initialize};
use recurrent_kernels::{Compute, Matrix, random::Generator};
use recurrent_topologies::{
    Input, InputGradient, Lengths, Stack, StackInference, StackOptions, StackStream, Tape,
};
use serde::Serialize;

use crate::model::{self, VOCABULARY};

/// What a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Forward.
    Infer,
    /// Forward and backward.
    Train,
    /// A whole update of a language model.
    Learn,
    /// A language model writes so many characters.
    Write,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Infer => "infer",
            Mode::Train => "train",
            Mode::Learn => "learn",
            Mode::Write => "write",
        }
    }
}

/// The kind and the sizes of a layer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Shape {
    pub(crate) cell: &'static str,
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) mode: Mode,
}

impl Shape {
    /// Multiply-adds of all products, counted twice.
    pub(crate) fn operations(&self) -> f64 {
        let gates = match self.cell {
            "lstm" => 4,
            "gru" => 3,
            _ => 1,
        };
        let times = if matches!(self.mode, Mode::Train | Mode::Learn) { 3 } else { 1 };
        let (gates, sizes) = (gates * self.hidden, self.input + self.hidden);
        let readout = match self.mode {
            Mode::Infer | Mode::Train => 0,
            Mode::Learn | Mode::Write => self.hidden * VOCABULARY,
        };
        (2 * times * self.steps * self.batch * (gates * sizes + readout)) as f64
    }

    pub(crate) fn name(&self) -> String {
        let Shape { cell, batch, steps, input, hidden, mode } = self;
        format!("{cell} {batch},{steps},{input},{hidden} {}", mode.name())
    }
}

/// Something that can be timed: one call is one pass.
pub(crate) type Work = Box<dyn FnMut()>;

/// The pass of a row.
pub(crate) fn work(shape: Shape, compute: &Compute) -> Work {
    let Shape { batch, steps, mode, .. } = shape;
    if matches!(mode, Mode::Learn | Mode::Write) {
        return model::work(shape, compute);
    }
    of_lengths(shape, Lengths::equal(batch, steps), compute)
}

/// The pass of a layer over sequences of other lengths.
pub(crate) fn of_lengths(shape: Shape, lengths: Lengths, compute: &Compute) -> Work {
    let Shape { cell, input, hidden, .. } = shape;
    match cell {
        "lstm" => of_cell(Lstm::new(input, hidden), shape, lengths, compute),
        "gru" => of_cell(Gru::new(input, hidden), shape, lengths, compute),
        _ => of_cell(Rnn::new(input, hidden, Nonlinearity::Tanh), shape, lengths, compute),
    }
}

fn of_cell<C: Cell + 'static>(cell: C, shape: Shape, lengths: Lengths, compute: &Compute) -> Work {
    let Shape { batch, steps, input, hidden, mode, .. } = shape;
    let columns = lengths.columns();
    let mut layout = Layout::new();
    let stack = Stack::add(&mut layout, "rnn.", vec![cell], StackOptions::default());
    let mut parameters = Parameters::<f32>::zeros(Arc::new(layout));
    let mut generator = Generator::new(1, 0);
    for (cell, slots) in stack.cells() {
        initialize::recurrent(&mut generator, &mut parameters, cell, slots);
    }
    let mut random =
        |rows, columns| Matrix::from_fn(rows, columns, |_, _| generator.uniform::<f32>() - 0.5);
    let (x, d_output) = (random(input, columns), random(hidden, columns));
    let compute = compute.clone();
    if mode == Mode::Infer && steps == 1 {
        // One step at a time is what a stream is for.
        let mut stream = StackStream::new(&compute, &stack, &parameters, batch);
        return Box::new(move || {
            stream.step(Input::Columns(x.as_ref()));
        });
    }
    let zero = stack.zero_state(batch);
    if mode == Mode::Infer {
        let mut inference = StackInference::new(&compute, &stack, &parameters);
        return Box::new(move || {
            inference.run(Input::Columns(x.as_ref()), &zero, &lengths);
        });
    }
    let mut gradients = parameters.zeros_like();
    let (mut d_x, mut tape) = (Matrix::zeros(input, columns), Tape::new());
    Box::new(move || {
        let input = Input::Columns(x.as_ref());
        let run = stack.run(&compute, &parameters, input, &zero, &lengths, None, &mut tape);
        gradients.as_mut_slice().fill(0.0);
        let mut turned = run.turn();
        let (_, mut d_h) = turned.output_and_gradient();
        d_h.copy_from(d_output.as_ref());
        let input = InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
        stack.run_backward(turned, &compute, &parameters, input, &mut gradients, &());
    })
}
