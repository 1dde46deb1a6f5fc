//! Tagging: a tag for every token of a sentence (many-to-many, aligned).
//!
//! Beside the model's accuracy stands that of the most frequent tag: each token has the tag that it
//! had most often in the training, an unknown one the most frequent tag of all. It knows no
//! context, so what the model has above it, it has from the sentence.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error};
use recurrent_cells::Parameters;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, loss};
use recurrent_topologies::{Lengths, ManyToMany, ManyToManyConfig, ManyToManyTape, Reading};
use recurrent_training::{ManyToManyObjective, Window};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::examples::{
    EVALUATION_BATCH, Fingerprint, Guesses, accuracy, largest, most_frequent, percent, read_parts,
    read_test, unknown, unknown_remark,
};
use super::parts::MISFIT;
use super::settings::{Learning, Network, Tokens};
use super::training::require_memory_for_steps;
use super::{Data, Input, Predict, Prediction, Report, Task, TaskModel};
use crate::builtin::{self, Builtin, Part};
use crate::data::{DataError, Labels, Source, Tagged, TokenKind, Vocabulary, require_tokens};
use crate::gradient_flow::{Chosen, LayerFlow, choose_examples, gradient_flow_of_tags};
use crate::options::{Options, usage};
use crate::run::thousands;

mod exhibits;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How a token becomes a vector.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The layers.
    #[serde(flatten)]
    pub network: Network,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// What the training sentences taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    /// The tokens.
    words: Vocabulary,
    /// The tags.
    tags: Labels,
    /// The most frequent tag of every token; of the unknown one, the most frequent tag of all.
    usual: Vec<u32>,
}

/// A sentence as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    tokens: Vec<u32>,
    /// [`loss::IGNORED`] where a tag is none of the training's.
    tags: Vec<u32>,
}

/// A model that tags sentences.
pub type Tag = TaskModel<Settings, Codec, ManyToMany>;

/// A sentence as a person wrote it.
struct Written {
    text: String,
    tokens: Vec<String>,
    tags: Vec<String>,
}

fn read(source: &Source, part: Part) -> anyhow::Result<Vec<Written>> {
    let sentences: Vec<(Vec<String>, Vec<String>)> = match source {
        Source::Builtin(Builtin::Tags) => {
            let sentences = builtin::tags(builtin::SEED, part).into_iter();
            sentences.map(|sentence| sentence.into_iter().unzip()).collect()
        }
        _ => {
            let sentences = Tagged::read(source)?.sentences.into_iter();
            sentences.map(|sentence| (sentence.tokens, sentence.tags)).collect()
        }
    };
    let written =
        |(tokens, tags): (Vec<String>, _)| Written { text: tokens.join(" "), tokens, tags };
    Ok(sentences.into_iter().map(written).collect())
}

impl Codec {
    fn learn(name: &str, sentences: &[Written], settings: &Settings) -> anyhow::Result<Codec> {
        let tokens = || sentences.iter().flat_map(|sentence| &sentence.tokens);
        let tags = || sentences.iter().flat_map(|sentence| &sentence.tags);
        let min_count = settings.tokens.min_count;
        let words = Vocabulary::of_words(tokens().map(String::as_str), min_count);
        let words = require_tokens(name, words, min_count)?;
        let labels = Labels::learn(name, tags().map(String::as_str))?;
        let mut counts: HashMap<u32, BTreeMap<u32, usize>> = HashMap::new();
        let mut all: BTreeMap<u32, usize> = BTreeMap::new();
        for (token, tag) in tokens().zip(tags()) {
            let tag = labels.number(tag).unwrap_or_default();
            *all.entry(tag).or_default() += 1;
            if let Some(word) = words.number(token) {
                *counts.entry(word).or_default().entry(tag).or_default() += 1;
            }
        }
        let of_all = most_frequent(&all).unwrap_or_default();
        let unknown = words.unknown();
        let usual = (0..words.len() as u32)
            .map(|word| match counts.get(&word) {
                Some(own) if Some(word) != unknown => most_frequent(own).unwrap_or(of_all),
                _ => of_all,
            })
            .collect();
        Ok(Codec { words, tags: labels, usual })
    }

