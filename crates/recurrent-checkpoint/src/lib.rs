//! Checkpoints that survive a power cut: named, checksummed sections, written atomically and durably.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod checkpoint;
mod codec;
mod error;
mod format;
mod load;
mod save;
mod section;
mod storage;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod hostile_tests;

pub use checkpoint::Checkpoint;
pub use error::{ContentError, EncodeError, FormatError, LoadError, Operation, SaveError};
pub use format::Version;
pub use load::{SectionSummary, Summary, inspect};
pub use save::write_atomically;
pub use section::{Data, Element, ElementType, Section};
