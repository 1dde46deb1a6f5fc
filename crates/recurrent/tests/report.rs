//! `report`: a page of every task and of every state that a run can be in, which holds nothing that
//! is fetched or runs, and equal bytes for equal runs.

#[path = "support/markup.rs"]
mod markup;
#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/place.rs"]
mod place;
#[path = "support/tiny.rs"]
mod tiny;

use std::fs;

use markup::Markup;
use place::{Place, TRAIN, assert_one_line};
use recurrent_cells::CellKind;
use tiny::TASKS;

/// The page of a run, which is well-formed and stands alone.
#[track_caller]
fn page(place: &Place, run: &str) -> (String, Markup) {
    let said = place.done(&format!("report {run} --threads 1"));
    assert_eq!(said.trim(), format!("{run}/report.html"));
    let page = String::from_utf8(place.read(&format!("{run}/report.html"))).unwrap();
    let markup = Markup::of(&page);
    markup.assert_alone(&page);
    assert!(!page.contains("NaN") && !page.contains("inf "), "a number that is none");
    (page, markup)
}

/// The sections that a task has beside those of all.
fn own_sections(task: &str) -> &'static [&'static str] {
    match task {
        "language-model" => &["lag", "gates", "units", "written"],
        "classify" | "tag" => &["confusion", "examples", "gates", "units"],
        "translate" => &["attention", "examples"],
        "forecast" => &["forecasts"],
        "conditional-text" => &["written"],
        "caption" => &["pictures"],
        _ => &["pictures", "confusion"],
    }
}

#[test]
fn every_task_has_a_page_that_stands_alone_and_is_the_same_at_any_number_of_threads() {
    for tiny in &TASKS {
        let place = tiny.place();
        place.done(&tiny.train("--epochs 2 --out run"));
        let (page, markup) = page(&place, "run");
        let ids: Vec<&str> = markup.values("id").collect();
        for section in ["figures", "loss", "again"].iter().chain(own_sections(tiny.task)) {
            assert!(ids.contains(section), "{}: no {section} in {ids:?}", tiny.task);
        }
        assert!(!markup.text.contains("Cannot be shown"), "{}: {}", tiny.task, markup.text);
        place.done("report run --threads 2 --out other.html");
        assert!(place.read("other.html") == page.as_bytes(), "{}: threads change it", tiny.task);
    }
}

#[test]
fn equal_runs_have_equal_pages() {
    let place = Place::new();
    for run in ["one", "two"] {
        place.done(&format!("{TRAIN} --epochs 1 --out {run}"));
    }
    assert!(page(&place, "one").0 == page(&place, "two").0);
}

#[test]
fn every_cell_has_a_page_and_those_with_gates_show_them() {
    let place = Place::new();
    for cell in CellKind::NAMED {
        let gates = match cell {
            CellKind::Lstm | CellKind::LayerNormLstm => 3,
            CellKind::Gru => 2,
            _ => 0,
        };
        let cell = cell.name();
        place.done(&format!("{TRAIN} --cell {cell} --steps 5 --out {cell}"));
        let (_, markup) = page(&place, cell);
        assert!(markup.values("id").any(|id| id == "units"), "{cell}");
        let maps = markup.values("aria-label").filter(|label| label.contains(" gate ")).count();
        assert_eq!(maps, gates, "{cell}");
    }
}

/// Labels, columns and texts that would be markup.
#[test]
fn hostile_data_stay_text() {
    const EVIL: &str = "<script>alert('1')</script>";
    let place = Place::new();
    let mut table = String::from("text\tlabel\n");
    let mut sentences = String::new();
    let mut numbers = format!("{EVIL},\"\"\"><img src=x onerror=y>\"\n");
    for at in 0..60 {
        let label = [EVIL, "\"><b>", "a&b"][at % 3];
        table.push_str(&format!("</td>{EVIL} word{} &lt; <!--\t{label}\n", at % 7));
        sentences.push_str(&format!("{EVIL}\t{label}\nword{at}\t</p>\n\n"));
        numbers.push_str(&format!("{},{}\n", at * at % 13, at % 5));
    }
    place.write("table.tsv", table);
    place.write("sentences.txt", sentences);
    place.write("numbers.csv", numbers);
    place.write("text.txt", format!("{EVIL}&amp;</svg>\n").repeat(200));
    let small = "--hidden-size 4 --epochs 2 --batch-size 8";
    for (task, more) in [
        ("classify", "--data table.tsv"),
        ("tag", "--data sentences.txt"),
        ("forecast", "--data numbers.csv --window 5 --horizon 4"),
        ("language-model", "--data text.txt --tokens word --sequence-length 8"),
    ] {
        place.done(&format!("train {task} {small} {more} --out {task}"));
        let (page, markup) = page(&place, task);
        assert!(!page.contains("<script"), "{task}");
        assert!(markup.text.contains("script&gt;") || markup.text.contains("script"), "{task}");
    }
}

