//! `resume --verify`: a replay from an older checkpoint that compares every bit.

#![cfg(feature = "cli")]

#[path = "support/place.rs"]
mod place;

use std::fs;

use place::{ALL, Place, TRAIN, assert_one_line};

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

/// Lines of the metrics that were lost are no difference of the state.
#[test]
fn a_replay_over_lost_metrics_blames_the_metrics() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --checkpoint-every 10 --keep-last 20 --epochs 2 --out whole"));
    place.copy_at(60, "run");
    place.write("run/step-000000050.ckpt", place.read("whole/step-000000050.ckpt"));
    place.write("run/best.ckpt", place.read("whole/step-000000060.ckpt"));
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    place.done("resume run");
    // Those of the steps since are there.
    for steps in [4, 54] {
        let replayed = place.done(&format!("resume run --verify {steps}"));
        assert!(replayed.starts_with("verified: step 114, "), "{replayed}");
    }
    let ended = place.run("resume run --verify 64");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_one_line(&ended.stderr, "lines up to step 114 are not all there; the state itself is");
}

#[test]
fn a_replay_across_other_settings_says_so() {
    let place = Place::new();
    let train = format!("{TRAIN} --checkpoint-every 20 --keep-last 9 --epochs 1");
    place.done(&format!("{train} --schedule cosine --out run"));
    place.done("resume run --epochs 2");
    // From before the change, and from the step at which it was made.
    for steps in [114, 70] {
        let ended = place.run(&format!("resume run --verify {steps}"));
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_one_line(
            &ended.stderr,
            "the run's epochs or steps were changed on the way, or this",
        );
    }
    let ended = place.done("resume run --verify 57");
    assert!(ended.starts_with("verified: step 114, replayed from step 57"), "{ended}");
}

#[test]
fn a_replay_that_cannot_be_says_which_can() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --checkpoint-every 10 --keep-last 3 --out run"));
    let refused = |steps: u64| {
        let ended = place.run(&format!("resume run --verify {steps}"));
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        ended.stderr
    };
    let all = "or 57 to replay the whole run";
    // Kept are steps 40, 50 and 57.
    assert_one_line(&refused(20), "no checkpoint is kept of step 37 or before; give at most 17");
    assert!(refused(20).contains(all));
    assert!(refused(58).contains("the newest checkpoint is of step 57; 58 steps are more than"));
    place.damage("run/step-000000040.ckpt");
    let told = refused(10);
    assert!(told.starts_with("warning: run/step-000000040.ckpt: damaged: "), "{told}");
    assert!(told.contains("no checkpoint of step 47 or before is whole; give at most 7"), "{told}");
    // A damaged one that is passed over is named.
    place.done(&format!("{TRAIN} --epochs 1 --checkpoint-every 10 --out run --force"));
    place.damage("run/step-000000050.ckpt");
    let passed = place.run("resume run --verify 7");
    assert_eq!(passed.code, Some(0), "{}", passed.stderr);
    assert!(passed.stderr.starts_with("warning: run/step-000000050.ckpt: "), "{}", passed.stderr);
    assert!(passed.stdout.contains("replayed from step 40"), "{}", passed.stdout);
}
