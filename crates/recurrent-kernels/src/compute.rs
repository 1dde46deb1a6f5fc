//! Where arithmetic runs: an instruction set and a number of threads, as one value.

use std::sync::Arc;

use crate::workers::Workers;
use crate::{ColumnsMut, Level, PanelsMut, Real};

/// An instruction set and a number of threads. Cloning is cheap and shares the threads.
///
/// Results have the same bits at any thread count: work is divided by shape, and every sum has a
/// fixed order.
#[derive(Clone)]
pub struct Compute {
    level: Level,
    threads: usize,
    workers: Option<Arc<Workers>>,
}

/// Why a [`Compute`] could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// Zero threads were asked for.
    #[error("the number of threads must be at least 1")]
    NoThreads,
    /// The operating system gave no threads.
    #[error("cannot start threads: {0}")]
    Spawn(String),
}

impl Compute {
    /// One thread, the best instruction set of this processor.
    pub fn sequential() -> Self {
        Compute { level: Level::detect(), threads: 1, workers: None }
    }

    /// `threads` threads, of which one is whoever calls, and the best instruction set of this
    /// processor. A thread that has finished its part looks for more in a loop for some 100
    /// microseconds before it sleeps. On Linux a thread that is handed work is kept off the
    /// caller's processor until it runs: its affinity is narrowed, and given back before it works.
    ///
    /// # Errors
    /// [`ComputeError`] if `threads` is 0 or they cannot be started.
    pub fn new(threads: usize) -> Result<Self, ComputeError> {
        let workers = match threads {
            0 => return Err(ComputeError::NoThreads),
            1 => None,
            _ => {
                let workers = Workers::start(threads - 1)
                    .map_err(|error| ComputeError::Spawn(error.to_string()))?;
                Some(Arc::new(workers))
            }
        };
        Ok(Compute { level: Level::detect(), threads, workers })
    }

    /// The same threads with another instruction set.
    pub fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The instruction set.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How many threads work together.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs both, at the same time if there are threads for it.
    pub fn join<A, B: Send>(&self, a: impl FnOnce() -> A, b: impl FnOnce() -> B + Send) -> (A, B) {
        match &self.workers {
            Some(workers) => workers.join(a, b),
            None => (a(), b()),
        }
    }

    /// Whether a thread that could help is looking for work, so that handing some over takes less
    /// than a microsecond. It may be busy or asleep again a moment later: nothing but speed may
    /// depend on the answer.
    pub(crate) fn is_awake(&self) -> bool {
        self.workers.as_ref().is_some_and(|workers| workers.is_awake())
    }

    /// Cuts `item` into at most one piece a thread, none narrower than `least` columns, and runs
    /// `f` on each. `f` must treat columns independently of their neighbours: then the cut does
    /// not show in the result.
    pub fn split<S: SplitColumns>(&self, item: S, least: usize, f: &(impl Fn(S) + Sync)) {
        let columns = item.width();
        let pieces = self.threads.min(columns / least.max(1)).max(1);
        self.split_into(item, pieces, f);
    }

    fn split_into<S: SplitColumns>(&self, item: S, pieces: usize, f: &(impl Fn(S) + Sync)) {
        // A part whose columns are much work has more pieces to come than columns.
        let pieces = pieces.min(item.width());
        if pieces <= 1 {
            return f(item);
        }
        let left = pieces / 2;
        let at = item.cut(left, pieces);
        let (first, second) = item.split_columns(at);
        self.join(|| self.split_into(first, left, f), || self.split_into(second, pieces - left, f));
    }
}

/// What can be cut between columns so that two threads can each take a part.
pub trait SplitColumns: Sized + Send {
    /// How many columns (or sequences) there are to divide.
    fn width(&self) -> usize;

    /// The columns before `at`, and the rest.
    fn split_columns(self, at: usize) -> (Self, Self);

    /// Where to cut so that the left part holds about `left` of `pieces` equal shares of work.
    fn cut(&self, left: usize, pieces: usize) -> usize {
        self.width() * left / pieces
    }
}

impl<T: Real> SplitColumns for ColumnsMut<'_, T> {
    fn width(&self) -> usize {
        self.columns()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        self.split_at_column(at)
    }
}

impl<T: Real> SplitColumns for PanelsMut<'_, T> {
    fn width(&self) -> usize {
        self.sequences().len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        self.split(at)
    }
    /// Balances the columns over all panels: early sequences are longer.
    fn cut(&self, left: usize, pieces: usize) -> usize {
        let lengths = |count: usize| self.columns_before(count);
        let total = lengths(self.width());
        let goal = total * left / pieces;
        let mut at = 0;
        while at + 1 < self.width() && lengths(at + 1) <= goal {
            at += 1;
        }
        at.max(1)
    }
}

impl<T: Send> SplitColumns for &mut [T] {
    fn width(&self) -> usize {
        self.len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

/// An index range beside a block tells each part which columns it has.
impl SplitColumns for std::ops::Range<usize> {
    fn width(&self) -> usize {
        self.len()
    }
    fn split_columns(self, at: usize) -> (Self, Self) {
        let middle = self.start + at;
        (self.start..middle, middle..self.end)
    }
}

macro_rules! split_together {
    ($($name:ident . $index:tt),+) => {
        /// Parts of equal width, cut at the same place; the first decides where.
        impl<$($name: SplitColumns),+> SplitColumns for ($($name,)+) {
            fn width(&self) -> usize {
                self.0.width()
            }
            fn split_columns(self, at: usize) -> (Self, Self) {
                let halves = ($(self.$index.split_columns(at),)+);
                (($(halves.$index.0,)+), ($(halves.$index.1,)+))
            }
            fn cut(&self, left: usize, pieces: usize) -> usize {
                self.0.cut(left, pieces)
            }
        }
    };
}
split_together!(A.0, B.1);
split_together!(A.0, B.1, C.2);
split_together!(A.0, B.1, C.2, D.3);
split_together!(A.0, B.1, C.2, D.3, E.4);
split_together!(A.0, B.1, C.2, D.3, E.4, F.5);
split_together!(A.0, B.1, C.2, D.3, E.4, F.5, G.6);
split_together!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_visited_once_at_any_thread_count() {
        for threads in 1..=5 {
            let compute = Compute::new(threads).unwrap();
            let mut visits = vec![0u32; 37];
            compute.split(visits.as_mut_slice(), 2, &|part: &mut [u32]| {
                part.iter_mut().for_each(|count| *count += 1);
            });
            assert!(visits.iter().all(|&count| count == 1), "{threads} threads");
        }
    }

    #[test]
    fn one_sequence_that_is_most_of_the_work_goes_to_one_thread() {
        // 32 sequences at the first step, and one at 999 more.
        let offsets: Vec<usize> = (0..=1000).map(|t| if t == 0 { 0 } else { 31 + t }).collect();
        for threads in 1..=9 {
            let mut visits = crate::Matrix::<f32>::zeros(1, 1031);
            let panels = PanelsMut::new(&mut visits, &offsets);
            Compute::new(threads).unwrap().split(panels, 1, &|mut panels| {
                for t in 0..panels.steps() {
                    panels.panel(t).fill(1.0);
                }
            });
            assert!(visits.as_slice().iter().all(|&count| count == 1.0), "{threads} threads");
        }
    }

    #[test]
    fn zero_threads_are_refused() {
        assert!(matches!(Compute::new(0), Err(ComputeError::NoThreads)));
    }
}
