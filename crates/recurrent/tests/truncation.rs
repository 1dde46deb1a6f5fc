//! Truncated backpropagation through time as a person meets it: its options, documents, texts on
//! disk, and the command that measures what is left out.

#![cfg(feature = "cli")]

#[path = "support/place.rs"]
mod place;

use place::{ALL, Place, TRAIN, assert_one_line};
use serde_json::Value;

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// As many steps back as there are anyway are no change in any bit, nor is reading from disk.
#[test]
fn what_changes_nothing_changes_no_byte() {
    let place = Place::new();
    for tokens in ["char --document-end .\\n", "word --min-count 2", "byte"] {
        let train = format!("{TRAIN} --tokens {tokens} --epochs 2");
        place.done(&format!("{train} --force --out plain"));
        for (run, more) in [
            ("same", "--backward-steps 16"),
            ("streamed", "--stream"),
            ("threads", "--stream --threads 1"),
        ] {
            place.done(&format!("{train} {more} --force --out {run}"));
            place.assert_equal_runs("plain", run, &ALL);
        }
        let judge = |run: &str, data: &str| place.done(&format!("evaluate {run} {data} --json"));
        for data in ["", "--data text.txt", "--shuffle-tokens"] {
            assert_eq!(judge("streamed", data), judge("plain", data), "{tokens}: {data}");
        }
    }
    // And what changes something changes something.
    place.done(&format!("{TRAIN} --epochs 2 --out plain --force"));
    for (run, more) in [("further", "--backward-steps 17"), ("documents", "--document-end .\\n")] {
        place.done(&format!("{TRAIN} --epochs 2 {more} --out {run}"));
        assert_ne!(place.read("plain/metrics.jsonl"), place.read(&format!("{run}/metrics.jsonl")));
    }
    // Every loss counts once whatever the steps back are.
    let tokens = |run: &str| json(&place.done(&format!("evaluate {run} --json")))["tokens"].clone();
    assert_eq!(tokens("further"), tokens("plain"));
    assert_eq!(tokens("documents"), tokens("plain"));
}

#[test]
fn what_does_not_go_together_is_refused_with_a_reason() {
    let place = Place::new();
    place.write("other.txt", "ab ".repeat(300));
    for (options, part) in [
        (
            "--backward-steps 15",
            "the steps back (--backward-steps) must be at least those of the sequence length, 16",
        ),
        ("--backward-steps 0", "at least those of the sequence length, 16"),
        ("--backward-steps 99999999", "and at most 16777216, not 99999999"),
        ("--document-end aaaa", "is nowhere in the training part"),
        (
            "--document-end {",
            "--document-end: \"{\" (character 1) is not in the model's vocabulary",
        ),
        ("--document-end \\q", "\\q stands for nothing"),
        ("--document-end \\t --tokens word", "there is no word"),
        ("--data builtin:text --stream", "builtin:text: is not a file"),
    ] {
        let (train, options) = match options.strip_prefix("--data builtin:text") {
            Some(more) => (TRAIN.replace("--data text.txt", "--data builtin:text"), more),
            None => (TRAIN.to_owned(), options),
        };
        let refused = place.run(&format!("{train} {options} --out run"));
        assert!(matches!(refused.code, Some(1 | 2)), "{options}: {}", refused.stderr);
        assert_one_line(&refused.stderr, part);
        assert!(!place.path("run").exists());
    }
    for option in ["--backward-steps 4", "--document-end x", "--stream"] {
        let refused = place.run(&format!("train tag {option} --out run"));
        assert_eq!(refused.code, Some(2));
        assert_one_line(&refused.stderr, "tag has no such option; drop it");
    }
}

#[test]
fn a_text_that_disappears_ends_the_run_with_a_reason() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --stream --epochs 1 --out run"));
    std::fs::remove_file(place.path("text.txt")).unwrap();
    let refused = place.run("resume run --epochs 2");
    assert_eq!(refused.code, Some(1));
    assert_one_line(&refused.stderr, "text.txt: no such file");
}

#[test]
fn what_is_left_out_is_measured() {
    let place = Place::new();
    let train = format!("{TRAIN} --num-layers 2 --dropout 0.3 --document-end .\\n --epochs 1");
    place.done(&format!("{train} --stream --out run"));
    let measure = "truncation run --steps 60 --batch-size 3 --backward-steps";
    let shown = place.done(&format!("{measure} 4,60 --threads 1"));
    assert_eq!(place.done(&format!("{measure} 4,60 --threads 2")), shown);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("lstm, 8 units; loss "), "{shown}");
    assert!(lines[1].ends_with("k1 = 4            k1 = 60"), "{shown}");
    assert!(lines[2].ends_with("k2 = 4            k2 = 60"), "{shown}");
    let all: Vec<f64> =
        lines[3].split_whitespace().skip(1).map(|figure| figure.parse().unwrap()).collect();
    assert!(lines[3].starts_with("all "), "{shown}");
    assert!(all[0] < 1.0 && all[1] < 1.0 && all[2..] == [1.0, 1.0], "{shown}");
    assert_eq!(lines.len(), 4 + 11, "{shown}");

    let report = json(&place.done(&format!("{measure} 16,30 --sequence-length 2 --json")));
    assert_eq!((&report["cell"], &report["steps"]), (&"lstm".into(), &60.into()));
    let left_out = |at: usize| {
        let bias = &report["truncations"][at];
        assert_eq!(bias["sequence_length"], 2);
        assert_eq!(bias["parameters"][1]["parameter"], "rnn.weight_ih_l0");
        bias["all"]["left_out"].as_f64().unwrap()
    };
    assert!(left_out(0) > left_out(1) && left_out(1) > 0.0, "{report}");

    for (options, code, part) in [
        ("--backward-steps 4 --sequence-length 5", 2, "they are 4 and 5"),
        ("--backward-steps 0", 2, "and those at least 1"),
        ("--backward-steps 61 --steps 60", 2, "--backward-steps must be at most --steps, 60"),
        ("--steps 0", 2, "must be at least 1"),
        ("--steps 2000000", 2, "must be at most 1048576"),
        ("--steps 500", 1, "8 streams of 500 steps need a text of at least 4001 tokens"),
    ] {
        let refused = place.run(&format!("truncation run {options} --quiet"));
        assert_eq!(refused.code, Some(code), "{}", refused.stderr);
        assert_one_line(&refused.stderr, part);
    }
    // Those that nobody asked for go as far as there are steps.
    let usual = json(&place.done("truncation run --steps 40 --batch-size 3 --json"));
    let steps: Vec<&Value> = usual["truncations"].as_array().unwrap().iter().collect();
    assert_eq!((steps.len(), &steps[1]["backward_steps"]), (2, &40.into()));
    place.write("text.txt", "other words.\n".repeat(700));
    let other = place.run("truncation run --steps 40 --batch-size 3");
    assert!(other.stderr.contains("not those that the run was trained on"), "{}", other.stderr);

    place.done("train classify --data builtin:labels --epochs 1 --steps 1 --out other");
    let refused = place.run("truncation other");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_one_line(&refused.stderr, "truncation reads the run of a language-model");
}
