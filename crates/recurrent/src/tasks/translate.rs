//! Translation: a text in, another text out (encoder-decoder).
//!
//! Either side has its own vocabulary. What the model is asked for is written greedily, or searched
//! for with a beam.

use std::path::{Path, PathBuf};

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::{
    AttentionKind, EncoderDecoder, EncoderDecoderConfig, EncoderDecoderTape, Hypothesis, Lengths,
    Reading,
};
use recurrent_training::{
    EncoderDecoderBatch, EncoderDecoderObjective, Feed, Loss, Objective, Sources, Targets,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::examples::{
    EVALUATION_BATCH, Fingerprint, columns, keep_short, percent, read_parts, read_test,
};
use super::settings::{Learning, Network, Tokens};
use super::writing::{Search, Writer, as_written, bleu, counts_in_bleu, exact_match};
use super::{Data, Input, Predict, Prediction, Report, Task, TaskModel, require_one_text};
use crate::builtin::{self, Builtin, Part};
use crate::data::{
    Boundaries, Columns, DataError, Source, Table, TokenKind, Vocabulary, require_tokens,
};
use crate::options::{Options, ScheduleKind, groups, usage};
use crate::run::thousands;

mod exhibits;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What a token is on both sides, and how it becomes a vector.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The layers of the encoder, and of the decoder, which reads forward only.
    #[serde(flatten)]
    pub network: Network,
    /// How the decoder looks at the source, if it does.
    pub attention: Option<AttentionKind>,
    /// What attention found enters the next step too.
    pub input_feeding: bool,
    /// The source is read from its end.
    pub reverse_source: bool,
    /// What the decoder reads while it learns.
    pub feed: Feed,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// What the training pairs taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    /// The tokens that are read.
    source: Vocabulary,
    /// The tokens that are written, without start and end.
    target: Vocabulary,
    /// Tokens of the longest target, without the end.
    longest: usize,
}

/// A pair as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    source: Vec<u32>,
    /// With the end token.
    target: Vec<u32>,
    /// The target as a person wrote it.
    reference: String,
}

/// A model that translates.
pub type Translate = TaskModel<Settings, Codec, EncoderDecoder>;

/// A source and its target, as a person wrote them.
type Written = [String; 2];

fn read(source: &Source, part: Part, columns: &Columns) -> anyhow::Result<Vec<Written>> {
    Ok(match source {
        Source::Builtin(Builtin::Addition) => builtin::addition(builtin::SEED, part),
        Source::Builtin(Builtin::Dates) => builtin::dates(builtin::SEED, part),
        Source::Builtin(_) => {
            let needed = "pairs of texts; there are builtin:addition and builtin:dates";
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed }.into());
        }
        Source::Path(_) => {
            let rows = Table::read(source, &["source", "target"], columns)?.rows;
            let pair = |cells: Vec<String>| cells.try_into().expect("as many cells as columns");
            rows.into_iter().map(|row| pair(row.cells)).collect()
        }
    })
}

impl Codec {
    fn learn(name: &Path, pairs: &[Written], tokens: &Tokens) -> anyhow::Result<Codec> {
        let Tokens { tokens: kind, min_count, .. } = *tokens;
        let side = |side: usize| pairs.iter().map(move |pair: &Written| pair[side].as_str());
        let name = name.display().to_string();
        let vocabulary =
            |at| require_tokens(&name, Vocabulary::learn_all(kind, side(at), min_count), min_count);
        let (source, target) = (vocabulary(0)?, vocabulary(1)?);
        let longest = side(1).map(|text| target.encode_lossy(text).len()).max().unwrap_or(0);
        Ok(Codec { source, target, longest })
    }

    fn examples(&self, pairs: Vec<Written>) -> Vec<Example> {
        let boundaries = Boundaries::of(&self.target);
        let example = |[source, reference]: Written| {
            let mut target = boundaries.encode_target(&reference);
            target.push(boundaries.end());
            let reference = as_written(self.target.kind(), &reference);
            Example { source: self.source.encode_lossy(&source), target, reference }
        };
        pairs.into_iter().map(example).collect()
    }
}

