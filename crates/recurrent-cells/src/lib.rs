//! One step of an RNN, LSTM or GRU, forward next to backward, with named parameters.

#![forbid(unsafe_code)]
