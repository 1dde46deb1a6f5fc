//! Why the steps of a recurrent network share their weights.
//!
//! A letter, one of 8, stands among fillers, and from there on it is to be named. In training it
//! comes at step 3 or 7, in the test at any step. A network whose steps share their weights names it
//! wherever it stands. One that has weights of its own for each step learns to read letters at steps
//! 3 and 7, where they came, and no other step learns anything of them.
//!
//! ```text
//! cargo run --release -p recurrent-training --example untied_weights
//! ```

#![allow(clippy::print_stdout)] // an example shows what it does

mod experiment;
mod network;

use experiment::{
    BATCH, Batch, LETTERS, STEPS, TRAINED, TRAINING, accuracy, gradients, network, train,
};
use network::Weights;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute};

const SEED: u64 = 1;

fn main() {
    let (shared, untied) = (network(Weights::Shared), network(Weights::Untied));

    // Before the first update both are one function.
    let compute = Compute::sequential();
    let batch = Batch::draw(&mut Generator::new(SEED, TRAINING), BATCH, &TRAINED);
    let (loss, d_shared) = gradients(&compute, &shared, &shared.initialize(SEED), &batch);
    let (same, d_untied) = gradients(&compute, &untied, &untied.initialize(SEED), &batch);
    let d_sum = untied.sum_over_steps(&shared, &d_untied);
    println!("Fresh weights, the first batch: loss {loss:.6} (shared), {same:.6} (untied).\n");
    println!("gradient's norm      W_ih    its letters      W_hh");
    let row = |name: &str, weight_ih: Columns<'_, f64>, weight_hh: Columns<'_, f64>| {
        let letters = weight_ih.columns_range(0..LETTERS);
        let [a, b, c] = [weight_ih, letters, weight_hh].map(norm);
        println!("{name:15}  {a:>8.6}       {b:>8.6}  {c:>8.6}");
    };
    for t in 0..STEPS {
        let set = untied.set(t);
        let (d_ih, d_hh) = (d_untied.get(set.weight_ih), d_untied.get(set.weight_hh));
        row(&format!("untied, step {}", t + 1), d_ih, d_hh);
    }
    let set = shared.set(0);
    row("their sum", d_sum.get(set.weight_ih), d_sum.get(set.weight_hh));
    row("shared", d_shared.get(set.weight_ih), d_shared.get(set.weight_hh));
    let pairs = d_sum.as_slice().iter().zip(d_shared.as_slice());
    let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("No number of their sum is further than {apart:.1e} from the shared one.\n");

    println!("After training, letters named:");
    println!("it stands at step  {}", (1..=STEPS).map(|t| format!("{t:>6}")).collect::<String>());
    for (name, network) in [("shared", &shared), ("untied", &untied)] {
        let parameters = train(network, SEED, |_| ());
        let named = (1..=STEPS).map(|place| 100.0 * accuracy(network, &parameters, SEED, place));
        let named: String = named.map(|named| format!("{named:>5.0}%")).collect();
        println!("{name:17}  {named}");
    }
}

/// The Euclidean norm of a block.
fn norm(block: Columns<'_, f64>) -> f64 {
    let squares = (0..block.columns()).flat_map(|j| block.column(j)).map(|x| x * x);
    squares.sum::<f64>().sqrt()
}