/// A run that was stopped in its first epoch, and one in its second.
#[test]
fn an_unfinished_run_has_a_page() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 2 --checkpoint-every 1 --keep-last 10000 --out whole"));
    let last = place.checkpoints("whole").len() as u64;
    for (step, run) in [(3, "early"), (last - 1, "late")] {
        place.copy_at(step, run);
        let text = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).unwrap();
        let of_step = |line: &&str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["step"].as_u64().unwrap() <= step
        };
        let kept: String = text.lines().filter(of_step).map(|line| format!("{line}\n")).collect();
        place.write(&format!("{run}/metrics.jsonl"), kept);
        let (_, markup) = page(&place, run);
        assert!(markup.text.contains(&format!("{step} of {last} steps")), "{}", markup.text);
        assert!(markup.text.contains("newest model"), "{}", markup.text);
    }
}

#[test]
fn metrics_that_are_lost_or_torn_are_told_and_hold_up_nothing() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 2 --out run"));
    let whole = place.read("run/metrics.jsonl");
    place.write("run/metrics.jsonl", &whole[..whole.len() - 30]);
    page(&place, "run");
    place.write("run/metrics.jsonl", "\u{0}\u{FFFD}<b>\n[]\n");
    let (_, markup) = page(&place, "run");
    assert!(markup.text.contains("2 lines of metrics.jsonl cannot be read"));
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    let (_, markup) = page(&place, "run");
    assert!(markup.text.contains("metrics.jsonl cannot be read"), "{}", markup.text);
    // The checkpoint has kept both held-out losses.
    assert!(markup.text.contains("those that the checkpoint keeps"), "{}", markup.text);
}

#[test]
fn a_run_that_saved_nothing_shows_what_it_measured() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 2 --out run"));
    for name in place.checkpoints("run").into_iter().chain(["best.ckpt".into()]) {
        fs::remove_file(place.path(&format!("run/{name}"))).unwrap();
    }
    let (_, markup) = page(&place, "run");
    assert!(markup.text.contains("No checkpoint has been saved yet"), "{}", markup.text);
    assert!(markup.text.contains("LSTM, one layer of 8 units"), "{}", markup.text);
    assert!(markup.values("id").any(|id| id == "loss"));
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    let ended = place.run("report run");
    assert_eq!(ended.code, Some(1));
    assert_one_line(&ended.stderr, "nothing has been saved yet");
}

#[test]
fn data_that_changed_are_not_taken_for_held_out_ones() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let (_, before) = page(&place, "run");
    assert!(before.values("id").any(|id| id == "gates"));
    place.write("text.txt", place::text(9_000));
    let ended = place.run("report run");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("not those that the run was trained on"), "{}", ended.stderr);
    let after = Markup::of(&String::from_utf8(place.read("run/report.html")).unwrap());
    let ids: Vec<&str> = after.values("id").collect();
    assert!(ids.contains(&"loss") && !ids.contains(&"gates"), "{ids:?}");
    assert!(after.text.contains("Nothing is shown that needs the run&#39;s data"));
}

#[test]
fn a_place_that_is_taken_is_refused_and_a_report_replaced() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --steps 2 --out run"));
    let best = place.read("run/best.ckpt");
    fs::create_dir(place.path("folder")).unwrap();
    for (out, reason) in [
        ("run/best.ckpt", "something else than a report"),
        ("text.txt", "something else than a report"),
        ("folder", "is a folder"),
        ("nowhere/page.html", "there is no such folder"),
        ("text.txt/page.html", "there is no such folder"),
    ] {
        let ended = place.run(&format!("report run --out {out}"));
        assert_eq!(ended.code, Some(1), "{out}");
        assert_one_line(&ended.stderr, reason);
    }
    assert!(place.read("run/best.ckpt") == best);
    place.done("report run --out page.html");
    place.done("report run --out page.html");
    // A new run in the folder does not keep the old one's page.
    place.done("report run");
    place.done(&format!("{TRAIN} --steps 3 --out run --force"));
    assert!(!place.path("run/report.html").exists());
    let ended = place.run("report text.txt");
    assert_eq!(ended.code, Some(1));
    assert_one_line(&ended.stderr, "is a file");
}

