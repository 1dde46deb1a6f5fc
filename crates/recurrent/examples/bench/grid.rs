//! The rows, their timing, and the table.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, bail};
use recurrent_kernels::{Accum, Compute, Matrix, Operand, gemm};
use serde_json::{Map, json};

use crate::Arguments;
use crate::clock::Clock;
use crate::layer::{Mode, Shape, Work, work};
use crate::peers::Peer;

/// Batch, steps, input and hidden size.
pub(crate) const SIZES: [(usize, usize, usize, usize); 13] = [
    (1, 1, 64, 64),
    (1, 1, 64, 512),
    (1, 64, 32, 32),
    (1, 64, 128, 128),
    (1, 64, 512, 512),
    (8, 64, 128, 128),
    (32, 64, 32, 32),
    (32, 64, 128, 128),
    (32, 64, 256, 256),
    (32, 64, 512, 512),
    (64, 35, 650, 650),
    (128, 64, 128, 128),
    (64, 128, 1024, 1024),
];
pub(crate) const CELLS: [&str; 3] = ["lstm", "gru", "rnn"];
/// The same of whole models: those that learn, and those that write so many characters.
const LEARNERS: [(usize, usize, usize, usize); 2] = [(32, 64, 128, 128), (32, 64, 512, 512)];
const WRITERS: [(usize, usize, usize, usize); 2] = [(1, 500, 128, 128), (1, 500, 512, 512)];

/// Samples of each program in a row.
const SAMPLES: usize = 7;
const QUICK_SAMPLES: usize = 3;
/// A sample is as many passes as take at least so long.
const LEAST_SECONDS: f64 = 0.04;
/// Between two programs, so that the threads of the one have stopped waiting for more work before
/// the other begins; several wait long, in a loop that takes a processor from the next program.
const REST: Duration = Duration::from_millis(5);
const LONG_REST: Duration = Duration::from_millis(300);
/// Rows and columns of the product that a row is compared with.
const PRODUCT_SIZE: usize = 512;

/// A program in a row, and what its samples took a pass.
struct Contender {
    name: &'static str,
    runner: Runner,
    seconds: Vec<f64>,
}

enum Runner {
    Ours { work: Work, passes: u32 },
    Peer { peer: usize, passes: u32 },
}

/// What a row's programs took: medians of a pass, in seconds.
struct Row<'a> {
    shape: Shape,
    threads: usize,
    ours: f64,
    /// The product of two matrices of 512 x 512, in the same minute.
    product: f64,
    peers: &'a [(&'static str, f64)],
}

/// Every row that was asked for, but for its name.
fn shapes(arguments: &Arguments) -> Vec<Shape> {
    type Size = (usize, usize, usize, usize);
    let layers = if arguments.quick { &SIZES[..9] } else { &SIZES[..] };
    let of_cell = |cell| {
        let row = move |&(batch, steps, input, hidden): &Size, mode| Shape {
            cell,
            batch,
            steps,
            input,
            hidden,
            mode,
        };
        match arguments.model {
            false => layers
                .iter()
                .flat_map(|size| [Mode::Infer, Mode::Train].map(|mode| row(size, mode)))
                .collect::<Vec<_>>(),
            true => {
                let learners = LEARNERS.iter().map(|size| row(size, Mode::Learn));
                learners.chain(WRITERS.iter().map(|size| row(size, Mode::Write))).collect()
            }
        }
    };
    CELLS.into_iter().flat_map(of_cell).collect()
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut shapes = shapes(arguments);
    shapes.retain(|shape| shape.name().contains(&arguments.filter));
    if shapes.is_empty() {
        bail!(
            "no row's name holds {:?}; names are such as \"lstm 32,64,128,128 train\"",
            arguments.filter
        );
    }
    let clock = Clock::new(arguments.processor_time);
    for &threads in &arguments.threads {
        let mut peers = match &arguments.peers {
            Some(python) => Peer::start_all(python, threads, arguments.processor_time)?,
            None => vec![],
        };
        let compute = Compute::new(threads)?;
        if !arguments.json {
            println!("\n{threads} thread(s), {}", compute.level().name());
            heading(&peers);
        }
        for &shape in &shapes {
            row(shape, &compute, &mut peers, &clock, arguments)?;
        }
    }
    Ok(())
}

fn row(
    shape: Shape,
    compute: &Compute,
    peers: &mut [Peer],
    clock: &Clock,
    arguments: &Arguments,
) -> Result<()> {
    let ours =
        |name, work| Contender { name, runner: Runner::Ours { work, passes: 1 }, seconds: vec![] };
    let mut contenders =
        vec![ours("recurrent", work(shape, compute)), ours("product", product(compute))];
    for (index, peer) in peers.iter_mut().enumerate() {
        if peer.prepare(&shape)? {
            let runner = Runner::Peer { peer: index, passes: 1 };
            contenders.push(Contender { name: peer.name(), runner, seconds: vec![] });
        }
    }
    for contender in &mut contenders {
        contender.calibrate(peers, clock)?;
    }
    let rest = if compute.threads() > 1 && !peers.is_empty() { LONG_REST } else { REST };
    let samples = if arguments.quick { QUICK_SAMPLES } else { SAMPLES };
    for _ in 0..samples {
        for contender in &mut contenders {
            std::thread::sleep(rest);
            let seconds = contender.warm_sample(peers, clock)?;
            contender.seconds.push(seconds);
        }
    }
    let medians: Vec<(&str, f64)> =
        contenders.iter_mut().map(|one| (one.name, median(&mut one.seconds))).collect();
    let (ours, product) = (medians[0].1, medians[1].1);
    let row = Row { shape, threads: compute.threads(), ours, product, peers: &medians[2..] };
    if arguments.json {
        println!("{}", row.json()?);
    } else {
        row.print();
    }
    Ok(())
}

