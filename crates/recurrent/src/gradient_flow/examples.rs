//! Examples with losses of their own: sentences with a tag a word, sequences with one label.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, loss};
use recurrent_topologies::{
    Direction, Directions, Lengths, ManyToMany, ManyToManyTape, ManyToOne, ManyToOneTape, Reading,
};
use recurrent_training::{Labelled, Sources};

use super::{Followed, LOSSES, LayerFlow, USUAL_LAG, add_jacobians, exact, shown_lags};

/// No example is as long as a lag needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a lag of {lag} {} an example of at least {} steps; the longest has {longest}",
    if *lag == 1 { "step needs" } else { "steps needs" },
    lag + 1
)]
pub struct NoneIsSoLong {
    /// The lag that was asked for.
    pub lag: usize,
    /// The steps of the longest example.
    pub longest: usize,
}

/// Examples to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which, in their order: the first ones that are long enough, at most [`LOSSES`].
    pub examples: Vec<usize>,
    /// Through how many steps.
    pub lag: usize,
}

/// Chooses examples from their lengths. Where no lag is asked for it is the longest, up to
/// [`USUAL_LAG`], that as many examples have as are followed, or half of all where they are few.
///
/// # Errors
/// [`NoneIsSoLong`] if there is no example with that lag, or with any.
pub fn choose_examples(lengths: &[usize], lag: Option<usize>) -> Result<Chosen, NoneIsSoLong> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let lag = lag.unwrap_or_else(|| {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable_by_key(|&length| std::cmp::Reverse(length));
        let count = LOSSES.min(lengths.len().div_ceil(2));
        let shortest = sorted.iter().take(count).next_back().map_or(0, |&length| length);
        // Where few examples have two steps, these.
        shortest.saturating_sub(1).clamp(1, USUAL_LAG)
    });
    let examples: Vec<usize> =
        (0..lengths.len()).filter(|&at| lengths[at] > lag).take(LOSSES).collect();
    match examples.is_empty() {
        true => Err(NoneIsSoLong { lag, longest }),
        false => Ok(Chosen { examples, lag }),
    }
}

/// The ways that a stack reads, each with the step of a sequence's loss that the most steps lead to:
/// forward the last, in reverse the first.
fn ends(directions: Directions) -> impl Iterator<Item = (Direction, fn(usize) -> usize)> {
    let last: fn(usize) -> usize = |length| length - 1;
    let first: fn(usize) -> usize = |_| 0;
    let all = [(Direction::Forward, last), (Direction::Reverse, first)];
    all.into_iter().filter(move |(direction, _)| match directions {
        Directions::Both => true,
        Directions::Forward => *direction == Direction::Forward,
        Directions::Reverse => *direction == Direction::Reverse,
    })
}

/// In the order of layers, forward before reverse.
fn sorted(mut flow: Vec<LayerFlow>) -> Vec<LayerFlow> {
    flow.sort_by_key(|own| (own.layer, own.reverse));
    flow
}

/// Follows the loss of a tag back through `lag` steps of each sentence: for layers that read forward
/// that of the last word, for those that read in reverse that of the first. A sentence is its tokens
/// and its tags; one without a tag there ([`loss::IGNORED`]) has no loss. The Jacobians are those of
/// the first sentence.
///
/// # Panics
/// If `lag` is 0, a sentence has not more words than that, or the model is for other sentences.
pub fn gradient_flow_of_tags(
    model: &ManyToMany,
    compute: &Compute,
    parameters: &Parameters<f32>,
    sentences: &[(&[u32], &[u32])],
    lag: usize,
) -> Vec<LayerFlow> {
    let counts: Vec<usize> = sentences.iter().map(|(tokens, _)| tokens.len()).collect();
    require_longer(&counts, lag);
    let lengths = Lengths::new(&counts);
    let words: Vec<&[u32]> = sentences.iter().map(|(tokens, _)| *tokens).collect();
    let tokens = lengths.arrange(&words);
    let parameters = &exact(parameters);
    let (stack, mut flow) = (model.stack(), vec![]);
    for (direction, end) in ends(stack.options().directions) {
        let losses: Vec<usize> = counts.iter().map(|&count| end(count)).collect();
        let mut targets = vec![loss::IGNORED; tokens.len()];
        for (j, &t) in losses.iter().enumerate() {
            targets[lengths.column(j, t)] = sentences[j].1[t];
        }
        let followed = Followed { stack, lengths: &lengths, losses: &losses, lag, direction };
        flow.extend(followed.flow(|probes| {
            let (initial, mut tape) = (model.zero_state(counts.len()), ManyToManyTape::default());
            let reading = Reading::Tokens(&tokens);
            let mut recorded =
                model.forward(compute, parameters, reading, &initial, &lengths, None, &mut tape);
            let (logits, mut of_columns) = (recorded.logits_mut(), vec![0.0; tokens.len()]);
            loss::softmax_cross_entropy(compute, logits, &targets, 1.0, &mut of_columns);
            model.backward(recorded, compute, parameters, &mut parameters.zeros_like(), probes);
        }));
    }
    let x = model.input_vectors(parameters, Reading::Tokens(words[0]));
    add_jacobians(&mut flow, stack, compute, parameters, x.as_ref(), &shown_lags(lag));
    sorted(flow)
}

