//! What watched steps of the training saw (lines of the event `gradients`): how far their losses
//! reached back, and where gates lay, at the beginning, in the middle and at the end.

use serde::Deserialize;

use super::Section;
use super::chart::{Axis, Chart, Line, Stroke, Tone};
use super::history::History;
use super::html::{Html, figure, note, paragraph, table, tag};
use super::numbers::{count, percent, short};
use crate::run::thousands;

/// Cells that are shown, from the top.
const CELLS: usize = 3;

/// A line; a number that is not finite is `null`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Watched {
    pub(super) step: u64,
    #[serde(default)]
    pub(super) gradient_norm: Option<f64>,
    pub(super) cells: Vec<Cell>,
}

/// One layer in one direction.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cell {
    pub(super) layer: usize,
    #[serde(default)]
    pub(super) reverse: bool,
    pub(super) lags: Vec<f64>,
    pub(super) h: Vec<Option<f64>>,
    #[serde(default)]
    gates: Vec<Gate>,
    #[serde(default)]
    half_lives: Option<Vec<Option<f64>>>,
    #[serde(default)]
    dead: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
struct Gate {
    name: String,
    low: Option<f64>,
    high: Option<f64>,
    counts: Vec<u64>,
}

/// The watched steps.
pub(super) fn watched(history: &History) -> Vec<Watched> {
    let of_event = history.others.iter().filter(|line| line["event"] == "gradients");
    // A line of another version that is not like this shows nothing.
    of_event.filter_map(|line| Watched::deserialize(line).ok()).collect()
}

/// The section; none where no step was watched.
pub(super) fn section(history: &History) -> Option<Section> {
    let watched = watched(history);
    let (first, last) = (watched.first()?, watched.last()?);
    let mut shown = vec![first, &watched[watched.len() / 2], last];
    shown.dedup_by_key(|watched| watched.step);
    let cells = last.cells.iter().enumerate().rev().take(CELLS);
    let body: Html = cells.map(|(at, cell)| of_cell(at, cell, &shown)).collect();
    let lead = paragraph(format!(
        "{} steps were watched while the model learnt, from step {} to step {}.",
        thousands(watched.len()),
        thousands(first.step as usize),
        thousands(last.step as usize)
    ));
    let mut how = "Norms are of dL/dh, L being the mean loss of the step's own batch, that many steps \
                   before the last one that the cell takes. They are of all sequences together that \
                   are so long: where some are short, a curve also falls because fewer count. Layers \
                   are numbered from 0, a decoder's above the encoder's."
        .to_owned();
    let left_out = last.cells.len().saturating_sub(CELLS);
    if left_out > 0 {
        how += &format!(" {} below these {CELLS} are in metrics.jsonl.", count(left_out, "cell"));
    }
    let how = note(how);
    let section = Section::new("watched", "Gradients and gates as it learnt").lead(lead);
    Some(section.body(body.with(how)))
}

fn of_cell(at: usize, cell: &Cell, shown: &[&Watched]) -> Html {
    let backwards = if cell.reverse { ", backwards" } else { "" };
    let name = format!("Layer {}{backwards}", cell.layer);
    let seen: Vec<(u64, &Cell)> =
        shown.iter().filter_map(|watched| Some((watched.step, watched.cells.get(at)?))).collect();
    let tones = [Tone::Green, Tone::Orange, Tone::Blue];
    let lines = seen.iter().zip(&tones[3 - seen.len().min(3)..]).map(|((step, cell), &tone)| {
        let norms = cell.h.iter().map(|norm| norm.unwrap_or(f64::NAN));
        Line {
            name: format!("step {}", thousands(*step as usize)),
            tone,
            stroke: Stroke::Solid,
            points: cell.lags.iter().copied().zip(norms).collect(),
        }
    });
    let chart = Chart {
        title: format!("{name}: norm of the gradient against lag at some steps, logarithmic"),
        x: Axis::of("lag: steps before the last").counted(),
        y: Axis::log("norm of dL/dh"),
        lines: lines.collect(),
        rules: vec![],
        height: 250,
    };
    let mut html = tag("h3", "", name).with(figure(chart.html(), ""));
    html.push(gates(&seen));
    html.push(units(cell));
    html
}

/// Where the values of each gate lie, step beside step.
fn gates(seen: &[(u64, &Cell)]) -> Html {
    let gates = seen.last().map_or(&[][..], |(_, cell)| &cell.gates[..]);
    if gates.is_empty() {
        return Html::new();
    }
    let heads: Vec<String> =
        seen.iter().map(|(step, _)| format!("step {}", thousands(*step as usize))).collect();
    let mut head = vec!["gate"];
    head.extend(heads.iter().map(String::as_str));
    head.extend(["shut: below 0.1", "open: from 0.9"]);
    let rows = gates.iter().enumerate().map(|(at, gate)| {
        let mut cells = vec![Html::from(gate.name.as_str())];
        cells.extend(seen.iter().map(|(_, cell)| cell.gates.get(at).map_or(Html::new(), bars)));
        let share = |share: Option<f64>| Html::from(share.map_or(String::new(), percent));
        cells.extend([share(gate.low), share(gate.high)]);
        cells
    });
    let numbers = [head.len() - 2, head.len() - 1];
    let how = "Values of all units and steps, from 0 on the left to 1 on the right; the shares are \
               those of the last step.";
    table(&head, &numbers, rows).with(note(how))
}

