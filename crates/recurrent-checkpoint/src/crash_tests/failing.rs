//! A storage where one operation meets its fate, on top of another storage.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

use crate::storage::{Disk, Storage};

/// What happens at the chosen operation.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// The process dies: half of a write is done, nothing else, and nothing later.
    Crash,
    /// The operation fails without effect; later ones work.
    Error,
}

/// A storage where operation number `at` (from 0) meets its fate. Writes take at most
/// `short_write` bytes each, so that there are many of them.
#[derive(Clone)]
pub(super) struct Failing<S> {
    inner: S,
    fate: Fate,
    at: usize,
    short_write: usize,
    done: Rc<Cell<usize>>,
}

pub(super) struct FailingFile<S: Storage> {
    inner: S::File,
    storage: Failing<S>,
}

impl<S> Failing<S> {
    pub(super) fn new(inner: S, fate: Fate, at: usize, short_write: usize) -> Self {
        Self { inner, fate, at, short_write, done: Rc::default() }
    }

    /// Whether the save ended before its fate came.
    pub(super) fn was_spared(&self) -> bool {
        self.done.get() <= self.at
    }

    /// Operations so far.
    pub(super) fn done(&self) -> usize {
        self.done.get()
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
        let bytes = &bytes[..bytes.len().min(self.storage.short_write)];
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

impl Clone for Disk {
    fn clone(&self) -> Self {
        Self
    }
}
