//! Classification: one label for a whole sequence (many-to-one). A sequence is a text, or a series
//! of rows of numbers.
//!
//! Beside the model's accuracy stand two that know nothing of order: the training's most frequent
//! label for everything, and for texts naive Bayes on a bag of words. What the model has above the
//! bag it has from order, and `evaluate --shuffle-tokens` takes that away.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error};
use recurrent_cells::Parameters;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, loss};
use recurrent_topologies::{InputConfig, ManyToOne, ManyToOneConfig, ManyToOneTape, Pool};
use recurrent_training::{Labelled, ManyToOneObjective};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::examples::{
    EVALUATION_BATCH, Fingerprint, Guesses, accuracy, columns, keep_short, macro_f1, percent,
    read_parts, read_test,
};
use super::settings::{Learning, Network, Tokens};
use super::training::require_memory_for_steps;
use super::{Data, Input, Predict, Prediction, Ranking, Task, TaskModel, require_one_text};
use crate::data::{DataError, TokenKind};
use crate::gradient_flow::{Chosen, LayerFlow, choose_examples, gradient_flow_of_labels};
use crate::options::{Options, groups, usage};
use crate::run::thousands;

mod bag_of_words;

mod written;
use written::{Kind, Written};

mod codec;
pub use codec::{Codec, Example};
use codec::{StepCodec, Steps, batch};

mod exhibits;

mod report;
pub use report::ClassifyReport;

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What a token is, and how it becomes a vector; of no meaning for series of numbers.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The layers.
    #[serde(flatten)]
    pub network: Network,
    /// How the steps of a sequence become one vector.
    pub pool: Pool,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// A model that gives a sequence a label.
pub type Classify = TaskModel<Settings, Codec, ManyToOne>;

/// Steps that a sequence is taken to have, where an initialisation asks how long to remember.
const LENGTH: usize = 20;

fn config(settings: &Settings, input: InputConfig, labels: usize) -> ManyToOneConfig {
    let Settings { network, pool, .. } = settings;
    ManyToOneConfig { input, stack: network.stack(), pool: *pool, output_size: labels }
}

impl Classify {
    /// Calls `f` with every batch and the logits of its sequences.
    fn for_each_batch(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
        mut f: impl FnMut(&Labelled<f32>, Columns<'_, f32>),
    ) {
        let mut tape = ManyToOneTape::default();
        for examples in examples.chunks(EVALUATION_BATCH) {
            let batch = batch(examples.iter());
            let Labelled { inputs, lengths, .. } = &batch;
            let reading = inputs.reading();
            let recorded =
                self.model.forward(compute, parameters, reading, lengths, None, &mut tape);
            f(&batch, recorded.outputs());
        }
    }

    /// The accuracy of naive Bayes; of texts only.
    fn bag_of_words_accuracy(&self, examples: &[Example], true_ones: &[u32]) -> Option<f64> {
        let StepCodec::Tokens { bag_of_words, .. } = &self.codec.steps else { return None };
        let judge = bag_of_words.judge();
        let label = |example: &Example| match &example.steps {
            Steps::Tokens(tokens) => Some(judge.label(tokens)),
            Steps::Rows(_) => None,
        };
        let predicted = examples.iter().map(label).collect::<Option<Vec<u32>>>()?;
        Some(accuracy(&predicted, true_ones))
    }
}

impl Task for Classify {
    const NAME: &'static str = "classify";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[groups::TABLE, groups::TOKENS, &["max-length", "embeddings", "bidirectional", "pool"]];

    type Examples = Vec<Example>;
    type Objective = ManyToOneObjective<f32>;
    type Report = ClassifyReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:sentiment")),
            tokens: Some(TokenKind::Word),
            hidden_size: Some(128),
            pool: Some(Pool::Last),
            epochs: Some(6),
            batch_size: Some(32),
            learning_rate: Some(0.002),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        let tokens = options.token_settings()?;
        if options.embeddings.is_some() {
            let refused = |reason: String| Err(usage(format!("--embeddings: {reason}")));
            if tokens.tokens != TokenKind::Word {
                let kind = tokens.tokens.name();
                return refused(format!("the vectors are of words; drop --tokens {kind}"));
            }
            if options.one_hot {
                return refused("one-hot tokens have no vectors; drop --one-hot".into());
            }
            if options.embedding_size.is_some() {
                return refused("the file says how long they are; drop --embedding-size".into());
            }
        }
        let settings = Settings {
            tokens,
            network: options.network(LENGTH)?,
            pool: options.pool.unwrap_or(Pool::Last),
            learning: options.learning()?,
        };
        config(&settings, settings.tokens.input(2), 2).build().map_err(usage)?;
        Ok(settings)
    }

