//! Searches for bytes that `readers/metrics.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("metrics");
