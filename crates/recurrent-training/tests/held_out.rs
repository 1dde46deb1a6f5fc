//! What held-out losses decide: plateaus, averaging, patience; that their state is the losses
//! alone; and warm-up and clipping as a trainer applies them.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{Form, Layout, Parameters};
use recurrent_kernels::Compute;
use recurrent_topologies::Probe;
use recurrent_training::{
    ConfigError, HeldOutLoss, Loss, Objective, OptimizerConfig, Schedule, Trainer, TrainerConfig,
    TrainingError,
};

/// Half the squared distance from (3, 3, ..., 3).
struct Bowl;

const SIZE: usize = 5;

impl Objective<f64> for Bowl {
    type Batch = ();

    fn gradients(
        &mut self,
        _: &Compute,
        parameters: &Parameters<f64>,
        _: &(),
        _: u64,
        gradients: &mut Parameters<f64>,
        _: &impl Probe<f64>,
    ) -> Loss {
        let mut sum = 0.0;
        for k in 0..SIZE {
            let distance = parameters.as_slice()[k] - 3.0;
            gradients.as_mut_slice()[k] += distance;
            sum += distance * distance / 2.0;
        }
        Loss { sum, count: 1 }
    }
    fn commit(&mut self) {}
    fn evaluate(&mut self, _: &Compute, _: &Parameters<f64>, _: &()) -> Loss {
        Loss::default()
    }
    fn visit(&self, _: &mut dyn FnMut(&str, &[f64])) {}
    fn visit_mut(&mut self, _: &mut dyn FnMut(&str, &mut [f64])) {}
}

const PLAIN: TrainerConfig = TrainerConfig {
    optimizer: OptimizerConfig::SGD,
    learning_rate: 0.1,
    schedule: Schedule::Constant,
    warm_up: 0,
    clip_value: None,
    clip_norm: None,
    patience: None,
};

const NT_ASGD: TrainerConfig = TrainerConfig {
    optimizer: OptimizerConfig::NtAsgd { average_after: 2, weight_decay: 0.0 },
    ..PLAIN
};

fn start(numbers: [f64; SIZE]) -> Parameters<f64> {
    let mut layout = Layout::new();
    let slot = layout.add("p".into(), Form::Vector, SIZE, 1);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    parameters.slice_mut(slot).copy_from_slice(&numbers);
    parameters
}

fn trainer(config: TrainerConfig) -> Trainer<f64, Bowl> {
    let parameters = start([0.0, 1.0, 2.0, 5.0, -4.0]);
    Trainer::new(config, Compute::sequential(), Bowl, parameters).unwrap()
}

fn plateau(patience: u64, threshold: f64, minimum: f64) -> TrainerConfig {
    let schedule = Schedule::Plateau { factor: 0.5, patience, threshold, minimum };
    TrainerConfig { schedule, ..PLAIN }
}

#[test]
fn a_plateau_lowers_the_rate_after_its_patience_and_never_below_the_minimum() {
    let mut trainer = trainer(plateau(1, 0.1, 0.03));
    let mut lowered = |loss| trainer.observe_held_out(loss).lowered_rate;
    assert_eq!(lowered(1.0), None);
    // Not a tenth better, so no better; the second in a row is one too many.
    assert_eq!(lowered(0.95), None);
    assert_eq!(lowered(0.91), Some(0.05));
    assert_eq!(lowered(0.91), None);
    // Better: the count begins anew.
    assert_eq!(lowered(0.8), None);
    assert_eq!(lowered(0.8), None);
    assert_eq!(lowered(f64::NAN), Some(0.03));
    assert_eq!(lowered(0.8), None);
    assert_eq!(lowered(0.8), None, "it is as low as it may be");
    assert_eq!(trainer.learning_rate(), 0.03);
}

#[test]
fn patience_counts_losses_that_are_not_better_in_a_row() {
    let mut trainer = trainer(TrainerConfig { patience: Some(2), ..PLAIN });
    let mut seen = |loss| {
        let report = trainer.observe_held_out(loss);
        assert_eq!(report.out_of_patience, trainer.is_out_of_patience());
        (report.is_best, report.without_better, report.out_of_patience)
    };
    assert_eq!(seen(2.0), (true, 0, false));
    assert_eq!(seen(2.0), (false, 1, false));
    assert_eq!(seen(1.9), (true, 0, false));
    assert_eq!(seen(1.95), (false, 1, false));
    assert_eq!(seen(f64::NAN), (false, 2, true));
    // Whoever goes on all the same can still be lucky.
    assert_eq!(seen(1.0), (true, 0, false));

    let mut endless = self::trainer(PLAIN);
    (0..1000).for_each(|_| assert!(!endless.observe_held_out(1.0).out_of_patience));
}

