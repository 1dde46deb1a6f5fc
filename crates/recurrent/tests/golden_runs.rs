//! Runs that an earlier version left in the middle: today's program reads them, finds the figures
//! that were found then, goes on to the bytes that were reached then, and writes what it read.

#![cfg(feature = "cli")]

#[path = "support/place.rs"]
mod place;

use std::{fs, io::Write, path::Path};

use place::Place;
use recurrent_checkpoint::Checkpoint;
use serde_json::Value;

/// A run of `golden/`: its name, its data, its step, its last step and the CRC-32 of what the
/// checkpoint there holds.
const RUNS: [(&str, &str, u64, u64, u32); 3] = [
    ("rnn-tanh", "text.txt", 20, 40, 0x0164_ada8),
    ("lstm", "pairs.tsv", 30, 54, 0x4b4e_cc4d),
    ("gru", "reviews.tsv", 30, 54, 0x1f94_915d),
];

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// The run, in a folder of its own.
fn place(name: &str, data: &str, step: u64) -> Place {
    let place = Place::new();
    place.write(data, golden(data));
    fs::create_dir(place.path("run")).unwrap();
    place.write("run/config.toml", golden(&format!("{name}.toml")));
    place.write("run/metrics.jsonl", golden(&format!("{name}.jsonl")));
    place.write(&format!("run/step-{step:09}.ckpt"), golden(&format!("{name}.ckpt")));
    place
}

/// The CRC-32 of those sections of a checkpoint that the run began from as well. (A later version may
/// add a section, or a setting with a default.)
fn crc(bytes: &[u8], began: &Checkpoint<'_>) -> u32 {
    let whole = Checkpoint::from_bytes(bytes).unwrap();
    let mut known = Checkpoint::new("known");
    for section in began.sections() {
        let section = whole.section(section.name()).unwrap();
        known.insert(section.name(), section.shape(), section.data().clone());
    }
    crc32fast::hash(&known.to_bytes().unwrap())
}

/// Panics unless `now` says all that `then` says. (A later version may say more.)
#[track_caller]
fn assert_says(now: &Value, then: &Value) {
    match then {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, then)| assert_says(&now[name], then))
        }
        then => assert_eq!(now, then),
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_checkpoint_is_read_and_written_unchanged() {
    for (name, ..) in RUNS {
        let bytes = golden(&format!("{name}.ckpt"));
        assert!(bytes.len() <= 16 << 10, "{name}.ckpt is no small file");
        let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        assert!(checkpoint.to_bytes().unwrap() == bytes, "{name}.ckpt is written otherwise");
    }
}

#[test]
fn a_model_is_as_good_as_it_was() {
    for (name, data, step, ..) in RUNS {
        let place = place(name, data, step);
        // Nothing that goes forward depends on the machine.
        let said = place.done("evaluate run --json");
        assert_says(&lines(said.as_bytes())[0], &lines(&golden(&format!("{name}.json")))[0]);
        // The fixture is the newest checkpoint alone; a run keeps its best beside it.
        place.write("run/best.ckpt", golden(&format!("{name}.ckpt")));
        place.done("inspect run");
    }
}

/// Gradients have these bits on every x86-64 processor with fused multiply-add; elsewhere faer may
/// add long sums in another order (see `recurrent_kernels::gemm`), and the losses are close.
#[test]
fn a_run_goes_on_to_where_it_went() {
    #[cfg(target_arch = "x86_64")]
    let is_equal = std::is_x86_feature_detected!("fma") && std::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    let is_equal = false;
    if !is_equal {
        let line =
            "golden runs: only losses are compared, this processor may add in another order\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    for (name, data, step, last, expected) in RUNS {
        let place = place(name, data, step);
        let resumed = place.run("resume run");
        assert_eq!(resumed.code, Some(0), "{name}: {}", resumed.stderr);
        let newest = place.newest("run");
        assert!(newest.ends_with(&format!("step-{last:09}.ckpt")), "{name}: {newest}");
        let now = lines(&place.read("run/metrics.jsonl"));
        let then = lines(&golden(&format!("{name}.jsonl")));
        assert_eq!(now.len(), then.len(), "{name}: {now:?}");
        if is_equal {
            now.iter().zip(&then).for_each(|(now, then)| assert_says(now, then));
            let bytes = golden(&format!("{name}.ckpt"));
            let found = crc(&place.read(&newest), &Checkpoint::from_bytes(&bytes).unwrap());
            assert_eq!(found, expected, "{name}: {newest} is another: {found:#x}");
        }
        let [now, then] =
            [now, then].map(|lines| lines[lines.len() - 1]["held_out"]["loss"].as_f64().unwrap());
        assert!((now - then).abs() < 1e-3, "{name}: {now} now, {then} then");
        place.done("resume run --verify 4");
    }
}
