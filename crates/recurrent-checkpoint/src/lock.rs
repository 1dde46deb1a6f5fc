//! The lock of a folder: one process writes there at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The file that is locked. It is empty and stays: removing it while another process waits for it
/// would leave two processes with a lock each.
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
    #[error("cannot lock {}: {cause}", path.display())]
    Failed {
        /// The lock's file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
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
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { folder, _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { folder }),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Lock { folder, _file: file })
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
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
