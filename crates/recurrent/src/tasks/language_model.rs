//! The language model: predict the next token of a text.
//!
//! Training is truncated backpropagation through time over parallel streams ([`Windows`]), of a text
//! in memory or on disk ([`TokenText`]), which is one document or many ([`documents`]).
//!
//! The evaluation protocol is fixed, so that figures can be compared: the held-out text is cut
//! into [`EVALUATION_STREAMS`] parallel streams, read from its start to its end with the state
//! carried from window to window. Every token is predicted once, but for the text's first and up to
//! nine at its end, because streams have equal lengths.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Error;
use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::{
    DecoderStream, Ended, ManyToMany, ManyToManyConfig, Sampler, SamplingError, TokenStream,
};
use recurrent_training::{Loss, ManyToManyObjective, Objective, Window, Windows};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::settings::{Learning, Network, Tokens};
use super::training::{GENERATION, require_memory_for_steps};
use super::writing::ended;
use super::{Data, Generate, Prediction, Report, Task, TaskModel};
use crate::data::text::{EVALUATION_STREAMS, fingerprint, load_held_out};
use crate::data::{
    Corpus, DataError, Source, StreamedCorpus, StreamedText, TokenKind, TokenText, Vocabulary,
    source,
};
use crate::gradient_flow::{self, LayerFlow};
use crate::options::{Options, groups, usage};
use crate::run::thousands;

pub mod documents;

mod exhibits;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What a token is.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The layers.
    #[serde(flatten)]
    pub network: Network,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
    /// Steps between two updates, whose losses count there: k1.
    pub sequence_length: usize,
    /// Steps back at each update, k2, if they are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_steps: Option<usize>,
    /// What documents end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_end: Option<String>,
}

/// Tokens that are written where nothing else is said.
const LENGTH: usize = 500;

/// Texts of more bytes are always read from disk as they are needed: a token takes four in memory.
const MOST_LOADED: u64 = 64 << 20;

/// Tokens in which documents are looked for that are long enough for a lag.
const MOST_SEARCHED: usize = 1 << 20;

/// The longest window: dropout masks of different steps would meet beyond it.
const MOST_STEPS: usize = 1 << 24;

impl Settings {
    /// Checks every number.
    fn check(&self) -> Result<(), String> {
        match self.sequence_length {
            0 => return Err("the sequence length must be at least 1".into()),
            1..=MOST_STEPS => {}
            _ => return Err(format!("the sequence length must be at most {MOST_STEPS}")),
        }
        if !(self.sequence_length..=MOST_STEPS).contains(&self.backward_steps()) {
            return Err(format!(
                "the steps back (--backward-steps) must be at least those of the sequence length, {}, and at most \
                 {MOST_STEPS}, not {}",
                self.sequence_length,
                self.backward_steps(),
            ));
        }
        self.model(2).build().map(drop).map_err(|error| error.to_string())
    }

    /// Steps back at each update: k2.
    pub fn backward_steps(&self) -> usize {
        self.backward_steps.unwrap_or(self.sequence_length)
    }

    /// The model for a vocabulary of this size.
    fn model(&self, vocabulary_size: usize) -> ManyToManyConfig {
        ManyToManyConfig {
            input: self.tokens.input(vocabulary_size),
            stack: self.network.stack(),
            output_size: vocabulary_size,
        }
    }
}

/// A model that predicts the next token of a text.
pub type LanguageModel = TaskModel<Settings, Vocabulary, ManyToMany>;

impl LanguageModel {
    /// The model.
    pub fn model(&self) -> &ManyToMany {
        &self.model
    }

    /// A writer with these parameters.
    pub fn writer(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        sampler: Sampler<f32>,
        seed: u64,
    ) -> Writer {
        let stream = self.model.stream(compute, parameters, 1);
        let generator = Generator::new(seed, GENERATION);
        let start = match self.document_end().last() {
            Some(&token) => token,
            None => start_token(&self.codec),
        };
        Writer { stream, vocabulary: self.codec.clone(), start, sampler, generator }
    }

    /// The tokens that documents end with; none if the text is one.
    pub fn document_end(&self) -> Vec<u32> {
        self.settings.document_end.as_ref().map_or(vec![], |end| self.codec.encode_lossy(end))
    }

    /// The beginning of a text in which losses are looked for that can be followed back.
    fn followed<'t>(
        &self,
        text: &'t TokenText,
        lag: Option<usize>,
    ) -> Result<Cow<'t, [u32]>, DataError> {
        let needed = lag.unwrap_or(gradient_flow::USUAL_LAG) + gradient_flow::LOSSES + 1;
        text.beginning(match self.settings.document_end {
            None => needed,
            Some(_) => needed.max(MOST_SEARCHED),
        })
    }

    /// How far the losses of a text reach back, if there is the memory to see it.
    fn flow(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        text: &[u32],
        lag: Option<usize>,
    ) -> anyhow::Result<Vec<LayerFlow>> {
        let end = self.document_end();
        let steps = gradient_flow::steps_to_follow(text, &end, lag)?;
        require_memory_for_steps(self, steps, true, "--lag").map_err(Error::msg)?;
        Ok(gradient_flow::gradient_flow(&self.model, compute, parameters, text, &end, lag)?)
    }

    /// What one update after another learns from.
    fn windows<'t>(&self, text: &'t TokenText, document_end: &'t [u32]) -> Windows<'t, TokenText> {
        let batch_size = self.settings.learning.batch_size;
        Windows::of(text, batch_size, self.settings.sequence_length)
            .with_backward_steps(self.settings.backward_steps())
            .with_document_end(document_end)
    }
}

