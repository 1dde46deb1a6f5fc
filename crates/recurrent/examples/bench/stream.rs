//! One step at a time: how long it takes, and how long at worst.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use recurrent_kernels::Compute;

use crate::layer::{Mode, Shape, work};

/// Input and hidden sizes.
const SIZES: [(usize, usize); 3] = [(64, 64), (64, 512), (256, 256)];
const STEPS: usize = 200_000;

/// Times every step of a stream on its own. Nothing is allocated, locked or handed to a thread in
/// it, so what is far above the median is the system's doing: it gave the processor to another.
pub(crate) fn run() -> Result<()> {
    let compute = Compute::sequential();
    println!("one step of an LSTM for one sequence, {}, {STEPS} times", compute.level().name());
    println!(
        "{:>6} {:>6} {:>10} {:>10} {:>10} {:>10}",
        "input", "hidden", "median", "99 %", "99.99 %", "worst"
    );
    for (input, hidden) in SIZES {
        let mode = Mode::Infer;
        let mut step =
            work(Shape { cell: "lstm", batch: 1, steps: 1, input, hidden, mode }, &compute);
        (0..STEPS / 10).for_each(|_| step());
        let mut seconds = Vec::with_capacity(STEPS);
        for _ in 0..STEPS {
            let began = Instant::now();
            black_box(&mut step)();
            seconds.push(began.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * (STEPS - 1) as f64) as usize;
            format!("{:.2} us", seconds[place] * 1e6)
        };
        let [median, most, nearly_all, worst] = [0.5, 0.99, 0.9999, 1.0].map(at);
        println!("{input:>6} {hidden:>6} {median:>10} {most:>10} {nearly_all:>10} {worst:>10}");
    }
    Ok(())
}
