//! Crash points: a save is stopped, or fails, at each of its operations, and what is left must be
//! exactly the old file or the new one.
//!
//! `tests/killed.rs` and `tests/injected.rs` do the same to a real process from outside.

mod failing;
mod simulated;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::error::{Operation, SaveError};
use crate::lock::Lock;
use crate::save::save_to;
use crate::storage::{Disk, Storage};
use crate::store::Store;
use failing::{Failing, Fate};
use simulated::{Losses, Simulated};

/// A checkpoint of a size, and how many of its bytes a write takes: some 17 writes a save.
#[derive(Clone, Copy)]
struct Size {
    bytes: usize,
    short_write: usize,
}

const ONE_KIB: Size = Size { bytes: 1 << 10, short_write: 100 };
const ONE_MIB: Size = Size { bytes: 1 << 20, short_write: 65_000 };
const MANY_MIB: Size = Size { bytes: 64 << 20, short_write: 4_000_000 };

impl Size {
    /// Eight sections, so that losses fall into different ones. No page of theirs is zero.
    fn checkpoint(self, step: u64) -> Checkpoint<'static> {
        let mut checkpoint = Checkpoint::new("test");
        checkpoint.insert("step", &[], [step]);
        let sections = if self.bytes < 4096 { 1 } else { 8 };
        for section in 0..sections {
            let values = self.bytes / 4 / sections;
            let name = format!("weight_{section}");
            checkpoint.insert(name, &[values], vec![(section + 1) as f32 * step as f32; values]);
        }
        checkpoint
    }

    fn encoded(self, step: u64) -> Vec<u8> {
        self.checkpoint(step).to_bytes().unwrap()
    }

    /// Operations that write.
    fn writes(self) -> usize {
        let disk = Failing::new(
            Simulated::with_file(Path::new(PATH), None),
            Fate::Error,
            usize::MAX,
            self.short_write,
        );
        save_to(&disk, &self.checkpoint(2), Path::new(PATH)).unwrap();
        // All but creation, sync, renaming and sync of the folder.
        disk.done() - 4
    }
}

const PATH: &str = "run/last.ckpt";
const TEMPORARY: &str = "run/last.ckpt.saving";

/// Saves step 2 over `old` with a fate at each operation in turn.
fn at_every_operation(
    size: Size,
    old: Option<&[u8]>,
    fate: Fate,
    check: impl Fn(usize, &Simulated, Result<(), SaveError>),
) {
    let checkpoint = size.checkpoint(2);
    for at in 0.. {
        let disk = Simulated::with_file(Path::new(PATH), old);
        let failing = Failing::new(disk.clone(), fate, at, size.short_write);
        let result = save_to(&failing, &checkpoint, Path::new(PATH));
        let was_spared = failing.was_spared();
        assert_eq!(result.is_ok(), was_spared, "operation {at}");
        check(at, &disk, result);
        if was_spared {
            assert_eq!(at, size.writes() + 4);
            return;
        }
    }
}

fn power_cut_at_every_operation(size: Size, full: Losses) {
    let (old, new) = (ONE_KIB.encoded(1), size.encoded(2));
    let writes = size.writes();
    for old in [None, Some(&*old)] {
        at_every_operation(size, old, Fate::Crash, |at, disk, result| {
            disk.after_power_cut(Path::new(PATH), full, |left| match result {
                Ok(()) => assert!(left == Some(&*new), "a finished save was undone"),
                Err(_) => assert!(left == old || left == Some(&*new), "a torn file at {at}"),
            });
            // A temporary file is never read; if it were, it would be the whole file or an error.
            // Where nothing was synced yet, all that can be lost is tried, else a few losses.
            let is_full = old.is_some() && at == writes + 1;
            let few = Losses { prefix_step: full.prefix_step * 64, subsets: 4 };
            let losses = if is_full { full } else { few };
            disk.after_power_cut(Path::new(TEMPORARY), losses, |left| {
                let Some(left) = left else { return };
                assert!(Checkpoint::from_bytes(left).is_err() || left == new, "believed at {at}");
            });
        });
    }
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_file_or_the_new() {
    for size in [ONE_KIB, ONE_MIB] {
        power_cut_at_every_operation(size, Losses { prefix_step: 1, subsets: 1_000 });
    }
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn a_power_cut_at_any_operation_leaves_the_old_file_or_the_new_long() {
    power_cut_at_every_operation(MANY_MIB, Losses { prefix_step: 64, subsets: 1_000 });
}

/// The best is safe before there is a newest that counts on it, and the one before is whole.
#[test]
fn a_power_cut_in_a_store_leaves_no_newest_without_its_best() {
    let mut seen = std::collections::BTreeSet::new();
    for at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let lock = Lock::acquire(folder.path()).unwrap();
        let mut writer = store.writer(lock, 2, 0).unwrap();
        let disk = Simulated::with_file(Path::new(PATH), None);
        for step in [1, 2] {
            writer.save_to(&disk, step, &mut ONE_KIB.checkpoint(step), step == 1).unwrap();
        }
        let failing = Failing::new(disk.clone(), Fate::Crash, at, ONE_KIB.short_write);
        let saved = writer.save_to(&failing, 3, &mut ONE_KIB.checkpoint(3), true);
        let paths = [store.best_path(), store.step_path(1), store.step_path(2), store.step_path(3)];
        disk.together_after_power_cut(&paths, |left| {
            let step = |bytes: &Option<&[u8]>| -> Option<u64> {
                let checkpoint = Checkpoint::from_bytes((*bytes)?).expect("a torn file");
                Some(checkpoint.value("step").unwrap())
            };
            let left: Vec<Option<u64>> = left.iter().map(step).collect();
            let (best, newest) = (left[0].expect("a best"), left[3]);
            assert_eq!(left[2], Some(2), "operation {at}");
            assert!(newest.is_none() || best == 3, "operation {at}: the newest without its best");
            assert!(left[1].is_some() || newest.is_some(), "operation {at}: removed too early");
            assert!(saved.is_err() || newest.is_some(), "a finished save was undone");
            seen.insert((best, newest.is_some(), left[1].is_some()));
        });
        if failing.was_spared() {
            break;
        }
    }
    // Old, the best alone, both, and what was removed coming back or not.
    let states = [(1, false, true), (3, false, true), (3, true, false), (3, true, true)];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), states);
}

