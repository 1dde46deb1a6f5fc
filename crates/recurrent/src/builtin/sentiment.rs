//! Short reviews whose words say little and whose order says all.

use super::{Chance, Part, part_of};

/// Rows of `[text, label]`, label `negative` or `positive`, as many of each: "Although the plot
/// was clever, I found the music dull." 8,000 rows to train, 1,000 each to validate and test.
///
/// Who counts good and bad words learns next to nothing: praise stands under a negation as often
/// as not ("never a dull moment"), and where there are two opinions they disagree and a
/// conjunction says which of them counts. The patterns of one part (a review with its nouns and
/// adjectives blanked out) are in no other; their clauses are.
pub fn sentiment(seed: u64, part: Part) -> Vec<[String; 2]> {
    let chance = &mut Chance::of_part(seed, "sentiment", part);
    let rows = part.of([8_000, 1_000, 1_000]);
    let mut reviews = Vec::with_capacity(rows);
    while reviews.len() < rows {
        let positive = reviews.len().is_multiple_of(2);
        let pattern = pattern(positive, chance);
        if part_of(seed, "sentiment", &masked(&pattern)) == part {
            let label = if positive { "positive" } else { "negative" };
            reviews.push([filled(&pattern, chance), label.to_owned()]);
        }
    }
    chance.shuffle(&mut reviews);
    reviews
}

/// A review with `{good}`, `{bad}` and `{thing}` in it: an opinion, and often something beside
/// the point before or after it.
fn pattern(positive: bool, chance: &mut Chance) -> String {
    let mut sentences = vec![opinion(positive, chance)];
    if chance.percent(50) {
        sentences.insert(0, chance.pick(BEFORE).to_owned());
    }
    if chance.percent(50) {
        sentences.push(chance.pick(AFTER).to_owned());
    }
    sentences.join(" ")
}

/// A sentence that is positive or not as a whole.
fn opinion(positive: bool, chance: &mut Chance) -> String {
    match chance.below(100) {
        // A little more often straight than not: so much is left to those who count words.
        0..30 => {
            let straight = chance.percent(55);
            capitalised(&format!("{}.", clause(positive, straight, chance)))
        }
        30..65 => {
            let (counts, other) = (any_clause(positive, chance), any_clause(!positive, chance));
            capitalised(&chance.pick(CONTRASTS).replace("{+}", &counts).replace("{-}", &other))
        }
        _ => {
            let (counts, other) = kinds(positive);
            chance.pick(SENTENCES).replace("{+}", counts).replace("{-}", other)
        }
    }
}

/// A clause that is positive or not, straight or turned round as often.
fn any_clause(positive: bool, chance: &mut Chance) -> String {
    let straight = chance.percent(50);
    clause(positive, straight, chance)
}

/// A clause whose adjective says what it means (`straight`) or the contrary.
fn clause(positive: bool, straight: bool, chance: &mut Chance) -> String {
    if straight {
        chance.pick(STRAIGHT).replace("{+}", kinds(positive).0)
    } else {
        chance.pick(TURNED).replace("{-}", kinds(positive).1)
    }
}

/// The kind of adjective that agrees with the label, and the other.
fn kinds(positive: bool) -> (&'static str, &'static str) {
    if positive { ("{good}", "{bad}") } else { ("{bad}", "{good}") }
}

/// The pattern without the difference between good and bad.
fn masked(pattern: &str) -> String {
    pattern.replace("{good}", "{adjective}").replace("{bad}", "{adjective}")
}

/// The pattern with words in its braces, no word twice.
fn filled(pattern: &str, chance: &mut Chance) -> String {
    let mut text = String::new();
    for piece in pattern.split_inclusive('}') {
        let Some((plain, slot)) = piece.split_once('{') else {
            text.push_str(piece);
            continue;
        };
        text.push_str(plain);
        let words = match slot {
            "good}" => GOOD,
            "bad}" => BAD,
            _ => THINGS,
        };
        let word = loop {
            let word = chance.pick(words);
            if !text.contains(word) {
                break word;
            }
        };
        text.push_str(word);
    }
    text
}

