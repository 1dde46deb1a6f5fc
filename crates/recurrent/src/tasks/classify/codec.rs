//! What the training part teaches before training, and examples as numbers.

use std::sync::Arc;

use anyhow::anyhow;
use recurrent_kernels::Matrix;
use recurrent_topologies::{InputConfig, Lengths, TokenEncoding};
use recurrent_training::{Labelled, Sources};
use serde::{Deserialize, Serialize};

use super::bag_of_words::BagOfWords;
use super::written::{Kind, Written};
use crate::data::{Labels, TokenKind, Vocabulary, require_tokens, source, vectors};
use crate::options::Options;
use crate::tasks::parts::MISFIT;
use crate::tasks::settings::Tokens;

/// What the training part taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    pub(super) labels: Labels,
    /// The most frequent label.
    pub(super) majority: u32,
    pub(super) steps: StepCodec,
}

/// What a step of an example is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum StepCodec {
    /// A token of a text.
    Tokens {
        vocabulary: Vocabulary,
        bag_of_words: BagOfWords,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vectors: Option<WordVectors>,
    },
    /// A row of numbers.
    Rows(Scale),
}

/// Word vectors that the embedding begins from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordVectors {
    /// How many numbers a vector has, and so an embedding.
    pub(super) size: usize,
    /// How many words of the vocabulary have one.
    pub(super) words: usize,
    /// The vectors, each with its token. Only a training that begins needs them.
    #[serde(skip)]
    pub(super) found: Arc<Vec<(u32, Vec<f32>)>>,
}

/// What makes numbers of every size alike: mean 0 and variance 1 over the training's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    features: Vec<String>,
    mean: Vec<f64>,
    /// 1 for a feature that never changes.
    deviation: Vec<f64>,
}

/// A sequence with a label, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub(super) steps: Steps,
    pub(super) label: u32,
}

/// What is read, step after step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Steps {
    Tokens(Vec<u32>),
    Rows(Vec<Vec<f32>>),
}

impl Codec {
    /// Learns from the training part. Labels of the part that was held out from the same file are
    /// known too: `held_out` gives them.
    pub(super) fn learn<'a>(
        options: &Options,
        settings: &Tokens,
        kind: Kind,
        train: &'a [Written],
        held_out: impl Iterator<Item = &'a Written>,
    ) -> anyhow::Result<Codec> {
        let name = options.data_name()?.display().to_string();
        let all = train.iter().chain(held_out).map(|example| &*example.label);
        let labels = Labels::learn(&name, all)?;
        let number = |label: &str| labels.number(label).unwrap_or_default();
        let mut counts = vec![0usize; labels.len()];
        train.iter().for_each(|example| counts[number(&example.label) as usize] += 1);
        // The first of equally frequent ones.
        let majority = (0..counts.len()).max_by_key(|&label| (counts[label], usize::MAX - label));
        let majority = majority.unwrap_or_default() as u32;
        if kind == Kind::Series {
            return Ok(Codec { majority, steps: StepCodec::Rows(Scale::learn(train)), labels });
        }
        let texts = || train.iter().map(|example| &*example.text);
        let vocabulary = Vocabulary::learn_all(settings.tokens, texts(), settings.min_count);
        let vocabulary = require_tokens(&name, vocabulary, settings.min_count)?;
        let vectors = match &options.embeddings {
            None => None,
            Some(file) => {
                let vectors = vectors::read_vectors(&source::open(file)?, &vocabulary)?;
                let (size, words) = (vectors.size, vectors.found.len());
                Some(WordVectors { size, words, found: Arc::new(vectors.found) })
            }
        };
        let tokens: Vec<Vec<u32>> = texts().map(|text| vocabulary.encode_lossy(text)).collect();
        let examples = tokens.iter().map(Vec::as_slice);
        let examples = examples.zip(train.iter().map(|example| number(&example.label)));
        let bag_of_words = BagOfWords::learn(examples, vocabulary.len(), labels.len());
        let steps = StepCodec::Tokens { vocabulary, bag_of_words, vectors };
        Ok(Codec { labels, majority, steps })
    }

    /// Which data can be read.
    pub(super) fn kind(&self) -> Kind {
        match self.steps {
            StepCodec::Tokens { .. } => Kind::Text,
            StepCodec::Rows(_) => Kind::Series,
        }
    }

    /// What the model reads, where a token becomes a vector by `encoding`. Word vectors say how long
    /// an embedding is.
    pub(super) fn input(&self, encoding: TokenEncoding) -> InputConfig {
        match &self.steps {
            StepCodec::Rows(scale) => InputConfig::Vectors { size: scale.features.len() },
            StepCodec::Tokens { vocabulary, vectors, .. } => InputConfig::Tokens {
                vocabulary_size: vocabulary.len(),
                encoding: match vectors {
                    Some(vectors) => TokenEncoding::Embedding(vectors.size),
                    None => encoding,
                },
            },
        }
    }

    /// Examples as numbers.
    pub(super) fn examples(&self, written: &[Written]) -> anyhow::Result<Vec<Example>> {
        written.iter().map(|written| self.example(written)).collect()
    }

    fn example(&self, written: &Written) -> anyhow::Result<Example> {
        let label = self.labels.require(&written.label, &written.data, written.line)?;
        let steps = match &self.steps {
            StepCodec::Tokens { vocabulary, .. } => {
                Steps::Tokens(vocabulary.encode_lossy(&written.text))
            }
            StepCodec::Rows(scale) => Steps::Rows(scale.rows(written)?),
        };
        Ok(Example { steps, label })
    }

    /// Whether its parts belong together; a file may hold anything.
    pub(super) fn check(&self) -> Result<(), String> {
        let labels = self.labels.len();
        let fits = match &self.steps {
            StepCodec::Tokens { vocabulary, bag_of_words, vectors } => {
                let words = vocabulary.kind() == TokenKind::Word;
                bag_of_words.fits(vocabulary.len(), labels) && (words || vectors.is_none())
            }
            StepCodec::Rows(scale) => scale.fits(),
        };
        if fits && (self.majority as usize) < labels {
            return Ok(());
        }
        Err(MISFIT.into())
    }
}

