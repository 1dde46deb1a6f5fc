//! Saving on the real disk: what is in the way is reported, and what was there stays.

use std::fs;
use std::path::Path;

use recurrent_checkpoint::{
    Checkpoint, LoadError, Operation, SaveError, inspect, write_atomically,
};

fn checkpoint(step: u64) -> Checkpoint<'static> {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("step", &[], [step]);
    checkpoint
}

fn step(path: &Path) -> u64 {
    Checkpoint::load(path).unwrap().value("step").unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn operation(error: &SaveError) -> Operation {
    match error {
        SaveError::NotCommitted { operation, .. } => *operation,
        other => panic!("{other}"),
    }
}

#[test]
fn a_save_replaces_the_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    for number in 1..4 {
        checkpoint(number).save(&path).unwrap();
        assert_eq!(step(&path), number);
        assert_eq!(names(folder.path()), ["last.ckpt"]);
    }
}

#[test]
fn any_file_can_be_replaced_atomically() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    write_atomically(&path, "hidden_size = 128\n").unwrap();
    write_atomically(&path, b"").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    write_atomically(&path, "hidden_size = 256\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "hidden_size = 256\n");
    assert_eq!(names(folder.path()), ["config.toml"]);
}

#[test]
fn a_file_left_by_a_killed_process_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    fs::write(folder.path().join("last.ckpt.saving"), vec![0xAA; 100_000]).unwrap();
    checkpoint(1).save(&path).unwrap();
    assert_eq!(step(&path), 1);
    assert_eq!(names(folder.path()), ["last.ckpt"]);
}

#[test]
fn a_file_that_another_writer_is_writing_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    checkpoint(1).save(&path).unwrap();
    let temporary = folder.path().join("last.ckpt.saving");
    let other = fs::File::create(&temporary).unwrap();
    other.lock().unwrap();
    let error = checkpoint(2).save(&path).unwrap_err();
    assert_eq!(operation(&error), Operation::Create);
    assert!(error.to_string().contains("another process is saving the same file"), "{error}");
    assert_eq!(step(&path), 1);
    assert!(temporary.exists());
    drop(other);
    checkpoint(2).save(&path).unwrap();
    assert_eq!(step(&path), 2);
}

#[test]
fn two_writers_and_a_reader_never_see_a_torn_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    checkpoint(0).save(&path).unwrap();
    #[allow(clippy::disallowed_methods)] // writers and readers at the same time are the test
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..50 {
                        // Being refused because the other one is saving is fine; a torn file is not.
                        if let Err(error) = checkpoint(writer * 1000 + number).save(path) {
                            assert!(matches!(error, SaveError::NotCommitted { .. }), "{error}");
                        }
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            step(&path);
        }
    });
    checkpoint(7).save(&path).unwrap();
    assert_eq!(step(&path), 7);
    assert_eq!(names(folder.path()), ["last.ckpt"]);
}

#[test]
fn a_folder_in_the_way_is_reported_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    fs::create_dir(&path).unwrap();
    let error = checkpoint(1).save(&path).unwrap_err();
    assert_eq!(operation(&error), Operation::Rename);
    assert_eq!(names(folder.path()), ["last.ckpt"]);
    assert!(path.is_dir());
    assert!(matches!(Checkpoint::load(&path), Err(LoadError::NotAFile { .. })));

    // And where the temporary file would be.
    let path = folder.path().join("best.ckpt");
    fs::create_dir(folder.path().join("best.ckpt.saving")).unwrap();
    let error = checkpoint(1).save(&path).unwrap_err();
    assert!(error.to_string().contains("best.ckpt.saving is in the way; remove it"), "{error}");
    assert_eq!(names(folder.path()), ["best.ckpt.saving", "last.ckpt"]);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_the_temporary_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "data").unwrap();
    std::os::unix::fs::symlink(&precious, folder.path().join("last.ckpt.saving")).unwrap();
    checkpoint(1).save(folder.path().join("last.ckpt")).unwrap_err();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    assert_eq!(names(folder.path()), ["last.ckpt.saving", "precious"]);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run").join("last.ckpt");
    let error = checkpoint(1).save(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot save {}: creating a temporary file beside it failed: \
             the folder {} does not exist; nothing was changed",
            path.display(),
            folder.path().join("run").display()
        )
    );
    let error = Checkpoint::load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
    assert!(error.to_string().starts_with(&format!("cannot read {}: ", path.display())));
}

#[test]
fn a_path_without_a_file_name_is_refused() {
    for path in ["/", "..", ""] {
        let error = checkpoint(1).save(path).unwrap_err();
        assert!(error.to_string().contains("the path names no file"), "{error}");
    }
}

/// The superuser could rename a file over a device, and so take `/dev/null` from everybody.
#[cfg(unix)]
#[test]
fn what_is_neither_file_nor_link_is_not_replaced() {
    use std::os::unix::{fs::FileTypeExt, net::UnixListener};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    let _socket = UnixListener::bind(&path).unwrap();
    let error = checkpoint(1).save(&path).unwrap_err();
    assert_eq!(operation(&error), Operation::Rename);
    assert!(
        error.to_string().contains("last.ckpt is no file; move it away, or choose another name"),
        "{error}"
    );
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(names(folder.path()), ["last.ckpt"]);
}

#[cfg(unix)]
#[test]
fn a_link_at_the_path_is_replaced_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "data").unwrap();
    let path = folder.path().join("last.ckpt");
    std::os::unix::fs::symlink(&precious, &path).unwrap();
    checkpoint(1).save(&path).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(step(&path), 1);
}

/// Linux takes any bytes for a name; the name is used as it is, and shown as well as it can be.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_used_and_named_in_errors() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join(OsStr::from_bytes(b"run\xFF"));
    fs::create_dir(&run).unwrap();
    let path = run.join(OsStr::from_bytes(b"last\xC3.ckpt"));
    for number in 1..3 {
        checkpoint(number).save(&path).unwrap();
        assert_eq!(step(&path), number);
    }
    assert!(inspect(&path).unwrap().is_intact());
    assert_eq!(fs::read_dir(&run).unwrap().count(), 1);

    fs::create_dir(run.join(OsStr::from_bytes(b"last\xC3.ckpt.saving"))).unwrap();
    let error = checkpoint(3).save(&path).unwrap_err();
    assert!(error.to_string().contains("last\u{FFFD}.ckpt.saving is in the way"), "{error}");
    assert_eq!(step(&path), 2);
    let error = Checkpoint::load(run.join("none")).unwrap_err();
    assert!(error.to_string().contains("run\u{FFFD}/none"), "{error}");
}

#[test]
fn a_name_too_long_for_its_temporary_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = checkpoint(1).save(folder.path().join("n".repeat(255))).unwrap_err();
    assert_eq!(operation(&error), Operation::Create);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn an_unwritable_folder_is_reported_and_its_file_stays() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    checkpoint(1).save(&path).unwrap();
    let permit = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode));
    permit(0o555).unwrap();
    // The superuser may write everywhere, so that there is nothing to test then.
    if fs::write(folder.path().join("probe"), "").is_err() {
        let error = checkpoint(2).save(&path).unwrap_err();
        assert_eq!(operation(&error), Operation::Create);
        assert_eq!(step(&path), 1);
    }
    permit(0o755).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_not_read() {
    assert!(matches!(Checkpoint::load("/dev/zero"), Err(LoadError::NotAFile { .. })));
}
