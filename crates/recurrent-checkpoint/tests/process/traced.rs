//! A process killed or deceived at each of its system calls that concern the checkpoint.

use std::collections::BTreeMap;
use std::fs;

use crate::child::{Workplace, works};

/// A system call of a save: its name, which of that name it is (from 1), and the whole line.
struct Call {
    name: String,
    number: usize,
    line: String,
}

/// Runs a child under strace, with faults injected, and gives its answer. Only calls that concern
/// the checkpoint, its temporary file and their folder are seen, counted and changed.
fn trace(workplace: &Workplace, faults: &[String]) -> String {
    let path = workplace.path();
    let path = path.to_str().unwrap();
    let temporary = format!("{path}.saving");
    let folder = workplace.path();
    let folder = folder.parent().unwrap().to_str().unwrap();
    let mut before =
        vec!["strace", "-f", "-qq", "-o", "log", "-P", path, "-P", &temporary, "-P", folder];
    for fault in faults {
        before.extend(["-e", fault]);
    }
    workplace.run(&before)
}

fn calls(workplace: &Workplace) -> Vec<Call> {
    assert_eq!(trace(workplace, &[]), "saved\n");
    let log = fs::read_to_string(workplace.folder().join("log")).unwrap();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let calls = log.lines().filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        let name = call.split_once('(')?.0;
        let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let number = is_name.then(|| numbers.entry(name.to_owned()).or_default())?;
        *number += 1;
        Some(Call { name: name.to_owned(), number: *number, line: call.to_owned() })
    });
    let calls: Vec<Call> = calls.collect();
    let count = |name: &str| calls.iter().filter(|call| call.name.starts_with(name)).count();
    assert_eq!((count("openat"), count("fsync"), count("rename")), (2, 2, 1), "{log}");
    assert!(count("write") >= workplace.new.len().div_ceil(1 << 20), "{log}");
    calls
}

fn is_traceable() -> bool {
    works(&["strace", "-qq", "-o", "/dev/null", "true"], "faults at every system call")
}

fn kill_at_every_call(bytes: usize) {
    if !is_traceable() {
        return;
    }
    let workplace = Workplace::new(bytes);
    let calls = calls(&workplace);
    let renaming = calls.iter().position(|call| call.name.starts_with("rename")).unwrap();
    for (at, Call { name, number, line }) in calls.iter().enumerate() {
        workplace.restore();
        let answer = trace(&workplace, &[format!("inject={name}:signal=KILL:when={number}")]);
        assert_eq!(answer, "", "not killed at {line}");
        // The signal comes before the call does anything.
        let expected = if at > renaming { &workplace.new } else { &workplace.old };
        assert!(workplace.left() == *expected, "killed at {line}");
    }
    workplace.restore();
}

#[test]
fn a_process_killed_at_any_system_call_leaves_the_old_file_or_the_new() {
    for bytes in [1 << 10, 1 << 20] {
        kill_at_every_call(bytes);
    }
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn a_process_killed_at_any_system_call_leaves_the_old_file_or_the_new_long() {
    kill_at_every_call(64 << 20);
}

/// Names and numbers of Linux.
const ERRORS: [(&str, i32); 4] = [("ENOSPC", 28), ("EIO", 5), ("EROFS", 30), ("EINTR", 4)];

fn fail_every_call(bytes: usize) {
    if !is_traceable() {
        return;
    }
    let workplace = Workplace::new(bytes);
    let calls = calls(&workplace);
    let renaming = calls.iter().position(|call| call.name.starts_with("rename")).unwrap();
    for (at, Call { name, number, line }) in calls.iter().enumerate() {
        // Closing comes behind the sync that tells everything, and the standard library looks
        // whether a file is open without need; where it cannot be seen what is at the path,
        // renaming decides.
        let is_harmless =
            ["close", "fcntl"].contains(&&**name) || line.contains("/last.ckpt\", AT_STATX");
        for (error, cause) in ERRORS {
            workplace.restore();
            let answer = trace(&workplace, &[format!("inject={name}:error={error}:when={number}")]);
            let operation = match &**name {
                "write" => "Write",
                "fsync" => "Sync",
                _ if at == renaming => "Rename",
                _ => "Create",
            };
            let (expected, left) = if is_harmless || error == "EINTR" {
                ("saved\n".to_owned(), &workplace.new)
            } else if at > renaming {
                (format!("uncertain: {cause}\n"), &workplace.new)
            } else {
                (format!("not committed: {operation}: {cause}\n"), &workplace.old)
            };
            assert_eq!(answer, expected, "{error} at {line}");
            assert!(workplace.left() == *left, "{error} at {line}");
            workplace.assert_tidy(&format!("{error} at {line}"));
        }
    }
}

#[test]
fn an_error_at_any_system_call_is_reported_and_an_interruption_is_not_one() {
    fail_every_call(1 << 20);
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn an_error_at_any_system_call_is_reported_and_an_interruption_is_not_one_long() {
    for bytes in [1 << 10, 16 << 20] {
        fail_every_call(bytes);
    }
}

#[test]
fn the_first_error_is_reported_where_cleaning_up_fails_as_well() {
    if !is_traceable() {
        return;
    }
    let workplace = Workplace::new(1 << 10);
    let faults = ["inject=write:error=ENOSPC:when=1", "inject=unlink,unlinkat:error=EIO"];
    assert_eq!(trace(&workplace, &faults.map(String::from)), "not committed: Write: 28\n");
    assert!(workplace.left() == workplace.old);
    workplace.restore();
}
