//! Searches for bytes that `readers/checkpoint.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("checkpoint");
