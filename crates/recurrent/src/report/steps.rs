//! How large gradients were over the steps of a run, and where limits cut them.

use std::collections::BTreeMap;

use super::Section;
use super::chart::{Axis, Chart, Line, Stroke, Tone, thinned};
use super::history::{ClipLine, History, StepLine};
use super::html::{Html, figure, note, paragraph, table};
use super::numbers::{count, short};
use super::watched::watched;
use crate::run::thousands;
use crate::tasks::settings::Learning;

const MOST_POINTS: usize = 400;
/// So many of the largest norms are named.
const NAMED: usize = 5;
/// A norm that is so many times the median stands out.
pub(super) const BURST: f64 = 5.0;
/// Of so many norms before it.
const WINDOW: usize = 50;
/// Among fewer norms nothing stands out.
pub(super) const FEWEST: usize = 8;

/// The section; `learning` is that of the run, whose limits it names.
pub(super) fn section(history: &History, learning: Option<&Learning>) -> Option<Section> {
    if history.steps.is_empty() {
        return None;
    }
    let section = Section::new("gradients", "Gradients over the run");
    let points = |lines: &mut dyn Iterator<Item = &StepLine>| -> Vec<(f64, f64)> {
        lines.map(|line| (line.step as f64, line.gradient_norm)).collect()
    };
    let mut all = points(&mut history.steps.iter());
    // A watched step has a norm as well, and there may be many more of them.
    let watched = watched(history);
    all.extend(watched.iter().filter_map(|seen| Some((seen.step as f64, seen.gradient_norm?))));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.dedup_by_key(|point| point.0);
    // The largest of neighbours: a burst must not be lost in a mean.
    let largest = |points: &[(f64, f64)]| {
        points.iter().map(|point| point.1).fold(f64::NAN, |most: f64, norm| most.max(norm))
    };
    let line = |name: &str, tone, stroke, points| Line { name: name.into(), tone, stroke, points };
    let clipped: Vec<(f64, f64)> = match history.clips.is_empty() {
        true => points(&mut history.steps.iter().filter(|line| line.clipped)),
        false => history.clips.iter().map(|line| (line.step as f64, line.gradient_norm)).collect(),
    };
    let mut lines = vec![line("", Tone::Blue, Stroke::Solid, thinned(&all, MOST_POINTS, largest))];
    if !clipped.is_empty() {
        let dots = thinned(&clipped, MOST_POINTS, largest);
        lines.push(line("", Tone::Orange, Stroke::Dots, dots));
    }
    let limit = learning.and_then(|learning| learning.clip_norm);
    let chart = Chart {
        title: "Norm of the gradients over the steps of the run, logarithmic".into(),
        x: Axis { includes: Some(0.0), ..Axis::of("step").counted() },
        y: Axis::log("norm of all gradients together, before clipping"),
        lines,
        rules: limit.map(|limit| (limit, format!("clip norm {limit}"))).into_iter().collect(),
        height: 260,
    };
    let mut caption = match (history.every(), all.len() > history.steps.len()) {
        (1, _) => String::new(),
        (every, true) => format!("One step in {every} is measured, and each that was watched. "),
        (every, false) => {
            format!("One step in {every} is measured, so a burst between two of them is not seen. ")
        }
    };
    caption += "The axis is logarithmic.";
    if !history.clips.is_empty() {
        caption += " Dots: every step whose gradients were clipped.";
    } else if !clipped.is_empty() {
        caption += " Dots: steps whose gradients were clipped.";
    }
    let body = figure(chart.html(), caption).with(largest_ones(history));
    Some(section.lead(lead(history, learning)).body(body))
}

/// The first norm that stands out from the `WINDOW` before it, and how many times their median it
/// is.
fn first_burst(known: &[Known]) -> Option<(&Known, f64)> {
    (FEWEST..known.len()).find_map(|at| {
        let before = &known[at.saturating_sub(WINDOW)..at];
        let times = known[at].norm / median(before.iter().map(|step| step.norm))?;
        (times > BURST && times.is_finite()).then_some((&known[at], times))
    })
}

/// A step whose norm is known.
struct Known {
    step: u64,
    epoch: u64,
    norm: f64,
    loss: Option<f64>,
    clipped: bool,
}