#[test]
fn averaging_begins_when_a_loss_is_worse_than_all_but_the_last() {
    let began = |losses: &[f64]| {
        let mut trainer = trainer(NT_ASGD);
        losses.iter().position(|&loss| trainer.observe_held_out(loss).averaging_began)
    };
    // The two before it do not count.
    assert_eq!(began(&[5.0, 6.0, 7.0]), None);
    assert_eq!(began(&[5.0, 6.0, 7.0, 6.0]), Some(3));
    assert_eq!(began(&[5.0, 4.0, 3.0, 4.5, 4.5, 3.5]), Some(4));
    assert_eq!(began(&[5.0, 4.0, 3.0, 4.5]), None, "still better than the first");
    assert_eq!(began(&[5.0, 5.0, 5.0, 5.0]), None, "no worse");
    assert_eq!(began(&[5.0, 4.0, 3.0, 2.0, 1.0]), None);
    assert_eq!(began(&[5.0, 4.0, 3.0, f64::NAN]), Some(3));
    assert_eq!(began(&[f64::NAN, f64::NAN, f64::NAN, 1.0]), None);
    let mut other = trainer(PLAIN);
    assert!((0..9).all(|k| !other.observe_held_out(f64::from(k)).averaging_began));
}

#[test]
fn the_average_is_what_is_evaluated_once_it_has_begun() {
    let mut trainer = trainer(NT_ASGD);
    let mut all = vec![];
    for loss in [1.0, 2.0, 3.0, 3.0] {
        trainer.step(&()).unwrap();
        assert!(!trainer.averages());
        assert_eq!(trainer.evaluation_parameters(), trainer.parameters());
        trainer.observe_held_out(loss);
    }
    assert!(trainer.averages());
    all.push(trainer.parameters().as_slice().to_vec());
    assert_eq!(trainer.evaluation_parameters(), trainer.parameters());
    for loss in [3.0, 4.0, 0.5] {
        trainer.step(&()).unwrap();
        all.push(trainer.parameters().as_slice().to_vec());
        for (k, average) in trainer.evaluation_parameters().as_slice().iter().enumerate() {
            let mean = all.iter().map(|p| p[k]).sum::<f64>() / all.len() as f64;
            assert!((average - mean).abs() < 1e-12, "number {k}: {average}, {mean}");
        }
        assert!(!trainer.observe_held_out(loss).averaging_began, "only once");
    }
    assert_ne!(trainer.evaluation_parameters(), trainer.parameters());
}

/// Everything that the next step depends on, as whoever saves a training would keep it.
#[derive(Clone, Debug, PartialEq)]
struct Saved {
    steps: u64,
    held_out: Vec<HeldOutLoss>,
    numbers: Vec<(String, Vec<f64>)>,
}

fn save(trainer: &Trainer<f64, Bowl>) -> Saved {
    let mut numbers = vec![];
    trainer.visit(|name, _, data| numbers.push((name.to_string(), data.to_vec())));
    Saved { steps: trainer.steps(), held_out: trainer.held_out_losses().to_vec(), numbers }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restored_training_decides_the_same(
        losses in prop::collection::vec(0.0..2.0f64, 1..20),
        cut in 0usize..20,
        averages: bool,
    ) {
        let optimizer = match averages {
            true => NT_ASGD.optimizer,
            false => OptimizerConfig::RMS_PROP,
        };
        let config = TrainerConfig {
            optimizer,
            warm_up: 7,
            patience: Some(3),
            ..plateau(1, 1e-4, 1e-3)
        };
        let mut whole = trainer(config.clone());
        let mut saved = save(&whole);
        let mut reports = vec![];
        for (index, &loss) in losses.iter().enumerate() {
            whole.step(&()).unwrap();
            whole.step(&()).unwrap();
            reports.push((whole.observe_held_out(loss), whole.learning_rate()));
            if index + 1 == cut {
                saved = save(&whole);
            }
        }

        let mut resumed = trainer(config);
        let mut blocks = saved.numbers.iter();
        resumed.restore(saved.steps, &saved.held_out, |name, _, data| {
            let (saved_name, saved) = blocks.next().ok_or("too few")?;
            assert_eq!(saved_name, name);
            data.copy_from_slice(saved);
            Ok::<_, &str>(())
        }).unwrap();
        prop_assert!(blocks.next().is_none());
        prop_assert_eq!(&save(&resumed), &saved);
        let done = saved.held_out.len();
        for (&loss, report) in losses.iter().zip(&reports).skip(done) {
            resumed.step(&()).unwrap();
            resumed.step(&()).unwrap();
            prop_assert_eq!(&(resumed.observe_held_out(loss), resumed.learning_rate()), report);
        }
        prop_assert_eq!(save(&resumed), save(&whole));
        prop_assert_eq!(resumed.is_out_of_patience(), whole.is_out_of_patience());
    }

    #[test]
    fn warm_up_rises_to_the_schedule_and_leaves_it_alone_after(
        steps in 1u64..20,
        kind in 0usize..5,
    ) {
        let schedule = [
            Schedule::Constant,
            Schedule::Step { factor: 0.5, every: 30 },
            Schedule::Exponential { factor: 0.999, every: 30 },
            Schedule::Cosine { steps: 1000 },
            Schedule::Plateau { factor: 0.5, patience: 2, threshold: 0.0, minimum: 0.0 },
        ][kind];
        let mut warm = trainer(TrainerConfig { schedule, warm_up: steps, ..PLAIN });
        let mut cold = trainer(TrainerConfig { schedule, ..PLAIN });
        let mut last = 0.0;
        for step in 0..30 {
            let (rate, full) = (warm.learning_rate(), cold.learning_rate());
            prop_assert_eq!(warm.step(&()).unwrap().learning_rate, rate);
            cold.step(&()).unwrap();
            prop_assert!(rate > 0.0 && rate <= full);
            if step + 1 < steps {
                prop_assert!(rate > last && rate < full, "step {}: {} after {}", step, rate, last);
                let share = (step + 1) as f64 / steps as f64;
                prop_assert!((rate - share * full).abs() < 1e-15);
            } else {
                prop_assert_eq!(rate, full);
            }
            last = rate;
        }
    }
}

