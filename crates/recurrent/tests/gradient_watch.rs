//! What a training sees of its own gradients: it is right, changes nothing else, and costs little.

#![cfg(feature = "cli")]

#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/place.rs"]
mod place;
#[path = "support/tiny.rs"]
mod tiny;

use std::time::{Duration, Instant};

use place::{Place, TRAIN, assert_one_line};
use recurrent::gradient_watch::GradientWatch;
use recurrent_cells::CellKind;
use recurrent_cells::initialize::Initialization;
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::{
    InputConfig, ManyToManyConfig, Regularization, StackConfig, TokenEncoding,
};
use recurrent_training::{
    ManyToManyObjective, OptimizerConfig, Schedule, Trainer, TrainerConfig, Windows,
};
use serde_json::Value;
use tiny::TASKS;

/// The lines of a run's metrics as they stand, by whether they come from watching.
fn lines(place: &Place, run: &str) -> (Vec<Value>, Vec<String>) {
    let metrics = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).unwrap();
    let (mut watched, mut others) = (vec![], vec![]);
    for line in metrics.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        match value["event"].as_str() {
            Some("clip" | "gradients") => watched.push(value),
            _ => others.push(line.to_owned()),
        }
    }
    (watched, others)
}

/// Lines of one event.
fn of<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn watching_changes_nothing_but_the_lines_that_it_adds() {
    let place = Place::new();
    place.done(&format!("{TRAIN} --epochs 2 --threads 1 --out plain"));
    place.done(&format!("{TRAIN} --epochs 2 --threads 2 --watch-gradients 10 --out watched"));
    let ((none, plain), (watched, others)) = (lines(&place, "plain"), lines(&place, "watched"));
    assert!(none.is_empty() && !others.is_empty());
    assert_eq!(plain, others);
    let config = String::from_utf8(place.read("plain/config.toml")).unwrap();
    assert!(!config.contains("watch"), "{config}");
    let steps = serde_json::from_str::<Value>(others.last().unwrap()).unwrap();
    let gradients = of(&watched, "gradients");
    assert_eq!(gradients.len() as u64, steps["step"].as_u64().unwrap() / 10);
    for (number, line) in gradients.iter().enumerate() {
        assert_eq!(line["step"], 10 * (number + 1));
    }
    // What is learnt is the same: both predict the same.
    let held_out = |run: &str| place.done(&format!("evaluate {run} --json"));
    assert_eq!(held_out("plain"), held_out("watched"));
}

#[test]
fn every_clipping_has_a_line_with_the_norms_before_and_after() {
    let place = Place::new();
    let train = format!("{TRAIN} --epochs 1 --watch-gradients 1000000");
    place.done(&format!("{train} --clip-norm 0.0001 --out small"));
    let (watched, others) = lines(&place, "small");
    let last: Value = serde_json::from_str(others.last().unwrap()).unwrap();
    assert_eq!(watched.len() as u64, last["step"].as_u64().unwrap(), "all steps are clipped");
    for (step, line) in watched.iter().enumerate() {
        assert_eq!((&line["event"], &line["step"]), (&"clip".into(), &(step + 1).into()));
        assert_eq!(line["clipped_norm"], 0.0001);
        assert!(line["gradient_norm"].as_f64().unwrap() > 0.0001);
    }
    let fifty: Value = serde_json::from_str(&others[0]).unwrap();
    assert_eq!(fifty["step"], 50);
    assert_eq!(watched[49]["gradient_norm"], fifty["gradient_norm"]);
    // By value alone the norm after is that of what is left.
    place.done(&format!("{train} --clip-norm none --clip-value 0.001 --out value"));
    for line in lines(&place, "value").0 {
        let [before, after] = ["gradient_norm", "clipped_norm"].map(|name| line[name].as_f64());
        assert!(after.unwrap() < before.unwrap(), "{line}");
    }
    place.done(&format!("{train} --clip-norm none --out none"));
    assert!(lines(&place, "none").0.is_empty());
}

