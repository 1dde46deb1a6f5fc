//! Matrices, packed products, activations, losses' arithmetic, threads and random numbers: what
//! recurrent networks on a CPU are made of, below any notion of a layer or a parameter.
//!
//! Features are rows, samples are columns, matrices are column-major: a sample is a contiguous
//! column. Every function works in `f32` (speed) and in `f64` (proof), gives the same bits at any
//! thread count and any [`Level`] with fused multiply-add, and never calls the host's libm.
//!
//! This is the only crate of the stack with `unsafe` code, the only one that calls faer, and the
//! owner of the threads.

mod simd;
pub use simd::{Level, Vectorized};

mod elementary;
mod lanes;
mod numbers;
pub use numbers::Numbers;
mod real;
pub use real::{Compiled, Real};

mod elementwise;
pub use elementwise::{Elementwise, ElementwiseWork, Vectors};

mod columns;
pub use columns::{Columns, ColumnsMut, Matrix};

mod seat;
mod workers;

mod compute;
pub use compute::{Compute, ComputeError, SplitColumns};

mod panels;
pub use panels::{Panels, PanelsMut};

mod outer;
mod tile;
mod transpose;

mod gemm;
pub use gemm::{Accum, Operand, gemm};

mod packed;
pub use packed::Packed;

mod product;
pub use product::{product, product_within};

mod image;
pub use image::ImageSize;

pub mod activation;
pub mod attention;
pub mod convolution;
pub mod loss;
pub mod norm;
pub mod pooling;
pub mod random;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
