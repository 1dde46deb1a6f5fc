//! An image read pixel by pixel, after Le, Jaitly and Hinton 2015, who did so with handwritten digits.
//! Here the program draws the images: a circle, a square, a triangle or a cross of any size and place.
//!
//! A step is the share of a pixel that the shape covers, in sixteenths; pixels come row after row from
//! the top left. After the last one the shape is asked for. Nothing but memory connects the rows.

use recurrent_kernels::random::Generator;

use super::{Answer, Sequence, Steps};

/// The shapes, in the order of their classes.
pub const SHAPES: [&str; 4] = ["circle", "square", "triangle", "cross"];
/// The smallest image: a shape must be seen.
pub const LEAST_SIDE: usize = 8;

/// Units of length in a pixel.
const UNITS: i64 = 8;
/// Where a pixel is looked at, in units from its corner: four by four points.
const POINTS: [i64; 4] = [1, 3, 5, 7];
/// The smallest radius, in units.
const LEAST_RADIUS: i64 = 3 * UNITS;

/// An image of `side` x `side` pixels; `side` is at least [`LEAST_SIDE`].
pub fn draw(generator: &mut Generator, side: usize) -> Sequence {
    let class = generator.below(SHAPES.len() as u64) as u32;
    let side = side as i64;
    let mut between = |low: i64, high: i64| low + generator.below((high - low + 1) as u64) as i64;
    let radius = between(LEAST_RADIUS, side * UNITS / 2);
    let [x, y] = [(); 2].map(|()| between(radius, side * UNITS - radius));
    let mut numbers = vec![];
    for row in 0..side {
        for column in 0..side {
            let points = POINTS.iter().flat_map(|down| POINTS.map(|right| (right, *down)));
            let inside = points.filter(|(right, down)| {
                contains(class, column * UNITS + right - x, row * UNITS + down - y, radius)
            });
            numbers.push(inside.count() as f32 / 16.0);
        }
    }
    Sequence { steps: Steps::Vectors { size: 1, numbers }, answer: Answer::Class(class) }
}

/// Whether a shape of this radius around the origin contains a point; y grows downwards.
fn contains(class: u32, x: i64, y: i64, radius: i64) -> bool {
    let (long, short) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
    match class {
        0 => x * x + y * y <= radius * radius,
        1 => long <= radius,
        2 => y.abs() <= radius && 2 * x.abs() <= y + radius,
        _ => long <= radius && 3 * short <= radius,
    }
}
