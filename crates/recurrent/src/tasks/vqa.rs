//! Questions about images (visual question answering): image and question in, one answer out
//! (many-to-one).
//!
//! Beside the model's accuracy stands that of the question alone: each question gets the answer that
//! the same words had most often in the training, an unknown one the most frequent answer of all.
//! What the model has above it, it has from looking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Error};
use recurrent_cells::Parameters;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, loss};
use recurrent_topologies::{
    Fusion, ImageAnswerer, ImageAnswererConfig, ImageAnswererTape, Lengths,
};
use recurrent_training::{AnswerBatch, ImageAnswererObjective, Labelled, Sources};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::examples::{
    EVALUATION_BATCH, Fingerprint, Guesses, accuracy, keep_short, most_frequent, percent,
    read_parts, read_test, unknown, unknown_remark,
};
use super::parts::MISFIT;
use super::pictures::{
    CENTERING_IMAGES, ImageSettings, Picture, PictureCodec, drawn, read_table, take_in,
};
use super::settings::{Learning, Network, Tokens};
use super::{Data, Input, Predict, Prediction, Ranking, Report, Task, TaskModel};
use crate::builtin::{self, Builtin, Drawing, Part};
use crate::data::{DataError, Labels, Row, Source, TokenKind, Vocabulary, require_tokens};
use crate::options::groups::{TABLE, TOKENS};
use crate::options::{FusionKind, Options, ScheduleKind, usage};
use crate::run::thousands;

mod exhibits;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What turns pixels into features.
    pub image: ImageSettings,
    /// How image and question become one vector, as long as the hidden state.
    pub fusion: Fusion,
    /// What a token of a question is, and how it becomes a vector.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The layers that read the question.
    #[serde(flatten)]
    pub network: Network,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// What the training examples taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    pictures: PictureCodec,
    /// The tokens of questions.
    words: Vocabulary,
    answers: Labels,
    /// The tokens of every question, sorted, and its most frequent answer.
    usual: Vec<(Vec<u32>, u32)>,
    /// The most frequent answer of all.
    usual_of_all: u32,
}

/// An image, a question about it, and the answer.
#[derive(Clone, Debug)]
pub struct Example {
    picture: Picture,
    question: Vec<u32>,
    /// The answer that the question alone suggests.
    usual: u32,
    /// [`loss::IGNORED`] if the answer is none of the training's.
    answer: u32,
}

/// A model that answers questions about images.
pub type Vqa = TaskModel<Settings, Codec, ImageAnswerer>;

/// An example as a person wrote it.
struct Written {
    picture: Picture,
    /// The same for equal images in a file, so that none is on both sides of a split.
    key: Arc<str>,
    question: String,
    answer: String,
}

fn read(source: &Source, part: Part, options: &Options) -> anyhow::Result<Vec<Written>> {
    match source {
        Source::Builtin(Builtin::Shapes) => {
            // Neighbours share a drawing.
            let mut before: Option<(Arc<Drawing>, Picture)> = None;
            let written = |(drawing, question, answer): (Arc<Drawing>, String, String)| {
                let shared = before.take().filter(|(last, _)| Arc::ptr_eq(last, &drawing));
                let picture = shared.map_or_else(|| drawn(&drawing), |(_, picture)| picture);
                before = Some((drawing, picture.clone()));
                Written { picture, key: "".into(), question, answer }
            };
            Ok(builtin::shapes(builtin::SEED, part).into_iter().map(written).collect())
        }
        Source::Builtin(_) => {
            let needed = "images with questions and answers: try builtin:shapes";
            Err(DataError::WrongBuiltin { name: source.to_string(), needed }.into())
        }
        Source::Path(_) => {
            let rows = read_table(source, &["image", "question", "answer"], options)?;
            let written = |(picture, key, row): (Picture, Arc<str>, Row)| {
                let [_, question, answer] = row.cells.try_into().expect("three columns");
                Written { picture, key, question, answer }
            };
            Ok(rows.into_iter().map(written).collect())
        }
    }
}

impl Codec {
    fn learn(name: &str, examples: &[Written], settings: &Settings) -> anyhow::Result<Codec> {
        let Tokens { tokens, min_count, .. } = settings.tokens;
        let questions = examples.iter().map(|written| written.question.as_str());
        let words = Vocabulary::learn_all(tokens, questions, min_count);
        let words = require_tokens(name, words, min_count)?;
        let answers = examples.iter().map(|written| written.answer.as_str());
        let labels = Labels::learn(name, answers)?;
        let mut counts: BTreeMap<Vec<u32>, BTreeMap<u32, usize>> = BTreeMap::new();
        let mut all: BTreeMap<u32, usize> = BTreeMap::new();
        for Written { question, answer, .. } in examples {
            let answer = labels.number(answer).unwrap_or_default();
            let question = words.encode_lossy(question);
            *counts.entry(question).or_default().entry(answer).or_default() += 1;
            *all.entry(answer).or_default() += 1;
        }
        let most = |counts: &_| most_frequent(counts).unwrap_or_default();
        let usual =
            counts.into_iter().map(|(question, counts)| (question, most(&counts))).collect();
        let pictures = PictureCodec::learn(examples.iter().map(|written| &written.picture));
        Ok(Codec { pictures, words, answers: labels, usual, usual_of_all: most(&all) })
    }