    fn read(
        options: &Options,
        settings: &Settings,
        codec: Option<Codec>,
    ) -> anyhow::Result<Data<Self>> {
        let columns = columns(options);
        let kind = match &codec {
            Some(codec) => codec.kind(),
            None => Kind::of(options.data_name()?, &columns)?,
        };
        kind.check(options)?;
        let (mut train, held_out) = read_parts(
            options,
            kind.key(),
            |source, part| kind.read(source, part, &columns),
            |written: &Written| &written.text,
        )?;
        // First, so that what is left out teaches nothing.
        let (data, tokens) = (options.data_name()?, settings.tokens.tokens);
        let length = |written: &Written| kind.count(tokens, written);
        let most = settings.tokens.max_length;
        let left_out =
            keep_short((data, "example"), &mut train, most, kind.plural(tokens), length)?;
        let codec = match codec {
            Some(codec) => codec,
            None => {
                let same_file = held_out.iter().filter(|_| options.valid.is_none());
                Codec::learn(options, &settings.tokens, kind, &train, same_file)?
            }
        };
        let (train, held_out) = (codec.examples(&train)?, codec.examples(&held_out)?);
        Ok(Data { codec, train, held_out, left_out })
    }

    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<Vec<Example>> {
        let columns = columns(options);
        let read = |source: &_, part| self.codec.kind().read(source, part, &columns);
        self.codec.examples(&read_test(data, read)?)
    }

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<ManyToOne> {
        codec.check().map_err(Error::msg)?;
        let input = codec.input(settings.tokens.encoding);
        Ok(config(settings, input, codec.labels.len()).build()?)
    }

    /// Puts word vectors where the embedding begins.
    fn prepare(&self, _: &Compute, parameters: &mut Parameters<f32>, _: &Vec<Example>) {
        let StepCodec::Tokens { vectors: Some(vectors), .. } = &self.codec.steps else { return };
        parameters.visit_mut(|entry, embedding| {
            if entry.name == "embedding.weight" {
                for (token, vector) in vectors.found.iter() {
                    let at = *token as usize * vectors.size;
                    embedding[at..at + vectors.size].copy_from_slice(vector);
                }
            }
        });
    }

    fn objective(&self) -> ManyToOneObjective<f32> {
        ManyToOneObjective::new(self.model.clone(), self.settings.learning.seed)
    }

    fn units(&self, examples: &Vec<Example>) -> usize {
        examples.len()
    }

    fn batch(&self, examples: &Vec<Example>, units: &[usize]) -> Result<Labelled<f32>, DataError> {
        Ok(batch(units.iter().map(|&unit| &examples[unit])))
    }