#[test]
fn both_limits_hold_and_the_report_has_the_norm_before_them() {
    // The gradients are -3, -2, -1, 2 and -7.
    let norm = 67f64.sqrt();
    let step = |clip_value, clip_norm| {
        let mut trainer = trainer(TrainerConfig { clip_value, clip_norm, ..PLAIN });
        let report = trainer.step(&()).unwrap();
        assert!((report.gradient_norm - norm).abs() < 1e-12, "{}", report.gradient_norm);
        (report.clipped, trainer.gradients().as_slice()[..SIZE].to_vec())
    };
    assert_eq!(step(None, None), (false, vec![-3.0, -2.0, -1.0, 2.0, -7.0]));
    assert_eq!(step(Some(7.0), Some(9.0)), (false, vec![-3.0, -2.0, -1.0, 2.0, -7.0]));
    assert_eq!(step(Some(2.5), None), (true, vec![-2.5, -2.0, -1.0, 2.0, -2.5]));
    // By value first: the norm of what is left is small enough.
    let left = (2.5f64 * 2.5 * 2.0 + 9.0).sqrt();
    assert_eq!(step(Some(2.5), Some(left + 0.01)), (true, vec![-2.5, -2.0, -1.0, 2.0, -2.5]));
    let (clipped, both) = step(Some(2.5), Some(left / 2.0));
    assert!(clipped);
    for (both, value) in both.iter().zip([-2.5, -2.0, -1.0, 2.0, -2.5]) {
        assert!((both - value / 2.0).abs() < 1e-12, "{both}");
    }
}

