//! A stack as a golden file describes it, run forward and back on the numbers of the formula.

use std::sync::Arc;

use recurrent_cells::{
    AnyCell, Biases, Cell, Gru, GruOptions, Layout, Lstm, LstmOptions, Nonlinearity, Parameters,
    Reset, Rnn, RnnOptions,
};
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_topologies::{
    Directions, Input, InputGradient, Lengths, Stack, StackOptions, State, Tape,
};

use super::{Golden, numbers};

/// Where the numbers of inputs and states begin; parameters are tensors from 0 on.
const X: usize = 1100;
const H_0: usize = 2250;
const C_0: usize = 3370;
const TARGET: usize = 4490;
const V_H: usize = 5610;
const V_C: usize = 6730;

/// The model and the data of a golden file.
pub struct Replay<T> {
    /// The layers.
    pub stack: Stack<AnyCell>,
    /// The parameters of the formula.
    pub parameters: Parameters<T>,
    lengths: Lengths,
    x: Matrix<T>,
    target: Matrix<T>,
    initial: State<T>,
    /// What the final states are multiplied with in the loss.
    weights: State<T>,
}

/// What a pass gives.
pub struct Pass<T> {
    /// `0.5 * sum (output - target)^2 + sum h_n v_h + sum c_n v_c`
    pub loss: f64,
    /// Its gradient by the parameters.
    pub gradients: Parameters<T>,
    /// By sequence in the caller's order, each step after step.
    pub outputs: Vec<Vec<f64>>,
    /// By block, each sequence after sequence.
    pub final_state: Vec<(Vec<f64>, Vec<f64>)>,
    /// As `outputs`.
    pub d_x: Vec<Vec<f64>>,
    /// As `final_state`.
    pub d_initial: Vec<(Vec<f64>, Vec<f64>)>,
}

fn cell(golden: &Golden, input_size: usize) -> AnyCell {
    let hidden_size = golden.size("hidden_size");
    let proj_size = golden.setting("proj_size").map(|_| golden.size("proj_size"));
    let clip = golden.setting("clip").map(|_| golden.values("clip")[0]);
    let is = |name: &str, value: &str| golden.setting(name) == Some(value);
    let biases = Biases::Two;
    match golden.setting("cell") {
        Some(name @ ("rnn_tanh" | "rnn_relu")) => {
            let relu = name == "rnn_relu";
            let f = if relu { Nonlinearity::Relu } else { Nonlinearity::Tanh };
            Rnn::with_options(input_size, hidden_size, f, RnnOptions { clip, biases }).into()
        }
        Some("lstm" | "lstm_proj") => {
            let (peephole, coupled) = (is("peephole", "true"), is("coupled", "true"));
            let options =
                LstmOptions { peephole, coupled, clip, proj_size, layer_norm: false, biases };
            Lstm::with_options(input_size, hidden_size, options).into()
        }
        Some("gru") => {
            let reset = if is("reset", "before") { Reset::Before } else { Reset::After };
            Gru::with_options(input_size, hidden_size, GruOptions { reset, clip, biases }).into()
        }
        other => panic!("{}: no cell {other:?}", golden.name()),
    }
}

impl<T: Real> Replay<T> {
    /// Reads the settings and makes the numbers.
    ///
    /// # Panics
    /// If a setting is missing or unknown.
    #[track_caller]
    pub fn new(golden: &Golden) -> Self {
        let (input_size, num_layers) = (golden.size("input_size"), golden.size("num_layers"));
        let directions = golden.size("directions");
        let output_size = directions * cell(golden, input_size).shape().hidden_size;
        let cells = (0..num_layers)
            .map(|layer| cell(golden, if layer == 0 { input_size } else { output_size }))
            .collect();
        let mut layout = Layout::new();
        let directions = match (directions, golden.setting("direction")) {
            (2, _) => Directions::Both,
            (_, Some("reverse")) => Directions::Reverse,
            _ => Directions::Forward,
        };
        let options = StackOptions { directions, ..StackOptions::default() };
        let stack = Stack::add(&mut layout, "", cells, options);
        let mut parameters = Parameters::zeros(Arc::new(layout));
        let mut tensor = 0;
        parameters.visit_mut(|entry, data| {
            entry.fill_from_pytorch(&to::<T>(&numbers(tensor, data.len(), 1.6)), data);
            tensor += 1;
        });
        let given: Vec<usize> =
            golden.values("lengths").into_iter().map(|length| length as usize).collect();
        let lengths = Lengths::new(&given);
        let blocks = |first: usize, rows: usize, scale: f64| {
            let mut block = Matrix::zeros(rows, lengths.columns());
            for (sequence, &length) in given.iter().enumerate() {
                let values = to::<T>(&numbers(first + sequence, length * rows, scale));
                for (t, step) in values.chunks(rows).enumerate() {
                    block.as_mut().column(lengths.column(sequence, t)).copy_from_slice(step);
                }
            }
            block
        };
        let (x, target) = (blocks(X, input_size, 2.0), blocks(TARGET, output_size, 1.0));
        let state = |h: usize, c: usize| {
            let mut state = stack.zero_state(lengths.batch());
            for (index, block) in state.layers.iter_mut().enumerate() {
                for (first, matrix) in [(h, &mut block.h), (c, &mut block.c)] {
                    let data = matrix.as_mut_slice();
                    // (batch, rows) row after row is our column after column.
                    data.copy_from_slice(&to::<T>(&numbers(first + index, data.len(), 1.0)));
                }
            }
            state
        };
        let (initial, weights) = (state(H_0, C_0), state(V_H, V_C));
        Replay { stack, parameters, lengths, x, target, initial, weights }
    }

