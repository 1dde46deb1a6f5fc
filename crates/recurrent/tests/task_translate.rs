//! `translate` from the command line: a tiny model is trained, judged, used and resumed, and what is
//! wrong is one clear line.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use place::{ALL, Ended, NEWEST, Place, assert_one_line};
use serde_json::Value;

const TRAIN: &str = "train translate --data pairs.tsv --hidden-size 24 \
                     --batch-size 8 --learning-rate 0.02";

/// A place with `pairs.tsv`: letters, and the same letters as capitals.
fn place() -> Place {
    let place = Place::new();
    let mut table = String::from("source\ttarget\n");
    for first in 'a'..='f' {
        for second in 'a'..='f' {
            for third in ["", "a", "bd"] {
                let source = format!("{first}{second}{third}");
                table.push_str(&format!("{source}\t{}\n", source.to_uppercase()));
            }
        }
    }
    place.write("pairs.tsv", table);
    place.write("input.txt", "abc\n\nfa\n");
    place
}

fn refused(place: &Place, arguments: &str, code: i32, part: &str) {
    let Ended { code: found, stderr, .. } = place.run(arguments);
    assert_eq!(found, Some(code), "{arguments}: {stderr}");
    assert_one_line(&stderr, part);
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pairs_are_learnt_judged_and_translated() {
    let place = place();
    place.done(&format!("{TRAIN} --attention dot --epochs 12 --out run"));
    let report = objects(&place.done("evaluate run --json")).remove(0);
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["bleu", "exact_match", "examples", "loss", "perplexity"]);
    let number = |key: &str| report[key].as_f64().unwrap();
    assert!((number("perplexity") - number("loss").exp()).abs() < 1e-9);
    // A tenth of 108 sources.
    assert_eq!(report["examples"], 10);
    assert!(number("exact_match") > 0.5, "{report}");
    assert_eq!(number("bleu"), 0.0, "one token has no four in a row");
    // No person needs to read a number that is 0 whatever the texts are.
    assert!(!place.done("evaluate run").contains("BLEU"));
    place.write("long.tsv", "source\ttarget\n3 4\tone two three four\n");
    assert!(place.done("evaluate run --data long.tsv").contains("BLEU"));
    let shuffled = &objects(&place.done("evaluate run --shuffle-tokens --json"))[0];
    assert!(shuffled["loss"].as_f64().unwrap() > number("loss"), "{shuffled}");

    // One result a line; a wider search finds nothing less likely, best first, with its score.
    let greedy = objects(&place.done("predict run --input input.txt --json"));
    let five = objects(&place.done("predict run --input input.txt --json --beam 5 --top 5"));
    assert_eq!((greedy.len(), five.len()), (2, 2));
    for (greedy, five) in greedy.iter().zip(&five) {
        let score = |prediction: &Value| prediction["log_probability"].as_f64().unwrap();
        let scores: Vec<f64> = five["predictions"].as_array().unwrap().iter().map(score).collect();
        assert_eq!(scores.len(), 5);
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        assert!(score(&greedy["predictions"][0]) <= scores[0] + 1e-9);
        assert_eq!(greedy["predictions"][0]["ended"], "end-token");
    }
    let text = place.done("predict run --input input.txt");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            greedy[0]["predictions"][0]["text"].as_str().unwrap(),
            greedy[1]["predictions"][0]["text"].as_str().unwrap(),
        ]
    );
    // A label beside a source would be read as a part of it.
    refused(&place, "predict run --input pairs.tsv", 1, "line 1: a tab separates columns");
    let scored = place.done("predict run --input input.txt --beam 5 --top 2");
    assert_eq!(scored.lines().count(), 4);
    assert!(scored.lines().all(|line| line.split_once('\t').unwrap().0.parse::<f64>().is_ok()));

    // Characters that no source had.
    place.write("other.txt", "ab#+#\n");
    let ended = place.run("predict run --input other.txt --json");
    let line = "line 1: \"#\", \"+\" are not in the vocabulary; they are read as <unk>\n";
    assert_eq!(ended.stderr, line);
    assert_eq!(objects(&ended.stdout)[0]["unknown"], serde_json::json!(["#", "+"]));

    // What was looked at, and what holds the source.
    let shown = objects(&place.done("predict run --input input.txt --json --show-attention"));
    let (source, best) = (&shown[0]["source_tokens"], &shown[0]["predictions"][0]);
    assert_eq!(source.as_array().unwrap().len(), 3);
    let rows = best["attention"].as_array().unwrap();
    assert_eq!(rows.len(), best["tokens"].as_array().unwrap().len());
    for row in rows {
        let weights: Vec<f64> =
            row.as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).collect();
        assert_eq!(weights.len(), 3);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{weights:?}");
    }
    assert!(place.done("predict run --input input.txt --show-attention").contains("  <-  "));
    let shown = objects(&place.done("predict run --input input.txt --json --show-context"));
    for name in ["h_l0", "c_l0"] {
        assert_eq!(shown[0]["context"][name].as_array().unwrap().len(), 24, "{name}");
        assert_ne!(shown[0]["context"][name], shown[1]["context"][name]);
    }
    assert!(place.done("predict run --input input.txt --show-context").contains("  h_l0  "));

    // Constraints reach the search.
    let short = objects(&place.done("predict run --input input.txt --json --max-length 1"));
    assert_eq!(short[0]["predictions"][0]["ended"], "maximum-length");
    assert!(place.done("predict run --input input.txt --prefix FF").starts_with("FF"));
    refused(&place, "predict run --input input.txt --top 2", 2, "--top: 2 results need as many");
    refused(&place, "predict run --input input.txt --prefix z", 2, "--prefix: ");
    place.done(&format!("{TRAIN} --epochs 1 --out plain"));
    let message = "--show-attention: the model has none; train one with --attention";
    refused(&place, "predict plain --input input.txt --show-attention", 2, message);
    refused(&place, "generate run", 2, "a model of translate does not write; use predict");
}

