//! Which runs a profile asks for, and the defaults of each task.

use recurrent_cells::CellKind;

use super::{Problem, RunConfig, Variant};
use crate::options::{Limit, OptimizerKind, Options};

/// How much is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Small lags, three cells and three seeds: minutes.
    #[default]
    Coffee,
    /// The papers' lags, eight variants and twenty seeds: a night.
    Night,
}

impl Profile {
    /// The lags of a task.
    pub fn lags(self, problem: Problem) -> &'static [usize] {
        match (problem, self) {
            (Problem::EmbeddedReber, _) => &[0],
            (Problem::NoiseFree, Profile::Coffee) => &[20],
            (Problem::CopyMemory, Profile::Coffee) => &[5],
            (Problem::Pixels, Profile::Coffee) => &[64],
            (_, Profile::Coffee) => &[30],
            (Problem::Adding, Profile::Night) => &[100, 500],
            (Problem::CopyMemory, Profile::Night) => &[20],
            (Problem::Pixels, Profile::Night) => &[196],
            (_, Profile::Night) => &[100],
        }
    }

    /// The names of the variants that are compared.
    pub fn variants(self) -> &'static [&'static str] {
        match self {
            Profile::Coffee => &["lstm", "gru", "rnn-tanh"],
            Profile::Night => &[
                "lstm",
                "lstm-forget-1",
                "lstm-chrono",
                "gru",
                "gru-chrono",
                "rnn-tanh",
                "rnn-tanh-orthogonal",
                "rnn-relu-identity",
            ],
        }
    }

    /// Seeds of each variant.
    pub fn seeds(self) -> u64 {
        match self {
            Profile::Coffee => 3,
            Profile::Night => 20,
        }
    }

    /// Sequences after which a run has failed.
    pub fn budget(self, problem: Problem) -> u64 {
        match (problem, self) {
            (Problem::Multiplication | Problem::CopyMemory, Profile::Coffee) => 100_000,
            (_, Profile::Coffee) => 50_000,
            (Problem::Multiplication | Problem::TemporalOrder3, Profile::Night) => 500_000,
            (Problem::CopyMemory, Profile::Night) => 300_000,
            // As many as the Elman nets of experiment 1 had.
            (Problem::EmbeddedReber, Profile::Night) => 200_000,
            (_, Profile::Night) => 100_000,
        }
    }
}

/// What a task takes where neither the variant nor a person says otherwise. Chosen on seeds from 101
/// on, so that seeds from 1 on say what can be expected of others.
pub fn defaults(problem: Problem, cell: CellKind) -> Options {
    let (hidden_size, batch_size, learning_rate) = match problem {
        Problem::EmbeddedReber => (12, 1, 0.01),
        Problem::NoiseFree => (16, 1, 0.5),
        Problem::TwoSequence => (8, 8, 0.01),
        Problem::Adding | Problem::Multiplication => (16, 8, 0.005),
        Problem::TemporalOrder | Problem::TemporalOrder3 => (16, 8, 0.005),
        Problem::CopyMemory => (64, 16, 0.005),
        Problem::Pixels => (32, 16, 0.005),
    };
    // At T = 20 an LSTM with open forget gates learns the last symbol by plain descent, and never did
    // with Adam. Neither is known to do so at T = 100: docs/long-lag.md.
    let optimizer = (problem == Problem::NoiseFree).then_some(OptimizerKind::Sgd);
    // Without gates larger rates explode.
    let gated = cell.is_lstm() || cell == CellKind::Gru || optimizer.is_some();
    Options {
        hidden_size: Some(hidden_size),
        batch_size: Some(batch_size),
        learning_rate: Some(if gated { learning_rate } else { 0.001 }),
        optimizer,
        clip_norm: Some(Limit::Most(1.0)),
        ..Options::default()
    }
}

/// A run as data: what is `typed` wins over the variant, and both over the task's defaults.
///
/// # Errors
/// Wrong usage if they do not go together.
pub fn config(
    problem: Problem,
    lag: usize,
    variant: &Variant,
    typed: &Options,
    seed: u64,
    budget: u64,
) -> anyhow::Result<RunConfig> {
    let options = typed.clone().or(variant.options.clone())?;
    let cell = options.cell.unwrap_or(CellKind::Lstm);
    let mut defaults = defaults(problem, cell);
    if options.optimizer.is_some_and(|kind| kind != defaults.optimizer.unwrap_or_default()) {
        // The task's rate is for its own optimiser.
        defaults.learning_rate = None;
    }
    let mut options = options.or_default(defaults)?;
    options.seed = Some(seed);
    options.epochs = Some(1);
    // What chrono is to remember: of a string of the grammar nearly all of it.
    let remembered = if lag == 0 { 20 } else { lag };
    Ok(RunConfig {
        problem,
        lag,
        variant: variant.name.clone(),
        network: options.network(remembered)?,
        learning: options.learning()?,
        budget,
    })
}
