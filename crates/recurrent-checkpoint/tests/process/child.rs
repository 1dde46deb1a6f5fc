//! The process that saves, and the folder where it works.
//!
//! It is the test's own executable, told to run `child_saves` alone. What it is asked for lies in
//! its working folder: the file `asked` with a line a save, the size in bytes and the step. So the
//! same function does nothing where a person runs all long tests. The answer goes to `answer`.

// A process can be killed only where there is one, and its folder is how it is told what to do.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use recurrent_checkpoint::{Checkpoint, SaveError};
use tempfile::TempDir;

const ASKED: &str = "asked";
const ANSWER: &str = "answer";
const RUN: &str = "run";
const NAME: &str = "last.ckpt";

/// The size of the file that is there before.
pub(crate) const OLD_BYTES: usize = 1 << 10;

/// What the child writes to the standard error when it begins to save.
pub(crate) const BEGUN: &str = "saving";

/// A checkpoint of about `bytes` bytes.
pub(crate) fn checkpoint(bytes: usize, step: u64) -> Checkpoint<'static> {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("step", &[], [step]);
    checkpoint.insert("weight", &[bytes / 4], vec![step as f32; bytes / 4]);
    checkpoint
}

/// The child's work: saves as the file `asked` says, and nothing where there is none.
pub(crate) fn save_as_asked() {
    let Ok(asked) = fs::read_to_string(ASKED) else { return };
    let path = std::env::current_dir().unwrap().join(RUN).join(NAME);
    let mut answer = String::new();
    for line in asked.lines() {
        let (bytes, step) = line.split_once(' ').unwrap();
        let checkpoint = checkpoint(bytes.parse().unwrap(), step.parse().unwrap());
        std::io::stderr().write_all(format!("{BEGUN}\n").as_bytes()).unwrap();
        let (what, cause) = match checkpoint.save(&path) {
            Ok(()) => ("saved".to_owned(), None),
            Err(SaveError::NotCommitted { operation, cause, .. }) => {
                (format!("not committed: {operation:?}"), cause.raw_os_error())
            }
            Err(SaveError::DurabilityUncertain { cause, .. }) => {
                ("uncertain".to_owned(), cause.raw_os_error())
            }
            Err(other) => panic!("{other}"),
        };
        let cause = cause.map_or(String::new(), |number| format!(": {number}"));
        writeln!(answer, "{what}{cause}").unwrap();
    }
    fs::write(ANSWER, answer).unwrap();
}

/// A working folder for children, with a checkpoint in a folder of its own.
pub(crate) struct Workplace {
    folder: TempDir,
    /// The file of step 1, which is there, and of step 2, which the child is asked to save.
    pub(crate) old: Vec<u8>,
    pub(crate) new: Vec<u8>,
}

impl Workplace {
    /// `bytes` is the size of the new file.
    pub(crate) fn new(bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(RUN)).unwrap();
        let file = |bytes, step| checkpoint(bytes, step).to_bytes().unwrap();
        let workplace = Self { folder, old: file(OLD_BYTES, 1), new: file(bytes, 2) };
        workplace.ask(&[(bytes, 2)]);
        workplace.restore();
        workplace
    }

    /// Sets what children save: sizes in bytes and steps.
    pub(crate) fn ask(&self, saves: &[(usize, u64)]) {
        let lines: String = saves.iter().map(|(bytes, step)| format!("{bytes} {step}\n")).collect();
        fs::write(self.folder().join(ASKED), lines).unwrap();
    }

    /// The absolute path of the working folder, as the system gives it.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join(RUN).join(NAME)
    }

    /// A command that runs a child, with the words of `before` in front of it.
    pub(crate) fn command(&self, before: &[&str]) -> Command {
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let words = ["--exact", "child_saves", "--nocapture", "--test-threads=1"];
        let line = [before, &[own], &words].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).current_dir(self.folder());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs a child to its end, and gives its answer: a line a save, nothing if it was killed.
    pub(crate) fn run(&self, before: &[&str]) -> String {
        let output = self.command(before).output().unwrap();
        let answer = fs::read_to_string(self.folder().join(ANSWER)).unwrap_or_default();
        let _ = fs::remove_file(self.folder().join(ANSWER));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(BEGUN), "the child did not begin to save: {complaint}");
        answer
    }

    /// What is at the path.
    pub(crate) fn left(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Panics if anything but the checkpoint is beside it.
    pub(crate) fn assert_tidy(&self, after: &str) {
        assert_eq!(names(&self.folder().join(RUN)), [NAME], "{after}");
    }

    /// Saves the old file again: the next save, which must work, whatever was left.
    pub(crate) fn restore(&self) {
        checkpoint(OLD_BYTES, 1).save(self.path()).unwrap();
        assert!(self.left() == self.old);
        self.assert_tidy("the next save");
    }
}

/// The sorted names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether a command works here; if not, says loudly that `what` was not tested.
pub(crate) fn works(probe: &[&str], what: &str) -> bool {
    let mut command = Command::new(probe[0]);
    let output = command.args(&probe[1..]).stdin(Stdio::null()).output();
    let works = output.is_ok_and(|output| output.status.success());
    if !works {
        let text = format!("\nSKIPPED: {what}: `{}` does not work here\n", probe.join(" "));
        // The test harness keeps what the print macros write to itself.
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    works
}
