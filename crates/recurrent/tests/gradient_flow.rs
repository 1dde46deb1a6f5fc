//! `gradient-flow` as a person meets it.

#![cfg(feature = "cli")]

#[path = "support/place.rs"]
mod place;

use place::{Place, TRAIN, assert_one_line};
use serde_json::Value;

/// The norms by lag of layer 0 of each model: its cell, h, and c if it has one.
fn flows(lines: &str) -> Vec<(String, Vec<f64>, Option<Vec<f64>>)> {
    let numbers = |value: &Value| -> Option<Vec<f64>> {
        Some(value.as_array()?.iter().map(|norm| norm.as_f64().unwrap()).collect())
    };
    let flow = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let layer = &line["layers"][0];
        let cell = line["cell"].as_str().unwrap().to_owned();
        (cell, numbers(&layer["h"]).unwrap(), numbers(&layer["c"]))
    };
    lines.lines().map(flow).collect()
}

/// What the lecture says: with its own initialisation tanh forgets exponentially; a cell state whose
/// forget gate is open carries the gradient on, a hundred steps and more.
#[test]
fn tanh_forgets_and_an_open_forget_gate_keeps() {
    let place = Place::new();
    let flows = flows(&place.done("gradient-flow --lag 100 --forget-bias 6 --json"));
    let cells: Vec<&str> = flows.iter().map(|(cell, ..)| &**cell).collect();
    assert_eq!(cells, ["rnn-tanh", "rnn-relu", "rnn-identity", "lstm", "gru"]);
    for (cell, h, c) in &flows {
        assert_eq!(h.len(), 101);
        assert_eq!(c.is_some(), cell == "lstm");
    }
    let left = |norms: &[f64], from: usize| norms[100] / norms[from];
    assert!(left(&flows[0].1, 0) < 1e-20, "rnn-tanh: {}", left(&flows[0].1, 0));
    let c = flows[3].2.as_ref().unwrap();
    assert!(c[0] == 0.0 && left(c, 1) > 0.3, "lstm: {}", left(c, 1));
}

#[test]
fn a_run_is_measured_on_what_it_has_not_learnt_from() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --num-layers 2 --out run"));
    let shown = place.done("gradient-flow run --lag 30 --threads 1");
    let heads = shown.lines().next().unwrap();
    assert!(heads.starts_with("lstm, 8 units ") && heads.ends_with(" 20        30"), "{heads}");
    let rows = ["layer 0, dL/dh", "layer 0, dL/dc", "layer 1, dL/dh", "layer 1, dL/dc"];
    for (line, row) in shown.lines().skip(1).zip(rows) {
        assert!(line.trim_start().starts_with(row), "{shown}");
    }
    assert!(shown.lines().last().unwrap().contains(" of it is left 30 steps back, "), "{shown}");
    assert_eq!(place.done("gradient-flow run --lag 30 --threads 2"), shown);

    // 8,000 characters, of which a tenth is held out.
    let refused = place.run("gradient-flow run --lag 5000");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("a lag of 5000 steps needs a text of at least 5002 tokens"));
    place.done("train classify --data builtin:labels --epochs 1 --steps 1 --out other");
    let refused = place.run("gradient-flow other");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_one_line(&refused.stderr, "gradient-flow reads the run of a language-model");
}
