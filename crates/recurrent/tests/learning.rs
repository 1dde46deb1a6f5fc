//! How a run learns, from the command line: every optimiser and schedule goes on with the same
//! bytes after a kill, averages are what is used, and patience ends a run.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use std::fs;

use place::{ALL, NEWEST, Place, TRAIN, assert_one_line};
use serde_json::Value;

/// The training with another learning rate.
fn train(rate: &str, options: &str) -> String {
    let train = TRAIN.replace("--learning-rate 0.01", &format!("--learning-rate {rate}"));
    format!("{train} {options}")
}

/// The lines of `metrics.jsonl` about epochs.
fn epochs(place: &Place, run: &str) -> Vec<Value> {
    let metrics = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "epoch").collect()
}

fn held_out(line: &Value) -> f64 {
    line["held_out"]["loss"].as_f64().unwrap()
}

/// The best held-out loss of a run, as its metrics have it.
fn best(place: &Place, run: &str) -> f64 {
    epochs(place, run).iter().map(held_out).fold(f64::INFINITY, f64::min)
}

fn evaluated(place: &Place, run: &str) -> f64 {
    let report: Value =
        serde_json::from_str(&place.done(&format!("evaluate {run} --json"))).unwrap();
    report["loss"].as_f64().unwrap()
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes_whatever_it_learns_by() {
    for (rate, options, seen) in [
        ("0.01", "--optimizer adamw --warm-up 200 --clip-value 0.05", ""),
        (
            "0.01",
            "--optimizer rmsprop --momentum 0.5 --weight-decay 0.001 --schedule step",
            "drops",
        ),
        ("0.5", "--optimizer sgd --momentum 0.9 --nesterov --schedule exponential", ""),
        ("0.2", "--optimizer adam --schedule plateau --plateau-patience 0 --decay 0.7", "drops"),
        ("16", "--optimizer nt-asgd --average-after 0", "average of all"),
        ("0.1", "--clip-norm 1 --patience 6", ""),
        ("0.01", "--zoneout 0.1 --zoneout-cell 0.2 --weight-dropout 0.2 --variational", ""),
        ("0.01", "--cell layer-norm-lstm --zoneout-cell 0.1", ""),
        ("0.01", "--cell rnn-tanh --regularize-gradients 0.1 --backward-steps 24", ""),
    ] {
        let place = Place::new();
        let train = train(rate, &format!("{options} --dropout 0.3 --num-layers 2 --epochs 8"));
        let whole = place.run(&format!("{train} --out whole"));
        assert_eq!(whole.code, Some(0), "{options}: {}", whole.stderr);
        assert!(whole.stderr.contains(seen), "{options}: no {seen:?} in {}", whole.stderr);
        let mut child = place.start(&train, "killed", 4);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(
            place.read(&place.newest("killed")),
            place.read(&place.newest("whole")),
            "{options}"
        );
        place.done("resume killed");
        place.assert_equal_runs("whole", "killed", &ALL);
    }
}

#[test]
fn an_average_is_what_is_measured_kept_and_used() {
    let place = Place::new();
    let options = "--optimizer nt-asgd --average-after 0 --epochs 16";
    let ended = place.run(&train("8", &format!("{options} --out run")));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let began = ended.stderr.matches("from here on the average of all parameters counts").count();
    assert_eq!(began, 1, "{}", ended.stderr);

    // From the epoch on at which it began, the lines are about the average.
    let lines = epochs(&place, "run");
    let averaged: Vec<bool> = lines.iter().map(|line| line["averaged"] == true).collect();
    assert!(!averaged[0] && averaged[15] && averaged.is_sorted(), "{averaged:?}");
    let first = averaged.iter().position(|&averaged| averaged).unwrap();
    let before: Vec<f64> = lines[..first].iter().map(held_out).collect();
    let (last, others) = before.split_last().unwrap();
    assert!(others.iter().any(|loss| loss < last), "it began without a reason: {before:?}");
    let (best, averages) = (best(&place, "run"), lines[first..].iter().map(held_out));
    assert!(averages.clone().any(|loss| loss == best), "the average is of no use here");

    // The best checkpoint is of an average, and that is what is evaluated.
    assert_eq!(evaluated(&place, "run"), best);
    assert!(place.done("inspect run/best.ckpt").contains("average/rnn.weight_hh_l0"));
    // So is the last one, if there is no other.
    fs::copy(place.path(&place.newest("run")), place.path("run/best.ckpt")).unwrap();
    assert_eq!(evaluated(&place, "run"), held_out(&lines[15]));
    place.done("generate run --length 10");
}

#[test]
fn patience_ends_a_run_and_more_of_it_goes_on() {
    let place = Place::new();
    let all = train("0.1", "--epochs 40");
    let ended = place.run(&format!("{all} --patience 2 --out run"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("; 2 in a row, so the run ends"), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("held-out loss "), "{}", ended.stdout);
    let lines = epochs(&place, "run");
    let losses: Vec<f64> = lines.iter().map(held_out).collect();
    let count = losses.len();
    assert!(count < 40 && losses[count - 3] == best(&place, "run"), "{losses:?}");
    assert_eq!(evaluated(&place, "run"), losses[count - 3]);

    // It says that it is over, and neither epochs nor the same patience help.
    let config = place.read("run/config.toml");
    for more in ["", "--epochs 60", "--patience 2"] {
        let refused = place.run(&format!("resume run {more}"));
        assert_eq!(refused.code, Some(2), "{more}: {}", refused.stderr);
        assert_one_line(&refused.stderr, "because 2 epochs in a row brought no better held-out");
        assert_one_line(&refused.stderr, "ask for more patience than 2 with --patience");
    }
    assert_one_line(&place.run("resume run --patience 0").stderr, "patience must be at least 1");
    assert!(place.read("run/config.toml") == config, "a refused resume changed a file");

    // With more patience the run is the one that had it from the start.
    place.done("resume run --patience 4");
    place.done(&format!("{all} --patience 4 --out patient"));
    // (The best checkpoint keeps the patience that it was written under.)
    place.assert_equal_runs("patient", "run", &[NEWEST, "metrics.jsonl"]);
    assert_eq!(evaluated(&place, "patient"), evaluated(&place, "run"));
    let config = String::from_utf8(place.read("run/config.toml")).unwrap();
    assert!(config.contains("patience = 4"), "{config}");
}

#[test]
fn a_run_goes_on_under_the_default_rate_that_it_began_with() {
    let place = Place::new();
    place.done(&train("0.002", "--optimizer sgd --epochs 1 --out run"));
    // As a version whose default this was would have written it.
    let config = String::from_utf8(place.read("run/config.toml")).unwrap();
    place.write("run/config.toml", config.replace("learning-rate = 0.002\n", ""));
    place.done("resume run --epochs 2");
    place.done(&train("0.002", "--optimizer sgd --epochs 2 --out whole"));
    place.assert_equal_runs("whole", "run", &ALL);
}

#[test]
fn the_rate_in_the_metrics_follows_the_schedule() {
    let place = Place::new();
    let options =
        "--epochs 4 --steps 200 --schedule step --decay 0.25 --decay-every 2 --warm-up 80";
    let ended = place.run(&train("0.01", &format!("{options} --out run")));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let rates: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "step")
        .map(|line| line["learning_rate"].as_f64().unwrap())
        .collect();
    // Steps 50, 100, 150 and 200, of which 114 make two epochs.
    let expected = [0.01 * 50.0 / 80.0, 0.01, 0.0025, 0.0025];
    assert_eq!(rates.len(), 4);
    for (rate, expected) in rates.iter().zip(expected) {
        assert!((rate - expected).abs() < 1e-15, "{rates:?}");
    }
    assert_eq!(ended.stderr.matches("the learning rate drops to 0.0025").count(), 1);
}
