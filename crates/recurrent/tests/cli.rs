//! The program `recurrent` as a person runs it: the whole way from a text to generated lines,
//! the same bytes whatever happens on the way, and one clear line for everything that is wrong.

#![cfg(all(feature = "cli", unix))]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
};

use recurrent_checkpoint::{Checkpoint, Lock};
use serde_json::Value;

#[path = "support/place.rs"]
mod place;

use place::{ALL, Place, TRAIN, assert_one_line, text};

/// Every file below, with its bytes; folders have none.
fn everything(place: &Place) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![place.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, None);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, Some(bytes));
            }
        }
    }
    found
}

#[test]
fn a_text_is_learnt_judged_continued_and_inspected() {
    let place = Place::new();
    let result = place.done(&format!("{TRAIN} --epochs 4 --out run"));
    assert!(result.starts_with("held-out loss "), "{result}");
    assert!(result.contains("the model is in run"), "{result}");
    assert_eq!(result.lines().count(), 1, "only results on standard output: {result}");

    // Each line is an object, and the loss falls.
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let losses: Vec<f64> = lines
        .iter()
        .filter(|line| line["event"] == "epoch")
        .map(|line| line["train_loss"].as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), 4);
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");

    let report: Value = serde_json::from_str(&place.done("evaluate run --json")).unwrap();
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["bits_per_token", "loss", "perplexity", "tokens"]);
    let number = |key: &str| report[key].as_f64().unwrap();
    assert!(result.starts_with(&format!("held-out loss {:.4} ", number("loss"))), "{result}");
    assert!((number("perplexity") - number("loss").exp()).abs() < 1e-9);
    assert!((number("bits_per_token") * std::f64::consts::LN_2 - number("loss")).abs() < 1e-9);
    assert!(place.done("evaluate run --data text.txt").contains("perplexity"));

    let first = place.done("generate run --prompt the --length 60 --seed 7");
    assert!(first.starts_with("the"), "{first}");
    assert_eq!(first.chars().count(), 3 + 60 + 1, "prompt, text, line end: {first}");
    assert_eq!(first, place.done("generate run --prompt the --length 60 --seed 7"));
    assert_ne!(first, place.done("generate run --prompt the --length 60 --seed 8"));

    for line in place.done("inspect run --json").lines() {
        let summary: Value = serde_json::from_str(line).unwrap();
        assert_eq!(summary["intact"], true);
        if summary["kind"] == "metrics" {
            continue;
        }
        assert_eq!(summary["kind"], "recurrent.language-model");
        assert!(!summary["sections"].as_array().unwrap().is_empty());
    }
    assert!(place.done("inspect run").contains("parameters/rnn.weight_hh_l0"));
}

#[test]
fn the_unknown_token_is_never_written() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --tokens word --min-count 3 --epochs 1 --out words"));
    let text = place.done("generate words --length 400 --temperature 2");
    assert!(!text.contains("<unk>"), "{text}");
    place.done(&format!("{TRAIN} --min-count 150 --epochs 1 --out characters"));
    let text = place.done("generate characters --length 400 --temperature 2");
    assert!(!text.contains(char::REPLACEMENT_CHARACTER), "{text}");
    assert!(!text.contains(['x', 'y', 'z']), "too rare to be known: {text}");
}

#[test]
fn equal_runs_write_equal_files_at_any_thread_count() {
    let place = Place::new();
    let train = format!("{TRAIN} --hidden-size=32 --epochs 2 --num-layers 2 --dropout 0.3")
        .replace("--hidden-size 8", "");
    for (name, threads) in [("one", 1), ("two", 2), ("again", 2)] {
        place.done(&format!("{train} --threads {threads} --out {name}"));
    }
    place.assert_equal_runs("one", "two", &ALL);
    place.assert_equal_runs("two", "again", &ALL);
    place.done(&format!("{train} --seed 2 --out other"));
    assert_ne!(place.read(&place.newest("one")), place.read(&place.newest("other")));
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    for cell in ["lstm", "gru"] {
        for optimizer in ["adam", "sgd"] {
            let place = Place::new();
            let train = format!(
                "{TRAIN} --cell {cell} --optimizer {optimizer} --num-layers 2 --dropout 0.3 \
                 --schedule cosine --epochs 6"
            );
            place.done(&format!("{train} --out whole"));

            let mut child = place.start(&train, "killed", 1);
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(9), "it ended before the kill");
            assert_ne!(place.read(&place.newest("killed")), place.read(&place.newest("whole")));
            // As if it had been killed between a line and the checkpoint that counts it.
            let mut metrics = place.read("killed/metrics.jsonl");
            metrics.extend(b"{\"event\":\"step\",\"step\":99}\n{\"event\":");
            place.write("killed/metrics.jsonl", metrics);
            place.done("resume killed --threads 1");
            place.assert_equal_runs("whole", "killed", &ALL);
        }
    }
}