#[test]
fn weight_decay_that_would_overflow_a_square_is_refused() {
    let adam = |weight_decay| {
        let OptimizerConfig::Adam { beta1, beta2, epsilon, .. } = OptimizerConfig::ADAM else {
            unreachable!()
        };
        OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay }
    };
    for (weight_decay, refused) in [(0.0, false), (1e100, false), (1e154, true)] {
        let config = TrainerConfig { optimizer: adam(weight_decay), ..PLAIN };
        let mut trainer = trainer(config);
        let before = save(&trainer);
        let result = trainer.step(&());
        assert_eq!(result.is_err(), refused, "{weight_decay}");
        if let Err(error) = result {
            assert!(matches!(error, TrainingError::GradientTooLarge { step: 1, .. }), "{error}");
            assert_eq!(save(&trainer), before);
        }
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    let refused = |config: TrainerConfig| config.check().unwrap_err().to_string();
    let sgd = |momentum, dampening, nesterov, weight_decay| TrainerConfig {
        optimizer: OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay },
        ..PLAIN
    };
    let rms_prop = |alpha, epsilon, momentum, weight_decay| TrainerConfig {
        optimizer: OptimizerConfig::RmsProp {
            alpha,
            epsilon,
            momentum,
            centered: false,
            weight_decay,
        },
        ..PLAIN
    };
    let adam_w = |weight_decay| TrainerConfig {
        optimizer: OptimizerConfig::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay },
        ..PLAIN
    };
    let nt_asgd = |weight_decay| TrainerConfig {
        optimizer: OptimizerConfig::NtAsgd { average_after: 5, weight_decay },
        ..PLAIN
    };
    let schedule = |schedule| TrainerConfig { schedule, ..PLAIN };
    let plateau = |factor, threshold, minimum| {
        schedule(Schedule::Plateau { factor, patience: 1, threshold, minimum })
    };
    for (config, part) in [
        (sgd(1.0, 0.0, false, 0.0), "momentum must be in [0, 1), not 1"),
        (sgd(f64::NAN, 0.0, false, 0.0), "momentum must be in [0, 1), not NaN"),
        (sgd(0.9, -0.5, false, 0.0), "dampening must be in [0, 1), not -0.5"),
        (sgd(0.0, 0.5, false, 0.0), "dampening acts on momentum, and there is none"),
        (sgd(0.0, 0.0, true, 0.0), "Nesterov's step needs momentum above 0"),
        (sgd(0.9, 0.1, true, 0.0), "Nesterov's step needs momentum above 0 and dampening of 0"),
        (sgd(0.9, 0.0, true, -1.0), "weight decay must be finite and at least 0, not -1"),
        (rms_prop(1.0, 1e-8, 0.0, 0.0), "alpha must be in [0, 1), not 1"),
        (rms_prop(0.9, 0.0, 0.0, 0.0), "RMSprop's epsilon must be above 0, not 0"),
        (rms_prop(0.9, f64::INFINITY, 0.0, 0.0), "RMSprop's epsilon must be finite"),
        (rms_prop(0.9, 1e-8, 1.5, 0.0), "momentum must be in [0, 1), not 1.5"),
        (rms_prop(0.9, 1e-8, 0.0, f64::NAN), "weight decay must be finite"),
        (adam_w(-0.1), "weight decay must be finite and at least 0, not -0.1"),
        (adam_w(10.5), "the learning rate times AdamW's weight decay must be at most 1"),
        (nt_asgd(f64::INFINITY), "weight decay must be finite"),
        (schedule(Schedule::Step { factor: 1.0, every: 3 }), "above 0 and below 1, not 1"),
        (schedule(Schedule::Step { factor: 0.5, every: 0 }), "steps must be at least 1, not 0"),
        (schedule(Schedule::Exponential { factor: 0.0, every: 3 }), "above 0 and below 1, not 0"),
        (schedule(Schedule::Exponential { factor: 0.5, every: 0 }), "at least 1, not 0"),
        (plateau(f64::NAN, 1e-4, 0.0), "factor must be above 0 and below 1, not NaN"),
        (plateau(0.5, 1.0, 0.0), "threshold must be in [0, 1), not 1"),
        (plateau(0.5, 1e-4, -1.0), "lowest learning rate must be finite and at least 0, not -1"),
        (
            TrainerConfig { clip_value: Some(0.0), ..PLAIN },
            "clip value must be above 0 and finite, not 0",
        ),
        (TrainerConfig { clip_value: Some(f64::NAN), ..PLAIN }, "clip value must be above 0"),
        (TrainerConfig { patience: Some(0), ..PLAIN }, "patience must be at least 1, not 0"),
    ] {
        let message = refused(config.clone());
        assert!(message.contains(part), "no {part:?} in {message:?}");
        let result = Trainer::new(config, Compute::sequential(), Bowl, start([0.0; SIZE]));
        assert!(result.is_err(), "{part}");
    }
    // Good in f64 and degenerate in f32.
    for (config, part) in [
        (sgd(1.0 - 1e-9, 0.0, false, 0.0), "momentum must be in [0, 1)"),
        (sgd(0.9, 1.0 - 1e-9, false, 0.0), "dampening must be in [0, 1)"),
        (sgd(0.0, 0.0, false, 1e39), "weight decay must be finite"),
        (rms_prop(1.0 - 1e-9, 1e-8, 0.0, 0.0), "alpha must be in [0, 1)"),
        (rms_prop(0.9, 1e-50, 0.0, 0.0), "RMSprop's epsilon must be above 0"),
        (rms_prop(0.9, 1e39, 0.0, 0.0), "RMSprop's epsilon must be finite"),
        (rms_prop(0.9, 1e-8, 1.0 - 1e-9, 0.0), "momentum must be in [0, 1)"),
        (nt_asgd(1e39), "weight decay must be finite"),
        (TrainerConfig { clip_value: Some(1e-60), ..PLAIN }, "clip value must be above 0"),
    ] {
        config.check_for::<f64>().unwrap();
        let error = config.check_for::<f32>().unwrap_err();
        assert!(matches!(error, ConfigError::Rounded { number: "f32", .. }), "{error}");
        assert!(error.to_string().contains(part), "no {part:?} in {error}");
    }
}
