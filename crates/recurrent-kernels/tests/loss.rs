//! Softmax and cross-entropy against a naive oracle, central differences, and broken numbers.

use proptest::prelude::*;
use recurrent_kernels::loss::{cross_entropy, softmax, softmax_cross_entropy, squared_error};
use recurrent_kernels::{Columns, ColumnsMut, Compute, Level, Matrix};

/// Softmax as the definition says, in f64.
fn naive_softmax(column: &[f64]) -> Vec<f64> {
    let exponentials: Vec<f64> = column.iter().map(|&x| libm::exp(x)).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / sum).collect()
}

fn naive_loss(column: &[f64], target: usize) -> f64 {
    -libm::log(naive_softmax(column)[target])
}

/// Logits with one target per column.
fn cases() -> impl Strategy<Value = (Matrix<f64>, Vec<u32>)> {
    (1usize..600, 0usize..5).prop_flat_map(|(rows, columns)| {
        let logits = prop::collection::vec(-30.0..30.0, rows * columns);
        let targets = prop::collection::vec(0..rows as u32, columns);
        (logits.prop_map(move |data| Matrix::from_columns(data, rows, columns)), targets)
    })
}

fn to_f32(matrix: &Matrix<f64>) -> Matrix<f32> {
    let data = matrix.as_slice().iter().map(|&x| x as f32).collect();
    Matrix::from_columns(data, matrix.rows(), matrix.columns())
}

proptest! {
    #[test]
    fn agrees_with_the_definition((logits, targets) in cases(), scale in 0.01..2.0) {
        let compute = Compute::sequential();
        let (rows, columns) = (logits.rows(), logits.columns());
        let mut probabilities = logits.clone();
        softmax(compute.level(), probabilities.as_mut());
        let mut gradient = logits.clone();
        let (mut losses, mut losses_only) = (vec![0.0; columns], vec![0.0; columns]);
        softmax_cross_entropy(&compute, gradient.as_mut(), &targets, scale, &mut losses);
        cross_entropy(&compute, logits.as_ref(), &targets, &mut losses_only);
        prop_assert_eq!(&losses, &losses_only);

        let single = to_f32(&logits);
        let (mut single_gradient, mut single_losses) = (single.clone(), vec![0.0; columns]);
        softmax_cross_entropy(
            &compute, single_gradient.as_mut(), &targets, scale as f32, &mut single_losses,
        );
        for j in 0..columns {
            let target = targets[j] as usize;
            let exact = naive_softmax(logits.as_ref().column(j));
            let loss = naive_loss(logits.as_ref().column(j), target);
            prop_assert!((losses[j] - loss).abs() < 1e-12 * (1.0 + loss));
            prop_assert!((single_losses[j] - loss).abs() < 3e-6 * (1.0 + loss));
            for r in 0..rows {
                let p = probabilities.as_ref().column(j)[r];
                prop_assert!((p - exact[r]).abs() < 1e-13 * (exact[r] + 1e-3));
                let expected = (exact[r] - f64::from(r == target)) * scale;
                let g = gradient.as_ref().column(j)[r];
                prop_assert!((g - expected).abs() < 1e-14);
                let g = f64::from(single_gradient.as_ref().column(j)[r]);
                prop_assert!((g - expected).abs() < 5e-6);
            }
        }
    }

    #[test]
    fn gradient_is_that_of_the_loss((logits, targets) in cases(), scale in 0.01..2.0) {
        let compute = Compute::sequential();
        let columns = logits.columns();
        let mut gradient = logits.clone();
        let mut losses = vec![0.0; columns];
        softmax_cross_entropy(&compute, gradient.as_mut(), &targets, scale, &mut losses);
        let h = 1e-5;
        for j in 0..columns {
            // A few rows of a tall column, the target's among them.
            let target = targets[j] as usize;
            for r in [0, logits.rows() / 2, logits.rows() - 1, target] {
                let loss_at = |x: f64| {
                    let mut moved = logits.as_ref().column(j).to_vec();
                    moved[r] = x;
                    let mut loss = [0.0];
                    let block = Columns::new(&moved, moved.len(), 1);
                    cross_entropy(&compute, block, &targets[j..j + 1], &mut loss);
                    loss[0]
                };
                let x = logits.as_ref().column(j)[r];
                let numeric = scale * (loss_at(x + h) - loss_at(x - h)) / (2.0 * h);
                let analytic = gradient.as_ref().column(j)[r];
                prop_assert!(
                    (numeric - analytic).abs() < 1e-6 * analytic.abs() + 1e-8,
                    "row {r}: {numeric} and {analytic}"
                );
            }
        }
    }
}

