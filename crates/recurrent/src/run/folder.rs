//! The folder of a run: what lies in it, and when it may be written.
//!
//! ```text
//! config.toml     the options, as `train --config` reads them
//! metrics.jsonl   what was measured, one JSON object a line
//! last.ckpt       the newest state: `resume` goes on from here
//! best.ckpt       the state with the lowest loss on held-out data: to be used
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is a run already.
    #[error(
        "{}: there is a run already; choose another --out, go on with `recurrent resume`, or \
         overwrite it with --force",
        path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Something else than a run is there, and stays.
    #[error(
        "{}: is {what}, so nothing is written there; choose another folder",
        path.display()
    )]
    NotARun {
        /// The file or folder.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// There is no folder.
    #[error("{}: no such folder; give the folder of a run, as `train --out` made it", path.display())]
    NoFolder {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is a file where the folder should be.
    #[error("{}: is a file; give the folder of the run", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// There is no run.
    #[error("{}: is not the folder of a run: it holds no {CONFIG}", path.display())]
    NoConfig {
        /// The folder.
        path: PathBuf,
    },
    /// The run has no checkpoint.
    #[error("{}: nothing has been saved yet; train again with --force", path.display())]
    NothingSaved {
        /// The folder.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{}: cannot {action}", path.display())]
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// What could not be done to it.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const LAST: &str = "last.ckpt";
const BEST: &str = "best.ckpt";

impl RunFolder {
    /// A new, empty run. With `force`, a run that is there makes way; anything else stays.
    ///
    /// # Errors
    /// [`FolderError`] if something is there, or the system refuses.
    pub fn create(path: &Path, force: bool) -> Result<RunFolder, FolderError> {
        let folder = RunFolder { path: path.to_owned() };
        let failed =
            |action| move |source| FolderError::Failed { path: path.to_owned(), action, source };
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir() && !path.is_dir()) {
            return Err(FolderError::NotARun { path: path.to_owned(), what: "a file" });
        }
        fs::create_dir_all(path).map_err(failed("create the folder"))?;
        let entries = fs::read_dir(path).map_err(failed("read the folder"))?;
        if entries.count() > 0 {
            if !folder.config().is_file() {
                let what = "not empty and not a run";
                return Err(FolderError::NotARun { path: path.to_owned(), what });
            }
            if !force {
                return Err(FolderError::Occupied { path: path.to_owned() });
            }
            // Only what a run writes; a person's own files stay.
            for file in [folder.config(), folder.metrics(), folder.last(), folder.best()] {
                match fs::remove_file(&file) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        let action = "remove the old file";
                        return Err(FolderError::Failed { path: file, action, source });
                    }
                    _ => {}
                }
            }
        }
        Ok(folder)
    }

    /// The run at `path`.
    ///
    /// # Errors
    /// [`FolderError`] if there is none.
    pub fn open(path: &Path) -> Result<RunFolder, FolderError> {
        let folder = RunFolder { path: path.to_owned() };
        let path = path.to_owned();
        match fs::metadata(&path) {
            Ok(_) if folder.config().is_file() => Ok(folder),
            Ok(metadata) if !metadata.is_dir() => Err(FolderError::NotAFolder { path }),
            Ok(_) => Err(FolderError::NoConfig { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FolderError::NoFolder { path })
            }
            Err(source) => Err(FolderError::Failed { path, action: "open the folder", source }),
        }
    }

    /// The checkpoint to use: the best, or the last where no epoch has ended yet.
    ///
    /// # Errors
    /// [`FolderError::NothingSaved`] if nothing has been saved yet.
    pub fn model(&self) -> Result<PathBuf, FolderError> {
        [self.best(), self.last()]
            .into_iter()
            .find(|file| file.is_file())
            .ok_or_else(|| FolderError::NothingSaved { path: self.path.clone() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }
    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }
    /// `last.ckpt`.
    pub fn last(&self) -> PathBuf {
        self.path.join(LAST)
    }
    /// `best.ckpt`.
    pub fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }
}
