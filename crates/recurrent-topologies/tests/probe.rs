//! What a probe sees: every step of every layer once, gates before they are overwritten, and the
//! gradients that backward really uses.

use std::sync::Mutex;

use recurrent_cells::Lstm;
use recurrent_kernels::{Compute, Matrix};
use recurrent_testkit::case::{Case, Shape, fill};
use recurrent_topologies::{
    Direction, Directions, Input, InputGradient, Observation, Probe, StackOptions, Tape,
};

/// Block (layers times directions), step, first sequence, and a copy of gates and gradients.
type Seen = (usize, usize, usize, Vec<f64>, Vec<f64>, Vec<f64>);

#[derive(Default)]
struct Record(Mutex<Vec<Seen>>);

impl Probe<f64> for Record {
    fn observe(&self, seen: Observation<'_, f64>) {
        let copy = |block: recurrent_kernels::Columns<'_, f64>| {
            (0..block.columns()).flat_map(|j| block.column(j).to_vec()).collect::<Vec<_>>()
        };
        let Observation { layer, direction, t, sequences, tape, c, d_h, d_c, .. } = seen;
        let layer = 2 * layer + usize::from(direction == Direction::Reverse);
        assert_eq!([tape.columns(), c.columns(), d_h.columns()], [sequences.len(); 3]);
        let line = (layer, t, sequences.start, copy(tape), copy(d_h), copy(d_c));
        self.0.lock().unwrap().push(line);
    }
}

fn observe(threads: usize) -> (Vec<Seen>, Matrix<f64>) {
    let shape = Shape {
        input_size: 3,
        hidden_size: 4,
        num_layers: 2,
        options: StackOptions { directions: Directions::Both, ..StackOptions::default() },
        lengths: vec![2, 5, 5, 3, 1, 4, 5, 5, 5, 2],
        resets: vec![],
        seed: 7,
    };
    let mut case = shape.build::<_, f64>(Lstm::new);
    let mut d_output = Matrix::zeros(8, case.lengths.columns());
    fill(&mut case.generator, d_output.as_mut_slice(), 1.0);
    let compute = Compute::new(threads).unwrap();
    let Case { stack, parameters, lengths, x, initial, .. } = &case;
    let mut tape = Tape::new();
    let input = Input::Columns(x.as_ref());
    let recorded = stack.run(&compute, parameters, input, initial, lengths, None, &mut tape);
    let mut turned = recorded.turn();
    turned.output_and_gradient().1.copy_from(d_output.as_ref());
    let (record, mut gradients) = (Record::default(), parameters.zeros_like());
    let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
    let _ = stack.run_backward(turned, &compute, parameters, input, &mut gradients, &record);
    let mut seen = record.0.into_inner().unwrap();
    seen.sort_by_key(|line| (line.0, line.1, line.2));
    (seen, d_output)
}

#[test]
fn every_step_is_seen_once_with_gates_and_gradients() {
    let (seen, d_output) = observe(1);
    let steps: Vec<_> = seen.iter().map(|line| (line.0, line.1)).collect();
    let expected: Vec<_> = (0..4).flat_map(|layer| (0..5).map(move |t| (layer, t))).collect();
    assert_eq!(steps, expected);
    for (layer, t, _, gates, d_h, d_c) in &seen {
        // i, f and o lie in (0, 1): gradients would not.
        for (row, gate) in gates.iter().enumerate() {
            let least = if row % 16 / 4 == 2 { -1.0 } else { 0.0 };
            assert!(*gate > least && *gate < 1.0, "layer {layer}, step {t}: gate {gate}");
        }
        // The last layer's last step, which for the reverse direction is step 0: nothing comes from
        // a later one, and the gradient is that of the output.
        let columns = match (*layer, *t) {
            (2, 4) => Some(d_output.columns() - d_h.len() / 4..d_output.columns()),
            (3, 0) => Some(0..d_h.len() / 4),
            _ => None,
        };
        if let Some(columns) = columns {
            let rows = if *layer == 2 { 0..4 } else { 4..8 };
            let own = d_output.as_ref().columns_range(columns).rows_range(rows);
            let last: Vec<f64> = (0..own.columns()).flat_map(|j| own.column(j).to_vec()).collect();
            assert_eq!(*d_h, last);
            assert!(d_c.iter().all(|&d| d == 0.0));
        } else {
            assert!(d_h.iter().any(|&d| d != 0.0));
        }
    }
}

#[test]
fn threads_see_together_what_one_sees() {
    let whole = |seen: Vec<Seen>| {
        let mut joined: Vec<Seen> = Vec::new();
        for line in seen {
            match joined.last_mut() {
                Some(last) if (last.0, last.1) == (line.0, line.1) => {
                    last.3.extend(line.3);
                    last.4.extend(line.4);
                    last.5.extend(line.5);
                }
                _ => joined.push(line),
            }
        }
        joined
    };
    let (two, _) = observe(2);
    assert!(two.len() > 10, "two threads share the sequences");
    assert_eq!(whole(two), whole(observe(1).0));
}
