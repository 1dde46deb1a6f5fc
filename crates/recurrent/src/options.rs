//! The options of a training: typed on the command line, read from a file, written into the run.
//! What is typed wins over what is read, and both over the task's defaults.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use recurrent_cells::CellKind;
use recurrent_topologies::{AttentionKind, Condition, Pool};
use serde::{Deserialize, Serialize};

use crate::data::TokenKind;

pub mod groups;

mod initial;
pub use initial::InitKind;

mod feeding;
pub use feeding::{FeedKind, ForcingKind};

mod fusion;
pub use fusion::FusionKind;

mod learning;
pub use learning::{Limit, OptimizerKind, ScheduleKind};

mod regularization;

mod network;
pub use network::{TopologyKind, parse_cell};

/// A value by the name that it has in files; the error names those there are.
fn named<V: serde::de::DeserializeOwned>(text: &str) -> Result<V, String> {
    let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    V::deserialize(name).map_err(|error| error.to_string().replace('`', ""))
}

/// What a person gave does not go together: wrong usage, and not a failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// An error that says what was wrong with what a person typed.
pub fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    UsageError(message.to_string()).into()
}

/// The options of a training. What is not given has the default of the task.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Options {
    /// The data to learn from: a file, or builtin:NAME
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// The data to be judged on [default: a tenth of the data, held out]
    #[arg(long, value_name = "FILE")]
    pub valid: Option<PathBuf>,
    /// The columns to read, by name or by number from 1 [default: those the task is called by]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// The first line is data and names no columns
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_header: bool,
    /// What a token is
    #[arg(long)]
    pub tokens: Option<TokenKind>,
    /// Rarer tokens become one unknown token [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub min_count: Option<u64>,
    /// Longer examples are left out of the training [default: none is]
    #[arg(long, value_name = "TOKENS")]
    pub max_length: Option<usize>,
    /// Numbers in a token's learned vector [default: the hidden size]
    #[arg(long, value_name = "SIZE", conflicts_with = "one_hot")]
    pub embedding_size: Option<usize>,
    /// Tokens enter as one-hot vectors, without an embedding
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_hot: bool,
    /// Word vectors to begin from: a word and its numbers a line (GloVe, word2vec text)
    #[arg(long, value_name = "FILE")]
    pub embeddings: Option<PathBuf>,
    /// The cell of every layer: rnn-tanh, rnn-relu, rnn-identity, lstm, gru, layer-norm-lstm
    /// [default: lstm]
    #[arg(long, value_parser = parse_cell)]
    pub cell: Option<CellKind>,
    /// Numbers in the hidden state
    #[arg(long, value_name = "SIZE")]
    pub hidden_size: Option<usize>,
    /// Layers upon one another [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub num_layers: Option<usize>,
    /// Every layer reads both ways, from the start and from the end
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bidirectional: bool,
    /// The share dropped between layers during training [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f64>,
    /// The share of words dropped from each sequence, wherever they stand [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub embedding_dropout: Option<f64>,
    /// The share dropped of what the first layer reads [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub input_dropout: Option<f64>,
    /// The share dropped of what the last layer gives [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub output_dropout: Option<f64>,
    /// The share dropped of each layer's recurrent weights, anew for every batch [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub weight_dropout: Option<f64>,
    /// The share of h that stays what it was a step before [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub zoneout: Option<f64>,
    /// The share of c that does; lstm and layer-norm-lstm only [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub zoneout_cell: Option<f64>,
    /// The weight of a penalty for gradients that grow or shrink from step to step; rnn-tanh, rnn-relu
    /// and rnn-identity only [default: 0]
    #[arg(long, value_name = "WEIGHT")]
    pub regularize_gradients: Option<f64>,
    /// Dropout has one mask for all steps of a sequence, not one for each
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub variational: bool,
    /// How the weights of cells begin [default: uniform]
    #[arg(long)]
    pub init: Option<InitKind>,
    /// The forget gate's bias at the start; lstm and layer-norm-lstm only [default: drawn like the
    /// other biases]
    #[arg(long, value_name = "NUMBER")]
    pub forget_bias: Option<f64>,
    /// What of a sequence is judged: last (its last state), mean or max (of all its states)
    #[arg(long, value_parser = named::<Pool>)]
    pub pool: Option<Pool>,
    /// How the decoder looks back at the source: dot, general, additive [default: it does not]
    #[arg(long, value_parser = named::<AttentionKind>)]
    pub attention: Option<AttentionKind>,
    /// What attention found enters the next step too
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub input_feeding: bool,
    /// The source is read from its end
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reverse_source: bool,
    /// Where the decoder is told what to write about: initial-state, first-input, every-step
    #[arg(long, value_parser = named::<Condition>)]
    pub condition: Option<Condition>,
    /// How image and question become one vector; one whose size is not that of the hidden state is
    /// mapped to it before
    #[arg(long)]
    pub fusion: Option<FusionKind>,
    /// Rows that are forecast [default: 1]
    #[arg(long, value_name = "ROWS")]
    pub horizon: Option<usize>,
    /// Rows that a forecast looks back at [default: 32]
    #[arg(long, value_name = "ROWS")]
    pub window: Option<usize>,
    /// Rows of a season, for the line that repeats the one before [default: no such line]
    #[arg(long, value_name = "ROWS")]
    pub season: Option<usize>,
    /// How rows become rows [default: many-to-many]
    #[arg(long)]
    pub topology: Option<TopologyKind>,
    /// What the decoder reads while it learns [default: truth; forecast: output]
    #[arg(long)]
    pub feed: Option<FeedKind>,
    /// The share of true tokens that it reads, at the end of the schedule; with --feed truth
    /// [default: 1]
    #[arg(long, value_name = "SHARE")]
    pub teacher_forcing: Option<f64>,
    /// How that share falls [default: constant]
    #[arg(long)]
    pub forcing_schedule: Option<ForcingKind>,
    /// The steps that it takes to fall; the k of inverse-sigmoid
    #[arg(long, value_name = "STEPS")]
    pub forcing_steps: Option<u64>,
    /// How often the training part is read
    #[arg(long, value_name = "COUNT")]
    pub epochs: Option<u64>,
    /// Stops after this many steps, within the epochs, and measures there as after an epoch
    #[arg(long, value_name = "COUNT")]
    pub steps: Option<u64>,
    /// Sequences side by side
    #[arg(long, value_name = "COUNT")]
    pub batch_size: Option<usize>,
    /// Steps between two updates; gradients go back through as many (k1)
    #[arg(long, value_name = "STEPS")]
    pub sequence_length: Option<usize>,
    /// Steps that gradients go back at each update, if more: those before its own are read again (k2)
    #[arg(long, value_name = "STEPS")]
    pub backward_steps: Option<usize>,
    /// What documents in the text end with, such as '\n\n'; the state begins afresh at its last token
    #[arg(long, value_name = "TEXT")]
    pub document_end: Option<String>,
    /// Reads texts from disk as they are needed, as those above 64 MB always are; changes no bit
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// How far a step goes [sgd and nt-asgd: 1]
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// What turns gradients into steps [default: adam]
    #[arg(long)]
    pub optimizer: Option<OptimizerKind>,
    /// How much of a step goes on in the next; sgd and rmsprop only [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub momentum: Option<f64>,
    /// Looks ahead along the momentum; sgd only
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nesterov: bool,
    /// Pulls every parameter towards zero [default: 0; adamw 0.01]
    #[arg(long, value_name = "SHARE")]
    pub weight_decay: Option<f64>,
    /// Averaging begins at a loss above the best of all but the last N; nt-asgd only [default: 5]
    #[arg(long, value_name = "N")]
    pub average_after: Option<u64>,
    /// How the learning rate changes [default: constant]
    #[arg(long)]
    pub schedule: Option<ScheduleKind>,
    /// Steps over which the learning rate rises at the start [default: 0]
    #[arg(long, value_name = "STEPS")]
    pub warm_up: Option<u64>,
    /// What step, exponential and plateau multiply the rate by [default: 0.5; exponential 0.9]
    #[arg(long, value_name = "FACTOR")]
    pub decay: Option<f64>,
    /// How often a step schedule multiplies [default: 1]
    #[arg(long, value_name = "EPOCHS")]
    pub decay_every: Option<u64>,
    /// Epochs in a row that a plateau schedule lets pass without a better loss [default: 1]
    #[arg(long, value_name = "EPOCHS")]
    pub plateau_patience: Option<u64>,
    /// Ends the run after so many epochs in a row without a better loss [default: none does]
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<u64>,
    /// The largest magnitude of a gradient's numbers, or none; before --clip-norm [default: none]
    #[arg(long, value_name = "LIMIT")]
    pub clip_value: Option<Limit>,
    /// The largest norm of all gradients together, or none [default: 5]
    #[arg(long, value_name = "LIMIT")]
    pub clip_norm: Option<Limit>,
    /// Decides initial values and dropout; the same seed gives the same bits [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<usize>,
    /// Saves every so many steps [default: every 30 seconds, and after every epoch]
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_every: Option<u64>,
    /// Keeps so many of the newest checkpoints, beside the best [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub keep_last: Option<usize>,
    /// Every so many steps writes how gradients flow and what gates do into metrics.jsonl, and every
    /// clipping [default: never]
    #[arg(long, value_name = "STEPS")]
    pub watch_gradients: Option<u64>,
    /// The task that a run's own file names; only to be checked.
    #[arg(skip)]
    pub task: Option<String>,
}

