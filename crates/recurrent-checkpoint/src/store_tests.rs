//! The store as a state machine: saves that succeed, fail or stop at any operation, files that are
//! damaged or removed, writers that die; after each, what is read is what a model says.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use proptest::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::error::SaveError;
use crate::lock::Lock;
use crate::storage::{Disk, Storage};
use crate::store::{Store, StoreError, StoreWriter};

/// The real disk, until operation number `at` (from 0) stops everything, as a kill does.
struct Stopping {
    at: usize,
    done: Cell<usize>,
}

impl Stopping {
    fn at(at: usize) -> Self {
        Self { at, done: Cell::new(0) }
    }

    fn is_stopped(&self) -> bool {
        self.done.get() > self.at
    }

    fn operation<T>(&self, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = self.done.replace(self.done.get() + 1);
        if number >= self.at { Err(io::Error::other("stopped")) } else { run() }
    }
}

impl Storage for Stopping {
    type File = File;

    fn create_temporary(&self, path: &Path) -> io::Result<File> {
        self.operation(|| Disk.create_temporary(path))
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.operation(|| Disk.sync(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(|| Disk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation(|| Disk.remove(path))
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.operation(|| Disk.sync_directory(path))
    }
}

/// What the folder should hold: whether the file of each step is whole, and the best one's step.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    steps: BTreeMap<u64, bool>,
    best: Option<(u64, bool)>,
}

impl Model {
    /// Every state that a save of `step` goes through. Of the files of `left_over`, of steps behind
    /// the one that the writer goes on from, those before `step` go, and none counts.
    fn states_of_save(
        &self,
        step: u64,
        is_best: bool,
        keep_last: usize,
        left_over: &BTreeSet<u64>,
    ) -> Vec<Model> {
        let mut states = vec![self.clone()];
        let mut state = self.clone();
        if is_best {
            state.best = Some((step, true));
            states.push(state.clone());
        }
        state.steps.insert(step, true);
        states.push(state.clone());
        let is_left = |other: &u64| *other != step && left_over.contains(other);
        let counted: Vec<u64> = state.steps.keys().copied().filter(|step| !is_left(step)).collect();
        let old = &counted[..counted.len().saturating_sub(keep_last)];
        let passed = left_over.iter().filter(|other| **other < step);
        for gone in old.iter().chain(passed) {
            state.steps.remove(gone);
            states.push(state.clone());
        }
        states
    }

    /// The step of the newest whole file, the best among them.
    fn newest(&self) -> Option<u64> {
        let steps = self.steps.iter().filter(|(_, whole)| **whole).map(|(step, _)| *step);
        let best = self.best.filter(|(_, whole)| *whole).map(|(step, _)| step);
        // Where the newest file is whole, the best is not asked.
        let newest_is_whole = self.steps.values().next_back() == Some(&true);
        let steps = steps.max();
        if newest_is_whole { steps } else { steps.max(best) }
    }

    fn best(&self) -> Option<u64> {
        match self.best {
            Some((step, true)) => Some(step),
            _ => self.newest(),
        }
    }

    /// What is there in truth.
    fn of(store: &Store) -> Model {
        let is_whole = |path: &Path| Checkpoint::load(path).is_ok();
        let steps = store.steps().unwrap();
        let steps = steps.into_iter().map(|step| (step, is_whole(&store.step_path(step))));
        let best = store.best_path();
        let best = best.exists().then(|| match Checkpoint::load(&best) {
            Ok(checkpoint) => (checkpoint.value("number").unwrap(), true),
            Err(_) => (0, false),
        });
        Model { steps: steps.collect(), best }
    }

    fn assert_is(&self, store: &Store) {
        let mut found = Model::of(store);
        // A damaged file does not say whose it was.
        if let (Some(found), Some((step, false))) = (&mut found.best, self.best) {
            found.0 = step;
        }
        assert_eq!(found, *self);
        let newest = store.newest();
        assert_eq!(newest.as_ref().ok().map(|found| found.step), self.newest(), "{newest:?}");
        let best = store.best();
        assert_eq!(best.as_ref().ok().map(|found| found.step), self.best(), "{best:?}");
        for found in [newest, best] {
            match found {
                Ok(found) => {
                    assert_eq!(found.checkpoint.value::<u64>("number"), Ok(found.step));
                    // Nothing newer is passed over in silence.
                    let passed = self.steps.range(found.step + 1..).count();
                    let is_best = found.path == store.best_path();
                    assert!(found.skipped.len() >= passed || is_best, "{found:?}");
                }
                Err(StoreError::Empty { .. }) => assert_eq!(*self, Model::default()),
                Err(StoreError::NothingWhole { skipped, .. }) => {
                    assert_eq!(skipped.len(), self.steps.len() + usize::from(self.best.is_some()));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

fn checkpoint(step: u64) -> Checkpoint<'static> {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("number", &[], [step]);
    checkpoint.insert("weight", &[10], vec![step as f32; 10]);
    checkpoint
}

/// A writer that goes on from the newest, and the steps behind that one.
fn writer(store: &Store, keep_last: usize) -> (StoreWriter, BTreeSet<u64>) {
    let after = store.newest().map_or(0, |newest| newest.step);
    let left_over = store.steps().unwrap().into_iter().filter(|&step| step > after).collect();
    let lock = Lock::acquire(store.folder()).unwrap();
    (store.writer(lock, keep_last, after).unwrap(), left_over)
}

#[derive(Clone, Debug)]
enum Action {
    /// Saves so many steps later, perhaps as the best, and is stopped at an operation, perhaps.
    Save { ahead: u64, is_best: bool, stopped_at: Option<usize> },
    /// Flips a bit of a file; which file and which bit, modulo what there is.
    Flip { file: usize, bit: usize },
    /// Cuts a file.
    Truncate { file: usize, length: usize },
    /// Goes on from the newest, as a process that was started again does.
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..300_u64, any::<bool>(), prop::option::weighted(0.4, 0..14_usize)).prop_map(
            |(ahead, is_best, stopped_at)| Action::Save { ahead, is_best, stopped_at }
        ),
        2 => (any::<usize>(), any::<usize>())
            .prop_map(|(file, bit)| Action::Flip { file, bit }),
        1 => (any::<usize>(), any::<usize>())
            .prop_map(|(file, length)| Action::Truncate { file, length }),
        2 => Just(Action::Reopen),
    ]
}

/// Marks the file number `file` as damaged; gives its path if there is one.
fn damage(model: &mut Model, store: &Store, file: usize) -> Option<std::path::PathBuf> {
    let files = store.files().unwrap();
    let path = files.get(file.checked_rem(files.len())?)?.clone();
    match model.steps.iter_mut().find(|(step, _)| store.step_path(**step) == path) {
        Some((_, whole)) => *whole = false,
        None => model.best.as_mut().unwrap().1 = false,
    }
    Some(path)
}

fn play(keep_last: usize, actions: &[Action]) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let (mut model, mut at) = (Model::default(), 0);
    let mut open = Some(writer(&store, keep_last));
    for action in actions {
        match action {
            Action::Save { ahead, is_best, stopped_at } => {
                let (saving, left_over) = open.get_or_insert_with(|| writer(&store, keep_last));
                at += ahead;
                let disk = Stopping::at(stopped_at.unwrap_or(usize::MAX));
                let saved = saving.save_to(&disk, at, &mut checkpoint(at), *is_best);
                let states = model.states_of_save(at, *is_best, keep_last, left_over);
                if disk.is_stopped() {
                    let found = Model::of(&store);
                    // A damaged best does not say whose it was.
                    let same = |state: &&Model| {
                        state.steps == found.steps
                            && state.best.map(|(_, whole)| whole)
                                == found.best.map(|(_, whole)| whole)
                            && found.best.is_none_or(|best| !best.1 || state.best == Some(best))
                    };
                    model = states
                        .iter()
                        .find(same)
                        .expect("a state that no save goes through")
                        .clone();
                    // A process that was killed runs no destructor but its lock's.
                    open = None;
                    at = model.newest().unwrap_or(0);
                } else {
                    assert!(saved.unwrap().not_removed.is_empty());
                    left_over.retain(|&left| left > at);
                    model = states.last().unwrap().clone();
                }
            }
            Action::Flip { file, bit } => {
                let before = model.clone();
                if let Some(path) = damage(&mut model, &store, *file) {
                    let mut bytes = fs::read(&path).unwrap();
                    if bytes.is_empty() {
                        model = before;
                        continue;
                    }
                    let bit = bit % (bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    fs::write(&path, &bytes).unwrap();
                    // The same bit twice is no damage; and a bit of the version may say "newer".
                    match Checkpoint::load(&path) {
                        Ok(_) => model = before,
                        Err(error) if error.to_string().contains("update recurrent") => {
                            bytes[bit / 8] ^= 1 << (bit % 8);
                            bytes[20] ^= 1;
                            fs::write(&path, &bytes).unwrap();
                        }
                        Err(_) => {}
                    }
                }
            }
            Action::Truncate { file, length } => {
                if let Some(path) = damage(&mut model, &store, *file) {
                    let bytes = fs::read(&path).unwrap();
                    fs::write(&path, &bytes[..length % bytes.len().max(1)]).unwrap();
                }
            }
            Action::Reopen => {
                drop(open.take());
                open = Some(writer(&store, keep_last));
                at = model.newest().unwrap_or(0);
                let names = fs::read_dir(folder.path()).unwrap();
                let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
                let left = names.iter().any(|name| name.to_string_lossy().ends_with(".saving"));
                assert!(!left, "{names:?}");
            }
        }
        model.assert_is(&store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_the_newest_whole_checkpoint_is_found(
        keep_last in 1..4_usize,
        actions in prop::collection::vec(action(), 1..25),
    ) {
        play(keep_last, &actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[cfg_attr(torture, test)]
    #[cfg_attr(not(torture), allow(dead_code))]
    fn whatever_happens_the_newest_whole_checkpoint_is_found_long(
        keep_last in 1..4_usize,
        actions in prop::collection::vec(action(), 1..25),
    ) {
        play(keep_last, &actions);
    }
}

#[test]
fn a_save_that_is_stopped_anywhere_leaves_old_or_new_and_never_a_newest_without_its_best() {
    for is_best in [false, true] {
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path());
            let mut saving = writer(&store, 2).0;
            for step in [1, 2] {
                saving.save(step, &mut checkpoint(step), step == 1).unwrap();
            }
            let disk = Stopping::at(at);
            let saved = saving.save_to(&disk, 3, &mut checkpoint(3), is_best);
            let newest = store.newest().unwrap();
            assert!(newest.skipped.is_empty(), "{newest:?}");
            assert!([2, 3].contains(&newest.step), "{at}");
            match &saved {
                Err(SaveError::NotCommitted { .. }) => assert_eq!(newest.step, 2, "{at}"),
                Ok(_) | Err(_) => assert_eq!(newest.step, 3, "{at}"),
            }
            let best = store.best().unwrap().step;
            assert!(best == 1 || is_best, "{at}");
            assert!(newest.step == 2 || best == 3 || !is_best, "{at}: the newest without its best");
            if !disk.is_stopped() {
                break;
            }
        }
    }
}
