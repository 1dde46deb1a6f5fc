//! A text in which every step has a loss: that of the token which comes next.

use std::ops::Range;

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, loss};
use recurrent_topologies::{Direction, Lengths, ManyToMany, ManyToManyTape, Reading};

use super::{Followed, LOSSES, LayerFlow, USUAL_LAG, add_jacobians, exact, shown_lags};

/// A text that is too short, or has documents that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooShort {
    /// The text is one document.
    #[error("a lag of {} needs a text of at least {} tokens; there are {tokens}", steps(*lag), lag + 2)]
    Text {
        /// The lag that was asked for.
        lag: usize,
        /// The text's tokens.
        tokens: usize,
    },
    /// No loss goes back any further than to the beginning of its document.
    #[error("a lag of {} needs a document of at least {} steps; the longest has {longest}", steps(*lag), lag + 1)]
    Documents {
        /// The lag that was asked for.
        lag: usize,
        /// The steps of the longest document.
        longest: usize,
    },
}

fn steps(lag: usize) -> String {
    format!("{lag} {}", if lag == 1 { "step" } else { "steps" })
}

/// A document whose losses are followed, in steps of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Document {
    /// Where it begins, from a state of its own.
    begin: usize,
    /// The steps whose losses are followed.
    losses: Range<usize>,
}

/// The steps of `tokens` before which a document begins, but for the first: its first token is the
/// last one of the ending. None without an ending.
pub fn beginnings(tokens: &[u32], ending: &[u32]) -> Vec<usize> {
    match ending.is_empty() {
        true => vec![],
        false => (1..tokens.len()).filter(|&t| tokens[..=t].ends_with(ending)).collect(),
    }
}

/// Chooses the first losses of a text that have `lag` steps of their own document before them, and
/// says with which lag.
fn choose(
    text: &[u32],
    document_end: &[u32],
    lag: Option<usize>,
) -> Result<(usize, Vec<Document>), TooShort> {
    // The last token is only predicted.
    let steps = text.len().saturating_sub(1);
    let mut borders = beginnings(&text[..steps], document_end);
    borders.insert(0, 0);
    borders.push(steps);
    let documents = || borders.windows(2).map(|borders| borders[0]..borders[1]);
    let lag = lag.unwrap_or_else(|| {
        let losses = |lag| documents().map(|own| own.len().saturating_sub(lag)).sum::<usize>();
        let wanted = LOSSES.min(steps.div_ceil(2)).max(1);
        (1..=USUAL_LAG).rev().find(|&lag| losses(lag) >= wanted).unwrap_or(1)
    });
    let (mut chosen, mut left) = (vec![], LOSSES);
    for Range { start: begin, end } in documents() {
        let first = begin.saturating_add(lag);
        let losses = first..end.min(first.saturating_add(left));
        left -= losses.len();
        if !losses.is_empty() {
            chosen.push(Document { begin, losses });
        }
    }
    match (chosen.is_empty(), document_end.is_empty()) {
        (false, _) => Ok((lag, chosen)),
        (true, true) => Err(TooShort::Text { lag, tokens: text.len() }),
        (true, false) => {
            let longest = documents().map(|own| own.len()).max().unwrap_or(0);
            Err(TooShort::Documents { lag, longest })
        }
    }
}

/// Through how many steps of all copies together [`gradient_flow`] would go.
///
/// # Errors
/// As there.
pub fn steps_to_follow(
    text: &[u32],
    document_end: &[u32],
    lag: Option<usize>,
) -> Result<usize, TooShort> {
    let (_, documents) = choose(text, document_end, lag)?;
    Ok(documents.iter().map(|own| own.losses.len() * (own.losses.end - own.begin)).sum())
}

