//! Conditional text: from a label to a text of its kind (one-to-many).
//!
//! The label is a vector with 1 at its place and 0 elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{Condition, DecoderStream, OneToMany, OneToManyConfig};
use recurrent_training::{Feed, Loss, Objective, OneToManyBatch, OneToManyObjective, Targets};
use serde::{Deserialize, Serialize};

use super::examples::{EVALUATION_BATCH, Fingerprint, columns, keep_short, read_parts, read_test};
use super::settings::{Learning, Network, Tokens};
use super::writing::Writer;
use super::{Data, Generate, Input, Predict, Prediction, Report, Task, TaskModel};
use crate::builtin::{self, Builtin, Part};
use crate::data::{
    Boundaries, Columns, DataError, Labels, Row, Source, Table, TokenKind, Vocabulary,
    require_tokens,
};
use crate::options::{Options, ScheduleKind, groups, usage};
use crate::run::thousands;

mod exhibits;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What a token is, and how it becomes a vector.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The layers.
    #[serde(flatten)]
    pub network: Network,
    /// Where the label enters.
    pub condition: Condition,
    /// What the decoder reads while it learns.
    pub feed: Feed,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// What the training texts taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    /// The tokens, without start and end.
    tokens: Vocabulary,
    /// The labels.
    labels: Labels,
    /// Tokens of the longest text, without the end.
    longest: usize,
}

/// A text as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    label: u32,
    /// With the end token.
    text: Vec<u32>,
}

/// A model that writes texts of a kind.
pub type ConditionalText = TaskModel<Settings, Codec, OneToMany>;

/// A text and its label, as a person wrote them.
struct Written {
    data: Arc<str>,
    line: usize,
    label: String,
    text: String,
}

fn read(source: &Source, part: Part, columns: &Columns) -> anyhow::Result<Vec<Written>> {
    let from_table = |table: Table, [label, text]: [usize; 2]| -> Vec<Written> {
        let written = |mut row: Row| Written {
            data: row.name,
            line: row.line,
            label: std::mem::take(&mut row.cells[label]),
            text: std::mem::take(&mut row.cells[text]),
        };
        table.rows.into_iter().map(written).collect()
    };
    Ok(match source {
        Source::Builtin(Builtin::Labels) => builtin::labels(builtin::SEED, part)
            .into_iter()
            .enumerate()
            .map(|(index, [label, text])| Written {
                data: source.to_string().into(),
                line: index + 1,
                label,
                text,
            })
            .collect(),
        Source::Builtin(_) => {
            let needed = "texts with labels; there is builtin:labels";
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed }.into());
        }
        Source::Path(path) if path.is_dir() => {
            from_table(Table::read_labelled(source, columns)?, [1, 0])
        }
        Source::Path(_) => from_table(Table::read(source, &["label", "text"], columns)?, [0, 1]),
    })
}

impl Codec {
    fn learn(name: &str, texts: &[Written], tokens: &Tokens) -> anyhow::Result<Codec> {
        let labels = Labels::learn(name, texts.iter().map(|written| written.label.as_str()))?;
        let all = || texts.iter().map(|written| written.text.as_str());
        let Tokens { tokens: kind, min_count, .. } = *tokens;
        let tokens = Vocabulary::learn_all(kind, all(), min_count);
        let tokens = require_tokens(name, tokens, min_count)?;
        let longest = all().map(|text| tokens.encode_lossy(text).len()).max().unwrap_or(0);
        Ok(Codec { tokens, labels, longest })
    }

    fn examples(&self, texts: Vec<Written>) -> anyhow::Result<Vec<Example>> {
        let boundaries = Boundaries::of(&self.tokens);
        let example = |Written { data, line, label, text }: Written| {
            let mut text = boundaries.encode_target(&text);
            text.push(boundaries.end());
            Ok(Example { label: self.labels.require(&label, &data, line)?, text })
        };
        texts.into_iter().map(example).collect()
    }

    /// The number of a label that a person typed.
    fn label(&self, label: &str) -> anyhow::Result<u32> {
        self.labels.number(label).ok_or_else(|| {
            usage(format!("{label:?} is no label of this model; there are: {}", self.known()))
        })
    }

    fn known(&self) -> String {
        self.labels.names().join(", ")
    }
}

impl ConditionalText {
    fn writer(&self) -> Writer<'_> {
        let Codec { tokens, longest, .. } = &self.codec;
        Writer { vocabulary: tokens, feed: self.settings.feed, longest: *longest }
    }

    /// A column for each label, with 1 at its place.
    fn condition(&self, labels: &[u32]) -> Matrix<f32> {
        let mut condition = Matrix::zeros(self.codec.labels.len(), labels.len());
        for (column, &label) in labels.iter().enumerate() {
            condition.as_mut().column(column)[label as usize] = 1.0;
        }
        condition
    }

    fn texts<'e>(&self, examples: impl Iterator<Item = &'e Example>) -> OneToManyBatch<f32> {
        let (labels, texts): (Vec<u32>, Vec<&[u32]>) =
            examples.map(|example| (example.label, &example.text[..])).unzip();
        let start = Boundaries::of(&self.codec.tokens).start();
        OneToManyBatch { condition: self.condition(&labels), targets: Targets::new(&texts, start) }
    }

    /// The model as it writes `count` texts of a label side by side.
    fn stream(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        label: u32,
        count: usize,
    ) -> DecoderStream<f32> {
        let condition = self.condition(&vec![label; count]);
        self.model.stream(compute, parameters, condition.as_ref())
    }
}

/// Steps that a text is taken to have, where an initialisation asks how long to remember.
const LENGTH: usize = 20;

