//! Using a trained model: what a person hands in, and what comes out.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, bail};
use recurrent_kernels::{Columns, Compute, Matrix, loss};
use serde_json::Value;

use crate::data::{Labels, Vocabulary, words};
use crate::options::usage;

/// What a prediction reads.
pub struct Input<'a> {
    /// The lines.
    pub reader: Box<dyn BufRead + 'a>,
    /// What messages call it: a path, or "standard input".
    pub name: String,
    /// The folder that names in it are relative to.
    pub folder: &'a Path,
}

impl Input<'_> {
    /// Calls `f` with each line and its number from 1; without its line end, and without a
    /// byte-order mark. Empty lines are skipped.
    ///
    /// # Errors
    /// The first error of `f`, under the name of the line; or if the text is not UTF-8.
    pub fn each_line(
        self,
        mut f: impl FnMut(usize, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Input { mut reader, name, .. } = self;
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            let read = reader.read_line(&mut line);
            if read.with_context(|| format!("{name}: line {number}: cannot be read as text"))? == 0
            {
                break;
            }
            let text = line.trim_end_matches(['\n', '\r']);
            let text = if number == 1 { text.trim_start_matches('\u{FEFF}') } else { text };
            if !text.trim().is_empty() {
                f(number, text).with_context(|| format!("{name}: line {number}"))?;
            }
        }
        Ok(())
    }
}

/// Refuses a line of several columns where a line is one text: a label beside it would be read as
/// a part of it. Where tabs are in the vocabulary, they are part of a text.
///
/// # Errors
/// A line that says what to do.
pub fn require_one_text(line: &str, vocabulary: &Vocabulary) -> anyhow::Result<()> {
    match line.contains('\t') && vocabulary.number("\t").is_none() {
        true => bail!(
            "a tab separates columns, and here a line is one text; hand in the texts alone, as \
             `cut -f 1` gives them"
        ),
        false => Ok(()),
    }
}

/// How to predict.
#[derive(Clone, Debug, Default)]
pub struct Predict {
    /// Hypotheses kept side by side; 1 takes the most likely token at each step.
    pub beam: Option<usize>,
    /// How many results to show for each input.
    pub top: Option<usize>,
    /// How much longer results are preferred; with a beam.
    pub length_penalty: Option<f64>,
    /// The most tokens of a result.
    pub max_length: Option<usize>,
    /// The least tokens of a result.
    pub min_length: Option<usize>,
    /// No sequence of so many tokens comes twice in a result.
    pub no_repeat_ngram: Option<usize>,
    /// What every result begins with.
    pub prefix: Option<String>,
    /// Also shows the vector that holds the whole source.
    pub show_context: bool,
    /// Also shows where the decoder looked.
    pub show_attention: bool,
}

impl Predict {
    /// Refuses every option for a task whose results are no sequences.
    ///
    /// # Errors
    /// Wrong usage, naming the option.
    pub fn require_none(&self, task: &str) -> anyhow::Result<()> {
        let Predict { top, .. } = self;
        self.require_top_only(task)?;
        match top {
            None => Ok(()),
            Some(_) => Err(usage(format!("--top: a model of {task} has one result; drop it"))),
        }
    }

    /// Refuses to show what lies between a source and a result, with the reason why there is none.
    ///
    /// # Errors
    /// Wrong usage, naming the option.
    pub fn require_nothing_shown(&self, reason: &str) -> anyhow::Result<()> {
        let shown = [("context", self.show_context), ("attention", self.show_attention)];
        match shown.into_iter().find(|&(_, given)| given) {
            None => Ok(()),
            Some((name, _)) => Err(usage(format!("--show-{name}: {reason}; drop it"))),
        }
    }