    /// Whether its parts belong together; a file may hold anything.
    fn check(&self) -> Result<(), &'static str> {
        let Codec { pictures, answers, usual, usual_of_all, .. } = self;
        let mut usual = usual.iter().map(|(_, answer)| answer).chain([usual_of_all]);
        match pictures.fits() && usual.all(|&answer| (answer as usize) < answers.len()) {
            true => Ok(()),
            false => Err(MISFIT),
        }
    }

    /// The examples of the data that a person named so.
    fn examples(&self, name: &Path, examples: Vec<Written>) -> anyhow::Result<Vec<Example>> {
        let name = name.display().to_string();
        self.pictures.require(&name, examples.first().map(|written| &written.picture))?;
        let answers = examples.iter().map(|written| written.answer.as_str());
        self.answers.require_any("answer", &name, answers)?;
        let example = |Written { picture, question, answer, .. }: Written| {
            let question = self.words.encode_lossy(&question);
            let usual = match self.usual.binary_search_by(|(known, _)| known.cmp(&question)) {
                Ok(at) => self.usual[at].1,
                Err(_) => self.usual_of_all,
            };
            let answer = self.answers.number(&answer).unwrap_or(loss::IGNORED);
            Example { picture, question, usual, answer }
        };
        Ok(examples.into_iter().map(example).collect())
    }
}

impl Vqa {
    fn batch_of<'e>(
        &self,
        examples: impl Iterator<Item = &'e Example> + Clone,
    ) -> AnswerBatch<f32> {
        let images = self.codec.pictures.batch(examples.clone().map(|example| &example.picture));
        let questions: Vec<&[u32]> =
            examples.clone().map(|example| &example.question[..]).collect();
        let lengths = Lengths::new(&questions.iter().map(|q| q.len()).collect::<Vec<_>>());
        let inputs = Sources::Tokens(lengths.arrange(&questions));
        let labels = examples.map(|example| example.answer).collect();
        AnswerBatch { images, questions: Labelled { inputs, lengths, labels } }
    }

    /// Calls `f` with the logits of every batch, in the order of the examples.
    fn for_each_batch(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
        mut f: impl FnMut(&[u32], Columns<'_, f32>),
    ) {
        let mut tape = ImageAnswererTape::default();
        for batch in examples.chunks(EVALUATION_BATCH) {
            let AnswerBatch { images, questions } = self.batch_of(batch.iter());
            let Labelled { inputs, lengths, labels } = &questions;
            let (images, reading) = (images.as_ref(), inputs.reading());
            let recorded =
                self.model.forward(compute, parameters, images, reading, lengths, None, &mut tape);
            f(labels, recorded.outputs());
        }
    }
}

/// Steps that a question is taken to have, where an initialisation asks how long to remember.
const LENGTH: usize = 10;

fn config(
    settings: &Settings,
    pictures: &PictureCodec,
    words: usize,
    answers: usize,
) -> ImageAnswererConfig {
    ImageAnswererConfig {
        // A product takes features as they are.
        image: pictures.input(&settings.image, false),
        question: settings.tokens.input(words),
        stack: settings.network.stack(),
        fusion: settings.fusion,
        fused_size: settings.network.stack().output_size(),
        // Only a product asks image and question at once.
        hidden_layer: (settings.fusion != Fusion::Product).then_some(settings.network.hidden_size),
        classes: answers,
    }
}

impl Task for Vqa {
    const NAME: &'static str = "vqa";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[TABLE, TOKENS, &["max-length", "bidirectional", "fusion"]];

