//! The task `classify` from the command line: texts, folders of labels and series, what stands
//! beside the model, and one clear line for what is wrong.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use std::{fs, io::Write, process::Stdio};

use place::{ALL, NEWEST, Place, assert_one_line};
use serde_json::Value;

const SMALL: &str = "--hidden-size 8 --batch-size 8 --learning-rate 0.02";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Reviews in which the same words stand in two orders, and only the order tells the label.
fn reviews() -> String {
    let mut table = String::from("text\tlabel\n");
    for (number, thing) in (0..60).zip(["film", "plot", "cast", "end", "song"].iter().cycle()) {
        let extra = "so ".repeat(number / 5);
        let (first, second) = [("good", "bad"), ("bad", "good")][number % 2];
        let label = ["up", "down"][number % 2];
        table.push_str(&format!("{extra}the {thing} was {first} not {second}\t{label}\n"));
    }
    table
}

/// Series of two features; the label says whether the first one rises. (The second never changes.)
fn waves() -> String {
    let mut table = String::from("label,level,series,fixed\n");
    for series in 0..40 {
        let (rises, offset) = (series % 2 == 0, f64::from(series % 4));
        for step in 0..3 + series % 3 {
            let level = 100.0 + offset + f64::from(if rises { step } else { -step });
            let label = if rises { "rising" } else { "falling" };
            table.push_str(&format!("{label},{level},s{series},7\n"));
        }
    }
    table
}

