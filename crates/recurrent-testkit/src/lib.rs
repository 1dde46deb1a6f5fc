//! Oracles and checks for the tests of recurrent.

#![forbid(unsafe_code)]
