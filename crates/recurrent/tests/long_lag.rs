//! `long-lag` as a person meets it: tiny lags are solved, what is there is not run again, the same
//! figures at any number of threads, and clear lines for what is wrong.

#![cfg(feature = "cli")]

#[path = "support/place.rs"]
mod place;

use place::{Place, assert_one_line};
use serde_json::Value;

/// Every line of the table as an object.
fn table(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tiny_lags_are_solved() {
    let place = Place::new();
    for task in [
        "embedded-reber --cells lstm --sequences 30000",
        "noise-free --lag 4 --cells lstm-forget-1 --sequences 10000",
        "two-sequence --lag 8 --cells gru-chrono --sequences 20000",
        "adding --lag 20 --cells gru-chrono --sequences 60000",
        "temporal-order --lag 10 --cells gru-chrono --sequences 60000",
    ] {
        let shown = place.done(&format!("long-lag {task} --seeds 1 --json --threads 1"));
        let [row] = &table(&shown)[..] else { panic!("{shown}") };
        assert_eq!((&row["solved"], &row["seeds"]), (&1.into(), &1.into()), "{row}");
        assert!(row["wrong"].as_u64().unwrap() < 150, "it holds on new sequences: {row}");
        assert_eq!(row["tested"], 2560);
        let [median, least, most] = [0, 1, 2].map(|k| row["sequences"][k].as_u64().unwrap());
        assert!(median == least && median == most && median > 0, "{row}");
    }
}

/// A budget that ends between two looks is judged once more: solved or not, with an error.
#[test]
fn a_run_is_judged_at_its_end() {
    let place = Place::new();
    let row = |options: &str| {
        let shown = place.done(&format!("long-lag {options} --seeds 1 --json"));
        table(&shown).remove(0)
    };
    let short = row("two-sequence --lag 20 --cells gru --sequences 300");
    assert!(short["error"].as_f64().unwrap() > 0.2, "{short}");
    // Looked at after 100, 200, ... it is solved a little later than it could be.
    let tiny = "noise-free --lag 4 --cells lstm-forget-1 --sequences";
    let usual = row(&format!("{tiny} 10000"))["sequences"][0].as_u64().unwrap();
    let early = row(&format!("{tiny} {}", usual - 1));
    assert_eq!(early["sequences"][0], usual - 1, "{early}");
}

/// The class is decided by what was seen before the last step, so a cell that cannot learn, with a rate
/// of nothing, must fail: the criteria let nobody through.
#[test]
fn nothing_learnt_is_nothing_solved() {
    let place = Place::new();
    let fixed = "--cells gru --seeds 1 --json --learning-rate 0 --sequences 3000";
    for task in ["embedded-reber", "noise-free", "two-sequence", "adding", "multiplication"]
        .iter()
        .chain(&["temporal-order", "temporal-order-3", "copy-memory"])
    {
        let lag = if *task == "embedded-reber" { "" } else { "--lag 20" };
        let rows = table(&place.done(&format!("long-lag {task} {lag} {fixed}")));
        assert_eq!((&rows[0]["solved"], &rows[0]["sequences"]), (&0.into(), &Value::Null));
        assert_eq!((&rows[0]["tested"], &rows[0]["budget"]), (&0.into(), &3000.into()));
        assert!(rows[0]["error"].as_f64().unwrap() > 0.04, "{}", rows[0]);
    }
}

const SMALL: &str = "long-lag adding --lag 20 --cells lstm-chrono,rnn-tanh --sequences 4000 \
                     --seeds 3";

#[test]
fn what_is_there_is_not_run_again_and_threads_change_no_figure() {
    let place = Place::new();
    let whole = place.done(&format!("{SMALL} --out whole --json --threads 2"));
    assert_eq!(whole, place.done(&format!("{SMALL} --json --threads 1")));

    // Half of the results, and a line that was being written.
    let lines = String::from_utf8(place.read("whole/results.jsonl")).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 6);
    std::fs::create_dir(place.path("half")).unwrap();
    place.write("half/results.jsonl", format!("{}\n{}", lines[..3].join("\n"), &lines[3][..40]));
    let resumed = place.run(&format!("{SMALL} --out half --json"));
    assert_eq!((resumed.code, &resumed.stdout), (Some(0), &whole), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("3 of 6 runs are there already"), "{}", resumed.stderr);
    let sorted = |name: &str| {
        let lines = String::from_utf8(place.read(name)).unwrap();
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("half/results.jsonl"), sorted("whole/results.jsonl"));

    // Nothing is left to do; another rate is another run.
    let before = place.read("half/results.jsonl");
    assert_eq!(place.done(&format!("{SMALL} --out half --json")), whole);
    assert_eq!(place.read("half/results.jsonl"), before);
    let other = SMALL.replace("--sequences 4000", "--sequences 2000");
    assert_ne!(other, SMALL);
    place.done(&format!("{other} --out half --learning-rate 0.02"));
    assert_eq!(sorted("half/results.jsonl").len(), 12);
}

