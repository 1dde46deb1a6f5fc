//! A folder of checkpoints: the newest few, and the best.
//!
//! ```text
//! step-000000400.ckpt   one file a save, by the number of its step
//! step-000000500.ckpt
//! best.ckpt             the one that was called the best
//! writer.lock           locked by the process that saves
//! ```
//!
//! A file that is damaged costs the steps since the one before it, and not the run: reading looks
//! for the newest that is whole, and says what it passed over.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::checkpoint::Checkpoint;
use crate::error::{FormatError, LoadError, SaveError};
use crate::load::{Summary, inspect};
use crate::lock::Lock;
use crate::save::{SAVING, save_to};
use crate::storage::{Disk, Storage};

/// The metadata under which a store keeps a checkpoint's step, in decimal digits.
const STEP: &str = "step";
const BEST: &str = "best.ckpt";
const PREFIX: &str = "step-";
const SUFFIX: &str = ".ckpt";
/// How often a folder is read again because a file was removed between its listing and its loading.
const ATTEMPTS: usize = 8;

/// A folder of checkpoints, to be read. Reading needs no lock and disturbs no writer.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A checkpoint that was found in a [`Store`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Its step.
    pub step: u64,
    /// What is in it.
    pub checkpoint: Checkpoint<'static>,
    /// Files that would have come first and are damaged, in the order in which they were tried.
    pub skipped: Vec<LoadError>,
}

/// Why a [`Store`] has no checkpoint to give.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot be read.
    #[error("cannot read the folder {}: {cause}", folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// What a killed save left cannot be removed.
    #[error("cannot remove {}, which a save that was stopped left: {cause}", path.display())]
    Clean {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// There is no checkpoint.
    #[error("{}: holds no checkpoint", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// There are checkpoints, and each is damaged.
    #[error("{}: no checkpoint in it is whole: {}", folder.display(), join(skipped))]
    NothingWhole {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with each.
        skipped: Vec<LoadError>,
    },
    /// A checkpoint is not damaged, and cannot be used here: another version made it, there is no
    /// memory for it, or the system does not let it be read. Going back to an older one would throw
    /// away what it holds.
    #[error(transparent)]
    Unusable(LoadError),
}

