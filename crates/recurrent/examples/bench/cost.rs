//! What a training pass costs by how much there is to read: batches of equal lengths, and ragged
//! ones, over the number of real tokens. Both are lines through the origin, or padding is paid for.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use recurrent_kernels::Compute;
use recurrent_topologies::Lengths;

use crate::layer::{Mode, Shape, of_lengths};

/// The longest sequences of a batch.
const STEPS: [usize; 7] = [16, 32, 64, 128, 192, 256, 384];
const BATCH: usize = 32;
const UNITS: usize = 128;
const SAMPLES: usize = 9;

/// A batch, and what a pass over it took.
struct Point {
    ragged: bool,
    steps: usize,
    tokens: usize,
    passes: Vec<f64>,
}

impl Point {
    fn seconds(&self) -> f64 {
        self.passes[self.passes.len() / 2]
    }
}

/// Measures, prints, and draws to `file`.
pub(crate) fn run(file: &Path, threads: usize) -> Result<()> {
    let compute = Compute::new(threads)?;
    let batch = |ragged: bool, steps: usize| {
        // From short to long in equal distances: half of what padding would read is real.
        let of = |j: usize| if ragged { (steps * (j + 1)).div_ceil(BATCH) } else { steps };
        Lengths::new(&(0..BATCH).map(of).collect::<Vec<_>>())
    };
    let mut points = vec![];
    for (ragged, steps) in STEPS.into_iter().flat_map(|steps| [(false, steps), (true, steps)]) {
        let lengths = batch(ragged, steps);
        points.push(Point { ragged, steps, tokens: lengths.columns(), passes: vec![] });
    }
    // All take turns, so that a machine that gets slower does so for all.
    for _ in 0..SAMPLES {
        for point in &mut points {
            let shape = Shape {
                cell: "lstm",
                batch: BATCH,
                steps: point.steps,
                input: UNITS,
                hidden: UNITS,
                mode: Mode::Train,
            };
            let mut pass = of_lengths(shape, batch(point.ragged, point.steps), &compute);
            pass();
            let began = Instant::now();
            pass();
            point.passes.push(began.elapsed().as_secs_f64());
        }
    }
    println!("{:>6} {:>12} {:>12} {:>12} {:>12}", "steps", "lengths", "tokens", "ms", "ns a token");
    for point in &mut points {
        point.passes.sort_by(f64::total_cmp);
        let (lengths, seconds) = (if point.ragged { "ragged" } else { "equal" }, point.seconds());
        let (ms, each) = (seconds * 1e3, seconds / point.tokens as f64 * 1e9);
        println!("{:>6} {lengths:>12} {:>12} {ms:>12.3} {each:>12.1}", point.steps, point.tokens);
    }
    draw(file, &points).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn draw(file: &Path, points: &[Point]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(file, (720, 440)).into_drawing_area();
    area.fill(&WHITE)?;
    let most_tokens = points.iter().map(|point| point.tokens).max().unwrap_or(1) as f64;
    let most = points.iter().map(Point::seconds).fold(0.0, f64::max) * 1e3;
    let caption = format!("LSTM {UNITS}, batch {BATCH}: a training pass by its real tokens");
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..most_tokens * 1.05, 0.0..most * 1.05)?;
    let whole = |number: &f64| format!("{number:.0}");
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&whole)
        .y_label_formatter(&whole)
        .x_desc("real tokens of the batch")
        .y_desc("milliseconds")
        .draw()?;
    for (ragged, name, colour) in [(false, "equal lengths", BLUE), (true, "ragged", RED)] {
        let own = points.iter().filter(|point| point.ragged == ragged);
        let own: Vec<_> = own.map(|point| (point.tokens as f64, point.seconds() * 1e3)).collect();
        chart
            .draw_series(LineSeries::new(own, colour.filled()).point_size(4))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    Ok(area.present()?)
}
