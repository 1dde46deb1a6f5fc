//! Checkpoints that survive a power cut: named, checksummed sections, written atomically and durably.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod checkpoint;
mod codec;
mod error;
mod format;
mod load;
mod lock;
mod save;
mod section;
mod storage;
mod store;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod store_tests;

pub use checkpoint::Checkpoint;
pub use error::{ContentError, EncodeError, FormatError, LoadError, Operation, SaveError};
pub use format::Version;
pub use load::{SectionSummary, Summary, inspect};
pub use lock::{Lock, LockError};
pub use save::write_atomically;
pub use section::{Data, Element, ElementType, Section};
pub use storage::create_folder;
pub use store::{Found, Saved, Store, StoreError, StoreWriter};
