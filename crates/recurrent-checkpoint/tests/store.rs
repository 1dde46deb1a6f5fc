//! A folder of checkpoints on the real disk: what is kept, found, passed over and refused.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use recurrent_checkpoint::{
    Checkpoint, Found, Lock, LockError, SaveError, Store, StoreError, StoreWriter,
};

fn checkpoint(step: u64) -> Checkpoint<'static> {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("number", &[], [step]);
    checkpoint.insert("weight", &[1000], vec![step as f32; 1000]);
    checkpoint
}

fn writer(folder: &Path, keep_last: usize) -> StoreWriter {
    let store = Store::new(folder);
    let after = store.newest().map_or(0, |newest| newest.step);
    store.writer(Lock::acquire(folder).unwrap(), keep_last, after).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_newest_few_and_the_best_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 2);
    for step in [3, 7, 1_000, 2_000_000_000] {
        saving.save(step, &mut checkpoint(step), step == 7).unwrap();
    }
    assert_eq!(
        names(folder.path()),
        ["best.ckpt", "step-000001000.ckpt", "step-2000000000.ckpt", "writer.lock"]
    );
    let store = saving.store();
    assert_eq!(store.steps().unwrap(), [1_000, 2_000_000_000]);
    let Found { step, checkpoint, skipped, path, .. } = store.newest().unwrap();
    assert_eq!((step, checkpoint.value("number"), skipped.len()), (2_000_000_000, Ok(step), 0));
    assert_eq!(path, store.step_path(2_000_000_000));
    assert_eq!(store.best().unwrap().step, 7);
    assert_eq!(store.at_most(1_999).unwrap().step, 1_000);
    assert!(matches!(store.at_most(999), Err(StoreError::Empty { .. })));
}

#[test]
fn names_that_are_not_exactly_those_of_a_store_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = ["step-7.ckpt", "step-+00000007.ckpt", "step-0000000007.ckpt", "notes.saving"];
    for name in foreign {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    fs::write(folder.path().join("step-000000009.ckpt.saving"), "half").unwrap();
    let mut saving = writer(folder.path(), 1);
    assert!(matches!(saving.store().newest(), Err(StoreError::Empty { .. })));
    for step in 10..13 {
        saving.save(step, &mut checkpoint(step), false).unwrap();
    }
    let mut expected = foreign.to_vec();
    expected.extend(["step-000000012.ckpt", "writer.lock"]);
    expected.sort_unstable();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_damaged_newest_is_passed_over_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 3);
    let store = saving.store().clone();
    for step in 1..4 {
        saving.save(step, &mut checkpoint(step), step == 2).unwrap();
    }
    damage(&store.step_path(3));
    let found = store.newest().unwrap();
    assert_eq!((found.step, found.path), (2, store.step_path(2)));
    assert_eq!(found.skipped.len(), 1);
    assert!(found.skipped[0].to_string().starts_with(&store.step_path(3).display().to_string()));

    // The best is looked at, too: here it is newer than the next.
    fs::rename(store.step_path(2), folder.path().join("away")).unwrap();
    assert_eq!(store.newest().unwrap().path, store.best_path());
    fs::rename(folder.path().join("away"), store.step_path(2)).unwrap();

    // A damaged best one gives way to the newest, and is named, once.
    damage(&store.best_path());
    let found = store.best().unwrap();
    assert_eq!((found.step, found.path), (2, store.step_path(2)));
    let skipped: Vec<_> = found.skipped.iter().map(|error| error.path().to_owned()).collect();
    assert_eq!(skipped, [store.best_path(), store.step_path(3)]);

    // With nothing whole, everything is named.
    damage(&store.step_path(2));
    fs::write(store.step_path(1), "").unwrap();
    let error = store.newest().unwrap_err().to_string();
    for path in store.files().unwrap() {
        assert_eq!(error.matches(&path.display().to_string()).count(), 1, "{error}");
    }
}

#[test]
fn what_is_not_damaged_but_unusable_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 3);
    let store = saving.store().clone();
    for step in 1..3 {
        saving.save(step, &mut checkpoint(step), true).unwrap();
    }
    let mut bytes = fs::read(store.step_path(2)).unwrap();
    bytes[8] = 9;
    fs::write(store.step_path(2), bytes).unwrap();
    let error = store.newest().unwrap_err();
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");

    // Nor is one that the system does not let anybody open: it may be whole.
    #[cfg(unix)]
    {
        fs::remove_file(store.step_path(2)).unwrap();
        std::os::unix::fs::symlink(store.step_path(2), store.step_path(2)).unwrap();
        let error = store.newest().unwrap_err();
        assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    }
}

