//! Searches for bytes that `readers/predict.rs` of recurrent's tests does not stand.

#![no_main]

recurrent_fuzz::program!("predict");