/// Follows the loss of each sequence's one label, which lies at the end where a direction has read
/// all of it, back through `lag` steps. The Jacobians are those of the first sequence.
///
/// # Panics
/// If `lag` is 0, a sequence has not more steps than that, the batch does not fit the model, or its
/// pool is not the last state: then the loss is not at the end alone.
pub fn gradient_flow_of_labels(
    model: &ManyToOne,
    compute: &Compute,
    parameters: &Parameters<f32>,
    batch: &Labelled<f32>,
    lag: usize,
) -> Vec<LayerFlow> {
    let pool = model.config().pool;
    assert!(pool == recurrent_topologies::Pool::Last, "pool {pool:?} reads every step at once");
    let Labelled { inputs, lengths, labels } = batch;
    let parameters = &exact(parameters);
    let inputs = match inputs {
        Sources::Tokens(tokens) => Sources::Tokens(tokens.clone()),
        Sources::Vectors(x) => {
            let number = |row: usize, j: usize| f64::from(x.as_ref().column(j)[row]);
            Sources::Vectors(Matrix::from_fn(x.rows(), x.columns(), number))
        }
    };
    let counts: Vec<usize> = (0..lengths.batch()).map(|j| lengths.length(j)).collect();
    require_longer(&counts, lag);
    let (stack, mut flow) = (model.stack(), vec![]);
    for (direction, end) in ends(stack.options().directions) {
        let losses: Vec<usize> = counts.iter().map(|&count| end(count)).collect();
        let followed = Followed { stack, lengths, losses: &losses, lag, direction };
        flow.extend(followed.flow(|probes| {
            let (reading, mut tape) = (inputs.reading(), ManyToOneTape::default());
            let mut recorded =
                model.forward(compute, parameters, reading, lengths, None, &mut tape);
            let (outputs, mut of_sequences) = (recorded.outputs_mut(), vec![0.0; counts.len()]);
            loss::softmax_cross_entropy(compute, outputs, labels, 1.0, &mut of_sequences);
            model.backward(recorded, compute, parameters, &mut parameters.zeros_like(), probes);
        }));
    }
    let columns = (0..counts[0]).map(|t| lengths.column(0, t));
    let x = match &inputs {
        Sources::Tokens(tokens) => {
            let tokens: Vec<u32> = columns.map(|column| tokens[column]).collect();
            model.input_vectors(parameters, Reading::Tokens(&tokens))
        }
        Sources::Vectors(x) => {
            let columns: Vec<usize> = columns.collect();
            Matrix::from_fn(x.rows(), columns.len(), |row, t| x.as_ref().column(columns[t])[row])
        }
    };
    add_jacobians(&mut flow, stack, compute, parameters, x.as_ref(), &shown_lags(lag));
    sorted(flow)
}

#[track_caller]
fn require_longer(counts: &[usize], lag: usize) {
    assert!(lag > 0, "a lag of 0 reaches back to no other step");
    let shortest = counts.iter().copied().min().unwrap_or(0);
    assert!(shortest > lag, "a lag of {lag} in a sequence of {shortest} steps");
}

#[cfg(test)]
mod tests {
    use super::*;
    use recurrent_cells::{CellKind, Layout};
    use recurrent_topologies::{
        InputConfig, ManyToManyConfig, ManyToOneConfig, Pool, Regularization, StackConfig,
        TokenEncoding,
    };
    use std::sync::Arc;

    const INPUT: InputConfig =
        InputConfig::Tokens { vocabulary_size: 3, encoding: TokenEncoding::OneHot };
    const STACK: StackConfig = StackConfig {
        cell: CellKind::RnnIdentity,
        hidden_size: 1,
        num_layers: 1,
        bidirectional: true,
        dropout: 0.0,
        regularization: Regularization::NONE,
    };

