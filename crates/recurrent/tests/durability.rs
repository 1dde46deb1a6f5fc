//! Runs that meet damage, full disks and other processes, and a replay that compares every bit.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use std::fs;
use std::path::Path;

use place::{ALL, Place, TRAIN, assert_one_line};

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_goes_on_from_the_newest_whole_checkpoint_to_the_same_bytes() {
    let place = Place::new();
    let train = format!("{TRAIN} --dropout 0.3 --num-layers 2 --checkpoint-every 10 --keep-last 4");
    place.done(&format!("{train} --epochs 3 --out whole"));
    place.done(&format!("{train} --epochs 2 --out run"));
    // Steps 90, 100, 110 and 114, at the end of the second epoch, which is also the best.
    damage(&place.path("run/step-000000114.ckpt"));
    damage(&place.path("run/best.ckpt"));
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
}

#[test]
fn a_damaged_best_checkpoint_gives_way_to_the_newest_and_is_named() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let whole = place.done("evaluate run --json");
    damage(&place.path("run/best.ckpt"));
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
fn a_replay_finds_equal_bits_and_changes_nothing() {
    let place = Place::new();
    let train = format!("{TRAIN} --dropout 0.3 --num-layers 2 --checkpoint-every 20 --threads 1");
    place.done(&format!("{train} --epochs 2 --keep-last 3 --out run"));
    let before = place.read(&place.newest("run"));
    // Kept are steps 80, 100 and 114; the end of an epoch lies between none and all of them.
    for (steps, from) in [(1, "step 100"), (14, "step 100"), (15, "step 80"), (34, "step 80")] {
        let ended = place.done(&format!("resume run --verify {steps} --threads 2"));
        assert!(
            ended.starts_with(&format!("verified: step 114, replayed from {from}, has the same")),
            "{ended}"
        );
    }
    // All of it can be made again from the seed.
    let ended = place.done("resume run --verify 114");
    assert!(ended.contains("replayed from the beginning"), "{ended}");
    assert!(place.read(&place.newest("run")) == before);

    // And then it goes on, to where the run goes that was never stopped.
    let ended = place.done("resume run --verify 10 --epochs 3");
    assert!(ended.starts_with("verified: "), "{ended}");
    place.done(&format!("{train} --epochs 3 --out whole"));
    place.assert_equal_runs("whole", "run", &ALL);
}

#[test]
fn a_replay_finds_a_bit_that_differs() {
    let place = Place::new();
    let train = format!("{TRAIN} --checkpoint-every 20 --epochs 1");
    place.done(&format!("{train} --out run"));
    place.done(&format!("{train} --seed 2 --out other"));

    // A whole checkpoint, of another seed: nothing but a replay can tell.
    let newest = place.newest("run");
    let mine = place.read(&newest);
    place.write(&newest, place.read(&place.newest("other")));
    let ended = place.run("resume run --verify 5");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("config.toml: was changed"), "{}", ended.stderr);

    let mut checkpoint = recurrent_checkpoint::Checkpoint::from_bytes(&mine).unwrap();
    let name = "parameters/readout.bias";
    let shape = checkpoint.section(name).unwrap().shape().to_vec();
    let mut bias: Vec<f32> = checkpoint.take(name, &shape).unwrap();
    bias[3] = f32::from_bits(bias[3].to_bits() ^ 1);
    checkpoint.insert(name, &shape, bias);
    place.write(&newest, checkpoint.to_bytes().unwrap());
    let ended = place.run("resume run --verify 5");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_one_line(
        &ended.stderr,
        "replayed from step 40, step 57 is another: section `parameters/readout.bias`, number 3: ",
    );

    // The same for the lines of the metrics.
    place.write(&newest, mine);
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    place.write("run/metrics.jsonl", metrics.replace("\"step\":57", "\"step\":58"));
    let ended = place.run("resume run --verify 5");
    assert_one_line(
        &ended.stderr,
        "run/metrics.jsonl: replayed from step 40, its lines up to step 57",
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

/// The run `whole` as it was after a step whose checkpoint it kept, as a run of its own.
fn copy_at(place: &Place, step: u64, run: &str) {
    fs::create_dir(place.path(run)).unwrap();
    for file in ["config.toml", "metrics.jsonl", &format!("step-{step:09}.ckpt")] {
        place.write(&format!("{run}/{file}"), place.read(&format!("whole/{file}")));
    }
}

/// A folder where a checkpoint should be stands for a disk that refuses.
#[test]
fn a_save_that_fails_is_told_and_the_next_one_succeeds() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --checkpoint-every 10 --keep-last 20 --epochs 2 --out whole"));
    copy_at(&place, 10, "run");
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
    copy_at(&place, 10, "other");
    fs::create_dir(place.path("other/step-000000020.ckpt.saving")).unwrap();
    let files = || ["config.toml", "metrics.jsonl"].map(|file| place.read_of_run("other", file));
    let before = files();
    let ended = place.run("resume other --epochs 9");
    assert!(files() == before, "a refused resume changed a file");
    assert_one_line(
        &ended.stderr,
        "step-000000020.ckpt.saving, which a save that was stopped left",
    );
}

#[test]
fn a_last_save_that_fails_is_an_error() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --checkpoint-every 10 --keep-last 9 --epochs 1 --out whole"));
    copy_at(&place, 30, "run");
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
