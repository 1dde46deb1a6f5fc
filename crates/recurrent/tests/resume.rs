//! A run that is stopped after any step and goes on in a new process writes the bytes of a run that
//! was never stopped: every task, cell, optimiser and number of threads, at three places of a run.

#![cfg(all(feature = "cli", unix))]

#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/place.rs"]
mod place;
#[path = "support/tiny.rs"]
mod tiny;

use std::{fs, io::Write, time::Instant};

use place::{ALL, NEWEST, Place};
use serde_json::Value;
use tiny::{TASKS, Tiny};

const CELLS: [&str; 3] = ["rnn-tanh", "lstm", "gru"];
const OPTIMIZERS: [&str; 5] = [
    "--optimizer sgd --momentum 0.9 --nesterov --weight-decay 0.0001 --learning-rate 0.05",
    "--optimizer adam --weight-decay 0.0001 --learning-rate 0.02",
    "--optimizer nt-asgd --average-after 0 --learning-rate 1",
    "--optimizer adamw --learning-rate 0.02",
    "--optimizer rmsprop --momentum 0.5 --learning-rate 0.003",
];
/// So fast that the second epoch is worse than the first: from there on there is an average.
const AVERAGING: &str = "--optimizer nt-asgd --average-after 0 --learning-rate 30";
/// So fast that two epochs after the second are no better: patience ends the run after four of five.
const WORSENING: &str = "--optimizer adam --learning-rate 0.5";
/// Windows begin in the middle of the one before.
const TRUNCATED: &str = "lstm --backward-steps 41 --document-end .\\n --stream";
const EPOCHS: u64 = 5;
const SCHEDULES: [&str; 4] = [
    "--schedule cosine --warm-up 7",
    "--schedule plateau --plateau-patience 0 --decay 0.7 --warm-up 20",
    "--schedule step --decay 0.5 --decay-every 1 --warm-up 7",
    "--schedule exponential --decay 0.8 --warm-up 25",
];
const LIMITS: [&str; 2] = ["--clip-norm 1", "--clip-norm 0.5 --clip-value 0.05"];

/// Where a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    /// After its first step.
    First,
    /// In the middle of its second epoch.
    Middle,
    /// At the end of its second epoch.
    End,
    /// In the middle of its third epoch, when there may be an average of some steps.
    Later,
}

const STOPS: [Stop; 3] = [Stop::First, Stop::Middle, Stop::End];

impl Stop {
    fn step(self, steps_per_epoch: u64) -> u64 {
        match self {
            Stop::First => 1,
            Stop::Middle => steps_per_epoch + steps_per_epoch / 2,
            Stop::End => 2 * steps_per_epoch,
            Stop::Later => 2 * steps_per_epoch + steps_per_epoch / 2,
        }
    }
}

/// An epoch as `metrics.jsonl` has it.
struct Epoch {
    step: u64,
    loss: f64,
    averaged: bool,
}

fn epochs(place: &Place, run: &str) -> Vec<Epoch> {
    let metrics = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == "epoch")
        .map(|line| Epoch {
            step: line["step"].as_u64().unwrap(),
            loss: line["held_out"]["loss"].as_f64().unwrap(),
            averaged: line["averaged"] == true,
        })
        .collect()
}

/// The step of the best of these epochs, the first of equal ones.
fn best(epochs: &[Epoch]) -> Option<u64> {
    epochs
        .iter()
        .reduce(|best, next| if next.loss < best.loss { next } else { best })
        .map(|epoch| epoch.step)
}

fn checkpoint(step: u64) -> String {
    format!("step-{step:09}.ckpt")
}

/// The run `whole`, which kept every step, as it was after `step`; with `best` as its best.
fn copy_at(place: &Place, run: &str, step: u64, best: Option<u64>) {
    let _ = fs::remove_dir_all(place.path(run));
    fs::create_dir(place.path(run)).unwrap();
    for file in ["metrics.jsonl", &checkpoint(step)] {
        place.write(&format!("{run}/{file}"), place.read(&format!("whole/{file}")));
    }
    // That it saves less often now, and on another number of threads, changes no bit.
    let config = String::from_utf8(place.read("whole/config.toml")).unwrap();
    assert!(config.contains("checkpoint-every = 1\n"), "{config}");
    let config = config.replace("checkpoint-every = 1\n", "checkpoint-every = 1000\n");
    place.write(&format!("{run}/config.toml"), config);
    if let Some(best) = best {
        place
            .write(&format!("{run}/best.ckpt"), place.read(&format!("whole/{}", checkpoint(best))));
    }
}

