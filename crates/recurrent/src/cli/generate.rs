//! `generate`: a trained model writes, each token drawn and fed back as the next input.

use std::io::{self, Write};

use clap::Args;
use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::{ManyToMany, ManyToManyStream, Sampler, Sampling, SamplingError};

use super::train::load_model;
use super::{Outcome, RunArgument, options::compute, remark, usage};
use crate::data::{TokenKind, Vocabulary};
use crate::run::RunFolder;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// The text to go on from; it is printed too [default: a new line]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// How many tokens to write
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    length: usize,
    /// Below 1 more careful, above 1 more daring, 0 always the most likely token
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Draws from the K most likely tokens only
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draws from the fewest tokens whose probabilities reach P together
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// The same seed writes the same text
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let compute = compute(Some(1))?;
    let Arguments { temperature, top_k, top_p, seed, length, .. } = arguments;
    let sampling = Sampling { temperature, top_k, top_p };
    let sampler = Sampler::new(compute.level(), sampling).map_err(usage)?;
    let (model, parameters, _, vocabulary) = load_model(&folder)?;
    let prompt = match &arguments.prompt {
        Some(text) if text.is_empty() => return Err(usage("--prompt must not be empty")),
        Some(text) => vocabulary.encode(text)?,
        None => Vec::new(),
    };
    remark(quiet, format!("seed {seed}, temperature {temperature:?}"));
    let generator = Generator::new(seed, GENERATION);
    let mut writer = Writer::new(&compute, &model, parameters, vocabulary, sampler, generator);
    let mut text = prompt.clone();
    text.extend(writer.write(&prompt, length)?);
    let mut output = io::stdout().lock();
    output.write_all(writer.vocabulary.decode(&text).as_bytes())?;
    output.write_all(b"\n")?;
    output.flush()?;
    Ok(Outcome::Done)
}

/// The stream of the seed that generation draws from.
pub(super) const GENERATION: u64 = 2;

/// A model that writes.
pub(super) struct Writer {
    stream: ManyToManyStream<f32>,
    pub(super) vocabulary: Vocabulary,
    sampler: Sampler<f32>,
    generator: Generator,
}

impl Writer {
    pub(super) fn new(
        compute: &Compute,
        model: &ManyToMany,
        parameters: Parameters<f32>,
        vocabulary: Vocabulary,
        sampler: Sampler<f32>,
        generator: Generator,
    ) -> Self {
        let stream = ManyToManyStream::new(compute, model, parameters, 1);
        Writer { stream, vocabulary, sampler, generator }
    }

    /// Reads `prompt` from a state of zeros, then writes `length` tokens. The unknown token is
    /// never written.
    ///
    /// # Errors
    /// If the model gives no distribution to draw from: its parameters are not finite.
    pub(super) fn write(
        &mut self,
        prompt: &[u32],
        length: usize,
    ) -> Result<Vec<u32>, SamplingError> {
        self.stream.state_mut().reset();
        let Writer { stream, vocabulary, sampler, generator } = self;
        let start = [start_token(vocabulary)];
        let prompt = if prompt.is_empty() { &start } else { prompt };
        let (&last, before) = prompt.split_last().expect("a prompt has at least one token");
        for &token in before {
            stream.step(&[token]);
        }
        let mut token = last;
        (0..length)
            .map(|_| {
                let logits = stream.step(&[token]);
                token = sampler.draw(logits.column(0), vocabulary.unknown(), generator)?;
                Ok(token)
            })
            .collect()
    }
}

/// What stands before a text that has no prompt: a new line where the model knows one.
fn start_token(vocabulary: &Vocabulary) -> u32 {
    let first = u32::from(vocabulary.kind() != TokenKind::Byte);
    vocabulary.encode("\n").ok().and_then(|tokens| tokens.first().copied()).unwrap_or(first)
}
