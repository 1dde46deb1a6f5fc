//! The lock of a folder: one process writes there at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::storage::is_at;

/// The file that is locked. It is empty and stays.
const NAME: &str = "writer.lock";

/// The right to write to a folder, until it is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    folder: PathBuf,
    /// Open as long as the lock is held.
    _file: File,
}

/// Why a folder cannot be written to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds the lock.
    #[error("{}: another process is writing there; wait until it ends, or stop it", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
    },
    /// The lock's file cannot be made or locked.
    #[error("cannot lock {}: {cause}{}", path.display(), hint(cause))]
    Failed {
        /// The lock's file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
}

/// What to do where a folder can only be read.
fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; use a folder that you may write to, such as a copy of this one"
        }
        _ => "",
    }
}

impl Lock {
    /// Locks `folder`, which must exist, or says at once that another process holds it. The lock
    /// is on a file `writer.lock` there. Where a file system has no locks, one writer a folder is
    /// the caller's duty.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(folder: impl AsRef<Path>) -> Result<Lock, LockError> {
        let folder = folder.as_ref().to_owned();
        let path = folder.join(NAME);
        let failed = |cause| LockError::Failed { path: path.clone(), cause };
        // A pipe of this name would wait for its other end, and a link lead elsewhere.
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let text = "not a regular file; remove it";
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, text)));
        }
        loop {
            let mut options = File::options();
            let file =
                options.write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(LockError::Held { folder }),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // A holder may have removed it after it was opened here.
            if is_at(&file, &path).map_err(failed)? {
                return Ok(Lock { folder, _file: file });
            }
        }
    }

    /// Gives the lock back and removes its file, where nothing came of the folder.
    pub fn discard(self) {
        // What cannot be removed does no harm: it is empty, and nobody holds it.
        let _ = fs::remove_file(self.folder.join(NAME));
    }

    /// Whether `name` is that of the lock's file.
    #[must_use]
    pub fn is_named(name: &std::ffi::OsStr) -> bool {
        name == NAME
    }

    /// The folder that is locked.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
