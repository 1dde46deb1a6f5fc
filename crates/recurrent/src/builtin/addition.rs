//! Sums of two numbers as text: what a translator from "535+61" to "596" has to find out.

use super::{Chance, Part, part_of};
use std::collections::HashSet;

/// Rows of `["535+61", "596"]`: two numbers of one, two or three digits, each length as likely
/// as the next, and their sum; 50,000 rows to train, 1,000 each to validate and test.
///
/// No pair of numbers comes twice, in either order, in one part or in two.
pub fn addition(seed: u64, part: Part) -> Vec<[String; 2]> {
    let chance = &mut Chance::of_part(seed, "addition", part);
    let rows = part.of([50_000, 1_000, 1_000]);
    let mut seen = HashSet::new();
    let mut sums = Vec::with_capacity(rows);
    while sums.len() < rows {
        let (a, b) = (operand(chance), operand(chance));
        let pair = (a.min(b), a.max(b));
        let belongs = part_of(seed, "addition", &format!("{} {}", pair.0, pair.1)) == part;
        if belongs && seen.insert(pair) {
            sums.push([format!("{a}+{b}"), (a + b).to_string()]);
        }
    }
    sums
}

/// A number of one, two or three digits.
fn operand(chance: &mut Chance) -> i32 {
    let (least, most) = chance.pick(&[(0, 9), (10, 99), (100, 999)]);
    chance.between(least, most)
}