    fn tape(&self, examples: &Vec<Example>) -> u128 {
        let longest = examples.iter().map(|example| example.steps.count()).max().unwrap_or(1);
        longest as u128 * self.settings.network.tape()
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        Fingerprint::of([&data.train, &data.held_out], |fingerprint, part| {
            for example in part {
                match &example.steps {
                    Steps::Tokens(tokens) => fingerprint.tokens(tokens),
                    Steps::Rows(rows) => {
                        fingerprint.number(rows.len() as u64);
                        rows.iter().for_each(|row| fingerprint.numbers(row));
                    }
                }
                fingerprint.number(u64::from(example.label));
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
        if self.settings.pool != Pool::Last {
            return Err(usage(
                "gradient-flow follows a loss at the end of a sequence; with --pool mean or max it \
                 reads every step at once, and has no lag",
            ));
        }
        let lengths: Vec<usize> = examples.iter().map(|example| example.steps.count()).collect();
        let Chosen { examples: chosen, lag } =
            choose_examples(&lengths, lag).context("--lag, or the examples that are held out")?;
        let steps = chosen.iter().map(|&at| lengths[at]).sum();
        require_memory_for_steps(self, steps, true, "--lag").map_err(anyhow::Error::msg)?;
        let batch = self.batch(examples, &chosen)?;
        Ok(gradient_flow_of_labels(&self.model, compute, parameters, &batch, lag))
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let [labels, train, held_out] =
            [self.codec.labels.len(), data.train.len(), data.held_out.len()].map(thousands);
        let parts = format!("{labels} labels; {train} examples to learn from, {held_out} held out");
        let StepCodec::Tokens { vocabulary, vectors, .. } = &self.codec.steps else {
            return format!("series of rows, {parts}");
        };
        let steps = || data.held_out.iter().map(|example| &example.steps);
        let tokens = || {
            steps().flat_map(|steps| match steps {
                Steps::Tokens(tokens) => tokens.as_slice(),
                Steps::Rows(_) => &[],
            })
        };
        let plural = vocabulary.kind().plural();
        let unknown = tokens().filter(|&&token| Some(token) == vocabulary.unknown()).count();
        let unknown = percent(unknown as f64 / tokens().count().max(1) as f64);
        let vectors = vectors.as_ref().map_or(String::new(), |vectors| {
            format!(", vectors of {} numbers for {}", vectors.size, thousands(vectors.words))
        });
        format!(
            "vocabulary of {} {plural}{vectors}, {parts} ({unknown} of whose {plural} are unknown)",
            thousands(vocabulary.len())
        )
    }

    fn unit(&self) -> &'static str {
        "examples"
    }

    fn guessing(&self) -> f64 {
        (self.codec.labels.len() as f64).ln()
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> anyhow::Result<ClassifyReport> {
        let (mut guesses, mut true_ones) = (Guesses::default(), vec![]);
        self.for_each_batch(compute, parameters, examples, |batch, logits| {
            guesses.add(compute, logits, &batch.labels);
            true_ones.extend_from_slice(&batch.labels);
        });
        let Guesses { predicted, loss, .. } = guesses;
        let majority = vec![self.codec.majority; true_ones.len()];
        Ok(ClassifyReport {
            accuracy: accuracy(&predicted, &true_ones),
            macro_f1: macro_f1(&predicted, &true_ones, self.codec.labels.len()),
            majority_accuracy: accuracy(&majority, &true_ones),
            bag_of_words_accuracy: self.bag_of_words_accuracy(examples, &true_ones),
            loss: loss / true_ones.len() as f64,
            examples: true_ones.len(),
            confusion: report::confusion(&predicted, &true_ones, &self.codec.labels),
        })
    }

    fn shuffle_tokens(&self, examples: &mut Vec<Example>, seed: u64) -> anyhow::Result<()> {
        let mut generator = Generator::new(seed, super::training::GENERATION);
        for example in examples {
            match &mut example.steps {
                Steps::Tokens(tokens) => generator.shuffle(tokens),
                Steps::Rows(rows) => generator.shuffle(rows),
            }
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
        how.require_top_only(Self::NAME)?;
        input.each_line(|number, line| {
            let text = line.trim();
            let (name, steps, unknown) = match &self.codec.steps {
                StepCodec::Tokens { vocabulary, .. } => {
                    require_one_text(text, vocabulary)?;
                    let tokens = vocabulary.encode_lossy(text);
                    ("text", Steps::Tokens(tokens), vocabulary.unknown_in(text).collect())
                }
                StepCodec::Rows(scale) => ("series", Steps::Rows(scale.of_line(text)?), vec![]),
            };
            let example = Example { steps, label: loss::IGNORED };
            let mut ranking = None;
            self.for_each_batch(compute, &parameters, &[example], |_, logits| {
                ranking = Some(Ranking::new(compute, logits, &self.codec.labels, how.top));
            });
            let ranking = ranking.expect("an example has a result");
            let json = json!({
                name: text,
                "label": ranking.best(),
                "probabilities": ranking.probabilities(),
            });
            let prediction = Prediction::new(ranking.text(), json);
            emit(prediction.with_unknown(number, unknown))
        })
    }
}
