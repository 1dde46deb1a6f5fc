//! A run in order: its metrics file, and on the command line its progress and Ctrl-C.

pub mod folder;
pub use folder::RunFolder;

pub mod metrics;
pub use metrics::MetricsLog;

pub mod meter;

#[cfg(feature = "cli")]
pub mod progress;
#[cfg(feature = "cli")]
pub use progress::Progress;

#[cfg(feature = "cli")]
pub mod interrupt;
#[cfg(feature = "cli")]
pub use interrupt::Interrupt;
