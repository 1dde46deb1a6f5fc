//! Searches for bytes that `readers/config.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("config");