impl Translate {
    fn writer(&self) -> Writer<'_> {
        let Codec { target, longest, .. } = &self.codec;
        Writer { vocabulary: target, feed: self.settings.feed, longest: *longest }
    }

    fn pairs<'e>(&self, examples: impl Iterator<Item = &'e Example>) -> EncoderDecoderBatch<f32> {
        let (sources, targets): (Vec<&[u32]>, Vec<&[u32]>) =
            examples.map(|example| (&example.source[..], &example.target[..])).unzip();
        let source_lengths = lengths(&sources);
        let start = Boundaries::of(&self.codec.target).start();
        EncoderDecoderBatch {
            sources: Sources::Tokens(source_lengths.arrange(&sources)),
            source_lengths,
            targets: Targets::new(&targets, start),
        }
    }

    /// The vector that holds a whole source: the name and the numbers of h and c of each layer of
    /// the decoder.
    fn context(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        source: &[u32],
    ) -> Vec<(String, Vec<f32>)> {
        let sources = (Reading::Tokens(source), &Lengths::equal(1, source.len()));
        let mut blocks = vec![];
        self.model.context(compute, parameters, sources).visit(|name, matrix| {
            if !matrix.as_slice().is_empty() {
                blocks.push((name.to_owned(), matrix.as_slice().to_vec()));
            }
        });
        blocks
    }

    /// For each token of a text how much of each token of the source was looked at when it was
    /// written; they add up to 1.
    fn attention(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        source: &[u32],
        written: &[u32],
    ) -> Vec<Vec<f32>> {
        if written.is_empty() {
            return vec![];
        }
        let targets = Targets::new(&[written], Boundaries::of(&self.codec.target).start());
        let tokens = match self.settings.feed {
            Feed::Dummy => targets.dummy(),
            Feed::Output | Feed::Truth { .. } => targets.truth(),
        };
        let sources = (Reading::Tokens(source), &Lengths::equal(1, source.len()));
        let read = (&tokens[..], &targets.lengths);
        let mut tape = EncoderDecoderTape::default();
        let recorded = self.model.forward(compute, parameters, sources, read, None, &mut tape);
        (0..written.len()).map(|t| recorded.attention_weights(0, t).to_vec()).collect()
    }

    /// The results for a source, for a person and for a program.
    fn show(
        &self,
        (compute, parameters): (&Compute, &Parameters<f32>),
        (line, source): (&str, &[u32]),
        found: &[Hypothesis],
        how: &Predict,
        search: &Search,
    ) -> Prediction {
        let writer = self.writer();
        let (mut text, mut predictions) = (vec![], vec![]);
        let mut object = Map::new();
        object.insert("source".into(), line.into());
        let tokens = |vocabulary: &Vocabulary, numbers: &[u32]| -> Vec<String> {
            numbers.iter().map(|&number| vocabulary.token(number).into_owned()).collect()
        };
        for hypothesis in found {
            text.push(writer.line(hypothesis, how, search));
            let mut json = writer.json(hypothesis);
            if how.show_attention {
                let weights = self.attention(compute, parameters, source, &hypothesis.tokens);
                let read = tokens(&self.codec.source, source);
                let written = tokens(&self.codec.target, &hypothesis.tokens);
                for (token, weights) in written.iter().zip(&weights) {
                    let most = super::examples::largest(weights) as usize;
                    let (at, weight) = (most + 1, weights[most]);
                    text.push(format!("  {token}  <-  {}  (token {at}, {weight:.2})", read[most]));
                }
                json["tokens"] = written.into();
                json["attention"] = json!(weights);
                object.insert("source_tokens".into(), read.into());
            }
            predictions.push(json);
        }
        object.insert("predictions".into(), predictions.into());
        if how.show_context {
            let mut blocks = Map::new();
            for (name, numbers) in self.context(compute, parameters, source) {
                let written: Vec<String> = numbers.iter().map(|n| format!("{n:.4}")).collect();
                text.push(format!("  {name}  {}", written.join(" ")));
                blocks.insert(name, json!(numbers));
            }
            object.insert("context".into(), blocks.into());
        }
        Prediction::new(text.join("\n"), Value::Object(object))
    }
}

fn lengths(sequences: &[&[u32]]) -> Lengths {
    Lengths::new(&sequences.iter().map(|tokens| tokens.len()).collect::<Vec<_>>())
}

