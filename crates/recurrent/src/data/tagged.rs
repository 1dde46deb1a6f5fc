//! Sentences with a tag at each token.

use super::{DataError, Problem, Source, problem};

/// More tokens than a sentence has: a file of so many without a blank line has lost them.
const LONGEST: usize = 200;

/// Sentences in the style of CoNLL's shared tasks: a token, a tab and its tag on each line, a
/// blank line between sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The data as the person named them.
    pub name: String,
    /// The sentences, in the order of the file; at least one, each with at least one token.
    pub sentences: Vec<Sentence>,
}

/// Tokens and as many tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The line of the first token, from 1; the others follow line by line.
    pub line: usize,
    /// The tokens: not empty, without blanks at either end.
    pub tokens: Vec<String>,
    /// Their tags.
    pub tags: Vec<String>,
}

impl Tagged {
    /// Reads a file of sentences. There are no comments: `#` is a token, and so is a quote. Blank
    /// lines may be several, may hold blanks, and may stand at the start and at the end.
    ///
    /// # Errors
    /// [`DataError`] when the file cannot be read as text, a line is not a token and a tag, or
    /// more than 200 tokens follow each other and no line is blank.
    pub fn read(source: &Source) -> Result<Tagged, DataError> {
        if let Source::Builtin(_) = source {
            let needed = "tagged sentences";
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed });
        }
        Tagged::parse(&source.to_string(), &source.read_text()?)
    }

    /// The sentences of a text that was read from `name`, with line feeds at its line ends.
    ///
    /// # Errors
    /// As [`read`](Tagged::read).
    pub fn parse(name: &str, text: &str) -> Result<Tagged, DataError> {
        let mut sentences: Vec<Sentence> = Vec::new();
        let mut inside = false;
        for (line, text) in (1..).zip(text.lines()) {
            // A tab shows that a token and a tag were meant.
            if text.trim().is_empty() && !text.contains('\t') {
                inside = false;
                continue;
            }
            let (token, tag) = split(text).map_err(|problem| DataError::at(name, line, problem))?;
            if !inside {
                sentences.push(Sentence { line, tokens: Vec::new(), tags: Vec::new() });
                inside = true;
            }
            if let Some(sentence) = sentences.last_mut() {
                sentence.tokens.push(token.to_owned());
                sentence.tags.push(tag.to_owned());
            }
        }
        let name = name.to_owned();
        match sentences.as_slice() {
            [] => Err(DataError::NoExamples { name }),
            [only] if only.tokens.len() > LONGEST => {
                Err(DataError::NoBlankLine { name, tokens: only.tokens.len() })
            }
            _ => Ok(Tagged { name, sentences }),
        }
    }
}

/// The token and the tag of a line.
fn split(text: &str) -> Result<(&str, &str), Problem> {
    let cells: Vec<&str> = text.split('\t').map(str::trim).collect();
    match cells.as_slice() {
        ["", _] => Err(Problem::EmptyCell { column: "token".to_owned() }),
        [_, ""] => Err(Problem::EmptyCell { column: "tag".to_owned() }),
        [token, tag] => Ok((token, tag)),
        _ => Err(Problem::NotTagged {
            found: problem::count(cells.len(), "column"),
            hint: match cells.as_slice() {
                [only] if only.contains(' ') => "put a tab and not blanks between them",
                [_] => "every token needs a tag",
                _ => "keep the two columns that are to be learnt",
            },
        }),
    }
}
