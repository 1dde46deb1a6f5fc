//! Searches for bytes that `readers/table.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("table");
