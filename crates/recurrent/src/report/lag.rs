//! How far the loss of a step reaches back through time.

use super::Section;
use super::chart::{Axis, Chart, Line, Stroke, Tone};
use super::html::{figure, paragraph};
use super::numbers::{count, short};
use crate::gradient_flow::LayerFlow;

/// The section of a measurement with [`gradient_flow`](crate::gradient_flow::gradient_flow).
pub(crate) fn section(flow: &[LayerFlow]) -> Section {
    let points = |norms: &[f64]| -> Vec<(f64, f64)> {
        norms.iter().enumerate().map(|(lag, &norm)| (lag as f64, norm)).collect()
    };
    let name = |what: &str, layer: usize| match flow.len() {
        1 => what.to_owned(),
        _ => format!("{what}, layer {layer}"),
    };
    let mut lines = vec![];
    let mut said = vec![];
    for (at, LayerFlow { layer, h, c, weight_hh, .. }) in flow.iter().enumerate() {
        let tone = Tone::SERIES[at % Tone::SERIES.len()];
        let line = |what, stroke, norms| Line {
            name: name(what, *layer),
            tone,
            stroke,
            points: points(norms),
        };
        lines.push(line("dL/dh", Stroke::Solid, h));
        lines.extend(c.as_ref().map(|c| line("dL/dc", Stroke::Dashed, c)));
        said.push(line("weight_hh", Stroke::Solid, weight_hh));
    }
    let chart = Chart {
        title: "Norm of the gradient against lag, logarithmic".into(),
        x: Axis::of("lag: steps back").counted(),
        y: Axis::log("norm of the gradient of one step's loss"),
        lines,
        rules: vec![],
        height: 300,
    };
    let contributions = Chart {
        title: "What each lag adds to the gradient of weight_hh, logarithmic".into(),
        x: Axis::of("lag: steps back").counted(),
        y: Axis::log("norm of the contribution"),
        lines: said,
        rules: vec![],
        height: 260,
    };
    let learnt = "The gradient of weight_hh is a sum over lags; what a lag adds is what can be learnt \
                  over so many steps.";
    let losses = match flow.first().map_or(0, |own| own.losses) {
        1 => "Of the loss of a single step".to_owned(),
        losses => format!("The median over the losses of {}", count(losses, "step")),
    };
    let caption = format!(
        "{losses} of held-out text. dL/dh is the whole gradient \
         of h at that lag; dL/dc what reaches c through c itself. A straight line falls by the same \
         factor at each step back."
    );
    let sentences = flow.iter().map(|layer| sentence(layer, flow.len()));
    let lead = paragraph(sentences.collect::<Vec<_>>().join(" "));
    Section::new("lag", "How far back a loss reaches")
        .lead(lead)
        .body(figure(chart.html(), caption).with(figure(contributions.html(), learnt)))
}

fn sentence(flow: &LayerFlow, layers: usize) -> String {
    let lag = flow.h.len() - 1;
    let (left, factor) = (flow.h[lag] / flow.h[0], flow.factor());
    let back = format!("{} back", count(lag, "step"));
    let which = match layers {
        1 => String::new(),
        _ => format!("Layer {}: ", flow.layer),
    };
    match factor {
        _ if flow.h[0] == 0.0 => format!("{which}No loss reaches it, not even in its own step."),
        _ if left.is_nan() => format!("{which}The gradient is no number."),
        0.0 => format!("{which}Nothing arrives {back}."),
        _ if left > 1.0 => format!(
            "{which}{} times as much arrives {back}: it explodes, by a factor of {factor:.3} a step.",
            short(left)
        ),
        _ => {
            let half = libm::log(0.5) / libm::log(factor);
            format!(
                "{which}{} of the gradient is left {back}; on the way it halves about every {}.",
                short(left),
                count((half.round() as usize).max(1), "step")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(losses: usize, h: &[f64]) -> LayerFlow {
        LayerFlow {
            layer: 0,
            reverse: false,
            losses,
            h: h.to_vec(),
            c: None,
            weight_hh: h.to_vec(),
            jacobian: None,
            gates: vec![],
            half_lives: None,
            dead: None,
        }
    }

    #[test]
    fn it_says_how_many_losses_there_were() {
        let body = |losses| section(&[flow(losses, &[1.0, 0.5])]).body;
        assert!(body(32).as_str().contains("The median over the losses of 32 steps of held-out"));
        assert!(body(1).as_str().contains("Of the loss of a single step of held-out"));
    }

    #[test]
    fn what_no_loss_reaches_is_not_called_no_number() {
        let of = |h: &[f64]| sentence(&flow(32, h), 2);
        assert_eq!(of(&[0.0, 0.0]), "Layer 0: No loss reaches it, not even in its own step.");
        assert_eq!(of(&[1.0, 0.0]), "Layer 0: Nothing arrives one step back.");
        assert_eq!(of(&[f64::NAN, 0.0]), "Layer 0: The gradient is no number.");
        assert!(of(&[1.0, 0.5]).contains("it halves about every one step"), "{}", of(&[1.0, 0.5]));
    }
}