    /// Refuses every option but `--top` for a task whose results are no sequences.
    ///
    /// # Errors
    /// Wrong usage, naming the option.
    pub fn require_top_only(&self, task: &str) -> anyhow::Result<()> {
        let given = [
            ("beam", self.beam.is_some()),
            ("length-penalty", self.length_penalty.is_some()),
            ("max-length", self.max_length.is_some()),
            ("min-length", self.min_length.is_some()),
            ("no-repeat-ngram", self.no_repeat_ngram.is_some()),
            ("prefix", self.prefix.is_some()),
            ("show-context", self.show_context),
            ("show-attention", self.show_attention),
        ];
        match given.into_iter().find(|&(_, given)| given) {
            None => Ok(()),
            Some((name, _)) => {
                Err(usage(format!("--{name}: a model of {task} writes no sequence; drop it")))
            }
        }
    }
}

/// How to write.
#[derive(Clone, Debug)]
pub struct Generate {
    /// The text to go on from.
    pub prompt: Option<String>,
    /// What to write about.
    pub label: Option<String>,
    /// The most tokens to write; where it is not given, the task says.
    pub length: Option<usize>,
    /// How many texts.
    pub count: usize,
    /// How the next token is drawn.
    pub sampling: recurrent_topologies::Sampling,
    /// Hypotheses kept side by side, instead of drawing.
    pub beam: Option<usize>,
    /// Decides what is drawn.
    pub seed: u64,
}

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// For a person: a line, or several.
    pub text: String,
    /// For a program: an object.
    pub json: Value,
    /// What a person may not have meant, in a line.
    pub remark: Option<String>,
}

impl Prediction {
    /// A result without a remark.
    pub fn new(text: String, json: Value) -> Prediction {
        Prediction { text, json, remark: None }
    }

    /// The same, of a line whose `unknown` tokens were read as the unknown one: the remark says so,
    /// and the field `unknown` of the object, if there are any.
    pub fn with_unknown<'t>(
        mut self,
        line: usize,
        unknown: impl IntoIterator<Item = &'t str>,
    ) -> Prediction {
        let mut tokens: Vec<&str> = vec![];
        for token in unknown {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        if tokens.is_empty() {
            return self;
        }
        let named: Vec<String> = tokens.iter().map(|token| format!("{token:?}")).collect();
        let (named, unknown) = (named.join(", "), words::UNKNOWN);
        self.remark = Some(match tokens.len() {
            1 => format!("line {line}: {named} is not in the vocabulary; it is read as {unknown}"),
            _ => format!(
                "line {line}: {named} are not in the vocabulary; they are read as {unknown}"
            ),
        });
        self.json["unknown"] = tokens.into();
        self
    }
}

/// What a model that gives labels says of one piece of input: the labels with their probabilities,
/// the likeliest first.
pub struct Ranking<'l> {
    labels: Vec<(f32, &'l str)>,
    top: Option<usize>,
}

impl<'l> Ranking<'l> {
    /// That of the logits in a single column, with as many labels as `--top` says, or all.
    pub fn new(
        compute: &Compute,
        logits: Columns<'_, f32>,
        labels: &'l Labels,
        top: Option<usize>,
    ) -> Ranking<'l> {
        let mut column = Matrix::zeros(labels.len(), 1);
        column.as_mut().copy_from(logits);
        loss::softmax(compute.level(), column.as_mut());
        let names = labels.names().iter().map(String::as_str);
        let mut labels: Vec<(f32, &str)> = column.as_slice().iter().copied().zip(names).collect();
        // The sort is stable: of equally likely labels the first stays first.
        labels.sort_by(|a, b| b.0.total_cmp(&a.0));
        labels.truncate(top.unwrap_or(labels.len()));
        Ranking { labels, top }
    }

    /// The likeliest label.
    pub fn best(&self) -> Option<&'l str> {
        self.labels.first().map(|&(_, name)| name)
    }

    /// The probabilities under the names of their labels, for a program.
    pub fn probabilities(&self) -> Value {
        let named = |&(p, name): &(f32, &str)| (name.to_owned(), Value::from(p));
        Value::Object(self.labels.iter().map(named).collect())
    }

    /// The likeliest label with its probability for a person, or as many as `--top` says.
    pub fn text(&self) -> String {
        let shown = self.labels.iter().take(self.top.unwrap_or(1));
        shown.map(|(p, name)| format!("{name} {p:.4}")).collect::<Vec<_>>().join(", ")
    }
}
