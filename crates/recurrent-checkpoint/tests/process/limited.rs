//! A process whose system has no room, or allows no change.

use std::fs;

use crate::child::{OLD_BYTES, Workplace, checkpoint, names, works};

#[test]
fn a_limit_on_the_size_of_files_is_an_error_of_writing() {
    let workplace = Workplace::new(1 << 20);
    // Blocks of 512 or 1,024 bytes; the write that reaches the limit is a short one.
    let limited = "trap '' XFSZ; ulimit -f 99; exec \"$@\"";
    assert_eq!(workplace.run(&["sh", "-c", limited, "sh"]), "not committed: Write: 27\n");
    assert!(workplace.left() == workplace.old);
    workplace.assert_tidy("a file too large");

    // A process that does not ignore the signal is killed by it.
    let killed = "ulimit -f 99; exec \"$@\"";
    assert_eq!(workplace.run(&["sh", "-c", killed, "sh"]), "");
    assert!(workplace.left() == workplace.old);
    workplace.restore();
}

/// Runs a child in a namespace where `mount` was done to `run`, then `after`.
fn run_mounted(workplace: &Workplace, mount: &str, after: &str) -> String {
    let script = format!("{mount} && \"$@\"; {after}");
    workplace.run(&["unshare", "-rm", "sh", "-c", &script, "sh"])
}

#[test]
fn a_full_disk_keeps_the_old_file() {
    let probe = "mount -t tmpfs -o size=64k none .";
    if !works(&["unshare", "-rm", "sh", "-c", probe], "a full disk") {
        return;
    }
    let small = OLD_BYTES;
    for (options, large, operation) in [
        ("size=64k", 1 << 20, "Write"),
        ("size=64k", 61 << 10, "Write"),
        ("nr_inodes=2", small, "Create"),
    ] {
        let workplace = Workplace::new(small);
        workplace.ask(&[(small, 1), (large, 2), (large, 3)]);
        let mount = format!("mount -t tmpfs -o {options} none run");
        let answer = run_mounted(&workplace, &mount, "cp -r run seen");
        let failed = format!("not committed: {operation}: 28\n");
        assert_eq!(answer, format!("saved\n{failed}{failed}"), "{options}");
        let seen = workplace.folder().join("seen");
        assert_eq!(names(&seen), ["last.ckpt"], "{options}");
        assert!(fs::read(seen.join("last.ckpt")).unwrap() == workplace.old, "{options}");
    }

    // With room for both files it works.
    let workplace = Workplace::new(small);
    workplace.ask(&[(small, 1), (50 << 10, 2)]);
    let answer = run_mounted(&workplace, "mount -t tmpfs -o size=64k none run", "cp -r run seen");
    assert_eq!(answer, "saved\nsaved\n");
    let expected = checkpoint(50 << 10, 2).to_bytes().unwrap();
    assert!(fs::read(workplace.folder().join("seen/last.ckpt")).unwrap() == expected);
}

#[test]
fn a_read_only_folder_is_an_error_of_creating() {
    let mount = "mount --bind run run && mount -o remount,ro,bind run";
    let probe = format!("mkdir -p run && {mount}");
    let place = tempfile::tempdir().unwrap();
    let there = format!("cd '{}' && {probe}", place.path().display());
    if !works(&["unshare", "-rm", "sh", "-c", &there], "a read-only folder") {
        return;
    }
    let workplace = Workplace::new(1 << 10);
    assert_eq!(run_mounted(&workplace, mount, "true"), "not committed: Create: 30\n");
    assert!(workplace.left() == workplace.old);
    workplace.assert_tidy("a read-only folder");
}
