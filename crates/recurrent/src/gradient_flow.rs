//! How far the loss of a step reaches back through time, in a model that predicts at every step.
//!
//! With shared weights the gradient of the loss of step t with respect to the state of step t - k
//! is a product of k Jacobians, so it vanishes or explodes with the lag k unless the cell keeps it
//! (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013). Here it is
//! measured, not estimated: one backward pass over copies of a text, of which each has the loss of
//! one step alone.

use recurrent_cells::{Cell, Parameters};
use recurrent_kernels::{Compute, loss};
use recurrent_topologies::{
    Direction, GradientNorms, Lengths, ManyToMany, ManyToManyTape, Reading,
};
use serde::Serialize;

/// The losses that are followed back: the steps behind the first `lag` of the text.
pub const LOSSES: usize = 32;

/// What reaches one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerFlow {
    /// Which layer, 0 first.
    pub layer: usize,
    /// By lag k from 0: the median over the losses of the norm of dL_t/dh_{t-k}.
    pub h: Vec<f64>,
    /// The same of dL_t/dc_{t-k}, what reaches c through c itself; none in cells without c.
    pub c: Option<Vec<f64>>,
}

impl LayerFlow {
    /// By how much dL_t/dh changes with each step back, in the geometric mean from lag 0 to the
    /// last; 0 if nothing arrives there.
    pub fn factor(&self) -> f64 {
        let (first, last) = (self.h[0], self.h[self.h.len() - 1]);
        libm::pow(last / first, 1.0 / (self.h.len() - 1) as f64)
    }
}

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
    let losses = tokens.saturating_sub(lag + 1).min(LOSSES);
    if losses == 0 {
        return Err(TooShort { lag, tokens });
    }
    // Copy j has the loss of step lag + j.
    let lengths = Lengths::equal(losses, lag + losses);
    let steps = &text[..lengths.steps()];
    let copies: Vec<u32> = steps.iter().flat_map(|&token| vec![token; losses]).collect();
    let mut targets = vec![loss::IGNORED; copies.len()];
    for j in 0..losses {
        targets[lengths.column(j, lag + j)] = text[lag + j + 1];
    }

    let (initial, mut tape) = (model.zero_state(losses), ManyToManyTape::default());
    let reading = Reading::Tokens(&copies);
    let mut recorded =
        model.forward(compute, parameters, reading, &initial, &lengths, None, &mut tape);
    let mut of_columns = vec![0.0; copies.len()];
    loss::softmax_cross_entropy(compute, recorded.logits_mut(), &targets, 1.0, &mut of_columns);
    let norms = GradientNorms::new(model.stack(), &lengths);
    model.backward(recorded, compute, parameters, &mut parameters.zeros_like(), &norms);

    let by_lag = |norm: &dyn Fn(usize, usize) -> f64| {
        let of_lag = |k: usize| median((0..losses).map(|j| norm(j, lag + j - k)).collect());
        (0..=lag).map(of_lag).collect::<Vec<f64>>()
    };
    let layers = model.stack().cells().enumerate().map(|(layer, (cell, _))| LayerFlow {
        layer,
        h: by_lag(&|j, t| norms.h(layer, Direction::Forward, j, t)),
        c: (cell.shape().cell_size > 0)
            .then(|| by_lag(&|j, t| norms.c(layer, Direction::Forward, j, t))),
    });
    Ok(layers.collect())
}

/// The middle one; of an even number the lower of the two.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[(numbers.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
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

        let short = gradient_flow(&model, &compute, &parameters, &text, 7).unwrap_err();
        assert_eq!(short, TooShort { lag: 7, tokens: 8 });
        assert!(short.to_string().contains("at least 9 tokens; there are 8"), "{short}");
        assert!(gradient_flow(&model, &compute, &parameters, &text, 6).is_ok());
    }
}
