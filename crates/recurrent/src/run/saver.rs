//! Saving beside the training: a thread of its own writes and syncs, and the training goes on.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use recurrent_checkpoint::{Checkpoint, SaveError, Saved, StoreWriter};

use super::metrics::{MetricsError, MetricsSync};

/// What is to be saved: a copy of the state, which the training changes no more.
pub struct Snapshot {
    /// The step that it was made after.
    pub step: u64,
    /// Everything that the next step depends on.
    pub checkpoint: Checkpoint<'static>,
    /// It is the best so far.
    pub is_best: bool,
    /// The metrics that the checkpoint counts on: on the disk before it is.
    pub metrics: MetricsSync,
}

/// How a save ended.
pub struct Ended {
    /// The step that was to be saved.
    pub step: u64,
    /// What became of it.
    pub result: Result<Saved, SavingError>,
}

/// Why a snapshot was not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavingError {
    /// The checkpoint was not written, or may not last.
    #[error(transparent)]
    Checkpoint(#[from] SaveError),
    /// The metrics that it counts on were not written.
    #[error("{source}: {}", source.source)]
    Metrics {
        /// Why.
        #[from]
        source: MetricsError,
    },
}

impl SavingError {
    /// The snapshot is at its place, but a power cut may take it away.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, SavingError::Checkpoint(SaveError::DurabilityUncertain { .. }))
    }
}

/// A thread that saves, one snapshot after the other.
///
/// At most one is under way: whoever hands over the next waits for it. So there are never more
/// than two copies of the state, and a disk that cannot keep up slows the training instead of
/// filling the memory. A best state that could not be saved is tried again with the next snapshot.
pub struct Saver {
    /// `None` once there is nothing more to come.
    snapshots: Option<Sender<Snapshot>>,
    ended: Receiver<Ended>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
}

impl Saver {
    /// Starts the thread.
    pub fn new(mut writer: StoreWriter) -> Saver {
        let (snapshots, incoming) = channel::<Snapshot>();
        let (outgoing, ended) = channel();
        let thread = thread::spawn(move || {
            let mut unsaved_best: Option<Snapshot> = None;
            for mut snapshot in incoming {
                // A better one that comes now makes the older one superfluous.
                let older = unsaved_best.take().filter(|_| !snapshot.is_best);
                let result = match older.map(|mut best| (save_best(&mut writer, &mut best), best)) {
                    Some((Err(error), best)) if !error.is_uncertain() => {
                        unsaved_best = Some(best);
                        Err(error)
                    }
                    _ => save(&mut writer, &mut snapshot),
                };
                let step = snapshot.step;
                let is_lost = result.as_ref().is_err_and(|error| !error.is_uncertain());
                if is_lost && snapshot.is_best {
                    unsaved_best = Some(snapshot);
                }
                if outgoing.send(Ended { step, result }).is_err() {
                    return;
                }
            }
        });
        Saver { snapshots: Some(snapshots), ended, thread: Some(thread), under_way: false }
    }

    /// Hands over a snapshot. Waits for the one before it and says how that ended, if it has not
    /// been said yet.
    pub fn save(&mut self, snapshot: Snapshot) -> Option<Ended> {
        let before = self.wait();
        let snapshots = self.snapshots.as_ref().expect("only dropping ends the thread");
        if snapshots.send(snapshot).is_err() {
            self.join();
        }
        self.under_way = true;
        before
    }

    /// How the save under way ended, if it has.
    pub fn poll(&mut self) -> Option<Ended> {
        let ended = self.ended.try_recv().ok()?;
        self.under_way = false;
        Some(ended)
    }

    /// Waits for the save under way, if there is one, and says how it ended.
    pub fn wait(&mut self) -> Option<Ended> {
        if !self.under_way {
            return None;
        }
        self.under_way = false;
        match self.ended.recv() {
            Ok(ended) => Some(ended),
            Err(_) => self.join(),
        }
    }

    /// The thread is gone without an answer: it panicked, and so does whoever asks.
    fn join(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("the thread waits for snapshots as long as there may be some"),
        }
    }
}

impl Drop for Saver {
    /// Waits until what is under way is on the disk.
    fn drop(&mut self) {
        self.snapshots = None;
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

fn save(writer: &mut StoreWriter, snapshot: &mut Snapshot) -> Result<Saved, SavingError> {
    snapshot.metrics.sync()?;
    Ok(writer.save(snapshot.step, &mut snapshot.checkpoint, snapshot.is_best)?)
}

fn save_best(writer: &mut StoreWriter, snapshot: &mut Snapshot) -> Result<(), SavingError> {
    snapshot.metrics.sync()?;
    Ok(writer.save_best(snapshot.step, &mut snapshot.checkpoint)?)
}
