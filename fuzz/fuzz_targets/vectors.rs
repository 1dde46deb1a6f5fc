//! Searches for bytes that `readers/vectors.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("vectors");
