//! Where a run ended by itself (a line of the event `failure`): the last steps before, which of them
//! began to grow, and how the gradients of a watched one grew on their way back.

use super::Section;
use super::chart::{Axis, Chart, Line, Stroke, Tone};
use super::history::{Failure, History, LastStep};
use super::html::{Html, capital, figure, note, paragraph, table};
use super::numbers::{count, short};
use super::steps::{BURST, FEWEST, median};
use super::watched::{Watched, watched};
use crate::run::thousands;

/// So many of the last steps are named one by one.
const NAMED: usize = 6;

/// The section; none where the run did not end by itself. `newest` is the step of the newest
/// checkpoint.
pub(super) fn section(history: &History, newest: Option<u64>) -> Option<Section> {
    let failure = history.failure.as_ref()?;
    let norms = chart(
        failure,
        "Norm of the gradients over the last steps, logarithmic",
        "norm of all gradients together, before clipping",
        |step| step.gradient_norm,
        failure.gradient_norm,
    );
    let losses = chart(
        failure,
        "Loss over the last steps, logarithmic",
        "loss of the batch",
        |step| step.loss,
        failure.loss,
    );
    let watched = watched(history);
    let seen =
        watched.iter().rev().find(|watched| watched.step <= failure.step && has_norms(watched));
    let body = match failure.before.is_empty() {
        true => {
            note("No step before it is known: it was the first, or the first after a resumption.")
        }
        false => figure(norms.html(), "").with(figure(losses.html(), "")).with(steps(failure)),
    };
    let body = body.with(seen.map_or(Html::new(), lags));
    Some(Section::new("failure", "Where it ended").lead(lead(failure, newest)).body(body))
}

fn lead(failure: &Failure, newest: Option<u64>) -> Html {
    let mut said = format!("{}.", capital(&failure.reason));
    if let Some(parameter) = &failure.parameter {
        said += &format!(" The first gradient that was no number is that of {parameter}.");
    }
    if let Some(last) = failure.before.last() {
        said += &format!(
            " One step before, the loss was {} and the norm of the gradients {}.",
            short(last.loss),
            short(last.gradient_norm)
        );
    }
    if let Some((first, times)) = began(&failure.before) {
        said += &format!(
            " It began at step {}, with a norm {} times the median of the steps before.",
            thousands(first.step as usize),
            short(times)
        );
    }
    said += &match newest {
        Some(step) => format!(" The model of step {} is kept.", thousands(step as usize)),
        None => " Nothing had been saved by then.".to_owned(),
    };
    paragraph(said)
}

/// The first step from which on every norm stands out from those before it, and how many times their
/// median it was.
fn began(before: &[LastStep]) -> Option<(&LastStep, f64)> {
    let times = |at: usize| {
        let usual = median(before[..at].iter().map(|step| step.gradient_norm));
        before[at].gradient_norm / usual.unwrap_or(f64::NAN)
    };
    let bursts = (FEWEST..before.len()).rev().take_while(|&at| times(at) > BURST);
    bursts.last().map(|at| (&before[at], times(at)))
}

/// A curve of the last steps with the one that ended the run, if it has a number.
fn chart(
    failure: &Failure,
    title: &str,
    y: &str,
    number: fn(&LastStep) -> f64,
    last: Option<f64>,
) -> Chart {
    let last = last.map(|last| (failure.step as f64, last));
    let mut points: Vec<(f64, f64)> =
        failure.before.iter().map(|step| (step.step as f64, number(step))).collect();
    points.extend(last);
    let mut lines =
        vec![Line { name: String::new(), tone: Tone::Blue, stroke: Stroke::Solid, points }];
    lines.extend(last.map(|last| Line {
        name: String::new(),
        tone: Tone::Orange,
        stroke: Stroke::Dots,
        points: vec![last],
    }));
    Chart {
        title: title.into(),
        x: Axis::of("step").counted(),
        y: Axis::log(y),
        lines,
        rules: vec![],
        height: 220,
    }
}

/// The last steps in numbers, the one that ended the run below them.
fn steps(failure: &Failure) -> Html {
    let last = &failure.before[failure.before.len().saturating_sub(NAMED)..];
    let number = |number: Option<f64>| Html::from(number.map_or(String::new(), short));
    let mut rows: Vec<Vec<Html>> = last
        .iter()
        .map(|step| {
            let clipped = if step.clipped { "clipped" } else { "" };
            vec![
                thousands(step.step as usize).into(),
                short(step.loss).into(),
                short(step.gradient_norm).into(),
                clipped.into(),
            ]
        })
        .collect();
    rows.push(vec![
        thousands(failure.step as usize).into(),
        number(failure.loss),
        number(failure.gradient_norm),
        "the run ends".into(),
    ]);
    let what = note(format!(
        "Every one of the last {} is in metrics.jsonl. A place that is empty holds no finite number, or \
         none that was reached.",
        count(failure.before.len(), "step")
    ));
    table(&["step", "loss", "gradient norm", ""], &[0, 1, 2], rows).with(what)
}

