//! Crash points: a save is stopped, or fails, at each of its operations, and what is left must be
//! exactly the old file or the new one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::checkpoint::Checkpoint;
use crate::error::{Operation, SaveError};
use crate::save::save_to;
use crate::storage::{Disk, Storage};

/// A file system in memory that knows what a power cut may take away: bytes written since a file's
/// last sync, and changes of names since the folder's last sync.
#[derive(Clone, Default)]
struct Simulated(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    /// Names to files, after every change since the last sync of the folder; the last is current.
    names: Vec<BTreeMap<PathBuf, usize>>,
}

#[derive(Clone, Default)]
struct Contents {
    current: Vec<u8>,
    durable: Vec<u8>,
}

struct SimulatedFile {
    storage: Simulated,
    index: usize,
}

impl Simulated {
    /// A disk with `bytes` at `path`, safe from power cuts.
    fn with_file(path: &Path, bytes: Option<Vec<u8>>) -> Self {
        let mut names = BTreeMap::new();
        let mut files = Vec::new();
        if let Some(bytes) = bytes {
            files.push(Contents { current: bytes.clone(), durable: bytes });
            names.insert(path.to_owned(), 0);
        }
        Self(Rc::new(RefCell::new(State { files, names: vec![names] })))
    }

    fn rename_names(&self, change: impl FnOnce(&mut BTreeMap<PathBuf, usize>)) {
        let names = &mut self.0.borrow_mut().names;
        let mut changed = names.last().unwrap().clone();
        change(&mut changed);
        names.push(changed);
    }

    /// What a reader sees now.
    fn current(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        let index = *state.names.last().unwrap().get(path)?;
        Some(state.files[index].current.clone())
    }

    fn current_names(&self) -> Vec<PathBuf> {
        self.0.borrow().names.last().unwrap().keys().cloned().collect()
    }

    /// What may be at `path` after a power cut now: with the names of any moment since the
    /// folder's sync, and of the bytes since the file's sync all, half, none, or zeros.
    fn after_power_cut(&self, path: &Path) -> Vec<Option<Vec<u8>>> {
        let state = self.0.borrow();
        let mut outcomes = Vec::new();
        for names in &state.names {
            let Some(&index) = names.get(path) else {
                outcomes.push(None);
                continue;
            };
            let Contents { current, durable } = &state.files[index];
            let unsynced = durable.len()..current.len();
            outcomes.push(Some(current.clone()));
            outcomes.push(Some(durable.clone()));
            outcomes.push(Some(current[..durable.len() + unsynced.len() / 2].to_vec()));
            let mut zeros = current.clone();
            zeros[unsynced].fill(0);
            outcomes.push(Some(zeros));
        }
        outcomes
    }
}

impl Storage for Simulated {
    type File = SimulatedFile;

    fn create_temporary(&self, path: &Path) -> io::Result<SimulatedFile> {
        let index = self.0.borrow().files.len();
        self.0.borrow_mut().files.push(Contents::default());
        self.rename_names(|names| {
            names.insert(path.to_owned(), index);
        });
        Ok(SimulatedFile { storage: self.clone(), index })
    }

    fn sync(&self, file: &SimulatedFile) -> io::Result<()> {
        let contents = &mut self.0.borrow_mut().files[file.index];
        contents.durable = contents.current.clone();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_names(|names| {
            let index = names.remove(from).unwrap();
            names.insert(to.to_owned(), index);
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.rename_names(|names| {
            names.remove(path).unwrap();
        });
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        let names = &mut self.0.borrow_mut().names;
        *names = vec![names.pop().unwrap()];
        Ok(())
    }
}

impl Write for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.storage.0.borrow_mut().files[self.index].current.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What happens at the chosen operation.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// The process dies: half of a write is done, nothing else, and nothing later.
    Crash,
    /// The operation fails without effect; later ones work.
    Error,
}

/// A storage where operation number `at` (from 0) meets its fate. Writes take at most
/// [`SHORT_WRITE`] bytes each, so that there are many of them.
#[derive(Clone)]
struct Failing<S> {
    inner: S,
    fate: Fate,
    at: usize,
    done: Rc<Cell<usize>>,
}

const SHORT_WRITE: usize = 100;

struct FailingFile<S: Storage> {
    inner: S::File,
    storage: Failing<S>,
}

impl<S> Failing<S> {
    fn new(inner: S, fate: Fate, at: usize) -> Self {
        Self { inner, fate, at, done: Rc::default() }
    }

    /// Whether the save ended before its fate came.
    fn was_spared(&self) -> bool {
        self.done.get() <= self.at
    }

    fn is_now(&self) -> bool {
        self.done.get() == self.at
    }

    fn operation<T>(&self, operation: impl FnOnce(&S) -> io::Result<T>) -> io::Result<T> {
        let number = self.done.replace(self.done.get() + 1);
        let stopped = match self.fate {
            Fate::Crash => number >= self.at,
            Fate::Error => number == self.at,
        };
        if stopped { Err(io::Error::other("injected")) } else { operation(&self.inner) }
    }
}

impl<S: Storage + Clone> Storage for Failing<S> {
    type File = FailingFile<S>;

