//! Captions: a sentence that says what an image shows (one-to-many).
//!
//! Beside the model's share of exact captions stands that of the caption that was most frequent in
//! the training, written under every image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_topologies::{Condition, Hypothesis, ImageCaptioner, ImageCaptionerConfig};
use recurrent_training::{CaptionBatch, Feed, ImageCaptionerObjective, Loss, Objective, Targets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::examples::{
    EVALUATION_BATCH, Fingerprint, keep_short, most_frequent, percent, read_parts, read_test,
};
use super::parts::MISFIT;
use super::pictures::{
    CENTERING_IMAGES, ImageSettings, Picture, PictureCodec, drawn, read_table, take_in,
};
use super::settings::{Learning, Network, Tokens};
use super::writing::{Search, Writer, as_written, bleu, exact_match};
use super::{Data, Input, Predict, Prediction, Report, Task, TaskModel};
use crate::builtin::{self, Builtin, Part};
use crate::data::{Boundaries, DataError, Row, Source, TokenKind, Vocabulary, require_tokens};
use crate::options::groups::{FEEDING, TABLE, TOKENS};
use crate::options::{Options, ScheduleKind, usage};
use crate::run::thousands;

mod exhibits;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What turns pixels into features.
    pub image: ImageSettings,
    /// Where the image enters.
    pub condition: Condition,
    /// What a token is, and how it becomes a vector.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The decoder's layers.
    #[serde(flatten)]
    pub network: Network,
    /// What the decoder reads while it learns.
    pub feed: Feed,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// What the training captions taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    pictures: PictureCodec,
    /// The tokens, without those that begin and end a caption.
    words: Vocabulary,
    /// Tokens of the longest caption.
    longest: usize,
    /// The most frequent caption.
    usual: String,
}

/// An image and its caption.
#[derive(Clone, Debug)]
pub struct Example {
    picture: Picture,
    /// The caption's tokens and the end token.
    tokens: Vec<u32>,
    caption: String,
}

/// A model that writes captions.
pub type Caption = TaskModel<Settings, Codec, ImageCaptioner>;

/// An image with a caption, as a person wrote it.
struct Written {
    picture: Picture,
    /// The same for equal images in a file, so that none is on both sides of a split.
    key: Arc<str>,
    caption: String,
}

fn read(source: &Source, part: Part, options: &Options) -> anyhow::Result<Vec<Written>> {
    match source {
        Source::Builtin(Builtin::Captions) => {
            let written =
                |(drawing, caption)| Written { picture: drawn(&drawing), key: "".into(), caption };
            Ok(builtin::captions(builtin::SEED, part).into_iter().map(written).collect())
        }
        Source::Builtin(_) => {
            let (name, needed) = (source.to_string(), "images with captions: try builtin:captions");
            Err(DataError::WrongBuiltin { name, needed }.into())
        }
        Source::Path(_) => {
            let rows = read_table(source, &["image", "caption"], options)?;
            let written = |(picture, key, row): (Picture, Arc<str>, Row)| {
                let [_, caption] = row.cells.try_into().expect("two columns");
                Written { picture, key, caption }
            };
            Ok(rows.into_iter().map(written).collect())
        }
    }
}

impl Codec {
    fn learn(name: &str, captions: &[Written], settings: &Settings) -> anyhow::Result<Codec> {
        let Tokens { tokens, min_count, .. } = settings.tokens;
        let texts = || captions.iter().map(|written| written.caption.as_str());
        let words = Vocabulary::learn_all(tokens, texts(), min_count);
        let words = require_tokens(name, words, min_count)?;
        let longest = texts().map(|text| words.encode_lossy(text).len()).max().unwrap_or(1);
        let mut counts = BTreeMap::<&str, usize>::new();
        texts().for_each(|text| *counts.entry(text).or_default() += 1);
        let usual = as_written(tokens, most_frequent(&counts).unwrap_or_default());
        let pictures = PictureCodec::learn(captions.iter().map(|written| &written.picture));
        Ok(Codec { pictures, words, longest, usual })
    }

    /// The examples of the data that a person named so.
    fn examples(&self, name: &Path, captions: Vec<Written>) -> anyhow::Result<Vec<Example>> {
        let name = name.display().to_string();
        self.pictures.require(&name, captions.first().map(|written| &written.picture))?;
        let boundaries = Boundaries::of(&self.words);
        let example = |Written { picture, caption, .. }| {
            let mut tokens = boundaries.encode_target(&caption);
            tokens.push(boundaries.end());
            Example { picture, tokens, caption: as_written(self.words.kind(), &caption) }
        };
        Ok(captions.into_iter().map(example).collect())
    }
}

