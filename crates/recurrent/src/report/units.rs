//! Some units' values, coloured over what the model reads (Karpathy, Johnson and Li 2015).

use recurrent_cells::CellKind;

use super::Section;
use super::html::{Html, figure, note, paragraph, tag};
use super::inside::Inside;
use crate::data::TokenKind;
use crate::run::thousands;

/// Units that are shown.
const UNITS: usize = 5;
/// Tokens of the text that are shown for each.
const SHOWN: usize = 560;
/// A correlation that is named.
const TELLING: f64 = 0.3;
/// Fewer tokens say nothing about correlations.
const LEAST_TOKENS: usize = 200;

/// A unit, and why it is shown.
struct Chosen {
    place: usize,
    unit: usize,
    reason: String,
}

/// The section.
pub(super) fn section(inside: &Inside) -> Option<Section> {
    if inside.places.is_empty() || inside.tokens.is_empty() {
        return None;
    }
    let chosen = choose(inside);
    if chosen.is_empty() {
        return None;
    }
    let what = match inside.cell {
        cell if cell.is_lstm() => "tanh(c), what an LSTM's unit remembers, from −1 to 1",
        CellKind::Gru => "h, what a GRU's unit remembers, from −1 to 1",
        CellKind::RnnTanh => "h, from −1 to 1",
        CellKind::RnnRelu => "h, which is 0 or larger and has no upper bound",
        _ => "h, which has no bounds",
    };
    let lead = paragraph(format!(
        "The value of single units after each {}: {what}.",
        inside.kind.singular()
    ));
    let figures: Html = chosen.iter().map(|chosen| coloured(inside, chosen)).collect();
    let all = inside.places.len() * inside.units;
    let correlations = match inside.tokens.len() >= LEAST_TOKENS {
        false => "with the largest swings.".to_owned(),
        true => format!(
            "by correlation with what is named (r, over {} tokens) and by how slowly they change. The \
             best of {} units always correlates a little; what is near 1 is no accident.",
            thousands(inside.tokens.len()),
            thousands(all)
        ),
    };
    let how = note(format!(
        "{} of {} units, chosen {correlations} The values are made of what the forward pass left on \
         its tape.",
        chosen.len(),
        thousands(all)
    ));
    Some(
        Section::new("units", "Units that say something")
            .lead(lead)
            .body(key().with(figures).with(how)),
    )
}

fn key() -> Html {
    let swatch = |class: &str, name: &str| tag("span", "", tag("i", class, "").with(name));
    let steps = [("n4", "near −1"), ("n2", ""), ("p0", "0"), ("p2", ""), ("p4", "near 1")];
    tag("p", "key", steps.iter().map(|(class, name)| swatch(class, name)).collect::<Html>())
}

/// What a token is, as a number that a unit may follow.
fn features(inside: &Inside) -> Vec<(&'static str, Vec<f64>)> {
    let tokens = &inside.tokens;
    // A count that begins anew behind some tokens.
    let since = |ends: &dyn Fn(usize, &str) -> bool| -> Vec<f64> {
        let mut count = 0.0;
        let number = |(at, token): (usize, &String)| {
            let now = count;
            count = if ends(at, token) { 0.0 } else { count + 1.0 };
            now
        };
        tokens.iter().enumerate().map(number).collect()
    };
    let is = |what: &dyn Fn(&str) -> bool| -> Vec<f64> {
        tokens.iter().map(|token| f64::from(u8::from(what(token)))).collect()
    };
    let (mut open, mut line_ended) = (false, false);
    let quoted: Vec<f64> = tokens
        .iter()
        .map(|token| {
            let after_line_end = std::mem::replace(&mut line_ended, token == "\n");
            match token.as_str() {
                "\"" => open = !open,
                "“" => open = true,
                "”" => open = false,
                // A quotation that goes on behind an empty line is a slip, or the text began in one.
                "\n" if after_line_end => open = false,
                _ => {}
            }
            f64::from(u8::from(open))
        })
        .collect();
    let at_end = |at: usize| inside.ends.contains(&(at + 1));
    let mut features = vec![("being inside quotation marks", quoted)];
    if inside.kind == TokenKind::Word {
        features.push(("the position in the text", since(&|at, _| at_end(at))));
        let mark = |token: &str| token.chars().all(|c| c.is_ascii_punctuation());
        features.push(("punctuation marks", is(&mark)));
    } else {
        features
            .push(("the position in the line", since(&|at, token| token == "\n" || at_end(at))));
        features.push(("blanks between words", is(&|token| token == " " || token == "\n")));
        let letter = |token: &str| token.chars().all(char::is_alphanumeric);
        features
            .push(("the position in the word", since(&|at, token| !letter(token) || at_end(at))));
        features.push(("capital letters", is(&|token| token.chars().all(char::is_uppercase))));
        features.push(("digits", is(&|token| token.chars().all(|c| c.is_ascii_digit()))));
    }
    features
}

