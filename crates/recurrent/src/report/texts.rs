//! Texts that a model wrote, labelled or tagged.

use super::Section;
use super::html::{Html, figure, note, paragraph, table, tag};
use super::numbers::percent;

/// Longer texts are cut.
const MOST_CHARACTERS: usize = 1_500;

/// Lines of texts that are no longer stand side by side.
const SHORT: usize = 22;

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(MOST_CHARACTERS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// The section of texts that were drawn, each with what it is about if it is about something; `how`
/// they were drawn.
pub(crate) fn written(texts: &[(Option<String>, String)], how: &str) -> Section {
    let text = |(about, text): &(Option<String>, String)| {
        let shown = tag("div", "text", cut(text));
        match about {
            Some(about) => figure(tag("h3", "", about.as_str()).with(shown), ""),
            None => figure(shown, ""),
        }
    };
    let shown: Html = texts.iter().map(text).collect();
    // Short ones stand side by side.
    let longest = texts.iter().flat_map(|(_, text)| text.lines()).map(|line| line.chars().count());
    let side_by_side = texts.len() > 1 && longest.max().unwrap_or(0) <= SHORT;
    let shown = if side_by_side { tag("div", "cards", shown) } else { shown };
    let body = shown.with(note(how));
    Section::new("written", "What it writes").body(body)
}

/// An example with what the model made of it.
pub(crate) struct Compared {
    /// What was read.
    pub(crate) source: String,
    /// What the model says.
    pub(crate) said: String,
    /// How sure it is of that, if it says so.
    pub(crate) probability: Option<f64>,
    /// What is right.
    pub(crate) truth: String,
}

/// The section of some examples, with a sentence on which they are.
pub(crate) fn compared(title: &'static str, lead: &str, examples: &[Compared]) -> Section {
    let sure = examples.iter().any(|example| example.probability.is_some());
    let row = |Compared { source, said, probability, truth }: &Compared| {
        let is_right = said == truth;
        let (class, mark) = if is_right { ("right", "✓\u{A0}") } else { ("wrong", "✗\u{A0}") };
        let shown = if said.is_empty() { "(nothing)".to_owned() } else { cut(said) };
        let mut cells = vec![Html::from(cut(source)), tag("span", class, format!("{mark}{shown}"))];
        if sure {
            cells.push(probability.map_or(String::new(), percent).into());
        }
        cells.push(if is_right { Html::new() } else { cut(truth).into() });
        cells
    };
    let (head, numbers): (&[&str], &[usize]) = match sure {
        true => (&["read", "said", "how sure", "should be"], &[2]),
        false => (&["read", "said", "should be"], &[]),
    };
    let body = table(head, numbers, examples.iter().map(row));
    Section::new("examples", title).lead(paragraph(lead)).body(body)
}

/// A sentence with tags.
pub(crate) struct TaggedSentence {
    /// Its tokens.
    pub(crate) words: Vec<String>,
    /// The tag that the model gives each.
    pub(crate) given: Vec<String>,
    /// The true ones.
    pub(crate) truth: Vec<String>,
}

/// The section of some sentences of the held-out part.
pub(crate) fn tagged(sentences: &[TaggedSentence]) -> Section {
    let sentence = |TaggedSentence { words, given, truth }: &TaggedSentence| {
        let word = |((word, given), truth): ((&String, &String), &String)| {
            let under = match given == truth {
                true => tag("small", "", given.as_str()),
                false => tag("small", "wrong", format!("{given} (is {truth})")),
            };
            tag("span", "", Html::from(word.as_str()).with(under))
        };
        tag("p", "tagged", words.iter().zip(given).zip(truth).map(word).collect::<Html>())
    };
    let lead =
        paragraph("The first sentences of the held-out part with the tags that the model gives.");
    let body = sentences.iter().map(sentence).collect::<Html>();
    Section::new("examples", "Tagged sentences").lead(lead).body(body)
}