#[test]
fn an_interrupted_run_saves_exits_130_and_resumes_to_the_same_bytes() {
    let place = Place::new();
    let train = format!("{TRAIN} --num-layers 2 --dropout 0.3 --epochs 6");
    place.done(&format!("{train} --out whole"));
    for (signal, run) in [("-INT", "stopped"), ("-TERM", "terminated")] {
        let child = place.start(&train, run, 1);
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(stderr.contains(&format!("go on with `recurrent resume {run}`")), "{stderr}");
        place.done(&format!("resume {run}"));
        place.assert_equal_runs("whole", run, &ALL);
    }
}

#[test]
fn resume_goes_on_for_more_epochs() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 4 --out four"));
    place.done(&format!("{TRAIN} --epochs 2 --out grown"));
    place.done("resume grown --epochs 4");
    place.assert_equal_runs("four", "grown", &ALL);

    // A run that a limit of steps ended goes on too, and its own file then has no such limit.
    place.done(&format!("{TRAIN} --epochs 4 --steps 7 --out short"));
    place.done("resume short --epochs 4");
    let config = String::from_utf8(place.read("short/config.toml")).unwrap();
    assert!(config.contains("epochs = 4") && !config.contains("steps"), "{config}");
}

#[test]
fn a_lost_best_checkpoint_is_no_obstacle() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    fs::remove_file(place.path("run/best.ckpt")).unwrap();
    place.done("evaluate run");
    place.done("resume run --epochs 2");
    place.done("inspect run/best.ckpt");
}

#[test]
fn a_loss_that_explodes_ends_the_run_in_one_line() {
    let place = Place::new();
    for (name, rate) in [("thousand", "1e3"), ("billion", "1e9")] {
        let train = TRAIN.replace("--learning-rate 0.01", &format!("--learning-rate {rate}"));
        let ended = place.run(&format!("{train} --quiet --out {name}"));
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_one_line(&ended.stderr, "a lower learning rate");
        let next = place.run(&format!("resume {name}"));
        assert_one_line(&next.stderr, "nothing has been saved yet; train again");
        let again = place.done(&format!("{TRAIN} --epochs 1 --out {name} --force"));
        assert!(again.starts_with("held-out loss"), "{again}");
    }
}

#[test]
fn a_run_keeps_the_settings_that_it_began_with() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let file = place.path("run/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("learning-rate = 0.01", "learning-rate = 0.5")).unwrap();
    let ended = place.run("resume run --epochs 2");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_one_line(&ended.stderr, "run/config.toml: was changed");
}

