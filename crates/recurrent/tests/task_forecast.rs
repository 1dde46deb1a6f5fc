//! The task `forecast` from the command line: train, evaluate, predict, resume, and what is refused.

#[path = "support/place.rs"]
mod place;

use place::{ALL, Place, assert_one_line};
use serde_json::Value;

/// Two columns and a date: a wave of 20 rows, and the same with a trend, a fifth of a wave later.
fn table(rows: usize) -> String {
    let wave =
        |at: usize| [0, 3, 6, 8, 9, 10, 9, 8, 6, 3][at % 10] * if at % 20 < 10 { 1 } else { -1 };
    let mut text = String::from("date,low,high\n");
    for at in 0..rows {
        let noise = (at * at * 7 + at * 3) % 11;
        let (low, high) = (10 * wave(at) + noise as i64, wave(at + 4) * 5 + at as i64);
        text.push_str(&format!("day {at},{}.{},{high}.5\n", low, noise % 10));
    }
    text
}

const TRAIN: &str = "train forecast --data table.csv --columns low,high --window 12 --horizon 3 \
                     --hidden-size 8 --learning-rate 0.01";

fn place() -> Place {
    let place = Place::new();
    place.write("table.csv", table(300));
    place
}

#[test]
fn it_learns_is_judged_and_forecasts() {
    let place = place();
    place.done(&format!("{TRAIN} --season 20 --epochs 8 --out run"));
    let report: Value = serde_json::from_str(&place.done("evaluate run --json")).unwrap();
    let of = |name: &str, figure: &str| report[name][figure].as_f64().unwrap();
    for name in ["repeat_last", "seasonal_naive", "autoregression"] {
        for figure in ["mae", "mse", "rmse", "mase"] {
            assert!(of(name, figure) > 0.0, "{name}.{figure}");
        }
    }
    let model = |figure: &str| report[figure].as_f64().unwrap();
    assert!(model("rmse") < of("repeat_last", "rmse"), "{report}");
    assert!((model("rmse") - model("mse").sqrt()).abs() < 1e-12);
    // 30 of 300 rows are held out, and the last two begin no whole horizon.
    assert_eq!(report["examples"], 28);
    assert_eq!(report["columns"][1]["name"], "high");

    // The same rows as a file: those of its first window, or season, are only looked back at.
    let lines = table(300);
    let tail: Vec<&str> = lines.lines().skip(1 + 300 - 30 - 20).collect();
    place.write("tail.csv", format!("date,low,high\n{}\n", tail.join("\n")));
    let again: Value =
        serde_json::from_str(&place.done("evaluate run --data tail.csv --json")).unwrap();
    assert_eq!(report, again);

    let known: Vec<&str> = lines.lines().take(1 + 12).collect();
    place.write("known.csv", known.join("\n"));
    let text = place.done("predict run --input known.csv");
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!((rows.len(), rows[0]), (4, "low,high"));
    let json: Value =
        serde_json::from_str(&place.done("predict run --input known.csv --json")).unwrap();
    let number = json["rows"][2][1].as_f64().unwrap().to_string();
    assert!(rows[3].ends_with(&format!(",{number}")), "{rows:?} {number}");
    // The model's columns alone, without a header, and with rows before the window.
    let row = |line: &&str| line.split_once(',').unwrap().1.replace(',', "\t");
    let bare: Vec<String> = known[1..].iter().map(row).collect();
    place.write("bare.txt", format!("5\t5\n{}\n", bare.join("\n")));
    assert_eq!(place.done("predict run --input bare.txt"), text);
}

/// What comes after a forecast's first row cannot have been looked at.
#[test]
fn a_forecast_does_not_see_what_it_forecasts() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let lines = table(300);
    let known: Vec<&str> = lines.lines().take(1 + 12).collect();
    let more = |last: &str| format!("{}\n{last}", known.join("\n"));
    for (name, last) in [("a.csv", "x,1,2\nx,3,4\nx,5,6"), ("b.csv", "x,1,3\nx,3,4\nx,5,6")] {
        place.write(name, more(last));
    }
    let errors = |name: &str| -> (f64, f64) {
        let report: Value =
            serde_json::from_str(&place.done(&format!("evaluate run --data {name} --json")))
                .unwrap();
        assert_eq!(report["examples"], 1);
        let error = |column: usize| report["columns"][column]["mae"].as_f64().unwrap();
        (error(0), error(1))
    };
    let (a, b) = (errors("a.csv"), errors("b.csv"));
    // Only the truth of one number is another: the first column errs as before, the second by a
    // third of 1 more or less.
    assert_eq!(a.0, b.0);
    assert!(((a.1 - b.1).abs() - 1.0 / 3.0).abs() < 1e-9, "{a:?} {b:?}");
}

#[test]
fn runs_with_one_seed_are_equal_whatever_the_threads_and_go_on_bit_for_bit() {
    let place = place();
    for (name, more) in [
        ("steps", "--num-layers 2 --dropout 0.2"),
        ("rows", "--topology encoder-decoder"),
        ("truth", "--topology encoder-decoder --feed truth --cell gru"),
    ] {
        place.done(&format!("{TRAIN} {more} --epochs 2 --threads 1 --out {name}"));
        place.done(&format!("{TRAIN} {more} --epochs 2 --threads 2 --out {name}-2"));
        place.assert_equal_runs(name, &format!("{name}-2"), &ALL);
        place.done(&format!("{TRAIN} {more} --epochs 1 --out {name}-3"));
        place.done(&format!("resume {name}-3 --epochs 2"));
        place.assert_equal_runs(name, &format!("{name}-3"), &ALL);
    }
}

