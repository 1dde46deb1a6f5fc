//! What tasks that write have in common: how a text is written, and how written texts are judged.

use std::collections::HashMap;

use recurrent_kernels::Compute;
use recurrent_kernels::random::{Generator, GeneratorState};
use recurrent_topologies::{
    Beam, Constraints, DecoderStream, Ended, Hypothesis, Sampler, TokenStream, beam_search, sample,
};
use recurrent_training::{DummyFed, Feed};
use serde_json::{Value, json};

use super::training::GENERATION;
use super::{Generate, Predict, Prediction};
use crate::data::{Boundaries, TokenKind, Vocabulary, words};
use crate::options::usage;

/// What a model that writes knows of its texts.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The tokens, without boundaries.
    pub vocabulary: &'a Vocabulary,
    /// What the model read while it learnt.
    pub feed: Feed,
    /// Tokens of the longest text that it learnt from.
    pub longest: usize,
}

impl Writer<'_> {
    /// A text has at most this many tokens where nothing else is said: twice as many as the longest
    /// that was learnt, and at least 10.
    pub fn max_length(self) -> usize {
        self.longest.saturating_mul(2).max(10)
    }

    fn boundaries(&self) -> Boundaries<'_> {
        Boundaries::of(self.vocabulary)
    }

    /// Texts end with the end token; neither the start nor the unknown token is ever written.
    fn constraints(self, max_length: usize, prefix: Option<&str>) -> anyhow::Result<Constraints> {
        let mut constraints = Constraints::new(max_length);
        constraints.end = Some(self.boundaries().end());
        constraints.banned = vec![self.boundaries().start()];
        constraints.banned.extend(self.vocabulary.unknown());
        if let Some(prefix) = prefix {
            if self.feed == Feed::Dummy {
                anyhow::bail!(
                    "a model with --feed dummy does not read what it wrote, so it cannot go on from a \
                     text; drop it"
                );
            }
            constraints.prefix = self.vocabulary.encode(prefix)?;
        }
        Ok(constraints)
    }

    /// The search that the options of a prediction ask for.
    ///
    /// # Errors
    /// Wrong usage if they contradict each other, or the prefix has unknown tokens.
    pub fn search(self, how: &Predict) -> anyhow::Result<Search> {
        let width = how.beam.unwrap_or(1);
        let n_best = how.top.unwrap_or(1);
        if n_best > width {
            return Err(usage(format!(
                "--top: {n_best} results need as many hypotheses side by side; give --beam {n_best} \
                 or more"
            )));
        }
        if how.length_penalty.is_some() && width == 1 {
            return Err(usage(
                "--length-penalty: a single hypothesis is compared with none; give a \
                              --beam too",
            ));
        }
        let max_length = how.max_length.unwrap_or(self.max_length());
        let mut constraints = self
            .constraints(max_length, how.prefix.as_deref())
            .map_err(|error| usage(format!("--prefix: {error}")))?;
        constraints.min_length = how.min_length.unwrap_or(0);
        constraints.no_repeat_ngram = how.no_repeat_ngram;
        let beam = Beam { width, n_best, length_penalty: how.length_penalty.unwrap_or(0.0) };
        constraints.check().map_err(usage)?;
        beam.check().map_err(usage)?;
        Ok(Search { constraints, beam })
    }

    /// The search of an evaluation: the most likely token at each step.
    ///
    /// # Errors
    /// None in fact: its constraints go together.
    pub fn greedy(self) -> anyhow::Result<Search> {
        self.search(&Predict::default())
    }

    /// The best texts of every sequence of a stream, best first.
    ///
    /// # Errors
    /// If the model's numbers are of no use.
    pub fn write(
        self,
        stream: DecoderStream<f32>,
        search: &Search,
    ) -> anyhow::Result<Vec<Vec<Hypothesis>>> {
        let start = self.boundaries().start();
        let first = vec![start; stream.batch()];
        let Search { constraints, beam } = search;
        let found = match self.feed {
            Feed::Dummy => {
                beam_search(&mut DummyFed::new(stream, start), &first, constraints, *beam)
            }
            _ => {
                let mut stream = stream;
                beam_search(&mut stream, &first, constraints, *beam)
            }
        };
        Ok(found?)
    }

    /// `how.count` texts; `stream` makes the model as it writes so many texts side by side. Drawn
    /// ones do not depend on how many there are.
    ///
    /// # Errors
    /// Wrong usage, or if the model's numbers are of no use.
    pub fn generate(
        self,
        compute: &Compute,
        how: &Generate,
        stream: impl FnOnce(usize) -> DecoderStream<f32>,
    ) -> anyhow::Result<Vec<Hypothesis>> {
        let constraints = self
            .constraints(how.length.unwrap_or(self.max_length()), how.prompt.as_deref())
            .map_err(|error| usage(format!("--prompt: {error}")))?;
        constraints.check().map_err(usage)?;
        if let Some(width) = how.beam {
            let n_best = how.count;
            if n_best > width {
                let reason = "the most likely texts are no more than the hypotheses; raise --beam";
                return Err(usage(format!("--count: {reason}")));
            }
            let beam = Beam { width, n_best, length_penalty: 0.0 };
            let found = self.write(stream(1), &Search { constraints, beam })?;
            return Ok(found.into_iter().flatten().collect());
        }
        let mut sampler = Sampler::new(compute.level(), how.sampling).map_err(usage)?;
        let mut generators: Vec<Generator> =
            (0..how.count).map(|text| generator(how.seed, text)).collect();
        let start = self.boundaries().start();
        let first = vec![start; how.count];
        let mut stream = stream(how.count);
        Ok(match self.feed {
            Feed::Dummy => {
                let mut stream = DummyFed::new(stream, start);
                sample(&mut stream, &first, &constraints, &mut sampler, &mut generators)
            }
            _ => sample(&mut stream, &first, &constraints, &mut sampler, &mut generators),
        }?)
    }

    /// The text of a hypothesis.
    pub fn text(self, hypothesis: &Hypothesis) -> String {
        self.boundaries().decode(&hypothesis.tokens)
    }

    /// What a program is told of a hypothesis.
    pub fn json(self, hypothesis: &Hypothesis) -> Value {
        json!({
            "text": self.text(hypothesis),
            "log_probability": hypothesis.log_probability,
            "ended": ended(hypothesis.ended),
        })
    }

    /// What was found for one piece of input, such as `("source", "a cat")`: a line each for a person,
    /// with their scores where `--top` asks for several, and one object for a program.
    pub fn results(
        self,
        (name, input): (&str, &str),
        found: &[Hypothesis],
        how: &Predict,
        search: &Search,
    ) -> Prediction {
        let lines: Vec<String> =
            found.iter().map(|hypothesis| self.line(hypothesis, how, search)).collect();
        let predictions: Vec<Value> = found.iter().map(|found| self.json(found)).collect();
        let json = json!({ name: input, "predictions": predictions });
        Prediction::new(lines.join("\n"), json)
    }

    /// A hypothesis for a person: its text, behind its score where `--top` asks for several.
    pub fn line(self, hypothesis: &Hypothesis, how: &Predict, search: &Search) -> String {
        let text = self.text(hypothesis);
        match how.top {
            None => text,
            Some(_) => format!("{:.4}\t{text}", search.beam.score(hypothesis)),
        }
    }

    /// The text of this number, from 1, by itself; a remark says why it ended if not by itself.
    pub fn prediction(self, number: usize, hypothesis: &Hypothesis) -> Prediction {
        let mut prediction = Prediction::new(self.text(hypothesis), self.json(hypothesis));
        prediction.remark = match hypothesis.ended {
            Ended::EndToken => None,
            Ended::MaximumLength => Some(format!(
                "text {number} was cut off at its greatest length of {} {}; --length sets it",
                hypothesis.tokens.len(),
                self.vocabulary.kind().plural()
            )),
            Ended::NothingLeft => {
                Some(format!("text {number} ended because no token was allowed to come next"))
            }
        };
        prediction
    }
}