    /// Whether its parts belong together; a file may hold anything.
    fn check(&self) -> Result<(), &'static str> {
        let Codec { words, tags, usual } = self;
        let fits = words.kind() == TokenKind::Word
            && usual.len() == words.len()
            && usual.iter().all(|&tag| (tag as usize) < tags.len());
        if fits { Ok(()) } else { Err(MISFIT) }
    }

    fn token(&self, token: &str) -> u32 {
        self.words.number(token).or(self.words.unknown()).unwrap_or_default()
    }

    /// The examples of the data that a person named so.
    fn examples(&self, name: &Path, sentences: Vec<Written>) -> anyhow::Result<Vec<Example>> {
        let tags = sentences.iter().flat_map(|sentence| &sentence.tags);
        self.tags.require_any("tag", &name.display().to_string(), tags.map(String::as_str))?;
        let tag = |tag: &String| self.tags.number(tag).unwrap_or(loss::IGNORED);
        let example = |Written { tokens, tags, .. }: Written| Example {
            tokens: tokens.iter().map(|token| self.token(token)).collect(),
            tags: tags.iter().map(tag).collect(),
        };
        Ok(sentences.into_iter().map(example).collect())
    }
}

impl Tag {
    fn window<'e>(&self, examples: impl Iterator<Item = &'e Example>) -> Window {
        let (tokens, tags): (Vec<&[u32]>, Vec<&[u32]>) =
            examples.map(|example| (&example.tokens[..], &example.tags[..])).unzip();
        let lengths = Lengths::new(&tokens.iter().map(|tokens| tokens.len()).collect::<Vec<_>>());
        Window {
            tokens: lengths.arrange(&tokens),
            targets: lengths.arrange(&tags),
            lengths,
            carries_state: false,
            carry_after: None,
        }
    }

    /// Calls `f` with the logits of every window, the lengths and the first sentence in it.
    fn for_each_batch(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
        mut f: impl FnMut(&Window, recurrent_kernels::Columns<'_, f32>),
    ) {
        let mut tape = ManyToManyTape::default();
        for batch in examples.chunks(EVALUATION_BATCH) {
            let window = self.window(batch.iter());
            let state = self.model.zero_state(batch.len());
            let reading = Reading::Tokens(&window.tokens);
            let lengths = &window.lengths;
            let recorded =
                self.model.forward(compute, parameters, reading, &state, lengths, None, &mut tape);
            f(&window, recorded.logits());
        }
    }
}

impl Task for Tag {
    const NAME: &'static str = "tag";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[&["min-count", "embedding-size", "one-hot", "bidirectional"]];

