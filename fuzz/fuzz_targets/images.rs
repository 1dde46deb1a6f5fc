//! Searches for bytes that `readers/images.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("images");
