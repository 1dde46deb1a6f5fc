//! Optimisers and clipping against their textbook formulas, one number at a time in `f64`.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{Form, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Level, Real};
use recurrent_training::{Optimizer, OptimizerConfig, clip_by_global_norm, clip_by_value};

fn layout(sizes: &[usize]) -> Arc<Layout> {
    let mut layout = Layout::new();
    for (index, &size) in sizes.iter().enumerate() {
        layout.add(format!("parameter_{index}"), Form::Matrix, size, 3);
    }
    Arc::new(layout)
}

/// Normal numbers times `scale`; those in the gaps between parameters stay zero.
fn random<T: Real>(generator: &mut Generator, layout: &Arc<Layout>, scale: f64) -> Parameters<T> {
    let mut parameters = Parameters::zeros(Arc::clone(layout));
    parameters.visit_mut(|_, data| {
        data.fill_with(|| T::from_f64(generator.normal::<f64>() * scale));
    });
    parameters
}

fn widen<T: Real>(numbers: &[T]) -> Vec<f64> {
    numbers.iter().map(|x| x.to_f64()).collect()
}

/// A parameter and what an optimiser keeps for it, each as its paper or PyTorch's manual has it.
#[derive(Clone, Copy, Default)]
struct Scalar {
    p: f64,
    momentum: f64,
    mean: f64,
    square: f64,
    average: f64,
}

/// Averaging begins after this step.
const AVERAGE_SINCE: i32 = 4;

impl Scalar {
    fn step(&mut self, config: OptimizerConfig, g: f64, rate: f64, t: i32) {
        match config {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay } => {
                let g = g + weight_decay * self.p;
                if momentum == 0.0 {
                    self.p -= rate * g;
                    return;
                }
                self.momentum =
                    if t == 1 { g } else { momentum * self.momentum + (1.0 - dampening) * g };
                let ahead = g + momentum * self.momentum;
                self.p -= rate * if nesterov { ahead } else { self.momentum };
            }
            OptimizerConfig::NtAsgd { weight_decay, .. } => {
                self.p -= rate * (g + weight_decay * self.p);
                let count = t - AVERAGE_SINCE + 1;
                if count >= 1 {
                    let sum = self.average * f64::from(count - 1) + self.p;
                    self.average = sum / f64::from(count);
                }
            }
            OptimizerConfig::RmsProp { alpha, epsilon, momentum, centered, weight_decay } => {
                let g = g + weight_decay * self.p;
                self.square = alpha * self.square + (1.0 - alpha) * g * g;
                self.mean = alpha * self.mean + (1.0 - alpha) * g;
                let below = if centered { self.mean * self.mean } else { 0.0 };
                let d = g / ((self.square - below).sqrt() + epsilon);
                self.momentum = momentum * self.momentum + d;
                self.p -= rate * self.momentum;
            }
            OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                let g = g + weight_decay * self.p;
                self.adam(g, rate, [beta1, beta2, epsilon], t);
            }
            OptimizerConfig::AdamW { beta1, beta2, epsilon, weight_decay } => {
                self.p -= rate * weight_decay * self.p;
                self.adam(g, rate, [beta1, beta2, epsilon], t);
            }
            _ => unreachable!("no formula for {config:?}"),
        }
    }

    /// The paper's algorithm as it stands there: moments, corrected moments, step.
    fn adam(&mut self, g: f64, rate: f64, [beta1, beta2, epsilon]: [f64; 3], t: i32) {
        self.mean = beta1 * self.mean + (1.0 - beta1) * g;
        self.square = beta2 * self.square + (1.0 - beta2) * g * g;
        let mean = self.mean / (1.0 - beta1.powi(t));
        let square = self.square / (1.0 - beta2.powi(t));
        self.p -= rate * mean / (square.sqrt() + epsilon);
    }

    fn kept(&self, name: &str) -> f64 {
        match name {
            "momentum" => self.momentum,
            "gradient_average" | "first_moment" => self.mean,
            "square_average" | "second_moment" => self.square,
            "average" => self.average,
            _ => unreachable!("no formula for {name}"),
        }
    }
}

