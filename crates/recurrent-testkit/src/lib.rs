//! Proof for recurrent cells: the cells of the stack as scalar loops straight from their papers
//! ([`oracle`]), gradients held against central differences ([`gradient`]), and a suite of checks
//! ([`suite`]) that [`cell_suite!`] stamps over a cell, yours as well.

#![forbid(unsafe_code)]

pub mod case;
pub mod golden;
pub mod gradient;
pub mod oracle;
pub mod subjects;
pub mod suite;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
