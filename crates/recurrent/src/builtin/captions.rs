//! Drawings of one or two objects, each with the one caption that is true of it.

use super::{
    Chance, Drawing, Part,
    drawing::{SIDE, UNITS},
    part_of,
    scene::{COLOURS, Object},
};

/// The middle and the edge of a drawing, in units.
const MIDDLE: i32 = EDGE / 2;
const EDGE: i32 = SIDE as i32 * UNITS;

/// Drawings of 32 by 32 pixels with a caption: "a small red circle above a large blue square", or
/// in a tenth of them "a large green cross on the left". 8,000 to train, 1,000 each to validate
/// and test.
///
/// The caption follows from the drawing: of two objects the upper or the left one comes first, a
/// small one is less than 9 pixels wide and a large one more than 9. Places and shades vary, so
/// no two drawings are equal; a caption of one part is in no other.
pub fn captions(seed: u64, part: Part) -> Vec<(Drawing, String)> {
    let chance = &mut Chance::of_part(seed, "captions", part);
    let rows = part.of([8_000, 1_000, 1_000]);
    let mut captions = Vec::with_capacity(rows);
    while captions.len() < rows {
        let (objects, caption) = if chance.percent(10) { one(chance) } else { two(chance) };
        if part_of(seed, "captions", &caption) == part {
            captions.push((Drawing::of(&objects, chance), caption));
        }
    }
    captions
}

/// An object and the side of the paper where it is.
fn one(chance: &mut Chance) -> (Vec<Object>, String) {
    let (mut object, name) = object(chance);
    // Near the edge with a pixel to spare, or around the middle.
    let near = object.radius + UNITS + chance.between(0, 2 * UNITS);
    let [around, beside] = [0; 2].map(|_| MIDDLE + chance.between(-2 * UNITS, 2 * UNITS));
    let (x, y, side) = chance.pick(&[
        (around, beside, "in the middle"),
        (around, near, "at the top"),
        (around, EDGE - near, "at the bottom"),
        (near, around, "on the left"),
        (EDGE - near, around, "on the right"),
    ]);
    (object.x, object.y) = (x, y);
    (vec![object], format!("{name} {side}"))
}

/// Two objects that differ by name, one above the other or to the left of it.
fn two(chance: &mut Chance) -> (Vec<Object>, String) {
    let (mut first, name) = object(chance);
    let (mut second, other) = loop {
        let (second, other) = object(chance);
        if other != name {
            break (second, other);
        }
    };
    // Each in its half, with a pixel to spare; across the halves near the middle, so that it is
    // always clear which way they are apart.
    let [before, after] = [first, second].map(|object| {
        let spare = object.radius + UNITS;
        chance.between(spare, MIDDLE - spare)
    });
    let [across, beside] = [0; 2].map(|_| MIDDLE + chance.between(-3 * UNITS, 3 * UNITS));
    let after = EDGE - after;
    let relation = if chance.percent(50) {
        (first.x, first.y, second.x, second.y) = (across, before, beside, after);
        "above"
    } else {
        (first.x, first.y, second.x, second.y) = (before, across, after, beside);
        "left of"
    };
    (vec![first, second], format!("{name} {relation} {other}"))
}

/// A small or a large object, and its name with the article.
fn object(chance: &mut Chance) -> (Object, String) {
    let (size, least, most) = chance.pick(&[
        // 6 to 8 pixels wide, and 11 to 13.
        ("small", 3 * UNITS, 4 * UNITS),
        ("large", 11 * UNITS / 2, 13 * UNITS / 2),
    ]);
    let object = Object::drawn(chance.between(least, most), &COLOURS, chance);
    (object, format!("a {size} {}", object.name()))
}
