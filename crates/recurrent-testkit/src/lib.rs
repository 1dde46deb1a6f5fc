//! Oracles and checks for the tests of recurrent: cells written as scalar loops straight from
//! their papers ([`oracle`]), and gradients held against central differences ([`gradient`]).

#![forbid(unsafe_code)]

pub mod gradient;
pub mod oracle;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
