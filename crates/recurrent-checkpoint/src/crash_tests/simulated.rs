//! A file system in memory that knows what a power cut may take away: bytes written since a file's
//! last sync, page by page, and changes of names since the folder's last sync.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::storage::Storage;

/// What a system writes to a disk at once, in any order.
const PAGE_BYTES: usize = 4096;

#[derive(Clone, Default)]
pub(super) struct Simulated(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    /// Names to files, after every change since the last sync of the folder; the last is current.
    names: Vec<BTreeMap<PathBuf, usize>>,
}

/// A file's bytes: as a process sees them, and as they were synced.
#[derive(Clone, Default)]
struct Contents {
    current: Vec<u8>,
    durable: Vec<u8>,
}

pub(super) struct SimulatedFile {
    storage: Simulated,
    index: usize,
}

impl Simulated {
    /// A disk with `bytes` at `path`, safe from power cuts.
    pub(super) fn with_file(path: &Path, bytes: Option<&[u8]>) -> Self {
        let mut names = BTreeMap::new();
        let mut files = Vec::new();
        if let Some(bytes) = bytes {
            files.push(Contents { current: bytes.to_vec(), durable: bytes.to_vec() });
            names.insert(path.to_owned(), 0);
        }
        Self(Rc::new(RefCell::new(State { files, names: vec![names] })))
    }

    fn change_names(&self, change: impl FnOnce(&mut BTreeMap<PathBuf, usize>)) {
        let names = &mut self.0.borrow_mut().names;
        let mut changed = names.last().unwrap().clone();
        change(&mut changed);
        names.push(changed);
    }

    /// What a reader sees now.
    pub(super) fn current(&self, path: &Path) -> Option<Ref<'_, [u8]>> {
        Ref::filter_map(self.0.borrow(), |state| {
            let index = *state.names.last().unwrap().get(path)?;
            Some(&*state.files[index].current)
        })
        .ok()
    }

    pub(super) fn current_names(&self) -> Vec<PathBuf> {
        self.0.borrow().names.last().unwrap().keys().cloned().collect()
    }

    /// Shows what may be at `path` after a power cut now: with the names of any moment since the
    /// folder's sync, and the file as [`Contents::after_power_cut`] says.
    pub(super) fn after_power_cut(
        &self,
        path: &Path,
        losses: Losses,
        mut visit: impl FnMut(Option<&[u8]>),
    ) {
        let state = self.0.borrow();
        for names in &state.names {
            match names.get(path) {
                Some(&index) => {
                    state.files[index].after_power_cut(losses, |bytes| visit(Some(bytes)));
                }
                None => visit(None),
            }
        }
    }
}

/// What is at some paths together.
pub(super) type Files<'a> = [Option<&'a [u8]>];

impl Simulated {
    /// Shows what may be at all `paths` together after a power cut now: with the names of any moment
    /// since the folder's sync, and each file as it was synced or as it is.
    pub(super) fn together_after_power_cut(
        &self,
        paths: &[PathBuf],
        mut visit: impl FnMut(&Files<'_>),
    ) {
        let state = self.0.borrow();
        for names in &state.names {
            for synced in 0..1_u32 << paths.len() {
                let files = paths.iter().enumerate().map(|(place, path)| {
                    let Contents { current, durable } = &state.files[*names.get(path)?];
                    Some(if synced >> place & 1 == 1 { &**durable } else { &**current })
                });
                visit(&files.collect::<Vec<_>>());
            }
        }
    }
}

/// Which losses of unsynced pages are tried.
#[derive(Clone, Copy)]
pub(super) struct Losses {
    /// The first pages are kept and the others lost: for every multiple of this number of pages.
    pub(super) prefix_step: usize,
    /// So many random sets of pages are kept.
    pub(super) subsets: usize,
}

impl Contents {
    /// Shows what a power cut may leave of the file: some unsynced pages, and for the others what
    /// was there before or zeros. The file's new length may be lost as well.
    fn after_power_cut(&self, losses: Losses, mut visit: impl FnMut(&[u8])) {
        let pages: Vec<_> = (0..self.current.len().div_ceil(PAGE_BYTES))
            .map(|page| page * PAGE_BYTES..self.current.len().min((page + 1) * PAGE_BYTES))
            .filter(|page| self.durable.get(page.clone()) != Some(&self.current[page.clone()]))
            .collect();
        visit(&self.current);
        if pages.is_empty() && self.durable.len() == self.current.len() {
            return;
        }
        visit(&self.durable);

        let mut left = self.durable.clone();
        left.resize(self.current.len(), 0);
        let lost = left.clone();
        for (kept, page) in pages.iter().enumerate() {
            if kept.is_multiple_of(losses.prefix_step) {
                visit(&left);
                visit(&left[..page.start.max(self.durable.len())]);
                // A page that is torn in the middle.
                visit(&left[..self.durable.len().max(page.start + page.len() / 2)]);
            }
            left[page.clone()].copy_from_slice(&self.current[page.clone()]);
        }

        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..losses.subsets {
            let mut end = self.durable.len();
            for page in &pages {
                // Marsaglia's xorshift: any seed but 0 will do.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let is_kept = random >> 63 == 0;
                let from = if is_kept { &self.current } else { &lost };
                left[page.clone()].copy_from_slice(&from[page.clone()]);
                end = if is_kept { end.max(page.end) } else { end };
            }
            visit(&left);
            visit(&left[..end]);
        }
    }
}

impl Storage for Simulated {
    type File = SimulatedFile;

    fn create_temporary(&self, path: &Path) -> io::Result<SimulatedFile> {
        let index = self.0.borrow().files.len();
        self.0.borrow_mut().files.push(Contents::default());
        self.change_names(|names| {
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
        self.change_names(|names| {
            let index = names.remove(from).unwrap();
            names.insert(to.to_owned(), index);
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(|names| {
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