/// Steps that a text is taken to have, where an initialisation asks how long to remember.
const LENGTH: usize = 20;

fn config(settings: &Settings, source: usize, target: usize) -> EncoderDecoderConfig {
    let encoder = settings.network.stack();
    EncoderDecoderConfig {
        source: settings.tokens.input(source),
        encoder,
        target_vocabulary_size: target,
        target_encoding: settings.tokens.encoding,
        decoder: recurrent_topologies::StackConfig { bidirectional: false, ..encoder },
        attention: settings.attention,
        input_feeding: settings.input_feeding,
        reverse_source: settings.reverse_source,
    }
}

impl Task for Translate {
    const NAME: &'static str = "translate";
    const OPTIONS: &'static [&'static [&'static str]] = &[
        groups::TABLE,
        groups::TOKENS,
        groups::FEEDING,
        &["max-length", "attention", "input-feeding", "reverse-source", "bidirectional"],
    ];

    type Examples = Vec<Example>;
    type Objective = EncoderDecoderObjective<f32>;
    type Report = TranslateReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:dates")),
            tokens: Some(TokenKind::Char),
            hidden_size: Some(128),
            embedding_size: Some(64),
            epochs: Some(10),
            batch_size: Some(64),
            learning_rate: Some(0.003),
            schedule: Some(ScheduleKind::Cosine),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let settings = Settings {
            tokens: options.token_settings()?,
            network: options.network(LENGTH)?,
            attention: options.attention,
            input_feeding: options.input_feeding,
            reverse_source: options.reverse_source,
            feed: options.decoder_feed()?,
            learning: options.learning()?,
        };
        config(&settings, 2, 3).build().map_err(usage)?;
        Ok(settings)
    }

    fn read(
        options: &Options,
        settings: &Settings,
        codec: Option<Codec>,
    ) -> anyhow::Result<Data<Self>> {
        let columns = columns(options);
        let (mut train, held_out) = read_parts(
            options,
            "source",
            |source, part| read(source, part, &columns),
            |pair: &Written| &pair[0],
        )?;
        let (kind, most) = (settings.tokens.tokens, settings.tokens.max_length);
        let longer = |pair: &Written| pair.iter().map(|text| kind.count(text)).max().unwrap_or(0);
        let left_out =
            keep_short((options.data_name()?, "pair"), &mut train, most, kind.plural(), longer)?;
        let codec = match codec {
            Some(codec) => codec,
            None => Codec::learn(options.data_name()?, &train, &settings.tokens)?,
        };
        let (train, held_out) = (codec.examples(train), codec.examples(held_out));
        Ok(Data { codec, train, held_out, left_out })
    }

    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<Vec<Example>> {
        let columns = columns(options);
        Ok(self.codec.examples(read_test(data, |source, part| read(source, part, &columns))?))
    }

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<EncoderDecoder> {
        settings.feed.check()?;
        let target = Boundaries::of(&codec.target).size();
        Ok(config(settings, codec.source.len(), target).build()?)
    }

    fn objective(&self) -> EncoderDecoderObjective<f32> {
        let Settings { feed, learning, .. } = &self.settings;
        EncoderDecoderObjective::new(self.model.clone(), *feed, learning.seed)
    }

    fn units(&self, examples: &Vec<Example>) -> usize {
        examples.len()
    }

    fn batch(
        &self,
        examples: &Vec<Example>,
        units: &[usize],
    ) -> Result<EncoderDecoderBatch<f32>, DataError> {
        Ok(self.pairs(units.iter().map(|&unit| &examples[unit])))
    }

    fn tape(&self, examples: &Vec<Example>) -> u128 {
        let longest =
            |length: fn(&Example) -> usize| examples.iter().map(length).max().unwrap_or(1);
        let steps = longest(|example| example.source.len()) + longest(|e| e.target.len());
        steps as u128 * self.settings.network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        Fingerprint::of([&data.train, &data.held_out], |fingerprint, part| {
            for Example { source, target, reference } in part {
                fingerprint.tokens(source);
                fingerprint.tokens(target);
                reference.bytes().for_each(|byte| fingerprint.number(u64::from(byte)));
            }
        })
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let unit = self.unit();
        let Codec { source, target, .. } = &self.codec;
        let [source, target, train, held_out] =
            [source.len(), target.len(), data.train.len(), data.held_out.len()].map(thousands);
        format!(
            "vocabularies of {source} and {target} {unit}; {train} pairs to learn from, {held_out} \
             held out"
        )
    }

    fn unit(&self) -> &'static str {
        self.settings.tokens.tokens.plural()
    }

    fn guessing(&self) -> f64 {
        (Boundaries::of(&self.codec.target).size() as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> anyhow::Result<TranslateReport> {
        let (writer, search) = (self.writer(), self.writer().greedy()?);
        let (mut objective, mut loss) = (self.objective(), Loss::default());
        let mut texts = vec![];
        for examples in examples.chunks(EVALUATION_BATCH) {
            let batch = self.pairs(examples.iter());
            loss += objective.evaluate(compute, parameters, &batch);
            let sources = (batch.sources.reading(), &batch.source_lengths);
            let stream = self.model.stream(compute, parameters.clone(), sources);
            let found = writer.write(stream, &search)?;
            texts.extend(found.iter().map(|best| best.first().map(|best| writer.text(best))));
        }
        let texts: Vec<String> = texts.into_iter().map(Option::unwrap_or_default).collect();
        let references: Vec<String> =
            examples.iter().map(|example| example.reference.clone()).collect();
        Ok(TranslateReport {
            bleu: bleu(&texts, &references),
            bleu_counts: references.iter().any(counts_in_bleu),
            exact_match: exact_match(&texts, &references),
            perplexity: loss.mean().exp(),
            loss: loss.mean(),
            examples: examples.len(),
        })
    }

    fn shuffle_tokens(&self, examples: &mut Vec<Example>, seed: u64) -> anyhow::Result<()> {
        let mut generator = Generator::new(seed, super::training::GENERATION);
        examples.iter_mut().for_each(|example| generator.shuffle(&mut example.source));
        Ok(())
    }

    fn predict(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        input: Input<'_>,
        how: &Predict,
        emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if how.show_attention && self.settings.attention.is_none() {
            return Err(usage(
                "--show-attention: the model has none; train one with --attention dot, general or \
                 additive",
            ));
        }
        let search = self.writer().search(how)?;
        input.each_line(|number, line| {
            let line = line.trim();
            require_one_text(line, &self.codec.source)?;
            let source = self.codec.source.encode_lossy(line);
            let sources = (Reading::Tokens(&source[..]), &Lengths::equal(1, source.len()));
            let stream = self.model.stream(compute, parameters.clone(), sources);
            let found = self.writer().write(stream, &search)?.into_iter().flatten();
            let found: Vec<Hypothesis> = found.collect();
            let shown = self.show((compute, &parameters), (line, &source), &found, how, &search);
            emit(shown.with_unknown(number, self.codec.source.unknown_in(line)))
        })
    }
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TranslateReport {
    /// Corpus BLEU-4 of whitespace tokens, unsmoothed, from 0 to 100.
    pub bleu: f64,
    /// Whether BLEU says anything: else it is 0 whatever the texts are, and no person needs to read it.
    #[serde(skip)]
    pub bleu_counts: bool,
    /// The share of texts that are the target to the letter.
    pub exact_match: f64,
    /// e to the loss.
    pub perplexity: f64,
    /// Nats per token of the target, its end included.
    pub loss: f64,
    /// How many texts were translated.
    pub examples: usize,
}

impl Report for TranslateReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        let mut headline = format!("exact match {}", percent(self.exact_match));
        if self.bleu_counts {
            headline += &format!(", BLEU {:.1}", self.bleu);
        }
        headline
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("exact match", percent(self.exact_match)),
            ("perplexity", format!("{:.3}", self.perplexity)),
            ("loss", format!("{:.4} nats per token", self.loss)),
            ("examples", thousands(self.examples)),
        ];
        if self.bleu_counts {
            lines.insert(0, ("BLEU", format!("{:.2}", self.bleu)));
        }
        if self.exact_match == 0.0 {
            lines.push(("remark", "not one text is the target to the letter".into()));
        }
        lines
    }
}
