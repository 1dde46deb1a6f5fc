//! `conditional-text` from the command line: a tiny model is trained, judged, writes and is resumed,
//! and what is wrong is one clear line.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use place::{ALL, Ended, NEWEST, Place, assert_one_line};
use serde_json::Value;

const TRAIN: &str = "train conditional-text --data names.csv --hidden-size 16 --embedding-size 8 \
                     --batch-size 8 --learning-rate 0.02";

/// A place with `names.csv`: low words are of a and b, high ones of x and y, and the folder `names`
/// with the same.
fn place() -> Place {
    let place = Place::new();
    let mut table = String::from("text,label\n");
    let mut files = [String::new(), String::new()];
    for number in 0..48u32 {
        for (side, (label, letters)) in
            [("low", ["a", "b"]), ("high", ["x", "y"])].iter().enumerate()
        {
            let letters = (0..6).map(|bit| letters[(number >> bit & 1) as usize]);
            let name: String = letters.skip((number % 3) as usize).collect();
            table.push_str(&format!("{name},{label}\n"));
            files[side].push_str(&format!("{name}\n"));
        }
    }
    place.write("names.csv", table);
    std::fs::create_dir(place.path("names")).unwrap();
    place.write("names/low.txt", &files[0]);
    place.write("names/high.txt", &files[1]);
    place.write("labels.txt", "low\nhigh\n");
    place
}

#[track_caller]
fn refused(place: &Place, arguments: &str, code: i32, part: &str) {
    let Ended { code: found, stderr, .. } = place.run(arguments);
    assert_eq!(found, Some(code), "{arguments}: {stderr}");
    assert_one_line(&stderr, part);
}

fn is_of(text: &str, letters: [char; 2]) -> bool {
    text.chars().all(|c| letters.contains(&c))
}

#[test]
fn labels_decide_what_is_written_wherever_they_enter() {
    let place = place();
    for condition in ["initial-state", "first-input", "every-step"] {
        place.done(&format!("{TRAIN} --epochs 10 --condition {condition} --force --out run"));
        let report: Value = serde_json::from_str(&place.done("evaluate run --json")).unwrap();
        let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["examples", "loss", "perplexity"]);
        let number = |key: &str| report[key].as_f64().unwrap();
        assert!((number("perplexity") - number("loss").exp()).abs() < 1e-9);

        for (label, letters) in [("low", ['a', 'b']), ("high", ['x', 'y'])] {
            let generate = format!("generate run --label {label} --temperature 0.3 --seed 5");
            let texts = place.done(&format!("{generate} --count 8"));
            assert_eq!(texts.lines().count(), 8);
            assert!(texts.lines().all(|text| is_of(text, letters)), "{condition}: {texts}");
            // A text does not depend on how many are drawn.
            let fewer = place.done(&format!("{generate} --count 3"));
            assert!(texts.starts_with(&fewer), "{texts} {fewer}");
        }
        let best = place.done("generate run --label low --beam 4 --count 2 --json");
        let best: Vec<Value> =
            best.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let score = |at: usize| best[at]["log_probability"].as_f64().unwrap();
        assert!(best.len() == 2 && score(0) >= score(1), "{best:?}");
        let begun = place.done("generate run --label high --prompt xyx");
        assert!(begun.starts_with("xyx"), "{begun}");
        let predicted = place.done("predict run --input labels.txt");
        let lines: Vec<&str> = predicted.lines().collect();
        assert!(is_of(lines[0], ['a', 'b']) && is_of(lines[1], ['x', 'y']), "{predicted}");
    }
}

#[test]
fn a_folder_of_labels_is_the_same_data() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 1 --out table"));
    place.done(&format!("{} --epochs 1 --out folder", TRAIN.replace("names.csv", "names")));
    for run in ["table", "folder"] {
        place.done(&format!("generate {run} --label high"));
        place.done(&format!("evaluate {run} --data names"));
    }
}

#[test]
fn texts_that_are_too_long_are_left_out_and_counted() {
    let place = place();
    place.write("some.csv", "text,label\nabcdef,low\nab,low\nxy,high\nx,high\nya,high\nb,low\n");
    // Nothing is held out of a file that is not split.
    let train = format!("{} --valid names.csv --epochs 1", TRAIN.replace("names.csv", "some.csv"));
    let ended = place.run(&format!("{train} --max-length 5 --out run"));
    let line = "\n1 text of more than 5 characters is left out\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
    let ended = place.run(&format!("{train} --max-length 1 --out short"));
    let line = "\n4 texts of more than 1 characters are left out\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
    assert!(place.run("resume short --epochs 2").stderr.contains(line));
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
    place.done(&format!("{TRAIN} --epochs 1 --feed dummy --out dummy"));
    place.done("generate dummy --label low");
    let message = "--prompt: a model with --feed dummy does not read what it wrote";
    refused(&place, "generate dummy --label low --prompt a", 2, message);
}

#[test]
fn a_text_that_does_not_end_is_twice_as_long_as_the_longest_that_was_learnt() {
    let place = place();
    let help = place.done("generate --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("conditional-text: twice the longest text of its training"), "{help}");
    // A model that has learnt next to nothing ends a text by chance alone.
    place.done(&format!("{} --steps 1 --out run", TRAIN.replace("0.02", "0.000001")));
    let longest = |arguments: &str| {
        let texts = place.done(&format!("generate run --label low --count 64 {arguments}"));
        texts.lines().map(|text| text.chars().count()).max().unwrap()
    };
    // The longest name has 6 letters.
    assert_eq!(longest(""), 12);
    assert!(longest("--length 40") > 12);
    let ended = place.run("generate run --label low --length 3 --count 2 --temperature 0");
    let cut = "was cut off at its greatest length of 3 characters; --length sets it";
    assert!(ended.stderr.contains(&format!("text 2 {cut}")), "{}", ended.stderr);
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let labels = "there are: high, low";
    refused(&place, "generate run", 2, &format!("--label: say what to write about; {labels}"));
    let message = format!("\"mid\" is no label of this model; {labels}");
    refused(&place, "generate run --label mid", 2, &message);
    refused(&place, "generate run --label low --prompt q", 2, "--prompt: ");
    refused(&place, "generate run --label low --beam 2 --count 3", 2, "--count: ");
    place.write("wrong.txt", "low\nmid\n");
    let ended = place.run("predict run --input wrong.txt");
    assert_eq!(ended.stdout.lines().count(), 1);
    assert_one_line(&ended.stderr, "wrong.txt: line 2");
    let message = "--show-attention: this model reads no source; drop it";
    refused(&place, "predict run --input labels.txt --show-attention", 2, message);
    let message = "--shuffle-tokens: conditional-text reads no sequence whose order could be lost";
    refused(&place, "evaluate run --shuffle-tokens", 2, message);
    place.write("other.csv", "label,text\nmid,aab\n");
    refused(&place, "evaluate run --data other.csv", 1, "other.csv:2: ");
    let message = "no token occurs 1000 times, so the vocabulary is empty; lower --min-count";
    refused(&place, &format!("{TRAIN} --min-count 1000 --out no"), 1, message);
    let message = "--bidirectional: what writes cannot read what it has not written yet";
    refused(&place, &format!("{TRAIN} --bidirectional --out no"), 2, message);
    let message = "builtin:dates: is not texts with labels; there is builtin:labels";
    refused(&place, "train conditional-text --data builtin:dates --out no", 1, message);
}
