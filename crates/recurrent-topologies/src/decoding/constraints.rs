//! What a sequence must and must not be, whatever the model would say.

use serde::{Deserialize, Serialize};

use super::DecodingError;

/// What a sequence must and must not be. A token is chosen in this order: the forced prefix comes
/// first and whole; after it everything but what is banned may come.
///
/// Lengths count the tokens of a [`Hypothesis`](super::Hypothesis): the prefix counts, the end token
/// and the first token that the model is given do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// The token that ends a sequence. Without one only the maximum length does.
    pub end: Option<u32>,
    /// The end token is banned from sequences that are shorter.
    pub min_length: usize,
    /// A sequence ends when it has this many tokens; at least 1.
    pub max_length: usize,
    /// A token is banned if the last tokens of the sequence would with it become some that are
    /// there already, as many as this; at least 1, which lets every token come once. (Paulus et
    /// al. 2017 have 3.) The end token is never banned by this.
    pub no_repeat_ngram: Option<usize>,
    /// Tokens that never come.
    pub banned: Vec<u32>,
    /// The tokens that every sequence begins with, whatever the model thinks of them.
    pub prefix: Vec<u32>,
}

impl Constraints {
    /// Nothing but a maximum length.
    pub fn new(max_length: usize) -> Self {
        Constraints {
            end: None,
            min_length: 0,
            max_length,
            no_repeat_ngram: None,
            banned: Vec::new(),
            prefix: Vec::new(),
        }
    }

    /// Whether they contradict each other.
    ///
    /// # Errors
    /// [`DecodingError`] names the first that does not go with the others.
    pub fn check(&self) -> Result<(), DecodingError> {
        let Constraints { end, min_length, max_length, no_repeat_ngram, banned, prefix } = self;
        let (minimum, maximum, length) = (*min_length, *max_length, prefix.len());
        if maximum == 0 {
            return Err(DecodingError::NoLength);
        }
        if minimum > maximum {
            return Err(DecodingError::Lengths { minimum, maximum });
        }
        if length > maximum {
            return Err(DecodingError::PrefixLength { length, maximum });
        }
        if let Some(end) = end.filter(|end| prefix.contains(end)) {
            return Err(DecodingError::EndInPrefix(end));
        }
        if let Some(end) = end.filter(|end| banned.contains(end)) {
            return Err(DecodingError::EndBanned(end));
        }
        if let Some(&token) = prefix.iter().find(|token| banned.contains(token)) {
            return Err(DecodingError::BannedInPrefix(token));
        }
        if let Some(size) = *no_repeat_ngram {
            if size == 0 {
                return Err(DecodingError::NGram);
            }
            let repeats = |k: usize| repeating(&prefix[..k], size).any(|token| token == prefix[k]);
            if (0..length).any(repeats) {
                return Err(DecodingError::RepeatInPrefix { size });
            }
        }
        Ok(())
    }

    /// Whether a model of so many classes knows every token that is named.
    pub(super) fn check_tokens(&self, classes: usize) -> Result<(), DecodingError> {
        let Constraints { end, banned, prefix, .. } = self;
        let named = end.iter().map(|&token| ("end", token));
        let named = named.chain(banned.iter().map(|&token| ("list of banned tokens", token)));
        let mut named = named.chain(prefix.iter().map(|&token| ("forced prefix", token)));
        match named.find(|&(_, token)| token as usize >= classes) {
            Some((what, token)) => Err(DecodingError::UnknownToken { what, token, classes }),
            None => Ok(()),
        }
    }

    /// The token that must come after so many, if one must.
    pub(super) fn forced(&self, length: usize) -> Option<u32> {
        self.prefix.get(length).copied()
    }

    /// Sets to minus infinity whatever must not come after `tokens`, which are past the prefix.
    pub(super) fn ban(&self, tokens: &[u32], log_probabilities: &mut [f64]) {
        let end = self.end.filter(|_| tokens.len() < self.min_length);
        let size = self.no_repeat_ngram.unwrap_or(usize::MAX);
        let banned = self.banned.iter().copied();
        for token in banned.chain(end).chain(repeating(tokens, size)) {
            log_probabilities[token as usize] = f64::NEG_INFINITY;
        }
    }
}

/// The tokens with which the last `size - 1` tokens would be an n-gram that is there already.
fn repeating(tokens: &[u32], size: usize) -> impl Iterator<Item = u32> + '_ {
    let last = tokens.len().checked_sub(size - 1).map(|start| &tokens[start..]);
    let ngrams = last
        .into_iter()
        .flat_map(move |last| tokens.windows(size).filter(move |ngram| &ngram[..size - 1] == last));
    ngrams.map(move |ngram| ngram[size - 1])
}
