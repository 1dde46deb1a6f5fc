//! Searches for bytes that `readers/text.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("text");
