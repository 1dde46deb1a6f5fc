//! Searches for bytes that `readers/series.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("series");
