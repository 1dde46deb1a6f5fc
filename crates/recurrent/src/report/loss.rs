//! Losses and the learning rate over the steps of a run.

use super::chart::{Axis, Chart, Line, Stroke, Tone, thinned};
use super::history::{EpochLine, History};
use super::html::{Html, figure, note, paragraph};
use super::numbers::{count, short};
use recurrent_training::HeldOutLoss;

use super::Section;
use crate::run::thousands;

/// More points than this are joined: a screen has no more columns.
const MOST_POINTS: usize = 400;

/// The mean of the numbers among some points.
fn mean(points: &[(f64, f64)]) -> f64 {
    let finite: Vec<f64> = points.iter().map(|point| point.1).filter(|y| y.is_finite()).collect();
    finite.iter().sum::<f64>() / finite.len() as f64
}

/// The section. Where the metrics have no held-out losses, those that the checkpoint kept stand for
/// them.
pub(super) fn section(history: &History, kept: &[HeldOutLoss], loss_unit: &str) -> Section {
    let section = Section::new("loss", "Loss");
    let from_metrics = !history.epochs.is_empty();
    let held_out: Vec<(f64, f64)> = match from_metrics {
        true => history.epochs.iter().map(|at| (at.step as f64, at.held_out_loss)).collect(),
        false => kept.iter().map(|at| (at.step as f64, at.loss)).collect(),
    };
    let steps: Vec<(f64, f64)> =
        history.steps.iter().map(|line| (line.step as f64, line.loss)).collect();
    // The mean of an epoch stands in the middle of its steps.
    let mut before = 0;
    let middle = |line: &EpochLine| {
        let at = (before + line.step) as f64 / 2.0;
        before = line.step;
        (at, line.train_loss)
    };
    let means: Vec<(f64, f64)> = history.epochs.iter().map(middle).collect();
    if held_out.is_empty() && steps.is_empty() {
        return section.body(note(lost(history)));
    }

    let joined = thinned(&steps, MOST_POINTS, mean);
    let batches = Line {
        name: if means.is_empty() { "training".into() } else { String::new() },
        tone: if means.is_empty() { Tone::Blue } else { Tone::Muted },
        stroke: Stroke::Thin,
        points: joined.clone(),
    };
    let mut lines = vec![batches];
    let curve = |name: &str, tone: Tone, points: &[(f64, f64)]| {
        let points = points.to_vec();
        [(name, Stroke::Solid), ("", Stroke::Dots)].map(|(name, stroke)| Line {
            name: name.into(),
            tone,
            stroke,
            points: points.clone(),
        })
    };
    lines.extend(curve("training", Tone::Blue, &means));
    lines.extend(curve("held out", Tone::Orange, &held_out));
    lines.retain(|line| !line.points.is_empty());
    let chart = Chart {
        title: "Training and held-out loss over the steps of the run".into(),
        x: Axis { includes: Some(0.0), ..Axis::of("step").counted() },
        y: Axis::of(if loss_unit.is_empty() {
            "loss".into()
        } else {
            format!("loss, {loss_unit}")
        }),
        lines,
        rules: vec![],
        height: 320,
    };
    let mut caption = String::new();
    if !means.is_empty() {
        caption += "Dots: held-out loss after each epoch, and the mean training loss of an epoch in \
                    the middle of its steps. ";
    }
    if !steps.is_empty() {
        let what = match steps.len().div_ceil(joined.len().max(1)) {
            1 => "the loss of a single batch".to_owned(),
            several => format!("the mean of {several} batches"),
        };
        let color = if means.is_empty() { "The line" } else { "The grey line" };
        caption += &format!("{color}: {what}, one measured every {} steps.", history.every());
    }
    let mut body = figure(chart.html(), caption);
    if !from_metrics && !held_out.is_empty() {
        let lost = lost(history);
        body.push(note(format!("{lost} The held-out losses are those that the checkpoint keeps.")));
    }
    body.push(learning_rate(history));
    section.lead(lead(history, &held_out)).body(body)
}

/// Why there are no curves.
fn lost(history: &History) -> String {
    match (&history.missing, history.unreadable) {
        (Some(reason), _) => format!("metrics.jsonl cannot be read ({reason})."),
        (None, 0) if history.is_empty() => "metrics.jsonl holds no line yet.".into(),
        (None, 0) => "No step was measured yet: every fiftieth is, and every epoch.".into(),
        (None, lines) => {
            let lines = count(lines, "line");
            format!("{lines} of metrics.jsonl cannot be read.")
        }
    }
}

fn lead(history: &History, held_out: &[(f64, f64)]) -> Html {
    let numbers = || held_out.iter().filter(|at| at.1.is_finite());
    let Some(&(step, best)) = numbers().min_by(|a, b| a.1.total_cmp(&b.1)) else {
        let said = match held_out.is_empty() {
            true => "No epoch has ended yet, so nothing is known of held-out data.",
            false => "No held-out loss was a number.",
        };
        return paragraph(said);
    };
    let (first, last) = (numbers().next().map_or(best, |at| at.1), held_out[held_out.len() - 1]);
    let step = thousands(step as usize);
    let mut said = match held_out.len() {
        1 => format!("Held-out loss {} after the only measurement, at step {step}.", short(best)),
        _ if first == best => format!(
            "The held-out loss was lowest at its first measurement, {} at step {step}: nothing that \
             came later helped.",
            short(best)
        ),
        _ => format!(
            "The held-out loss fell from {} to {}, which it reached at step {step}.",
            short(first),
            short(best)
        ),
    };
    if last.1 > 1.02 * best && first != best {
        said += &format!(" It then rose to {}.", short(last.1));
    }
    let train = history.epochs.last().map(|line| line.train_loss);
    if let Some(train) = train.filter(|train| last.1 > 1.15 * train && last.1 - train > 0.02) {
        said += &format!(
            " On what it learns from the model ends at {}: it knows those data better than others.",
            short(train)
        );
    }
    paragraph(said)
}

/// The rate, where it changes; else a line.
fn learning_rate(history: &History) -> Html {
    let rates: Vec<(f64, f64)> =
        history.steps.iter().map(|line| (line.step as f64, line.learning_rate)).collect();
    let Some(&(_, first)) = rates.first() else { return Html::new() };
    if rates.iter().all(|&(_, rate)| rate == first) {
        return note(format!("The learning rate was {first} all the time."));
    }
    let points = thinned(&rates, MOST_POINTS, |points| points[points.len() - 1].1);
    let line = Line { name: String::new(), tone: Tone::Green, stroke: Stroke::Solid, points };
    let chart = Chart {
        title: "Learning rate over the steps of the run".into(),
        x: Axis { includes: Some(0.0), ..Axis::of("step").counted() },
        y: Axis { includes: Some(0.0), ..Axis::of("learning rate") },
        lines: vec![line],
        rules: vec![],
        height: 170,
    };
    figure(chart.html(), "")
}