#[test]
fn built_in_data_and_a_naive_line_that_wins_are_said() {
    let place = Place::new();
    place.done("train forecast --hidden-size 2 --steps 1 --out run");
    let report = place.done("evaluate run");
    assert!(report.contains("no better than linear autoregression"), "{report}");
    assert!(place.done("evaluate run --data builtin:series").contains("temperature: rmse"));
    let ended = place.run("train forecast --data builtin:tags --out other");
    assert_one_line(&ended.stderr, "builtin:tags: is not a series");
}

/// Rows of noise, one of which is a thousand times as large.
fn spike() -> String {
    let noise = |at: u64| (at * at * 7919 + at * 104_729) % 1_009;
    let number = |at| if at == 1_500 { 1_000_000 } else { noise(at) };
    (0..3_000).map(|at| format!("{}\n", number(at))).collect()
}

#[test]
fn an_outlier_is_no_explosion_and_an_explosion_still_is_one() {
    let place = Place::new();
    place.write("spike.txt", spike());
    let train = "train forecast --data spike.txt --hidden-size 8";
    for (name, options) in [
        ("steps", "--epochs 2"),
        ("relu", "--cell rnn-relu --epochs 1"),
        ("rows", "--topology encoder-decoder --epochs 1"),
    ] {
        place.done(&format!("{train} {options} --out {name}"));
    }

    for (options, cell) in [("", "lstm"), ("--topology encoder-decoder", "rnn-relu")] {
        let ended = place.run(&format!(
            "{train} --learning-rate 1e3 --cell {cell} {options} --quiet --force --out exploded"
        ));
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_one_line(&ended.stderr, "a lower learning rate");
    }

    // Held-out rows far from all that was learnt from: no text is long here.
    place.write("far.txt", "1\n500000000\n".repeat(40));
    let ended = place.run(&format!("{train} --steps 1 --valid far.txt --out far"));
    assert!(ended.stderr.contains("far worse than guessing"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("text"), "{}", ended.stderr);
}

#[test]
fn options_that_do_not_go_together_are_wrong_usage() {
    let place = place();
    for (options, message) in [
        ("--bidirectional", "--bidirectional: a forecast must not see what it forecasts"),
        ("--feed dummy", "--feed: only a decoder is fed; add --topology encoder-decoder"),
        (
            "--topology encoder-decoder --teacher-forcing 0.5",
            "--teacher-forcing: forecast has no such option",
        ),
        ("--window 0", "--window must be at least 1"),
        ("--horizon 0", "--horizon must be at least 1"),
        ("--season 0", "--season must be at least 1"),
    ] {
        let command = "train forecast --data table.csv --columns low,high --out run";
        let ended = place.run(&format!("{command} {options}"));
        assert_eq!(ended.code, Some(2), "{options}: {}", ended.stderr);
        assert_one_line(&ended.stderr, message);
        assert!(!place.path("run").exists());
    }
}

#[test]
fn bad_rows_are_named() {
    let place = place();
    place.write("short.csv", table(20));
    place.write("broken.csv", table(40).replace("day 7,", "day 7,nan,1\nday 7,"));
    for (options, message) in [
        (
            "short.csv --columns low",
            "short.csv: too small: the training part has 18 rows, at least 33 are needed; a tenth \
             is held out: give more rows, or some to be judged on with --valid, or lower --window \
             32, --horizon 1",
        ),
        ("broken.csv --columns low", "broken.csv:9: the column \"low\" holds \"nan\""),
        ("table.csv", "table.csv:2: the column \"date\" holds \"day 0\", which is not a finite"),
        ("table.csv --columns cold", "table.csv: no column is called \"cold\""),
    ] {
        let ended = place.run(&format!("train forecast --data {options} --out run"));
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_one_line(&ended.stderr, message);
    }

    place.done(&format!("{TRAIN} --steps 1 --out run"));
    let ended = place.run("evaluate run --data table.csv --columns high,low");
    assert_one_line(
        &ended.stderr,
        "table.csv: its columns are high, low, but the model was trained with low, high; pick them \
         in this order with --columns",
    );
    place.write("few.csv", table(11));
    let ended = place.run("predict run --input few.csv");
    let message =
        "few.csv: has 11 rows, and the model reads 12 to forecast 3; give at least 12 rows";
    assert_one_line(&ended.stderr, message);
    let ended = place.run("evaluate run --data few.csv");
    assert_one_line(&ended.stderr, "few.csv: too small: the file has 11 rows, at least 15 are");
    place.write("empty.csv", "");
    let ended = place.run("predict run --input empty.csv");
    assert_one_line(&ended.stderr, "empty.csv: has 0 rows");
    let ended = place.run("predict run --input table.csv --top 2");
    assert_one_line(&ended.stderr, "--top: a model of forecast has one result");
}