/// Follows losses of `text` back through `lag` steps: the first, at most [`LOSSES`], that have so many
/// steps of their own document before them. Each document is read from a state of its own; without
/// a `document_end` the text is one. Where no lag is asked for it is the longest, up to
/// [`USUAL_LAG`], that as many losses have as are followed, or half of all where they are few. The
/// Jacobians are those of the first `lag` steps behind the first of the first document that is read.
///
/// # Errors
/// [`TooShort`] if no loss has that lag, or any.
///
/// # Panics
/// If `lag` is 0, the parameters are another model's, a token is outside its vocabulary, or the
/// model reads vectors or both ways.
pub fn gradient_flow(
    model: &ManyToMany,
    compute: &Compute,
    parameters: &Parameters<f32>,
    text: &[u32],
    document_end: &[u32],
    lag: Option<usize>,
) -> Result<Vec<LayerFlow>, TooShort> {
    assert!(lag != Some(0), "a lag of 0 reaches back to no other step");
    let (lag, documents) = choose(text, document_end, lag)?;
    // A copy of its document for each loss, up to the last that is followed there.
    let (mut sequences, mut losses, mut next) = (vec![], vec![], vec![]);
    for Document { begin, losses: own } in &documents {
        for t in own.clone() {
            sequences.push(&text[*begin..own.end]);
            losses.push(t - begin);
            next.push(text[t + 1]);
        }
    }
    let lengths = Lengths::new(&sequences.iter().map(|own| own.len()).collect::<Vec<usize>>());
    let copies = lengths.arrange(&sequences);
    let mut targets = vec![loss::IGNORED; copies.len()];
    for (j, (&t, &next)) in losses.iter().zip(&next).enumerate() {
        targets[lengths.column(j, t)] = next;
    }

    let parameters = &exact(parameters);
    let (stack, direction) = (model.stack(), Direction::Forward);
    let followed = Followed { stack, lengths: &lengths, losses: &losses, lag, direction };
    let mut flow = followed.flow(|probes| {
        let (initial, mut tape) = (model.zero_state(losses.len()), ManyToManyTape::default());
        let reading = Reading::Tokens(&copies);
        let mut recorded =
            model.forward(compute, parameters, reading, &initial, &lengths, None, &mut tape);
        let mut of_columns = vec![0.0; copies.len()];
        loss::softmax_cross_entropy(compute, recorded.logits_mut(), &targets, 1.0, &mut of_columns);
        model.backward(recorded, compute, parameters, &mut parameters.zeros_like(), probes);
    });
    let x = model.input_vectors(parameters, Reading::Tokens(&sequences[0][..=lag]));
    add_jacobians(&mut flow, stack, compute, parameters, x.as_ref(), &shown_lags(lag));
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_flow::Stretch;
    use recurrent_cells::CellKind;
    use recurrent_cells::initialize::Initialization;
    use recurrent_kernels::random::Generator;
    use recurrent_topologies::{
        InputConfig, ManyToManyConfig, Regularization, StackConfig, TokenEncoding,
    };

    #[test]
    fn a_document_begins_with_the_last_token_of_the_ending() {
        assert_eq!(beginnings(&[7, 1, 2, 7, 7, 3, 7], &[7]), [3, 4, 6]);
        assert_eq!(beginnings(&[7, 7, 1, 7, 7, 7, 2], &[7, 7]), [1, 4, 5]);
        assert_eq!(beginnings(&[7, 7, 1], &[]), [0; 0]);
        assert_eq!(beginnings(&[], &[7]), [0; 0]);
    }

    /// h_t = w h_{t-1} + x_t with one unit: each step back multiplies the gradient by w.
    #[test]
    fn a_single_identity_unit_has_the_powers_of_its_weight() {
        let model = ManyToManyConfig {
            input: InputConfig::Tokens { vocabulary_size: 3, encoding: TokenEncoding::OneHot },
            stack: StackConfig {
                cell: CellKind::RnnIdentity,
                hidden_size: 1,
                num_layers: 1,
                bidirectional: false,
                dropout: 0.0,
                regularization: Regularization::NONE,
            },
            output_size: 3,
        }
        .build()
        .unwrap();
        let mut parameters = Parameters::zeros(model.layout().clone());
        parameters.visit_mut(|entry, data| match &*entry.name {
            name if name.contains("weight_hh") => data.fill(0.5),
            name if name.contains("readout.weight") => data.copy_from_slice(&[1.0, 2.0, -1.0]),
            _ => {}
        });
        let compute = Compute::sequential();
        let text = [0, 1, 2, 1, 0, 2, 2, 1];
        let flow = gradient_flow(&model, &compute, &parameters, &text, &[], Some(4)).unwrap();
        let [LayerFlow { h, c: None, .. }] = &flow[..] else { panic!("{flow:?}") };
        assert!(h[0] > 0.0);
        for (k, norm) in h.iter().enumerate() {
            let expected = h[0] / f64::from(1_u32 << k);
            assert!((norm - expected).abs() < 1e-7 * expected, "lag {k}: {norm}, not {expected}");
        }
        assert!((flow[0].factor() - 0.5).abs() < 1e-6);
        // The Jacobian of k steps is that power itself, whatever the loss.
        let Some(jacobian) = &flow[0].jacobian else { panic!("{flow:?}") };
        let lags: Vec<usize> = jacobian.iter().map(|stretch| stretch.lag).collect();
        assert_eq!(lags, [0, 1, 2, 4]);
        for &Stretch { lag, singular_value } in jacobian {
            let expected = 1.0 / f64::from(1_u32 << lag);
            assert!((singular_value - expected).abs() < 1e-12, "lag {lag}: {singular_value}");
        }
        assert_eq!(flow[0].weight_hh.len(), 5);
        assert!(flow[0].half_lives.is_none() && flow[0].gates.is_empty() && flow[0].dead.is_none());

        let of_lag = |lag| gradient_flow(&model, &compute, &parameters, &text, &[], Some(lag));
        let short = of_lag(7).unwrap_err();
        assert_eq!(short, TooShort::Text { lag: 7, tokens: 8 });
        assert!(short.to_string().contains("at least 9 tokens; there are 8"), "{short}");
        assert!(of_lag(6).is_ok());
    }

    fn one_lstm() -> (ManyToMany, Parameters<f32>) {
        let config = ManyToManyConfig {
            input: InputConfig::Tokens { vocabulary_size: 4, encoding: TokenEncoding::OneHot },
            stack: StackConfig {
                cell: CellKind::Lstm,
                hidden_size: 4,
                num_layers: 1,
                bidirectional: false,
                dropout: 0.0,
                regularization: Regularization::NONE,
            },
            output_size: 4,
        };
        let model = config.build().unwrap();
        let mut generator = Generator::new(5, 1);
        let fresh = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
        (model, fresh)
    }

    /// What stands before a document is not read, and no loss is followed out of its own.
    #[test]
    fn a_loss_is_followed_in_its_own_document() {
        let (model, parameters) = one_lstm();
        let compute = Compute::sequential();
        let flow = |text: &[u32], end: &[u32]| {
            gradient_flow(&model, &compute, &parameters, text, end, Some(5)).unwrap()
        };
        // Documents of two, three and nine steps; 3 ends them and begins the next.
        let text = [0, 1, 3, 2, 0, 3, 1, 2, 0, 1, 1, 2, 0, 2, 3];
        assert_eq!(flow(&text, &[3]), flow(&text[5..], &[]));
        let alone = flow(&text[5..], &[]);
        assert_ne!(flow(&text, &[]), alone, "documents are told apart");
        // Two documents with losses: the norms are of both.
        let two: Vec<u32> = [&text[5..], &text[6..]].concat();
        assert_eq!(flow(&two, &[3])[0].losses, 2 * alone[0].losses);
        let again = flow(&two, &[3]);
        for (one, both) in alone[0].h.iter().zip(&again[0].h) {
            assert!((one - both).abs() < 1e-6 * one, "{one}, not {both}");
        }
    }

    #[test]
    fn a_lag_that_no_document_has_is_refused() {
        let text = [0, 1, 3, 2, 0, 3, 1, 2, 0, 1, 3];
        let refused = choose(&text, &[3], Some(5)).unwrap_err();
        assert_eq!(refused, TooShort::Documents { lag: 5, longest: 5 });
        let message = "a lag of 5 steps needs a document of at least 6 steps; the longest has 5";
        assert_eq!(refused.to_string(), message);
        let (lag, documents) = choose(&text, &[3], None).unwrap();
        // Half of the ten steps have it.
        assert_eq!(lag, 1);
        let losses: Vec<Range<usize>> = documents.into_iter().map(|own| own.losses).collect();
        assert_eq!(losses, [1..2, 3..5, 6..10]);
        let long = vec![0; 1000];
        let (lag, documents) = choose(&long, &[3], None).unwrap();
        assert_eq!(lag, USUAL_LAG);
        assert_eq!(documents, [Document { begin: 0, losses: 100..132 }]);
        assert_eq!(choose(&[0, 1], &[], None).unwrap_err(), TooShort::Text { lag: 1, tokens: 2 });
        assert_eq!(choose(&[], &[], None).unwrap_err(), TooShort::Text { lag: 1, tokens: 0 });
    }
}