/// A text is read as it is needed: asked for, or because it is large.
fn is_streamed(options: &Options, source: &Source) -> bool {
    let size = |path| std::fs::metadata(path).map_or(0, |file| file.len());
    options.stream || matches!(source, Source::Path(path) if size(path) > MOST_LOADED)
}

impl Task for LanguageModel {
    const NAME: &'static str = "language-model";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[groups::TOKENS, groups::TEXT, groups::TRUNCATION];
    const IN_ORDER: bool = true;

    type Examples = TokenText;
    type Objective = ManyToManyObjective<f32>;
    type Report = LanguageReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:text")),
            tokens: Some(TokenKind::Char),
            hidden_size: Some(128),
            epochs: Some(5),
            batch_size: Some(32),
            sequence_length: Some(64),
            learning_rate: Some(0.002),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let sequence_length = options.sequence_length.unwrap_or(64);
        let settings = Settings {
            tokens: options.token_settings()?,
            network: options.network(sequence_length)?,
            learning: options.learning()?,
            sequence_length,
            // As many as there are anyway are no setting of their own.
            backward_steps: options.backward_steps.filter(|&steps| steps != sequence_length),
            document_end: options.document_end.as_deref().map(documents::ending).transpose()?,
        };
        settings.check().map_err(usage)?;
        Ok(settings)
    }

    fn read(
        options: &Options,
        settings: &Settings,
        codec: Option<Vocabulary>,
    ) -> anyhow::Result<Data<Self>> {
        let data = source::open(options.data_name()?)?;
        let valid = options.valid.as_ref().map(source::open).transpose()?;
        let Tokens { tokens: kind, min_count, .. } = settings.tokens;
        let is_large = |source| is_streamed(options, source);
        let (batch_size, steps) = (settings.learning.batch_size, settings.sequence_length);
        let (codec, train, held_out) = if is_large(&data) || valid.as_ref().is_some_and(is_large) {
            let corpus = StreamedCorpus::load(&data, valid.as_ref(), kind, min_count, codec)?;
            corpus.require_window(batch_size, steps)?;
            let StreamedCorpus { vocabulary, train, valid } = corpus;
            (vocabulary, TokenText::Streamed(train), TokenText::Streamed(valid))
        } else {
            let corpus = match codec {
                Some(vocabulary) => Corpus::load_with(&data, valid.as_ref(), vocabulary)?,
                None => Corpus::load(&data, valid.as_ref(), kind, min_count)?,
            };
            corpus.require_window(batch_size, steps)?;
            let Corpus { vocabulary, train, valid, .. } = corpus;
            (vocabulary, train.into(), valid.into())
        };
        if let Some(ending) = &settings.document_end {
            documents::require(&train, &documents::encode(ending, &codec)?, ending)?;
        }
        Ok(Data { codec, train, held_out, left_out: None })
    }

    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<TokenText> {
        let source = source::open(data)?;
        // Built-in data are in memory, whatever the run's own are.
        let is_file = matches!(source, Source::Path(_));
        if is_file && is_streamed(options, &source) {
            return Ok(TokenText::Streamed(StreamedText::held_out(&source, &self.codec)?));
        }
        Ok(load_held_out(&source, &self.codec)?.into())
    }

    fn build(settings: &Settings, vocabulary: &Vocabulary) -> anyhow::Result<ManyToMany> {
        settings.check().map_err(Error::msg)?;
        if let Some(ending) = &settings.document_end {
            documents::encode(ending, vocabulary)?;
        }
        Ok(settings.model(vocabulary.len()).build()?)
    }

    fn objective(&self) -> ManyToManyObjective<f32> {
        let Learning { batch_size, seed, .. } = self.settings.learning;
        ManyToManyObjective::new(self.model.clone(), batch_size, seed)
    }

    fn units(&self, text: &TokenText) -> usize {
        self.windows(text, &[]).count()
    }

    fn batch(&self, text: &TokenText, units: &[usize]) -> Result<Window, DataError> {
        self.windows(text, &self.document_end()).read(units[0])
    }

    fn tape(&self, _: &TokenText) -> u128 {
        self.settings.backward_steps() as u128 * self.settings.network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        match (&data.train, &data.held_out) {
            (TokenText::Loaded(train), TokenText::Loaded(held_out)) => fingerprint(train, held_out),
            // It was counted when the text was read.
            (TokenText::Streamed(train), _) => train.fingerprint().unwrap_or(0),
            (TokenText::Loaded(_), TokenText::Streamed(_)) => 0,
        }
    }

    fn gradient_flow(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        text: &TokenText,
        lag: Option<usize>,
    ) -> anyhow::Result<Vec<LayerFlow>> {
        let text = self.followed(text, lag)?;
        self.flow(compute, parameters, &text, lag).map_err(|error| {
            match error.is::<gradient_flow::TooShort>() {
                true => error.context("--lag, or the text that is held out"),
                false => error,
            }
        })
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let unit = self.unit();
        let [vocabulary, train, held_out] =
            [self.codec.len(), data.train.len(), data.held_out.len()].map(thousands);
        format!(
            "vocabulary of {vocabulary} {unit}; {train} {unit} to learn from, {held_out} held out"
        )
    }

    fn unit(&self) -> &'static str {
        self.settings.tokens.tokens.plural()
    }

    fn guessing(&self) -> f64 {
        (self.codec.len() as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        text: &TokenText,
    ) -> anyhow::Result<LanguageReport> {
        // The window only bounds memory: the state is carried and nothing is learnt.
        let document_end = self.document_end();
        let windows = Windows::of(text, EVALUATION_STREAMS, 100).with_document_end(&document_end);
        let mut objective = ManyToManyObjective::new(self.model.clone(), EVALUATION_STREAMS, 0);
        let mut loss = Loss::default();
        for index in 0..windows.count() {
            loss += objective.evaluate(compute, parameters, &windows.read(index)?);
        }
        Ok(loss.into())
    }

    fn shuffle_tokens(&self, text: &mut TokenText, seed: u64) -> anyhow::Result<()> {
        Generator::new(seed, GENERATION).shuffle(text.load()?);
        Ok(())
    }

    fn generate(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        how: &Generate,
        emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if how.label.is_some() {
            return Err(usage("--label: a language model knows no labels; use --prompt"));
        }
        if how.beam.is_some() {
            let other = "with --temperature 0 it writes the most likely token at each step";
            return Err(usage(format!("--beam: a language model draws its text; {other}")));
        }
        let sampler = Sampler::new(compute.level(), how.sampling).map_err(usage)?;
        let prompt = match &how.prompt {
            Some(text) if text.is_empty() => return Err(usage("--prompt must not be empty")),
            Some(text) => self.codec.encode(text)?,
            None => Vec::new(),
        };
        let mut writer = self.writer(compute, parameters, sampler, how.seed);
        for _ in 0..how.count {
            let mut tokens = prompt.clone();
            tokens.extend(writer.write(&prompt, how.length.unwrap_or(LENGTH))?);
            let text = self.codec.decode(&tokens);
            // It has no token that ends a text.
            let json = json!({ "text": text, "ended": ended(Ended::MaximumLength) });
            emit(Prediction::new(text, json))?;
        }
        Ok(())
    }
}