    type Examples = Vec<Example>;
    type Objective = ManyToManyObjective<f32>;
    type Report = TagReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:tags")),
            hidden_size: Some(128),
            epochs: Some(10),
            batch_size: Some(32),
            learning_rate: Some(0.002),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let mut tokens = options.token_settings()?;
        // What is a token is written in the data.
        tokens.tokens = TokenKind::Word;
        let network = options.network(LENGTH)?;
        let settings = Settings { tokens, network, learning: options.learning()? };
        config(&settings, 2, 2).build().map_err(usage)?;
        Ok(settings)
    }

    fn read(
        options: &Options,
        settings: &Settings,
        codec: Option<Codec>,
    ) -> anyhow::Result<Data<Self>> {
        let (train, held_out) =
            read_parts(options, "sentence", read, |sentence: &Written| &sentence.text)?;
        let name = options.data_name()?;
        let codec = match codec {
            Some(codec) => codec,
            None => Codec::learn(&name.display().to_string(), &train, settings)?,
        };
        let train = codec.examples(name, train)?;
        let held_out = codec.examples(options.valid.as_deref().unwrap_or(name), held_out)?;
        Ok(Data { codec, train, held_out, left_out: None })
    }

    fn read_held_out(&self, data: &Path, _: &Options) -> anyhow::Result<Vec<Example>> {
        self.codec.examples(data, read_test(data, read)?)
    }

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<ManyToMany> {
        codec.check().map_err(Error::msg)?;
        Ok(config(settings, codec.words.len(), codec.tags.len()).build()?)
    }

    fn objective(&self) -> ManyToManyObjective<f32> {
        ManyToManyObjective::without_carry(self.model.clone(), self.settings.learning.seed)
    }

    fn units(&self, examples: &Vec<Example>) -> usize {
        examples.len()
    }

    fn batch(&self, examples: &Vec<Example>, units: &[usize]) -> Result<Window, DataError> {
        Ok(self.window(units.iter().map(|&unit| &examples[unit])))
    }

    fn tape(&self, examples: &Vec<Example>) -> u128 {
        let longest = examples.iter().map(|example| example.tokens.len()).max().unwrap_or(1);
        longest as u128 * self.settings.network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        Fingerprint::of([&data.train, &data.held_out], |fingerprint, part| {
            for example in part {
                fingerprint.tokens(&example.tokens);
                fingerprint.tokens(&example.tags);
            }
        })
    }

    fn gradient_flow(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
        lag: Option<usize>,
    ) -> anyhow::Result<Vec<LayerFlow>> {
        // The loss of a tag that the training never saw is none.
        let known = |tag: Option<&u32>| tag.is_some_and(|&tag| tag != loss::IGNORED);
        let ends = |example: &Example| known(example.tags.first()) && known(example.tags.last());
        let examples: Vec<&Example> = examples.iter().filter(|example| ends(example)).collect();
        let lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
        let Chosen { examples: chosen, lag } =
            choose_examples(&lengths, lag).context("--lag, or the sentences that are held out")?;
        let sentence = |&at: &usize| (&examples[at].tokens[..], &examples[at].tags[..]);
        let sentences: Vec<(&[u32], &[u32])> = chosen.iter().map(sentence).collect();
        let steps = sentences.iter().map(|(tokens, _)| tokens.len()).sum();
        require_memory_for_steps(self, steps, true, "--lag").map_err(anyhow::Error::msg)?;
        Ok(gradient_flow_of_tags(&self.model, compute, parameters, &sentences, lag))
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let [words, tags, train, held_out] =
            [self.codec.words.len(), self.codec.tags.len(), data.train.len(), data.held_out.len()]
                .map(thousands);
        format!(
            "vocabulary of {words} words, {tags} tags; {train} sentences to learn from, {held_out} \
             held out"
        )
    }

    fn unit(&self) -> &'static str {
        "words"
    }

    fn guessing(&self) -> f64 {
        (self.codec.tags.len() as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> anyhow::Result<TagReport> {
        let (mut guesses, mut usual, mut true_ones) = (Guesses::default(), vec![], vec![]);
        self.for_each_batch(compute, parameters, examples, |window, logits| {
            guesses.add(compute, logits, &window.targets);
            usual.extend(window.tokens.iter().map(|&token| self.codec.usual[token as usize]));
            true_ones.extend_from_slice(&window.targets);
        });
        // A tag that the training never saw cannot be right.
        let unknown_tags = unknown(&true_ones);
        let known = true_ones.len() - unknown_tags.unwrap_or_default();
        Ok(TagReport {
            accuracy: accuracy(&guesses.predicted, &true_ones),
            most_frequent_tag_accuracy: accuracy(&usual, &true_ones),
            loss: guesses.loss / known as f64,
            tokens: true_ones.len(),
            span_f1: self.span_f1(compute, parameters, examples),
            unknown_tags,
        })
    }

    fn shuffle_tokens(&self, examples: &mut Vec<Example>, seed: u64) -> anyhow::Result<()> {
        let mut generator = Generator::new(seed, super::training::GENERATION);
        for Example { tokens, tags } in examples {
            let mut pairs: Vec<(u32, u32)> =
                tokens.iter().copied().zip(tags.iter().copied()).collect();
            generator.shuffle(&mut pairs);
            (*tokens, *tags) = pairs.into_iter().unzip();
        }
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
        how.require_none(Self::NAME)?;
        input.each_line(|number, line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let tokens = words.iter().map(|word| self.codec.token(word)).collect();
            let example = Example { tokens, tags: vec![loss::IGNORED; words.len()] };
            let mut tags = vec![];
            self.for_each_batch(compute, &parameters, &[example], |_, logits| {
                let columns = 0..logits.columns();
                tags.extend(columns.map(|at| self.codec.tags.name(largest(logits.column(at)))));
            });
            let pairs: Vec<String> =
                words.iter().zip(&tags).map(|(word, tag)| format!("{word}/{tag}")).collect();
            let json = json!({ "tokens": words, "tags": tags });
            let unknown =
                words.iter().copied().filter(|word| self.codec.words.number(word).is_none());
            emit(Prediction::new(pairs.join(" "), json).with_unknown(number, unknown))
        })
    }
}

