//! Train, run and look into recurrent networks on a CPU, in pure Rust.
//!
//! This crate is the people's side of the stack: it reads what a person has ([`data`]), brings
//! data of its own for those who have none ([`builtin`]), keeps a run in order ([`run`]), and
//! measures how far gradients reach ([`gradient_flow`]) and what is left out of them ([`truncation`]).
//!
//! The feature `cli` (on by default) adds what only the command line needs; without it the
//! library pulls in neither a terminal nor an argument parser.

#![forbid(unsafe_code)]

pub mod data;

pub mod builtin;

pub mod run;

pub mod gradient_flow;

pub mod gradient_watch;

pub mod truncation;

#[cfg(feature = "cli")]
pub mod options;

#[cfg(feature = "cli")]
pub mod tasks;

#[cfg(feature = "cli")]
pub mod long_lag;

#[cfg(feature = "cli")]
pub mod report;

#[cfg(feature = "cli")]
pub mod cli;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
