//! `metrics.jsonl`: what a run measured, one JSON object a line.

use serde::Serialize;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The metrics file of a run cannot be opened, cut or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}", path.display())]
pub struct MetricsError {
    /// The file.
    pub path: PathBuf,
    /// What could not be done to it.
    pub action: &'static str,
    /// The system's reason; print the chain (with anyhow, `{:#}`).
    #[source]
    pub source: io::Error,
}

/// An open `metrics.jsonl`.
///
/// Every line reaches the system by one write when it is made, so a killed run leaves whole
/// lines. A checkpoint stores the file's length as [`sync`](MetricsLog::sync) returns it;
/// [`resume`](MetricsLog::resume) cuts off what was written after that checkpoint, so the
/// repeated steps appear once.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    length: u64,
    missing: u64,
}

impl MetricsLog {
    /// Starts an empty file; one that is there is emptied.
    ///
    /// # Errors
    /// [`MetricsError`] when the file cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<MetricsLog, MetricsError> {
        let path = path.into();
        let file =
            File::create(&path).map_err(|source| failed(&path, "create the file", source))?;
        Ok(MetricsLog { path, file, length: 0, missing: 0 })
    }

    /// Goes on after the first `length` bytes of the file and cuts off the rest.
    ///
    /// A file that is shorter, or gone, stops no run: it goes on after its last whole line, and
    /// [`missing`](MetricsLog::missing) tells how much was lost.
    ///
    /// # Errors
    /// [`MetricsError`] when the file cannot be opened, read or cut.
    pub fn resume(path: impl Into<PathBuf>, length: u64) -> Result<MetricsLog, MetricsError> {
        let path = path.into();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file =
            options.open(&path).map_err(|source| failed(&path, "open the file", source))?;
        let kept = whole_lines(&mut file, length)
            .and_then(|kept| {
                file.set_len(kept)?;
                file.seek(SeekFrom::Start(kept))
            })
            .map_err(|source| failed(&path, "cut the file back to the checkpoint", source))?;
        Ok(MetricsLog { path, file, length: kept, missing: length - kept })
    }

    /// Appends one line. Numbers that are not finite become `null`, as JSON has none.
    ///
    /// # Errors
    /// [`MetricsError`] when the value is no JSON (a map whose keys are no strings) or the line
    /// cannot be written.
    pub fn write(&mut self, line: &impl Serialize) -> Result<(), MetricsError> {
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            self.file.write_all(&bytes)?;
            self.length += bytes.len() as u64;
            Ok(())
        });
        written.map_err(|source| failed(&self.path, "write a line", source))
    }

    /// The file's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Waits until every line is on the disk and returns the file's length: for the checkpoint
    /// that is written next, which then never knows of lines that a power cut took.
    ///
    /// # Errors
    /// [`MetricsError`] when the disk fails.
    pub fn sync(&mut self) -> Result<u64, MetricsError> {
        self.file.sync_data().map_err(|source| failed(&self.path, "sync the file", source))?;
        Ok(self.length)
    }

    /// How many of the bytes that [`resume`](MetricsLog::resume) asked for were not there.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> MetricsError {
    MetricsError { path: path.to_owned(), action, source }
}

/// The length of the whole lines among the first `most` bytes.
fn whole_lines(file: &mut File, most: u64) -> io::Result<u64> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at as u64 + 1))
}
