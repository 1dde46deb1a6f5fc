//! What truncated backpropagation through time leaves out: its gradient beside that of the whole.
//!
//! Both are gradients of the same mean loss over the same steps, with the same parameters at each,
//! from the same state. Backpropagation through the whole batch follows every loss back to the
//! batch's beginning. Truncated by k1 and k2 ([`Windows::with_backward_steps`]) it leaves out what lies
//! further back, always in the same direction: that is a bias, which no larger batch averages away
//! (Tallec and Ollivier 2017). How much it is depends on the model and on the text, so it is measured.
//!
//! A training has one thing more, which is not measured here: its parameters move between windows, so
//! the state that a window begins from is that of older ones.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Real};
use recurrent_topologies::{ManyToMany, Regularization};
use recurrent_training::{Loss, ManyToManyObjective, Objective, Windows};
use serde::Serialize;

/// Where backpropagation is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Truncation {
    /// Steps between updates, whose losses count there: k1. At least 1.
    pub sequence_length: usize,
    /// Steps back at each: k2, at least k1.
    pub backward_steps: usize,
}

/// The batch on which gradients are compared: the first tokens of a text.
#[derive(Clone, Copy, Debug)]
pub struct ProbeBatch<'t> {
    /// The text.
    pub text: &'t [u32],
    /// What documents in it end with; nothing if it is one.
    pub document_end: &'t [u32],
    /// Sequences side by side.
    pub streams: usize,
    /// Steps of each, from a state of zeros.
    pub steps: usize,
}

/// One gradient beside another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The parameter; `all` for all of them together.
    pub parameter: String,
    /// The norm of the gradient through the whole batch.
    pub norm: f64,
    /// The cosine of the angle between the two; NaN if one of them is zero.
    pub cosine: f64,
    /// The norm of the truncated one as a part of that of the whole; NaN if both are zero.
    pub relative_norm: f64,
    /// The norm of what is left out (their difference) as a part of that of the whole.
    pub left_out: f64,
}

/// What one truncation leaves out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruncationBias {
    /// Which.
    #[serde(flatten)]
    pub truncation: Truncation,
    /// All parameters together.
    pub all: Comparison,
    /// Each parameter.
    pub parameters: Vec<Comparison>,
}

/// The gradient through the whole batch, and what truncations leave out of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruncationReport {
    /// The mean loss of the batch, in nats per token.
    pub loss: f64,
    /// One for each truncation that was asked for.
    pub truncations: Vec<TruncationBias>,
}

/// A text that is too short for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{streams} streams of {steps} steps need a text of at least {} tokens; there are {tokens}",
    streams * steps + 1
)]
pub struct TooShort {
    /// The streams that were asked for.
    pub streams: usize,
    /// Their steps.
    pub steps: usize,
    /// The text's tokens.
    pub tokens: usize,
}

/// Compares the gradients of `truncations` with that through all of `batch`, of the model as it is
/// used: without dropout and whatever else is left to chance in training.
///
/// # Errors
/// [`TooShort`] if the text does not fill the batch.
///
/// # Panics
/// If there are no streams or steps, a truncation goes back fewer steps than there are between its
/// updates, the parameters are another model's, a token is outside its vocabulary, or the model reads
/// vectors or both ways.
pub fn truncation_bias<T: Real>(
    model: &ManyToMany,
    compute: &Compute,
    parameters: &Parameters<T>,
    batch: ProbeBatch<'_>,
    truncations: &[Truncation],
) -> Result<TruncationReport, TooShort> {
    let ProbeBatch { text, streams, steps, .. } = batch;
    let needed = streams.saturating_mul(steps).saturating_add(1);
    if text.len() < needed {
        return Err(TooShort { streams, steps, tokens: text.len() });
    }
    let batch = ProbeBatch { text: &text[..needed], ..batch };
    let whole = Truncation { sequence_length: steps, backward_steps: steps };
    let (loss, whole) = gradient(model, compute, parameters, batch, whole);
    let names: Vec<String> =
        model.layout().entries().iter().map(|entry| entry.name.to_string()).collect();
    let truncations = truncations.iter().map(|&truncation| {
        let (_, truncated) = gradient(model, compute, parameters, batch, truncation);
        let pairs = || whole.iter().zip(&truncated);
        TruncationBias {
            truncation,
            all: compare("all", pairs().flat_map(|(whole, own)| whole.iter().zip(own))),
            parameters: (names.iter().zip(pairs()))
                .map(|(name, (whole, own))| compare(name, whole.iter().zip(own)))
                .collect(),
        }
    });
    Ok(TruncationReport { loss: loss.mean(), truncations: truncations.collect() })
}

