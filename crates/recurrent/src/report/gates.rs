//! Gates as heat maps over what is read, and how often they are open or shut.

use super::html::{Html, capital, figure, note, paragraph, scrolled, table};
use super::inside::{Inside, Place};
use super::numbers::{percent, short};
use super::{Section, png};
use crate::data::TokenKind;

/// Units that are shown.
const UNITS: usize = 24;
/// Pixels from one unit to the next.
const ROW: usize = 8;
/// Pixels left of the map, for the numbers of units.
const LEFT: usize = 34;
/// Pixels of a page that a map may take.
const WIDTH: usize = 880;
/// Characters of a token that are shown.
const MOST_CHARACTERS: usize = 14;

/// The section; cells without a gate that keeps have none.
pub(super) fn section(inside: &Inside) -> Option<Section> {
    let top = inside.places.iter().rev().find(|place| !place.reverse)?;
    let keeper = top.keeper?;
    let units = shown(inside, top, keeper);
    let maps: Html = top.gates.iter().map(|gate| map(inside, top, gate, &units)).collect();
    let keeper = top.gates[keeper].0.as_str();
    let lead = paragraph(format!(
        "A gate multiplies: at 1 it lets everything pass, at 0 nothing. The unit whose {keeper} stays \
         near 1 keeps what it has; where it falls, the unit lets go.",
    ));
    let caption = note(format!(
        "{}, {}; the {} units of {} whose values vary most, those that keep longest (by the mean of \
         their {keeper}) on top. The numbers are those that the forward pass left on its tape. White or \
         black is 0, full blue 1.",
        capital(inside.from),
        match inside.kind {
            TokenKind::Word => "word by word",
            TokenKind::Char => "character by character, ↵ for the end of a line",
            TokenKind::Byte => "byte by byte",
        },
        units.len(),
        top.name(),
    ));
    let section = Section::new("gates", "Gates while it reads").lead(lead);
    Some(section.body(maps.with(caption).with(saturation(inside))))
}

/// The units that vary most, ordered by how long they keep.
fn shown(inside: &Inside, place: &Place, keeper: usize) -> Vec<usize> {
    let units = inside.units;
    let variance = |unit: usize| {
        let values = place.unit(units, unit);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>()
    };
    let mut of: Vec<(f64, usize)> = (0..units).map(|unit| (variance(unit), unit)).collect();
    of.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    of.truncate(UNITS);
    let kept = |unit: usize| place.gates[keeper].1.iter().skip(unit).step_by(units).sum::<f32>();
    let mut chosen: Vec<usize> = of.into_iter().map(|(_, unit)| unit).collect();
    chosen.sort_by(|&a, &b| kept(b).total_cmp(&kept(a)).then(a.cmp(&b)));
    chosen
}

/// One gate of some units over the first tokens.
fn map(inside: &Inside, place: &Place, gate: &(String, Vec<f32>), units: &[usize]) -> Html {
    let (name, numbers) = gate;
    let words = inside.kind == TokenKind::Word;
    let column = if words { 20 } else { 10 };
    let tokens = inside.tokens.len().min((WIDTH - LEFT) / column);
    let labels: Vec<String> = inside.tokens[..tokens].iter().map(|token| label(token)).collect();
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(1);
    let top = if longest > 1 { 8 * longest + 6 } else { 16 };
    let (width, height) = (tokens * column, units.len() * ROW);

    let at = |t: usize, unit: usize| numbers[t * inside.units + unit];
    let shares: Vec<f32> =
        units.iter().flat_map(|&unit| (0..tokens).map(move |t| at(t, unit))).collect();
    let size = |number: usize| number.to_string();
    let text = |class: &str, x: usize, y: usize, anchor: &str, text: Html| {
        let (x, y) = (size(x), size(y));
        let attributes = [("class", class), ("x", &x), ("y", &y), ("text-anchor", anchor)];
        Html::element("text", &attributes, text)
    };
    let mut drawn = Html::new();
    for (t, label) in labels.iter().enumerate() {
        let x = LEFT + t * column + column / 2;
        if longest > 1 {
            let turned = format!("rotate(-90 {} {})", x + 4, top - 5);
            let (x, y) = (size(x + 4), size(top - 5));
            let attributes = [("x", &*x), ("y", &*y), ("transform", &*turned)];
            drawn.push(Html::element("text", &attributes, label.as_str()));
        } else {
            drawn.push(text("", x, top - 4, "middle", label.as_str().into()));
        }
    }
    let (x, y, w, h) = (size(LEFT), size(top), size(width), size(height));
    let frame = [("class", "frame"), ("x", &*x), ("y", &*y), ("width", &*w), ("height", &*h)];
    drawn.push(Html::element("rect", &frame, ""));
    let address = png::of_shares(tokens, units.len(), &shares);
    let image = [
        ("href", &*address),
        ("x", &*x),
        ("y", &*y),
        ("width", &*w),
        ("height", &*h),
        ("preserveAspectRatio", "none"),
    ];
    drawn.push(Html::element("image", &image, ""));
    // A line where one sequence ends and the next begins.
    for end in inside.ends.iter().filter(|&&end| end < tokens) {
        let x = size(LEFT + end * column);
        let line = [("class", "end"), ("x", &*x), ("y", &*y), ("width", "1"), ("height", &*h)];
        drawn.push(Html::element("rect", &line, ""));
    }
    for (row, unit) in units.iter().enumerate().filter(|(row, _)| row.is_multiple_of(3)) {
        let y = top + row * ROW + 10;
        drawn.push(text("muted", LEFT - 5, y, "end", unit.to_string().into()));
    }
    let (w, h) = (size(LEFT + width + 2), size(top + height + 2));
    let view = format!("0 0 {w} {h}");
    let title = format!("{name} of {} units of {} over the text", units.len(), place.name());
    let attributes = [
        ("class", "cells"),
        ("role", "img"),
        ("aria-label", &*title),
        ("width", &*w),
        ("height", &*h),
        ("viewBox", &*view),
    ];
    let svg = Html::element("svg", &attributes, drawn);
    figure(scrolled(svg), format!("{}: units (by number) by what is read", capital(name)))
}

/// What stands over a column.
fn label(token: &str) -> String {
    match token {
        "\n" => "↵".into(),
        "\t" => "→".into(),
        " " => "\u{A0}".into(),
        _ => token.chars().take(MOST_CHARACTERS).collect(),
    }
}

/// How often gates are shut or open, as in Karpathy, Johnson and Li 2015.
fn saturation(inside: &Inside) -> Html {
    let rows = inside.places.iter().flat_map(|place| {
        place.gates.iter().map(move |(name, numbers)| {
            let count = numbers.len() as f64;
            let share = |is: &dyn Fn(f32) -> bool| {
                percent(numbers.iter().filter(|&&gate| is(gate)).count() as f64 / count)
            };
            let mean = numbers.iter().map(|&gate| f64::from(gate)).sum::<f64>() / count;
            vec![
                place.name().into(),
                name.as_str().into(),
                short(mean).into(),
                share(&|gate| gate < 0.1).into(),
                share(&|gate| gate > 0.9).into(),
            ]
        })
    });
    let head = ["", "gate", "mean", "shut: below 0.1", "open: above 0.9"];
    let over = note(format!(
        "All {} units over {} tokens. A forget or update gate that is open nearly always belongs to a \
         unit that integrates.",
        inside.units,
        crate::run::thousands(inside.tokens.len())
    ));
    table(&head, &[2, 3, 4], rows).with(over)
}