/// Numbers that are none are no reason to have no page: it says where they came from.
#[test]
fn a_run_that_exploded_has_a_page() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let lines = [
        r#"{"event":"step","step":50,"epoch":1,"loss":2.0,"learning_rate":0.1,"gradient_norm":1.0,"clipped":false}"#,
        r#"{"event":"step","step":100,"epoch":1,"loss":null,"learning_rate":0.1,"gradient_norm":null,"clipped":true}"#,
        r#"{"event":"epoch","step":110,"epoch":1,"train_loss":null,"held_out":{"loss":null},"averaged":false}"#,
        r#"{"event":"gradients","step":100,"unknown":[1,2]}"#,
    ];
    place.write("run/metrics.jsonl", lines.map(|line| format!("{line}\n")).concat());
    let (_, markup) = page(&place, "run");
    assert!(markup.text.contains("It exploded: the norm was no number at step 100"));
    assert!(markup.text.contains("No held-out loss was a number"), "{}", markup.text);
}

/// A network without bounds, and a rate that rises until it explodes, in its first epoch.
const EXPLODING: &str = "train language-model --data text.txt --hidden-size 8 --batch-size 8 \
                         --sequence-length 16 --cell rnn-relu --optimizer sgd --clip-norm none \
                         --learning-rate 100 --warm-up 50 --epochs 1 --quiet";

#[test]
fn a_run_that_ended_before_anything_was_saved_shows_where() {
    let place = Place::new();
    let ended = place.run(&format!("{EXPLODING} --watch-gradients 3 --out run"));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_one_line(&ended.stderr, "`recurrent report run` shows the steps before it");
    assert!(place.checkpoints("run").is_empty());
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let failure: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(failure["event"], "failure");
    let step = failure["step"].as_u64().unwrap();
    let before = failure["before"].as_array().unwrap();
    assert_eq!(before.len() as u64, (step - 1).min(50), "every one of the last steps");
    assert_eq!(before.last().unwrap()["step"], step - 1);
    assert!(ended.stderr.contains(failure["reason"].as_str().unwrap()), "{}", ended.stderr);

    let (_, markup) = page(&place, "run");
    let ids: Vec<&str> = markup.values("id").collect();
    assert!(ids.contains(&"failure"), "{ids:?}");
    let text = &markup.text;
    assert!(text.contains(&format!("The run ended at step {step} before a checkpoint")), "{text}");
    assert!(text.contains("Nothing had been saved by then"), "{text}");
    assert!(text.contains("the last that was watched"), "{text}");
    // What a watched step saw is no part of the training: the same run without it has the same end.
    place.run(&format!("{EXPLODING} --out other"));
    let other = String::from_utf8(place.read("other/metrics.jsonl")).unwrap();
    assert_eq!(other.lines().last(), metrics.lines().last());
}

#[test]
fn a_run_that_ended_after_a_save_shows_where_and_goes_on_from_there() {
    let place = Place::new();
    let ended = place.run(&format!("{EXPLODING} --checkpoint-every 1 --out run"));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let last = place.checkpoints("run").len();
    assert!(last > 0 && ended.stderr.contains("is kept"), "{}", ended.stderr);
    let (_, markup) = page(&place, "run");
    assert!(markup.values("id").any(|id| id == "failure"));
    assert!(markup.text.contains("is kept."), "{}", markup.text);
    // Tried again it ends again, and its end is in the log once.
    assert_eq!(place.run("resume run").code, Some(1));
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"event\":\"failure\"").count(), 1, "{metrics}");
}

#[test]
fn charts_are_files_of_their_own_and_nothing_else_is_replaced() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    place.done("report run --svg charts");
    place.done("report run --svg charts");
    let chart = String::from_utf8(place.read("charts/loss-1.svg")).unwrap();
    let beginning = "<!-- recurrent chart -->\n<svg xmlns=\"http://www.w3.org/2000/svg\" role=";
    assert!(chart.starts_with(beginning) && chart.ends_with("</svg>\n"), "{chart}");
    Markup::of(chart.split_once('\n').unwrap().1);
    place.write("charts/loss-1.svg", "<svg>mine</svg>");
    let ended = place.run("report run --svg charts");
    assert_eq!(ended.code, Some(1));
    assert_one_line(&ended.stderr, "something else than a chart");
    let ended = place.run("report run --svg text.txt");
    assert_one_line(&ended.stderr, "--svg names a folder");
}
