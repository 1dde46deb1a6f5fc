//! Runs that meet damage, lost files, refusing disks and other programs' folders.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use std::fs;

use place::{ALL, NEWEST, Place, TRAIN, assert_one_line};

#[test]
fn a_run_goes_on_from_the_newest_whole_checkpoint_to_the_same_bytes() {
    let place = Place::new();
    let train = format!("{TRAIN} --dropout 0.3 --num-layers 2 --checkpoint-every 10 --keep-last 4");
    place.done(&format!("{train} --epochs 3 --out whole"));
    place.done(&format!("{train} --epochs 2 --out run"));
    // Steps 90, 100, 110 and 114, at the end of the second epoch, which is also the best.
    place.damage("run/step-000000114.ckpt");
    place.damage("run/best.ckpt");
    fs::write(place.path("run/step-000000110.ckpt"), "").unwrap();
    let resumed = place.run("resume run --epochs 3");
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let told: Vec<&str> = resumed.stderr.lines().take(4).collect();
    assert!(
        told[0].starts_with("warning: run/step-000000114.ckpt: damaged: section `"),
        "{told:?}"
    );
    assert!(told[1].starts_with("warning: run/best.ckpt: damaged"), "{told:?}");
    assert!(
        told[2].starts_with("warning: run/step-000000110.ckpt: not a recurrent checkpoint (it is"),
        "{told:?}"
    );
    assert_eq!(told[3], "warning: run/step-000000100.ckpt is used instead, of step 100");
    assert!(resumed.stderr.contains("goes on after step 100\n"), "{}", resumed.stderr);
    place.assert_equal_runs("whole", "run", &ALL);
    // What was damaged and is passed does not count among the four that are kept.
    let kept = ["150", "160", "170", "171"].map(|step| format!("step-000000{step}.ckpt"));
    assert_eq!(place.checkpoints("run"), kept);
}

#[test]
fn a_damaged_best_checkpoint_gives_way_to_the_newest_and_is_named() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let whole = place.done("evaluate run --json");
    place.damage("run/best.ckpt");
    for command in ["evaluate run --json --quiet", "generate run --length 5"] {
        let ended = place.run(command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("warning: run/best.ckpt: damaged"), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("warning: run/step-000000057.ckpt is used instead, of step 57"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(place.done("evaluate run --json"), whole);
}

#[test]
fn checkpoints_are_kept_as_many_as_asked_for() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --checkpoint-every 7 --keep-last 2 --out run"));
    let mut names: Vec<String> = fs::read_dir(place.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "best.ckpt",
            "config.toml",
            "metrics.jsonl",
            "step-000000056.ckpt",
            "step-000000057.ckpt",
            "writer.lock"
        ]
    );
}

#[test]
fn a_run_that_saved_nothing_makes_way_without_force() {
    let place = Place::new();
    // Its loss explodes before the first save.
    let ended = place.run(&format!("{} --out run", TRAIN.replace("0.01", "1e9")));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(place.path("run/config.toml").exists());
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let refused = place.run(&format!("{TRAIN} --epochs 1 --out run"));
    assert_one_line(&refused.stderr, "run: there is a run already");
}

#[test]
fn the_options_of_another_program_are_not_taken_for_a_run_that_saved_nothing() {
    let place = Place::new();
    fs::create_dir(place.path("app")).unwrap();
    for config in ["port = 80\n", "task = \"detection\"\nlr = 3\n", "no toml", ""] {
        place.write("app/config.toml", config);
        for force in ["", "--force"] {
            let refused = place.run(&format!("{TRAIN} --epochs 1 --out app {force}"));
            assert_eq!(refused.code, Some(1), "{}", refused.stderr);
            assert_one_line(&refused.stderr, "its config.toml is not that of a run");
        }
        assert_eq!(place.read("app/config.toml"), config.as_bytes());
        assert_eq!(fs::read_dir(place.path("app")).unwrap().count(), 1, "something was written");
    }
    // Nor are checkpoints of others, with options of their own or without.
    for with_config in [true, false] {
        place.write("app/best.ckpt", "of another program");
        place.write("app/metrics.jsonl", "theirs");
        if !with_config {
            fs::remove_file(place.path("app/config.toml")).unwrap();
        }
        let refused = place.run(&format!("{TRAIN} --epochs 1 --out app --force"));
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert_one_line(&refused.stderr, "so nothing is written there");
        assert_eq!(place.read("app/best.ckpt"), b"of another program");
        assert_eq!(place.read("app/metrics.jsonl"), b"theirs");
    }
}