/// What of the grid was seen.
#[derive(Default)]
struct Seen {
    runs: usize,
    resumed: usize,
    averaged: usize,
    ended_early: usize,
    changed_rate: usize,
}

/// Trains once to the end, and from each place on again.
fn holds(
    tiny: &Tiny,
    (cell, optimizer, variant): (&str, &str, usize),
    stops: impl IntoIterator<Item = (Stop, usize)>,
    seen: &mut Seen,
) {
    let place = tiny.place();
    let options = format!(
        "--cell {} {} {} {} --epochs {EPOCHS} --patience 2 --watch-gradients 3",
        cell,
        optimizer,
        SCHEDULES[variant % SCHEDULES.len()],
        LIMITS[variant / SCHEDULES.len() % LIMITS.len()],
    );
    let train = tiny.train(&options);
    let whole = place.run(&format!("{train} --threads 1 --out whole"));
    assert_eq!(whole.code, Some(0), "{train}: {}", whole.stderr);
    let epochs = epochs(&place, "whole");
    let steps_per_epoch = epochs[0].step;
    let last = epochs.last().unwrap().step;
    assert!(epochs.len() >= 3 && steps_per_epoch >= 10, "{train}: {}", whole.stderr);
    let best_file = checkpoint(best(&epochs).unwrap());
    assert!(
        place.read("whole/best.ckpt") == place.read(&format!("whole/{best_file}")),
        "{train}: the best is not {best_file}"
    );
    seen.runs += 1;
    // Then there is an average at [`Stop::Later`].
    seen.averaged += usize::from(epochs[2].averaged);
    seen.ended_early += usize::from(last < EPOCHS * steps_per_epoch);
    seen.changed_rate += usize::from(whole.stderr.contains("the learning rate drops"));

    for (stop, threads) in stops {
        let step = stop.step(steps_per_epoch);
        let over = epochs.iter().take_while(|epoch| epoch.step <= step).count();
        copy_at(&place, "run", step, best(&epochs[..over]));
        let resumed = place.run(&format!("resume run --threads {threads}"));
        assert_eq!(resumed.code, Some(0), "{train}, {stop:?}: {}", resumed.stderr);
        let after = format!("goes on after step {step}\n");
        assert!(resumed.stderr.contains(&after), "{train}, {stop:?}: {}", resumed.stderr);
        for file in ALL {
            let (whole, run) = (place.read_of_run("whole", file), place.read_of_run("run", file));
            assert!(whole == run, "{train}, {stop:?}, {threads} threads: {file} is another");
        }
        assert!(place.newest("run").ends_with(&checkpoint(last)));
        seen.resumed += 1;
    }
    let verified = place.done(&format!("resume whole --verify {}", steps_per_epoch + 3));
    assert!(verified.contains("has the same bits"), "{train}: {verified}");
}

