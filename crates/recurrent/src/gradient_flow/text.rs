//! A text in which every step has a loss: that of the token which comes next.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, loss};
use recurrent_topologies::{Direction, Lengths, ManyToMany, ManyToManyTape, Reading};

use super::{Followed, LOSSES, LayerFlow, add_jacobians, shown_lags};

/// A text that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lag of {lag} steps needs a text of at least {} tokens; there are {tokens}", lag + 2)]
pub struct TooShort {
    /// The lag that was asked for.
    pub lag: usize,
    /// The text's tokens.
    pub tokens: usize,
}

/// Follows the losses of up to [`LOSSES`] steps at the beginning of `text` back through `lag` steps.
/// The Jacobians are those of the first `lag` steps behind the first.
///
/// # Errors
/// [`TooShort`] if there are not `lag` + 2 tokens.
///
/// # Panics
/// If `lag` is 0, the parameters are another model's, a token is outside its vocabulary, or the
/// model reads vectors or both ways.
pub fn gradient_flow(
    model: &ManyToMany,
    compute: &Compute,
    parameters: &Parameters<f32>,
    text: &[u32],
    lag: usize,
) -> Result<Vec<LayerFlow>, TooShort> {
    assert!(lag > 0, "a lag of 0 reaches back to no other step");
    let tokens = text.len();
    let count = tokens.saturating_sub(lag + 1).min(LOSSES);
    if count == 0 {
        return Err(TooShort { lag, tokens });
    }
    // Copy j has the loss of step lag + j.
    let losses: Vec<usize> = (lag..lag + count).collect();
    let lengths = Lengths::equal(count, lag + count);
    let steps = &text[..lengths.steps()];
    let copies: Vec<u32> = steps.iter().flat_map(|&token| vec![token; count]).collect();
    let mut targets = vec![loss::IGNORED; copies.len()];
    for (j, &t) in losses.iter().enumerate() {
        targets[lengths.column(j, t)] = text[t + 1];
    }

    let (stack, direction) = (model.stack(), Direction::Forward);
    let followed = Followed { stack, lengths: &lengths, losses: &losses, lag, direction };
    let mut flow = followed.flow(|probes| {
        let (initial, mut tape) = (model.zero_state(count), ManyToManyTape::default());
        let reading = Reading::Tokens(&copies);
        let mut recorded =
            model.forward(compute, parameters, reading, &initial, &lengths, None, &mut tape);
        let mut of_columns = vec![0.0; copies.len()];
        loss::softmax_cross_entropy(compute, recorded.logits_mut(), &targets, 1.0, &mut of_columns);
        model.backward(recorded, compute, parameters, &mut parameters.zeros_like(), probes);
    });
    let x = model.input_vectors(parameters, Reading::Tokens(&text[..=lag]));
    add_jacobians(&mut flow, stack, compute, parameters, x.as_ref(), &shown_lags(lag));
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_flow::Stretch;
    use recurrent_cells::CellKind;
    use recurrent_topologies::{
        InputConfig, ManyToManyConfig, Regularization, StackConfig, TokenEncoding,
    };

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
        let flow = gradient_flow(&model, &compute, &parameters, &text, 4).unwrap();
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

        let short = gradient_flow(&model, &compute, &parameters, &text, 7).unwrap_err();
        assert_eq!(short, TooShort { lag: 7, tokens: 8 });
        assert!(short.to_string().contains("at least 9 tokens; there are 8"), "{short}");
        assert!(gradient_flow(&model, &compute, &parameters, &text, 6).is_ok());
    }
}