#[test]
fn what_a_file_says_of_itself_forges_no_line() {
    let place = Place::new();
    let mut hostile = recurrent_checkpoint::Checkpoint::new("good, 5 bytes, whole\n\u{1b}[31mx");
    hostile.metadata_mut().insert("a\nkey".into(), "a\nvalue".into());
    hostile.insert("a\nname", &[], [1_u64]);
    place.write("hostile.ckpt", hostile.to_bytes().unwrap());
    let shown = place.done("inspect hostile.ckpt");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

/// A folder where a checkpoint should be stands for a disk that refuses.
#[test]
fn a_save_that_fails_is_told_and_the_next_one_succeeds() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --checkpoint-every 10 --keep-last 20 --epochs 2 --out whole"));
    place.copy_at(10, "run");
    // In the middle of an epoch, and at its end, where the best is saved as well.
    fs::create_dir(place.path("run/step-000000030.ckpt")).unwrap();
    fs::create_dir(place.path("run/step-000000057.ckpt")).unwrap();
    let ended = place.run("resume run");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for step in ["step-000000030.ckpt", "step-000000057.ckpt"] {
        let refused = format!("warning: cannot save run/{step}: ");
        let told = ended.stderr.lines().find(|line| line.starts_with(&refused)).unwrap();
        assert!(told.ends_with("nothing was changed; the next save tries again"), "{told}");
    }
    place.assert_equal_runs("whole", "run", &ALL);
    let last = place.run("inspect run");
    assert!(last.stderr.contains("step-000000030.ckpt: not a regular file"), "{}", last.stderr);

    // What a killed save left and cannot be removed ends the start, before anything is changed.
    place.copy_at(10, "other");
    fs::create_dir(place.path("other/step-000000020.ckpt.saving")).unwrap();
    let files = || ["config.toml", "metrics.jsonl"].map(|file| place.read_of_run("other", file));
    let before = files();
    let ended = place.run("resume other --epochs 9");
    assert!(files() == before, "a refused resume changed a file");
    assert_one_line(
        &ended.stderr,
        "step-000000020.ckpt.saving, which a save that was stopped left",
    );
    // So does a best checkpoint of a newer version.
    fs::remove_dir(place.path("other/step-000000020.ckpt.saving")).unwrap();
    let mut newer = place.read("whole/best.ckpt");
    newer[8] = 2;
    place.write("other/best.ckpt", newer);
    let ended = place.run("resume other --epochs 9");
    assert!(files() == before, "a refused resume changed a file");
    assert_one_line(&ended.stderr, "other/best.ckpt: made by a newer version");
}

#[test]
fn a_last_save_that_fails_is_an_error() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --checkpoint-every 10 --keep-last 9 --epochs 1 --out whole"));
    place.copy_at(30, "run");
    fs::create_dir(place.path("run/step-000000057.ckpt")).unwrap();
    let ended = place.run("resume run");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("cannot save").count(), 1, "{}", ended.stderr);
    let error = ended.stderr.lines().last().unwrap();
    assert!(error.starts_with("error: cannot save run/step-000000057.ckpt: "), "{error}");
    assert!(error.contains("the run is saved up to step 50: with the cause mended, "), "{error}");
    fs::remove_dir(place.path("run/step-000000057.ckpt")).unwrap();
    place.done("resume run");
    place.assert_equal_runs("whole", "run", &ALL);
}

/// A best loss whose model is lost is not the best any more: what is told is what is there.
#[test]
fn a_best_checkpoint_that_is_lost_is_told_and_followed_by_another() {
    let place = Place::new();
    // Nothing is learned, so that no epoch is better than the first.
    let train = TRAIN.replace("0.01", "1e-30");
    place.done(&format!("{train} --epochs 1 --out whole"));
    for damaged in [false, true] {
        place.copy_at(57, "run");
        if damaged {
            place.write("run/best.ckpt", "not a checkpoint");
        }
        let resumed = place.run("resume run --epochs 3");
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        let told = resumed.stderr.lines().next().unwrap();
        let fault = if damaged { "not a recurrent checkpoint" } else { "is not there any more" };
        assert!(told.starts_with("warning: run/best.ckpt: ") && told.contains(fault), "{told}");
        let best = place.done("inspect run/best.ckpt");
        assert!(best.contains("step: 114\n"), "{best}");
        // It is told where it is missing, and the next resume finds it.
        let resumed = place.run("resume run --epochs 4");
        assert!(!resumed.stderr.contains("warning"), "{}", resumed.stderr);
        fs::remove_dir_all(place.path("run")).unwrap();
    }
}

