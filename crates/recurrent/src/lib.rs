//! Train, run and look into recurrent networks on a CPU, in pure Rust.

#![forbid(unsafe_code)]