/// Arguments of which `{TRAIN}` is a good training without its `--out`, the exit code, and a part
/// of the message.
const REFUSED: &[(&str, i32, &str)] = &[
    // Data.
    ("TRAIN --out out --valid missing.txt", 1, "missing.txt: no such file"),
    ("train language-model --data missing.txt --out out", 1, "missing.txt: no such file"),
    ("train language-model --data empty.txt --out out", 1, "empty.txt: is empty"),
    ("train language-model --data tiny.txt --out out", 1, "tiny.txt: too small"),
    ("train language-model --data latin.txt --out out", 1, "byte 0xE9 at offset 3 (line 1)"),
    ("train language-model --data folder --out out", 1, "folder: is a folder"),
    ("train language-model --data builtin:poems --out out", 1, "there is builtin:text"),
    (
        "train language-model --data text.txt --sequence-length 9000 --out out",
        1,
        "lower --sequence-length (9000) or --batch-size (32)",
    ),
    (
        "train language-model --data text.txt --batch-size 9223372036854775807 --out out",
        1,
        "too small",
    ),
    ("TRAIN --out out --min-count 1000000", 1, "lower --min-count"),
    // Where to write.
    ("TRAIN --out run", 1, "run: there is a run already"),
    ("TRAIN --out folder", 1, "folder: is not empty and not a run"),
    ("TRAIN --out folder --force", 1, "folder: is not empty and not a run"),
    ("TRAIN --out tiny.txt --force", 1, "tiny.txt: is a file"),
    ("TRAIN --out tiny.txt/run", 1, "tiny.txt/run: cannot create the folder"),
    ("train language-model --data missing.txt --out run --force", 1, "missing.txt: no such file"),
    ("TRAIN", 2, "--out <RUN>"),
    // Numbers.
    ("TRAIN --out out --num-layers 0", 2, "number of layers must be at least 1"),
    ("TRAIN --out out --num-layers 1001", 2, "at most 1000"),
    (
        "train language-model --data text.txt --out out --cell layer-norm-lstm --hidden-size 1",
        2,
        "hidden size must be at least 2 for layer-norm-lstm",
    ),
    ("TRAIN --out out --embedding-size 0", 2, "embedding size must be at least 1"),
    ("TRAIN --out out --steps 0", 2, "number of steps must be at least 1"),
    ("TRAIN --out out --epochs 0", 2, "number of epochs must be at least 1"),
    ("TRAIN --out out --checkpoint-every 0", 2, "--checkpoint-every must be at least 1"),
    ("TRAIN --out out --threads 0", 2, "--threads"),
    ("TRAIN --out out --threads 1000000", 2, "--threads must be at most 1024"),
    ("train language-model --hidden-size 0 --out out", 2, "hidden size must be at least 1"),
    ("train language-model --hidden-size -1 --out out", 2, "invalid value '-1'"),
    ("train language-model --batch-size 0 --out out", 2, "batch size must be at least 1"),
    ("train language-model --sequence-length 0 --out out", 2, "sequence length must be at least"),
    ("train language-model --learning-rate NaN --out out", 2, "learning rate must be finite"),
    ("train language-model --learning-rate -0.1 --out out", 2, "at least 0, not -0.1"),
    ("train language-model --learning-rate 1e300 --out out", 2, "in f32, and 1e300 is not"),
    ("train language-model --hidden-size 10000000000 --out out", 2, "too many parameters"),
    ("train language-model --hidden-size 150000 --out out", 1, "GB of memory, more than there is"),
    ("TRAIN --out out --dropout 1.5", 2, "dropout must be at least 0 and below 1, not 1.5"),
    ("TRAIN --out out --dropout -0.5", 2, "dropout must be at least 0 and below 1, not -0.5"),
    ("TRAIN --out out --input-dropout 1", 2, "input dropout must be at least 0 and below 1, not 1"),
    ("TRAIN --out out --weight-dropout -1", 2, "weight dropout must be at least 0 and below 1"),
    ("TRAIN --out out --zoneout 1", 2, "zoneout must be at least 0 and below 1, not 1"),
    (
        "TRAIN --out out --cell rnn-relu --regularize-gradients -1",
        2,
        "finite and at least 0, not -1",
    ),
    ("TRAIN --out out --clip-norm 0", 2, "the clip norm must be above 0 and finite, not 0"),
    ("TRAIN --out out --clip-norm NaN", 2, "the clip norm must be above 0 and finite, not NaN"),
    ("TRAIN --out out --clip-norm off", 2, "expected a number or none"),
    ("TRAIN --out out --clip-value -1", 2, "the clip value must be above 0 and finite, not -1"),
    ("TRAIN --out out --clip-value 1e-60", 2, "clip value must be above 0 and finite in f32"),
    ("TRAIN --out out --patience 0", 2, "the patience must be at least 1, not 0"),
    ("TRAIN --out out --warm-up -1", 2, "invalid value '-1'"),
    ("TRAIN --out out --optimizer sgd --momentum 1", 2, "momentum must be in [0, 1), not 1"),
    ("TRAIN --out out --weight-decay -0.1", 2, "weight decay must be finite and at least 0"),
    ("TRAIN --out out --optimizer adamw --weight-decay 101", 2, "must be at most 1"),
    ("TRAIN --out out --schedule step --decay 1", 2, "factor must be above 0 and below 1, not 1"),
    ("TRAIN --out out --schedule step --decay-every 0", 2, "--decay-every: it must be at least 1"),
    // Options without a meaning.
    (
        "TRAIN --out out --variational",
        2,
        "--variational: nothing is dropped, so there are no masks",
    ),
    (
        "TRAIN --out out --variational --dropout 0.5",
        2,
        "give --dropout (which acts between layers)",
    ),
    (
        "TRAIN --out out --one-hot --input-dropout 0.1",
        2,
        "one-hot tokens have none: take an embedding",
    ),
    ("TRAIN --out out --one-hot --embedding-dropout 0.1", 2, "one-hot tokens have none"),
    (
        "TRAIN --out out --cell gru --zoneout-cell 0.1",
        2,
        "for cells that have one: lstm and layer-norm-lstm; the cell is gru",
    ),
    (
        "TRAIN --out out --regularize-gradients 1",
        2,
        "has gates beside it that decide how much passes; it is for rnn-tanh, rnn-relu",
    ),
    (
        "TRAIN --out out --cell rnn-tanh --regularize-gradients 1 --zoneout 0.1",
        2,
        "do not go together",
    ),
    ("TRAIN --out out --momentum 0.9", 2, "--momentum: adam has a momentum of its own"),
    ("TRAIN --out out --optimizer adamw --momentum 0", 2, "--momentum: adamw has a momentum"),
    ("TRAIN --out out --optimizer nt-asgd --momentum 0.9", 2, "--momentum: nt-asgd has none"),
    ("TRAIN --out out --nesterov", 2, "--nesterov: only sgd has it, not adam"),
    ("TRAIN --out out --optimizer rmsprop --momentum 0.9 --nesterov", 2, "has it, not rmsprop"),
    ("TRAIN --out out --optimizer sgd --nesterov", 2, "give that too, such as --momentum 0.9"),
    ("TRAIN --out out --average-after 3", 2, "--average-after: adam does not average"),
    ("TRAIN --out out --decay 0.5", 2, "--decay: a constant learning rate has no factor"),
    ("TRAIN --out out --schedule cosine --decay 0.5", 2, "--decay: a cosine learning rate has no"),
    ("TRAIN --out out --schedule plateau --decay-every 2", 2, "only --schedule step has it"),
    ("TRAIN --out out --schedule step --plateau-patience 2", 2, "only --schedule plateau has it"),
    ("TRAIN --out out --config momentum.toml", 2, "--momentum: adam has a momentum of its own"),
    ("TRAIN --out out --config decay.toml", 2, "--decay: a constant learning rate has no factor"),
    ("TRAIN --out out --config limit.toml", 1, "expected a number or \"none\""),
    ("TRAIN --out out --forget-bias 1e39", 2, "--forget-bias must be a finite f32"),
    ("TRAIN --out out --cell gru --forget-bias 1", 2, "a gru has no forget gate"),
    // Names.
    (
        "TRAIN --out out --cell elman",
        2,
        "there are: rnn-tanh, rnn-relu, rnn-identity, lstm, gru, layer-norm-lstm",
    ),
    (
        "train poetry --out out",
        2,
        "train poetry: there is no such task; there are: language-model, ",
    ),
    ("TRAIN --out out --hiden-size 3", 2, "--hiden-size"),
    ("TRAIN --out out --config key.toml", 1, "key.toml: line 2: unknown field `hiden-size`"),
    ("TRAIN --out out --config type.toml", 1, "type.toml: line 1: invalid type"),
    ("TRAIN --out out --config task.toml", 2, "--config is for the task classify"),
    ("TRAIN --out out --config both.toml", 2, "one-hot and embedding-size exclude each other"),
    ("TRAIN --out out --config missing.toml", 1, "missing.toml: cannot be read"),
    // Runs.
    ("resume missing", 1, "missing: no such folder"),
    ("resume folder", 1, "folder: is not the folder of a run: it holds no config.toml"),
    ("resume run", 2, "run is finished after 57 steps; ask for more epochs than 1 with --epochs"),
    ("resume run --epochs 0", 2, "number of epochs must be at least 1"),
    ("resume run --epochs 2 --threads 0", 2, "--threads"),
    ("resume changed --epochs 2", 1, "the data are not those that the run began with"),
    ("resume moved --epochs 2", 1, "gone.txt: no such file"),
    ("resume locked --epochs 2", 1, "locked: another process is writing there"),
    ("train language-model --data text.txt --out locked --force", 1, "locked: another process"),
    ("resume newer --epochs 2", 1, "newer/step-000000057.ckpt: made by a newer version"),
    ("resume ruined --epochs 2", 1, "ruined: no checkpoint in it is whole: "),
    ("resume run --verify 58", 2, "of step 57; 58 steps are more than there are to replay"),
    ("resume run --verify 30", 2, "no checkpoint is kept of step 27 or before; give 57 to replay"),
    ("resume run --verify 0", 2, "--verify"),
    ("resume foreign --epochs 2", 1, "foreign/step-000000057.ckpt: holds a `another`, not a"),
    ("resume empty --epochs 2", 1, "empty: nothing has been saved yet; train again"),
    ("evaluate missing", 1, "missing: no such folder"),
    ("evaluate changed", 1, "may have been learnt from; name data to be judged on with --data"),
    ("evaluate run/best.ckpt", 1, "run/best.ckpt: is a file; give the folder of the run"),
    ("evaluate ruined", 1, "ruined: no checkpoint in it is whole: ruined/step-000000057.ckpt"),
    ("evaluate moved", 1, "gone.txt: no such file"),
    ("evaluate run --data empty.txt", 1, "empty.txt: is empty"),
    ("evaluate run --data latin.txt", 1, "latin.txt: is not UTF-8 text"),
    ("evaluate run --threads 0", 2, "--threads"),
    ("generate ruined", 1, "ruined: no checkpoint in it is whole: ruined/step-000000057.ckpt"),
    ("generate run --prompt thé", 1, "\"é\" (character 3) is not in the model's vocabulary"),
    ("generate run --prompt=", 2, "--prompt must not be empty"),
    ("generate run --beam 3", 2, "--beam: a language model draws its text"),
    ("generate run --count 99999999999999999", 2, "--count must be at most 10000"),
    ("generate run --beam 500000", 2, "--beam must be at most 1000"),
    ("generate run --length -5", 2, "invalid value '-5'"),
    ("generate run --temperature -1", 2, "the temperature must be finite and at least 0, not -1"),
    ("generate run --temperature NaN", 2, "the temperature must be finite"),
    ("generate run --top-k 0", 2, "top-k must be at least 1"),
    ("generate run --top-p 1.5", 2, "top-p must be above 0 and at most 1"),
    ("inspect missing", 1, "cannot read missing"),
    ("inspect text.txt", 1, "text.txt: not a recurrent checkpoint"),
    ("inspect folder", 1, "folder: is not the folder of a run"),
];

