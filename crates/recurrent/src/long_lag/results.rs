//! The results that are there already: a file with one JSON object a run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use recurrent_checkpoint::{Lock, LockError};
use serde::{Deserialize, Serialize};

use super::{Outcome, RunConfig};

/// The file in the folder.
pub const NAME: &str = "results.jsonl";

/// A run and how it ended: a line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What was run.
    pub run: RunConfig,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why results cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The system refused.
    #[error("{}: cannot be {action}", path.display())]
    System {
        /// The file or folder.
        path: PathBuf,
        /// What could not be done to it.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process writes there, or the folder cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A whole line is no result.
    #[error(
        "{}, line {line}: no result of this version ({reason}); take another folder for --out, or \
         delete the line",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The results in a folder, to which more are appended. Each is on its way to the disk when
/// [`append`](Self::append) returns; no other process writes there meanwhile.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
    records: Vec<Record>,
    _lock: Lock,
}

impl Results {
    /// Reads what is there; the folder is made if it is not. A last line without an end, torn by a
    /// process that was killed, is cut off.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn open(folder: &Path) -> Result<Results, ResultsError> {
        let path = folder.join(NAME);
        let failed = |path: &Path, action| {
            let path = path.to_owned();
            move |source| ResultsError::System { path, action, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder, "made"))?;
        let lock = Lock::acquire(folder)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path);
        let file = file.map_err(failed(&path, "opened"))?;
        let bytes = fs::read(&path).map_err(failed(&path, "read"))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(failed(&path, "cut behind its last whole line"))?;
        }
        let lines = bytes[..whole].split(|&byte| byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty());
        let records = lines.map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| ResultsError::Line {
                path: path.clone(),
                line: number + 1,
                reason: error.to_string(),
            })
        });
        let records = records.collect::<Result<Vec<Record>, _>>()?;
        Ok(Results { path, file, records, _lock: lock })
    }

    /// The results so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How a run ended, if it was made.
    pub fn outcome(&self, run: &RunConfig) -> Option<&Outcome> {
        self.records.iter().find(|record| record.run == *run).map(|record| &record.outcome)
    }

    /// Keeps one more, by one write.
    ///
    /// # Errors
    /// [`ResultsError::System`] if it cannot be written.
    pub fn append(&mut self, record: Record) -> Result<(), ResultsError> {
        let failed =
            |source| ResultsError::System { path: self.path.clone(), action: "written", source };
        let mut line = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.records.push(record);
        Ok(())
    }
}
