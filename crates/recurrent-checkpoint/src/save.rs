//! Saving: a temporary sibling, written and synced, renamed into place, and its folder synced.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Operation, SaveError};
use crate::format::Encoded;
use crate::storage::{Disk, Storage};

/// Small pieces are gathered up to this many bytes before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// What the name of a file that is being written ends with.
pub(crate) const SAVING: &str = ".saving";

/// Replaces the file at `path` by `bytes`: after a crash or a power cut at any moment, what is
/// there is the old file or the new one, whole. When this returns `Ok`, it is the new one.
///
/// The bytes go to a sibling, named as the file with `.saving` behind it, that is synced and then
/// renamed; a sibling left by a killed process is replaced. So the folder must be writable, there
/// must be room for both files, and a symbolic link at `path` is replaced, not followed. One
/// process saves to a path at a time: another one is told that it is busy. A folder that was just
/// created must be synced by whoever created it.
///
/// # Errors
/// [`SaveError::NotCommitted`] when nothing changed, [`SaveError::DurabilityUncertain`] when the
/// file was replaced and a power cut may undo it.
pub fn write_atomically(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<(), SaveError> {
    replace(&Disk, path.as_ref(), |file| file.write_all(bytes.as_ref()))
}

/// See [`Checkpoint::save`].
pub(crate) fn save(checkpoint: &Checkpoint<'_>, path: &Path) -> Result<(), SaveError> {
    save_to(&Disk, checkpoint, path)
}

/// [`save`] on any storage.
pub(crate) fn save_to<S: Storage>(
    storage: &S,
    checkpoint: &Checkpoint<'_>,
    path: &Path,
) -> Result<(), SaveError> {
    let encoded = Encoded::new(checkpoint).map_err(|error| SaveError::NotCommitted {
        path: path.to_owned(),
        operation: Operation::Encode,
        cause: io::Error::new(io::ErrorKind::InvalidInput, error),
    })?;
    replace(storage, path, |file| {
        let mut writer = BufWriter::with_capacity(WRITE_BYTES, file);
        encoded.write(&mut writer)?;
        writer.flush()
    })
}

/// Replaces the file at `path` by what `write` writes.
pub(crate) fn replace<S: Storage>(
    storage: &S,
    path: &Path,
    write: impl FnOnce(&mut S::File) -> io::Result<()>,
) -> Result<(), SaveError> {
    let not_committed = |operation| {
        move |cause| SaveError::NotCommitted { path: path.to_owned(), operation, cause }
    };
    let (folder, temporary) = places(path).map_err(not_committed(Operation::Create))?;
    let mut file = storage
        .create_temporary(&temporary)
        .map_err(|error| name_missing_folder(error, folder))
        .map_err(not_committed(Operation::Create))?;
    // A failed sync is never repeated: the system may have dropped the pages and call them clean.
    let committed = write(&mut file)
        .map_err(not_committed(Operation::Write))
        .and_then(|()| storage.sync(&file).map_err(not_committed(Operation::Sync)))
        .and_then(|()| storage.rename(&temporary, path).map_err(not_committed(Operation::Rename)));
    if let Err(error) = committed {
        // The first error is the one to report; what stays behind is replaced by the next save.
        let _ = storage.remove(&temporary);
        return Err(error);
    }
    storage
        .sync_directory(folder)
        .map_err(|cause| SaveError::DurabilityUncertain { path: path.to_owned(), cause })
}

/// The folder of `path`, and the temporary sibling.
fn places(path: &Path) -> io::Result<(&Path, PathBuf)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = OsString::from(name);
    temporary.push(SAVING);
    Ok((folder, path.with_file_name(temporary)))
}

/// Says in words what "not found" means when a file is to be created.
fn name_missing_folder(error: io::Error, folder: &Path) -> io::Error {
    if error.kind() == io::ErrorKind::NotFound {
        let text = format!("the folder {} does not exist", folder.display());
        return io::Error::new(io::ErrorKind::NotFound, text);
    }
    error
}
