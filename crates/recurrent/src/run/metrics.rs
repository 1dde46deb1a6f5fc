//! `metrics.jsonl`: what a run measured, one JSON object a line.

use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
/// lines. A checkpoint stores the file's length as [`length`](MetricsLog::length) gives it;
/// [`resume`](MetricsLog::resume) cuts off what was written after that checkpoint, so the
/// repeated steps appear once.
///
/// A line that cannot be written, on a full disk, waits and is written before the next: no line
/// is torn or lost, and a training that saves every minute does not end because one minute was bad.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    lines: Arc<Mutex<Lines>>,
    missing: u64,
}

/// How much there is in a metrics file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Whole lines.
    pub lines: usize,
    /// Bytes of the whole lines.
    pub whole_bytes: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What brings the lines of a [`MetricsLog`] to the disk, from another thread if need be.
#[derive(Debug)]
pub struct MetricsSync {
    path: PathBuf,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug)]
struct Lines {
    /// None where lines are only kept in memory.
    file: Option<File>,
    /// The length of the whole lines in the file.
    written: u64,
    /// Lines that are not in the file yet.
    waiting: Vec<u8>,
    /// Behind `written` may be part of a line.
    torn: bool,
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
        Ok(MetricsLog::over(path, Some(file), 0, 0))
    }

    /// Goes on after the first `length` bytes of the file, which are of steps up to `step`, and
    /// cuts off the rest.
    ///
    /// A file that is shorter, or gone, stops no run: it goes on after its last whole line, and
    /// [`missing`](MetricsLog::missing) tells how much was lost. Behind lost lines others may have
    /// moved to the front, so a line of a later step ends what is kept as well.
    ///
    /// # Errors
    /// [`MetricsError`] when the file cannot be opened, read or cut.
    pub fn resume(
        path: impl Into<PathBuf>,
        length: u64,
        step: u64,
    ) -> Result<MetricsLog, MetricsError> {
        let path = path.into();
        require_file(&path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file =
            options.open(&path).map_err(|source| failed(&path, "open the file", source))?;
        let kept = kept_length(&file, length, step)
            .and_then(|kept| cut(&mut file, kept).map(|()| kept))
            .map_err(|source| failed(&path, "cut the file back to the checkpoint", source))?;
        Ok(MetricsLog::over(path, Some(file), kept, length - kept))
    }

    /// How much there is in a file, of which the last line may be torn.
    ///
    /// # Errors
    /// [`MetricsError`] when the file cannot be read.
    pub fn extent(path: impl AsRef<Path>) -> Result<Extent, MetricsError> {
        require_file(path.as_ref())?;
        let read = || {
            let file = File::open(&path)?;
            let mut extent = Extent { lines: 0, whole_bytes: 0, bytes: file.metadata()?.len() };
            each_line(&file, |line| {
                extent.lines += 1;
                extent.whole_bytes += line.len() as u64;
                true
            })?;
            extent.bytes = extent.bytes.max(extent.whole_bytes);
            Ok(extent)
        };
        read().map_err(|source| failed(path.as_ref(), "read the file", source))
    }

    /// How many of the first `length` bytes of a file [`resume`](MetricsLog::resume) would keep.
    ///
    /// # Errors
    /// [`MetricsError`] when the file cannot be read.
    pub fn kept(path: impl AsRef<Path>, length: u64, step: u64) -> Result<u64, MetricsError> {
        let path = path.as_ref();
        require_file(path)?;
        File::open(path)
            .and_then(|file| kept_length(&file, length, step))
            .map_err(|source| failed(path, "read the file", source))
    }

    /// A log without a file: [`waiting`](MetricsLog::waiting) gives its lines.
    pub fn in_memory() -> MetricsLog {
        MetricsLog::over(PathBuf::new(), None, 0, 0)
    }

    fn over(path: PathBuf, file: Option<File>, written: u64, missing: u64) -> MetricsLog {
        let lines = Lines { file, written, waiting: vec![], torn: false };
        MetricsLog { path, lines: Arc::new(Mutex::new(lines)), missing }
    }

    /// Appends one line. Numbers that are not finite become `null`, as JSON has none. That it
    /// cannot be written now is no error yet: see [`MetricsSync::sync`].
    ///
    /// # Errors
    /// [`MetricsError`] when the value is no JSON (a map whose keys are no strings).
    pub fn write(&mut self, line: &impl Serialize) -> Result<(), MetricsError> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(|error| failed(&self.path, "write a line", error.into()))?;
        bytes.push(b'\n');
        let mut lines = lock(&self.lines);
        lines.waiting.extend(bytes);
        let _ = lines.write();
        Ok(())
    }

    /// The length of all lines in bytes, written or not.
    pub fn length(&self) -> u64 {
        let lines = lock(&self.lines);
        lines.written + lines.waiting.len() as u64
    }

    /// Lines that are not in the file yet.
    pub fn waiting(&self) -> Vec<u8> {
        lock(&self.lines).waiting.clone()
    }

    /// What brings the lines to the disk: before a checkpoint that counts on their
    /// [`length`](MetricsLog::length), which then never knows of lines that a power cut took.
    pub fn to_sync(&self) -> MetricsSync {
        MetricsSync { path: self.path.clone(), lines: Arc::clone(&self.lines) }
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

impl MetricsSync {
    /// Writes what is still waiting, and returns when every line is on the disk. Lines can be
    /// logged meanwhile.
    ///
    /// # Errors
    /// [`MetricsError`] when the system refuses. Lines that were not written go on waiting.
    pub fn sync(&self) -> Result<(), MetricsError> {
        let file = {
            let mut lines = lock(&self.lines);
            lines.write().map_err(|source| failed(&self.path, "write a line", source))?;
            lines.file.as_ref().map(File::try_clone)
        };
        let synced = file.map_or(Ok(()), |file| file.and_then(|file| file.sync_data()));
        synced.map_err(|source| failed(&self.path, "sync the file", source))
    }
}

impl Lines {
    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.torn {
            cut(file, self.written)?;
        }
        // Of a write that fails, a part may be there.
        self.torn = true;
        file.write_all(&self.waiting)?;
        self.torn = false;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

/// Whoever panicked with the lock held has stopped between two whole states.
fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts the file behind its first `length` bytes and goes on there.
fn cut(file: &mut File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length)).map(drop)
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> MetricsError {
    MetricsError { path: path.to_owned(), action, source }
}

/// A pipe at the place would wait for its other end.
fn require_file(path: &Path) -> Result<(), MetricsError> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            Err(failed(path, "open the file", source))
        }
        _ => Ok(()),
    }
}

/// The length of the whole lines among the first `most` bytes, up to the first of a step behind
/// `last`.
fn kept_length(file: &File, most: u64, last: u64) -> io::Result<u64> {
    /// What every line of a run has.
    #[derive(Deserialize)]
    struct OfStep {
        step: u64,
    }
    let mut kept = 0;
    each_line(file.take(most), |line| {
        // A line that is none of ours is not ours to judge.
        let is_later = serde_json::from_slice(line).is_ok_and(|OfStep { step }| step > last);
        if !is_later {
            kept += line.len() as u64;
        }
        !is_later
    })?;
    Ok(kept)
}

/// Hands every whole line to `take`, its line break included, as long as that asks for more.
fn each_line(from: impl Read, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let (mut from, mut line) = (BufReader::new(from), Vec::new());
    while from.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") && take(&line) {
        line.clear();
    }
    Ok(())
}
