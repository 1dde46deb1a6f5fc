//! What a person's data becomes: files and built-in data, text, vocabularies.
//!
//! Everything a person can get wrong here is a [`DataError`], and its message is the line that
//! they see: what is wrong, where, and what to do.

pub mod source;
pub use source::Source;

pub mod words;

pub mod vocabulary;
pub use vocabulary::{TokenKind, Vocabulary};

pub mod text;
pub use text::Corpus;

use std::{io, path::PathBuf};

/// What can be wrong with data.
///
/// `name` is the data as the person named it: a path or `builtin:NAME`. The message of
/// [`DataError::Unreadable`] leaves the system's reason to [`source`](std::error::Error::source):
/// print the chain (with anyhow, `{:#}`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// There is no file at the path.
    #[error("{}: no such file; give the path of a file, or `builtin:NAME`", path.display())]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },

    /// The path is a folder and a file is needed.
    #[error("{}: is a folder; give the path of a file in it", path.display())]
    IsDirectory {
        /// The path as it was given.
        path: PathBuf,
    },

    /// The system refuses to read the file.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// There are no built-in data of this name.
    #[error("builtin:{name}: no such built-in data; there is {known}")]
    UnknownBuiltin {
        /// What stood after `builtin:`.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },

    /// The built-in data are not of the kind that the reader needs.
    #[error("builtin:{name}: is not plain text")]
    NotText {
        /// The name after `builtin:`.
        name: String,
    },

    /// The file holds nothing (or a byte-order mark alone).
    #[error("{name}: is empty; give a file with text in it")]
    Empty {
        /// The data as the person named it.
        name: String,
    },

    /// The file is not UTF-8 text.
    #[error(
        "{name}: is not UTF-8 text: byte 0x{byte:02X} at offset {offset} (line {line}); {hint}"
    )]
    NotUtf8 {
        /// The data as the person named it.
        name: String,
        /// The first byte that cannot stand where it is.
        byte: u8,
        /// Its offset from the start of the file, in bytes, from 0.
        offset: usize,
        /// Its line, from 1.
        line: usize,
        /// What to do.
        hint: &'static str,
    },

    /// The data hold too few tokens for what is asked of them.
    #[error("{name}: too small: {part} has {tokens} {unit}, at least {needed} are needed; {hint}")]
    TooSmall {
        /// The data as the person named it.
        name: String,
        /// Which part of the data: "the training part", for example.
        part: &'static str,
        /// How many tokens it has.
        tokens: usize,
        /// How many it would need.
        needed: usize,
        /// What a token is called, in the plural: "characters".
        unit: &'static str,
        /// What to do.
        hint: String,
    },

    /// No token is frequent enough for the vocabulary.
    #[error(
        "{name}: no token occurs {min_count} times, so the vocabulary is empty; lower --min-count"
    )]
    EmptyVocabulary {
        /// The data as the person named it.
        name: String,
        /// The least count that was asked for.
        min_count: u64,
    },

    /// A text holds a token that the model has never seen.
    #[error("{token:?} ({unit} {position}) is not in the model's vocabulary; {hint}")]
    UnknownToken {
        /// The token.
        token: String,
        /// What a token is called, in the singular: "character".
        unit: &'static str,
        /// Which token of the text it is, from 1.
        position: usize,
        /// What to write instead.
        hint: String,
    },
}