#[test]
fn every_task_is_watched_and_what_a_cell_has_not_is_absent() {
    let cells = ["lstm", "gru", "rnn-relu", "rnn-tanh"];
    for (number, tiny) in TASKS.iter().enumerate() {
        let cell = cells[number % cells.len()];
        let place = tiny.place();
        let clip = "--clip-norm none --learning-rate 0.001";
        place.done(&format!(
            "{} {clip} --cell {cell} --epochs 1 --watch-gradients 4 --out run",
            tiny.train("")
        ));
        let (watched, _) = lines(&place, "run");
        assert!(!watched.is_empty(), "{}: nothing was watched", tiny.task);
        for line in &watched {
            assert_eq!(line["event"], "gradients");
            assert!(line["gradient_norm"].as_f64().unwrap() > 0.0);
            let seen = line["cells"].as_array().unwrap();
            assert!(!seen.is_empty());
            for own in seen {
                let (lags, h) = (own["lags"].as_array().unwrap(), own["h"].as_array().unwrap());
                assert_eq!(lags.len(), h.len());
                assert_eq!(lags[0], 0);
                assert!(h.iter().any(|norm| norm.as_f64().unwrap() > 0.0), "{}: {own}", tiny.task);
                let has = |name: &str| !own[name].is_null();
                assert_eq!(has("c"), cell == "lstm", "{own}");
                assert_eq!(has("half_lives"), ["lstm", "gru"].contains(&cell), "{own}");
                assert_eq!(has("dead"), cell == "rnn-relu", "{own}");
                let gates: Vec<&str> = own["gates"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|gate| gate["name"].as_str().unwrap())
                    .collect();
                let expected: &[&str] = match cell {
                    "lstm" => &["input", "forget", "output"],
                    "gru" => &["reset", "update"],
                    _ => &[],
                };
                assert_eq!(gates, expected);
            }
            let both = ["classify", "tag"].contains(&tiny.task);
            assert_eq!(
                seen.iter().any(|own| own["reverse"] == true),
                both || tiny.task == "translate"
            );
            // Two layers each: the decoder's stand above.
            let encodes = ["translate", "forecast"].contains(&tiny.task);
            assert_eq!(seen.iter().any(|own| own["layer"] == 3), encodes, "{}", tiny.task);
        }
    }
}

/// Where a run ends because its numbers do, the step that ended it has its line too.
#[test]
fn the_step_that_ends_a_run_is_watched_as_well() {
    let place = Place::new();
    let ended = place.run(
        "train language-model --data text.txt --hidden-size 8 --cell rnn-relu --init identity \
         --learning-rate 30 --clip-norm none --watch-gradients 1 --out run",
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (watched, _) = lines(&place, "run");
    let last = watched.last().unwrap();
    let step = last["step"].as_u64().unwrap();
    assert!(ended.stderr.contains(&format!("at step {step}")), "{}: {last}", ended.stderr);
    assert!(last["gradient_norm"].is_null() && last["cells"].is_array(), "{last}");
}

#[test]
fn never_is_no_number_of_steps() {
    let place = Place::new();
    let refused = place.run(&format!("{TRAIN} --watch-gradients 0 --out run"));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_one_line(&refused.stderr, "--watch-gradients must be at least 1");
}

/// Every 100th step may cost six times as much for 5 % of the whole: a watched step beside one that is
/// not, in one process. The fastest of several, because others may be at work on this machine.
#[test]
fn a_watched_step_costs_little() {
    let model = ManyToManyConfig {
        input: InputConfig::Tokens { vocabulary_size: 60, encoding: TokenEncoding::Embedding(64) },
        stack: StackConfig {
            cell: CellKind::Lstm,
            hidden_size: 128,
            num_layers: 1,
            bidirectional: false,
            dropout: 0.0,
            regularization: Regularization::NONE,
        },
        output_size: 60,
    }
    .build()
    .unwrap();
    let mut generator = Generator::new(1, 1);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    let config = TrainerConfig {
        optimizer: OptimizerConfig::ADAM,
        learning_rate: 0.001,
        schedule: Schedule::Constant,
        warm_up: 0,
        clip_value: None,
        clip_norm: Some(5.0),
        patience: None,
    };
    let objective = ManyToManyObjective::<f32>::new(model, 32, 1);
    let mut trainer = Trainer::new(config, Compute::sequential(), objective, parameters).unwrap();
    let text: Vec<u32> = (0..40_000_u32).map(|at| at * at / 7 % 60).collect();
    let windows = Windows::new(&text, 32, 64);
    let window = windows.get(0);
    let mut fastest = [Duration::MAX; 2];
    for round in 0..60 {
        let began = Instant::now();
        let watch = (round % 2 == 1).then(GradientWatch::new);
        trainer.step_with_probe(&window, &watch.as_ref()).unwrap();
        let cells = watch.map(|watch| watch.cells());
        let took = began.elapsed();
        assert!(cells.is_none_or(|cells| cells.len() == 1));
        fastest[round % 2] = fastest[round % 2].min(took);
    }
    let ratio = fastest[1].as_secs_f64() / fastest[0].as_secs_f64();
    let line = format!("a watched step takes {ratio:.2} times as long as another\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    assert!(ratio < 6.0, "{line}");
}