/// The loss of the batch and the gradient of its mean, parameter by parameter: the sum over windows.
fn gradient<T: Real>(
    model: &ManyToMany,
    compute: &Compute,
    parameters: &Parameters<T>,
    ProbeBatch { text, document_end, streams, .. }: ProbeBatch<'_>,
    Truncation { sequence_length, backward_steps }: Truncation,
) -> (Loss, Vec<Vec<f64>>) {
    let mut config = model.config().clone();
    config.stack.dropout = 0.0;
    config.stack.regularization = Regularization::NONE;
    let model = config.build().expect("a model can be without dropout");
    let windows = Windows::new(text, streams, sequence_length)
        .with_backward_steps(backward_steps)
        .with_document_end(document_end);
    let predictions = windows.predictions() as f64;
    let mut objective = ManyToManyObjective::new(model, streams, 0);
    let (mut loss, mut sums, mut own) = (Loss::default(), vec![], parameters.zeros_like());
    for index in 0..windows.count() {
        own.as_mut_slice().fill(T::ZERO);
        let window = windows.get(index);
        let part = objective.gradients(compute, parameters, &window, 0, &mut own, &());
        objective.commit();
        loss += part;
        // Each window's is the gradient of its own mean.
        let (share, mut at) = (part.count as f64 / predictions, 0);
        own.visit(|_, numbers| {
            if sums.len() == at {
                sums.push(vec![0.0; numbers.len()]);
            }
            for (sum, number) in sums[at].iter_mut().zip(numbers) {
                *sum += share * number.to_f64();
            }
            at += 1;
        });
    }
    (loss, sums)
}