#[test]
fn a_file_under_another_step_s_name_is_no_checkpoint_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 3);
    let store = saving.store().clone();
    saving.save(1, &mut checkpoint(1), false).unwrap();
    fs::copy(store.step_path(1), store.step_path(5)).unwrap();
    checkpoint(6).save(store.step_path(6)).unwrap();
    let found = store.newest().unwrap();
    assert_eq!(found.step, 1);
    let texts: Vec<String> = found.skipped.iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("does not say which step"), "{texts:?}");
    assert!(texts[1].contains("is of step 1, not 5; it was renamed or copied"), "{texts:?}");
}

#[test]
fn damaged_files_of_later_steps_do_not_push_out_good_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 2);
    let store = saving.store().clone();
    for step in [10, 20, 30] {
        saving.save(step, &mut checkpoint(step), false).unwrap();
    }
    damage(&store.step_path(30));
    damage(&store.step_path(20));
    fs::write(store.step_path(15), checkpoint(15).to_bytes().unwrap()).unwrap();
    drop(saving);
    let mut saving = writer(folder.path(), 2);
    for step in [12, 14, 16] {
        saving.save(step, &mut checkpoint(step), false).unwrap();
        assert_eq!(store.newest().unwrap().step, step);
    }
    assert_eq!(store.steps().unwrap(), [14, 16, 20, 30], "none counts; 15 was passed");
    for step in [25, 35] {
        saving.save(step, &mut checkpoint(step), false).unwrap();
    }
    assert_eq!(store.steps().unwrap(), [25, 35], "once passed, they go");
}

#[test]
fn what_cannot_be_removed_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 1);
    let store = saving.store().clone();
    saving.save(1, &mut checkpoint(1), false).unwrap();
    fs::remove_file(store.step_path(1)).unwrap();
    fs::create_dir(store.step_path(1)).unwrap();
    let saved = saving.save(2, &mut checkpoint(2), false).unwrap();
    assert_eq!(saved.not_removed.len(), 1);
    assert_eq!(saved.not_removed[0].0, store.step_path(1));
    fs::remove_dir(store.step_path(1)).unwrap();
    assert!(saving.save(3, &mut checkpoint(3), false).unwrap().not_removed.is_empty());
    assert_eq!(store.steps().unwrap(), [3]);
}

#[test]
fn a_best_that_cannot_be_written_is_not_followed_by_a_step_that_counts_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), 3);
    saving.save(1, &mut checkpoint(1), false).unwrap();
    fs::create_dir(saving.store().best_path()).unwrap();
    let error = saving.save(2, &mut checkpoint(2), true).unwrap_err();
    assert!(matches!(error, SaveError::NotCommitted { .. }), "{error}");
    assert_eq!(saving.store().steps().unwrap(), [1]);
}

#[test]
fn a_second_writer_is_told_that_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = writer(folder.path(), 1);
    let error = Lock::acquire(folder.path()).unwrap_err();
    assert!(matches!(error, LockError::Held { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "{}: another process is writing there; wait until it ends, or stop it",
            folder.path().display()
        )
    );
    drop(first);
    drop(writer(folder.path(), 1));
    // What is no file cannot be a lock.
    fs::remove_file(folder.path().join("writer.lock")).unwrap();
    fs::create_dir(folder.path().join("writer.lock")).unwrap();
    let error = Lock::acquire(folder.path()).unwrap_err();
    assert!(error.to_string().contains("not a regular file; remove it"), "{error}");
    let error = Lock::acquire(folder.path().join("none")).unwrap_err();
    assert!(matches!(error, LockError::Failed { .. }), "{error}");
}

/// One writer, four readers: each read verifies, and no reader sees steps go back.
fn read_while_writing(saves: u64, keep_last: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut saving = writer(folder.path(), keep_last);
    saving.save(1, &mut checkpoint(1), true).unwrap();
    let store = saving.store().clone();
    let (reads, over) = (AtomicU64::new(0), AtomicBool::new(false));
    #[allow(clippy::disallowed_methods)] // a writer and readers at the same time are the test
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 2..=saves {
                saving.save(step, &mut checkpoint(step), step % 7 == 0).unwrap();
            }
            over.store(true, Ordering::Relaxed);
        });
        for _ in 0..4 {
            scope.spawn(|| {
                let (mut newest, mut best) = (0, 0);
                while !over.load(Ordering::Relaxed) {
                    for (last, found) in [(&mut newest, store.newest()), (&mut best, store.best())]
                    {
                        let found = found.unwrap();
                        assert!(found.skipped.is_empty(), "{found:?}");
                        assert_eq!(found.checkpoint.value("number"), Ok(found.step));
                        assert!(found.step >= *last, "{} after {last}", found.step);
                        *last = found.step;
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(store.newest().unwrap().step, saves);
    assert!(reads.into_inner() > saves, "the readers hardly read");
}

#[test]
fn four_readers_see_whole_checkpoints_only_and_never_go_back() {
    read_while_writing(500, 1);
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn four_readers_see_whole_checkpoints_only_and_never_go_back_long() {
    for keep_last in [1, 2, 3] {
        read_while_writing(5_000, keep_last);
    }
}
