//! Optimisers, clipping and schedules against PyTorch's own figures, in `f64`. The files in
//! `pytorch` say how they were made.

use std::path::Path;
use std::sync::Arc;

use recurrent_cells::{Form, Layout, Parameters};
use recurrent_kernels::Compute;
use recurrent_testkit::golden::{Golden, Tolerance, number};
use recurrent_topologies::Probe;
use recurrent_training::{
    Loss, Objective, Optimizer, OptimizerConfig, Schedule, Trainer, TrainerConfig,
    clip_by_global_norm, clip_by_value, warm_up,
};

fn golden() -> Golden {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch");
    Golden::read(&folder.join("optimizers.txt"))
}

const TWELVE_DIGITS: Tolerance = Tolerance::Relative(1e-12);

const COUNT: usize = 7;

fn parameters(numbers: [f64; COUNT]) -> Parameters<f64> {
    let mut layout = Layout::new();
    let slot = layout.add("p".into(), Form::Vector, COUNT, 1);
    let mut parameters = Parameters::zeros(Arc::new(layout));
    parameters.slice_mut(slot).copy_from_slice(&numbers);
    parameters
}

fn start() -> Parameters<f64> {
    parameters(std::array::from_fn(|k| number(0, k) * 2.0))
}

/// The gradient of step `step`, counted from 1.
fn slope(p: &[f64], step: u64) -> [f64; COUNT] {
    std::array::from_fn(|k| p[k] * (1.0 + 0.25 * k as f64) + number(100 + step as usize, k))
}

/// The parameters after 20 steps.
fn descend(config: OptimizerConfig, rate: f64) -> Vec<f64> {
    let mut p = start();
    let mut optimizer = Optimizer::new(config, &p);
    for step in 1..=20 {
        let g = parameters(slope(p.as_slice(), step));
        optimizer.step(&Compute::sequential(), &mut p, &g, rate, step);
    }
    p.as_slice()[..COUNT].to_vec()
}

#[test]
fn twenty_steps_are_pytorchs() {
    let golden = golden();
    let sgd = |momentum, dampening, nesterov, weight_decay| {
        (OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay }, 0.05)
    };
    let rms_prop = |momentum, centered, weight_decay| {
        let (alpha, epsilon) = (0.99, 1e-8);
        (OptimizerConfig::RmsProp { alpha, epsilon, momentum, centered, weight_decay }, 0.01)
    };
    let adam = |beta1, beta2, epsilon, weight_decay| {
        (OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay }, 0.01)
    };
    let adam_w =
        OptimizerConfig::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1 };
    for (name, (config, rate)) in [
        ("sgd", (OptimizerConfig::SGD, 0.05)),
        ("sgd_weight_decay", sgd(0.0, 0.0, false, 0.1)),
        ("sgd_momentum", sgd(0.9, 0.0, false, 0.0)),
        ("sgd_momentum_dampening", sgd(0.9, 0.5, false, 0.0)),
        ("sgd_nesterov", sgd(0.9, 0.0, true, 0.0)),
        ("sgd_nesterov_weight_decay", sgd(0.9, 0.0, true, 0.1)),
        ("rmsprop", (OptimizerConfig::RMS_PROP, 0.01)),
        ("rmsprop_momentum", rms_prop(0.9, false, 0.0)),
        ("rmsprop_centered", rms_prop(0.0, true, 0.0)),
        ("rmsprop_weight_decay", rms_prop(0.0, false, 0.1)),
        ("adam", (OptimizerConfig::ADAM, 0.01)),
        ("adam_weight_decay", adam(0.9, 0.999, 1e-8, 0.1)),
        ("adam_betas", adam(0.8, 0.95, 1e-6, 0.0)),
        ("adamw", (adam_w, 0.01)),
        // Before it averages NT-ASGD is plain descent.
        ("asgd", (OptimizerConfig::NT_ASGD, 0.05)),
        (
            "sgd_weight_decay",
            (OptimizerConfig::NtAsgd { average_after: 5, weight_decay: 0.1 }, 0.05),
        ),
    ] {
        golden.assert_close(name, &descend(config, rate), TWELVE_DIGITS);
    }
}