    /// One unit each way, h_t = w h + x_t: w is 0.5 forward and 0.25 in reverse.
    fn parameters(layout: &Arc<Layout>) -> Parameters<f32> {
        let mut parameters = Parameters::zeros(layout.clone());
        parameters.visit_mut(|entry, data| match &*entry.name {
            name if name.contains("weight_hh_l0_reverse") => data.fill(0.25),
            name if name.contains("weight_hh_l0") => data.fill(0.5),
            name if name.contains("readout.weight") => {
                data.copy_from_slice(&[1.0, 2.0, -1.0, 0.5, -0.5, 2.0]);
            }
            _ => {}
        });
        parameters
    }

    #[track_caller]
    fn assert_powers(flow: &[LayerFlow], lag: usize) {
        let directions: Vec<bool> = flow.iter().map(|own| own.reverse).collect();
        assert_eq!(directions, [false, true]);
        for (own, weight) in flow.iter().zip([0.5_f64, 0.25]) {
            assert!(own.h[0] > 0.0 && own.h.len() == lag + 1);
            for (k, norm) in own.h.iter().enumerate() {
                let expected = own.h[0] * weight.powi(k as i32);
                assert!((norm - expected).abs() < 1e-6 * expected, "lag {k}: {norm}");
            }
            for stretch in own.jacobian.as_ref().unwrap() {
                let expected = weight.powi(stretch.lag as i32);
                assert!((stretch.singular_value - expected).abs() < 1e-12, "{stretch:?}");
            }
        }
    }

    /// Each direction is followed from its own end, in sentences of different lengths.
    #[test]
    fn both_directions_have_the_powers_of_their_weights() {
        let compute = Compute::sequential();
        let sentences: [&[u32]; 4] =
            [&[0, 1, 2, 1, 0], &[2, 1, 0, 0], &[1, 1, 2, 0, 2, 0, 1], &[0, 0, 0, 1]];

        let tagger = ManyToManyConfig { input: INPUT, stack: STACK, output_size: 3 };
        let tagger = tagger.build().unwrap();
        let tagged = sentences.map(|sentence| (sentence, sentence));
        let own = parameters(tagger.layout());
        assert_powers(&gradient_flow_of_tags(&tagger, &compute, &own, &tagged, 3), 3);

        let config =
            ManyToOneConfig { input: INPUT, stack: STACK, pool: Pool::Last, output_size: 3 };
        let classifier = config.build().unwrap();
        let lengths = Lengths::new(&sentences.map(<[u32]>::len));
        let inputs = Sources::Tokens(lengths.arrange(&sentences));
        let batch = Labelled { inputs, lengths, labels: vec![0, 1, 2, 1] };
        let own = parameters(classifier.layout());
        assert_powers(&gradient_flow_of_labels(&classifier, &compute, &own, &batch, 3), 3);
    }

    #[test]
    fn the_first_that_are_long_enough_are_chosen() {
        let chosen = |lengths: &[usize], lag| choose_examples(lengths, lag);
        let lengths = [3, 9, 4, 1, 5];
        let expected = Chosen { examples: vec![1, 4], lag: 4 };
        assert_eq!(chosen(&lengths, Some(4)), Ok(expected));
        assert_eq!(chosen(&lengths, None).unwrap().lag, 3, "half of them have four steps");
        assert_eq!(chosen(&lengths, Some(9)), Err(NoneIsSoLong { lag: 9, longest: 9 }));
        assert_eq!(chosen(&[1, 1], None), Err(NoneIsSoLong { lag: 1, longest: 1 }));
        assert_eq!(chosen(&[], None), Err(NoneIsSoLong { lag: 1, longest: 0 }));
        // As many as are followed have the lag that nobody asked for.
        let many: Vec<usize> = (1..=200).collect();
        let found = chosen(&many, None).unwrap();
        assert_eq!((found.lag, found.examples.len()), (USUAL_LAG, LOSSES));
        let short: Vec<usize> = (1..=60).collect();
        let found = chosen(&short, None).unwrap();
        assert_eq!((found.lag, found.examples.len()), (30, 30));
        let message = NoneIsSoLong { lag: 1, longest: 1 }.to_string();
        assert_eq!(
            message,
            "a lag of 1 step needs an example of at least 2 steps; the longest has 1"
        );
    }
}
