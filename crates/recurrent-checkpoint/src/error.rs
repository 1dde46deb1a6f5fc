//! Everything that can go wrong, in words that a person at a command line can act on.
//!
//! The `Display` of each error is complete in one line: it names the file where there is one, and
//! includes its cause. So `source()` is empty, and a chain printed link by link repeats nothing.
//! Names that come from a file are escaped: a hostile one cannot steer a terminal.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::format::Version;
use crate::section::ElementType;

/// Why bytes are not a checkpoint that this build can read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The first bytes are not those of a checkpoint.
    #[error("not a recurrent checkpoint ({})", describe_start(begins_with))]
    NotACheckpoint {
        /// Up to 8 bytes from the start.
        begins_with: Vec<u8>,
    },
    /// The format is of a later major version.
    #[error(
        "made by a newer version (format {found}; this build reads up to {supported}); update recurrent"
    )]
    NewerVersion {
        /// The version that the file states.
        found: Version,
        /// The latest version that this build knows.
        supported: Version,
    },
    /// The file uses features that a reader must know, and this build does not.
    #[error(
        "needs features that this build does not know (format {found} with critical flags {flags:#010x}; this build reads up to {supported}); update recurrent"
    )]
    UnknownFeatures {
        /// The critical bits that are set and unknown.
        flags: u32,
        /// The version that the file states.
        found: Version,
        /// The latest version that this build knows.
        supported: Version,
    },
    /// The end is missing.
    #[error("truncated: {found} bytes of {expected}; use an earlier checkpoint")]
    Truncated {
        /// Bytes that are there.
        found: u64,
        /// Bytes that the file says it has, or the least size of any checkpoint where the file is
        /// too short to say.
        expected: u64,
    },
    /// There is more than the file says it has.
    #[error(
        "damaged: {found} bytes where {expected} were written; something was appended; use an earlier checkpoint"
    )]
    TrailingBytes {
        /// Bytes that are there.
        found: u64,
        /// Bytes that the file says it has.
        expected: u64,
    },
    /// The fixed part at the beginning, with versions and lengths, fails its checksum.
    #[error("damaged: the preamble fails its checksum; use an earlier checkpoint")]
    DamagedPreamble,
    /// The header, with the list of sections, fails its checksum.
    #[error("damaged: the header fails its checksum; use an earlier checkpoint")]
    DamagedHeader,
    /// A section fails its checksum.
    #[error(
        "damaged: section `{}` fails its checksum; use an earlier checkpoint",
        name.escape_debug()
    )]
    DamagedSection {
        /// The section's name.
        name: String,
    },
    /// A byte between sections is not zero.
    #[error("damaged: the padding at byte {offset} is not zero; use an earlier checkpoint")]
    DamagedPadding {
        /// Where in the file.
        offset: u64,
    },
    /// The header passes its checksum and still makes no sense: not written by this crate.
    #[error("invalid header: {reason}")]
    InvalidHeader {
        /// What is wrong.
        reason: String,
    },
    /// The header passes its checksum, but this entry of it makes no sense.
    #[error("invalid section `{}`: {reason}", name.escape_debug())]
    InvalidSection {
        /// The section's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The machine has no room for what the file holds.
    #[error("not enough memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: u64,
    },
}

fn describe_start(bytes: &[u8]) -> String {
    match bytes {
        [] => "it is empty".to_owned(),
        _ => format!("it begins with \"{}\"", bytes.escape_ascii()),
    }
}

/// Why a checkpoint file could not be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be opened or read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// The path names a folder, a device or a pipe.
    #[error("cannot read {}: not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file was read, and is not a checkpoint that this build can use.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with its bytes.
        reason: FormatError,
    },
    /// The file lies in a store, and is not what its name says.
    #[error("{}: {}", path.display(), describe_step(*expected, *found))]
    WrongStep {
        /// The file.
        path: PathBuf,
        /// The step in its name, if there is one.
        expected: Option<u64>,
        /// The step that it holds, if it says.
        found: Option<u64>,
    },
}

