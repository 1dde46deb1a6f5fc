//! Recurrent cells through time and depth: ragged batches, stacks, backpropagation through time, whole models.

#![forbid(unsafe_code)]