/// Every optimiser, with constants of its own for each, so that no two can be confused.
fn all() -> Vec<OptimizerConfig> {
    let sgd = |momentum, dampening, nesterov, weight_decay| OptimizerConfig::Sgd {
        momentum,
        dampening,
        nesterov,
        weight_decay,
    };
    let rms_prop = |momentum, centered, weight_decay| OptimizerConfig::RmsProp {
        alpha: 0.9,
        epsilon: 0.02,
        momentum,
        centered,
        weight_decay,
    };
    vec![
        OptimizerConfig::SGD,
        sgd(0.0, 0.0, false, 0.3),
        sgd(0.8, 0.0, false, 0.0),
        sgd(0.8, 0.4, false, 0.3),
        sgd(0.7, 0.0, true, 0.3),
        OptimizerConfig::RMS_PROP,
        rms_prop(0.0, false, 0.3),
        rms_prop(0.6, false, 0.0),
        rms_prop(0.0, true, 0.0),
        rms_prop(0.6, true, 0.3),
        OptimizerConfig::ADAM,
        OptimizerConfig::Adam { beta1: 0.7, beta2: 0.95, epsilon: 0.03, weight_decay: 0.3 },
        OptimizerConfig::ADAM_W,
        OptimizerConfig::AdamW { beta1: 0.7, beta2: 0.95, epsilon: 0.03, weight_decay: 0.3 },
        OptimizerConfig::NT_ASGD,
        OptimizerConfig::NtAsgd { average_after: 2, weight_decay: 0.3 },
    ]
}

/// Parameters, and everything that an optimiser keeps, by name.
type Numbers<T> = Vec<(String, Vec<T>)>;

/// Ten steps with the learning rate falling; the last numbers of `T` and of the formulas.
fn ten_steps<T: Real>(config: OptimizerConfig, compute: &Compute) -> (Numbers<T>, Numbers<f64>) {
    // Enough numbers that three threads have a part each.
    let layout = layout(&[7, 12_001, 5000]);
    let mut generator = Generator::new(5, 0);
    let mut parameters = random::<T>(&mut generator, &layout, 1.0);
    let start = widen(parameters.as_slice());
    let mut formula: Vec<_> =
        start.into_iter().map(|p| Scalar { p, ..Scalar::default() }).collect();
    let mut optimizer = Optimizer::new(config, &parameters);
    for t in 1..=10 {
        let gradients = random::<T>(&mut generator, &layout, 0.1);
        let rate = 0.05 / f64::from(t);
        optimizer.step(compute, &mut parameters, &gradients, rate, t as u64);
        if t == AVERAGE_SINCE && matches!(config, OptimizerConfig::NtAsgd { .. }) {
            optimizer.begin_average(&parameters, t as u64);
        }
        for (scalar, g) in formula.iter_mut().zip(widen(gradients.as_slice())) {
            scalar.step(config, g, rate, t);
        }
    }
    let mut kept = vec![("p".to_string(), parameters.as_slice().to_vec())];
    let mut expected = vec![("p".to_string(), formula.iter().map(|scalar| scalar.p).collect())];
    let moments = optimizer.moments().iter().map(|(name, moment)| (*name, moment));
    for (name, numbers) in moments.chain(optimizer.average().map(|average| ("average", average))) {
        kept.push((name.to_string(), numbers.as_slice().to_vec()));
        let formula = formula.iter().map(|scalar| scalar.kept(name)).collect();
        expected.push((name.to_string(), formula));
    }
    assert_eq!(kept.len(), 1 + config.kept(), "{config:?}");
    (kept, expected)
}

#[track_caller]
fn assert_close<T: Real>(own: &[T], formula: &[f64]) {
    let tolerance = 50.0 * T::EPSILON.to_f64();
    assert_eq!(own.len(), formula.len());
    for (k, (own, formula)) in own.iter().zip(formula).enumerate() {
        let difference = (own.to_f64() - formula).abs();
        assert!(difference <= tolerance * (1.0 + formula.abs()), "number {k}: {own}, {formula}");
    }
}

#[test]
fn ten_steps_follow_the_formulas() {
    for config in all() {
        let (own, formula) = ten_steps::<f64>(config, &Compute::sequential());
        for ((_, own), (_, formula)) in own.iter().zip(&formula) {
            assert_close(own, formula);
        }
        let (own, formula) = ten_steps::<f32>(config, &Compute::sequential());
        for ((_, own), (_, formula)) in own.iter().zip(&formula) {
            assert_close(own, formula);
        }
        let threads = |count| Compute::new(count).unwrap();
        for compute in [threads(2), threads(3), threads(1).with_level(Level::SCALAR)] {
            let name = format!("{} threads, {}", compute.threads(), compute.level().name());
            assert!(ten_steps::<f32>(config, &compute).0 == own, "{config:?}: {name}");
        }
    }
}