/// A model that writes.
pub struct Writer {
    stream: DecoderStream<f32>,
    vocabulary: Vocabulary,
    /// What is read before a text that has no prompt.
    start: u32,
    sampler: Sampler<f32>,
    generator: Generator,
}

impl Writer {
    /// Reads `prompt` from a state of zeros, then writes `length` tokens. The unknown token is
    /// never written.
    ///
    /// # Errors
    /// If the model gives no distribution to draw from: its parameters are not finite.
    pub fn write(&mut self, prompt: &[u32], length: usize) -> Result<Vec<u32>, SamplingError> {
        self.stream.state_mut().reset();
        let Writer { stream, vocabulary, start, sampler, generator } = self;
        let start = [*start];
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

/// What stands before a text that is no document and has no prompt: a new line where the model knows one.
fn start_token(vocabulary: &Vocabulary) -> u32 {
    let first = u32::from(vocabulary.kind() != TokenKind::Byte);
    vocabulary.encode("\n").ok().and_then(|tokens| tokens.first().copied()).unwrap_or(first)
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LanguageReport {
    /// Nats per token.
    pub loss: f64,
    /// e to the loss: among how many equally likely tokens the model seems to choose.
    pub perplexity: f64,
    /// The loss in bits.
    pub bits_per_token: f64,
    /// How many tokens were predicted.
    pub tokens: usize,
}

impl From<Loss> for LanguageReport {
    fn from(loss: Loss) -> LanguageReport {
        let mean = loss.mean();
        LanguageReport {
            loss: mean,
            perplexity: mean.exp(),
            bits_per_token: mean / std::f64::consts::LN_2,
            tokens: loss.count,
        }
    }
}

impl Report for LanguageReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        format!("perplexity {:.2}", self.perplexity)
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("loss", format!("{:.4} nats per token", self.loss)),
            ("perplexity", format!("{:.3}", self.perplexity)),
            ("bits per token", format!("{:.4}", self.bits_per_token)),
            ("tokens", thousands(self.tokens)),
        ]
    }
}
