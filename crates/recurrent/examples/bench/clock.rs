//! Time on the clock, or the processor's time alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What samples are measured with.
pub(crate) struct Clock {
    began: Instant,
    /// The processor's time of this thread, as Linux counts it.
    processor: bool,
}

impl Clock {
    pub(crate) fn new(processor: bool) -> Self {
        Clock { began: Instant::now(), processor }
    }

    /// Seconds since some moment.
    pub(crate) fn seconds(&self) -> Result<f64> {
        if !self.processor {
            return Ok(self.began.elapsed().as_secs_f64());
        }
        // The count is brought up to date when the thread lets go of the processor.
        std::thread::sleep(Duration::from_micros(100));
        let path = "/proc/thread-self/schedstat";
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let nanoseconds = text.split(' ').next().and_then(|count| count.parse::<f64>().ok());
        Ok(nanoseconds.with_context(|| format!("{path} holds {text:?}"))? * 1e-9)
    }
}
