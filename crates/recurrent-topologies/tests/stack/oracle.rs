//! Stacks against cells written as scalar loops.

use proptest::prelude::*;
use recurrent_cells::CellKind;
use recurrent_kernels::Compute;
use recurrent_testkit::oracle::{Weights, gru_step, lstm_step};
use recurrent_topologies::{Input, Tape};

use crate::case::{Case, shapes};

/// h of the last layer at every step of one sequence, by the scalar oracle.
fn oracle(case: &Case<f64>, cell: CellKind, sequence: usize) -> Vec<Vec<f64>> {
    let length = case.lengths.length(sequence);
    let mut inputs: Vec<Vec<f64>> = (0..length)
        .map(|t| case.x.as_ref().column(case.lengths.column(sequence, t)).to_vec())
        .collect();
    for ((_, slots), state) in case.stack.layers().zip(&case.initial.layers) {
        let (ih, hh) = (case.parameters.get(slots.weight_ih), case.parameters.get(slots.weight_hh));
        let weights = Weights {
            ih: &|row, column| ih.column(column)[row],
            hh: &|row, column| hh.column(column)[row],
            bias_ih: case.parameters.slice(slots.bias_ih),
            bias_hh: case.parameters.slice(slots.bias_hh),
        };
        let mut h = state.h.as_ref().column(sequence).to_vec();
        let mut c = state.c.as_ref().column(sequence).to_vec();
        for x in &mut inputs {
            match cell {
                CellKind::Lstm => (h, c) = lstm_step(&weights, x, &h, &c),
                CellKind::Gru => h = gru_step(&weights, x, &h),
                other => panic!("no oracle for {other:?}"),
            }
            x.clone_from(&h);
        }
    }
    inputs
}

proptest! {
    #[test]
    fn outputs_agree_with_the_scalar_oracle(shape in shapes(9, 5)) {
        let case = shape.build::<f64>();
        let (compute, mut tape) = (Compute::sequential(), Tape::new());
        let Case { stack, parameters, lengths, x, initial, .. } = &case;
        let input = Input::Columns(x.as_ref());
        let recorded = stack.run(&compute, parameters, input, initial, lengths, None, &mut tape);
        for sequence in 0..lengths.batch() {
            for (t, expected) in oracle(&case, shape.cell, sequence).iter().enumerate() {
                let h = recorded.output().column(lengths.column(sequence, t));
                for (got, expected) in h.iter().zip(expected) {
                    prop_assert!((got - expected).abs() < 1e-13, "{got} and {expected}");
                }
            }
        }
    }
}