/// Steps that a sentence is taken to have, where an initialisation asks how long to remember.
const LENGTH: usize = 20;

fn config(settings: &Settings, words: usize, tags: usize) -> ManyToManyConfig {
    let (input, stack) = (settings.tokens.input(words), settings.network.stack());
    ManyToManyConfig { input, stack, output_size: tags }
}

impl Tag {
    /// F1 of whole spans, where tags are those of spans: `O`, `B-...`, `I-...`. Neighbours with
    /// tags that the training never saw are a span that is missed.
    fn span_f1(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
    ) -> Option<f64> {
        let is_span = |tag: &String| tag == "O" || tag.starts_with("B-") || tag.starts_with("I-");
        if !self.codec.tags.names().iter().all(is_span) {
            return None;
        }
        let (mut right, mut both) = (0, 0);
        let name =
            |tag: u32| if tag == loss::IGNORED { UNKNOWN } else { self.codec.tags.name(tag) };
        self.for_each_batch(compute, parameters, examples, |window, logits| {
            for sequence in 0..window.lengths.batch() {
                let columns: Vec<usize> = (0..window.lengths.length(sequence))
                    .map(|t| window.lengths.column(sequence, t))
                    .collect();
                let tags = |of: &dyn Fn(usize) -> u32| -> Vec<&str> {
                    columns.iter().map(|&column| name(of(column))).collect()
                };
                let predicted = spans(&tags(&|column| largest(logits.column(column))));
                let true_ones = spans(&tags(&|column| window.targets[column]));
                right += predicted.iter().filter(|span| true_ones.contains(span)).count();
                both += predicted.len() + true_ones.len();
            }
        });
        Some(if both == 0 { 1.0 } else { 2.0 * right as f64 / both as f64 })
    }
}

/// In the place of a tag that the training never saw: no tag has a line end.
const UNKNOWN: &str = "I-\n";

/// The spans of a sentence: kind, first token, token after the last. An `I-` of another kind than
/// the span before begins one of its own, as in CoNLL's evaluation.
fn spans<'t>(tags: &[&'t str]) -> Vec<(&'t str, usize, usize)> {
    let mut spans: Vec<(&str, usize, usize)> = vec![];
    for (at, tag) in tags.iter().enumerate() {
        let Some((begin, kind)) = tag.split_once('-') else { continue };
        match spans.last_mut() {
            Some(last) if begin == "I" && last.0 == kind && last.2 == at => last.2 = at + 1,
            _ => spans.push((kind, at, at + 1)),
        }
    }
    spans
}

/// The figures that an evaluation reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TagReport {
    /// The share of tokens with the right tag.
    pub accuracy: f64,
    /// The same for each token's most frequent tag.
    pub most_frequent_tag_accuracy: f64,
    /// Nats per token whose tag the training knew.
    pub loss: f64,
    /// How many tokens were tagged.
    pub tokens: usize,
    /// F1 of whole spans, where tags are of the form `B-...`, `I-...`, `O`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_f1: Option<f64>,
    /// How many tokens have a tag that the training never saw, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_tags: Option<usize>,
}

impl Report for TagReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        format!("accuracy {}", percent(self.accuracy))
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("accuracy", percent(self.accuracy)),
            ("most frequent tag", percent(self.most_frequent_tag_accuracy)),
        ];
        lines.extend(self.span_f1.map(|f1| ("span F1", percent(f1))));
        lines.push(("loss", format!("{:.4} nats per token", self.loss)));
        lines.push(("tokens", thousands(self.tokens)));
        if self.accuracy <= self.most_frequent_tag_accuracy {
            lines.push(("remark", "no better than the most frequent tag of each token".into()));
        }
        lines.extend(self.unknown_tags.map(|count| ("remark", unknown_remark("tag", count))));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::spans;

    #[test]
    fn spans_begin_and_end_as_in_conll() {
        let tags = ["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER", "I-PER"];
        let expected = [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 5), ("PER", 5, 7)];
        assert_eq!(spans(&tags), expected);
    }
}
