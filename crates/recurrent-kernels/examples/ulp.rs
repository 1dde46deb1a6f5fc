//! Measures the error of exp, sigmoid and tanh in f32 over all 2^32 inputs, on two threads.
//!
//! Prints the worst input and its error in units in the last place, and fails if a stated bound
//! does not hold. Takes a few minutes: `cargo run --release -p recurrent-kernels --example ulp`.
#![allow(clippy::print_stdout)] // printing is all that this program is for

#[path = "../tests/support/truth.rs"]
mod truth;

use recurrent_kernels::{Level, activation};
use truth::{Apply, FUNCTIONS, ulp_error};

const CHUNK: u64 = 4096;

/// An input and its error.
type Worst = (f32, f64);

/// The worst input of each function among the bit patterns `first`, `first + step` ... chunks.
fn worst_of_every(step: u64, first: u64) -> [Worst; 3] {
    let level = Level::detect();
    let mut worst = [(0.0, 0.0); 3];
    let mut chunk = first;
    while chunk * CHUNK < 1 << 32 {
        let input: Vec<f32> =
            (0..CHUNK).map(|i| f32::from_bits((chunk * CHUNK + i) as u32)).collect();
        let mut results = [input.clone(), input.clone(), input.clone()];
        for (function, values) in results.iter_mut().enumerate() {
            level.run_elementwise(Apply(function, values));
        }
        for (function, result) in results.iter().enumerate() {
            for (&x, &y) in input.iter().zip(result) {
                let error = ulp_error(y, FUNCTIONS[function].1(f64::from(x)));
                if error > worst[function].1 {
                    worst[function] = (x, error);
                }
            }
        }
        chunk += step;
    }
    worst
}

fn main() {
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| worst_of_every(2, 1));
        (worst_of_every(2, 0), other.join().expect("the measuring thread panicked"))
    });
    let mut held = true;
    for (function, (name, _)) in FUNCTIONS.iter().enumerate() {
        let bound = activation::ULP_BOUNDS[function];
        let (x, error) = if first[function].1 >= second[function].1 {
            first[function]
        } else {
            second[function]
        };
        held &= error <= bound;
        println!(
            "{name:8} at most {error:.4} ULP, at {x:e} ({:#010x}); stated bound {bound}",
            x.to_bits()
        );
    }
    assert!(held, "a stated bound does not hold");
}
