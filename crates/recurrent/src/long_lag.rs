//! The long-lag suite: artificial tasks whose answer depends on what was read many steps before, each
//! with the definition and the criterion of the paper that it is from, run over many seeds.
//!
//! Experiments 1 to 6 are those of Hochreiter and Schmidhuber 1997, "Long Short-Term Memory", Neural
//! Computation 9(8); copying is that of Arjovsky, Shah and Bengio 2016, "Unitary Evolution Recurrent
//! Neural Networks"; reading an image pixel by pixel is from Le, Jaitly and Hinton 2015, "A Simple
//! Way to Initialize Recurrent Networks of Rectified Linear Units", here with shapes that the program
//! draws itself.
//!
//! A [`Problem`] draws [`Sequence`]s from a generator and says when it is solved ([`Goal`]). A
//! [`RunConfig`] is one training as data: its result depends on nothing else. [`run`] makes it,
//! [`grid`] makes many side by side, [`results`] keeps them in a file, [`table`] sums them up.

pub mod copy_memory;
pub mod embedded_reber;
pub mod marked;
pub mod noise_free;
pub mod pixels;
pub mod temporal_order;
pub mod two_sequence;

mod sequence;
pub use sequence::{Answer, Sequence, Steps};

mod problem;
pub use problem::Problem;

mod goal;
pub use goal::{Goal, Judged, Mean, Measure, Streak};

mod learner;

mod run;
pub use run::{Outcome, RunConfig, RunError, TESTED, run};

mod variant;
pub use variant::{Variant, variants};

mod plan;
pub use plan::{Profile, config, defaults};

pub mod grid;

pub mod published;

pub mod results;

pub mod table;
