//! Files for tests of readers, in a folder that goes away, and messages without its name.

use recurrent::data::{DataError, Source, source};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A folder that is deleted at the end of the test.
pub(crate) struct Files(TempDir);

impl Files {
    /// An empty folder.
    pub(crate) fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    /// Writes a file, with the folders it is in.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> Source {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        source::open(path).unwrap()
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The line that a person sees, without the folder's name.
    pub(crate) fn message(&self, error: &DataError) -> String {
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}