#[test]
fn what_is_wrong_is_said_in_one_line_and_nothing_is_written() {
    let place = Place::new();
    place.write("empty.txt", "");
    place.write("tiny.txt", "hello");
    place.write("latin.txt", b"caf\xE9 ".repeat(100));
    place.write("key.toml", "seed = 1\nhiden-size = 3\n");
    place.write("type.toml", "epochs = \"many\"\n");
    place.write("task.toml", "task = \"classify\"\n");
    place.write("momentum.toml", "momentum = 0.9\n");
    place.write("decay.toml", "schedule = \"constant\"\ndecay = 0.5\n");
    place.write("limit.toml", "clip-norm = \"off\"\n");
    place.write("both.toml", "one-hot = true\nembedding-size = 4\n");
    fs::create_dir(place.path("folder")).unwrap();
    place.write("folder/mine.txt", "not to be touched");
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let newest = "step-000000057.ckpt";
    let broken = |name: &str, file: &str, bytes: Option<Vec<u8>>| {
        fs::create_dir(place.path(name)).unwrap();
        for other in ["config.toml", "metrics.jsonl", newest, "best.ckpt", "writer.lock"] {
            place.write(&format!("{name}/{other}"), place.read(&format!("run/{other}")));
        }
        match bytes {
            Some(bytes) => place.write(&format!("{name}/{file}"), bytes),
            None => fs::remove_file(place.path(name).join(file)).unwrap(),
        }
    };
    let whole = place.read(&format!("run/{newest}"));
    let mut later = whole.clone();
    later[8] = 2;
    broken("newer", newest, Some(later));
    broken("ruined", newest, Some(whole[..1000].to_vec()));
    place.write("ruined/best.ckpt", flipped(&whole));
    let mut another = Checkpoint::new("another");
    another.metadata_mut().insert("step".into(), "57".into());
    broken("foreign", newest, Some(another.to_bytes().unwrap()));
    broken("empty", newest, None);
    fs::remove_file(place.path("empty/best.ckpt")).unwrap();
    broken("locked", newest, Some(whole));
    let _held = Lock::acquire(place.path("locked")).unwrap();
    let config = String::from_utf8(place.read("run/config.toml")).unwrap();
    broken("moved", "config.toml", Some(config.replace("text.txt", "gone.txt").into()));
    broken("changed", "config.toml", Some(config.replace("text.txt", "changed.txt").into()));
    place.write("changed.txt", text(8_000).replacen('a', "b", 1));

    let before = everything(&place);
    for &(arguments, code, part) in REFUSED {
        let ended = place.run(&arguments.replace("TRAIN", TRAIN));
        assert_eq!(ended.code, Some(code), "{arguments}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments}");
        assert_one_line(&ended.stderr, part);
        assert!(everything(&place) == before, "{arguments}: changed a file");
    }
}

