//! Where data come from: a path, or data that the program makes itself.

use super::DataError;
use crate::builtin::{self, Builtin};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Data that a person named, found but not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or folder.
    Path(PathBuf),
    /// Data that the program makes itself.
    Builtin(Builtin),
}

/// Finds the data that a person names: `builtin:NAME`, or else a path. A file whose own name
/// begins with `builtin:` is reached as `./builtin:...`.
///
/// # Errors
/// [`DataError::UnknownBuiltin`], [`DataError::Missing`], or [`DataError::Unreadable`] when the
/// system does not let us look.
pub fn open(name: impl AsRef<Path>) -> Result<Source, DataError> {
    let path = name.as_ref();
    if let Some(name) = path.to_str().and_then(|name| name.strip_prefix("builtin:")) {
        return match Builtin::from_name(name) {
            Some(builtin) => Ok(Source::Builtin(builtin)),
            None => Err(DataError::UnknownBuiltin {
                name: name.to_owned(),
                known: Builtin::ALL.map(|known| format!("builtin:{}", known.name())).join(", "),
            }),
        };
    }
    match fs::metadata(path) {
        Ok(_) => Ok(Source::Path(path.to_owned())),
        Err(error) => Err(unreadable(path, error)),
    }
}

impl Source {
    /// The whole text. A leading byte-order mark is dropped, and every CRLF becomes LF, so that
    /// a file reads the same whichever system wrote it; a CR without LF stays.
    ///
    /// # Errors
    /// [`DataError`] when this is a folder, cannot be read, is empty, is not UTF-8, or is
    /// built-in data other than text.
    pub fn read_text(&self) -> Result<String, DataError> {
        match self {
            Source::Builtin(Builtin::Text) => Ok(builtin::text(builtin::SEED)),
            Source::Builtin(other) => Err(DataError::NotText { name: other.name().to_owned() }),
            Source::Path(path) => {
                // Asked first, because reading a folder fails differently on every system.
                if fs::metadata(path).map_err(|error| unreadable(path, error))?.is_dir() {
                    return Err(DataError::IsDirectory { path: path.clone() });
                }
                let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
                decode(&self.to_string(), bytes)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => path.display().fmt(f),
            Source::Builtin(builtin) => write!(f, "builtin:{}", builtin.name()),
        }
    }
}

fn unreadable(path: &Path, error: io::Error) -> DataError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DataError::Missing { path },
        _ => DataError::Unreadable { path, source: error },
    }
}

/// The text of a file's bytes; offsets in errors count from the file's first byte.
fn decode(name: &str, bytes: Vec<u8>) -> Result<String, DataError> {
    const BYTE_ORDER_MARK: char = '\u{FEFF}';
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        DataError::NotUtf8 {
            name: name.to_owned(),
            byte: bytes[offset],
            offset,
            line: 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count(),
            hint: match bytes {
                [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
                    "the file looks like UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`"
                }
                _ => "convert it, for example with `iconv -f ISO-8859-1 -t UTF-8`",
            },
        }
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    if text.is_empty() {
        return Err(DataError::Empty { name: name.to_owned() });
    }
    // Most files have no CRLF and are not copied.
    Ok(if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text })
}
