//! The task caption, from the command line: trained, measured, applied, resumed, and what it says to
//! input that is no use.

#![cfg(feature = "cli")]

#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/place.rs"]
mod place;

use pictures::{paint, shades};
use place::{ALL, Place, assert_one_line};
use serde_json::Value;

const TRAIN: &str = "train caption --data train.tsv --valid valid.tsv --hidden-size 12 \
                     --batch-size 4 --learning-rate 0.01 --schedule constant";

/// A place with shades of three colours and captions of them.
fn place() -> Place {
    let place = Place::new();
    let table = |shades: Vec<(String, &str)>| {
        let rows = shades.iter().map(|(name, colour)| format!("{name}\tthis is all {colour}.\n"));
        rows.fold("image\tcaption\n".to_owned(), |table, row| table + &row)
    };
    let (train, valid) = (shades(&place, 0..8), shades(&place, 8..10));
    place.write("train.tsv", table(train));
    place.write("valid.tsv", table(valid));
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn it_learns_to_say_what_it_sees() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 30 --out run"));
    let report = json(&place.done("evaluate run --json"));
    assert_eq!(report["exact_match"], 1.0, "{report}");
    assert!((report["bleu"].as_f64().unwrap() - 100.0).abs() < 1e-9, "{report}");
    assert_eq!(report["majority_caption_exact_match"], 1.0 / 3.0);
    assert_eq!(report["examples"], 6);
    assert!(report["loss"].as_f64().unwrap() < 0.3, "{report}");

    // Paths are relative to the file that names them.
    std::fs::create_dir(place.path("beside")).unwrap();
    paint(&place, "beside/new.png", (8, 8), [20, 240, 30]);
    place.write("beside/input.txt", "new.png\nblue9.png\n");
    let said = place.done("predict run --input beside/input.txt");
    assert_eq!(said, "this is all green.\nthis is all blue.\n");
    let said =
        json(place.done("predict run --input beside/input.txt --json").lines().next().unwrap());
    assert_eq!([&said["image"], &said["caption"]], ["new.png", "this is all green."]);
    assert_eq!(said["captions"][0]["ended"], "end-token");

    place.write("one.txt", "red9.png\n");
    let said = place.done("predict run --input one.txt --beam 4 --top 2");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.starts_with("-0.") && said.lines().next().unwrap().ends_with("\tthis is all red."),
        "{said}"
    );
    let said = json(&place.done("predict run --input one.txt --beam 4 --top 3 --json"));
    assert_eq!(said["captions"].as_array().unwrap().len(), 3);
    let said = place.done("predict run --input one.txt --prefix this --max-length 2");
    assert_eq!(said, "this is\n");
    let inspected = place.done("inspect run");
    assert!(inspected.contains("caption"), "{inspected}");
}

/// However often an image is named, and however: it is learnt from or judged on.
#[test]
fn equal_images_are_on_one_side() {
    let place = Place::new();
    let mut table = "image\tcaption\n".to_owned();
    for (name, colour) in shades(&place, 0..10) {
        std::fs::copy(place.path(&name), place.path(&format!("copy-{name}"))).unwrap();
        for spelling in [name.clone(), format!("./{name}"), format!("copy-{name}")] {
            table += &format!("{spelling}\t{colour}\n");
        }
    }
    place.write("all.tsv", table);
    let ended = place.run("train caption --data all.tsv --hidden-size 4 --steps 1 --out run");
    // A tenth of 30 images, each with three rows.
    assert!(ended.stderr.contains("81 captions to learn from, 9 held out"), "{}", ended.stderr);
    let one = "copy-red0.png\tred\n./red0.png\tblue\n";
    place.write("one.tsv", format!("image\tcaption\n{one}"));
    let ended = place.run("train caption --data one.tsv --epochs 1 --out no");
    assert_one_line(&ended.stderr, "one.tsv: ");
    assert!(ended.stderr.contains("image"), "{}", ended.stderr);
}

#[test]
fn a_run_that_goes_on_and_other_threads_give_the_same_bytes() {
    let place = place();
    for (name, options) in
        [("truth", ""), ("mixed", "--teacher-forcing 0.5"), ("dummy", "--feed dummy")]
    {
        let train = format!("{TRAIN} {options} --condition first-input");
        place.done(&format!("{train} --epochs 2 --threads 1 --out {name}"));
        place.done(&format!("{train} --epochs 2 --threads 2 --out {name}-2"));
        place.assert_equal_runs(name, &format!("{name}-2"), &ALL[..2]);
        place.done(&format!("{train} --epochs 1 --out {name}-half"));
        place.done(&format!("resume {name}-half --epochs 2"));
        place.assert_equal_runs(name, &format!("{name}-half"), &ALL[..2]);
    }
}

