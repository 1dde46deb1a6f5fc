//! The task vqa, from the command line: trained, measured, applied, resumed, and what it says to
//! input that is no use.

#![cfg(feature = "cli")]

#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/place.rs"]
mod place;

use pictures::{paint, shades};
use place::{ALL, Place, assert_one_line};
use serde_json::Value;

const TRAIN: &str = "train vqa --data train.tsv --valid valid.tsv --hidden-size 16 \
                     --batch-size 8 --learning-rate 0.01 --schedule constant";

/// A place with shades of three colours and questions about them, two of each.
fn place() -> Place {
    let place = Place::new();
    let table = |shades: Vec<(String, &str)>| {
        let rows = shades.iter().enumerate().map(|(k, (name, colour))| {
            // As often yes as no.
            let other = ["red", "green", "blue"].into_iter().filter(|other| other != colour);
            let asked = if k / 3 % 2 == 0 { colour } else { other.clone().nth(k / 6 % 2).unwrap() };
            let yes = if asked == *colour { "yes" } else { "no" };
            format!("{name}\twhat colour is it?\t{colour}\n{name}\tis it {asked}?\t{yes}\n")
        });
        rows.fold("image\tquestion\tanswer\n".to_owned(), |table, row| table + &row)
    };
    let (train, valid) = (shades(&place, 0..16), shades(&place, 16..20));
    place.write("train.tsv", table(train));
    place.write("valid.tsv", table(valid));
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn it_learns_to_look_at_the_image_and_to_read_the_question() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 30 --out run"));
    let report = json(&place.done("evaluate run --json"));
    assert_eq!(report["accuracy"], 1.0, "{report}");
    let alone = report["question_only_accuracy"].as_f64().unwrap();
    assert!((0.2..0.7).contains(&alone), "{report}");
    assert_eq!(report["examples"], 24);
    assert!(report["loss"].as_f64().unwrap() < 0.5, "{report}");

    place.write("input.txt", "green3.png\twhat colour is it?\nblue5.png\tis it red?\n");
    let said = place.done("predict run --input input.txt");
    let answers: Vec<&str> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(answers, ["green", "no"], "{said}");
    let said = place.done("predict run --input input.txt --json --top 2");
    let said = json(said.lines().next().unwrap());
    assert_eq!([&said["image"], &said["answer"]], ["green3.png", "green"]);
    assert_eq!(said["probabilities"].as_object().unwrap().len(), 2);
    let said = place.done("predict run --input input.txt --top 5");
    assert_eq!(said.lines().next().unwrap().split(", ").count(), 5, "{said}");
    place.write("other.txt", "green3.png\twhat shade is it?\n");
    let ended = place.run("predict run --input other.txt --json");
    let line = "line 1: \"shade\" is not in the vocabulary; it is read as <unk>\n";
    assert_eq!(ended.stderr, line);
    assert_eq!(json(&ended.stdout)["unknown"][0], "shade");
    place.done("evaluate run --shuffle-tokens --json");
}

/// An answer that the training never had is wrong, and counts in no loss.
#[test]
fn an_unknown_answer_is_a_wrong_one() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let known = "red0.png\twhat colour is it?\tred\n";
    let table = |rows: &str| format!("image\tquestion\tanswer\n{rows}");
    place.write("known.tsv", table(known));
    place.write("more.tsv", table(&format!("{known}red0.png\twhat colour is it?\tpurple\n")));
    let [known, more] = ["known", "more"]
        .map(|name| json(&place.done(&format!("evaluate run --data {name}.tsv --json"))));
    assert_eq!(known["loss"], more["loss"]);
    assert_eq!([&known["unknown_answers"], &more["unknown_answers"]], [&Value::Null, &1.into()]);
    let told = place.done("evaluate run --data more.tsv");
    let line = "1 answer is none of the training's, and counts as wrong";
    assert!(told.contains(line), "{told}");
    assert_eq!(known["accuracy"].as_f64().unwrap(), 2.0 * more["accuracy"].as_f64().unwrap());
    // Of answers that are all unknown there is no loss.
    place.write("none.tsv", table("red0.png\twhat colour is it?\tpurple\n"));
    let ended = place.run("evaluate run --data none.tsv --json");
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    let part = "none.tsv: none of its answers is known to the model; the first is \"purple\", and it \
                knows \"blue\", \"green\", \"no\", \"red\", \"yes\"";
    assert_one_line(&ended.stderr, part);
}

