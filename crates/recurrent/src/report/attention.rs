//! Where a decoder looked while it wrote.

use super::Section;
use super::html::{Html, figure, note, paragraph, scrolled};

/// A source, what was written for it, and where the decoder looked.
pub(crate) struct Alignment {
    /// The tokens that were read.
    pub(crate) source: Vec<String>,
    /// The tokens that were written.
    pub(crate) written: Vec<String>,
    /// For each of those a share for each of the source's; a row adds up to 1.
    pub(crate) weights: Vec<Vec<f32>>,
    /// What should have been written.
    pub(crate) reference: String,
}

/// Longer texts would be no picture.
const MOST_TOKENS: usize = 44;
/// Characters of a token that are shown.
const MOST_CHARACTERS: usize = 14;
/// Less than this is not drawn.
const LEAST: f32 = 0.02;

/// The section of some examples.
pub(crate) fn alignments(shown: &[Alignment]) -> Section {
    let section = Section::new("attention", "Where it looks while it writes");
    if shown.is_empty() {
        return section.body(note("No example is short enough to be drawn."));
    }
    let lead = paragraph(
        "Each row is a written token, each column one that was read; the bluer a square, the more was \
         looked at. A row adds up to 1.",
    );
    let body = shown.iter().map(|alignment| figure(scrolled(map(alignment)), said(alignment)));
    section.lead(lead).body(body.collect::<Html>())
}

impl Alignment {
    /// Whether it can be drawn.
    pub(crate) fn fits(source: usize, written: usize) -> bool {
        (1..=MOST_TOKENS).contains(&source) && (1..=MOST_TOKENS).contains(&written)
    }
}

fn said(alignment: &Alignment) -> String {
    let written = alignment.written.concat();
    let spaced = alignment.written.join(" ");
    match [&written, &spaced].contains(&&alignment.reference) {
        true => "Written as it should be.".into(),
        false => format!("It should be: {}", alignment.reference),
    }
}

fn map(alignment: &Alignment) -> Html {
    let Alignment { source, written, weights, .. } = alignment;
    let label = |token: &String| -> String {
        let text: String = token.chars().take(MOST_CHARACTERS).collect();
        if text.trim().is_empty() { "␣".into() } else { text }
    };
    let [columns, rows]: [Vec<String>; 2] =
        [source, written].map(|tokens| tokens.iter().map(label).collect());
    let longest = |labels: &[String]| labels.iter().map(|label| label.chars().count()).max();
    let (across, down) = (longest(&columns).unwrap_or(1), longest(&rows).unwrap_or(1));
    let cell = 18;
    let left = 8 * down + 10;
    let top = if across > 1 { 8 * across + 10 } else { 20 };
    let (width, height) = (left + cell * columns.len() + 2, top + cell * rows.len() + 2);

    let size = |number: usize| number.to_string();
    let mut drawn = Html::new();
    for (at, label) in columns.iter().enumerate() {
        let (x, y) = (left + at * cell + cell / 2, top - 5);
        let turned = format!("rotate(-90 {} {y})", x + 4);
        let (middle, beside, y) = (size(x), size(x + 4), size(y));
        let attributes: &[(&str, &str)] = match across > 1 {
            true => &[("x", &beside), ("y", &y), ("transform", &turned)],
            false => &[("x", &middle), ("y", &y), ("text-anchor", "middle")],
        };
        drawn.push(Html::element("text", attributes, label.as_str()));
    }
    for (row, label) in rows.iter().enumerate() {
        let (x, y) = (size(left - 6), size(top + row * cell + 13));
        let attributes = [("x", &*x), ("y", &*y), ("text-anchor", "end")];
        drawn.push(Html::element("text", &attributes, label.as_str()));
    }
    let (x, y) = (size(left), size(top));
    let (w, h) = (size(cell * columns.len()), size(cell * rows.len()));
    let frame = [("class", "frame"), ("x", &*x), ("y", &*y), ("width", &*w), ("height", &*h)];
    drawn.push(Html::element("rect", &frame, ""));
    for (row, weights) in weights.iter().enumerate() {
        for (column, &weight) in weights.iter().enumerate().filter(|&(_, &w)| w >= LEAST) {
            let (x, y) = (size(left + column * cell + 1), size(top + row * cell + 1));
            let (side, share) = (size(cell - 2), format!("{:.2}", weight.min(1.0)));
            let attributes = [
                ("x", &*x),
                ("y", &*y),
                ("width", &*side),
                ("height", &*side),
                ("fill-opacity", &*share),
            ];
            drawn.push(Html::element("rect", &attributes, ""));
        }
    }
    let view = format!("0 0 {width} {height}");
    let title = format!("attention of {} written to {} read tokens", rows.len(), columns.len());
    let (width, height) = (size(width), size(height));
    let attributes = [
        ("class", "cells"),
        ("role", "img"),
        ("aria-label", &*title),
        ("width", &*width),
        ("height", &*height),
        ("viewBox", &*view),
    ];
    Html::element("svg", &attributes, drawn)
}