impl LoadError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::NotAFile { path }
            | Self::Format { path, .. }
            | Self::WrongStep { path, .. } => path,
        }
    }
}

fn describe_step(expected: Option<u64>, found: Option<u64>) -> String {
    match (expected, found) {
        (_, None) => "does not say which step it is of, so it was not saved here".to_owned(),
        (None, Some(found)) => format!("is of step {found}"),
        (Some(expected), Some(found)) => {
            format!("is of step {found}, not {expected}; it was renamed or copied")
        }
    }
}

/// Why a checkpoint cannot be turned into bytes: it is larger than the format's bounds, which stand
/// so that no file can make a reader reserve much memory for its header.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Kind, metadata and the list of sections together are too long.
    #[error("the header takes {bytes} bytes; at most {limit} are allowed (put text into sections)")]
    HeaderTooLarge {
        /// Bytes of the encoded header.
        bytes: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// Too many sections.
    #[error("{count} sections; at most {limit} are allowed")]
    TooManySections {
        /// Sections of the checkpoint.
        count: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// Too many entries of metadata.
    #[error("{count} entries of metadata; at most {limit} are allowed")]
    TooManyMetadata {
        /// Entries of metadata.
        count: usize,
        /// The most that are allowed.
        limit: usize,
    },
}

/// The step of saving that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Turning the checkpoint into bytes; no file was touched.
    Encode,
    /// Finding the folder and creating the temporary file in it.
    Create,
    /// Writing the temporary file.
    Write,
    /// Syncing the temporary file to the disk.
    Sync,
    /// Renaming the temporary file to its final name.
    Rename,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encode => "preparing it",
            Self::Create => "creating a temporary file beside it",
            Self::Write => "writing",
            Self::Sync => "syncing to the disk",
            Self::Rename => "renaming the temporary file",
        })
    }
}

/// Why a file could not be saved. The two kinds differ in what is at the path now.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaveError {
    /// Nothing changed: what was at the path before is there still, byte for byte.
    #[error("cannot save {}: {operation} failed: {cause}; nothing was changed", path.display())]
    NotCommitted {
        /// The file that was to be written.
        path: PathBuf,
        /// The step that failed.
        operation: Operation,
        /// The reason.
        cause: io::Error,
    },
    /// The new file is at the path, whole, but a power cut may still bring the old one back.
    #[error(
        "saved {}, but its folder could not be synced to the disk: {cause}; a power cut may undo this save",
        path.display()
    )]
    DurabilityUncertain {
        /// The file that was written.
        path: PathBuf,
        /// The reason.
        cause: io::Error,
    },
}

/// Why a checkpoint, sound as a file, does not hold what its reader asked for.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentError {
    /// The checkpoint is of another kind.
    #[error("holds a `{}`, not a `{expected}`", found.escape_debug())]
    WrongKind {
        /// The kind asked for.
        expected: String,
        /// The checkpoint's kind.
        found: String,
    },
    /// There is no such metadata.
    #[error("has no metadata `{key}`")]
    MissingMetadata {
        /// The key asked for.
        key: String,
    },
    /// There is no such section.
    #[error("has no section `{name}`")]
    MissingSection {
        /// The name asked for.
        name: String,
    },
    /// The section holds values of another type.
    #[error("section `{}` holds {found}, not {expected}", name.escape_debug())]
    WrongType {
        /// The section's name.
        name: String,
        /// The type asked for.
        expected: ElementType,
        /// The section's type.
        found: ElementType,
    },
    /// The section has another shape.
    #[error("section `{}` has shape {found:?}, not {expected:?}", name.escape_debug())]
    WrongShape {
        /// The section's name.
        name: String,
        /// The shape asked for.
        expected: Vec<usize>,
        /// The section's shape.
        found: Vec<usize>,
    },
}