#[test]
fn what_never_has_a_gradient_stays_but_for_weight_decay() {
    let layout = layout(&[5]);
    let before = random::<f32>(&mut Generator::new(6, 0), &layout, 1.0);
    let zeros = before.zeros_like();
    for config in all() {
        let mut parameters = before.clone();
        let mut optimizer = Optimizer::new(config, &parameters);
        for step in 1..4 {
            optimizer.step(&Compute::sequential(), &mut parameters, &zeros, 0.1, step);
        }
        let text = serde_json::to_value(config).unwrap();
        let decays = text["weight_decay"] != 0.0;
        assert_eq!(parameters != before, decays, "{config:?}");
        for (after, before) in parameters.as_slice().iter().zip(before.as_slice()) {
            assert!(after.abs() <= before.abs(), "{config:?}: {before} became {after}");
        }
        // The gaps between parameters are still zero.
        let mut numbers = vec![];
        parameters.visit(|_, data| numbers.extend_from_slice(data));
        let all: f32 = parameters.as_slice().iter().map(|x| x.abs()).sum();
        assert_eq!(all, numbers.iter().map(|x| x.abs()).sum::<f32>());
    }
}

/// Equal gradients have no variance, and rounding makes it negative.
#[test]
fn a_centered_root_is_never_of_a_negative_number() {
    let config = OptimizerConfig::RmsProp {
        alpha: 0.5,
        epsilon: 1e-3,
        momentum: 0.0,
        centered: true,
        weight_decay: 0.0,
    };
    let layout = layout(&[200]);
    let gradients = random::<f32>(&mut Generator::new(7, 0), &layout, 1.0);
    let mut parameters = gradients.zeros_like();
    let mut optimizer = Optimizer::new(config, &parameters);
    let mut negative = 0;
    for step in 1..60 {
        optimizer.step(&Compute::sequential(), &mut parameters, &gradients, 1e-3, step);
        let [(_, squares), (_, means)] = optimizer.moments() else { unreachable!() };
        let pairs = squares.as_slice().iter().zip(means.as_slice());
        negative += pairs.filter(|(v, m)| **v - **m * **m < 0.0).count();
        assert_eq!(parameters.first_non_finite(), None, "step {step}");
    }
    assert!(negative > 0, "the case that this test is about did not occur");
}

#[test]
#[should_panic(expected = "only NT-ASGD averages parameters")]
fn other_optimisers_do_not_average() {
    let parameters = Parameters::<f32>::zeros(layout(&[5]));
    Optimizer::new(OptimizerConfig::SGD, &parameters).begin_average(&parameters, 1);
}

#[test]
#[should_panic(expected = "step 3 of an average that began at step 3")]
fn an_average_begins_before_the_next_step() {
    let mut parameters = Parameters::<f32>::zeros(layout(&[5]));
    let mut optimizer = Optimizer::new(OptimizerConfig::NT_ASGD, &parameters);
    optimizer.begin_average(&parameters, 3);
    let zeros = parameters.zeros_like();
    optimizer.step(&Compute::sequential(), &mut parameters, &zeros, 0.1, 3);
}

