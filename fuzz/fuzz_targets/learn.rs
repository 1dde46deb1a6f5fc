//! Searches for bytes that `readers/learn.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("learn");
