//! The task `tag` as a person runs it, and the demo that needs no data.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use place::{ALL, Place, assert_one_line};
use serde_json::Value;

/// Sentences in which the tag of `run` follows from the word before it.
fn sentences() -> String {
    let mut text = String::new();
    for (number, subject) in ["dogs", "cats", "we", "they"].iter().cycle().take(120).enumerate() {
        let (before, tag) = if number % 3 == 0 { ("a", "NOUN") } else { ("can", "VERB") };
        text.push_str(&format!("{subject}{}\tNAME\n{before}\tSMALL\nrun\t{tag}\n\n", number % 7));
    }
    text
}

const TRAIN: &str = "train tag --data tagged.txt --hidden-size 8 --embedding-size 4 --batch-size 8 \
                     --learning-rate 0.02";

fn place() -> Place {
    let place = Place::new();
    place.write("tagged.txt", sentences());
    place
}

#[test]
fn sentences_are_learnt_judged_and_tagged() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 6 --out run"));
    let report: Value = serde_json::from_str(&place.done("evaluate run --json")).unwrap();
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["accuracy", "loss", "most_frequent_tag_accuracy", "tokens"]);
    assert_eq!(report["accuracy"], 1.0, "{report}");
    assert!(report["most_frequent_tag_accuracy"].as_f64().unwrap() < 1.0, "{report}");
    // Without order nobody knows what `run` is, and a person is told that this is no use.
    let shuffled = place.done("evaluate run --shuffle-tokens --data tagged.txt");
    assert!(shuffled.contains("no better than the most frequent tag"), "{shuffled}");

    place.write("line.txt", "we0 can run\n\nwe0 a run\n");
    let tagged = place.done("predict run --input line.txt");
    assert_eq!(tagged, "we0/NAME can/SMALL run/VERB\nwe0/NAME a/SMALL run/NOUN\n");
    let json = place.done("predict run --input line.txt --json");
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["tags"], serde_json::json!(["NAME", "SMALL", "VERB"]));
    assert!(first.get("unknown").is_none(), "{first}");
    assert!(place.done("inspect run").contains("recurrent.tag"));

    // A person hears of the words that the model does not know, once a line.
    place.write("other.txt", "we0 can run\n\nfoo can \"bar\" foo\nwe0 can stroll\n");
    let ended = place.run("predict run --input other.txt --json");
    let heard: Vec<&str> = ended.stderr.lines().collect();
    let line_3 = r#"line 3: "foo", "\"bar\"" are not in the vocabulary; they are read as <unk>"#;
    let line_4 = r#"line 4: "stroll" is not in the vocabulary; it is read as <unk>"#;
    assert_eq!(heard, [line_3, line_4]);
    let second: Value = serde_json::from_str(ended.stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["unknown"], serde_json::json!(["foo", "\"bar\""]));
    assert_eq!(place.run("-q predict run --input other.txt").stderr, "");
}

/// A file that names each word by itself may name any: "U.S." is one, though a text would have more.
#[test]
fn words_are_what_the_file_says() {
    let place = Place::new();
    let place_of = |word: &str| format!("{word}\tNAME\nis\tVERB\n1/2\tNUMBER\n\n");
    let words = ["U.S.", "Mr.", "10%", "a,", "New York", "-LRB-"];
    place.write(
        "tagged.txt",
        words.iter().cycle().take(60).map(|word| place_of(word)).collect::<String>(),
    );
    place.done(&format!("{TRAIN} --epochs 8 --out run"));
    let report: Value = serde_json::from_str(&place.done("evaluate run --json")).unwrap();
    assert_eq!(report["accuracy"], 1.0, "{report}");
    place.write("line.txt", "is\n");
    assert_eq!(place.done("predict run --input line.txt"), "is/VERB\n");
}