#[test]
fn bits_depend_on_neither_level_nor_threads() {
    let (rows, columns) = (1003, 67);
    let logits = Matrix::<f32>::from_fn(rows, columns, |r, j| {
        ((r * 7919 + j * 104_729) % 2003) as f32 * 0.01 - 10.0
    });
    let targets: Vec<u32> = (0..columns as u32).map(|j| j * 13 % rows as u32).collect();
    let run = |compute: &Compute| {
        let mut gradient = logits.clone();
        let (mut losses, mut losses_only) = (vec![0.0; columns], vec![0.0; columns]);
        softmax_cross_entropy(compute, gradient.as_mut(), &targets, 0.125, &mut losses);
        cross_entropy(compute, logits.as_ref(), &targets, &mut losses_only);
        let mut probabilities = logits.clone();
        softmax(compute.level(), probabilities.as_mut());
        (gradient, losses, losses_only, probabilities)
    };
    let expected = run(&Compute::sequential().with_level(Level::SCALAR));
    for level in Level::available() {
        for threads in [1, 2, 3] {
            let result = run(&Compute::new(threads).unwrap().with_level(level));
            assert!(result == expected, "{level:?}, {threads} threads");
        }
    }
}

#[test]
fn gaps_between_columns_stay_untouched() {
    let mut data = [1.0_f64, 2.0, 77.0, 3.0, 5.0, 77.0];
    let mut losses = [0.0; 2];
    let block = ColumnsMut::with_stride(&mut data, 2, 2, 3);
    softmax_cross_entropy(&Compute::sequential(), block, &[1, 0], 1.0, &mut losses);
    assert_eq!((data[2], data[5]), (77.0, 77.0));
    assert!((losses[0] - libm::log1p(libm::exp(-1.0))).abs() < 1e-15);
    assert!((losses[1] - libm::log1p(libm::exp(2.0))).abs() < 1e-15);
}

#[test]
fn large_logits_neither_overflow_nor_vanish() {
    let mut data = [3e38_f32, -3e38, 0.0];
    let mut losses = [0.0];
    let compute = Compute::sequential();
    cross_entropy(&compute, Columns::new(&data, 3, 1), &[1], &mut losses);
    // The difference of the logits is beyond f32 and is still the right loss.
    assert!((losses[0] / 6e38 - 1.0).abs() < 1e-6);
    softmax(compute.level(), ColumnsMut::new(&mut data, 3, 1));
    assert_eq!(data, [1.0, 0.0, 0.0]);
}

#[test]
fn broken_logits_give_nan_and_never_a_number() {
    let compute = Compute::sequential();
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for rows in [1, 5, 16, 40, 300] {
            for at in 0..rows {
                for target in [0, rows - 1] {
                    // The middle column is broken, its neighbours are not.
                    let mut logits = Matrix::<f32>::from_fn(rows, 3, |r, _| r as f32 * 0.1);
                    logits.as_mut().column(1)[at] = broken;
                    let targets = [target as u32; 3];
                    let (mut losses, mut losses_only) = ([0.0; 3], [0.0; 3]);
                    cross_entropy(&compute, logits.as_ref(), &targets, &mut losses_only);
                    softmax_cross_entropy(&compute, logits.as_mut(), &targets, 1.0, &mut losses);
                    for losses in [losses, losses_only] {
                        assert!(losses[1].is_nan(), "{broken} in row {at} of {rows}");
                        assert!(losses[0].is_finite() && losses[2].is_finite());
                    }
                    assert!(logits.as_ref().column(1).iter().all(|g| g.is_nan()));
                    assert!(logits.as_ref().column(2).iter().all(|g| g.is_finite()));
                }
            }
        }
    }
}

#[test]
fn softmax_masks_minus_infinity_and_passes_nan_on() {
    let masked = |data: &mut [f64]| {
        let rows = data.len();
        softmax(Level::detect(), ColumnsMut::new(data, rows, 1));
    };
    let mut one_masked = [1.0, f64::NEG_INFINITY, 1.0];
    masked(&mut one_masked);
    assert_eq!(one_masked, [0.5, 0.0, 0.5]);
    for broken in [f64::NAN, f64::INFINITY] {
        let mut column = [1.0, broken, 2.0];
        masked(&mut column);
        assert!(column.iter().all(|p| p.is_nan()));
    }
    let mut all_masked = [f64::NEG_INFINITY; 2];
    masked(&mut all_masked);
    assert!(all_masked.iter().all(|p| p.is_nan()));
    masked(&mut []);
}