#[test]
fn the_average_is_pytorchs() {
    // PyTorch's ASGD with t0 = 5 takes the average over the parameters from after step 7 on.
    let golden = golden();
    let mut p = start();
    let mut optimizer = Optimizer::new(OptimizerConfig::NT_ASGD, &p);
    for step in 1..=20 {
        let g = parameters(slope(p.as_slice(), step));
        optimizer.step(&Compute::sequential(), &mut p, &g, 0.05, step);
        if step == 7 {
            optimizer.begin_average(&p, step);
        }
    }
    golden.assert_close("asgd", &p.as_slice()[..COUNT], TWELVE_DIGITS);
    golden.assert_close(
        "asgd_average",
        &optimizer.average().unwrap().as_slice()[..COUNT],
        TWELVE_DIGITS,
    );
}

#[test]
fn clipping_is_pytorchs() {
    let golden = golden();
    let gradients = || parameters(std::array::from_fn(|k| number(300, k) * 10.0));
    let mut clipped = gradients();
    let norm = clip_by_global_norm(&Compute::sequential(), &mut clipped, 2.5);
    golden.assert_close("clip_norm_total", &[norm], TWELVE_DIGITS);
    // PyTorch divides by norm + 1e-6.
    let theirs = |g: &f64| g * norm / (norm + 1e-6);
    let clipped: Vec<f64> = clipped.as_slice()[..COUNT].iter().map(theirs).collect();
    golden.assert_close("clip_norm", &clipped, TWELVE_DIGITS);
    let mut clipped = gradients();
    assert!(clip_by_value(&Compute::sequential(), &mut clipped, 1.5));
    golden.assert_close("clip_value", &clipped.as_slice()[..COUNT], TWELVE_DIGITS);
}

#[test]
fn schedules_are_pytorchs() {
    let golden = golden();
    for (name, schedule) in [
        ("step", Schedule::Step { factor: 0.5, every: 7 }),
        ("exponential", Schedule::Exponential { factor: 0.9, every: 1 }),
        ("cosine", Schedule::Cosine { steps: 20 }),
    ] {
        let steps = golden.values(name).len() as u64;
        let rates: Vec<f64> = (0..steps).map(|step| schedule.learning_rate(0.1, step)).collect();
        golden.assert_close(name, &rates, TWELVE_DIGITS);
    }
    let steps = golden.values("linear_warmup").len() as u64;
    let rates: Vec<f64> = (0..steps).map(|step| 0.1 * warm_up(step, 10)).collect();
    golden.assert_close("linear_warmup", &rates, TWELVE_DIGITS);
}

/// Learns nothing.
struct Still;

impl Objective<f64> for Still {
    type Batch = ();

    fn gradients(
        &mut self,
        _: &Compute,
        _: &Parameters<f64>,
        _: &(),
        _: u64,
        _: &mut Parameters<f64>,
        _: &impl Probe<f64>,
    ) -> Loss {
        Loss { sum: 0.0, count: 1 }
    }
    fn commit(&mut self) {}
    fn evaluate(&mut self, _: &Compute, _: &Parameters<f64>, _: &()) -> Loss {
        Loss::default()
    }
    fn visit(&self, _: &mut dyn FnMut(&str, &[f64])) {}
    fn visit_mut(&mut self, _: &mut dyn FnMut(&str, &mut [f64])) {}
}

#[test]
fn plateaus_are_pytorchs() {
    let golden = golden();
    let schedule = Schedule::Plateau { factor: 0.5, patience: 2, threshold: 1e-4, minimum: 0.0 };
    let config = TrainerConfig {
        optimizer: OptimizerConfig::SGD,
        learning_rate: 0.1,
        schedule,
        warm_up: 0,
        clip_value: None,
        clip_norm: None,
        patience: None,
    };
    let mut trainer = Trainer::new(config, Compute::sequential(), Still, start()).unwrap();
    let mut before = 0.1;
    let mut rates = vec![];
    for loss in golden.values("plateau_metrics") {
        trainer.step(&()).unwrap();
        let report = trainer.observe_held_out(loss);
        let rate = trainer.learning_rate();
        assert_eq!(report.lowered_rate, (rate < before).then_some(rate));
        rates.push(rate);
        before = rate;
    }
    golden.assert_close("plateau", &rates, TWELVE_DIGITS);
}
