//! Every reader, on files that are nearly right: no panic and no wrong result, only errors. What
//! must hold is said in `readers/targets.rs`; `cargo xtask fuzz` searches longer, and where the
//! code has branches.

#![cfg(feature = "cli")]

#[path = "readers/targets.rs"]
mod targets;

#[path = "readers/mutate.rs"]
mod mutate;

use std::panic;

/// Tries the examples of a target as they are, and then changed in `count` ways.
#[track_caller]
fn try_out(name: &str, count: usize) {
    let target = targets::find(name);
    let seeds = (target.seeds)();
    let mut mutator = mutate::Mutator::new(1);
    let changed: Vec<_> = (0..count).map(|_| mutator.change(&seeds)).collect();
    for bytes in seeds.iter().chain(&changed) {
        let caught = panic::catch_unwind(|| (target.run)(bytes));
        assert!(caught.is_ok(), "{name}: panics at {:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn checkpoints() {
    try_out("checkpoint", 1_000);
}

#[test]
fn configurations() {
    try_out("config", 3_000);
}

#[test]
fn images() {
    try_out("images", 1_000);
}

#[test]
fn data_to_learn_from() {
    try_out("learn", 1_000);
}

#[test]
fn metrics() {
    try_out("metrics", 1_000);
}

#[test]
fn models() {
    try_out("model", 3_000);
}

#[test]
fn settings_and_codecs_that_make_no_model_are_refused_with_a_reason() {
    targets::model::assert_misfits_are_refused();
}

#[test]
fn input_of_predictions() {
    try_out("predict", 3_000);
}

#[test]
fn series() {
    try_out("series", 1_500);
}

#[test]
fn tables() {
    try_out("table", 1_500);
}

#[test]
fn tagged_sentences() {
    try_out("tagged", 1_500);
}

#[test]
fn texts() {
    try_out("text", 1_500);
}

#[test]
fn word_vectors() {
    try_out("vectors", 1_500);
}

/// Examples are what the search begins from, so they must be what is read.
#[test]
fn every_target_has_a_name_of_its_own_and_examples() {
    let names: std::collections::BTreeSet<&str> = targets::ALL.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), targets::ALL.len());
    assert!(targets::ALL.iter().all(|target| !(target.seeds)().is_empty()));
}