/// Every step whose norm is known, in order: beside those that are measured in turn, those that were
/// clipped or watched while gradients were watched.
fn known(history: &History) -> Vec<Known> {
    let mut of_step = BTreeMap::new();
    for &StepLine { step, epoch, loss, gradient_norm: norm, clipped, .. } in &history.steps {
        of_step.insert(step, Known { step, epoch, norm, loss: Some(loss), clipped });
    }
    for &ClipLine { step, epoch, gradient_norm: norm } in &history.clips {
        let own = Known { step, epoch, norm, loss: None, clipped: true };
        of_step.entry(step).or_insert(own);
    }
    for line in history.others.iter().filter(|line| line["event"] == "gradients") {
        let of = (line["step"].as_u64(), line["epoch"].as_u64(), line["gradient_norm"].as_f64());
        if let (Some(step), Some(epoch), Some(norm)) = of {
            let own = Known { step, epoch, norm, loss: None, clipped: false };
            of_step.entry(step).or_insert(own);
        }
    }
    of_step.into_values().collect()
}

/// The median of the norms that are numbers.
pub(super) fn median(norms: impl Iterator<Item = f64>) -> Option<f64> {
    let mut norms: Vec<f64> = norms.filter(|norm| norm.is_finite()).collect();
    norms.sort_by(f64::total_cmp);
    norms.get(norms.len().saturating_sub(1) / 2).copied()
}

/// The median of the measured norms that are numbers.
fn measured_median(history: &History) -> Option<f64> {
    median(history.steps.iter().map(|line| line.gradient_norm))
}

fn lead(history: &History, learning: Option<&Learning>) -> Html {
    let lines = &history.steps;
    let mut said = String::new();
    if let Some(line) = lines.iter().find(|line| !line.gradient_norm.is_finite()) {
        said += &format!(
            "It exploded: the norm was no number at step {}. ",
            thousands(line.step as usize)
        );
    }
    let clipped = lines.iter().filter(|line| line.clipped).count();
    if !history.clips.is_empty() {
        let worst = history.clips.iter().filter(|line| !line.gradient_norm.is_nan());
        let worst = worst.max_by(|a, b| a.gradient_norm.total_cmp(&b.gradient_norm));
        let worst = worst.map_or(String::new(), |worst| {
            let step = thousands(worst.step as usize);
            format!(", at most from a norm of {}, at step {step}", short(worst.gradient_norm))
        });
        said += &format!("In all, {} clipped{worst}. ", were(history.clips.len()));
    }
    let limits = learning.map(|learning| (learning.clip_norm, learning.clip_value));
    said += &match (clipped, limits) {
        (0, Some((None, None))) => "There was no limit to clip at. ".to_owned(),
        (0, _) if !history.clips.is_empty() => "None of them is a measured one. ".to_owned(),
        (0, _) => "No measured step was clipped. ".to_owned(),
        _ => format!(
            "{} of {} measured steps were clipped ({:.0} %). ",
            thousands(clipped),
            thousands(lines.len()),
            100.0 * clipped as f64 / lines.len() as f64
        ),
    };
    if let Some((_, Some(value))) = limits {
        said += &format!("Numbers of a gradient are kept within {value}. ");
    }
    let known = known(history);
    let most = known.iter().filter(|step| step.norm.is_finite());
    let most = most.max_by(|a, b| a.norm.total_cmp(&b.norm));
    if let (Some(most), Some(median)) = (most, measured_median(history)) {
        let times = most.norm / median;
        said += &match times > BURST {
            true => format!(
                "The largest norm, {} at step {}, is {} times the median of {}.",
                short(most.norm),
                thousands(most.step as usize),
                thousands(times as usize),
                short(median)
            ),
            false => format!(
                "There was no burst: the largest norm is {}, the median {}.",
                short(most.norm),
                short(median)
            ),
        };
    }
    if let Some((step, times)) = first_burst(&known) {
        said += &format!(
            " The first that stands out is that of step {}: {}, {} times the median of those just \
             before.",
            thousands(step.step as usize),
            short(step.norm),
            thousands(times as usize)
        );
    }
    paragraph(said)
}

fn were(steps: usize) -> String {
    let verb = if steps == 1 { "was" } else { "were" };
    format!("{} {verb}", count(steps, "step"))
}

