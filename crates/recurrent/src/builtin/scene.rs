//! What is in a drawing: objects with a shape, a colour, a size and a place.

use super::Chance;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Cross,
}

impl Shape {
    pub(super) const ALL: [Shape; 4] =
        [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Cross];

    pub(super) fn name(self) -> &'static str {
        ["circle", "square", "triangle", "cross"][self as usize]
    }

    pub(super) fn plural(self) -> &'static str {
        ["circles", "squares", "triangles", "crosses"][self as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Colour {
    pub(super) name: &'static str,
    /// Red, green and blue, before a shade is drawn.
    pub(super) rgb: [i32; 3],
}

const fn colour(name: &'static str, rgb: [i32; 3]) -> Colour {
    Colour { name, rgb }
}

pub(super) const COLOURS: [Colour; 6] = [
    colour("red", [214, 48, 49]),
    colour("green", [46, 160, 67]),
    colour("blue", [45, 98, 214]),
    colour("yellow", [240, 196, 25]),
    colour("purple", [142, 68, 173]),
    colour("black", [45, 45, 50]),
];

/// Something in a drawing. Lengths are in units, eighths of a pixel; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) shape: Shape,
    pub(super) colour: Colour,
    pub(super) radius: i32,
    /// The middle, from the left edge.
    pub(super) x: i32,
    /// The middle, from the top edge.
    pub(super) y: i32,
}

impl Object {
    /// Any shape in any of the colours, in the corner for the time being.
    pub(super) fn drawn(radius: i32, colours: &[Colour], chance: &mut Chance) -> Object {
        Object { shape: chance.pick(&Shape::ALL), colour: chance.pick(colours), radius, x: 0, y: 0 }
    }

    /// "red circle".
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.colour.name, self.shape.name())
    }
}
