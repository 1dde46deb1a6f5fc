//! Parity with ONNX Runtime for the options that PyTorch lacks: peepholes, coupled gates, clip, the
//! reset before the product; from the golden files in `tests/onnx` (`generate.py` made them).
//!
//! ONNX Runtime computes these in single precision and forward only. The files also hold the same
//! equations in double precision and their gradients, by PyTorch's automatic differentiation of a
//! cell that the generator holds against ONNX Runtime.

use std::path::Path;

use recurrent_kernels::{Compute, Real};
use recurrent_testkit::golden::{Golden, Pass, Replay, Tolerance, files};
use recurrent_topologies::Tape;

fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    files(&folder).iter().map(|path| Golden::read(path)).collect()
}

fn passes<T: Real>() -> impl Iterator<Item = (Golden, Pass<T>)> {
    goldens().into_iter().map(|golden| {
        let pass = Replay::new(&golden).pass(&Compute::sequential(), &mut Tape::new());
        (golden, pass)
    })
}

#[test]
fn every_option_is_there() {
    let names: Vec<String> = goldens().iter().map(|golden| golden.name().to_string()).collect();
    assert_eq!(
        names,
        [
            "gru_reset_after_clip",
            "gru_reset_before",
            "gru_reset_before_clip",
            "lstm_clip",
            "lstm_coupled",
            "lstm_peephole",
            "lstm_peephole_coupled_clip",
            "lstm_peephole_reverse",
            "rnn_tanh_clip",
        ]
    );
}

#[test]
fn outputs_and_states_are_those_of_onnx_runtime() {
    for (golden, pass) in passes::<f32>() {
        pass.assert_outputs(&golden, "", Tolerance::OfLargest(1e-5));
    }
}

#[test]
fn double_precision_and_gradients_are_those_of_the_same_equations() {
    for (golden, pass) in passes::<f64>() {
        pass.assert_outputs(&golden, "64", Tolerance::Relative(1e-10));
        pass.assert_gradients(&golden, Tolerance::Relative(1e-10));
    }
    for (golden, pass) in passes::<f32>() {
        pass.assert_gradients(&golden, Tolerance::OfLargest(1e-5));
    }
}
