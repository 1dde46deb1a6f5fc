//! Tokens counted piece by piece, for a vocabulary of a text that is never in memory as a whole.

use std::collections::{BTreeMap, HashMap};

use super::{TokenKind, Tokens, Vocabulary, words};

/// How often each token of a text occurred so far.
pub(crate) struct Counts {
    kind: TokenKind,
    chars: BTreeMap<char, u64>,
    words: HashMap<String, u64>,
}

impl Counts {
    pub(crate) fn new(kind: TokenKind) -> Counts {
        Counts { kind, chars: BTreeMap::new(), words: HashMap::new() }
    }

    /// Counts the first `most` tokens of a piece that ends where a token ends.
    pub(crate) fn add(&mut self, piece: &str, most: usize) {
        match self.kind {
            TokenKind::Char => {
                piece.chars().take(most).for_each(|c| *self.chars.entry(c).or_default() += 1);
            }
            TokenKind::Word => words::split(piece).take(most).for_each(|word| {
                // A word is copied once, not each time that it occurs.
                match self.words.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(self.words.insert(word.to_owned(), 1)),
                }
            }),
            TokenKind::Byte => {}
        }
    }

    /// The vocabulary that [`Vocabulary::learn`] learns from the pieces as one text.
    pub(crate) fn vocabulary(self, min_count: u64) -> Vocabulary {
        let tokens = match self.kind {
            TokenKind::Char => Tokens::Char(frequent(self.chars, min_count)),
            TokenKind::Word => return Vocabulary::of_counts(self.words, min_count),
            TokenKind::Byte => Tokens::Byte,
        };
        Vocabulary { tokens }
    }
}

/// The characters that occur at least so often.
pub(super) fn frequent(mut counts: BTreeMap<char, u64>, min_count: u64) -> Vec<char> {
    counts.retain(|_, count| *count >= min_count);
    counts.into_keys().collect()
}
