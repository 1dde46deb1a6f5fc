//! Where data come from: a path, or data that the program makes itself.

use super::DataError;
use crate::builtin::{self, Builtin};
use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader},
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

    /// Gives every line of a file that may be too large to be held at once, with its number from
    /// 1 and without its line end (LF or CRLF). A leading byte-order mark is dropped.
    ///
    /// # Errors
    /// Those of `take`, at which reading ends, and [`DataError`] when this is built-in data or a
    /// folder, cannot be read, or is not UTF-8.
    pub fn for_each_line(
        &self,
        mut take: impl FnMut(usize, &str) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let Source::Path(path) = self else {
            return Err(DataError::WrongBuiltin { name: self.to_string(), needed: "a file" });
        };
        if fs::metadata(path).map_err(|error| unreadable(path, error))?.is_dir() {
            return Err(DataError::IsDirectory { path: path.clone() });
        }
        let mut file = BufReader::new(File::open(path).map_err(|error| unreadable(path, error))?);
        let (mut bytes, mut offset) = (Vec::new(), 0);
        for line in 1.. {
            bytes.clear();
            let length = file.read_until(b'\n', &mut bytes);
            let length = length.map_err(|error| unreadable(path, error))?;
            if length == 0 {
                break;
            }
            let text = str::from_utf8(&bytes).map_err(|error| {
                let at = error.valid_up_to();
                let start = if line == 1 { &bytes[..] } else { &[] };
                not_utf8(&self.to_string(), bytes[at], offset + at, line, start)
            })?;
            let text = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| line == 1).unwrap_or(text);
            let text = text.strip_suffix('\n').unwrap_or(text);
            take(line, text.strip_suffix('\r').unwrap_or(text))?;
            offset += length;
        }
        Ok(())
    }

    /// A path that stands in this file: relative to its folder. (Built-in data name no files.)
    pub fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        match self {
            Source::Path(own) => own.parent().unwrap_or(Path::new("")).join(path),
            Source::Builtin(_) => path.as_ref().to_owned(),
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

pub(super) fn unreadable(path: &Path, error: io::Error) -> DataError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DataError::Missing { path },
        _ => DataError::Unreadable { path, source: error },
    }
}

pub(super) const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// The error for a byte that is no UTF-8; `start` is what the file begins with.
pub(super) fn not_utf8(
    name: &str,
    byte: u8,
    offset: usize,
    line: usize,
    start: &[u8],
) -> DataError {
    let hint = match start {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            "the file looks like UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`"
        }
        _ => "convert it, for example with `iconv -f ISO-8859-1 -t UTF-8`",
    };
    DataError::NotUtf8 { name: name.to_owned(), byte, offset, line, hint }
}

/// The text of a file's bytes; offsets in errors count from the file's first byte.
fn decode(name: &str, bytes: Vec<u8>) -> Result<String, DataError> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count();
        not_utf8(name, bytes[offset], offset, line, bytes)
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