/// A histogram, small enough for a line.
fn bars(gate: &Gate) -> Html {
    const WIDTH: usize = 6;
    const HEIGHT: f64 = 30.0;
    let most = gate.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let bar = |(at, &count): (usize, &u64)| {
        let height = HEIGHT * count as f64 / most;
        let (x, y) = ((at * WIDTH).to_string(), format!("{:.1}", HEIGHT - height));
        let (width, height) = ((WIDTH - 1).to_string(), format!("{height:.1}"));
        let attributes = [("x", &*x), ("y", &*y), ("width", &*width), ("height", &*height)];
        Html::element("rect", &attributes, "")
    };
    let bars: Html = gate.counts.iter().enumerate().map(bar).collect();
    let width = (gate.counts.len() * WIDTH).to_string();
    let view = format!("0 0 {width} {HEIGHT}");
    let label = format!("histogram of gate {}", gate.name);
    let attributes = [
        ("class", "cells"),
        ("role", "img"),
        ("aria-label", &*label),
        ("width", &*width),
        ("height", "30"),
        ("viewBox", &*view),
    ];
    Html::element("svg", &attributes, bars)
}

/// How long units keep, and which are dead.
fn units(cell: &Cell) -> Html {
    let mut said = String::new();
    if let Some([_, _, Some(median), _, longest]) = cell.half_lives.as_deref() {
        // The longest may be no number: a gate that never lets go.
        let longest =
            longest.map_or("for ever".to_owned(), |longest| format!("{} steps", short(longest)));
        said += &format!(
            "By its gates, half of the units lose half of what they keep within {} steps; the \
             slowest keeps it {longest}. ",
            short(*median)
        );
    }
    match cell.dead {
        Some(0) => said += "No unit is dead.",
        Some(1) => said += "One unit was 0 at every step: it is dead.",
        Some(dead) => said += &format!("{} units were 0 at every step: dead.", thousands(dead)),
        None => {}
    }
    if said.is_empty() { Html::new() } else { note(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, h: &str) -> String {
        format!(
            r#"{{"event":"gradients","step":{step},"epoch":1,"gradient_norm":1.0,"cells":[{{"layer":0,"lags":[0,1,2],"h":{h},"gates":[{{"name":"<forget>","low":0.25,"high":0.5,"counts":[5,0,10]}}],"half_lives":[1,2,3.5,4,null]}}]}}"#
        ) + "\n"
    }

    #[test]
    fn watched_steps_are_shown_with_gates_and_half_lives() {
        let text = line(100, "[1.0,0.1,0.01]") + &line(200, "[1.0,null,0.5]");
        let section = section(&History::of(text.as_bytes())).unwrap();
        let (lead, body) = (section.lead.as_str(), section.body.as_str());
        assert!(
            lead.contains("2 steps were watched") && lead.contains("100 to step 200"),
            "{lead}"
        );
        assert!(body.contains("step 100") && body.contains("&lt;forget&gt;"), "{body}");
        assert!(body.contains("height=\"15.0\"") && body.contains("height=\"30.0\""), "{body}");
        assert!(body.contains("25.0 %") && body.contains("within 3.500 steps"), "{body}");
        assert!(body.contains("the slowest keeps it for ever"), "{body}");
    }

    #[test]
    fn cells_that_are_left_out_are_counted() {
        let cell = |layer: usize| format!(r#"{{"layer":{layer},"lags":[0,1],"h":[1.0,0.5]}}"#);
        let of = |cells: usize| {
            let cells: Vec<String> = (0..cells).map(cell).collect();
            let line = format!(r#"{{"event":"gradients","step":9,"cells":[{}]}}"#, cells.join(","));
            section(&History::of(line.as_bytes())).unwrap().body
        };
        let five = of(5);
        assert!(five.as_str().contains("2 cells below these 3 are in metrics.jsonl"), "{five:?}");
        assert!(five.as_str().contains("Layer 4") && !five.as_str().contains("Layer 5"));
        assert!(!of(3).as_str().contains("below these"));
    }

    #[test]
    fn lines_that_are_not_like_that_show_nothing() {
        for text in
            ["", "{\"event\":\"gradients\",\"step\":1,\"cells\":7}\n", "{\"event\":\"x\"}\n"]
        {
            assert!(section(&History::of(text.as_bytes())).is_none(), "{text}");
        }
        let empty = "{\"event\":\"gradients\",\"step\":1,\"cells\":[]}\n";
        assert!(section(&History::of(empty.as_bytes())).is_some());
    }
}