fn config(settings: &Settings, labels: usize, tokens: usize) -> OneToManyConfig {
    OneToManyConfig {
        condition_size: labels,
        condition: settings.condition,
        vocabulary_size: tokens,
        encoding: settings.tokens.encoding,
        stack: settings.network.stack(),
    }
}

impl Task for ConditionalText {
    const NAME: &'static str = "conditional-text";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[groups::TABLE, groups::TOKENS, groups::FEEDING, &["max-length", "condition"]];

    type Examples = Vec<Example>;
    type Objective = OneToManyObjective<f32>;
    type Report = ConditionalTextReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:labels")),
            tokens: Some(TokenKind::Char),
            hidden_size: Some(128),
            embedding_size: Some(32),
            condition: Some(Condition::EveryStep),
            epochs: Some(10),
            batch_size: Some(32),
            learning_rate: Some(0.003),
            schedule: Some(ScheduleKind::Cosine),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let settings = Settings {
            tokens: options.token_settings()?,
            network: options.network(LENGTH)?,
            condition: options.condition.unwrap_or(Condition::EveryStep),
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
        let (mut train, mut held_out) = read_parts(
            options,
            "text",
            |source, part| read(source, part, &columns),
            |written: &Written| &written.text,
        )?;
        let (kind, most) = (settings.tokens.tokens, settings.tokens.max_length);
        let length = |written: &Written| kind.count(&written.text);
        let left_out =
            keep_short((options.data_name()?, "text"), &mut train, most, kind.plural(), length)?;
        let name = options.data_name()?.display().to_string();
        let codec = match codec {
            Some(codec) => codec,
            None => Codec::learn(&name, &train, &settings.tokens)?,
        };
        let valid = match &options.valid {
            Some(valid) => valid.display().to_string(),
            None => {
                // Nothing can be asked of a label whose every text was held out, or was too long.
                held_out.retain(|written| codec.labels.number(&written.label).is_some());
                name.clone()
            }
        };
        let train = codec.examples(train)?;
        let held_out = codec.examples(held_out)?;
        if held_out.is_empty() {
            return Err(
                DataError::NoExamples { name: format!("{valid}, the part held out") }.into()
            );
        }
        Ok(Data { codec, train, held_out, left_out })
    }

    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<Vec<Example>> {
        let columns = columns(options);
        let texts = read_test(data, |source, part| read(source, part, &columns))?;
        self.codec.examples(texts)
    }

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<OneToMany> {
        settings.feed.check()?;
        let tokens = Boundaries::of(&codec.tokens).size();
        Ok(config(settings, codec.labels.len(), tokens).build()?)
    }

    fn objective(&self) -> OneToManyObjective<f32> {
        let Settings { feed, learning, .. } = &self.settings;
        OneToManyObjective::new(self.model.clone(), *feed, learning.seed)
    }

    fn units(&self, examples: &Vec<Example>) -> usize {
        examples.len()
    }

    fn batch(
        &self,
        examples: &Vec<Example>,
        units: &[usize],
    ) -> Result<OneToManyBatch<f32>, DataError> {
        Ok(self.texts(units.iter().map(|&unit| &examples[unit])))
    }

    fn tape(&self, examples: &Vec<Example>) -> u128 {
        let longest = examples.iter().map(|example| example.text.len()).max().unwrap_or(1);
        longest as u128 * self.settings.network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        Fingerprint::of([&data.train, &data.held_out], |fingerprint, part| {
            for Example { label, text } in part {
                fingerprint.number(u64::from(*label));
                fingerprint.tokens(text);
            }
        })
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let Codec { tokens, labels, .. } = &self.codec;
        let [tokens, labels, train, held_out] =
            [tokens.len(), labels.len(), data.train.len(), data.held_out.len()].map(thousands);
        let unit = self.unit();
        format!(
            "vocabulary of {tokens} {unit}, {labels} labels; {train} texts to learn from, {held_out} \
             held out"
        )
    }

    fn unit(&self) -> &'static str {
        self.settings.tokens.tokens.plural()
    }

    fn guessing(&self) -> f64 {
        (Boundaries::of(&self.codec.tokens).size() as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> anyhow::Result<ConditionalTextReport> {
        let (mut objective, mut loss) = (self.objective(), Loss::default());
        for examples in examples.chunks(EVALUATION_BATCH) {
            loss += objective.evaluate(compute, parameters, &self.texts(examples.iter()));
        }
        let mean = loss.mean();
        Ok(ConditionalTextReport { loss: mean, perplexity: mean.exp(), examples: examples.len() })
    }

    fn predict(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        input: Input<'_>,
        how: &Predict,
        emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        how.require_nothing_shown("this model reads no source")?;
        let (writer, search) = (self.writer(), self.writer().search(how)?);
        input.each_line(|_, line| {
            let label = self.codec.label(line.trim())?;
            let stream = self.stream(compute, parameters.clone(), label, 1);
            let found = writer.write(stream, &search)?.into_iter().flatten();
            emit(writer.results(("label", line.trim()), &found.collect::<Vec<_>>(), how, &search))
        })
    }

    fn generate(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        how: &Generate,
        emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(label) = &how.label else {
            let known = self.codec.known();
            return Err(usage(format!("--label: say what to write about; there are: {known}")));
        };
        let number = self.codec.label(label)?;
        let stream = |count| self.stream(compute, parameters, number, count);
        let texts = self.writer().generate(compute, how, stream)?;
        let numbered = texts.iter().enumerate();
        numbered.map(|(k, text)| self.writer().prediction(k + 1, text)).try_for_each(emit)
    }
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ConditionalTextReport {
    /// Nats per token, a text's end included.
    pub loss: f64,
    /// e to the loss.
    pub perplexity: f64,
    /// How many texts were read.
    pub examples: usize,
}

impl Report for ConditionalTextReport {
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
            ("examples", thousands(self.examples)),
        ]
    }
}
