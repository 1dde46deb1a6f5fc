//! Examples with losses of their own: sentences with a tag a word, sequences with one label.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, loss};
use recurrent_topologies::{
    Direction, Directions, Lengths, ManyToMany, ManyToManyTape, ManyToOne, ManyToOneTape, Reading,
};
use recurrent_training::{Labelled, Sources};

use super::{Followed, LOSSES, LayerFlow, USUAL_LAG, add_jacobians, shown_lags};

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
/// [`USUAL_LAG`], that as many examples have as are followed.
///
/// # Errors
/// [`NoneIsSoLong`] if there is no example with that lag, or with any.
pub fn choose_examples(lengths: &[usize], lag: Option<usize>) -> Result<Chosen, NoneIsSoLong> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let lag = lag.unwrap_or_else(|| {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable_by_key(|&length| std::cmp::Reverse(length));
        let shortest =
            sorted.iter().take(LOSSES).last().map_or(0, |length| length.saturating_sub(1));
        // Where few examples have two steps, these.
        shortest.clamp(1, USUAL_LAG)
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
    let x = match inputs {
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
