//! Small drawings of shapes, in whole numbers: the same bytes on every machine.

use super::{
    Chance,
    scene::{Object, Shape},
};

/// A picture: rows from the top, pixels from the left, red, green and blue side by side, so
/// `height * width * 3` bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Drawing {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Their colours.
    pub pixels: Vec<u8>,
}

/// Pixels of a side.
pub(super) const SIDE: usize = 32;

/// Units of length in a pixel: positions and radii are in eighths.
pub(super) const UNITS: i32 = 8;

/// Where a pixel is looked at, in units from its corner: four by four points.
const SAMPLES: [i32; 4] = [1, 3, 5, 7];

impl Drawing {
    /// The objects on paper, each with a shade of its own, and all with a little noise, so that
    /// no two drawings are equal. Objects do not overlap.
    pub(super) fn of(objects: &[Object], chance: &mut Chance) -> Drawing {
        let paper = [246, 243, 236].map(|value| value + chance.between(-4, 4));
        let mut canvas = vec![paper; SIDE * SIDE];
        for object in objects {
            let ink = object.colour.rgb.map(|value| value + chance.between(-14, 14));
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let covered = covered(object, x as i32, y as i32);
                    let pixel = &mut canvas[y * SIDE + x];
                    for (value, ink) in pixel.iter_mut().zip(ink) {
                        *value = (*value * (16 - covered) + ink * covered) / 16;
                    }
                }
            }
        }
        let values = canvas.iter().flatten();
        let pixels = values.map(|value| (value + chance.between(-4, 4)).clamp(0, 255) as u8);
        Drawing { height: SIDE, width: SIDE, pixels: pixels.collect() }
    }
}

/// How many of the sixteen points of a pixel are inside the object.
fn covered(object: &Object, x: i32, y: i32) -> i32 {
    let [left, top] = [x * UNITS - object.x, y * UNITS - object.y];
    let reach = object.radius + UNITS;
    if left.abs() > reach || top.abs() > reach {
        return 0;
    }
    let points = SAMPLES.iter().flat_map(|down| SAMPLES.iter().map(move |right| (right, down)));
    let inside = points
        .filter(|(right, down)| contains(object.shape, left + *right, top + *down, object.radius));
    inside.count() as i32
}

/// Whether a shape of this radius around the origin contains a point; y grows downwards.
fn contains(shape: Shape, x: i32, y: i32, radius: i32) -> bool {
    match shape {
        Shape::Circle => x * x + y * y <= radius * radius,
        // A little less than the radius, so that it is no larger to the eye than a circle.
        Shape::Square => 8 * x.abs().max(y.abs()) <= 7 * radius,
        // The tip at -radius, the base at three quarters of it and as wide as the circle.
        Shape::Triangle => 4 * y <= 3 * radius && 7 * x.abs() <= 4 * (y + radius),
        Shape::Cross => {
            let (long, short) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
            long <= radius && 8 * short <= 3 * radius
        }
    }
}