/// How the likeliest texts are searched for.
#[derive(Clone, Debug)]
pub struct Search {
    /// What they must and must not be.
    pub constraints: Constraints,
    /// How wide the search is.
    pub beam: Beam,
}

/// Words of a stream of random numbers that a drawn text has for itself.
const WORDS_OF_A_TEXT: u128 = 1 << 40;

/// The generator of a text: each has its own, so that it does not matter how many are drawn.
fn generator(seed: u64, text: usize) -> Generator {
    // Memory ends before 2^28 texts do.
    let position = (text as u128 % (1 << 28)) * WORDS_OF_A_TEXT;
    let state = GeneratorState { seed, stream: GENERATION, position };
    Generator::from_state(state).expect("the position is below 2^68")
}

/// Why a text has no further token, for a program.
pub fn ended(ended: Ended) -> &'static str {
    match ended {
        Ended::EndToken => "end-token",
        Ended::MaximumLength => "maximum-length",
        Ended::NothingLeft => "nothing-left",
    }
}

/// A text as a model with such tokens writes it where it is right: what it is compared with.
pub fn as_written(kind: TokenKind, text: &str) -> String {
    match kind {
        TokenKind::Word => words::join(words::split(text)),
        TokenKind::Char | TokenKind::Byte => text.to_owned(),
    }
}

/// The share of texts that are the reference to the letter.
///
/// # Panics
/// If there are not as many on both sides.
#[track_caller]
pub fn exact_match<T: AsRef<str>>(texts: &[T], references: &[T]) -> f64 {
    assert_eq!(texts.len(), references.len(), "texts and references");
    let pairs = texts.iter().zip(references);
    let equal = pairs.filter(|(text, reference)| text.as_ref() == reference.as_ref()).count();
    equal as f64 / texts.len() as f64
}

/// The longest n-grams that BLEU counts.
const LONGEST_GRAM: usize = 4;