#[test]
fn a_failed_operation_is_reported_as_what_it_did() {
    let path = Path::new(PATH);
    for size in [ONE_KIB, ONE_MIB] {
        let (old, new) = (size.encoded(1), size.encoded(2));
        let writes = size.writes();
        for old in [None, Some(&*old)] {
            at_every_operation(size, old, Fate::Error, |at, disk, result| {
                let expected = match &result {
                    Err(SaveError::NotCommitted { .. }) => old,
                    _ => Some(&*new),
                };
                assert!(disk.current(path).as_deref() == expected, "{result:?}");
                // And no temporary file is left.
                let names = if expected.is_some() { vec![path.to_owned()] } else { vec![] };
                assert_eq!(disk.current_names(), names, "{result:?}");

                let operation = match result {
                    Ok(()) => return assert_eq!(at, writes + 4),
                    Err(SaveError::DurabilityUncertain { .. }) => {
                        return assert_eq!(at, writes + 3);
                    }
                    Err(SaveError::NotCommitted { operation, .. }) => operation,
                };
                let expected = match at {
                    0 => Operation::Create,
                    _ if at <= writes => Operation::Write,
                    _ if at == writes + 1 => Operation::Sync,
                    _ => Operation::Rename,
                };
                assert_eq!(operation, expected, "operation {at}");
            });
        }
    }
}

/// The same on the real disk; the next save must work, whatever is left.
fn fate_at_every_operation_on_the_disk(size: Size) {
    let (old, new) = (ONE_KIB.encoded(1), size.encoded(2));
    let (old_checkpoint, new_checkpoint) = (ONE_KIB.checkpoint(1), size.checkpoint(2));
    let writes = size.writes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    let files = || fs::read_dir(folder.path()).unwrap().count();
    old_checkpoint.save(&path).unwrap();
    for fate in [Fate::Crash, Fate::Error] {
        for at in 0.. {
            let failing = Failing::new(Disk, fate, at, size.short_write);
            let result = save_to(&failing, &new_checkpoint, &path);
            let is_renamed = at > writes + 2;
            let left = fs::read(&path).unwrap();
            assert!(left == if is_renamed { &*new } else { &*old }, "operation {at}");
            let has_temporary = fate == Fate::Crash && at > 0 && !is_renamed;
            assert_eq!(files(), 1 + usize::from(has_temporary), "operation {at}");

            old_checkpoint.save(&path).unwrap();
            assert!(fs::read(&path).unwrap() == old);
            assert_eq!(files(), 1, "a file was left behind");
            if failing.was_spared() {
                // All writes were short, and the save succeeded.
                assert!(result.is_ok());
                break;
            }
        }
    }
}

#[test]
fn a_stopped_or_failed_save_on_the_real_disk_leaves_the_old_file_or_the_new() {
    for size in [ONE_KIB, ONE_MIB] {
        fate_at_every_operation_on_the_disk(size);
    }
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn a_stopped_or_failed_save_on_the_real_disk_leaves_the_old_file_or_the_new_long() {
    fate_at_every_operation_on_the_disk(MANY_MIB);
}

/// The real disk, but for a temporary file that takes no byte.
#[cfg(target_os = "linux")]
struct Full;

#[cfg(target_os = "linux")]
impl Storage for Full {
    type File = File;

    fn create_temporary(&self, path: &Path) -> io::Result<File> {
        Disk.create_temporary(path)?;
        File::options().write(true).open("/dev/full")
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Disk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        Disk.sync_directory(path)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_is_full_is_an_error_of_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    ONE_KIB.checkpoint(1).save(&path).unwrap();
    for size in [ONE_KIB, ONE_MIB] {
        let error = save_to(&Full, &size.checkpoint(2), &path).unwrap_err();
        let SaveError::NotCommitted { operation, cause, .. } = &error else { panic!("{error}") };
        assert_eq!((*operation, cause.kind()), (Operation::Write, io::ErrorKind::StorageFull));
        assert!(fs::read(&path).unwrap() == ONE_KIB.encoded(1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