impl Caption {
    fn writer(&self) -> Writer<'_> {
        let Codec { words, longest, .. } = &self.codec;
        Writer { vocabulary: words, feed: self.settings.feed, longest: *longest }
    }

    fn batch_of<'e>(
        &self,
        examples: impl Iterator<Item = &'e Example> + Clone,
    ) -> CaptionBatch<f32> {
        let images = self.codec.pictures.batch(examples.clone().map(|example| &example.picture));
        let tokens: Vec<&[u32]> = examples.map(|example| &example.tokens[..]).collect();
        let start = Boundaries::of(&self.codec.words).start();
        CaptionBatch { images, targets: Targets::new(&tokens, start) }
    }

    /// The best captions of each image, best first.
    fn write<'p>(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        pictures: impl Iterator<Item = &'p Picture>,
        search: &Search,
    ) -> anyhow::Result<Vec<Vec<Hypothesis>>> {
        let images = self.codec.pictures.batch(pictures);
        let stream = self.model.stream(compute, parameters.clone(), images.as_ref());
        self.writer().write(stream, search)
    }
}

/// The image is no token; a caption has about as many.
const LENGTH: usize = 20;

/// The model of these settings, with so many tokens beside start and end.
fn config(settings: &Settings, pictures: &PictureCodec, words: usize) -> ImageCaptionerConfig {
    ImageCaptionerConfig {
        image: pictures.input(&settings.image, true),
        condition: settings.condition,
        vocabulary_size: words + 2,
        encoding: settings.tokens.encoding,
        stack: settings.network.stack(),
    }
}

impl Task for Caption {
    const NAME: &'static str = "caption";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[TABLE, TOKENS, FEEDING, &["max-length", "condition"]];

