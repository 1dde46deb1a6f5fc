//! What the processor allows one thread, and how near to it layers come in inference.
//!
//! A layer needs its products and its equations. Products cannot be faster than a loop of fused
//! multiply-adds that reads nothing; those of a single sequence's step, which use each weight once,
//! not faster than a loop that reads as many bytes again and again. The equations are what
//! [`Cell::pointwise`] takes alone, on numbers that are near. Everything is measured here, in turns.

use std::hint::black_box;
use std::time::Instant;

use recurrent_cells::{Cell, CellPlan, Forward, Gru, Lstm, Nonlinearity, Rnn, StateRef};
use recurrent_kernels::{
    Accum, Compute, Elementwise, ElementwiseWork, Level, Matrix, Numbers, Packed, Real, Vectorized,
    Vectors, product,
};

use crate::grid::{CELLS, SIZES, median, time};
use crate::layer::{Mode, Shape, Work, work};

const SAMPLES: usize = 7;
/// A sample is as many passes as take at least so long.
const LEAST_SECONDS: f64 = 0.02;
/// Weights of the products: 1 MiB.
const ROWS: usize = 1024;
const TERMS: usize = 256;
const COLUMNS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
const BUFFERS: [usize; 4] = [128 << 10, 512 << 10, 4 << 20, 64 << 20];

/// Chains of multiply-adds that wait for nobody: as many as registers hold.
struct Chains;
const LENGTH: usize = 256;

impl<T: Real> Elementwise<T, 3, 2> for Chains {
    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, [a, b, c]: [N; 3], [x, y]: [N; 2]) -> [N; 3] {
        let (mut a, mut b, mut c) = (a, b, c);
        for _ in 0..LENGTH {
            (a, b, c) = (a.mul_add(x, y), b.mul_add(x, y), c.mul_add(x, y));
        }
        [a, b, c]
    }
}

struct Peak<'a>([&'a mut [f32]; 3], [&'a [f32]; 2]);

impl ElementwiseWork for Peak<'_> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        vectors.elementwise(&Chains, self.0, self.1);
    }
}

/// The sum of a buffer, in as many parts as keep the loads busy.
struct Sum<'a>(&'a [f32]);

impl Vectorized for Sum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run(self) -> f32 {
        let mut sums = [0.0; 128];
        for numbers in self.0.chunks_exact(128) {
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum += number;
            }
        }
        sums.iter().sum()
    }
}

/// Something to be measured, and what it took each time.
struct Contender {
    work: Work,
    passes: u32,
    /// What is done in a pass.
    amount: f64,
    seconds: Vec<f64>,
}

impl Contender {
    fn new(amount: f64, work: impl FnMut() + 'static) -> Self {
        let mut contender = Contender { work: Box::new(work), passes: 1, amount, seconds: vec![] };
        while contender.pass() < LEAST_SECONDS {
            contender.passes *= 2;
        }
        contender
    }

    /// Seconds of all passes of a sample.
    fn pass(&mut self) -> f64 {
        let began = Instant::now();
        for _ in 0..self.passes {
            black_box(&mut self.work)();
        }
        began.elapsed().as_secs_f64()
    }

    /// Seconds for each of what is done.
    fn sample(&mut self) -> f64 {
        self.pass() / (f64::from(self.passes) * self.amount)
    }
}

/// Median seconds for each of what they do, sampled in turns.
fn measure<const COUNT: usize>(mut contenders: [Contender; COUNT]) -> [f64; COUNT] {
    for _ in 0..SAMPLES {
        for contender in &mut contenders {
            let seconds = contender.sample();
            contender.seconds.push(seconds);
        }
    }
    contenders.map(|mut contender| median(&mut contender.seconds))
}

/// Measures and prints.
pub(crate) fn run() {
    let compute = Compute::sequential();
    let level = compute.level();
    let rate = |what: String, seconds: f64, unit: &str| {
        println!("{what:46} {:>8.1} {unit}", 1e-9 / seconds);
    };
    println!("1 thread, {}", level.name());
    let [seconds] = measure([peak(level)]);
    rate("fused multiply-adds and nothing else".into(), seconds, "GFLOP/s");
    for bytes in BUFFERS {
        let [seconds] = measure([reading(level, bytes)]);
        rate(format!("reading {} KiB again and again", bytes >> 10), seconds, "GB/s");
    }
    for columns in COLUMNS {
        let [seconds, least] = measure([packed(level, columns), peak(level)]);
        let unit = format!("GFLOP/s {:>5.0}%", 100.0 * least / seconds);
        rate(format!("{ROWS} x {TERMS} weights times {columns} columns"), seconds, &unit);
    }
    let heading = ["products", "equations", "together", "measured"];
    println!("\n{:26} {} {:>6}", "row", heading.map(|it| format!("{it:>12}")).join(""), "share");
    for cell in CELLS {
        for (batch, steps, input, hidden) in SIZES {
            if batch >= 8 || steps == 1 {
                row(Shape { cell, batch, steps, input, hidden, mode: Mode::Infer }, &compute);
            }
        }
    }
}

