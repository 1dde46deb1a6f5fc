//! A folder with one file a label.

use super::{DataError, Row, Source, Table};
use std::{ffi::OsStr, fs, io, path::Path, sync::Arc};

/// The lines of all files of a folder, each with its file's stem as the label. A row's line is
/// that of its file.
pub(super) fn read(folder: &Path) -> Result<Table, DataError> {
    let name = folder.display().to_string();
    let unreadable = |source| DataError::Unreadable { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
    files.retain(|path| !is_hidden(path));
    files.sort();
    let mut rows = Vec::new();
    for path in &files {
        let (Some(label), true) = (label(path), path.is_file()) else {
            return Err(DataError::ForeignFile { path: path.clone() });
        };
        let source = Source::Path(path.clone());
        let (text, name): (String, Arc<str>) = (source.read_text()?, source.to_string().into());
        let before = rows.len();
        let lines = (1..).zip(text.lines()).map(|(line, text)| (line, text.trim()));
        rows.extend(lines.filter(|(_, text)| !text.is_empty()).map(|(line, text)| {
            let cells = vec![text.to_owned(), label.to_owned()];
            Row { name: Arc::clone(&name), line, cells }
        }));
        if rows.len() == before {
            return Err(DataError::NoExamples { name: source.to_string() });
        }
    }
    if rows.is_empty() {
        return Err(DataError::EmptyFolder { name });
    }
    Ok(Table { name, rows })
}

/// The stem of a `.txt` file, without blanks at its ends.
fn label(path: &Path) -> Option<&str> {
    let is_text = path.extension()?.eq_ignore_ascii_case("txt");
    let stem = path.file_stem()?.to_str()?.trim();
    (is_text && !stem.is_empty()).then_some(stem)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with('.'))
}
