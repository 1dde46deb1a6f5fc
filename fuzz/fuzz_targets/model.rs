//! Searches for bytes that `readers/model.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("model");