/// However often an image is named, and however: it is learnt from or judged on.
#[test]
fn equal_images_are_on_one_side() {
    let place = Place::new();
    let mut table = "image\tquestion\tanswer\n".to_owned();
    for (name, colour) in shades(&place, 0..10) {
        std::fs::copy(place.path(&name), place.path(&format!("copy-{name}"))).unwrap();
        for spelling in [name.clone(), format!("./{name}"), format!("copy-{name}")] {
            table += &format!("{spelling}\twhat colour is it?\t{colour}\n");
        }
    }
    place.write("all.tsv", table);
    let ended = place.run("train vqa --data all.tsv --hidden-size 4 --steps 1 --out run");
    // A tenth of 30 images, each with three rows.
    assert!(ended.stderr.contains("81 questions to learn from, 9 held out"), "{}", ended.stderr);
    let one = "copy-red0.png\twhat colour is it?\tred\n./red0.png\twhat colour is it?\tblue\n";
    place.write("one.tsv", format!("image\tquestion\tanswer\n{one}"));
    let ended = place.run("train vqa --data one.tsv --epochs 1 --out no");
    assert_one_line(&ended.stderr, "one.tsv: ");
    assert!(ended.stderr.contains("image"), "{}", ended.stderr);
}

/// The question alone is known by its words, however they are spaced.
#[test]
fn a_question_is_known_by_its_words() {
    let place = place();
    let train = "image\tquestion\tanswer\nred0.png\tis it?\tyes\nred1.png\tis it?\tyes\n\
                 red2.png\twhat is it?\tred\nred3.png\twhat is it?\tred\nred4.png\twhat is it?\tred\n";
    place.write("words.tsv", train);
    place.done("train vqa --data words.tsv --valid words.tsv --hidden-size 4 --steps 1 --out run");
    place.write("spaced.tsv", "image\tquestion\tanswer\nred0.png\tis  it ?\tyes\n");
    let report = json(&place.done("evaluate run --data spaced.tsv --json"));
    assert_eq!(report["question_only_accuracy"], 1.0, "{report}");
}

#[test]
fn a_run_that_goes_on_and_other_threads_give_the_same_bytes() {
    let place = place();
    for (name, options) in [("sum", "--bidirectional"), ("concat", "--cell gru"), ("product", "")] {
        // A rate at which the second epoch is the better one: the best epoch's checkpoint says of how
        // many epochs it is one.
        let train = format!("{TRAIN} --fusion {name} {options}").replace("0.01", "0.002");
        place.done(&format!("{train} --epochs 2 --threads 1 --out {name}"));
        place.done(&format!("{train} --epochs 2 --threads 2 --out {name}-2"));
        place.assert_equal_runs(name, &format!("{name}-2"), &ALL[..2]);
        place.done(&format!("{train} --epochs 1 --out {name}-half"));
        place.done(&format!("resume {name}-half --epochs 2"));
        place.assert_equal_runs(name, &format!("{name}-half"), &ALL[..2]);
    }
    assert_ne!(place.read(&place.newest("sum")), place.read(&place.newest("product")));
}

#[test]
fn what_is_no_use_is_refused_with_a_reason() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    paint(&place, "wide.png", (16, 8), [1, 2, 3]);
    let refused = |arguments: &str, code: i32, part: &str| {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments}: {}", ended.stderr);
        assert_one_line(&ended.stderr, part);
    };
    for (line, part) in [
        ("red0.png what colour is it?", "input.txt: line 1: is not an image, a tab and a question"),
        ("red0.png\t", "input.txt: line 1: is not an image, a tab and a question"),
        ("no.png\tis it red?", "line 1: the image no.png does not exist"),
        (
            "wide.png\tis it red?",
            "the image wide.png has 16x8 pixels, but the model was trained with images of 8x8",
        ),
    ] {
        place.write("input.txt", line);
        refused("predict run --input input.txt", 1, part);
    }
    place.write("input.txt", "red0.png\tis it red?");
    let part = "--beam: a model of vqa writes no sequence; drop it";
    refused("predict run --input input.txt --beam 2", 2, part);
    refused("evaluate run --data builtin:captions", 1, "is not images with questions and answers");
    place.write(
        "one.tsv",
        "image\tquestion\tanswer\nred0.png\tis it?\tyes\nred1.png\tis it?\tyes\n",
    );
    let train = "train vqa --data one.tsv --epochs 1 --out other";
    refused(train, 1, "one.tsv: the only label is \"yes\"");
    refused(&format!("{TRAIN} --fusion mean --out other"), 2, "invalid value 'mean'");
    refused(&format!("{TRAIN} --feed truth --out other"), 2, "--feed: vqa has no such option");
    let part =
        "train.tsv: no token occurs 1000 times, so the vocabulary is empty; lower --min-count";
    refused(&format!("{TRAIN} --min-count 1000 --out other"), 1, part);
    let part = "--max-length: every question of train.tsv has more than 2 words; raise it";
    refused(&format!("{TRAIN} --max-length 2 --out other"), 2, part);
    let ended = place.run(&format!("{TRAIN} --max-length 4 --steps 1 --out short"));
    let line = "\n48 questions of more than 4 words are left out\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
}