/// The bytes with one bit turned in the middle.
fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    let ended = place.run(&format!("{TRAIN} --out /proc/run"));
    assert_eq!(ended.code, Some(1));
    assert_one_line(&ended.stderr, "/proc/run: cannot create the folder");
}

#[test]
fn inspect_finds_a_flipped_bit_and_still_shows_the_other_checkpoint() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    let newest = place.newest("run");
    place.write(&newest, flipped(&place.read(&newest)));
    let ended = place.run("inspect run --json");
    assert_eq!(ended.code, Some(1));
    assert_one_line(&ended.stderr, &format!("{newest}: damaged: section `"));
    let shown: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let intact: Vec<bool> = shown.iter().map(|file| file["intact"].as_bool().unwrap()).collect();
    assert_eq!(intact, [false, true, true]);
    assert_eq!(shown[2]["lines"], 2);
    assert_eq!(shown[2]["bytes"], shown[2]["needed_bytes"]);

    place.write(&newest, &place.read(&newest)[..1000]);
    let ended = place.run("inspect run");
    assert_one_line(&ended.stderr, &format!("{newest}: truncated"));
    assert!(ended.stdout.starts_with("run/best.ckpt: "), "{}", ended.stdout);

    // What else belongs to a run.
    place.write("run/metrics.jsonl", &place.read("run/metrics.jsonl")[..100]);
    place.write("run/config.toml", "task = 3");
    let ended = place.run("inspect run");
    assert_one_line(&ended.stderr, "run/config.toml: ");
    assert_one_line(&ended.stderr, "run/metrics.jsonl: the newest checkpoint counts on ");
}

#[test]
fn quiet_says_only_results() {
    let place = Place::new();
    let ended = place.run(&format!("--quiet {TRAIN} --epochs 1 --out run"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = place.run("generate run --length 5 --quiet");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_demo_runs_and_runs_again() {
    let place = Place::new();
    let first = place.done("demo --steps 2");
    assert!(first.contains("it writes") && first.contains("Now it writes"), "{first}");
    assert!(Path::new(&place.path("recurrent-demo/best.ckpt")).is_file());
    assert_eq!(first, place.done("demo --steps 2"));
    let json = place.done("generate recurrent-demo --length 10 --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ended"], "maximum-length");
    // What is not the demo's stays.
    place.write("recurrent-demo/config.toml", "task = \"tag\"\ndata = \"builtin:tags\"\n");
    let before = place.read(&place.newest("recurrent-demo"));
    let ended = place.run("demo --steps 1");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("holds a run that is not the demo's"), "{}", ended.stderr);
    assert_eq!(place.read(&place.newest("recurrent-demo")), before);
}