/// A text of words is compared as a model of words writes it.
#[test]
fn blanks_before_marks_are_no_mistake() {
    let place = Place::new();
    let pairs = (0..60).map(|k| format!("{}\tx , y / z .\n", ["a", "b"][k % 2].repeat(k / 2 + 1)));
    place.write("marks.tsv", pairs.fold("source\ttarget\n".to_owned(), |table, row| table + &row));
    place.done(&format!("{TRAIN} --data marks.tsv --tokens word --epochs 12 --out run").replacen(
        "--data pairs.tsv ",
        "",
        1,
    ));
    let report = objects(&place.done("evaluate run --json")).remove(0);
    assert_eq!(report["exact_match"], 1.0, "{report}");
    assert!((report["bleu"].as_f64().unwrap() - 100.0).abs() < 1e-9, "{report}");
}

#[test]
fn every_kind_of_model_and_feed_runs() {
    let place = place();
    for (number, options) in [
        "--attention general --input-feeding --bidirectional --cell gru",
        "--attention additive --reverse-source --num-layers 2 --dropout 0.2 --one-hot",
        "--feed dummy --tokens byte",
        "--feed output --tokens word",
        "--teacher-forcing 0.5 --max-length 3 --min-count 2",
    ]
    .iter()
    .enumerate()
    {
        place.done(&format!("{TRAIN} --epochs 1 {options} --out run{number}"));
        place.done(&format!("predict run{number} --input input.txt --show-context --beam 2"));
        place.done(&format!("evaluate run{number} --data pairs.tsv"));
    }
}

#[test]
fn equal_runs_write_equal_bytes() {
    let place = place();
    let train = format!("{TRAIN} --teacher-forcing 0.7 --num-layers 2 --dropout 0.3");
    place.done(&format!("{train} --epochs 2 --threads 1 --out one"));
    place.done(&format!("{train} --epochs 2 --threads 2 --out two"));
    place.assert_equal_runs("one", "two", &ALL);
    // A constant rate, so that half a run is the first half of the whole.
    place.done(&format!("{train} --schedule constant --epochs 2 --out whole"));
    place.done(&format!("{train} --schedule constant --epochs 1 --out half"));
    place.done("resume half --epochs 2");
    place.assert_equal_runs("whole", "half", &[NEWEST, "best.ckpt"]);
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let place = place();
    place.write("empty.tsv", "source\ttarget\na\tA\nb\t\n");
    place.write("other.tsv", "english\tfrench\na\tA\nb\tB\n");
    let train = |data: &str| format!("train translate --data {data} --out no");
    refused(&place, &train("empty.tsv"), 1, "empty.tsv:3: ");
    refused(
        &place,
        &train("other.tsv"),
        1,
        "other.tsv: no column is called \"source\"; the first line is",
    );
    refused(&place, &train("none.tsv"), 1, "none.tsv: no such file");
    let message =
        "builtin:tags: is not pairs of texts; there are builtin:addition and builtin:dates";
    refused(&place, &train("builtin:tags"), 1, message);
    for (options, part) in [
        ("--input-feeding", "input feeding"),
        ("--attention dot --bidirectional", "dot"),
        ("--condition first-input", "--condition: translate has no such option; drop it"),
        ("--feed dummy --teacher-forcing 0.5", "--teacher-forcing: only --feed truth"),
        ("--max-length 1", "--max-length: every pair of pairs.tsv has more than 1 characters"),
        ("--max-length 0", "--max-length must be at least 1"),
    ] {
        refused(&place, &format!("{TRAIN} {options} --out no"), 2, part);
    }
    let part =
        "pairs.tsv: no token occurs 1000 times, so the vocabulary is empty; lower --min-count";
    refused(&place, &format!("{TRAIN} --min-count 1000 --out no"), 1, part);
    // 36 of all sources have four characters.
    let ended = place.run(&format!("{TRAIN} --valid pairs.tsv --max-length 3 --steps 1 --out run"));
    let line = "\n36 pairs of more than 3 characters are left out\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
}