fn capitalised(text: &str) -> String {
    text[..1].to_ascii_uppercase() + &text[1..]
}

const THINGS: &[&str] =
    &["film", "plot", "music", "cast", "script", "ending", "story", "dialogue", "acting", "finale"];

/// No adjective begins with a vowel, so that "a" stays "a".
const GOOD: &[&str] = &[
    "good",
    "brilliant",
    "clever",
    "moving",
    "funny",
    "charming",
    "gripping",
    "fresh",
    "warm",
    "lovely",
    "strong",
    "delightful",
];

const BAD: &[&str] = &[
    "bad", "dull", "silly", "boring", "clumsy", "tedious", "bland", "stale", "cold", "weak",
    "tiresome", "dreadful",
];

/// Clauses that mean what their adjective says.
const STRAIGHT: &[&str] = &[
    "the {thing} was {+}",
    "the {thing} was really {+}",
    "I found the {thing} {+}",
    "the {thing} felt {+} from start to end",
    "there was something {+} about the {thing}",
    "everybody would call the {thing} {+}",
    "the {thing} was nothing but {+}",
    "the {thing} was as {+} as ever",
    "I can only call the {thing} {+}",
    "the {thing} never stopped being {+}",
];

/// Clauses that mean the contrary.
const TURNED: &[&str] = &[
    "the {thing} was not {-}",
    "the {thing} was never really {-}",
    "I did not find the {thing} {-}",
    "the {thing} never felt {-} from start to end",
    "there was nothing {-} about the {thing}",
    "nobody would call the {thing} {-}",
    "the {thing} was anything but {-}",
    "the {thing} was not as {-} as ever",
    "I can not call the {thing} {-}",
    "the {thing} had stopped being {-}",
    "there was never a {-} moment in the {thing}",
];

/// Two clauses that disagree: `{+}` is the one that counts.
const CONTRASTS: &[&str] = &[
    "{-}, but {+}.",
    "{-}; even so, {+}.",
    "although {-}, {+}.",
    "{+}, although {-}.",
    "{+}, even if {-}.",
    "even if {-}, {+}.",
    "it is true that {-}, but in the end {+}.",
    "in the end {+}, even if at first {-}.",
];

/// Whole opinions with two adjectives that disagree, of which `{+}` counts, or with one that is
/// reported and judged.
const SENTENCES: &[&str] = &[
    "The {thing} was {-} at first but {+} in the end.",
    "The {thing} was {+} in the end, if {-} at first.",
    "The {thing} began {-} and ended {+}.",
    "The {thing} ended {+}, though it began {-}.",
    "The {thing} turned from {-} to {+}.",
    "The {thing} was more {+} than {-}.",
    "The {thing} was less {-} than {+}.",
    "The {thing} was {+} rather than {-}.",
    "The {thing} was not {-} but {+}.",
    "The {thing} was {+}, not {-}.",
    "I expected something {-}, but the {thing} was {+}.",
    "The {thing} was {+}, though I had expected something {-}.",
    "They called the {thing} {+}, and they were right.",
    "They called the {thing} {-}, and they were wrong.",
    "They were right to call the {thing} {+}.",
    "They were wrong to call the {thing} {-}.",
];

/// Sentences beside the point, before the opinion.
const BEFORE: &[&str] = &[
    "I saw it on Friday with my sister.",
    "We went there on a rainy evening.",
    "My brother had bought two tickets.",
    "It was on in the old house by the station.",
    "I had heard of it from a neighbour.",
    "This was our second visit.",
    "We sat in the last row.",
    "I had waited a year for this.",
];

/// Sentences beside the point, after it.
const AFTER: &[&str] = &[
    "It lasted two hours.",
    "The room was half full.",
    "We took the late bus home.",
    "They show it again on Sunday.",
    "The tickets cost nine crowns.",
    "My sister slept through half of it.",
    "We talked about it all the way home.",
    "There was a break in the middle.",
];