/// Compares numbers of the whole gradient with those of a truncated one.
fn compare<'n>(parameter: &str, pairs: impl Iterator<Item = (&'n f64, &'n f64)>) -> Comparison {
    let (mut whole, mut own, mut both, mut apart) = (0.0, 0.0, 0.0, 0.0);
    for (a, b) in pairs {
        whole += a * a;
        own += b * b;
        both += a * b;
        apart += (a - b) * (a - b);
    }
    Comparison {
        parameter: parameter.to_owned(),
        norm: libm::sqrt(whole),
        cosine: both / (libm::sqrt(whole) * libm::sqrt(own)),
        relative_norm: libm::sqrt(own / whole),
        left_out: libm::sqrt(apart / whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recurrent_cells::CellKind;
    use recurrent_cells::initialize::Initialization;
    use recurrent_kernels::random::Generator;
    use recurrent_topologies::{InputConfig, ManyToManyConfig, StackConfig, TokenEncoding};

    fn build(cell: CellKind, dropout: f64) -> (ManyToMany, Parameters<f64>) {
        let (num_layers, vocabulary_size) = (2, 5);
        let config = ManyToManyConfig {
            input: InputConfig::Tokens { vocabulary_size, encoding: TokenEncoding::Embedding(3) },
            stack: StackConfig {
                cell,
                hidden_size: 6,
                num_layers,
                bidirectional: false,
                dropout,
                regularization: Regularization::NONE,
            },
            output_size: vocabulary_size,
        };
        let model = config.build().unwrap();
        let mut generator = Generator::new(3, 0);
        let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
        (model, parameters)
    }

    fn text(length: usize) -> Vec<u32> {
        let mut generator = Generator::new(4, 0);
        (0..length).map(|_| generator.below(5) as u32).collect()
    }

    fn of(sequence_length: usize, backward_steps: usize) -> Truncation {
        Truncation { sequence_length, backward_steps }
    }

    #[test]
    fn all_steps_back_leave_nothing_out_and_fewer_leave_out_less_the_more_they_are() {
        let (text, compute) = (text(200), Compute::sequential());
        for cell in [CellKind::RnnTanh, CellKind::Lstm, CellKind::Gru] {
            let (model, parameters) = build(cell, 0.0);
            let batch = ProbeBatch { text: &text, document_end: &[], streams: 3, steps: 48 };
            let truncations =
                [of(48, 48), of(1, 48), of(7, 60), of(1, 16), of(1, 4), of(1, 1), of(4, 4)];
            let report = truncation_bias(&model, &compute, &parameters, batch, &truncations);
            let report = report.unwrap();
            let left_out: Vec<f64> =
                report.truncations.iter().map(|bias| bias.all.left_out).collect();
            assert_eq!(left_out[0], 0.0);
            assert!(left_out[1] < 1e-12 && left_out[2] < 1e-12, "{cell:?}: {left_out:?}");
            for bias in &report.truncations[..3] {
                for Comparison { parameter, cosine, relative_norm, .. } in &bias.parameters {
                    assert!((cosine - 1.0).abs() < 1e-12, "{cell:?}, {parameter}: {cosine}");
                    assert!((relative_norm - 1.0).abs() < 1e-12, "{cell:?}, {parameter}");
                }
            }
            assert!(left_out[3] < left_out[4] && left_out[4] < left_out[5], "{left_out:?}");
            // Windows of four steps go back one to four.
            assert!(left_out[4] < left_out[6] && left_out[6] < left_out[5], "{left_out:?}");
            // Through the readout no gradient goes back in time.
            for bias in &report.truncations {
                let readout = &bias.parameters[bias.parameters.len() - 2];
                assert_eq!(readout.parameter, "readout.weight");
                assert!(readout.left_out < 1e-12 && readout.norm > 0.0);
                assert!(bias.all.norm > readout.norm);
            }
        }
    }

    /// h_t = w h_{t-1} + x_t with one unit and readout: what reaches back k steps is w^k, so the
    /// gradient of the input's weight can be written down.
    #[test]
    fn a_single_identity_unit_leaves_out_the_rest_of_a_geometric_series() {
        let config = ManyToManyConfig {
            input: InputConfig::Tokens { vocabulary_size: 2, encoding: TokenEncoding::OneHot },
            stack: StackConfig {
                cell: CellKind::RnnIdentity,
                hidden_size: 1,
                num_layers: 1,
                bidirectional: false,
                dropout: 0.0,
                regularization: Regularization::NONE,
            },
            output_size: 2,
        };
        let (model, w) = (config.build().unwrap(), 0.5_f64);
        let mut parameters = Parameters::<f64>::zeros(model.layout().clone());
        // Nothing is read, so h is 0 and every step's loss has the same gradient.
        parameters.visit_mut(|entry, data| match &*entry.name {
            name if name.contains("weight_hh") => data.fill(w),
            name if name.contains("readout.weight") => data.copy_from_slice(&[1.0, -1.0]),
            _ => {}
        });
        let (text, steps) = ([0; 21], 20);
        let batch = ProbeBatch { text: &text, document_end: &[], streams: 1, steps };
        let truncations = [of(1, 3), of(5, 5)];
        let compute = Compute::sequential();
        let report = truncation_bias(&model, &compute, &parameters, batch, &truncations).unwrap();
        let series = |terms: usize| (1.0 - w.powi(terms as i32)) / (1.0 - w);
        let whole: f64 = (1..=steps).map(series).sum();
        let three: f64 = (1..=steps).map(|t| series(t.min(3))).sum();
        let windows: f64 = (0..steps).map(|t| series(t % 5 + 1)).sum();
        for (bias, expected) in report.truncations.iter().zip([three / whole, windows / whole]) {
            let weight = &bias.parameters[0];
            assert_eq!(weight.parameter, "rnn.weight_ih_l0");
            assert!((weight.relative_norm - expected).abs() < 1e-12, "{weight:?}, not {expected}");
            assert!((weight.left_out - (1.0 - expected)).abs() < 1e-12, "{weight:?}");
            assert!((weight.cosine - 1.0).abs() < 1e-12, "{weight:?}");
        }
    }

    #[test]
    fn documents_end_what_could_be_left_out() {
        let (compute, (model, parameters)) = (Compute::sequential(), build(CellKind::Gru, 0.3));
        // Documents of five tokens.
        let text: Vec<u32> = (0..200).map(|at| if at % 5 == 0 { 4 } else { at * at % 4 }).collect();
        let bias = |document_end: &[u32]| {
            let batch = ProbeBatch { text: &text, document_end, streams: 2, steps: 40 };
            let truncations = [of(2, 6), of(2, 5)];
            let report = truncation_bias(&model, &compute, &parameters, batch, &truncations);
            report.unwrap().truncations.iter().map(|bias| bias.all.left_out).collect::<Vec<f64>>()
        };
        let (documents, one) = (bias(&[4]), bias(&[]));
        assert!(documents[0] < 1e-12 && documents[1] > 1e-9, "{documents:?}");
        assert!(one[0] > 1e-6, "{one:?}");
    }

    #[test]
    fn nothing_is_left_to_chance() {
        let (compute, text) = (Compute::sequential(), text(61));
        let (plain, parameters) = build(CellKind::Lstm, 0.0);
        let report = |model: &ManyToMany| {
            let batch = ProbeBatch { text: &text, document_end: &[], streams: 3, steps: 20 };
            truncation_bias(model, &compute, &parameters, batch, &[of(4, 8)]).unwrap()
        };
        let mut config = plain.config().clone();
        config.stack.dropout = 0.3;
        config.stack.regularization = Regularization {
            input_dropout: 0.3,
            embedding_dropout: 0.3,
            output_dropout: 0.3,
            weight_dropout: 0.3,
            zoneout: 0.3,
            zoneout_cell: 0.3,
            ..Regularization::NONE
        };
        assert_eq!(report(&config.build().unwrap()), report(&plain));
    }

    #[test]
    fn a_text_has_to_fill_the_batch() {
        let (compute, (model, parameters)) = (Compute::sequential(), build(CellKind::Lstm, 0.0));
        let bias = |text: &[u32]| {
            let batch = ProbeBatch { text, document_end: &[], streams: 3, steps: 4 };
            truncation_bias(&model, &compute, &parameters, batch, &[of(2, 2)]).map(drop)
        };
        assert!(bias(&text(13)).is_ok());
        let error = bias(&text(12)).unwrap_err().to_string();
        assert_eq!(error, "3 streams of 4 steps need a text of at least 13 tokens; there are 12");
    }
}
