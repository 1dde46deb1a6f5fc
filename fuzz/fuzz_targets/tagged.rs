//! Searches for bytes that `readers/tagged.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("tagged");
