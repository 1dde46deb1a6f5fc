//! What a person's data becomes: files and built-in data, text, tables, numbers, pictures,
//! vocabularies.
//!
//! Everything a person can get wrong here is a [`DataError`], and its message is the line that
//! they see: what is wrong, where, and what to do. What is wrong at one line of a file is a
//! [`Problem`], shown as `FILE:LINE: what is wrong`.

pub mod source;
pub use source::Source;

pub mod words;

pub mod vocabulary;
pub use vocabulary::{TokenKind, Vocabulary};

pub mod boundaries;
pub use boundaries::Boundaries;

pub mod labels;
pub use labels::Labels;

pub mod vectors;
pub use vectors::Vectors;

pub mod text;
pub use text::Corpus;

pub mod streamed;
pub use streamed::{StreamedCorpus, StreamedText};

mod token_text;
pub use token_text::TokenText;

pub mod table;
pub use table::{Columns, Row, Table};

pub mod numbers;
pub use numbers::{LabelledSeries, Series};

pub mod tagged;
pub use tagged::Tagged;

#[cfg(feature = "cli")]
pub mod images;
#[cfg(feature = "cli")]
pub use images::{Image, Pictures, PixelScale};

pub mod split;
pub use split::split_by_key;

mod problem;
pub use problem::Problem;

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

    /// A text that is read in several places at once is no file that allows it.
    #[error(
        "{}: is no regular file, and a text that is read from disk as it is needed (--stream) is \
         read in many places; write it to a file first", path.display()
    )]
    NotRegular {
        /// The path as it was given.
        path: PathBuf,
    },

    /// A text that is read while it is needed is not what it was.
    #[error(
        "{name}: was changed while it was read; a text that is read from disk as it is needed must \
         stay as it is until the command ends"
    )]
    Changed {
        /// The data as the person named it.
        name: String,
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

    /// Nothing that the data ask for was in the training.
    #[error(
        "{name}: none of its {what}s is known to the model; the first is {first}, and it knows \
         {known}"
    )]
    NoneKnown {
        /// The data as the person named it.
        name: String,
        /// What is unknown, in the singular: "tag".
        what: &'static str,
        /// The first of them, in quotes.
        first: String,
        /// Those that the model knows.
        known: String,
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

    /// Something is wrong at one line of a file.
    #[error("{name}:{line}: {problem}")]
    At {
        /// The data as the person named it.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, and what to do. (In a box, so that results stay small.)
        problem: Box<Problem>,
    },

    /// The file's name does not say how its columns are separated.
    #[error(
        "{name}: is it separated by tabs or by commas? a table's name ends in .tsv or .txt (tabs, \
         no quoting) or in .csv (commas, quoted cells): rename it"
    )]
    UnknownFormat {
        /// The data as the person named it.
        name: String,
    },

    /// The built-in data are not of the kind that the reader needs.
    #[error("{name}: is not {needed}")]
    WrongBuiltin {
        /// The data as the person named it, with `builtin:`.
        name: String,
        /// What the reader needs: "a table", for example.
        needed: &'static str,
    },

    /// A file has a first line and no more, or nothing but blank lines.
    #[error("{name}: holds no examples; give a file with at least one line of data")]
    NoExamples {
        /// The data as the person named it.
        name: String,
    },

    /// A column that is needed is not there.
    #[error(
        "{name}: no column is called {column:?}; the first line is {first_line}, so the columns \
         are called {columns}; {hint}"
    )]
    NoColumn {
        /// The data as the person named it.
        name: String,
        /// The column that was looked for.
        column: String,
        /// The first line, in quotes, cut off if it is long.
        first_line: String,
        /// The names in it.
        columns: String,
        /// What to do.
        hint: String,
    },

    /// Two columns have the name that is looked for.
    #[error(
        "{name}: two columns are called {column:?}; pick one by its number, from 1, with --columns"
    )]
    TwoColumns {
        /// The data as the person named it.
        name: String,
        /// The name.
        column: String,
    },

    /// A column's number is not between 1 and the number of columns.
    #[error("{name}: there is no column {number}; its columns are numbered from 1 to {columns}")]
    NoColumnNumber {
        /// The data as the person named it.
        name: String,
        /// The number that was asked for.
        number: usize,
        /// How many columns the file has.
        columns: usize,
    },

    /// A column is asked for by its name where there are no names.
    #[error(
        "{name}: the column {column:?} cannot be found by its name, because there is no header; \
         give its number, from 1 to {columns}"
    )]
    NoNames {
        /// The data as the person named it.
        name: String,
        /// The name.
        column: String,
        /// How many columns the file has.
        columns: usize,
    },

    /// `--columns` names too many or too few.
    #[error("--columns names {picked}, but needed are {needed}")]
    PickedCount {
        /// How many there are: "1 column", for example.
        picked: String,
        /// How many it has to be, and for what.
        needed: String,
    },

    /// A folder with one file a label is read with options that only a table has.
    #[error("{name}: is a folder with one file a label; --columns and --no-header are for tables")]
    FolderColumns {
        /// The folder as the person named it.
        name: String,
    },

    /// A folder holds no file with examples.
    #[error(
        "{name}: holds no .txt file; a folder of labels holds one file a label, LABEL.txt, with an \
         example a line"
    )]
    EmptyFolder {
        /// The folder as the person named it.
        name: String,
    },

    /// A folder of labels holds something that is no file of examples.
    #[error(
        "{}: is not a .txt file; a folder of labels holds one file a label, LABEL.txt, and nothing \
         else: move it elsewhere", path.display()
    )]
    ForeignFile {
        /// What does not belong there.
        path: PathBuf,
    },

    /// A file of tagged tokens is one endless sentence.
    #[error(
        "{name}: no blank line between sentences: {tokens} tokens in a row; put a blank line after \
         every sentence"
    )]
    NoBlankLine {
        /// The data as the person named it.
        name: String,
        /// How many tokens it has.
        tokens: usize,
    },

    /// Nothing can be held out, because all examples have the same input.
    #[error(
        "{name}: too small: a tenth is held out by its {key}, and there is only one; give more \
         data, or a file to be judged on with --valid"
    )]
    OneKey {
        /// The data as the person named it.
        name: String,
        /// What the examples are told apart by: "text", for example.
        key: &'static str,
    },

    /// All examples have the same label.
    #[error(
        "{name}: the only label is {label:?}, so there is nothing to tell apart; give examples of \
         at least two labels"
    )]
    OneLabel {
        /// The data as the person named it.
        name: String,
        /// The label.
        label: String,
    },

    /// A file of word vectors has none for any word of the vocabulary.
    #[error(
        "{name}: has a vector for none of the model's {words} {unit}; is it of another language, or \
         is --tokens not word?"
    )]
    NoVectors {
        /// The data as the person named it.
        name: String,
        /// How many tokens the vocabulary has.
        words: usize,
        /// What a token is called, in the plural: "words".
        unit: &'static str,
    },

    /// A file of word vectors has not as many as its first line says.
    #[error("{name}: its first line says {expected} words, but it has {found}; is it cut off?")]
    VectorCount {
        /// The data as the person named it.
        name: String,
        /// How many the first line says.
        expected: usize,
        /// How many there are.
        found: usize,
    },

    /// Numbers are finite, and their squares are not.
    #[error(
        "{name}: its numbers are so large that their squares cannot be counted; divide them all by \
         the same number"
    )]
    NumbersTooLarge {
        /// The data as the person named it.
        name: String,
    },

    /// A series has other columns than the model was trained with.
    #[error(
        "{name}: its columns are {found}, but the model was trained with {expected}; pick them in \
         this order with --columns"
    )]
    SeriesColumns {
        /// The data as the person named it.
        name: String,
        /// The columns that it has.
        found: String,
        /// Those it should have.
        expected: String,
    },

    /// The images or features are not of the shape that the model was trained with.
    #[error("{name}: holds {found}, but the model was trained with {expected}")]
    PictureShape {
        /// The data as the person named it.
        name: String,
        /// What they are.
        found: String,
        /// What they should be.
        expected: String,
    },
}

impl DataError {
    /// Something is wrong at one line of a file.
    pub(crate) fn at(name: impl Into<String>, line: usize, problem: Problem) -> DataError {
        DataError::At { name: name.into(), line, problem: Box::new(problem) }
    }
}

/// The vocabulary that the data of this name taught, if it knows a token.
///
/// # Errors
/// [`DataError::EmptyVocabulary`].
pub(crate) fn require_tokens(
    name: &str,
    vocabulary: Vocabulary,
    min_count: u64,
) -> Result<Vocabulary, DataError> {
    match vocabulary.len() {
        // The unknown one alone.
        1 => Err(DataError::EmptyVocabulary { name: name.to_owned(), min_count }),
        _ => Ok(vocabulary),
    }
}
