//! The experiment: a letter that comes at two of the steps in training, and at any in the test.

use recurrent_cells::Parameters;
use recurrent_kernels::loss::{IGNORED, softmax_cross_entropy};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_training::{Optimizer, OptimizerConfig, clip_by_global_norm};

use crate::network::{Network, Weights};

/// Letters that may have to be named, so guessing is right one time in so many.
pub(crate) const LETTERS: usize = 8;
/// What stands at all other steps, drawn anew for each.
const FILLERS: usize = 4;
/// Symbols of a sequence.
pub(crate) const STEPS: usize = 10;
/// Where the letter may stand in training, the first step being 1.
pub(crate) const TRAINED: [usize; 2] = [3, 7];

const HIDDEN_SIZE: usize = 32;
/// Sequences of an update.
pub(crate) const BATCH: usize = 64;
const UPDATES: u64 = 1500;

/// Streams of a seed, one for each purpose; those of initial values are the network's.
pub(crate) const TRAINING: u64 = 2;
const TEST: u64 = 3;

/// Sequences as one-hot columns, and what is to be named.
pub(crate) struct Batch {
    /// A block for each step: (letters + fillers) x B.
    pub(crate) x: Vec<Matrix<f64>>,
    /// B for each step: the letter from where it came on, before it nothing.
    pub(crate) targets: Vec<Vec<u32>>,
}

impl Batch {
    /// Draws sequences whose letter stands at one of `places`.
    pub(crate) fn draw(generator: &mut Generator, size: usize, places: &[usize]) -> Batch {
        let mut x = vec![Matrix::zeros(LETTERS + FILLERS, size); STEPS];
        let mut targets = vec![vec![IGNORED; size]; STEPS];
        for sequence in 0..size {
            let letter = generator.below(LETTERS as u64) as usize;
            let place = places[generator.below(places.len() as u64) as usize];
            for (t, x) in x.iter_mut().enumerate() {
                let filler = LETTERS + generator.below(FILLERS as u64) as usize;
                let symbol = if t + 1 == place { letter } else { filler };
                x.as_mut().column(sequence)[symbol] = 1.0;
            }
            for targets in &mut targets[place - 1..] {
                targets[sequence] = letter as u32;
            }
        }
        Batch { x, targets }
    }
}

/// A network for the experiment.
pub(crate) fn network(weights: Weights) -> Network {
    Network::new(weights, STEPS, LETTERS + FILLERS, HIDDEN_SIZE, LETTERS)
}

/// The mean loss of a batch, over all sequences and steps, and its gradients.
pub(crate) fn gradients(
    compute: &Compute,
    network: &Network,
    parameters: &Parameters<f64>,
    batch: &Batch,
) -> (f64, Parameters<f64>) {
    let size = batch.targets[0].len();
    let (mut y, mut losses) = (vec![Matrix::zeros(LETTERS, size); STEPS], vec![0.0; size]);
    let taped = network.forward(compute, parameters, &batch.x, &mut y);
    let (mut loss, scale) = (0.0, 1.0 / (size * STEPS) as f64);
    for (y, targets) in y.iter_mut().zip(&batch.targets) {
        softmax_cross_entropy(compute, y.as_mut(), targets, scale, &mut losses);
        loss += scale * losses.iter().sum::<f64>();
    }
    let mut gradients = parameters.zeros_like();
    network.backward(compute, parameters, &batch.x, taped, &y, &mut gradients);
    (loss, gradients)
}

/// The parameters after training. Networks of both kinds begin as one function and read the same
/// sequences. `see` is shown the gradients of every update.
pub(crate) fn train(
    network: &Network,
    seed: u64,
    mut see: impl FnMut(&Parameters<f64>),
) -> Parameters<f64> {
    let (compute, mut parameters) = (Compute::sequential(), network.initialize(seed));
    let mut optimizer = Optimizer::new(OptimizerConfig::ADAM, &parameters);
    let mut generator = Generator::new(seed, TRAINING);
    for update in 1..=UPDATES {
        let batch = Batch::draw(&mut generator, BATCH, &TRAINED);
        let (_, mut gradients) = gradients(&compute, network, &parameters, &batch);
        see(&gradients);
        clip_by_global_norm(&compute, &mut gradients, 1.0);
        optimizer.step(&compute, &mut parameters, &gradients, 0.003, update);
    }
    parameters
}

/// The share of sequences whose letter is named after the last step, where it stood at step `place`.
pub(crate) fn accuracy(
    network: &Network,
    parameters: &Parameters<f64>,
    seed: u64,
    place: usize,
) -> f64 {
    const SEQUENCES: usize = 1000;
    let batch = Batch::draw(&mut Generator::new(seed, TEST), SEQUENCES, &[place]);
    let mut y = vec![Matrix::zeros(LETTERS, SEQUENCES); STEPS];
    network.forward(&Compute::sequential(), parameters, &batch.x, &mut y);
    let (last, letters) = (y[STEPS - 1].as_ref(), &batch.targets[STEPS - 1]);
    let named = |&sequence: &usize| {
        let scores = last.column(sequence);
        let right = scores[letters[sequence] as usize];
        scores.iter().all(|&score| score <= right)
    };
    (0..SEQUENCES).filter(named).count() as f64 / SEQUENCES as f64
}
