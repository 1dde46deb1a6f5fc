//! Checkpoints that survive a power cut: named, checksummed sections, written atomically and durably.

#![forbid(unsafe_code)]