#[test]
fn configurations_of_the_first_version_are_read() {
    let read = |text: &str| serde_json::from_str::<OptimizerConfig>(text).unwrap();
    assert_eq!(read(r#"{"name":"sgd"}"#), OptimizerConfig::SGD);
    let adam = r#"{"name":"adam","beta1":0.9,"beta2":0.999,"epsilon":1e-8}"#;
    assert_eq!(read(adam), OptimizerConfig::ADAM);
    for config in all() {
        assert_eq!(read(&serde_json::to_string(&config).unwrap()), config);
    }
}

proptest! {
    #[test]
    fn clipping_limits_the_norm_and_keeps_the_direction(
        size in 1usize..40,
        scale in 1e-3..1e3,
        most in 1e-3..1e3,
        seed: u64,
    ) {
        let mut gradients = random::<f64>(&mut Generator::new(seed, 0), &layout(&[size]), scale);
        let before = gradients.clone();
        let norm = |g: &Parameters<f64>| g.as_slice().iter().map(|x| x * x).sum::<f64>().sqrt();
        let reported = clip_by_global_norm(&Compute::sequential(), &mut gradients, most);
        let expected = norm(&before);
        prop_assert!((reported - expected).abs() <= 1e-12 * expected);
        if reported <= most {
            prop_assert_eq!(gradients, before);
        } else {
            prop_assert!((norm(&gradients) - most).abs() <= 1e-12 * most);
            for (after, before) in gradients.as_slice().iter().zip(before.as_slice()) {
                let scaled = before / expected * most;
                prop_assert!((after - scaled).abs() <= 1e-12 * scaled.abs());
            }
        }
    }
    #[test]
    fn clipping_by_value_bounds_every_number_and_touches_no_other(
        size in 1usize..40,
        scale in 1e-3..1e3,
        most in 1e-3..1e3,
        seed: u64,
    ) {
        let mut gradients = random::<f64>(&mut Generator::new(seed, 0), &layout(&[size]), scale);
        let before = gradients.clone();
        let clipped = clip_by_value(&Compute::sequential(), &mut gradients, most);
        prop_assert_eq!(clipped, gradients != before);
        for (&after, &before) in gradients.as_slice().iter().zip(before.as_slice()) {
            prop_assert_eq!(after, before.clamp(-most, most));
        }
        let again = gradients.clone();
        prop_assert!(!clip_by_value(&Compute::sequential(), &mut gradients, most));
        prop_assert_eq!(gradients, again);
    }
}

#[test]
fn clipping_by_value_has_the_same_bits_at_any_thread_count() {
    let before = random::<f32>(&mut Generator::new(8, 0), &layout(&[20_000]), 1.0);
    let run = |threads, most| {
        let mut gradients = before.clone();
        let clipped = clip_by_value(&Compute::new(threads).unwrap(), &mut gradients, most);
        (clipped, gradients)
    };
    // Just below the largest, one thread alone has something to cut.
    let largest = before.as_slice().iter().fold(0.0f32, |most, g| most.max(g.abs()));
    let largest = f64::from(largest);
    for most in [0.5, 0.9999 * largest, largest] {
        let expected = run(1, most);
        assert_eq!(expected.0, most < largest);
        assert!(run(2, most) == expected && run(3, most) == expected, "{most}");
    }
}

#[test]
fn clipping_by_value_leaves_what_is_not_a_number_to_the_caller() {
    let mut gradients = Parameters::<f32>::zeros(layout(&[2]));
    gradients.as_mut_slice()[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, -3.0]);
    assert!(clip_by_value(&Compute::sequential(), &mut gradients, 2.0));
    assert!(gradients.as_slice()[0].is_nan());
    assert_eq!(gradients.as_slice()[1..3], [2.0, -2.0]);
}

#[test]
fn limits_that_limit_nothing_are_refused() {
    for most in [0.0, -1.0, f64::NAN] {
        for by_value in [true, false] {
            let refused = std::panic::catch_unwind(|| {
                let mut gradients = Parameters::<f32>::zeros(layout(&[2]));
                match by_value {
                    true => clip_by_value(&Compute::sequential(), &mut gradients, most),
                    false => {
                        clip_by_global_norm(&Compute::sequential(), &mut gradients, most) > most
                    }
                }
            });
            assert!(refused.is_err(), "{most}, by value: {by_value}");
        }
    }
}

#[test]
fn norms_that_are_not_finite_are_left_to_the_caller() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut gradients = Parameters::<f32>::zeros(layout(&[2]));
        gradients.as_mut_slice()[..2].copy_from_slice(&[3.0, value]);
        let norm = clip_by_global_norm(&Compute::sequential(), &mut gradients, 1.0);
        assert!(!norm.is_finite());
        assert_eq!(gradients.as_slice()[0], 3.0);
    }
}

#[test]
#[should_panic(expected = "gradients of [(\"parameter_0\", 4, 3)] do not fit")]
fn gradients_of_another_layout_are_refused() {
    let mut parameters = Parameters::<f32>::zeros(layout(&[5]));
    let gradients = Parameters::zeros(layout(&[4]));
    let mut optimizer = Optimizer::new(OptimizerConfig::ADAM, &parameters);
    optimizer.step(&Compute::sequential(), &mut parameters, &gradients, 0.1, 1);
}

#[test]
#[should_panic(expected = "parameters of [(\"parameter_0\", 4, 3)] do not fit")]
fn parameters_of_another_layout_are_refused() {
    let mut optimizer =
        Optimizer::new(OptimizerConfig::ADAM, &Parameters::<f32>::zeros(layout(&[5])));
    let mut parameters = Parameters::zeros(layout(&[4]));
    let gradients = parameters.zeros_like();
    optimizer.step(&Compute::sequential(), &mut parameters, &gradients, 0.1, 1);
}

#[test]
#[should_panic(expected = "steps count from 1")]
fn step_zero_is_refused() {
    let mut parameters = Parameters::<f32>::zeros(layout(&[5]));
    let gradients = parameters.zeros_like();
    let mut optimizer = Optimizer::new(OptimizerConfig::ADAM, &parameters);
    optimizer.step(&Compute::sequential(), &mut parameters, &gradients, 0.1, 0);
}