/// What `predict` says of these lines.
fn predicted(place: &Place, arguments: &str, lines: &str) -> String {
    let mut command = place.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_text_is_learnt_judged_and_told_by_its_order() {
    let place = Place::new();
    place.write("reviews.tsv", reviews());
    let result =
        place.done(&format!("train classify --data reviews.tsv {SMALL} --epochs 20 --out run"));
    assert!(result.contains("(accuracy "), "{result}");

    let report = json(&place.done("evaluate run --data reviews.tsv --json"));
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["accuracy", "bag_of_words_accuracy", "examples", "loss", "macro_f1", "majority_accuracy"];
    assert_eq!(keys, expected);
    let share = |name: &str| report[name].as_f64().unwrap();
    assert_eq!((share("accuracy"), share("macro_f1"), share("examples")), (1.0, 1.0, 60.0));
    // The bag has the same words under both labels, but for the lengths.
    assert!(share("bag_of_words_accuracy") <= 0.7 && share("majority_accuracy") == 0.5);
    let shuffled = json(&place.done("evaluate run --data reviews.tsv --json --shuffle-tokens"));
    assert!(shuffled["accuracy"].as_f64().unwrap() < 0.9, "{shuffled}");
    assert_eq!(shuffled["bag_of_words_accuracy"], report["bag_of_words_accuracy"]);
    let shown = place.done("evaluate run --data reviews.tsv");
    for line in ["accuracy             100.0 %", "bag of words", "  1 down 30  0", "  2 up    0 30"]
    {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    assert!(!shown.contains("remark"), "{shown}");

    let lines = "\u{FEFF}the film was good not bad\r\n\n  the film was bad not good  \n";
    let said = predicted(&place, "predict run --input -", lines);
    let labels: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(labels, ["up", "down"], "{said}");
    let said = predicted(&place, "predict run --top 2", lines);
    assert!(said.starts_with("up 0.") && said.contains(", down 0."), "{said}");
    let said = json(&predicted(&place, "predict run --json", "the film was good not bad"));
    assert_eq!(
        (&said["text"], &said["label"]),
        (&"the film was good not bad".into(), &"up".into())
    );
    let probability = |label: &str| said["probabilities"][label].as_f64().unwrap();
    assert!((probability("up") + probability("down") - 1.0).abs() < 1e-6);
    let said = json(&predicted(&place, "predict run --json --top 1", "the film was good not bad"));
    assert_eq!(said["probabilities"].as_object().unwrap().len(), 1, "{said}");
    assert!(said.get("unknown").is_none(), "{said}");
    place.write("other.txt", "the film was good\nthe play was bad\n");
    let ended = place.run("predict run --json --input other.txt");
    let line = "line 2: \"play\" is not in the vocabulary; it is read as <unk>\n";
    assert_eq!(ended.stderr, line);
    assert_eq!(json(ended.stdout.lines().nth(1).unwrap())["unknown"][0], "play");
}

#[test]
fn series_and_folders_are_learnt_too() {
    let place = Place::new();
    place.write("waves.csv", waves());
    place.done(&format!("train classify --data waves.csv {SMALL} --epochs 20 --out waves"));
    let report = json(&place.done("evaluate waves --data waves.csv --json"));
    assert!(report["accuracy"].as_f64().unwrap() > 0.95, "{report}");
    assert!(report.get("bag_of_words_accuracy").is_none(), "{report}");
    let shuffled = json(&place.done("evaluate waves --data waves.csv --json --shuffle-tokens"));
    assert!(shuffled["accuracy"].as_f64() < report["accuracy"].as_f64(), "{shuffled}");
    let other = "series,label,height,fixed\na,rising,1,7\n";
    place.write("other.csv", other);
    let ended = place.run("evaluate waves --data other.csv");
    assert_one_line(
        &ended.stderr,
        "other.csv: its features are called height, fixed, but the model",
    );
    // A series is a line, typed by hand.
    let said = predicted(&place, "predict waves", "100,7 101,7 102,7\n102,7 101,7 100,7\n");
    let labels: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(labels, ["rising", "falling"], "{said}");
    let said = json(&predicted(&place, "predict waves --json", "100,7 101,7 102,7\n"));
    assert_eq!([&said["series"], &said["label"]], ["100,7 101,7 102,7", "rising"]);
    for (line, part) in [
        ("1,2 3", "series.txt: line 1: row 2 is \"3\", and not the finite numbers level,"),
        ("1,NaN", "line 1: row 1 is \"1,NaN\""),
        ("up", "line 1: row 1 is \"up\""),
    ] {
        place.write("series.txt", line);
        assert_one_line(&place.run("predict waves --input series.txt").stderr, part);
    }

    fs::create_dir(place.path("names")).unwrap();
    place.write("names/ab.txt", "abab\naabb\nbaba\nabba\nbbaa\nabab ab\n");
    place.write("names/xy.txt", "xyxy\nxxyy\nyxyx\nxyyx\nyyxx\nxyxy xy\n");
    let train = format!("train classify --data names --tokens char {SMALL} --bidirectional");
    place.done(&format!("{train} --pool max --cell gru --epochs 20 --out names-run"));
    let said = predicted(&place, "predict names-run", "aab\nxxy\n");
    assert!(said.starts_with("ab ") && said.contains("\nxy "), "{said}");
    // An example that is too long is not learnt from.
    let ended = place.run(&format!("{train} --max-length 4 --epochs 1 --out short"));
    assert!(ended.stderr.contains("\n2 examples of more than 4 characters are left out\n"));
    let ended = place.run(&format!("-q {train} --max-length 4 --epochs 1 --out quiet"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let ended = place.run(&format!("{train} --max-length 7 --epochs 1 --out all"));
    assert!(!ended.stderr.contains("left out"), "{}", ended.stderr);
    let ended = place.run(&format!("{train} --max-length 3 --out none"));
    assert_one_line(
        &ended.stderr,
        "--max-length: every example of names has more than 3 characters",
    );
}

/// What is too long teaches neither words nor labels.
#[test]
fn what_is_left_out_is_not_learnt_from() {
    let place = Place::new();
    let long = "this one is far longer than the others are\tsideways\n";
    place.write("long.tsv", reviews() + &long.repeat(8));
    place.write("reviews.tsv", reviews());
    place.write("valid.tsv", "text\tlabel\nthe film was good not bad\tup\n");
    let train = format!("train classify --valid valid.tsv {SMALL} --max-length 6 --epochs 1");
    for name in ["long", "reviews"] {
        place.done(&format!("{train} --data {name}.tsv --out {name}"));
    }
    place.assert_equal_runs("long", "reviews", &["metrics.jsonl"]);
    place.write("input.txt", "the film was good not bad\n");
    let [long, short] = ["long", "reviews"]
        .map(|name| place.done(&format!("predict {name} --input input.txt --json")));
    assert_eq!(long, short);
    assert!(!long.contains("sideways"), "{long}");
    // Rows of series are counted too.
    place.write("waves.csv", waves());
    let ended = place.run(&format!(
        "train classify --data waves.csv --valid waves.csv {SMALL} --max-length 4 --steps 1 --out s"
    ));
    let line = "\n13 examples of more than 4 rows are left out\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
}

#[test]
fn a_run_goes_on_with_the_same_bytes_at_any_number_of_threads() {
    let place = Place::new();
    place.write("reviews.tsv", reviews());
    place.write("waves.csv", waves());
    place.write("vectors.txt", "film 0.5 -0.25 1\nunheard 1 1 1\ngood 1 2 3\nthe 0 0 1\n");
    for (name, options) in [
        ("plain", "--data reviews.tsv --num-layers 2 --dropout 0.3"),
        ("vectors", "--data reviews.tsv --embeddings vectors.txt --pool mean"),
        ("series", "--data waves.csv --pool max"),
    ] {
        let train = format!("train classify {options} {SMALL}");
        let [threads, parts] = ["threads", "parts"].map(|end| format!("{name}-{end}"));
        place.done(&format!("{train} --epochs 2 --threads 1 --out {name}"));
        place.done(&format!("{train} --epochs 2 --threads 2 --out {threads}"));
        place.assert_equal_runs(name, &threads, &ALL);
        place.done(&format!("{train} --epochs 1 --out {parts}"));
        if name == "vectors" {
            // What was learnt from them is in the checkpoint; the file is not needed any more.
            fs::remove_file(place.path("vectors.txt")).unwrap();
        }
        place.done(&format!("resume {parts} --epochs 2"));
        place.assert_equal_runs(name, &parts, &[NEWEST, "metrics.jsonl"]);
    }
}

#[test]
fn word_vectors_are_where_the_embedding_begins() {
    let place = Place::new();
    place.write("reviews.tsv", reviews());
    place.write("vectors.txt", "film 0.5 -0.25 1\nunheard 1 1 1\ngood 1 2 3\n");
    let train = "train classify --data reviews.tsv --hidden-size 4 --steps 1";
    let ended = place.run(&format!("{train} --embeddings vectors.txt --out run"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("words, vectors of 3 numbers for 2,"), "{}", ended.stderr);
    for (options, reason) in [
        ("--tokens char", "the vectors are of words; drop --tokens char"),
        ("--one-hot", "one-hot tokens have no vectors; drop --one-hot"),
        ("--embedding-size 3", "the file says how long they are; drop --embedding-size"),
    ] {
        let ended = place.run(&format!("{train} --embeddings vectors.txt {options} --out no"));
        assert_eq!(ended.code, Some(2), "{options}: {}", ended.stderr);
        assert_one_line(&ended.stderr, &format!("--embeddings: {reason}"));
    }
    place.write("vectors.txt", "nothing 1 2 3\n");
    let ended = place.run(&format!("{train} --embeddings vectors.txt --out no"));
    assert_one_line(&ended.stderr, "vectors.txt: has a vector for none of the model's");
}

/// Whether a file has a header is a matter of that file, and not of the one that was learnt from.
#[test]
fn a_run_without_a_header_is_judged_on_a_file_with_one() {
    let place = Place::new();
    let reviews = reviews();
    place.write("headed.tsv", &reviews);
    place.write("bare.tsv", reviews.split_once('\n').unwrap().1);
    place.done(&format!(
        "train classify --data bare.tsv --no-header --columns 1,2 {SMALL} --steps 1 --out run"
    ));
    for options in [
        "headed.tsv",
        "headed.tsv --columns text,label",
        "bare.tsv --no-header",
        "bare.tsv --no-header --columns 1,2",
    ] {
        let report = json(&place.done(&format!("evaluate run --data {options} --json")));
        assert_eq!(report["examples"], 60, "{options}");
    }
    // What would be lost in silence is said.
    let ended = place.run("evaluate run --data bare.tsv");
    assert!(ended.stderr.contains("bare.tsv: may have a header"), "{}", ended.stderr);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let place = Place::new();
    place.write("reviews.tsv", reviews());
    place.write("waves.csv", waves());
    place.write("one.tsv", "text\tlabel\na b\tx\nc d\tx\n");
    place.write("other.tsv", "text\tlabel\nthe film\tsideways\n");
    place.write("nan.csv", "series,label,level\na,x,1\nb,y,NaN\n");
    for (arguments, part) in [
        ("--data one.tsv", "one.tsv: the only label is \"x\""),
        ("--data builtin:tags", "builtin:tags: is not texts with labels; there are"),
        ("--data nan.csv", "nan.csv:3: the column \"level\" holds \"NaN\""),
        (
            "--data reviews.tsv --valid other.tsv",
            "other.tsv:2: \"sideways\" is not a label that the model knows; it knows \"down\"",
        ),
        ("--data reviews.tsv --columns text", "--columns names 1 column, but needed are 2"),
        ("--data reviews.tsv --attention dot", "--attention: classify has no such option"),
        ("--data reviews.tsv --max-length 0", "--max-length must be at least 1"),
        ("--data reviews.tsv --min-count 1000", "no token occurs 1000 times"),
        ("--data waves.csv --tokens char", "--tokens: the data are series of numbers"),
        ("--data waves.csv --one-hot", "--one-hot: the data are series of numbers"),
        ("--data waves.csv --embedding-size 4", "--embedding-size: the data are series"),
    ] {
        let ended = place.run(&format!("train classify {arguments} --out no"));
        assert_ne!(ended.code, Some(0), "{arguments}");
        assert_one_line(&ended.stderr, part);
        assert!(!place.path("no").exists(), "{arguments} left a folder");
    }
    // Which of three columns without names are text and label, nobody knows.
    let bare: String = reviews().lines().skip(1).map(|line| format!("7\t{line}\n")).collect();
    place.write("bare.tsv", bare);
    let train = format!("train classify --data bare.tsv --no-header {SMALL} --steps 1");
    let ended = place.run(&format!("{train} --out no"));
    let part = "--no-header: bare.tsv has 3 columns; say by their numbers which to read: --columns";
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_one_line(&ended.stderr, part);
    place.done(&format!("{train} --columns 2,3 --out bare"));
    place.done(&format!("train classify --data reviews.tsv {SMALL} --steps 1 --out run"));
    let ended = place.run("evaluate run --data bare.tsv --no-header");
    assert_one_line(&ended.stderr, part);
    assert_one_line(
        &place.run("evaluate run --data other.tsv").stderr,
        "other.tsv:2: \"sideways\"",
    );
    let ended = place.run("predict run --beam 2");
    assert_one_line(&ended.stderr, "--beam: a model of classify writes no sequence");
    // A model of nothing is reported as one.
    place.done("train classify --data reviews.tsv --learning-rate 0 --steps 1 --out nothing");
    assert!(place.done("evaluate nothing --data reviews.tsv").contains("remark"));
}