#[test]
#[should_panic(expected = "target 3 of column 1 is not a row of logits of 3 rows x 2 columns")]
fn a_target_outside_is_refused() {
    let logits = Matrix::<f32>::zeros(3, 2);
    cross_entropy(&Compute::sequential(), logits.as_ref(), &[0, 3], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "need 2 targets and 2 losses, and there are 1 targets and 2 losses")]
fn missing_targets_are_refused() {
    let mut logits = Matrix::<f32>::zeros(3, 2);
    softmax_cross_entropy(&Compute::sequential(), logits.as_mut(), &[0], 1.0, &mut [0.0; 2]);
}

proptest! {
    #[test]
    fn squared_error_agrees_with_the_definition(
        (outputs, _) in cases(),
        scale in 0.01..2.0,
        marks in prop::collection::vec(any::<bool>(), 5),
    ) {
        let (rows, columns) = (outputs.rows(), outputs.columns());
        let asked = &marks[..columns];
        // What is not asked for is not read either.
        let targets = Matrix::from_fn(rows, columns, |r, j| {
            if asked[j] { (r * 31 + j * 7) as f64 % 9.0 - 4.0 } else { f64::NAN }
        });
        let (mut gradient, mut losses) = (outputs.clone(), vec![9.0; columns]);
        let compute = Compute::sequential();
        let block = gradient.as_mut();
        squared_error(&compute, block, targets.as_ref(), asked, scale, &mut losses);
        for j in 0..columns {
            let (y, target) = (outputs.as_ref().column(j), targets.as_ref().column(j));
            let square = |r: usize| (y[r] - target[r]) * (y[r] - target[r]);
            let loss = if asked[j] { (0..rows).map(square).sum::<f64>() / rows as f64 } else { 0.0 };
            prop_assert!((losses[j] - loss).abs() <= 1e-13 * loss, "{} and {loss}", losses[j]);
            for r in 0..rows {
                let slope = if asked[j] { 2.0 * (y[r] - target[r]) / rows as f64 } else { 0.0 };
                let found = gradient.as_ref().column(j)[r];
                prop_assert!((found - scale * slope).abs() <= 1e-14 * slope.abs());
            }
        }
    }
}

#[test]
fn squared_error_has_the_same_bits_at_any_thread_count() {
    let (rows, columns) = (1003, 67);
    let number = |r: usize, j: usize| ((r * 7919 + j * 104_729) % 2003) as f32 * 0.01 - 10.0;
    let targets = Matrix::from_fn(rows, columns, |r, j| number(j, r));
    let asked: Vec<bool> = (0..columns).map(|j| j % 5 != 0).collect();
    let run = |compute: &Compute| {
        let mut outputs = Matrix::from_fn(rows, columns, number);
        let mut losses = vec![0.0; columns];
        squared_error(compute, outputs.as_mut(), targets.as_ref(), &asked, 0.1, &mut losses);
        (outputs, losses)
    };
    let expected = run(&Compute::sequential().with_level(Level::SCALAR));
    for level in Level::available() {
        for threads in [1, 2, 3] {
            let result = run(&Compute::new(threads).unwrap().with_level(level));
            assert!(result == expected, "{level:?}, {threads} threads");
        }
    }
}

#[test]
fn broken_numbers_make_the_squared_error_broken() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for in_target in [false, true] {
            let (mut outputs, mut targets) = (Matrix::zeros(3, 3), Matrix::zeros(3, 3));
            let matrix = if in_target { &mut targets } else { &mut outputs };
            matrix.as_mut().column(1)[2] = broken;
            let (compute, mut losses) = (Compute::sequential(), [0.0; 3]);
            let block = outputs.as_mut();
            squared_error(&compute, block, targets.as_ref(), &[true; 3], 1.0, &mut losses);
            assert!(!losses[1].is_finite() && losses[0] == 0.0 && losses[2] == 0.0);
            assert!(outputs.as_ref().column(1).iter().any(|g| !g.is_finite()));
        }
    }
}

#[test]
#[should_panic(expected = "targets of 3 x 1, 2 marks and 2 losses")]
fn missing_numbers_are_refused() {
    let (mut outputs, targets) = (Matrix::<f32>::zeros(3, 2), Matrix::zeros(3, 1));
    let (compute, block) = (Compute::sequential(), outputs.as_mut());
    squared_error(&compute, block, targets.as_ref(), &[true; 2], 1.0, &mut [0.0; 2]);
}
