//! A folder in which the program runs, and what it says there: for the tests of the command line.

// Each test file uses its part of it.
#![allow(dead_code)]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A folder of its own, in which the program runs.
pub(crate) struct Place(PathBuf, Option<tempfile::TempDir>);

/// What the program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// A place with `text.txt`, 8,000 characters.
    pub(crate) fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let place = Place(folder.path().to_owned(), Some(folder));
        place.write("text.txt", text(8_000));
        place
    }

    /// A folder that is there, and stays.
    pub(crate) fn at(folder: PathBuf) -> Place {
        Place(folder, None)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recurrent"));
        command.args(arguments.split_whitespace()).current_dir(&self.0);
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Ended {
        let output = self.command(arguments).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs what must not fail, and gives its results.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &str) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments}: {}", ended.stderr);
        ended.stdout
    }

    /// Starts a training with a checkpoint every 5 steps, and waits until some epochs are over.
    pub(crate) fn start(&self, arguments: &str, run: &str, epochs: usize) -> Child {
        let mut command = self.command(&format!("{arguments} --checkpoint-every 5 --out {run}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        let over = || {
            let metrics = fs::read_to_string(self.path(run).join("metrics.jsonl"));
            let lines = metrics.unwrap_or_default().matches("\"event\":\"epoch\"").count();
            lines >= epochs && self.path(run).join("best.ckpt").exists()
        };
        while !over() {
            assert!(child.try_wait().unwrap().is_none(), "{run}: ended before we looked");
            assert!(began.elapsed() < Duration::from_secs(60), "{run}: no checkpoint");
            thread::sleep(Duration::from_millis(1));
        }
        child
    }

    /// The newest checkpoint of a run.
    #[track_caller]
    pub(crate) fn newest(&self, run: &str) -> String {
        let names = self.checkpoints(run);
        let newest = names.last().unwrap_or_else(|| panic!("{run} has no checkpoint"));
        format!("{run}/{newest}")
    }

    /// The names of a run's checkpoints by step, ascending.
    pub(crate) fn checkpoints(&self, run: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(run)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|name| name.starts_with("step-") && name.ends_with(".ckpt")).collect();
        names.sort();
        names
    }

    /// The run `whole` as it was after a step whose checkpoint it kept, as a run of its own.
    pub(crate) fn copy_at(&self, step: u64, run: &str) {
        fs::create_dir(self.path(run)).unwrap();
        for file in ["config.toml", "metrics.jsonl", &format!("step-{step:09}.ckpt")] {
            self.write(&format!("{run}/{file}"), self.read(&format!("whole/{file}")));
        }
    }

    /// Flips a bit in the middle of a file.
    pub(crate) fn damage(&self, name: &str) {
        let mut bytes = self.read(name);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.write(name, bytes);
    }

    #[track_caller]
    pub(crate) fn read_of_run(&self, run: &str, file: &str) -> Vec<u8> {
        match file {
            NEWEST => self.read(&self.newest(run)),
            _ => self.read(&format!("{run}/{file}")),
        }
    }

    #[track_caller]
    pub(crate) fn assert_equal_runs(&self, left: &str, right: &str, files: &[&str]) {
        for file in files {
            let same = self.read_of_run(left, file) == self.read_of_run(right, file);
            assert!(same, "{left} and {right} differ in {file}");
        }
    }
}

/// Words in no order, of which some are rare.
pub(crate) fn text(length: usize) -> String {
    const WORDS: [&str; 8] = ["the", "river", "runs", "past", "a", "mill", "and", "sings"];
    let mut text = String::new();
    let mut state = 1u32;
    for number in 0.. {
        if text.len() >= length {
            break;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(WORDS[(state >> 24) as usize % WORDS.len()]);
        match number % 50 {
            49 => text.push_str(&format!(" once{}.\n", "xyzv".repeat(number / 50 % 5 + 1))),
            9 | 19 | 29 | 39 => text.push('\n'),
            _ => text.push(' '),
        }
    }
    text
}

pub(crate) const TRAIN: &str = "train language-model --data text.txt --hidden-size 8 --batch-size 8 \
                     --sequence-length 16 --learning-rate 0.01";

/// In a list of a run's files: its newest checkpoint, whatever its step.
pub(crate) const NEWEST: &str = "the newest checkpoint";

pub(crate) const ALL: [&str; 3] = [NEWEST, "best.ckpt", "metrics.jsonl"];

/// An error in one line that holds `part`.
#[track_caller]
pub(crate) fn assert_one_line(stderr: &str, part: &str) {
    assert!(stderr.starts_with("error: "), "{stderr:?}");
    assert!(stderr.contains(part), "no {part:?} in {stderr:?}");
    // Errors of the argument parser end in a pointer to the help.
    let one = stderr.lines().count() == 1 && stderr.ends_with('\n');
    assert!(one || stderr.ends_with("For more information, try '--help'.\n"), "{stderr:?}");
}
