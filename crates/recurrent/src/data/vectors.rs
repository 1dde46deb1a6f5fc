//! Word vectors that somebody else has learnt: `--embeddings FILE`.

use super::{DataError, Problem, Source, Vocabulary, problem};
use std::collections::BTreeMap;

/// Vectors for some tokens of a vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// How many numbers each has.
    pub size: usize,
    /// Tokens in the order of their numbers, each with its vector; at least one.
    pub found: Vec<(u32, Vec<f32>)>,
}

/// The vectors that a file has for the words of a vocabulary: GloVe's form, which is a word and
/// its numbers on each line, separated by blanks; or word2vec's text form, which has a line before
/// them with the number of words and the size. Of a word that occurs twice the first counts.
///
/// The file is read line by line, and only what the vocabulary needs is kept. Every line's length
/// is checked, the numbers of other words are not.
///
/// # Errors
/// [`DataError`] when the file cannot be read as text, a line has more or fewer numbers than the
/// first, a number is none or not finite, the file has not as many words as its first line says,
/// or none of the words is in the vocabulary.
pub fn read_vectors(source: &Source, vocabulary: &Vocabulary) -> Result<Vectors, DataError> {
    let name = source.to_string();
    let mut reading =
        Reading { vocabulary, size: None, expected: None, words: 0, found: BTreeMap::new() };
    source.for_each_line(|line, text| {
        reading.line(line, text).map_err(|problem| DataError::at(&name, line, problem))
    })?;
    let Reading { size, expected, words: found, found: vectors, .. } = reading;
    match (size, expected) {
        (None, _) => Err(DataError::NoExamples { name }),
        (_, Some(expected)) if expected != found => {
            Err(DataError::VectorCount { name, expected, found })
        }
        _ if vectors.is_empty() => {
            let words = vocabulary.len() - usize::from(vocabulary.unknown().is_some());
            let unit = vocabulary.kind().plural();
            Err(DataError::NoVectors { name, words, unit })
        }
        (Some(size), _) => Ok(Vectors { size, found: vectors.into_iter().collect() }),
    }
}

struct Reading<'a> {
    vocabulary: &'a Vocabulary,
    size: Option<usize>,
    /// How many words the first line says.
    expected: Option<usize>,
    words: usize,
    found: BTreeMap<u32, Vec<f32>>,
}

impl Reading<'_> {
    fn line(&mut self, line: usize, text: &str) -> Result<(), Problem> {
        // Not every kind of blank: words of such files hold some of the others.
        let fields: Vec<&str> = text.split([' ', '\t', '\r']).filter(|f| !f.is_empty()).collect();
        let Some((&word, rest)) = fields.split_first() else { return Ok(()) };
        if let (1, [size]) = (line, rest)
            && let (Ok(words), Ok(size)) = (word.parse(), size.parse())
        {
            (self.expected, self.size) = (Some(words), Some(size));
            return Ok(());
        }
        self.words += 1;
        let size = *self.size.get_or_insert(rest.len());
        // Large files have words with blanks in them. They are in no vocabulary.
        let is_word = |fields: &[&str]| fields.iter().all(|field| field.parse::<f64>().is_err());
        match rest.len().checked_sub(size) {
            Some(0) if size > 0 => self.keep(word, rest),
            Some(more) if size > 0 && is_word(&rest[..more]) => Ok(()),
            _ => Err(Problem::VectorLength {
                word: problem::shortened(word),
                found: problem::count(rest.len(), "number"),
                expected: size.max(1),
            }),
        }
    }

    fn keep(&mut self, word: &str, numbers: &[&str]) -> Result<(), Problem> {
        let Some(token) = self.vocabulary.number(word) else { return Ok(()) };
        if self.found.contains_key(&token) {
            return Ok(());
        }
        let numbers = numbers.iter().map(|cell| match cell.parse::<f32>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(Problem::VectorNumber {
                word: problem::shortened(word),
                cell: problem::shortened(cell),
            }),
        });
        self.found.insert(token, numbers.collect::<Result<_, _>>()?);
        Ok(())
    }
}
