//! Where a decoder's text begins and ends: two tokens more than the vocabulary has.

use super::Vocabulary;

/// The tokens of a decoder: those of a vocabulary, and behind them the start, which is read before
/// the first token, and the end, which is predicted after the last. Neither is ever part of a text.
#[derive(Clone, Copy, Debug)]
pub struct Boundaries<'a> {
    vocabulary: &'a Vocabulary,
}

impl<'a> Boundaries<'a> {
    /// The boundaries of a vocabulary's texts.
    pub fn of(vocabulary: &'a Vocabulary) -> Boundaries<'a> {
        Boundaries { vocabulary }
    }

    /// The token that is read before a text's first: the vocabulary's size.
    pub fn start(self) -> u32 {
        self.vocabulary.len() as u32
    }

    /// The token that is predicted after a text's last: the vocabulary's size + 1.
    pub fn end(self) -> u32 {
        self.start() + 1
    }

    /// How many tokens a decoder has: the vocabulary's, start and end.
    pub fn size(self) -> usize {
        self.vocabulary.len() + 2
    }

    /// The tokens of a text to be predicted, without boundaries; what is not in the vocabulary
    /// is [unknown](Vocabulary::unknown).
    pub fn encode_target(self, text: &str) -> Vec<u32> {
        self.vocabulary.encode_lossy(text)
    }

    /// The text of what a decoder gave: up to the first end, or all of it; starts are left out.
    ///
    /// # Panics
    /// If a number before the end is not below [`size`](Boundaries::size).
    #[track_caller]
    pub fn decode(self, numbers: &[u32]) -> String {
        let text = numbers.iter().copied().take_while(|&number| number != self.end());
        self.vocabulary.decode(&text.filter(|&number| number != self.start()).collect::<Vec<_>>())
    }
}