#[test]
fn features_stand_in_the_place_of_images() {
    let place = Place::new();
    let rows = |from: u32| {
        let row = |k: u32| match k % 2 {
            0 => format!("{}.5 1 {k} 0\tmuch before little\n", 3 + k),
            _ => format!("0 {k} 1 {}.25\tlittle before much\n", 4 + k),
        };
        (from..from + 12).map(row).fold("image\tcaption\n".to_owned(), |table, row| table + &row)
    };
    place.write("train.tsv", rows(0));
    place.write("valid.tsv", rows(20));
    place.done(&format!("{TRAIN} --epochs 12 --out run"));
    assert_eq!(json(&place.done("evaluate run --json"))["exact_match"], 1.0);
    place.write("input.txt", "9 1 7 0.5\n");
    assert_eq!(place.done("predict run --input input.txt"), "much before little\n");
    place.write("input.txt", "9 1 7\n");
    let ended = place.run("predict run --input input.txt");
    let expected = "holds lists of 3 features, but the model reads lists of 4 features";
    assert_one_line(&ended.stderr, &format!("input.txt: line 1: {expected}"));
    place.write("input.txt", "red.png\n");
    let ended = place.run("predict run --input input.txt");
    assert_one_line(&ended.stderr, "is not a list of finite numbers separated by blanks");
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
    place.write("input.txt", "red0.png\nwide.png\n");
    refused(
        "predict run --input input.txt",
        1,
        "input.txt: line 2: the image wide.png has 16x8 pixels, but the model was trained with \
         images of 8x8; resize it",
    );
    place.write("input.txt", "nowhere.png\n");
    refused("predict run --input input.txt", 1, "line 1: the image nowhere.png does not exist");
    place.write("wide.tsv", "image\tcaption\nwide.png\tthis is all wide.\n");
    refused(
        "evaluate run --data wide.tsv",
        1,
        "wide.tsv: holds images of 16x8 pixels, but the model was trained with images of 8x8 pixels",
    );
    place.write("broken.tsv", "image\tcaption\nred0.png\tred\nno.png\tred\n");
    refused("evaluate run --data broken.tsv", 1, "broken.tsv:3: the image no.png does not exist");
    place.write("text.tsv", "picture\tcaption\nred0.png\tred\n");
    refused("evaluate run --data text.tsv", 1, "no column is called \"image\"");
    refused(
        "evaluate run --data builtin:shapes",
        1,
        "builtin:shapes: is not images with captions: try builtin:captions",
    );
    refused(
        "evaluate run --shuffle-tokens",
        2,
        "--shuffle-tokens: caption reads no sequence whose order could be lost",
    );
    place.write("input.txt", "red0.png\n");
    for (options, part) in [
        ("--show-attention", "--show-attention: a caption has no source text; drop it"),
        ("--length-penalty 0.6", "--length-penalty: a single hypothesis is compared with none"),
        (
            "--beam 2 --top 3",
            "--top: 3 results need as many hypotheses side by side; give --beam 3",
        ),
        ("--prefix purple", "--prefix: \"purple\""),
        ("--min-length 9 --max-length 3", "the minimum length of 9 tokens is above the maximum"),
    ] {
        refused(&format!("predict run --input input.txt {options}"), 2, part);
    }
    for (options, part) in [
        (
            "--bidirectional",
            "--bidirectional: what writes cannot read what it has not written yet, and caption",
        ),
        ("--attention dot", "--attention: caption has no such option; drop it"),
        ("--fusion sum", "--fusion: caption has no such option; drop it"),
        ("--feed dummy --teacher-forcing 0.5", "--teacher-forcing: only --feed truth"),
    ] {
        refused(&format!("{TRAIN} {options} --out other"), 2, part);
    }
    refused(
        &format!("{TRAIN} --max-length 3 --out other"),
        2,
        "--max-length: every caption of train.tsv has more than 3 words; raise it",
    );
    let part =
        "train.tsv: no token occurs 1000 times, so the vocabulary is empty; lower --min-count";
    refused(&format!("{TRAIN} --min-count 1000 --out other"), 1, part);
    refused("generate run", 2, "a model of caption does not write; use predict");
    let mut table = place.read("train.tsv");
    table.extend(b"red0.png\tthis is all red and no more.\n");
    place.write("train.tsv", table);
    let ended = place.run(&format!("{TRAIN} --max-length 5 --steps 1 --out short"));
    let line = "\n1 caption of more than 5 words is left out\n";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
}