fn tell(what: &str, seen: &Seen, began: Instant) {
    let Seen { runs, resumed, averaged, ended_early, changed_rate } = seen;
    let line = format!(
        "{what}: {runs} runs ({averaged} averaged, {ended_early} ended early, {changed_rate} \
         dropped their rate), {resumed} resumed and {runs} replayed in {:.1} s\n",
        began.elapsed().as_secs_f64()
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Every task, and over the tasks every pair of cell, optimiser, threads and place.
#[test]
fn every_task_goes_on_to_the_same_bytes() {
    let (began, mut seen, mut met) = (Instant::now(), Seen::default(), vec![]);
    for (number, tiny) in TASKS.iter().enumerate() {
        let (cell, optimizer) = (number % 3, number % 2);
        let stops =
            STOPS.into_iter().enumerate().map(|(at, stop)| (stop, 1 + (number / 2 + at) % 2));
        for (stop, threads) in stops.clone() {
            met.push([cell, optimizer, threads, stop as usize]);
        }
        holds(tiny, (CELLS[cell], OPTIMIZERS[optimizer], number), stops, &mut seen);
    }
    holds(
        &TASKS[0],
        ("lstm", AVERAGING, 3),
        [(Stop::Middle, 2), (Stop::End, 1), (Stop::Later, 2)],
        &mut seen,
    );
    holds(&TASKS[1], ("lstm", WORSENING, 2), [(Stop::Middle, 2), (Stop::Later, 1)], &mut seen);
    // More steps back than between updates, documents, and a text on disk.
    holds(
        &TASKS[0],
        (TRUNCATED, OPTIMIZERS[1], 1),
        [(Stop::First, 2), (Stop::Middle, 1), (Stop::End, 2), (Stop::Later, 1)],
        &mut seen,
    );
    tell("the short grid", &seen, began);
    for (left, right) in (0..4).flat_map(|left| (0..left).map(move |right| (left, right))) {
        let mut pairs: Vec<_> = met.iter().map(|case| (case[left], case[right])).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let of = [3, 2, 2, 3];
        assert_eq!(pairs.len(), of[left] * of[right], "settings {left} and {right}: {pairs:?}");
    }
    // Else what follows from held-out losses was not lost because there was none of it.
    let Seen { averaged, ended_early, changed_rate, .. } = seen;
    let what = format!("{averaged} averaged, {ended_early} ended early, {changed_rate} rates");
    assert!(averaged > 0 && ended_early > 0 && changed_rate > 0, "{what}");
}

/// All of it.
#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn every_task_goes_on_to_the_same_bytes_whatever_the_settings() {
    let (began, mut seen) = (Instant::now(), Seen::default());
    for (number, tiny) in TASKS.iter().enumerate() {
        for (variant, cell) in CELLS.into_iter().enumerate() {
            for (more, optimizer) in OPTIMIZERS.into_iter().enumerate() {
                let stops =
                    STOPS.into_iter().chain([Stop::Later]).flat_map(|stop| [(stop, 1), (stop, 2)]);
                holds(tiny, (cell, optimizer, number + variant + more), stops, &mut seen);
            }
        }
    }
    tell("the whole grid", &seen, began);
}

/// A run that was stopped between the two renamings of a save that is the best has a best state of
/// a later step than its newest one.
#[test]
fn a_best_of_a_later_step_is_made_again() {
    let place = TASKS[2].place();
    place.done(&TASKS[2].train("--epochs 3 --learning-rate 0.02 --out whole"));
    let epochs = epochs(&place, "whole");
    let end = epochs[1].step;
    assert_eq!(best(&epochs[..2]), Some(end), "the second epoch is no better");
    copy_at(&place, "run", end - 1, Some(end));
    place.done("resume run");
    place.assert_equal_runs("whole", "run", &ALL);
}

/// Without the best state, which somebody removed, the next epoch's takes its place, and the run is
/// the same otherwise.
#[test]
fn a_best_that_is_gone_changes_nothing_else() {
    let place = TASKS[1].place();
    place.done(&TASKS[1].train("--epochs 4 --learning-rate 0.05 --out whole"));
    let epochs = epochs(&place, "whole");
    for over in 1..epochs.len() {
        copy_at(&place, "run", epochs[over - 1].step, None);
        place.done("resume run");
        place.assert_equal_runs("whole", "run", &[NEWEST, "metrics.jsonl"]);
        let whole = best(&epochs).unwrap();
        // A later one that is better than all before, or else the first that came.
        let later =
            (over..epochs.len()).rev().find(|&at| best(&epochs[..=at]) == Some(epochs[at].step));
        let expected = checkpoint(epochs[later.unwrap_or(over)].step);
        assert!(later.is_none() || expected == checkpoint(whole));
        assert!(
            place.read("run/best.ckpt") == place.read(&format!("whole/{expected}")),
            "after {over} epochs the best is not {expected}"
        );
    }
}