/// The units that follow a feature best, the slowest, and those with the largest swings.
fn choose(inside: &Inside) -> Vec<Chosen> {
    let all: Vec<(usize, usize)> = (0..inside.places.len())
        .flat_map(|place| (0..inside.units).map(move |unit| (place, unit)))
        .collect();
    let values: Vec<Vec<f64>> =
        all.iter().map(|&(place, unit)| inside.places[place].unit(inside.units, unit)).collect();
    let mut chosen: Vec<Chosen> = vec![];
    let mut take = |at: usize, reason: String| {
        let (place, unit) = all[at];
        let is_new = chosen.iter().all(|chosen| (chosen.place, chosen.unit) != (place, unit));
        if is_new && chosen.len() < UNITS {
            chosen.push(Chosen { place, unit, reason });
        }
    };
    let best = |score: &dyn Fn(&[f64]) -> f64| -> Vec<(f64, usize)> {
        let mut of: Vec<(f64, usize)> =
            values.iter().enumerate().map(|(at, values)| (score(values), at)).collect();
        of.retain(|(score, _)| score.is_finite());
        of.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        of
    };
    if inside.tokens.len() >= LEAST_TOKENS {
        let mut found: Vec<(f64, usize, String)> = vec![];
        for (name, feature) in features(inside) {
            let score = |values: &[f64]| correlation(values, &feature).abs();
            let Some(&(r, at)) = best(&score).first() else { continue };
            if r >= TELLING {
                let sign = correlation(&values[at], &feature);
                found.push((r, at, format!("follows {name}: r = {sign:.2}").replace('-', "−")));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        // One place is left for the slowest.
        found.truncate(UNITS - 1);
        found.into_iter().for_each(|(_, at, reason)| take(at, reason));
        let slowest = best(&|values| match deviation(values) {
            swing if swing > 0.1 => persistence(values),
            _ => f64::NAN,
        });
        if let Some(&(rest, at)) = slowest.first() {
            take(at, format!("changes most slowly: r = {rest:.3} with itself one step before"));
        }
    }
    for (swing, at) in best(&deviation) {
        take(at, format!("swings most: standard deviation {swing:.2}"));
    }
    chosen
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    (squares.sum::<f64>() / values.len() as f64).sqrt()
}

/// Pearson's r; NaN where one of the two stands still.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let both = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>();
    both / (a.len() as f64 * deviation(a) * deviation(b))
}

/// The correlation of values with those one step before.
fn persistence(values: &[f64]) -> f64 {
    match values.len() {
        0..=2 => f64::NAN,
        count => correlation(&values[1..], &values[..count - 1]),
    }
}

/// The beginning of the text in the colours of a unit.
fn coloured(inside: &Inside, chosen: &Chosen) -> Html {
    let place = &inside.places[chosen.place];
    let values = place.unit(inside.units, chosen.unit);
    // Units of relu and identity know no bound.
    let largest = values
        .iter()
        .filter(|value| value.is_finite())
        .fold(1.0f64, |most, value| most.max(value.abs()));
    let mut text = Html::new();
    let mut run = (0, String::new());
    let flush = |(level, words): &mut (i32, String), text: &mut Html| {
        let class = match level.signum() {
            0 => String::new(),
            1 => format!("p{level}"),
            _ => format!("n{}", level.abs()),
        };
        let words = std::mem::take(words);
        match class.is_empty() {
            true => text.push(words),
            false => text.push(tag("span", &class, words)),
        }
    };
    for (at, (token, value)) in inside.tokens.iter().zip(&values).enumerate().take(SHOWN) {
        let level = level(value / largest);
        if level != run.0 {
            flush(&mut run, &mut text);
            run.0 = level;
        }
        run.1.push_str(token);
        if inside.ends.contains(&(at + 1)) {
            flush(&mut run, &mut text);
            text.push("\n");
        } else if inside.kind == TokenKind::Word && token != "\n" {
            run.1.push(' ');
        }
    }
    flush(&mut run, &mut text);
    let scale = match largest > 1.0 {
        true => format!("Colours are relative to its largest value, {largest:.1}."),
        false => String::new(),
    };
    let title = format!("Unit {} of {} {}", chosen.unit, place.name(), chosen.reason);
    figure(tag("h3", "", title).with(tag("div", "text", text)), scale)
}

/// How strong a colour is: from -4 to 4.
fn level(value: f64) -> i32 {
    let strength = match value.abs() {
        size if size < 0.1 || size.is_nan() => 0,
        size if size < 0.3 => 1,
        size if size < 0.55 => 2,
        size if size < 0.8 => 3,
        _ => 4,
    };
    if value < 0.0 { -strength } else { strength }
}

#[cfg(test)]
mod tests {
    use super::super::inside::Place;
    use super::*;

    #[test]
    fn correlations_are_those_of_a_hand() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), 1.0));
        assert!(close(correlation(&[1.0, 2.0, 3.0], &[1.0, 0.0, -1.0]), -1.0));
        assert!(close(correlation(&[1.0, -1.0, 1.0, -1.0], &[1.0, 1.0, -1.0, -1.0]), 0.0));
        assert!(correlation(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }

    /// Of three units one counts the line, one is slow, one is noise.
    #[test]
    fn a_unit_that_counts_is_found_and_named() {
        let text: String =
            (0..40).map(|k| format!("{}\n", "abcdefghijk"[..3 + k % 8].to_owned())).collect();
        let tokens: Vec<String> = text.chars().map(String::from).collect();
        let (mut values, mut place) = (vec![], 0.0f32);
        for (t, token) in tokens.iter().enumerate() {
            let slow = (t as f32 / 60.0).sin();
            let noise = ((t * 7919 + t * t * 31) % 101) as f32 / 50.0 - 1.0;
            values.extend([noise, place / 11.0, slow]);
            place = if token == "\n" { 0.0 } else { place + 1.0 };
        }
        let ends = vec![tokens.len()];
        let places = vec![Place { layer: 0, reverse: false, gates: vec![], keeper: None, values }];
        let (cell, kind, from) = (CellKind::RnnTanh, TokenKind::Char, "a text");
        let mut inside = Inside { cell, units: 3, tokens, kind, places, ends, from };
        let chosen = choose(&inside);
        let counting = &chosen[0];
        assert_eq!(counting.unit, 1, "{}", counting.reason);
        assert!(counting.reason.contains("position in the line: r = 1.00"), "{}", counting.reason);
        let slow = chosen.iter().find(|chosen| chosen.unit == 2).unwrap();
        assert!(slow.reason.starts_with("changes most slowly"), "{}", slow.reason);
        let html = section(&inside).unwrap();
        assert!(html.body.as_str().contains("<span class=\"p4\">"), "{html:?}");
        assert!(html.lead.as_str().contains("character: h, from −1 to 1."), "{html:?}");
        for (cell, bounds) in
            [(CellKind::RnnRelu, "no upper bound"), (CellKind::RnnIdentity, "no bounds")]
        {
            inside.cell = cell;
            assert!(section(&inside).unwrap().lead.as_str().contains(bounds), "{cell:?}");
        }
        inside.places[0].values.clear();
        assert!(section(&inside).is_none());
    }
}