    fn create_temporary(&self, path: &Path) -> io::Result<FailingFile<S>> {
        let inner = self.operation(|storage| storage.create_temporary(path))?;
        Ok(FailingFile { inner, storage: self.clone() })
    }

    fn sync(&self, file: &FailingFile<S>) -> io::Result<()> {
        self.operation(|storage| storage.sync(&file.inner))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(|storage| storage.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation(|storage| storage.remove(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.operation(|storage| storage.sync_directory(path))
    }
}

impl<S: Storage> Write for FailingFile<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(SHORT_WRITE)];
        if self.storage.is_now() && self.storage.fate == Fate::Crash {
            self.inner.write_all(&bytes[..bytes.len() / 2])?;
        }
        let Self { inner, storage } = self;
        storage.operation(|_| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// About 1 KiB.
fn checkpoint(step: u64) -> Checkpoint<'static> {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("step", &[], [step]);
    checkpoint.insert("weight", &[25, 8], vec![step as f32; 200]);
    checkpoint
}

fn bytes(step: u64) -> Vec<u8> {
    checkpoint(step).to_bytes().unwrap()
}

const PATH: &str = "run/last.ckpt";

/// Saves step 2 over `old` with a fate at each operation in turn; gives the number of operations.
fn at_every_operation(
    old: &Option<Vec<u8>>,
    fate: Fate,
    check: impl Fn(&Simulated, Result<(), SaveError>),
) -> usize {
    for at in 0.. {
        let disk = Simulated::with_file(Path::new(PATH), old.clone());
        let failing = Failing::new(disk.clone(), fate, at);
        let result = save_to(&failing, &checkpoint(2), Path::new(PATH));
        let was_spared = failing.was_spared();
        assert_eq!(result.is_ok(), was_spared, "operation {at}");
        check(&disk, result);
        if was_spared {
            return at;
        }
    }
    unreachable!()
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_file_or_the_new() {
    for old in [None, Some(bytes(1))] {
        let operations = at_every_operation(&old, Fate::Crash, |disk, result| {
            for left in disk.after_power_cut(Path::new(PATH)) {
                match result {
                    Ok(()) => assert!(left == Some(bytes(2)), "a finished save was undone"),
                    Err(_) => assert!(left == old || left == Some(bytes(2)), "a torn file"),
                }
            }
        });
        // Creation, writes of 100 bytes, sync, renaming, sync of the folder.
        assert_eq!(operations, bytes(2).len().div_ceil(SHORT_WRITE) + 4);
    }
}

#[test]
fn a_failed_operation_is_reported_as_what_it_did() {
    let path = Path::new(PATH);
    for old in [None, Some(bytes(1))] {
        at_every_operation(&old, Fate::Error, |disk, result| {
            let expected = match &result {
                Err(SaveError::NotCommitted { .. }) => &old,
                _ => &Some(bytes(2)),
            };
            assert!(disk.current(path) == *expected, "{result:?}");
            // And no temporary file is left.
            let names = if expected.is_some() { vec![path.to_owned()] } else { vec![] };
            assert_eq!(disk.current_names(), names, "{result:?}");
        });
    }
    let error_at = |at| {
        let disk = Failing::new(Simulated::with_file(path, None), Fate::Error, at);
        save_to(&disk, &checkpoint(2), path).unwrap_err()
    };
    let writes = bytes(2).len().div_ceil(SHORT_WRITE);
    for (at, expected) in [
        (0, Operation::Create),
        (1, Operation::Write),
        (writes, Operation::Write),
        (writes + 1, Operation::Sync),
        (writes + 2, Operation::Rename),
    ] {
        let error = error_at(at);
        assert!(
            matches!(error, SaveError::NotCommitted { operation, .. } if operation == expected),
            "{at}: {error}"
        );
    }
    assert!(matches!(error_at(writes + 3), SaveError::DurabilityUncertain { .. }));
}

impl Clone for Disk {
    fn clone(&self) -> Self {
        Self
    }
}

#[test]
fn a_killed_process_leaves_a_loadable_file_on_the_real_disk_and_the_next_save_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    checkpoint(1).save(&path).unwrap();
    for at in 0.. {
        let failing = Failing::new(Disk, Fate::Crash, at);
        let _ = save_to(&failing, &checkpoint(2), &path);
        let step = Checkpoint::load(&path).unwrap().value::<u64>("step").unwrap();
        let renamed = at > bytes(2).len().div_ceil(SHORT_WRITE) + 2;
        assert_eq!(step, if renamed { 2 } else { 1 }, "operation {at}");

        checkpoint(1).save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes(1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a file was left behind");
        if failing.was_spared() {
            break;
        }
    }
}