    type Examples = Vec<Example>;
    type Objective = ImageAnswererObjective<f32>;
    type Report = VqaReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:shapes")),
            tokens: Some(TokenKind::Word),
            fusion: Some(FusionKind::Product),
            hidden_size: Some(128),
            epochs: Some(10),
            learning_rate: Some(0.003),
            schedule: Some(ScheduleKind::Cosine),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let settings = Settings {
            image: ImageSettings::default(),
            fusion: options.fusion.unwrap_or_default().fusion(),
            tokens: options.token_settings()?,
            network: options.network(LENGTH)?,
            learning: options.learning()?,
        };
        config(&settings, &PictureCodec::of_features(1), 2, 2).build().map_err(usage)?;
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
        let length = |written: &Written| kind.count(&written.question);
        let left_out = keep_short((name, "question"), &mut train, most, kind.plural(), length)?;
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

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<ImageAnswerer> {
        codec.check().map_err(Error::msg)?;
        let (words, answers) = (codec.words.len(), codec.answers.len());
        Ok(config(settings, &codec.pictures, words, answers).build()?)
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

    fn objective(&self) -> ImageAnswererObjective<f32> {
        ImageAnswererObjective::new(self.model.clone(), self.settings.learning.seed)
    }

    fn units(&self, examples: &Vec<Example>) -> usize {
        examples.len()
    }

    fn batch(
        &self,
        examples: &Vec<Example>,
        units: &[usize],
    ) -> Result<AnswerBatch<f32>, DataError> {
        Ok(self.batch_of(units.iter().map(|&unit| &examples[unit])))
    }

    fn tape(&self, examples: &Vec<Example>) -> u128 {
        let Settings { image, network, .. } = &self.settings;
        let longest = examples.iter().map(|example| example.question.len()).max().unwrap_or(1);
        self.codec.pictures.tape(image) + longest as u128 * network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        Fingerprint::of([&data.train, &data.held_out], |fingerprint, part| {
            take_in(fingerprint, part.iter().map(|example| &example.picture));
            for Example { question, answer, .. } in part {
                fingerprint.tokens(question);
                fingerprint.number(u64::from(*answer));
            }
        })
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let Codec { pictures, words, answers, .. } = &self.codec;
        let [size, answers, train, held_out] =
            [words.len(), answers.len(), data.train.len(), data.held_out.len()].map(thousands);
        format!(
            "{}; vocabulary of {size} {}, {answers} answers; {train} questions to learn from, \
             {held_out} held out",
            pictures.shape(),
            words.kind().plural()
        )
    }

    fn unit(&self) -> &'static str {
        "questions"
    }

    fn guessing(&self) -> f64 {
        (self.codec.answers.len() as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> anyhow::Result<VqaReport> {
        let mut guesses = Guesses::default();
        self.for_each_batch(compute, parameters, examples, |labels, logits| {
            guesses.add(compute, logits, labels);
        });
        let usual: Vec<u32> = examples.iter().map(|example| example.usual).collect();
        // An answer that the training never saw cannot be right.
        let answers: Vec<u32> = examples.iter().map(|example| example.answer).collect();
        let unknown_answers = unknown(&answers);
        let known = answers.len() - unknown_answers.unwrap_or_default();
        Ok(VqaReport {
            accuracy: accuracy(&guesses.predicted, &answers),
            question_only_accuracy: accuracy(&usual, &answers),
            loss: guesses.loss / known as f64,
            examples: answers.len(),
            unknown_answers,
        })
    }

    fn shuffle_tokens(&self, examples: &mut Vec<Example>, seed: u64) -> anyhow::Result<()> {
        let mut generator = Generator::new(seed, super::training::GENERATION);
        examples.iter_mut().for_each(|example| generator.shuffle(&mut example.question));
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
        how.require_top_only(Self::NAME)?;
        let folder = input.folder;
        input.each_line(|number, line| {
            let (image, question) = line
                .split_once('\t')
                .map(|(image, question)| (image.trim(), question.trim()))
                .filter(|(_, question)| !question.is_empty())
                .context("is not an image, a tab and a question")?;
            let picture = self.codec.pictures.look(folder, image)?;
            let words = self.codec.words.encode_lossy(question);
            let example = Example { picture, question: words, usual: 0, answer: loss::IGNORED };
            let mut ranking = None;
            self.for_each_batch(compute, &parameters, &[example], |_, logits| {
                ranking = Some(Ranking::new(compute, logits, &self.codec.answers, how.top));
            });
            let ranking = ranking.expect("an example has a result");
            let json = json!({
                "image": image,
                "question": question,
                "answer": ranking.best(),
                "probabilities": ranking.probabilities(),
            });
            let prediction = Prediction::new(ranking.text(), json);
            emit(prediction.with_unknown(number, self.codec.words.unknown_in(question)))
        })
    }
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VqaReport {
    /// The share of questions that are answered rightly.
    pub accuracy: f64,
    /// The same for each question's most frequent answer.
    pub question_only_accuracy: f64,
    /// Nats per question whose answer the training knew.
    pub loss: f64,
    /// How many questions were answered.
    pub examples: usize,
    /// How many questions have an answer that the training never saw, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_answers: Option<usize>,
}

impl Report for VqaReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        format!("accuracy {}", percent(self.accuracy))
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("accuracy", percent(self.accuracy)),
            ("question alone", percent(self.question_only_accuracy)),
            ("loss", format!("{:.4} nats per question", self.loss)),
            ("questions", thousands(self.examples)),
        ];
        if self.accuracy <= self.question_only_accuracy {
            lines.push(("remark", "no better than the question alone, without the image".into()));
        }
        lines.extend(self.unknown_answers.map(|count| ("remark", unknown_remark("answer", count))));
        lines
    }
}