/// The steps with the largest norms, those that are no numbers first.
fn largest_ones(history: &History) -> Html {
    let mut steps = known(history);
    if steps.len() <= NAMED {
        return Html::new();
    }
    let what = match steps.len() > history.steps.len() {
        true => "steps, of all that were measured, clipped or watched,",
        false => "measured steps",
    };
    let size = |step: &Known| if step.norm.is_nan() { f64::INFINITY } else { step.norm };
    steps.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let median = measured_median(history).unwrap_or(f64::NAN);
    let rows = steps.into_iter().take(NAMED).map(|step| {
        vec![
            thousands(step.step as usize).into(),
            step.epoch.to_string().into(),
            short(step.norm).into(),
            format!("{:.1}", step.norm / median).into(),
            step.loss.map_or(String::new(), short).into(),
            if step.clipped { "yes" } else { "" }.into(),
        ]
    });
    let head = ["step", "epoch", "norm", "× median", "loss", "clipped"];
    let which = note(format!("The {NAMED} {what} with the largest norms."));
    table(&head, &[0, 1, 2, 3, 4], rows).with(which)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(norms: &[f64]) -> History {
        let line = |(at, &gradient_norm): (usize, &f64)| StepLine {
            step: 50 * (at as u64 + 1),
            epoch: 1,
            loss: 1.0,
            learning_rate: 0.1,
            gradient_norm,
            clipped: gradient_norm > 5.0,
        };
        let steps = norms.iter().enumerate().map(line).collect();
        History { steps, ..History::default() }
    }

    #[test]
    fn a_burst_is_named_with_its_step() {
        let norms = [1.0, 1.1, 0.9, 40.0, 1.0, 1.2, 1.0];
        let section = section(&history(&norms), None).unwrap();
        let (lead, body) = (section.lead.as_str(), section.body.as_str());
        assert!(lead.contains("1 of 7 measured steps were clipped (14 %)"), "{lead}");
        assert!(lead.contains("40.00 at step 200, is 40 times the median of 1.000"), "{lead}");
        assert!(body.contains("<tbody><tr><td class=\"number\">200</td>"), "{body}");
    }

    /// What lies between two measured steps is a burst as well.
    #[test]
    fn a_clipped_step_between_measured_ones_is_not_denied() {
        let clip = |step, gradient_norm| ClipLine { step, epoch: 2, gradient_norm };
        let watched = r#"{"event":"gradients","step":90,"epoch":1,"gradient_norm":3.0,"cells":[]}"#;
        let seen = History {
            clips: vec![clip(110, 9.0), clip(120, 60.0)],
            others: vec![serde_json::from_str(watched).unwrap()],
            ..history(&[1.0, 1.1, 0.9, 1.0])
        };
        let section = section(&seen, None).unwrap();
        let (lead, body) = (section.lead.as_str(), section.body.as_str());
        assert!(lead.contains("In all, 2 steps were clipped, at most from"), "{lead}");
        assert!(lead.contains("60.00 at step 120, is 60 times the median of 1.000"), "{lead}");
        assert!(!lead.contains("no burst") && !lead.contains("No measured step"), "{lead}");
        let steps: Vec<&str> = body
            .split("<tr><td class=\"number\">")
            .skip(1)
            .map(|row| &row[..row.find('<').unwrap()])
            .collect();
        assert_eq!(steps, ["120", "110", "90", "100", "50"], "{body}");
        assert!(body.contains("measured, clipped or watched"), "{body}");
    }

    #[test]
    fn a_norm_that_is_no_number_comes_first() {
        let norms = [1.0, 1.1, 2.0, 3.0, 4.0, 4.5, f64::NAN];
        let section = section(&history(&norms), None).unwrap();
        let lead = section.lead.as_str();
        assert!(lead.contains("It exploded: the norm was no number at step 350"), "{lead}");
        assert!(lead.contains("There was no burst"), "{lead}");
        let first = "<tbody><tr><td class=\"number\">350</td>";
        assert!(section.body.as_str().contains(first), "{:?}", section.body);
    }

    #[test]
    fn a_burst_between_measured_steps_is_seen_where_it_was_watched() {
        let watched = |step: u64, norm: f64| {
            let line = format!(
                r#"{{"event":"gradients","step":{step},"epoch":1,"gradient_norm":{norm},"cells":[]}}"#
            );
            serde_json::from_str(&line).unwrap()
        };
        let others = (51..100).map(|step| watched(step, if step < 73 { 1.5 } else { 90.0 }));
        let seen = History { others: others.collect(), ..history(&[1.0, 1.1, 0.9]) };
        let section = section(&seen, None).unwrap();
        let lead = section.lead.as_str();
        assert!(lead.contains("The first that stands out is that of step 73: 90.00, 60"), "{lead}");
        assert!(section.body.as_str().contains("and each that was watched"), "{lead}");
        // A start from large norms is no burst.
        let falling: Vec<f64> = (1..40).map(|at| 40.0 / f64::from(at)).collect();
        assert!(first_burst(&known(&history(&falling))).is_none());
    }

    #[test]
    fn without_lines_there_is_no_section() {
        assert!(section(&History::default(), None).is_none());
        assert!(section(&history(&[f64::NAN]), None).is_some());
    }
}