/// A run whose first epoch was its best, which is lost. What is kept as the best is then a matter of
/// the files alone: no bit of the training depends on it, and no kill changes which one it is.
#[test]
fn a_lost_best_changes_no_bit_of_the_training() {
    let place = Place::new();
    let train = "train classify --epochs 4 --hidden-size 16 --seed 1";
    place.done(&format!("{train} --keep-last 99 --checkpoint-every 100 --out whole --quiet"));
    let metrics = String::from_utf8(place.read("whole/metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|line| line["held_out"]["loss"].as_f64())
        .collect();
    let [first, second, third, fourth] = losses[..] else { panic!("{losses:?}") };
    assert!(first < third && third < second && third < fourth, "choose another seed: {losses:?}");

    place.copy_at(400, "lost");
    place.done("resume lost");
    // As it is after a kill between the renamings of the best and of the newest, at step 500.
    place.copy_at(400, "killed");
    place.write("killed/best.ckpt", place.read("whole/step-000000500.ckpt"));
    place.done("resume killed");
    for run in ["lost", "killed"] {
        let best = place.done(&format!("inspect {run}/best.ckpt"));
        assert!(best.contains("step: 750\n"), "{run}: {best}");
        place.assert_equal_runs("whole", run, &[NEWEST, "metrics.jsonl"]);
        let replayed = place.done(&format!("resume {run} --verify 600"));
        assert!(replayed.starts_with("verified: step 1,000, replayed from step 400"), "{replayed}");
    }
}

/// Lines were lost with their file, and the run went on, and then back to a checkpoint from before.
#[test]
fn metrics_that_were_lost_repeat_no_line() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --checkpoint-every 10 --keep-last 20 --epochs 2 --out whole"));
    place.copy_at(60, "run");
    place.write("run/step-000000050.ckpt", place.read("whole/step-000000050.ckpt"));
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    let resumed = place.run("resume run");
    assert!(resumed.stderr.contains("warning: metrics.jsonl lacks "), "{}", resumed.stderr);
    place.done("inspect run");
    for file in place.checkpoints("run").into_iter().skip(1).chain(["best.ckpt".into()]) {
        place.damage(&format!("run/{file}"));
    }
    let shown = place.run("inspect run");
    assert!(shown.stderr.contains("metrics.jsonl: the newest checkpoint counts on "), "{shown:?}");
    place.done("resume run");
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let events = ["\"epoch\",\"step\":57,", "\"step\",\"step\":100,", "\"epoch\",\"step\":114,"];
    assert_eq!(metrics.lines().count(), events.len(), "{metrics}");
    for (line, event) in metrics.lines().zip(events) {
        assert!(line.starts_with(&format!("{{\"event\":{event}")), "{metrics}");
    }
}

/// A resume that was asked for more and killed before it saved has left that in the options.
#[test]
fn what_a_resume_was_asked_for_is_taken_from_the_options() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --steps 30 --out run"));
    let options = String::from_utf8(place.read("run/config.toml")).unwrap();
    let asked = options.replace("epochs = 1\n", "epochs = 2\n").replace("steps = 30\n", "");
    assert_eq!(asked.len(), options.len() - "steps = 30\n".len(), "{options}");
    place.write("run/config.toml", asked);
    place.done("resume run");
    assert_eq!(place.newest("run"), "run/step-000000114.ckpt");
}

#[test]
fn a_start_that_is_refused_leaves_the_old_run_as_it_was() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    fs::remove_file(place.path("run/writer.lock")).unwrap();
    let refused = place.run(&format!("{TRAIN} --epochs 1 --out run"));
    assert_one_line(&refused.stderr, "run: there is a run already");
    assert!(!place.path("run/writer.lock").exists(), "a run that stays was changed");
}

#[test]
fn inspect_names_a_checkpoint_of_another_step_and_one_that_cannot_be_read() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    place.done(&format!("{TRAIN} --epochs 1 --out gone"));
    fs::remove_file(place.path("gone/best.ckpt")).unwrap();
    let shown = place.run("inspect gone");
    assert_one_line(&shown.stderr, "gone/best.ckpt: is not there any more");
    let used = place.run("evaluate gone --json");
    assert!(
        used.stderr.starts_with("warning: gone/best.ckpt: is not there any"),
        "{}",
        used.stderr
    );
    place.write("run/step-000000070.ckpt", place.read("run/step-000000057.ckpt"));
    place.write("run/step-000000080.ckpt", "no checkpoint");
    let shown = place.run("inspect run --json");
    assert_eq!(shown.code, Some(1), "{}", shown.stderr);
    assert_one_line(&shown.stderr, "step-000000070.ckpt: is of step 57, not 70; it was renamed");
    let is_intact = |file: &str| {
        let line = shown.stdout.lines().find(|line| line.contains(file)).expect("an object a file");
        match (line.contains("\"intact\":true"), line.contains("\"error\":\"")) {
            (true, false) => true,
            (false, true) => false,
            _ => panic!("{line}"),
        }
    };
    assert!(is_intact("step-000000057.ckpt") && is_intact("best.ckpt"));
    assert!(!is_intact("step-000000070.ckpt") && !is_intact("step-000000080.ckpt"));
}
