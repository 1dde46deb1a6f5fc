//! Speed of the packed product and of the door to faer, in GFLOP/s (`--release`).
#![allow(clippy::print_stdout)]
#![allow(clippy::single_range_in_vec_init)] // one range of rows is meant
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

use std::time::Instant;

use recurrent_kernels::{Accum, Columns, Compute, Matrix, Operand, Packed, gemm};

/// The best rate of several runs of `f`, which computes `flops` operations.
fn rate(flops: f64, mut f: impl FnMut()) -> f64 {
    let repeats = (1e8 / flops).ceil() as usize;
    let mut best = f64::INFINITY;
    for _ in 0..25 {
        let start = Instant::now();
        (0..repeats).for_each(|_| f());
        best = best.min(start.elapsed().as_secs_f64() / repeats as f64);
    }
    flops / best / 1e9
}

fn filled(rows: usize, columns: usize) -> Matrix<f32> {
    Matrix::from_fn(rows, columns, |r, j| ((r * 7 + j * 13) % 31) as f32 / 31.0 - 0.5)
}

fn main() {
    let one = Compute::sequential();
    let two = Compute::new(2).expect("two threads");
    let replace = |compute: &Compute, out: &mut Matrix<f32>, w: Columns<f32>, x: Columns<f32>| {
        gemm(compute, out.as_mut(), Accum::Replace, Operand::Plain(w), Operand::Plain(x));
    };
    println!("level {}; M K B: packed, packed on 2 threads, faer", one.level().name());
    for (m, k, b) in [
        (512, 512, 512),
        (512, 128, 1),
        (512, 128, 16),
        (512, 128, 32),
        (1024, 256, 1),
        (1024, 256, 64),
        (2048, 512, 32),
        (65, 128, 2048),
        (512, 128, 2048),
    ] {
        let (w, x, mut out) = (filled(m, k), filled(k, b), filled(m, b));
        let mut packed = Packed::new();
        packed.pack(&one, w.as_ref(), &[0..m]);
        let flops = 2.0 * (m * k * b) as f64;
        let alone = rate(flops, || one.product(out.as_mut(), Accum::Add, &packed, x.as_ref()));
        let both = rate(flops, || two.product(out.as_mut(), Accum::Add, &packed, x.as_ref()));
        let faer = rate(flops, || replace(&one, &mut out, w.as_ref(), x.as_ref()));
        println!("{m:5} {k:4} {b:5}: {alone:6.1} {both:6.1} {faer:6.1}");
    }
    println!("weight gradient d_gates x^T, and d_x = W^T d_gates: 1 thread, 2 threads");
    for (gates, inputs, n) in [(512, 128, 2048), (1024, 256, 4096)] {
        let (d_gates, x, w) = (filled(gates, n), filled(inputs, n), filled(gates, inputs));
        let (mut d_w, mut d_x) = (filled(gates, inputs), filled(inputs, n));
        let flops = 2.0 * (gates * inputs * n) as f64;
        for compute in [&one, &two] {
            let (d_gates, x) = (Operand::Plain(d_gates.as_ref()), x.as_ref());
            let weights = rate(flops, || {
                gemm(compute, d_w.as_mut(), Accum::Add, d_gates, Operand::Transposed(x));
            });
            let transposed = Operand::Transposed(w.as_ref());
            let input = rate(flops, || {
                gemm(compute, d_x.as_mut(), Accum::Replace, transposed, d_gates);
            });
            let threads = compute.threads();
            println!("{gates:5} {inputs:4} {n:5}, {threads} threads: {weights:6.1} {input:6.1}");
        }
    }
}