fn join(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Store {
    /// The store in `folder`, which may be empty.
    pub fn new(folder: impl Into<PathBuf>) -> Store {
        Store { folder: folder.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a step's checkpoint, whether it is there or not.
    #[must_use]
    pub fn step_path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{step:09}{SUFFIX}"))
    }

    /// The file of the best checkpoint, whether it is there or not.
    #[must_use]
    pub fn best_path(&self) -> PathBuf {
        self.folder.join(BEST)
    }

    /// The steps whose checkpoints are there, damaged or not, ascending.
    ///
    /// # Errors
    /// [`StoreError::List`].
    pub fn steps(&self) -> Result<Vec<u64>, StoreError> {
        let mut steps: Vec<u64> = self.names()?.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Every checkpoint that is there, damaged or not: by step, the best behind them.
    ///
    /// # Errors
    /// [`StoreError::List`].
    pub fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files: Vec<PathBuf> =
            self.steps()?.into_iter().map(|step| self.step_path(step)).collect();
        files.extend(Some(self.best_path()).filter(|best| best.symlink_metadata().is_ok()));
        Ok(files)
    }

    /// The newest checkpoint that is whole; the best one is among those that are looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest(&self) -> Result<Found, StoreError> {
        self.with_listing(|steps, skipped| {
            let mut best = None;
            for &step in steps.iter().rev() {
                // Behind a damaged file the best may be newer than the next.
                if !skipped.is_empty() && best.is_none() {
                    best = Some(self.try_load(self.best_path(), None, skipped)?);
                }
                if let Some(Some((found, _))) = &best
                    && *found > step
                {
                    break;
                }
                let path = self.step_path(step);
                if let Some(loaded) = self.try_load(path.clone(), Some(step), skipped)? {
                    return Ok(Some((path, loaded)));
                }
            }
            let best = match best {
                Some(best) => best,
                None => self.try_load(self.best_path(), None, skipped)?,
            };
            Ok(best.map(|loaded| (self.best_path(), loaded)))
        })
    }

    /// The best checkpoint; where there is none yet, or it is damaged, the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn best(&self) -> Result<Found, StoreError> {
        let mut skipped = Vec::new();
        match self.try_load(self.best_path(), None, &mut skipped) {
            Ok(Some((step, checkpoint))) => {
                return Ok(Found { path: self.best_path(), step, checkpoint, skipped });
            }
            Ok(None) | Err(Miss::Gone) => {}
            Err(Miss::Unusable(error)) => return Err(StoreError::Unusable(error)),
        }
        // It names the best too, if that is damaged and was looked at for want of others.
        self.newest().map(|mut found| {
            found.skipped.retain(|error| error.path() != self.best_path());
            found.skipped.splice(0..0, skipped);
            found
        })
    }

    /// The checkpoint of `step`, or of the step next below it that is whole.
    ///
    /// # Errors
    /// [`StoreError`]; it is [`StoreError::Empty`] where there is none so old.
    pub fn at_most(&self, step: u64) -> Result<Found, StoreError> {
        self.with_listing(|steps, skipped| {
            for &step in steps.iter().rev().filter(|&&found| found <= step) {
                let path = self.step_path(step);
                if let Some(loaded) = self.try_load(path.clone(), Some(step), skipped)? {
                    return Ok(Some((path, loaded)));
                }
            }
            Ok(None)
        })
    }

    /// What is in one of the store's [`files`](Store::files), and whether it is whole. `None` if it
    /// is not there any more: a writer may have removed it.
    ///
    /// # Errors
    /// As [`inspect`]; and [`LoadError::WrongStep`] if it is whole and says another step than its
    /// name.
    pub fn inspect(&self, file: &Path) -> Result<Option<Summary>, LoadError> {
        let summary = match inspect(file) {
            Err(LoadError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            summary => summary?,
        };
        let expected = file.file_name().and_then(OsStr::to_str).and_then(step_of);
        let found = step_in(&summary.metadata);
        match found {
            Some(found) if expected.is_none_or(|step| step == found) => Ok(Some(summary)),
            _ if !summary.is_intact() => Ok(Some(summary)),
            _ => Err(LoadError::WrongStep { path: file.to_owned(), expected, found }),
        }
    }

    /// Lists the folder and looks for a checkpoint, again if a file went away in between.
    fn with_listing(
        &self,
        look: impl Fn(&[u64], &mut Vec<LoadError>) -> Result<Option<(PathBuf, Loaded)>, Miss>,
    ) -> Result<Found, StoreError> {
        let folder = self.folder.clone();
        for _ in 0..ATTEMPTS {
            let steps = self.steps()?;
            let mut skipped = Vec::new();
            match look(&steps, &mut skipped) {
                Ok(Some((path, (step, checkpoint)))) => {
                    return Ok(Found { path, step, checkpoint, skipped });
                }
                Ok(None) if !skipped.is_empty() => {
                    return Err(StoreError::NothingWhole { folder, skipped });
                }
                Err(Miss::Unusable(error)) => return Err(StoreError::Unusable(error)),
                // A writer may have removed the only file that a listing saw.
                Ok(None) | Err(Miss::Gone) => {}
            }
        }
        Err(StoreError::Empty { folder })
    }

    /// Loads a file of the store. One that is damaged is noted in `skipped`; the best may be
    /// missing.
    fn try_load(
        &self,
        path: PathBuf,
        step: Option<u64>,
        skipped: &mut Vec<LoadError>,
    ) -> Result<Option<Loaded>, Miss> {
        match load(&path, step) {
            Ok(loaded) => Ok(Some(loaded)),
            Err(LoadError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                if step.is_some() { Err(Miss::Gone) } else { Ok(None) }
            }
            Err(error) if is_damage(&error) => {
                skipped.push(error);
                Ok(None)
            }
            Err(error) => Err(Miss::Unusable(error)),
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |cause| StoreError::List { folder: self.folder.clone(), cause };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            // A name that is no Unicode is none of ours.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Whether a file of this name in a store's folder was written by a [`StoreWriter`].
    #[must_use]
    pub fn is_named(name: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return false };
        let name = name.strip_suffix(SAVING).unwrap_or(name);
        name == BEST || step_of(name).is_some() || Lock::is_named(OsStr::new(name))
    }

    /// Takes the right to save here what follows on the checkpoint of step `after`, 0 at the
    /// beginning, and removes what a writer that was killed left half written. The newest
    /// `keep_last` checkpoints are kept, at least one.
    ///
    /// Files of later steps are left over: of a run that went further, and whose newest are
    /// damaged. They do not count among those to keep, and go once a save has passed them.
    ///
    /// # Errors
    /// [`StoreError::List`] or [`StoreError::Clean`].
    ///
    /// # Panics
    /// When `lock` is that of another folder.
    #[track_caller]
    pub fn writer(
        &self,
        lock: Lock,
        keep_last: usize,
        after: u64,
    ) -> Result<StoreWriter, StoreError> {
        assert_eq!(lock.folder(), self.folder, "the lock is that of another folder");
        for name in self.names()? {
            let saved = name.strip_suffix(SAVING);
            if saved.is_some_and(|name| name == BEST || step_of(name).is_some()) {
                let path = self.folder.join(&name);
                fs::remove_file(&path).map_err(|cause| StoreError::Clean { path, cause })?;
            }
        }
        let mut steps = self.steps()?;
        let left_over = steps.split_off(steps.partition_point(|&step| step <= after));
        let (store, keep_last) = (self.clone(), keep_last.max(1));
        Ok(StoreWriter { store, steps, left_over, keep_last, lock })
    }
}

type Loaded = (u64, Checkpoint<'static>);

/// Why a file was not loaded, and is no damaged one.
enum Miss {
    /// It is no longer there.
    Gone,
    Unusable(LoadError),
}

/// The step in a file's name.
fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let step = digits.parse().ok()?;
    // One name a step: `step-7.ckpt` and `step-+00000007.ckpt` are not ours.
    (digits == format!("{step:09}")).then_some(step)
}

/// The step that a checkpoint says it is of.
fn step_in(metadata: &BTreeMap<String, String>) -> Option<u64> {
    metadata.get(STEP)?.parse().ok()
}

/// Loads `path`; the step inside must be `step` if one is given.
fn load(path: &Path, step: Option<u64>) -> Result<Loaded, LoadError> {
    let checkpoint = Checkpoint::load(path)?;
    let found = step_in(checkpoint.metadata());
    match found {
        Some(found) if step.is_none_or(|step| step == found) => Ok((found, checkpoint)),
        _ => Err(LoadError::WrongStep { path: path.to_owned(), expected: step, found }),
    }
}

/// Whether a file was written whole once and is not now, so that an older one is the best there is.
fn is_damage(error: &LoadError) -> bool {
    match error {
        LoadError::Format { reason, .. } => !matches!(
            reason,
            FormatError::NewerVersion { .. }
                | FormatError::UnknownFeatures { .. }
                | FormatError::OutOfMemory { .. }
        ),
        LoadError::Read { cause, .. } => is_of_the_disk(cause),
        LoadError::NotAFile { .. } | LoadError::WrongStep { .. } => true,
    }
}

/// Whether the disk itself cannot give the bytes. Else the file may be whole: a permission, or too
/// many open files, is nothing that an older checkpoint would mend.
fn is_of_the_disk(cause: &io::Error) -> bool {
    // EIO; ERROR_CRC and ERROR_IO_DEVICE.
    const CODES: &[i32] = if cfg!(windows) { &[23, 1117] } else { &[5] };
    matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || cause.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// The one writer of a [`Store`].
#[derive(Debug)]
pub struct StoreWriter {
    store: Store,
    /// The steps whose files are there, ascending.
    steps: Vec<u64>,
    /// Later steps whose files were there already, ascending.
    left_over: Vec<u64>,
    keep_last: usize,
    lock: Lock,
}

/// What a save did besides saving.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Saved {
    /// Old checkpoints that could not be removed, and why. The next save tries again.
    pub not_removed: Vec<(PathBuf, io::Error)>,
}

impl StoreWriter {
    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its lock, for what else is written to the folder.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Saves the checkpoint of `step`, as the best too if `is_best`, and then removes the oldest
    /// that are more than `keep_last`. Both files are replaced as by [`Checkpoint::save`].
    ///
    /// The best is written first: stopped in between, the newest checkpoint is older than the best,
    /// and going on from it writes the same best again. The other order would leave a newest one
    /// that counts on a best which is not there.
    ///
    /// # Errors
    /// [`SaveError::NotCommitted`] when the checkpoint of `step` was not saved (the best may have
    /// been), [`SaveError::DurabilityUncertain`] when everything was saved and a power cut may undo
    /// it; nothing is removed then.
    pub fn save(
        &mut self,
        step: u64,
        checkpoint: &mut Checkpoint<'_>,
        is_best: bool,
    ) -> Result<Saved, SaveError> {
        self.save_to(&Disk, step, checkpoint, is_best)
    }

    /// Saves the checkpoint of `step` as the best alone, where [`StoreWriter::save`] could not.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save_best(
        &mut self,
        step: u64,
        checkpoint: &mut Checkpoint<'_>,
    ) -> Result<(), SaveError> {
        checkpoint.metadata_mut().insert(STEP.to_owned(), step.to_string());
        checkpoint.save(self.store.best_path())
    }

    /// [`StoreWriter::save`] on any storage.
    pub(crate) fn save_to<S: Storage>(
        &mut self,
        storage: &S,
        step: u64,
        checkpoint: &mut Checkpoint<'_>,
        is_best: bool,
    ) -> Result<Saved, SaveError> {
        checkpoint.metadata_mut().insert(STEP.to_owned(), step.to_string());
        let best = match is_best {
            true => save_to(storage, checkpoint, &self.store.best_path()),
            false => Ok(()),
        };
        if let Err(SaveError::NotCommitted { .. }) = best {
            return best.map(|()| Saved::default());
        }
        let newest = save_to(storage, checkpoint, &self.store.step_path(step));
        if !matches!(newest, Err(SaveError::NotCommitted { .. })) {
            self.left_over.retain(|&other| other != step);
            if let Err(place) = self.steps.binary_search(&step) {
                self.steps.insert(place, step);
            }
        }
        newest?;
        best?;
        Ok(self.prune(storage, step))
    }

    /// Removes the oldest, and what is left over of steps before `newest`.
    fn prune<S: Storage>(&mut self, storage: &S, newest: u64) -> Saved {
        let mut saved = Saved::default();
        let old = self.steps.len().saturating_sub(self.keep_last);
        let passed = self.left_over.partition_point(|&step| step < newest);
        for step in [&self.steps[..old], &self.left_over[..passed]].concat() {
            let path = self.store.step_path(step);
            match storage.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    saved.not_removed.push((path, error));
                }
                _ => {
                    self.steps.retain(|&kept| kept != step);
                    self.left_over.retain(|&kept| kept != step);
                }
            }
        }
        saved
    }
}
