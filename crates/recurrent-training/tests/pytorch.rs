//! Parity with PyTorch: outputs, final states, all gradients and ten steps of Adam, from the golden
//! files in `tests/pytorch` (`generate.py` made them).

use std::path::{Path, PathBuf};

use recurrent_kernels::{Compute, Real};
use recurrent_testkit::golden::{Golden, Replay, Tolerance, files};
use recurrent_topologies::Tape;
use recurrent_training::{Optimizer, OptimizerConfig};

fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch");
    let models = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem != "optimizers");
    files(&folder).iter().filter(|path| models(path)).map(|path| Golden::read(path)).collect()
}

const DOUBLE: Tolerance = Tolerance::Relative(1e-10);
const SINGLE: Tolerance = Tolerance::OfLargest(1e-5);

fn one_pass<T: Real>(tolerance: Tolerance) {
    for golden in goldens() {
        let replay = Replay::<T>::new(&golden);
        let pass = replay.pass(&Compute::sequential(), &mut Tape::new());
        pass.assert_outputs(&golden, "", tolerance);
        pass.assert_gradients(&golden, tolerance);
    }
}

#[test]
fn every_cell_depth_direction_and_packing_is_there() {
    let names: Vec<String> = goldens().iter().map(|golden| golden.name().to_string()).collect();
    let mut expected = Vec::new();
    for cell in ["gru", "lstm", "lstm_proj", "rnn_relu", "rnn_tanh"] {
        for layers in [1, 3] {
            for direction in ["bi", "uni"] {
                for batch in ["packed", "regular"] {
                    expected.push(format!("{cell}_{layers}_{direction}_{batch}"));
                }
            }
        }
    }
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn outputs_states_and_gradients_in_double_precision() {
    one_pass::<f64>(DOUBLE);
}

#[test]
fn outputs_states_and_gradients_in_single_precision() {
    one_pass::<f32>(SINGLE);
}

#[test]
fn ten_steps_of_adam() {
    for golden in goldens() {
        let (compute, mut tape) = (Compute::sequential(), Tape::new());
        let mut replay = Replay::<f64>::new(&golden);
        let mut optimizer = Optimizer::new(OptimizerConfig::ADAM, &replay.parameters);
        let mut losses = Vec::new();
        for step in 1..=10 {
            let pass = replay.pass(&compute, &mut tape);
            losses.push(pass.loss);
            optimizer.step(&compute, &mut replay.parameters, &pass.gradients, 0.01, step);
        }
        losses.push(replay.pass(&compute, &mut tape).loss);
        golden.assert_close("adam_losses", &losses, DOUBLE);
        replay.parameters.visit(|entry, data| {
            golden.assert_close(&format!("adam_{}", entry.name), &entry.to_pytorch(data), DOUBLE);
        });
    }
}