/// What a row needs at least, and what it takes.
fn row(shape: Shape, compute: &Compute) {
    let Shape { batch, steps, hidden, .. } = shape;
    let level = compute.level();
    // A single step of a single sequence reads its weights and uses each once.
    let bytes = shape.operations() / 2.0 * size_of::<f32>() as f64;
    let (products, amount) = match steps {
        1 => (reading(level, bytes as usize), bytes),
        _ => (peak(level), shape.operations()),
    };
    let layer = Contender::new(1.0, work(shape, compute));
    let [product, equation, measured] = measure([products, equations(shape, level), layer]);
    let (products, equations) = (product * amount, equation * (batch * steps * hidden) as f64);
    let together = products + equations;
    let times = [products, equations, together, measured].map(|it| format!("{:>12}", time(it)));
    let share = 100.0 * together / measured;
    println!("{:26} {} {share:>5.0}%", shape.name(), times.join(""));
}

/// Multiply-adds, counted twice.
fn peak(level: Level) -> Contender {
    const PLACES: usize = 256;
    let mut chains = [const { [0.5f32; PLACES] }; 3];
    let read = [[0.999f32; PLACES], [1e-3; PLACES]];
    Contender::new((2 * 3 * LENGTH * PLACES) as f64, move || {
        let chains = chains.each_mut().map(|chain| &mut chain[..]);
        level.run_elementwise(Peak(chains, read.each_ref().map(|factor| &factor[..])));
    })
}

/// Bytes of a buffer of so many.
fn reading(level: Level, bytes: usize) -> Contender {
    let numbers = vec![1f32; bytes / size_of::<f32>()];
    Contender::new(bytes as f64, move || {
        black_box(level.run(Sum(black_box(&numbers))));
    })
}

/// Multiply-adds of a packed product, counted twice.
fn packed(level: Level, columns: usize) -> Contender {
    let block = |rows, columns| Matrix::from_fn(rows, columns, |row, _| (row % 13) as f32 - 6.0);
    let (weight, x) = (block(ROWS, TERMS), block(TERMS, columns));
    let (mut out, mut packed) = (block(ROWS, columns), Packed::new());
    let compute = Compute::sequential().with_level(level);
    packed.pack(&compute, weight.as_ref(), std::slice::from_ref(&(0..ROWS)));
    Contender::new((2 * ROWS * TERMS * columns) as f64, move || {
        product(out.as_mut(), Accum::Replace, &packed, x.as_ref());
    })
}

/// The equations of one unit of one sequence at one step.
fn equations(shape: Shape, level: Level) -> Contender {
    let Shape { cell, input, hidden, .. } = shape;
    match cell {
        "lstm" => of_cell(Lstm::new(input, hidden), shape, level),
        "gru" => of_cell(Gru::new(input, hidden), shape, level),
        _ => of_cell(Rnn::new(input, hidden, Nonlinearity::Tanh), shape, level),
    }
}

fn of_cell<C: Cell + 'static>(cell: C, shape: Shape, level: Level) -> Contender {
    // As many columns as are near, and no more than the row has at a step.
    let columns = (8192 / shape.hidden).clamp(1, shape.batch);
    let (sizes, phases) = (cell.shape(), CellPlan::of(&cell).phases.len());
    let block = |rows| Matrix::from_fn(rows, columns, |row, j| ((row + 3 * j) % 17) as f32 * 0.1);
    let (mut tape, bias) = (block(sizes.tape_rows), vec![0.1; sizes.tape_rows]);
    let (before_h, before_c) = (block(sizes.hidden_size), block(sizes.cell_size));
    let (mut h, mut c) = (before_h.clone(), before_c.clone());
    Contender::new((columns * shape.hidden) as f64, move || {
        for phase in 0..phases {
            let step = Forward {
                tape: tape.as_mut(),
                bias: &bias,
                peephole: &[],
                norm: &[],
                previous: StateRef { h: before_h.as_ref(), c: before_c.as_ref() },
                h: h.as_mut(),
                c: c.as_mut(),
            };
            cell.pointwise(level, phase, step);
        }
    })
}