impl Options {
    /// Reads a file with options under their names, such as a run's `config.toml`.
    ///
    /// # Errors
    /// If it cannot be read, or holds anything that is not an option; the message names the line.
    pub fn read(path: &Path) -> anyhow::Result<Options> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        Options::parse(&text).with_context(|| format!("{}", path.display()))
    }

    /// Reads options from TOML.
    ///
    /// # Errors
    /// If it holds anything that is not an option.
    pub fn parse(text: &str) -> anyhow::Result<Options> {
        // toml's own message shows the line over several lines; ours is one.
        toml::from_str(text).map_err(|error| {
            let line = 1 + error.span().map_or(0, |span| text[..span.start].matches('\n').count());
            let message = error.message();
            let message = [("usize", "whole"), ("u64", "whole"), ("f64", "")]
                .into_iter()
                .find_map(|(kind, adjective)| {
                    let before = message.strip_suffix(&format!("expected {kind}"))?;
                    let adjective = format!("{adjective} ");
                    Some(format!("{before}expected a {}number", adjective.trim_start()))
                })
                .unwrap_or_else(|| message.to_owned());
            // It quotes the file, which may hold anything.
            let message: String = message
                .chars()
                .take(MOST_OF_A_MESSAGE)
                .flat_map(|c| match c.is_control() {
                    true => c.escape_debug().collect::<Vec<char>>(),
                    false => vec![c],
                })
                .collect();
            anyhow::anyhow!("line {line}: {message}")
        })
    }

    /// These options, and the others' where these are silent.
    ///
    /// # Errors
    /// If a path is not UTF-8.
    pub fn or(self, other: Options) -> anyhow::Result<Options> {
        let (typed, mut table) = (self.table()?, other.table()?);
        // One of the two excludes the other.
        for (given, silent) in [("one-hot", "embedding-size"), ("embedding-size", "one-hot")] {
            if typed.contains_key(given) {
                table.remove(silent);
            }
        }
        table.extend(typed);
        Ok(toml::Value::Table(table).try_into()?)
    }

    /// These options, and a task's defaults where they are silent.
    ///
    /// # Errors
    /// If a path is not UTF-8.
    pub fn or_default(mut self, defaults: Options) -> anyhow::Result<Options> {
        if self.descends() {
            self.learning_rate.get_or_insert(1.0);
        }
        self.or(defaults)
    }

    /// What is given, under its names.
    ///
    /// # Errors
    /// If a path is not UTF-8, or a number is larger than TOML has them; the message names it.
    pub fn table(&self) -> anyhow::Result<toml::Table> {
        if let Some(name) = self.beyond_toml() {
            return Err(usage(format!("--{name} must be at most {}", i64::MAX)));
        }
        toml::Table::try_from(self)
            .map_err(|error| usage(format!("the options cannot be written as TOML: {error}")))
    }

    /// The first option with a whole number that TOML does not have, though its reader takes it.
    fn beyond_toml(&self) -> Option<String> {
        let beyond = |value: &serde_json::Value| value.is_u64() && !value.is_i64();
        let options = serde_json::to_value(self).ok()?;
        options.as_object()?.iter().find(|(_, value)| beyond(value)).map(|(name, _)| name.clone())
    }

    /// Refuses what is given and has no meaning for a task.
    ///
    /// # Errors
    /// Wrong usage, naming the first such option.
    pub fn require_known(&self, task: &str, known: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        match self.table()?.keys().find(|name| *name != "task" && !known(name)) {
            None => Ok(()),
            // The tasks that do not have it write.
            Some(name) if name == "bidirectional" => Err(usage(format!(
                "--bidirectional: what writes cannot read what it has not written yet, and {task} has \
                 nothing else to read; drop it"
            ))),
            Some(name) => Err(usage(format!("--{name}: {task} has no such option; drop it"))),
        }
    }

    /// The data that they name.
    ///
    /// # Errors
    /// Wrong usage if they name none.
    pub fn data_name(&self) -> anyhow::Result<&Path> {
        self.data.as_deref().ok_or_else(|| usage("--data: no data are named"))
    }

    /// How many threads to use.
    ///
    /// # Errors
    /// Wrong usage if 0 were asked for.
    pub fn compute(&self) -> anyhow::Result<recurrent_kernels::Compute> {
        compute(self.threads)
    }
}

/// Characters of a message about a file.
const MOST_OF_A_MESSAGE: usize = 500;

/// More threads than any machine can use: a slip of the finger, and seconds spent starting them.
const MOST_THREADS: usize = 1024;

/// `threads` threads, or as many as there are processors.
///
/// # Errors
/// Wrong usage if 0 or more than 1024 were asked for; a failure if the system gives none.
pub fn compute(threads: Option<usize>) -> anyhow::Result<recurrent_kernels::Compute> {
    if let Some(count) = threads.filter(|&count| count > MOST_THREADS) {
        return Err(usage(format!("--threads must be at most {MOST_THREADS}, not {count}")));
    }
    let available = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    recurrent_kernels::Compute::new(threads.unwrap_or(available)).map_err(|error| match error {
        recurrent_kernels::ComputeError::NoThreads => usage(format!("--threads: {error}")),
        _ => error.into(),
    })
}

#[cfg(test)]
mod tests;
