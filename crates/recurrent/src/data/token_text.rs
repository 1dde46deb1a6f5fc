//! A text as token numbers, wherever it is: what a language model learns from and is judged on.

use std::borrow::Cow;
use std::ops::Range;

use recurrent_training::TokenSource;

use super::{DataError, StreamedText};

/// A text as token numbers. Both kinds have the same tokens, so nothing that is made of them depends
/// on where they are.
pub enum TokenText {
    /// All of it is in memory.
    Loaded(Vec<u32>),
    /// It is read from its file as it is needed.
    Streamed(StreamedText),
}

impl TokenText {
    /// How many tokens it has.
    #[expect(clippy::len_without_is_empty, reason = "what is read has some, or is refused")]
    pub fn len(&self) -> usize {
        self.token_count()
    }

    /// Its first tokens, at most so many.
    ///
    /// # Errors
    /// As [`TokenSource::read`].
    pub fn beginning(&self, most: usize) -> Result<Cow<'_, [u32]>, DataError> {
        let count = most.min(self.len());
        match self {
            TokenText::Loaded(tokens) => Ok(tokens[..count].into()),
            TokenText::Streamed(text) => {
                let mut tokens = Vec::with_capacity(count);
                text.read(0, 0..count, &mut tokens)?;
                Ok(tokens.into())
            }
        }
    }

    /// All of its tokens, in memory.
    ///
    /// # Errors
    /// As [`TokenSource::read`].
    pub fn load(&mut self) -> Result<&mut Vec<u32>, DataError> {
        if let TokenText::Streamed(_) = self {
            *self = TokenText::Loaded(self.beginning(usize::MAX)?.into_owned());
        }
        match self {
            TokenText::Loaded(tokens) => Ok(tokens),
            TokenText::Streamed(_) => unreachable!("it was loaded in the line before"),
        }
    }
}

impl From<Vec<u32>> for TokenText {
    fn from(tokens: Vec<u32>) -> TokenText {
        TokenText::Loaded(tokens)
    }
}

impl TokenSource for TokenText {
    type Error = DataError;

    fn token_count(&self) -> usize {
        match self {
            TokenText::Loaded(tokens) => tokens.len(),
            TokenText::Streamed(text) => text.token_count(),
        }
    }

    /// # Errors
    /// [`DataError`] when its file cannot be read any more, or is not what it was.
    fn read(
        &self,
        stream: usize,
        range: Range<usize>,
        tokens: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        match self {
            TokenText::Loaded(loaded) => tokens.extend_from_slice(&loaded[range]),
            TokenText::Streamed(text) => text.read(stream, range, tokens)?,
        }
        Ok(())
    }
}
