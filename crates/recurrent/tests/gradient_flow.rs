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
    let rows = ["dL/dh", "dL/dc", "weight_hh", "Jacobian"];
    let rows = (0..2).flat_map(|layer| rows.map(|row| format!("layer {layer}, {row} ")));
    for (line, row) in shown.lines().skip(1).zip(rows) {
        assert!(line.trim_start().starts_with(&row), "{shown}");
    }
    let said: Vec<&str> = shown.lines().skip(9).collect();
    assert!(
        said[0].contains("layer 0: ")
            && said[0].contains(" of the gradient is left 30 steps back, ")
    );
    assert!(said[1].contains("layer 0: half-lives of units by their gates: "), "{shown}");
    assert!(said[2].contains("layer 0: gates below 0.1 and above 0.9: input "), "{shown}");
    assert_eq!(said.len(), 6, "{shown}");
    assert_eq!(place.done("gradient-flow run --lag 30 --threads 2"), shown);

    let same = place.run("gradient-flow run --lag 30");
    assert!(!same.stderr.contains("warning"), "{}", same.stderr);
    let text = place.read("text.txt");
    place.write("text.txt", text.to_ascii_uppercase());
    let other = place.run("gradient-flow run --lag 30");
    assert!(other.stderr.contains("not those that the run was trained on"), "{}", other.stderr);
    place.write("text.txt", text);

    // 8,000 characters, of which a tenth is held out.
    let refused = place.run("gradient-flow run --lag 5000");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("a lag of 5000 steps needs a text of at least 5002 tokens"));
}

/// Documents are read each from a state of its own, as in training.
#[test]
fn no_loss_is_followed_out_of_its_document() {
    let place = Place::new();
    let document = |at: usize| format!("{}.", "ab cd efgh ij".repeat(1 + at % 3));
    place.write("text.txt", (0..300).map(document).collect::<String>());
    let of_run = "train language-model --data text.txt --hidden-size 4 --epochs 1 --steps 5";
    place.done(&format!("{of_run} --document-end . --out documents"));
    let flow = json(&place, "documents --lag 38");
    assert_whole(&flow, &[(0, false)]);
    let refused = place.run("gradient-flow documents --lag 40");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("a document of at least 41 steps; the longest has 40"));
    place.done(&format!("{of_run} --out one"));
    assert_whole(&json(&place, "one --lag 40"), &[(0, false)]);
}

/// Where memory is short there is a reason, and no abort in the middle.
#[cfg(target_os = "linux")]
#[test]
fn a_lag_that_memory_has_no_room_for_is_refused() {
    let place = Place::new();
    let command = place.command("gradient-flow --lag 10000 --hidden-size 1024 --threads 1");
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    let output = limited.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("GB of memory, more than there is; lower --lag"), "{said}");
}

/// The one line of JSON of a run.
fn json(place: &Place, arguments: &str) -> Value {
    serde_json::from_str(&place.done(&format!("gradient-flow {arguments} --json"))).unwrap()
}

/// Every cell has as many norms as lags, and a Jacobian that begins with that of no step.
#[track_caller]
fn assert_whole(flow: &Value, cells: &[(u64, bool)]) {
    let lag = flow["lag"].as_u64().unwrap() as usize;
    let found: Vec<(u64, bool)> = flow["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| (own["layer"].as_u64().unwrap(), own["reverse"] == true))
        .collect();
    assert_eq!(found, cells);
    for own in flow["layers"].as_array().unwrap() {
        for name in ["h", "weight_hh"] {
            let norms = own[name].as_array().unwrap();
            assert_eq!(norms.len(), lag + 1, "{name}");
            assert!(norms.iter().all(|norm| norm.as_f64().unwrap() >= 0.0) && norms[0] != 0.0);
        }
        let jacobian = own["jacobian"].as_array().unwrap();
        assert_eq!(jacobian[0]["lag"], 0);
        assert_eq!(jacobian[0]["singular_value"], 1.0);
        assert_eq!(jacobian.last().unwrap()["lag"], lag);
    }
}

#[test]
fn sentences_and_labelled_sequences_are_followed_in_both_directions() {
    let place = Place::new();
    let small = "--hidden-size 6 --epochs 1 --steps 3 --bidirectional";
    place.done(&format!("train tag {small} --num-layers 2 --cell gru --out tag"));
    let flow = json(&place, "tag");
    assert_whole(&flow, &[(0, false), (0, true), (1, false), (1, true)]);
    let shown = place.done("gradient-flow tag --lag 3");
    assert!(
        shown.contains("  layer 1 reverse, weight_hh ") && shown.contains("update "),
        "{shown}"
    );
    let refused = place.run("gradient-flow tag --lag 1000");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("1000 steps needs an example of at least 1001 steps"));

    place.done(&format!("train classify {small} --cell rnn-relu --out classify"));
    assert_whole(&json(&place, "classify --lag 4"), &[(0, false), (0, true)]);
    let shown = place.done("gradient-flow classify --threads 1");
    assert!(shown.contains("layer 0: dead units, 0 at every step: "), "{shown}");
    assert_eq!(place.done("gradient-flow classify --threads 2"), shown);
    // Series of numbers, seven steps each.
    let row = |at: usize| format!("s{},{},{}\n", at / 7, ["up", "down"][at / 7 % 2], at * at % 11);
    let rows: String = (0..30 * 7).map(row).collect();
    place.write("series.csv", format!("series,label,value\n{rows}"));
    place.done(&format!("train classify --data series.csv {small} --out series"));
    assert_whole(&json(&place, "series"), &[(0, false), (0, true)]);
}

/// What f32 cannot hold is no nothing.
#[test]
fn a_gradient_that_fades_below_f32_is_still_measured() {
    let place = Place::new();
    let flows = flows(&place.done("gradient-flow --lag 400 --hidden-size 8 --json"));
    let (cell, h, _) = &flows[0];
    assert_eq!(cell, "rnn-tanh");
    assert!((1e-300..1e-46).contains(&h[400]), "{}", h[400]);
}

#[test]
fn options_are_checked_before_the_first_model() {
    let place = Place::new();
    let refused = place.run("gradient-flow --forget-bias nan --lag 2 --hidden-size 4");
    assert_eq!((refused.code, &refused.stdout[..]), (Some(2), ""), "{}", refused.stderr);
}

#[test]
fn what_has_no_lag_is_refused_with_the_reason() {
    let place = Place::new();
    place.done("train classify --pool mean --hidden-size 6 --epochs 1 --steps 1 --out mean");
    let refused = place.run("gradient-flow mean");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_one_line(&refused.stderr, "it reads every step at once, and has no lag");
    place.done("train translate --hidden-size 6 --epochs 1 --steps 1 --out other");
    let refused = place.run("gradient-flow other");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_one_line(&refused.stderr, "in translate it goes through more than that");
}