#[test]
fn a_table_is_shown_with_what_papers_report() {
    let place = Place::new();
    let shown = place.done("long-lag adding --lag 100 --cell rnn-tanh --seeds 1 --sequences 2000");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "adding, lag 100");
    assert!(lines[1].contains("LSTM, 93 weights: 74,000 sequences"), "{shown}");
    assert!(lines[3].contains("rnn-tanh") && lines[3].contains("not within 2,000"), "{shown}");
    let shown =
        place.done("long-lag adding --lag 30 --cell lstm --init xavier --seeds 1 --sequences 2000");
    assert!(shown.contains("lstm --init xavier "), "{shown}");
    let shown = place.done(
        "long-lag adding --lag 30 --cell rnn-identity --seeds 1 --sequences 4000 --optimizer sgd \
         --learning-rate 1e30 --clip-norm none",
    );
    assert!(shown.contains("0/1") && shown.contains(" 1 after "), "{shown}");
    let head = shown.lines().find(|line| line.contains("then wrong")).unwrap();
    let row = shown.lines().last().unwrap();
    assert_eq!(head.find("exploded"), row.find("1 after "), "{shown}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    let runs =
        "long-lag adding --lag 100 --cells rnn-tanh --seeds 2000 --sequences 2000 --out kept";
    let mut command = place.command(runs);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let results = place.path("kept/results.jsonl");
    while !std::fs::read_to_string(&results).is_ok_and(|text| text.lines().count() > 2) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("--out kept goes on"), "{said}");
    let kept = place.read("kept/results.jsonl");
    assert!(kept.ends_with(b"\n"));
    assert!(String::from_utf8(ended.stdout).unwrap().contains("rnn-tanh"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    for (arguments, part) in [
        ("adding --lag 19", "the lag of adding must be at least 20"),
        ("embedded-reber --lag 5", "must be left out"),
        ("pixels --lag 50", "a square number"),
        ("adding --cells lstn", "--cells lstn: there are lstm, "),
        ("adding --cells lstm,gru,lstm", "--cells lstm: it is there twice"),
        (
            "adding --cells lstm,rnn-tanh --zoneout-cell 0.1",
            "adding, rnn-tanh --zoneout-cell 0.1: zoneout of c is for cells that have one",
        ),
        ("adding --sequences 1999", "judged by its 2,000 most recent sequences"),
        ("adding --bidirectional", "--bidirectional: the suite asks what is remembered"),
        ("adding --dropout 0.2", "--dropout: it acts between layers, and there is one"),
        ("adding --optimizer nt-asgd", "--optimizer nt-asgd: it averages once held-out losses"),
        ("adding --epochs 3", "--epochs: long-lag has no such option"),
        ("adding --cell gru --forget-bias 1", "--forget-bias: a gru has no forget gate"),
        ("adding --hidden-size 0", "hidden size must be at least 1"),
        ("adding --batch-size 0", "the batch size must be at least 1"),
        ("adding --first-seed 18446744073709551615", "--first-seed"),
        ("adding --threads 0", "--threads"),
        ("--lag 30", "<TASK>"),
        ("nothing", "'nothing'"),
    ] {
        let refused = place.run(&format!("long-lag {arguments}"));
        assert_eq!(refused.code, Some(2), "{arguments}: {}", refused.stderr);
        assert!(refused.stderr.contains(part), "{arguments}: {}", refused.stderr);
    }
    let help = place.done("long-lag --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "lstm-chrono-weight-drop, layer-norm-lstm,",
        "layer-norm-lstm [default: what --cells says]",
        "the shortest sequence; what is bridged is T/2",
        "eight variants and twenty seeds",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    std::fs::create_dir(place.path("kept")).unwrap();
    place.write("kept/results.jsonl", "{\"run\": 1}\n");
    let refused = place.run(&format!("{SMALL} --out kept"));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert_one_line(&refused.stderr, "results.jsonl, line 1: no result of this version");
}