fn has_norms(watched: &Watched) -> bool {
    let finite = |norm: &Option<f64>| norm.is_some_and(|norm| norm > 0.0);
    watched.cells.iter().any(|cell| cell.h.iter().filter(|norm| finite(norm)).count() > 1)
}

/// How the gradients of the last watched step with numbers went back in time.
fn lags(watched: &Watched) -> Html {
    let mut said =
        format!("Step {}, the last that was watched: ", thousands(watched.step as usize));
    let cells = watched.cells.iter().zip(Tone::SERIES);
    let lines: Vec<Line> = cells
        .map(|(cell, tone)| {
            let norms = cell.h.iter().map(|norm| norm.unwrap_or(f64::NAN));
            let points: Vec<(f64, f64)> = cell.lags.iter().copied().zip(norms).collect();
            let finite = |point: &&(f64, f64)| point.1.is_finite() && point.1 > 0.0;
            let (near, far) = (points.iter().find(finite), points.iter().rev().find(finite));
            if let (Some(near), Some(far)) = (near, far)
                && far.0 > near.0
            {
                let a_step = libm::pow(far.1 / near.1, 1.0 / (far.0 - near.0));
                said += &format!(
                    "layer {}{}: {} at lag {}, {} at lag {}, a factor of {} a step. ",
                    cell.layer,
                    if cell.reverse { " backwards" } else { "" },
                    short(near.1),
                    near.0,
                    short(far.1),
                    far.0,
                    short(a_step)
                );
            }
            Line { name: format!("layer {}", cell.layer), tone, stroke: Stroke::Solid, points }
        })
        .collect();
    let chart = Chart {
        title: "Norm of the gradient against lag at the last watched step, logarithmic".into(),
        x: Axis::of("lag: steps before the last").counted(),
        y: Axis::log("norm of dL/dh"),
        lines,
        rules: vec![],
        height: 220,
    };
    figure(chart.html(), said.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, gradient_norm: f64) -> LastStep {
        LastStep { step, loss: 2.0, gradient_norm, clipped: false }
    }

    fn failure(norms: &[f64]) -> Failure {
        let before = norms.iter().zip(1..).map(|(&norm, at)| step(at, norm)).collect();
        Failure {
            step: norms.len() as u64 + 1,
            epoch: 1,
            reason: "the loss became NaN".into(),
            loss: None,
            gradient_norm: None,
            parameter: None,
            before,
        }
    }

    fn shown(failure: Failure, newest: Option<u64>) -> (String, String) {
        let history = History { failure: Some(failure), ..History::default() };
        let section = section(&history, newest).unwrap();
        (section.lead.as_str().to_owned(), section.body.as_str().to_owned())
    }

    #[test]
    fn the_step_at_which_it_began_is_the_first_of_the_last_burst() {
        let norms = [1.0, 1.1, 0.9, 1.0, 40.0, 1.0, 1.2, 1.0, 1.1, 1.0, 20.0, 300.0];
        let (lead, body) = shown(failure(&norms), Some(5));
        assert!(
            lead.contains("The loss became NaN. One step before, the loss was 2.000"),
            "{lead}"
        );
        assert!(lead.contains("It began at step 11, with a norm 20.00 times the median"), "{lead}");
        assert!(lead.contains("The model of step 5 is kept."), "{lead}");
        assert!(body.contains("the run ends") && body.contains("the last 12 steps"), "{body}");
        // An earlier burst that passed is not where it began, and few steps say nothing.
        let (lead, _) = shown(failure(&norms[..10]), None);
        assert!(!lead.contains("It began") && lead.contains("Nothing had been saved"), "{lead}");
        assert!(!shown(failure(&[1.0, 1.0, 90.0]), None).0.contains("It began"));
    }

    #[test]
    fn a_first_step_has_none_before_it() {
        let (lead, body) = shown(Failure { parameter: Some("w<b>".into()), ..failure(&[]) }, None);
        assert!(lead.contains("that of w&lt;b&gt;"), "{lead}");
        assert!(body.contains("No step before it is known"), "{body}");
        assert!(section(&History::default(), None).is_none());
    }
}