    type Examples = Vec<Example>;
    type Objective = ImageCaptionerObjective<f32>;
    type Report = CaptionReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:captions")),
            tokens: Some(TokenKind::Word),
            condition: Some(Condition::EveryStep),
            hidden_size: Some(128),
            epochs: Some(12),
            batch_size: Some(32),
            learning_rate: Some(0.002),
            schedule: Some(ScheduleKind::Cosine),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let settings = Settings {
            image: ImageSettings::default(),
            condition: options.condition.unwrap_or(Condition::EveryStep),
            tokens: options.token_settings()?,
            network: options.network(LENGTH)?,
            feed: options.decoder_feed()?,
            learning: options.learning()?,
        };
        config(&settings, &PictureCodec::of_features(1), 2).build().map_err(usage)?;
        Ok(settings)
    }

    fn read(
        options: &Options,
        settings: &Settings,
        codec: Option<Codec>,
    ) -> anyhow::Result<Data<Self>> {
        let read = |source: &Source, part| read(source, part, options);
        let (mut train, held_out) =
            read_parts(options, "image", read, |written: &Written| &written.key)?;
        let name = options.data_name()?;
        let (kind, most) = (settings.tokens.tokens, settings.tokens.max_length);
        let length = |written: &Written| kind.count(&written.caption);
        let left_out = keep_short((name, "caption"), &mut train, most, kind.plural(), length)?;
        let codec = match codec {
            Some(codec) => codec,
            None => Codec::learn(&name.display().to_string(), &train, settings)?,
        };
        let train = codec.examples(name, train)?;
        let held_out = codec.examples(options.valid.as_deref().unwrap_or(name), held_out)?;
        Ok(Data { codec, train, held_out, left_out })
    }

    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<Vec<Example>> {
        self.codec.examples(data, read_test(data, |source, part| read(source, part, options))?)
    }

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<ImageCaptioner> {
        settings.feed.check()?;
        ensure!(codec.pictures.fits(), MISFIT);
        Ok(config(settings, &codec.pictures, codec.words.len()).build()?)
    }

    fn prepare(
        &self,
        compute: &Compute,
        parameters: &mut Parameters<f32>,
        examples: &Vec<Example>,
    ) {
        let first = examples.iter().take(CENTERING_IMAGES).map(|example| &example.picture);
        let images = self.codec.pictures.batch(first);
        self.model.image().center(compute, parameters, images.as_ref());
    }

    fn objective(&self) -> ImageCaptionerObjective<f32> {
        let Settings { feed, learning, .. } = &self.settings;
        ImageCaptionerObjective::new(self.model.clone(), *feed, learning.seed)
    }

    fn units(&self, examples: &Vec<Example>) -> usize {
        examples.len()
    }

    fn batch(
        &self,
        examples: &Vec<Example>,
        units: &[usize],
    ) -> Result<CaptionBatch<f32>, DataError> {
        Ok(self.batch_of(units.iter().map(|&unit| &examples[unit])))
    }

    fn tape(&self, examples: &Vec<Example>) -> u128 {
        let Settings { image, network, .. } = &self.settings;
        let longest = examples.iter().map(|example| example.tokens.len()).max().unwrap_or(1);
        self.codec.pictures.tape(image) + longest as u128 * network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        Fingerprint::of([&data.train, &data.held_out], |fingerprint, part| {
            take_in(fingerprint, part.iter().map(|example| &example.picture));
            part.iter().for_each(|example| fingerprint.tokens(&example.tokens));
        })
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let Codec { pictures, words, .. } = &self.codec;
        let [size, train, held_out] =
            [words.len(), data.train.len(), data.held_out.len()].map(thousands);
        format!(
            "{}; vocabulary of {size} {}; {train} captions to learn from, {held_out} held out",
            pictures.shape(),
            words.kind().plural()
        )
    }

    fn unit(&self) -> &'static str {
        self.codec.words.kind().plural()
    }

    fn guessing(&self) -> f64 {
        ((self.codec.words.len() + 2) as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> anyhow::Result<CaptionReport> {
        let (search, mut objective) = (self.writer().greedy()?, self.objective());
        let (mut loss, mut texts) = (Loss::default(), vec![]);
        for batch in examples.chunks(EVALUATION_BATCH) {
            loss += objective.evaluate(compute, parameters, &self.batch_of(batch.iter()));
            let pictures = batch.iter().map(|example| &example.picture);
            for best in self.write(compute, parameters, pictures, &search)? {
                texts.push(best.first().map(|best| self.writer().text(best)).unwrap_or_default());
            }
        }
        let captions: Vec<String> =
            examples.iter().map(|example| example.caption.clone()).collect();
        let usual = captions.iter().filter(|&caption| *caption == self.codec.usual).count();
        Ok(CaptionReport {
            exact_match: exact_match(&texts, &captions),
            bleu: bleu(&texts, &captions),
            majority_caption_exact_match: usual as f64 / captions.len() as f64,
            loss: loss.mean(),
            examples: captions.len(),
        })
    }

    fn predict(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        input: Input<'_>,
        how: &Predict,
        emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        how.require_nothing_shown("a caption has no source text")?;
        let (writer, search) = (self.writer(), self.writer().search(how)?);
        let folder = input.folder;
        input.each_line(|_, line| {
            let picture = self.codec.pictures.look(folder, line)?;
            let pictures = std::iter::once(&picture);
            let best = self.write(compute, &parameters, pictures, &search)?.remove(0);
            let text = best.iter().map(|best| writer.line(best, how, &search));
            let text = text.collect::<Vec<_>>().join("\n");
            let captions: Vec<Value> = best.iter().map(|best| writer.json(best)).collect();
            let caption = best.first().map(|best| writer.text(best));
            let json = json!({ "image": line, "caption": caption, "captions": captions });
            emit(Prediction::new(text, json))
        })
    }
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CaptionReport {
    /// The share of captions that are right to the last token.
    pub exact_match: f64,
    /// Corpus BLEU-4 of words that blanks separate, unsmoothed, from 0 to 100.
    pub bleu: f64,
    /// The share that the most frequent caption of the training would have right.
    pub majority_caption_exact_match: f64,
    /// Nats per token, the end token included.
    pub loss: f64,
    /// How many captions were written.
    pub examples: usize,
}

impl Report for CaptionReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        format!("exact captions {}", percent(self.exact_match))
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("exact captions", percent(self.exact_match)),
            ("most frequent caption", percent(self.majority_caption_exact_match)),
            ("BLEU", format!("{:.2}", self.bleu)),
            ("loss", format!("{:.4} nats per token", self.loss)),
            ("captions", thousands(self.examples)),
        ];
        if self.exact_match <= self.majority_caption_exact_match {
            lines.push(("remark", "no better than the most frequent caption under all".into()));
        }
        lines
    }
}
