//! Stacks of cells through time: against scalar oracles, against central differences, and
//! against themselves run in every other way.

mod case;
mod equal_bits;
mod gradients;
mod oracle;
mod probe;
