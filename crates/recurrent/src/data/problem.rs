//! What can be wrong at one line of a file.

use std::path::PathBuf;

/// What is wrong at a line, and what to do about it; [`DataError::At`](super::DataError::At) says
/// which line of which file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A row has more or fewer cells than the first one.
    #[error("has {found}, but line {first} has {expected}; {hint}")]
    ColumnCount {
        /// How many it has: "3 columns".
        found: String,
        /// The line that it is compared with, from 1.
        first: usize,
        /// How many that one has.
        expected: usize,
        /// How columns are separated.
        hint: &'static str,
    },

    /// The file has fewer columns than the task reads.
    #[error("has {found}, but needed are {needed}; {hint}")]
    TooFewColumns {
        /// How many it has: "1 column".
        found: String,
        /// Those that are needed.
        needed: String,
        /// How columns are separated.
        hint: &'static str,
    },

    /// A cell that must hold something is blank.
    #[error("the column {column:?} is empty; fill it in, or leave the line out")]
    EmptyCell {
        /// The column.
        column: String,
    },

    /// A quoted cell never ends.
    #[error("a quoted cell begins here and never ends; a quote inside it is written twice: \"\"")]
    UnclosedQuote,

    /// Something follows a quoted cell that is no comma.
    #[error(
        "{found:?} follows the end of a quoted cell; put a comma between cells, and write a quote \
         inside a cell twice: \"\""
    )]
    AfterQuote {
        /// What follows.
        found: char,
    },

    /// A cell of a numeric column is no finite number.
    #[error("the column {column:?} holds {cell:?}, which is not a finite number; {hint}")]
    NotANumber {
        /// The column.
        column: String,
        /// The cell.
        cell: String,
        /// What to do.
        hint: String,
    },

    /// A series has two labels.
    #[error(
        "the series {series:?} has the label {label:?} here and {earlier:?} before; every row of a \
         series has the same label"
    )]
    TwoLabels {
        /// The series.
        series: String,
        /// The label at this line.
        label: String,
        /// The label of its rows above.
        earlier: String,
    },

    /// A label that the model was not trained with.
    #[error("{label:?} is not a label that the model knows; it knows {known}")]
    UnknownLabel {
        /// The label.
        label: String,
        /// Those it knows.
        known: String,
    },

    /// A line of tagged tokens is not a token and a tag.
    #[error("is not a token, a tab and a tag: it has {found}; {hint}")]
    NotTagged {
        /// How many it has: "3 columns".
        found: String,
        /// What to do.
        hint: &'static str,
    },

    /// There is no file at the path of an image.
    #[error(
        "the image {} does not exist; a path is relative to the file that names it",
        path.display()
    )]
    MissingImage {
        /// The path, with the folder of the file that names it.
        path: PathBuf,
    },

    /// The file of an image cannot be read as one.
    #[error("the image {} cannot be read: {reason}", path.display())]
    BrokenImage {
        /// The path, with the folder of the file that names it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// An image is of another size than the first.
    #[error(
        "the image {} has {size} pixels, but {} has {first_size}; resize all images to one size",
        path.display(), first.display()
    )]
    ImageSize {
        /// The image.
        path: PathBuf,
        /// Its size, width before height: "64x48".
        size: String,
        /// The first image.
        first: PathBuf,
        /// The size of that one.
        first_size: String,
    },

    /// A cell of an image column is neither an image's path nor numbers.
    #[error(
        "{cell:?} is neither the path of a .png, .jpg or .jpeg file nor a list of finite numbers \
         separated by blanks"
    )]
    NotAPicture {
        /// The cell, cut off if it is long.
        cell: String,
    },

    /// A column mixes images with features.
    #[error(
        "holds {found}, but the rows above hold {expected}; a column is of images or of features, \
         not of both"
    )]
    MixedPictures {
        /// What this row holds.
        found: &'static str,
        /// What the first row holds.
        expected: &'static str,
    },

    /// A list of features is not as long as the first.
    #[error("has {found}, but line {first} has {expected}; every list has the same length")]
    FeatureCount {
        /// How many it has: "3 features".
        found: String,
        /// The line of the first list.
        first: usize,
        /// How many that one has.
        expected: usize,
    },

    /// A word vector is not as long as the first.
    #[error("the vector of {word:?} has {found}, expected: {expected}; is the line cut off?")]
    VectorLength {
        /// The word.
        word: String,
        /// How many numbers it has: "3 numbers".
        found: String,
        /// How many it should have.
        expected: usize,
    },

    /// A word vector holds something that is not a finite number.
    #[error("the vector of {word:?} holds {cell:?}, which is not a finite number")]
    VectorNumber {
        /// The word.
        word: String,
        /// What it holds.
        cell: String,
    },
}

/// "1 column", "2 columns".
pub(super) fn count(number: usize, singular: &str) -> String {
    format!("{number} {singular}{}", if number == 1 { "" } else { "s" })
}

/// A text in quotes, cut off where it is too long for a message.
pub(super) fn quote(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// A text that fits into a message.
pub(super) fn shortened(text: &str) -> String {
    cut_off(text, 80)
}

fn cut_off(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Names in quotes, joined by commas; no more than 20 of them.
pub(super) fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    const MOST: usize = 20;
    let mut names = names.into_iter();
    let mut shown: Vec<String> =
        names.by_ref().take(MOST).map(|name| format!("{:?}", cut_off(name.as_ref(), 30))).collect();
    let left = names.count();
    if left > 0 {
        shown.push(format!("and {left} more"));
    }
    shown.join(", ")
}
