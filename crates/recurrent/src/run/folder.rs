//! The folder of a run: what lies in it, and when it may be written.
//!
//! ```text
//! config.toml           the options, as `train --config` reads them
//! metrics.jsonl         what was measured, one JSON object a line
//! step-000000500.ckpt   the state after a step; the newest few are kept, `resume` goes on from here
//! best.ckpt             the state with the lowest loss on held-out data: to be used
//! report.html           what `report` shows of the run
//! writer.lock           empty; locked while a process writes here
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use recurrent_checkpoint::{
    Checkpoint, Found, Lock, LockError, SaveError, Store, StoreError, create_folder,
    write_atomically,
};

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    store: Store,
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
    #[error("{}: nothing has been saved yet; train again", path.display())]
    NothingSaved {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes there.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// No checkpoint can be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The options cannot be saved.
    #[error(transparent)]
    Options(#[from] SaveError),
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
/// What is written before it gets that name.
const CONFIG_SAVING: &str = "config.toml.saving";
const METRICS: &str = "metrics.jsonl";
const REPORT: &str = "report.html";

impl RunFolder {
    fn at(path: &Path) -> RunFolder {
        RunFolder { path: path.to_owned(), store: Store::new(path) }
    }

    /// A new, empty run with these options, and the right to write to it. One that saved nothing
    /// makes way, with `force` one that did; anything else stays. Where this fails, what was there
    /// is there still, unless the old files cannot be removed.
    ///
    /// # Errors
    /// [`FolderError`] if something is there, or the system refuses.
    pub fn create(
        path: &Path,
        force: bool,
        options: &str,
    ) -> Result<(RunFolder, Lock), FolderError> {
        let was_there = path.symlink_metadata().is_ok();
        let folder = RunFolder::at(path);
        if was_there && !path.is_dir() {
            return Err(FolderError::NotARun { path: path.to_owned(), what: "a file" });
        }
        create_folder(path).map_err(failed(path, "create the folder"))?;
        folder.require_room(force)?;
        let lock = Lock::acquire(path)?;
        // Another process may have begun a run before the lock was taken.
        folder.require_room(force)?;
        match folder.replace(options) {
            Ok(()) => Ok((folder, lock)),
            Err(error) => {
                // A start that failed leaves no folder of ours behind; one that holds anything
                // stays.
                if !was_there {
                    lock.discard();
                    let _ = fs::remove_dir(path);
                }
                Err(error)
            }
        }
    }

    /// Nothing is here but what a run leaves that saved nothing, or with `force` one that did.
    fn require_room(&self, force: bool) -> Result<(), FolderError> {
        let path = &self.path;
        // Checkpoints are saved behind the options alone: without those they are another program's.
        let has_options = self.config().exists();
        if has_options && !self.has_options() {
            let what = "the folder of another program: its config.toml is not that of a run";
            return Err(FolderError::NotARun { path: path.clone(), what });
        }
        let unreadable = "read the folder";
        for entry in fs::read_dir(path).map_err(failed(path, unreadable))? {
            let name = entry.map_err(failed(path, unreadable))?.file_name();
            // A start that was killed while it wrote the options left them half written.
            if !has_options && !Lock::is_named(&name) && name != CONFIG_SAVING {
                let what = "not empty and not a run";
                return Err(FolderError::NotARun { path: path.clone(), what });
            }
        }
        if !force && !self.store.files()?.is_empty() {
            return Err(FolderError::Occupied { path: path.clone() });
        }
        Ok(())
    }

    /// Replaces the run that is here by a new one.
    fn replace(&self, options: &str) -> Result<(), FolderError> {
        // A disk that has no room for the options is found here, before anything is removed.
        let draft = self.path.join(CONFIG_SAVING);
        let _ = fs::remove_file(&draft);
        let written = File::create_new(&draft).and_then(|mut file| {
            file.write_all(options.as_bytes())?;
            file.sync_all()
        });
        if let Err(source) = written {
            let _ = fs::remove_file(&draft);
            return Err(failed(&draft, "write the file")(source));
        }
        // Only what a run writes; a person's own files stay. The checkpoints go first: a folder
        // without any is that of a run that saved nothing. The options stay until the new ones
        // replace them: they say that the folder is a run's, if this process is killed before.
        for file in self.store.files()?.into_iter().chain([self.metrics(), self.report()]) {
            match fs::remove_file(&file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&file, "remove the old file")(source));
                }
                _ => {}
            }
        }
        Ok(self.write_options(options)?)
    }

    /// Replaces the options: what is there is the old ones or the new ones, whole.
    ///
    /// # Errors
    /// As [`write_atomically`].
    pub fn write_options(&self, options: &str) -> Result<(), SaveError> {
        write_atomically(self.config(), options)
    }

    /// Whether `config.toml` holds a run's options, which always name these three.
    fn has_options(&self) -> bool {
        let text = fs::read_to_string(self.config()).unwrap_or_default();
        text.parse::<toml::Table>().is_ok_and(|table| {
            ["task", "data", "seed"].iter().all(|&option| table.contains_key(option))
        })
    }

    /// The run at `path`.
    ///
    /// # Errors
    /// [`FolderError`] if there is none.
    pub fn open(path: &Path) -> Result<RunFolder, FolderError> {
        let folder = RunFolder::at(path);
        let path = path.to_owned();
        match fs::metadata(&path) {
            Ok(_) if folder.config().is_file() => Ok(folder),
            Ok(metadata) if !metadata.is_dir() => Err(FolderError::NotAFolder { path }),
            Ok(_) => Err(FolderError::NoConfig { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FolderError::NoFolder { path })
            }
            Err(source) => Err(failed(&path, "open the folder")(source)),
        }
    }

    /// Takes the right to write to the run.
    ///
    /// # Errors
    /// [`FolderError::Locked`] if another process holds it.
    pub fn lock(&self) -> Result<Lock, FolderError> {
        Ok(Lock::acquire(&self.path)?)
    }

    /// The newest checkpoint that is whole: where the run goes on.
    ///
    /// # Errors
    /// [`FolderError::NothingSaved`], or [`FolderError::Store`] if there are only damaged ones.
    pub fn newest(&self) -> Result<Found, FolderError> {
        self.store.newest().map_err(|error| self.name_nothing(error))
    }

    /// The checkpoint to use: the best; the newest where no epoch has ended yet, or the best is
    /// damaged.
    ///
    /// # Errors
    /// As [`RunFolder::newest`].
    pub fn best(&self) -> Result<Found, FolderError> {
        self.store.best().map_err(|error| self.name_nothing(error))
    }

    /// The best checkpoint, or what is wrong with it.
    ///
    /// # Errors
    /// [`FolderError::Store`] if this version cannot use it.
    pub fn whole_best(&self) -> Result<Result<Checkpoint<'static>, String>, FolderError> {
        let (best, found) = (self.store.best_path(), self.best()?);
        if found.path == best {
            return Ok(Ok(found.checkpoint));
        }
        Ok(Err(match found.skipped.into_iter().next() {
            Some(damage) => damage.to_string(),
            None => format!("{}: is not there any more", best.display()),
        }))
    }

    fn name_nothing(&self, error: StoreError) -> FolderError {
        match error {
            StoreError::Empty { folder } => FolderError::NothingSaved { path: folder },
            other => other.into(),
        }
    }

    /// The run's checkpoints.
    pub fn store(&self) -> &Store {
        &self.store
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
    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.path.join(REPORT)
    }
}

/// The system's reason for what it refuses, with the place and what was to be done there.
fn failed(path: &Path, action: &'static str) -> impl Fn(io::Error) -> FolderError {
    move |source| FolderError::Failed { path: path.to_owned(), action, source }
}
