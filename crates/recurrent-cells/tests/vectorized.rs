//! The gate arithmetic really uses the processor's vectors.
//!
//! Code that the compiler fails to inline or to vectorise gives the same bits, so only the clock
//! can tell. The margins are wide: vectors are ten to thirty times faster here, and a busy
//! machine slows both sides.

use std::time::{Duration, Instant};

use recurrent_cells::{
    Backward, Cell, Forward, Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Reset, Rnn, StateRef,
};
use recurrent_kernels::{Level, Matrix};

const SIZE: usize = 128;
const COLUMNS: usize = 8;

/// The shortest of several passes, forward and backward.
#[allow(clippy::disallowed_methods)] // the clock is what this test looks at
fn shortest(cell: &impl Cell, level: Level) -> [Duration; 2] {
    let shape = cell.shape();
    let numbers = |rows: usize| {
        Matrix::from_fn(rows, COLUMNS, |r, j| ((r * 7 + j * 3) % 13) as f32 * 0.1 - 0.6)
    };
    let bias = vec![0.1; shape.tape_rows];
    let peephole = vec![0.1; shape.peephole_size];
    let mut d_inner = numbers(shape.inner_size);
    let (h_previous, c_previous) = (numbers(SIZE), numbers(shape.cell_size));
    let (mut h, mut c) = (numbers(SIZE), numbers(shape.cell_size));
    let (d_h, mut d_c, mut d_h_previous) = (numbers(SIZE), numbers(shape.cell_size), numbers(SIZE));
    let previous = StateRef { h: h_previous.as_ref(), c: c_previous.as_ref() };
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..50 {
        let mut tape = numbers(shape.tape_rows);
        let start = Instant::now();
        let (next_h, next_c) = (h.as_mut(), c.as_mut());
        let step = Forward {
            tape: tape.as_mut(),
            bias: &bias,
            peephole: &peephole,
            norm: &[],
            previous,
            h: next_h,
            c: next_c,
        };
        cell.pointwise(level, 0, step);
        shortest[0] = shortest[0].min(start.elapsed());
        let start = Instant::now();
        let step = Backward {
            tape: tape.as_mut(),
            peephole: &peephole,
            norm: &[],
            previous,
            next: StateRef { h: h.as_ref(), c: c.as_ref() },
            d_h: d_h.as_ref(),
            d_c: d_c.as_mut(),
            d_inner: d_inner.as_mut(),
            d_h_previous: d_h_previous.as_mut(),
        };
        cell.pointwise_backward(level, 0, step);
        shortest[1] = shortest[1].min(start.elapsed());
    }
    shortest
}

/// `least` is how many times faster vectors must be, forward and backward.
fn check(name: &str, cell: &impl Cell, least: [u32; 2]) {
    if Level::detect() == Level::SCALAR {
        return;
    }
    let (scalar, vector) = (shortest(cell, Level::SCALAR), shortest(cell, Level::detect()));
    for pass in 0..2 {
        assert!(
            scalar[pass] >= vector[pass] * least[pass],
            "{name}, pass {pass}: {:?} with vectors, {:?} without",
            vector[pass],
            scalar[pass]
        );
    }
}

#[test]
fn vectors_are_used() {
    check("LSTM", &Lstm::new(1, SIZE), [6, 4]);
    // A GRU's backward has no activation in it and is fast without vectors too.
    check("GRU", &Gru::new(1, SIZE), [6, 0]);
    let clip = Some(2.0);
    let options = LstmOptions { peephole: true, clip, ..LstmOptions::default() };
    check("LSTM with peepholes and clip", &Lstm::with_options(1, SIZE, options), [6, 4]);
    let options = LstmOptions { coupled: true, proj_size: Some(SIZE), ..LstmOptions::default() };
    check("coupled, projected LSTM", &Lstm::with_options(1, SIZE, options), [6, 4]);
    let options = GruOptions { reset: Reset::Before, clip, ..GruOptions::default() };
    check("first phase of a GRU", &Gru::with_options(1, SIZE, options), [6, 0]);
    // The other functions of an RNN are a comparison or nothing.
    check("RNN", &Rnn::new(1, SIZE, Nonlinearity::Tanh), [6, 0]);
}
