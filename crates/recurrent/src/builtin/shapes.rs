//! Drawings of shapes with questions that neither the drawing nor the question answers alone.

use super::{
    Chance, Drawing, Part,
    drawing::{SIDE, UNITS},
    part_of,
    scene::{COLOURS, Colour, Object, Shape},
};
use std::sync::Arc;

/// Rows of a drawing of 32 by 32 pixels, a question about it and the answer: "is there a red
/// circle?" "yes". Two neighbouring rows share a drawing of two to four objects: 20,000 drawings to
/// train, 500 each to validate and test, and twice as many rows.
///
/// The answers to each question are evenly spread: yes as often as no, every colour and shape as
/// often as the next, and numbers from 0 to 3, of which 3 is a little rarer. Where the answer is
/// that there is no red circle, there is something red and there is a circle. What is in a
/// drawing of one part (the objects' shapes and colours, wherever they are) is in no drawing of
/// another.
pub fn shapes(seed: u64, part: Part) -> Vec<(Arc<Drawing>, String, String)> {
    let chance = &mut Chance::of_part(seed, "shapes", part);
    let drawings = part.of([20_000, 500, 500]);
    let mut rows = Vec::with_capacity(2 * drawings);
    while rows.len() < 2 * drawings {
        // What is asked and answered comes first and the scene after it; so no answer is more
        // frequent for being more frequent among scenes.
        let wanted = wanted(chance);
        let (objects, questions) = loop {
            let objects = scene(chance);
            let [first, second] = wanted.map(|wanted| wanted.asked_of(&objects, chance));
            if let (Some(first), Some(second)) = (first, second)
                && part_of(seed, "shapes", &contents(&objects)) == part
            {
                break (objects, [first, second]);
            }
        };
        let drawing = Arc::new(Drawing::of(&objects, chance));
        for (question, answer) in questions {
            rows.push((drawing.clone(), question, answer));
        }
    }
    rows
}

/// Red, green, blue and yellow: fewer than captions have, so that each is often asked about.
fn asked_colours() -> &'static [Colour] {
    &COLOURS[..4]
}

/// A kind of question, and the answer that it should have.
#[derive(Clone, Copy)]
enum Wanted {
    /// "is there a red circle?"
    Presence(bool),
    /// "what colour is the square?"
    Colour(&'static str),
    /// "which shape is red?"
    Shape(&'static str),
    /// "how many triangles are there?"
    Number(usize),
    /// "is the circle left of the square?"
    Relation(bool),
}

/// Two questions of different kinds that four objects can answer.
fn wanted(chance: &mut Chance) -> [Wanted; 2] {
    let mut kinds = [0, 1, 2, 3, 4];
    chance.shuffle(&mut kinds);
    // Three of one shape leave no two others to compare.
    let most = if kinds[..2].contains(&4) { 2 } else { 3 };
    [kinds[0], kinds[1]].map(|kind| match kind {
        0 => Wanted::Presence(chance.percent(50)),
        1 => Wanted::Colour(chance.pick(asked_colours()).name),
        2 => Wanted::Shape(chance.pick(&Shape::ALL).name()),
        3 => Wanted::Number(chance.below(most + 1)),
        _ => Wanted::Relation(chance.percent(50)),
    })
}

impl Wanted {
    /// A question about the objects that has this answer, and the answer; none if there is none.
    fn asked_of(self, objects: &[Object], chance: &mut Chance) -> Option<(String, String)> {
        let count = |shape| objects.iter().filter(|object| object.shape == shape).count();
        let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        match self {
            Wanted::Presence(yes) => {
                // One object's shape and one's colour: the same one's, or a pair that is absent.
                let (shape, colour) = (chance.pick(objects).shape, chance.pick(objects).colour);
                let present = objects.iter().any(|o| o.shape == shape && o.colour == colour);
                (present == yes).then(|| {
                    let question = format!("is there a {} {}?", colour.name, shape.name());
                    (question, yes_or_no(yes))
                })
            }
            Wanted::Colour(colour) => {
                let object = chance.pick(objects);
                (count(object.shape) == 1 && object.colour.name == colour).then(|| {
                    let question = format!("what colour is the {}?", object.shape.name());
                    (question, colour.to_owned())
                })
            }
            Wanted::Shape(shape) => {
                let object = chance.pick(objects);
                let alone = objects.iter().filter(|o| o.colour == object.colour).count() == 1;
                (alone && object.shape.name() == shape)
                    .then(|| (format!("which shape is {}?", object.colour.name), shape.to_owned()))
            }
            Wanted::Number(number) => {
                let shape = chance.pick(&Shape::ALL);
                (count(shape) == number).then(|| {
                    (format!("how many {} are there?", shape.plural()), number.to_string())
                })
            }
            Wanted::Relation(yes) => {
                let (one, other) = (chance.pick(objects), chance.pick(objects));
                let (relation, apart) = chance.pick(&[
                    ("left of", other.x - one.x),
                    ("right of", one.x - other.x),
                    ("above", other.y - one.y),
                    ("below", one.y - other.y),
                ]);
                // In different halves; in the same one they are hardly apart.
                let clear = apart.abs() >= 8 * UNITS && one.shape != other.shape;
                let alone = count(one.shape) == 1 && count(other.shape) == 1;
                (clear && alone && (apart > 0) == yes).then(|| {
                    let (one, other) = (one.shape.name(), other.shape.name());
                    (format!("is the {one} {relation} the {other}?"), yes_or_no(yes))
                })
            }
        }
    }
}

/// Two to four objects, each somewhere in a quarter of its own, so that two pixels are between
/// them and one to the edge.
fn scene(chance: &mut Chance) -> Vec<Object> {
    let quarter = SIDE as i32 * UNITS / 2;
    let mut quarters = [(0, 0), (quarter, 0), (0, quarter), (quarter, quarter)];
    chance.shuffle(&mut quarters);
    let number = 2 + chance.below(3);
    let objects = quarters[..number].iter().map(|(left, top)| {
        let object = Object::drawn(chance.between(4 * UNITS, 5 * UNITS), asked_colours(), chance);
        let spare = object.radius + UNITS;
        let [right, down] = [0; 2].map(|_| chance.between(spare, quarter - spare));
        Object { x: left + right, y: top + down, ..object }
    });
    objects.collect()
}

/// What there is, in an order that is not that of the drawing.
fn contents(objects: &[Object]) -> String {
    let mut names: Vec<String> = objects.iter().map(Object::name).collect();
    names.sort();
    names.join(", ")
}