    /// Forward and back.
    pub fn pass(&self, compute: &Compute, tape: &mut Tape<T>) -> Pass<T> {
        let Replay { stack, parameters, lengths, x, target, initial, weights } = self;
        let input = Input::Columns(x.as_ref());
        let recorded = stack.run(compute, parameters, input, initial, lengths, None, tape);
        let outputs = self.by_sequence(recorded.output());
        let mut last = initial.clone();
        recorded.final_state(&mut last);
        let mut loss = 0.0;
        for (block, weights) in last.layers.iter().zip(&weights.layers) {
            for (state, weight) in [(&block.h, &weights.h), (&block.c, &weights.c)] {
                let pairs = state.as_slice().iter().zip(weight.as_slice());
                loss += pairs.map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>();
            }
        }
        let mut turned = recorded.turn();
        let (output, mut d_output) = turned.output_and_gradient();
        for j in 0..output.columns() {
            for (r, d) in d_output.column(j).iter_mut().enumerate() {
                *d = output.column(j)[r] - target.as_ref().column(j)[r];
                loss += 0.5 * d.to_f64() * d.to_f64();
            }
        }
        turned.add_final_state_gradient(weights);
        let mut gradients = parameters.zeros_like();
        let mut d_x = Matrix::zeros(x.rows(), x.columns());
        let input = InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
        let reversed = stack.run_backward(turned, compute, parameters, input, &mut gradients, &());
        Pass {
            loss,
            gradients,
            outputs,
            final_state: blocks(&last),
            d_x: self.by_sequence(d_x.as_ref()),
            d_initial: blocks(&reversed.initial_state_gradient()),
        }
    }

    fn by_sequence(&self, block: recurrent_kernels::Columns<'_, T>) -> Vec<Vec<f64>> {
        (0..self.lengths.batch())
            .map(|sequence| {
                (0..self.lengths.length(sequence))
                    .flat_map(|t| block.column(self.lengths.column(sequence, t)))
                    .map(|x| x.to_f64())
                    .collect()
            })
            .collect()
    }
}

fn to<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

fn blocks<T: Real>(state: &State<T>) -> Vec<(Vec<f64>, Vec<f64>)> {
    let wide = |matrix: &Matrix<T>| matrix.as_slice().iter().map(|x| x.to_f64()).collect();
    state.layers.iter().map(|block| (wide(&block.h), wide(&block.c))).collect()
}

impl<T: Real> Pass<T> {
    /// h_n (or its gradient's counterpart) of all blocks in one.
    fn joined(blocks: &[(Vec<f64>, Vec<f64>)], c: bool) -> Vec<f64> {
        blocks.iter().flat_map(|(h, own_c)| if c { own_c } else { h }).copied().collect()
    }

    /// Compares outputs and final states with those of the file, whose names end with `suffix`
    /// before `_s{k}` and after `h_n`.
    ///
    /// # Panics
    /// Names what differs.
    #[track_caller]
    pub fn assert_outputs(&self, golden: &Golden, suffix: &str, tolerance: super::Tolerance) {
        for (sequence, output) in self.outputs.iter().enumerate() {
            golden.assert_close(&format!("output{suffix}_s{sequence}"), output, tolerance);
        }
        golden.assert_close(
            &format!("h_n{suffix}"),
            &Self::joined(&self.final_state, false),
            tolerance,
        );
        let c_n = Self::joined(&self.final_state, true);
        if !c_n.is_empty() {
            golden.assert_close(&format!("c_n{suffix}"), &c_n, tolerance);
        }
    }

    /// Compares the loss and all gradients with those of the file.
    ///
    /// # Panics
    /// Names what differs.
    #[track_caller]
    pub fn assert_gradients(&self, golden: &Golden, tolerance: super::Tolerance) {
        golden.assert_close("loss", &[self.loss], tolerance);
        for (sequence, d_x) in self.d_x.iter().enumerate() {
            golden.assert_close(&format!("d_x_s{sequence}"), d_x, tolerance);
        }
        golden.assert_close("d_h_0", &Self::joined(&self.d_initial, false), tolerance);
        let d_c_0 = Self::joined(&self.d_initial, true);
        if !d_c_0.is_empty() {
            golden.assert_close("d_c_0", &d_c_0, tolerance);
        }
        self.gradients.visit(|entry, data| {
            let gradient: Vec<f64> = entry.to_pytorch(data).iter().map(|x| x.to_f64()).collect();
            golden.assert_close(&format!("d_{}", entry.name), &gradient, tolerance);
        });
    }
}
