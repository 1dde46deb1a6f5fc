//! Sums of squares and of rows: values, order, and independence of threads and levels.

use proptest::prelude::*;
use recurrent_kernels::norm::{add_row_products, add_row_sums, sum_of_squares};
use recurrent_kernels::{Columns, Compute, Level};

/// Numbers that are no short binary fractions, so that every other order shows in the bits.
fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 7919) % 10_007) as f64 / 10_007.0 - 0.4).collect()
}

#[test]
fn bits_depend_on_neither_level_nor_threads() {
    for count in [0, 1, 15, 16 * 1024, 16 * 1024 + 1, 250_003] {
        let values = numbers(count);
        let expected = sum_of_squares(&Compute::sequential().with_level(Level::SCALAR), &values);
        let exact: f64 = values.iter().map(|&x| x * x).sum();
        assert!((expected - exact).abs() <= 1e-12 * exact, "{expected} and {exact}");
        for level in Level::available() {
            for threads in [1, 2, 3, 5] {
                let compute = Compute::new(threads).unwrap().with_level(level);
                let sum = sum_of_squares(&compute, &values);
                assert_eq!(sum.to_bits(), expected.to_bits(), "{count}, {level:?}, {threads}");
            }
        }
    }
}

#[test]
fn squares_beyond_f32_are_summed_and_broken_numbers_show() {
    let compute = Compute::sequential();
    assert_eq!(sum_of_squares(&compute, &[1e30_f32, 0.0]), f64::from(1e30_f32).powi(2));
    let mut values = numbers(40_000);
    values[33_333] = f64::NAN;
    assert!(sum_of_squares(&compute, &values).is_nan());
    values[33_333] = f64::NEG_INFINITY;
    assert_eq!(sum_of_squares(&compute, &values), f64::INFINITY);
}

#[test]
fn row_sums_have_the_same_bits_at_any_level_and_thread_count() {
    let (rows, columns) = (700, 301);
    let values = numbers(rows * columns);
    let block = Columns::new(&values, rows, columns);
    let run = |compute: &Compute| {
        let (mut sums, mut products) = (numbers(rows), numbers(rows));
        add_row_sums(compute, block, &mut sums);
        add_row_products(compute, block, block, &mut products);
        (sums, products)
    };
    let expected = run(&Compute::sequential().with_level(Level::SCALAR));
    for level in Level::available() {
        for threads in [1, 2, 3] {
            let compute = Compute::new(threads).unwrap().with_level(level);
            assert!(run(&compute) == expected, "{level:?}, {threads} threads");
        }
    }
}

proptest! {
    #[test]
    fn row_sums_are_the_sums_of_rows(
        rows in 0usize..600, columns in 0usize..200, gap in 0usize..3, seed in 0usize..1000
    ) {
        let stride = rows + gap;
        let values: Vec<f64> =
            numbers(stride * columns + seed).split_off(seed);
        let block = Columns::with_stride(&values, rows, columns, stride);
        let mut sums: Vec<f64> = (0..rows).map(|r| r as f64).collect();
        add_row_sums(&Compute::sequential(), block, &mut sums);
        let factors = numbers(rows * columns);
        let factors = Columns::new(&factors, rows, columns);
        let mut products: Vec<f64> = (0..rows).map(|r| r as f64).collect();
        add_row_products(&Compute::sequential(), block, factors, &mut products);
        for r in 0..rows {
            let row: Vec<f64> = (0..columns).map(|j| block.column(j)[r]).collect();
            let exact: f64 = r as f64 + row.iter().sum::<f64>();
            prop_assert!((sums[r] - exact).abs() < 1e-12 * (1.0 + exact.abs()), "row {}", r);
            let terms = row.iter().enumerate().map(|(j, &x)| x * factors.column(j)[r]);
            let exact: f64 = r as f64 + terms.sum::<f64>();
            prop_assert!((products[r] - exact).abs() < 1e-12 * (1.0 + exact.abs()), "row {}", r);
        }
    }
}

#[test]
fn many_columns_keep_their_small_terms() {
    // Added one by one, a million tenths in f32 are off by 4 %.
    let values = vec![0.1_f32; 1 << 20];
    let mut sums = [0.0_f32];
    add_row_sums(&Compute::sequential(), Columns::new(&values, 1, 1 << 20), &mut sums);
    assert!((sums[0] / 104_857.6 - 1.0).abs() < 5e-4, "{}", sums[0]);
}

#[test]
#[should_panic(expected = "3 sums cannot take the rows of a block of 2 rows x 5 columns")]
fn wrong_sums_are_refused() {
    let values = [0.0_f32; 10];
    add_row_sums(&Compute::sequential(), Columns::new(&values, 2, 5), &mut [0.0; 3]);
}