impl Scale {
    fn learn(train: &[Written]) -> Scale {
        let features: Vec<String> =
            train.first().map(|example| example.features.to_vec()).unwrap_or_default();
        let width = features.len();
        let rows = || train.iter().flat_map(|example| example.values.chunks_exact(width));
        let count = rows().count() as f64;
        let mean_of = |of: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            let mut sums = vec![0.0; width];
            for row in rows() {
                row.iter().enumerate().for_each(|(at, &value)| sums[at] += of(at, value) / count);
            }
            sums
        };
        let mean = mean_of(&|_, value| value);
        let variance = mean_of(&|at, value| (value - mean[at]) * (value - mean[at]));
        // Rounding leaves a constant feature some deviation; its numbers are equal all the same.
        let first = rows().next().unwrap_or_default();
        let constant = |at: usize| rows().all(|row| row[at] == first[at]);
        let deviation = variance.into_iter().map(f64::sqrt).enumerate().map(|(at, deviation)| {
            let usable = deviation > 0.0 && deviation.is_finite() && !constant(at);
            if usable { deviation } else { 1.0 }
        });
        Scale { features, deviation: deviation.collect(), mean }
    }

    fn fits(&self) -> bool {
        let Scale { features, mean, deviation } = self;
        let width = features.len();
        width > 0
            && (mean.len(), deviation.len()) == (width, width)
            && mean.iter().all(|mean| mean.is_finite())
            && deviation.iter().all(|&deviation| deviation > 0.0 && deviation.is_finite())
    }

    fn rows(&self, written: &Written) -> anyhow::Result<Vec<Vec<f32>>> {
        if *written.features != *self.features {
            return Err(anyhow!(
                "{}: its features are called {}, but the model was trained with {}; pick them with \
                 --columns, behind the series and the label",
                written.data,
                written.features.join(", "),
                self.features.join(", ")
            ));
        }
        Ok(written.values.chunks_exact(self.features.len()).map(|row| self.row(row)).collect())
    }

    /// A series in a line: blanks between its rows, commas between the numbers of a row.
    pub(super) fn of_line(&self, line: &str) -> anyhow::Result<Vec<Vec<f32>>> {
        let finite = |number: &str| number.parse().ok().filter(|value: &f64| value.is_finite());
        let rows = line.split_whitespace().enumerate().map(|(k, row)| {
            let values = row.split(',').map(finite).collect::<Option<Vec<f64>>>();
            match values.filter(|values| values.len() == self.features.len()) {
                Some(values) => Ok(self.row(&values)),
                None => Err(anyhow!(
                    "row {} is {row:?}, and not the finite numbers {} with commas between them; a \
                     series is a line, with blanks between its rows",
                    k + 1,
                    self.features.join(",")
                )),
            }
        });
        rows.collect()
    }

    fn row(&self, row: &[f64]) -> Vec<f32> {
        let of = row.iter().zip(&self.mean).zip(&self.deviation);
        of.map(|((&value, mean), deviation)| ((value - mean) / deviation) as f32).collect()
    }
}

impl Steps {
    pub(super) fn count(&self) -> usize {
        match self {
            Steps::Tokens(tokens) => tokens.len(),
            Steps::Rows(rows) => rows.len(),
        }
    }
}

/// Examples side by side. They are all of one kind, as those of a codec are.
pub(super) fn batch<'e>(examples: impl Iterator<Item = &'e Example> + Clone) -> Labelled<f32> {
    let counts: Vec<usize> = examples.clone().map(|example| example.steps.count()).collect();
    let lengths = Lengths::new(&counts);
    let (mut tokens, mut rows) = (vec![], vec![]);
    for example in examples.clone() {
        match &example.steps {
            Steps::Tokens(own) => tokens.push(own.as_slice()),
            Steps::Rows(own) => rows.push(own.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        }
    }
    let inputs = if rows.is_empty() {
        Sources::Tokens(lengths.arrange(&tokens))
    } else {
        let columns = lengths.arrange(&rows);
        let (width, count) = (columns[0].len(), columns.len());
        Sources::Vectors(Matrix::from_columns(columns.concat(), width, count))
    };
    Labelled { inputs, lengths, labels: examples.map(|example| example.label).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_never_changes_is_constant_whatever_its_mean_rounds_to() {
        let written = Written {
            data: "d".into(),
            line: 1,
            label: "x".to_owned(),
            text: "a".to_owned(),
            features: ["fixed".to_owned(), "other".to_owned()].into(),
            values: (0..450).flat_map(|row| [0.1, f64::from(row % 2)]).collect(),
        };
        let deviation = Scale::learn(&[written]).deviation;
        assert_eq!(deviation[0], 1.0);
        assert!((deviation[1] - 0.5).abs() < 1e-9, "{deviation:?}");
    }
}