/// Corpus BLEU-4 with one reference for each text, from 0 to 100 (Papineni, Roukos, Ward and Zhu
/// 2002): tokens are what blanks separate, nothing is smoothed, and no case is changed.
///
/// ```text
/// p_n  = (n-grams of the texts that are in their reference, each at most as often as there)
///        / (n-grams of the texts), both summed over the corpus
/// BP   = 1 if c > r, else e^(1 - r / c);   c, r: tokens of all texts, of all references
/// BLEU = 100 BP (p_1 p_2 p_3 p_4)^(1/4)
/// ```
///
/// Without smoothing it is 0 where no four tokens in a row are right, so also where all texts are
/// shorter than four tokens.
///
/// # Panics
/// If there are not as many texts as references.
#[track_caller]
pub fn bleu<T: AsRef<str>>(texts: &[T], references: &[T]) -> f64 {
    assert_eq!(texts.len(), references.len(), "texts and references");
    let (mut right, mut all) = ([0usize; LONGEST_GRAM], [0usize; LONGEST_GRAM]);
    let (mut c, mut r) = (0, 0);
    for (text, reference) in texts.iter().zip(references) {
        let text: Vec<&str> = text.as_ref().split_whitespace().collect();
        let reference: Vec<&str> = reference.as_ref().split_whitespace().collect();
        c += text.len();
        r += reference.len();
        for n in 1..=LONGEST_GRAM {
            let (found, there) = (grams(&text, n), grams(&reference, n));
            let clipped =
                found.iter().map(|(gram, &count)| count.min(there.get(gram).copied().unwrap_or(0)));
            right[n - 1] += clipped.sum::<usize>();
            all[n - 1] += text.len().saturating_sub(n - 1);
        }
    }
    if right.contains(&0) {
        return 0.0;
    }
    let precisions = right.iter().zip(all).map(|(&right, all)| (right as f64 / all as f64).ln());
    let mean = precisions.sum::<f64>() / LONGEST_GRAM as f64;
    let brevity = if c > r { 0.0 } else { 1.0 - r as f64 / c as f64 };
    100.0 * (brevity + mean).exp()
}

/// Whether a reference has as many words as the longest n-grams that BLEU counts; where none has, it is
/// 0 whatever the texts are.
pub fn counts_in_bleu(reference: impl AsRef<str>) -> bool {
    reference.as_ref().split_whitespace().nth(LONGEST_GRAM - 1).is_some()
}

fn grams<'t, 'w>(words: &'t [&'w str], n: usize) -> HashMap<&'t [&'w str], usize> {
    let mut counts = HashMap::new();
    words.windows(n).for_each(|gram| *counts.entry(gram).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_bleu(texts: &[&str], references: &[&str], expected: f64) {
        let found = bleu(texts, references);
        assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
    }

    #[test]
    fn bleu_is_what_a_hand_computes() {
        // p_1 = 5/6 (of three "the" two count), p_2 = 3/5, p_3 = 1/4: no four in a row.
        assert_bleu(&["the cat the mat on the"], &["the cat sat on the mat"], 0.0);
        // p = 5/6, 4/5, 3/4, 2/3; c = r: (1/3)^(1/4).
        let expected = 100.0 * (1.0f64 / 3.0).powf(0.25);
        assert_bleu(&["a b c d e x"], &["a b c d e f"], expected);
        // All right but two tokens short: e^(1 - 6/4).
        assert_bleu(&["a b c d"], &["a b c d e f"], 100.0 * (-0.5f64).exp());
        // Too long is punished by precision alone: p = 4/6, 3/5, 2/4, 1/3; product 1/15.
        let expected = 100.0 * (1.0f64 / 15.0).powf(0.25);
        assert_bleu(&["a b c d x y"], &["a b c d"], expected);
        // Counts are clipped: 4 of 6 "a", 3 of 5, 2 of 4, 1 of 3, as just now.
        assert_bleu(&["a a a a a a"], &["a a a a"], expected);
    }

    #[test]
    fn bleu_adds_up_the_corpus_before_it_divides() {
        // The second text alone has 0; together p = 6/8, 4/6, 2/4, 1/2; c = 8, r = 9.
        let (texts, references) = (["a b c d", "a b x y"], ["a b c d", "a b c d e"]);
        let product = (6.0 / 8.0) * (4.0 / 6.0) * (2.0 / 4.0) * (1.0 / 2.0f64);
        let expected = 100.0 * (1.0 - 9.0 / 8.0f64).exp() * product.powf(0.25);
        assert_bleu(&texts, &references, expected);
    }

    #[test]
    fn texts_that_are_equal_match() {
        assert_eq!(exact_match(&["a b", "a  b", "A"], &["a b", "a b", "a"]), 1.0 / 3.0);
    }

    proptest! {
        #[test]
        fn bleu_is_a_share_and_all_of_it_for_the_reference_itself(
            texts in prop::collection::vec("[ab]( [abc]){3,8}", 1..5),
            others in prop::collection::vec("[ab]( [abc]){3,8}", 5),
        ) {
            prop_assert!((bleu(&texts, &texts) - 100.0).abs() < 1e-9);
            let found = bleu(&texts, &others[..texts.len()]);
            prop_assert!((0.0..=100.0 + 1e-9).contains(&found));
        }
    }

    #[test]
    fn texts_are_drawn_from_numbers_of_their_own() {
        let first = |text| generator(7, text).next_u32();
        assert_ne!(first(0), first(1));
    }
}
