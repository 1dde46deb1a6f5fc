//! The few file operations that saving is made of, behind a trait, so that tests can stop or fail
//! each of them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What saving asks of a file system.
pub(crate) trait Storage {
    /// A file that is being written.
    type File: Write;

    /// Creates a file that did not exist, for this writer alone. One that a dead writer left is
    /// replaced; one that another writer is using is an error.
    fn create_temporary(&self, path: &Path) -> io::Result<Self::File>;

    /// Returns when everything written to `file` is on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Renames `from` to `to`, replacing `to`, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when all creations, renamings and removals in the folder are on the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
pub(crate) struct Disk;

/// Each attempt but the last means that another writer came and went in the meantime.
const ATTEMPTS: usize = 8;

impl Storage for Disk {
    type File = File;

    /// The file is locked while it is open. A lock dies with its process, so that a file without
    /// one was left behind; and because only the holder of the lock removes or renames the file,
    /// no writer can take another's away.
    fn create_temporary(&self, path: &Path) -> io::Result<File> {
        for _ in 0..ATTEMPTS {
            match File::options().write(true).create_new(true).open(path) {
                Ok(file) => match is_claimed(&file, path) {
                    Ok(true) => return Ok(file),
                    Ok(false) => {}
                    // Whoever took the new file for a stale one removes it.
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(error),
                    Err(error) => {
                        let _ = self.remove(path);
                        return Err(error);
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_stale(path)?,
                Err(error) => return Err(error),
            }
        }
        Err(busy())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// A folder, a device or a pipe at `to` stays: renaming would replace all but the folder, which
    /// the superuser may do to `/dev/null`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let is_replaceable = uninterrupted(|| fs::symlink_metadata(to))
            .map_or(true, |metadata| metadata.is_file() || metadata.is_symlink());
        if !is_replaceable {
            let text = format!("{} is no file; move it away, or choose another name", to.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        uninterrupted(|| fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        uninterrupted(|| fs::remove_file(path))
    }

    #[cfg(unix)]
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Other systems give no way to sync a folder; they log its changes themselves.
    #[cfg(not(unix))]
    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Creates a folder, and those above it that are missing, so that a power cut does not take them
/// away again with what was saved in them. A folder that is there already is fine.
///
/// # Errors
/// The system's, when it refuses to create or to sync.
pub fn create_folder(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
        .collect();
    fs::create_dir_all(path)?;
    for folder in missing {
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Disk.sync_directory(parent)?;
    }
    Ok(())
}

/// Repeats what a signal interrupted. The standard library does so where it opens, writes and syncs
/// a file, and nowhere else.
fn uninterrupted<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Removes the temporary file of a writer that is gone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    match uninterrupted(|| fs::symlink_metadata(path)) {
        Ok(metadata) if metadata.is_file() => {}
        // A folder or a link of this name is not ours to remove, and a link not ours to follow.
        Ok(_) => {
            let text = format!("{} is in the way; remove it", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(error) => return gone(error),
    }
    match File::options().write(true).open(path) {
        Ok(stale) if is_claimed(&stale, path)? => uninterrupted(|| fs::remove_file(path)),
        Ok(_) => Ok(()),
        Err(error) => gone(error),
    }
}

/// Locks `file`; whether `path` still names it then. An error when another writer holds the lock.
fn is_claimed(file: &File, path: &Path) -> io::Result<bool> {
    match uninterrupted(|| file.try_lock().map_err(io::Error::from)) {
        Ok(()) => is_at(file, path),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(busy()),
        // Some file systems have no locks; there, one writer a file is the caller's duty.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether `path` names the open `file`.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = uninterrupted(|| file.metadata())?;
    match uninterrupted(|| fs::symlink_metadata(path)) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Other systems give no identity of a file to compare.
#[cfg(not(unix))]
pub(crate) fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    fs::exists(path)
}

fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another process is saving the same file")
}