/// A tag that the training never had is wrong, counts in no loss, and its span is missed.
#[test]
fn an_unknown_tag_is_a_wrong_one() {
    let place = Place::new();
    let sentence = "ann\tB-PER\nsleeps\tO\n\nbob\tB-PER\nsings\tO\n\n";
    place.write("spans.txt", sentence.repeat(40));
    let train = TRAIN.replace("tagged.txt", "spans.txt");
    place.done(&format!("{train} --valid spans.txt --epochs 8 --out run"));
    place.write("known.txt", sentence);
    place.write("more.txt", "ann\tB-LOC\nsleeps\tI-LOC\n\nbob\tB-PER\nsings\tO\n");
    let json = |name: &str| -> Value {
        serde_json::from_str(&place.done(&format!("evaluate run --data {name} --json"))).unwrap()
    };
    let [known, more] = ["known.txt", "more.txt"].map(json);
    assert_eq!([&known["span_f1"], &known["accuracy"]], [1.0, 1.0], "{known}");
    assert!(known.get("unknown_tags").is_none(), "{known}");
    // Two spans are told and two are true, and one is right.
    assert_eq!([&more["span_f1"], &more["accuracy"]], [0.5, 0.5], "{more}");
    assert_eq!(more["unknown_tags"], 2, "{more}");
    assert!(more["loss"].as_f64().is_some_and(|loss| loss < 0.5), "{more}");
    let told = place.done("evaluate run --data more.txt");
    assert!(told.contains("2 tags are none of the training's, and count as wrong"), "{told}");

    place.write("none.txt", "ann\tNAME\nsleeps\tVERB\n");
    let ended = place.run("evaluate run --data none.txt --json");
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    let part = "none.txt: none of its tags is known to the model; the first is \"NAME\", and it \
                knows \"B-PER\", \"O\"";
    assert_one_line(&ended.stderr, part);
    let ended = place.run(&format!("{train} --valid none.txt --out other"));
    assert_one_line(&ended.stderr, "none.txt: none of its tags is known");
}

#[test]
fn a_run_in_two_parts_and_at_any_thread_count_writes_the_same_bytes() {
    let place = place();
    let train = format!("{TRAIN} --num-layers 2 --dropout 0.3 --bidirectional");
    place.done(&format!("{train} --epochs 3 --threads 1 --out whole"));
    place.done(&format!("{train} --epochs 3 --threads 2 --out threads"));
    place.assert_equal_runs("whole", "threads", &ALL);
    place.done(&format!("{train} --epochs 1 --out parts"));
    place.done("resume parts --epochs 3 --threads 2");
    // The number of epochs that was asked for first is not kept, the losses of all are.
    place.assert_equal_runs("whole", "parts", &["best.ckpt", "metrics.jsonl"]);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let place = place();
    place.write("flat.txt", "word\tTAG\n".repeat(300));
    place.write("columns.txt", "one\tA\ntwo\tB\textra\n");
    place.write("mark.txt", "\u{FEFF}\"quoted\"\tA\r\nplain\tB\r\n\r\nother\tA\r\n");
    place.write("labels.toml", "task = \"tag\"\npool = \"mean\"\n");
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    for (arguments, code, part) in [
        ("train tag --data flat.txt --out out", 1, "flat.txt"),
        (
            "train tag --data tagged.txt --min-count 1000 --out out",
            1,
            "tagged.txt: no token occurs 1000 times, so the vocabulary is empty; lower --min-count",
        ),
        ("train tag --data columns.txt --out out", 1, "columns.txt:2"),
        ("train tag --data builtin:sentiment --out out", 1, "builtin:sentiment"),
        ("train tag --pool mean --out out", 2, "--pool: tag has no such option"),
        ("train tag --config labels.toml --out out", 2, "--pool: tag has no such option"),
        ("predict run --input tagged.txt --beam 3", 2, "--beam: a model of tag"),
        ("predict run --input missing.txt", 1, "missing.txt: cannot be read"),
        ("generate run", 2, "a model of tag does not write; use predict"),
        ("evaluate run --data columns.txt", 1, "columns.txt:2"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments}: {}", ended.stderr);
        assert_one_line(&ended.stderr, part);
    }
    // A byte-order mark, Windows' line ends and quotes are no trouble.
    place.done("train tag --data mark.txt --epochs 1 --hidden-size 4 --out marked");
}

#[test]
fn the_word_of_four_letters_is_learnt_and_written() {
    let told = Place::new().done("demo hello");
    assert!(told.contains("h -> e -> l -> l -> o -> <end>"), "{told}");
    assert!(told.contains("because it said the end token"), "{told}");
}
