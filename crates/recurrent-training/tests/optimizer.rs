//! Optimisers and clipping against their textbook formulas, one number at a time in `f64`.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::{Form, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Real};
use recurrent_training::{Optimizer, OptimizerConfig, clip_by_global_norm};

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

/// The paper's algorithm as it stands there: moments, corrected moments, step.
fn adam(p: &mut f64, m: &mut f64, v: &mut f64, g: f64, rate: f64, constants: [f64; 3], t: i32) {
    let [beta1, beta2, epsilon] = constants;
    *m = beta1 * *m + (1.0 - beta1) * g;
    *v = beta2 * *v + (1.0 - beta2) * g * g;
    let corrected_m = *m / (1.0 - beta1.powi(t));
    let corrected_v = *v / (1.0 - beta2.powi(t));
    *p -= rate * corrected_m / (corrected_v.sqrt() + epsilon);
}

/// Ten steps with the learning rate falling; the last parameters of `T` and of the formulas.
fn ten_steps<T: Real>(config: OptimizerConfig, threads: usize) -> (Parameters<T>, Vec<f64>) {
    let compute = Compute::new(threads).unwrap();
    // Enough numbers that three threads have a part each.
    let layout = layout(&[7, 12_001, 5000]);
    let mut generator = Generator::new(5, 0);
    let mut parameters = random::<T>(&mut generator, &layout, 1.0);
    let mut p = widen(parameters.as_slice());
    let (mut m, mut v) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    let mut optimizer = Optimizer::new(config, &parameters);
    for t in 1..=10 {
        let gradients = random::<T>(&mut generator, &layout, 0.1);
        let rate = 0.05 / f64::from(t);
        optimizer.step(&compute, &mut parameters, &gradients, rate, t as u64);
        for (k, g) in widen(gradients.as_slice()).into_iter().enumerate() {
            match config {
                OptimizerConfig::Adam { beta1, beta2, epsilon } => {
                    let constants = [beta1, beta2, epsilon];
                    adam(&mut p[k], &mut m[k], &mut v[k], g, rate, constants, t);
                }
                _ => p[k] -= rate * g,
            }
        }
    }
    for ((_, own), formula) in optimizer.moments().iter().zip([&m, &v]) {
        assert_close(own.as_slice(), formula);
    }
    (parameters, p)
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
    // Constants of its own for each, so that no two can be confused.
    let other = OptimizerConfig::Adam { beta1: 0.7, beta2: 0.95, epsilon: 0.03 };
    for config in [OptimizerConfig::Sgd, OptimizerConfig::ADAM, other] {
        let (own, formula) = ten_steps::<f64>(config, 1);
        assert_close(own.as_slice(), &formula);
        let (own, formula) = ten_steps::<f32>(config, 1);
        assert_close(own.as_slice(), &formula);
        for threads in [2, 3] {
            assert!(ten_steps::<f32>(config, threads).0 == own, "{threads} threads");
        }
    }
}

#[test]
fn what_never_has_a_gradient_stays() {
    let layout = layout(&[5]);
    let mut parameters = random::<f32>(&mut Generator::new(6, 0), &layout, 1.0);
    let (before, zeros) = (parameters.clone(), parameters.zeros_like());
    for config in [OptimizerConfig::Sgd, OptimizerConfig::ADAM] {
        let mut optimizer = Optimizer::new(config, &parameters);
        for step in 1..4 {
            optimizer.step(&Compute::sequential(), &mut parameters, &zeros, 0.1, step);
        }
        assert_eq!(parameters, before);
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
