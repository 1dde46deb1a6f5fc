//! Losses, truncated backpropagation through time, clipping, optimisers and the training step for recurrent networks.

#![forbid(unsafe_code)]