impl Contender {
    /// Seconds of one pass, in the mean of a sample.
    fn sample(&mut self, peers: &mut [Peer], clock: &Clock) -> Result<f64> {
        match &mut self.runner {
            Runner::Ours { work, passes } => {
                let began = clock.seconds()?;
                for _ in 0..*passes {
                    black_box(&mut *work)();
                }
                Ok((clock.seconds()? - began) / f64::from(*passes))
            }
            Runner::Peer { peer, passes } => peers[*peer].sample(*passes),
        }
    }

    /// As [`sample`](Self::sample), after a pass that does not count, which finds caches full of other
    /// programs' numbers and processors asleep. A sample of one long pass does without.
    fn warm_sample(&mut self, peers: &mut [Peer], clock: &Clock) -> Result<f64> {
        match &mut self.runner {
            Runner::Ours { passes: 1, .. } | Runner::Peer { passes: 1, .. } => {}
            Runner::Ours { work, .. } => black_box(work)(),
            Runner::Peer { peer, .. } => {
                peers[*peer].sample(1)?;
            }
        }
        self.sample(peers, clock)
    }

    /// Warms up, and finds out how many passes make a sample.
    fn calibrate(&mut self, peers: &mut [Peer], clock: &Clock) -> Result<()> {
        self.sample(peers, clock)?;
        loop {
            let seconds = self.sample(peers, clock)?;
            let (Runner::Ours { passes, .. } | Runner::Peer { passes, .. }) = &mut self.runner;
            let total = seconds * f64::from(*passes);
            if total >= LEAST_SECONDS {
                return Ok(());
            }
            let wanted = LEAST_SECONDS * 1.2 / seconds.max(1e-9);
            *passes = (wanted as u32).clamp(*passes + 1, *passes * 100);
        }
    }
}

/// Of an odd number of times; sorts them.
pub(crate) fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The product that shows what the machine can do, near enough: that of the one door to faer.
fn product(compute: &Compute) -> Work {
    let side = PRODUCT_SIZE;
    let factor = Matrix::from_fn(side, side, |row, column| ((row * 7 + column) % 13) as f32 - 6.0);
    let (mut product, compute) = (Matrix::zeros(side, side), compute.clone());
    Box::new(move || {
        let (left, right) = (Operand::Plain(factor.as_ref()), Operand::Plain(factor.as_ref()));
        gemm(&compute, product.as_mut(), Accum::Replace, left, right);
    })
}

fn heading(peers: &[Peer]) {
    print!("{:30} {:>12} {:>8} {:>9} {:>6}", "row", "time", "GFLOP/s", "product", "share");
    for peer in peers {
        print!(" {:>12} {:>6}", peer.name(), "ratio");
    }
    println!();
}

impl Row<'_> {
    /// Billions of operations a second of the layer, and of the product.
    fn rates(&self) -> (f64, f64) {
        let product = 2.0 * (PRODUCT_SIZE as f64).powi(3);
        (self.shape.operations() / self.ours / 1e9, product / self.product / 1e9)
    }

    fn print(&self) {
        let (rate, product) = self.rates();
        let share = 100.0 * rate / product;
        let (name, time) = (self.shape.name(), time(self.ours));
        print!("{name:30} {time:>12} {rate:>8.1} {product:>9.1} {share:>5.0}%");
        for &(_, seconds) in self.peers {
            print!(" {:>12} {:>5.2}x", self::time(seconds), seconds / self.ours);
        }
        println!();
    }

    /// One object, on one line.
    fn json(&self) -> Result<String> {
        let (rate, product) = self.rates();
        let Shape { cell, batch, steps, input, hidden, mode } = self.shape;
        let mut row = json!({
            "cell": cell,
            "batch": batch,
            "steps": steps,
            "input": input,
            "hidden": hidden,
            "threads": self.threads,
            "mode": serde_json::to_value(mode)?,
            "seconds_median": self.ours,
            "gflops": rate,
            "product_gflops": product,
        });
        if !self.peers.is_empty() {
            let seconds: Map<_, _> =
                self.peers.iter().map(|&(name, seconds)| (name.into(), json!(seconds))).collect();
            row["peers_seconds_median"] = seconds.into();
        }
        Ok(row.to_string())
    }
}

pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.3} ms", s * 1e3),
        s => format!("{s:.3} s"),
    }
}
