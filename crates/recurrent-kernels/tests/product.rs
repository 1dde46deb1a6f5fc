//! The packed product against a chain of scalar multiply-adds, bit for bit.
#![allow(clippy::single_range_in_vec_init)] // one range of rows is meant

use std::ops::Range;

use proptest::prelude::*;
use recurrent_kernels::{
    Accum, Columns, ColumnsMut, Compute, Level, Matrix, Operand, Packed, Real, gemm, product,
    product_within,
};

/// A number in [-1, 1) that looks random and is exact in both types.
fn noise<T: Real>(seed: u64, index: usize) -> T {
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    T::from_f64(((z >> 41) as f64) / (1u64 << 22) as f64 - 1.0)
}

fn numbers<T: Real>(seed: u64, count: usize) -> Vec<T> {
    (0..count).map(|i| noise(seed, i)).collect()
}

fn matrix<T: Real>(seed: u64, rows: usize, columns: usize) -> Matrix<T> {
    Matrix::from_columns(numbers(seed, rows * columns), rows, columns)
}

/// The contract: chains of 512 terms in ascending order from zero, each then added.
fn element<T: Real>(old: T, accum: Accum, weights: impl Fn(usize) -> T, x: &[T]) -> T {
    let mut sum = if accum == Accum::Add { Some(old) } else { None };
    for start in (0..x.len()).step_by(512) {
        let mut chain = T::ZERO;
        for k in start..x.len().min(start + 512) {
            chain = weights(k).mul_add(x[k], chain);
        }
        sum = Some(sum.map_or(chain, |sum| sum + chain));
    }
    sum.unwrap_or(T::ZERO)
}

/// Equal, number by number, NaN being equal to NaN.
fn same<T: Real>(a: &[T], b: &[T]) -> bool {
    let same = |(&a, &b): (&T, &T)| {
        let (a, b) = (a.to_f64(), b.to_f64());
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[derive(Clone, Debug)]
struct Case {
    rows: usize,
    depth: usize,
    columns: usize,
    gaps: [usize; 3],
    add: bool,
    transposed: bool,
    /// Where the packed rows (or, transposed, terms) are cut, and how the pieces are turned.
    cut: usize,
    seed: u64,
}

/// The packed product of one case equals the oracle at every level, and leaves gaps alone.
fn check<T: Real>(case: &Case) -> Result<(), String> {
    let &Case { rows, depth, columns, gaps, add, transposed, cut, seed } = case;
    let accum = if add { Accum::Add } else { Accum::Replace };
    // The weight has two rows more than are packed, one before and one after.
    let (tall, wide) = if transposed { (depth, rows) } else { (rows, depth) };
    let weight_stride = tall + 2 + gaps[0];
    let weight = numbers::<T>(seed, weight_stride * wide);
    let weight = Columns::with_stride(&weight, tall + 2, wide, weight_stride);
    let cut = 1 + cut % (tall + 1);
    let ranges: [Range<usize>; 3] = [cut..tall + 1, 1..1, 1..cut];
    let order: Vec<usize> = ranges.iter().flat_map(Clone::clone).collect();
    let x_stride = depth + gaps[1];
    let x = numbers::<T>(seed ^ 1, x_stride * columns);
    let x = Columns::with_stride(&x, depth, columns, x_stride);
    let out_stride = rows + gaps[2];
    let mut before = numbers::<T>(seed ^ 2, out_stride * columns);
    if !add {
        before.fill(T::from_f64(f64::NAN));
    }
    let mut expected = before.clone();
    for j in 0..columns {
        for r in 0..rows {
            let weights = |k: usize| match transposed {
                true => weight.column(r)[order[k]],
                false => weight.column(k)[order[r]],
            };
            let place = &mut expected[j * out_stride + r];
            *place = element(*place, accum, weights, x.column(j));
        }
    }
    // One value for all levels: what an earlier pack left behind must not show.
    let mut packed = Packed::new();
    for level in Level::available() {
        let compute = Compute::sequential().with_level(level);
        match transposed {
            true => packed.pack_transposed(&compute, weight, &ranges),
            false => packed.pack(&compute, weight, &ranges),
        }
        if (packed.rows(), packed.columns()) != (rows, depth) {
            return Err(format!("packed as {} x {}", packed.rows(), packed.columns()));
        }
        let mut out = before.clone();
        let block = ColumnsMut::with_stride(&mut out, rows, columns, out_stride);
        product(block, accum, &packed, x);
        if !same(&out, &expected) {
            return Err(format!("{} at level {}", T::NAME, level.name()));
        }
    }
    Ok(())
}

/// Weights of more than two mebibytes are fetched ahead of time: the bits stay.
#[test]
fn large_weights_give_the_same_bits() {
    for (rows, depth, columns) in [(1051, 520, 17), (700, 1100, 6)] {
        let case = Case {
            rows,
            depth,
            columns,
            gaps: [1, 0, 3],
            add: true,
            transposed: false,
            cut: 100,
            seed: 5,
        };
        check::<f32>(&case).unwrap();
        check::<f64>(&case).unwrap();
    }
}

fn depths() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..=20, 1 => 510usize..=514, 1 => 1023usize..=1026]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn a_product_equals_its_chains(
        rows in 1usize..=70,
        depth in depths(),
        columns in 1usize..=11,
        gaps in [0usize..4, 0usize..4, 0usize..4],
        add: bool,
        transposed: bool,
        cut: usize,
        seed: u64,
    ) {
        let case = Case { rows, depth, columns, gaps, add, transposed, cut, seed };
        check::<f32>(&case).map_err(TestCaseError::fail)?;
        check::<f64>(&case).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn every_edge_of_the_tiling_is_right() {
    let shapes = (0..=70).flat_map(|rows| (0..=11).map(move |columns| (rows, columns)));
    for (rows, columns) in shapes.chain([(100, 127), (20, 128), (49, 129), (200, 263)]) {
        for (depth, add) in [(0, false), (0, true), (3, rows % 2 == 0)] {
            let (gaps, seed) = ([0, 1, 2], (rows * 100 + columns) as u64);
            let transposed = columns % 2 == 0;
            let case = Case { rows, depth, columns, gaps, add, transposed, cut: 2, seed };
            check::<f32>(&case).and_then(|()| check::<f64>(&case)).unwrap_or_else(|error| {
                panic!("{error}: {case:?}");
            });
        }
    }
}

#[test]
fn a_column_has_the_same_bits_alone_and_in_any_batch() {
    let (weight, x) = (matrix::<f32>(1, 77, 600), matrix::<f32>(2, 600, 21));
    let mut packed = Packed::new();
    packed.pack(&Compute::sequential(), weight.as_ref(), &[0..77]);
    let mut whole = matrix::<f32>(3, 77, 21);
    let before = whole.clone();
    product(whole.as_mut(), Accum::Add, &packed, x.as_ref());
    for width in 1..=20 {
        let mut part = before.clone();
        for first in (0..21).step_by(width) {
            let range = first..21.min(first + width);
            let out = part.as_mut().columns_range(range.clone());
            product(out, Accum::Add, &packed, x.as_ref().columns_range(range));
        }
        assert!(same(part.as_slice(), whole.as_slice()), "{width} columns at once");
    }
}

#[test]
fn threads_do_not_change_bits() {
    let computes = [1, 2, 3, 8].map(|threads| Compute::new(threads).unwrap());
    // Many rows and few columns, many columns and few rows, both, and neither.
    for (rows, depth, columns) in [(900, 600, 3), (9, 700, 400), (300, 200, 300), (40, 30, 5)] {
        let (weight, x) = (matrix::<f64>(4, rows, depth), matrix::<f64>(5, depth, columns));
        let mut packed = Packed::new();
        packed.pack(&Compute::sequential(), weight.as_ref(), &[0..rows]);
        let mut expected = matrix::<f64>(6, rows, columns);
        let before = expected.clone();
        product(expected.as_mut(), Accum::Add, &packed, x.as_ref());
        for compute in &computes {
            let mut out = before.clone();
            compute.product(out.as_mut(), Accum::Add, &packed, x.as_ref());
            let threads = compute.threads();
            assert!(same(out.as_slice(), expected.as_slice()), "{threads} threads");
        }
    }
}

#[test]
fn threads_that_share_the_packing_do_not_change_bits() {
    // Two pieces of the rows, of which one ends inside a panel; large enough to be divided.
    let ranges = [431..989, 3..430];
    let (weight, rows) = (matrix::<f32>(11, 990, 985), 985);
    let (x, x_turned) = (matrix::<f32>(12, 985, 2), matrix::<f32>(13, rows, 2));
    let products = |compute: &Compute| {
        let mut packed = Packed::new();
        packed.pack(compute, weight.as_ref(), &ranges);
        let mut out = Matrix::zeros(rows, 2);
        product(out.as_mut(), Accum::Replace, &packed, x.as_ref());
        packed.pack_transposed(compute, weight.as_ref(), &ranges);
        let mut turned = Matrix::zeros(985, 2);
        product(turned.as_mut(), Accum::Replace, &packed, x_turned.as_ref());
        [out, turned]
    };
    for level in Level::available() {
        let alone = products(&Compute::sequential().with_level(level));
        for threads in [2, 3, 8] {
            let together = products(&Compute::new(threads).unwrap().with_level(level));
            for (alone, together) in alone.iter().zip(&together) {
                assert!(same(alone.as_slice(), together.as_slice()), "{threads} threads");
            }
        }
    }
}

/// faer keeps the same chains on x86 with fused multiply-add; elsewhere it may sum differently.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_packed_product_has_the_bits_of_faer() {
    fn compare<T: Real>(rows: usize, depth: usize, columns: usize) {
        let (weight, x) = (matrix::<T>(7, rows, depth), matrix::<T>(8, depth, columns));
        let mut packed = Packed::new();
        packed.pack(&Compute::sequential(), weight.as_ref(), &[0..rows]);
        let mut own = Matrix::zeros(rows, columns);
        product(own.as_mut(), Accum::Replace, &packed, x.as_ref());
        let mut faer = Matrix::zeros(rows, columns);
        let (left, right) = (Operand::Plain(weight.as_ref()), Operand::Plain(x.as_ref()));
        gemm(&Compute::sequential(), faer.as_mut(), Accum::Replace, left, right);
        let shape = format!("{rows} x {depth} x {columns} in {}", T::NAME);
        assert!(same(own.as_slice(), faer.as_slice()), "{shape}");
    }
    if Level::detect() == Level::SCALAR {
        return;
    }
    let shapes = [(65, 33, 2), (2, 1100, 5), (96, 512, 16), (100, 513, 7), (512, 128, 33)];
    for (rows, depth, columns) in shapes.into_iter().chain([(31, 1025, 40), (700, 300, 130)]) {
        compare::<f32>(rows, depth, columns);
        compare::<f64>(rows, depth, columns);
    }
}

#[test]
fn infinities_and_nan_go_where_they_belong() {
    let mut weight = matrix::<f32>(9, 41, 8);
    weight.as_mut().column(3)[40] = f32::INFINITY;
    let mut x = matrix::<f32>(10, 8, 6);
    x.as_mut().column(2)[5] = f32::NAN;
    x.as_mut().column(4)[3] = 0.0;
    let mut packed = Packed::new();
    for level in Level::available() {
        packed.pack(&Compute::sequential().with_level(level), weight.as_ref(), &[0..41]);
        let mut out = Matrix::zeros(41, 6);
        product(out.as_mut(), Accum::Replace, &packed, x.as_ref());
        for (j, r) in (0..6).flat_map(|j| (0..41).map(move |r| (j, r))) {
            let value = out.as_ref().column(j)[r];
            match (j, r) {
                (2, _) | (4, 40) => assert!(value.is_nan(), "row {r}, column {j}"),
                (_, 40) => assert!(value.is_infinite(), "row {r}, column {j}"),
                _ => assert!(value.is_finite(), "row {r}, column {j}"),
            }
        }
    }
}

#[test]
#[should_panic(
    expected = "packed weights of 4 x 3 times x of 2 x 5 do not give an output of 4 x 5"
)]
fn shapes_that_do_not_fit_are_refused() {
    let mut packed = Packed::new();
    packed.pack(&Compute::sequential(), matrix::<f32>(0, 4, 3).as_ref(), &[0..4]);
    product(Matrix::zeros(4, 5).as_mut(), Accum::Add, &packed, matrix(0, 2, 5).as_ref());
}

#[test]
#[should_panic(expected = "rows 2..5 to be packed lie outside a weight of 4 rows x 3 columns")]
fn rows_outside_the_weight_are_refused() {
    Packed::new().pack(&Compute::sequential(), matrix::<f32>(0, 4, 3).as_ref(), &[0..1, 2..5]);
}

/// A product inside one block equals the product of copies of its parts.
#[test]
fn a_product_within_a_block_is_that_of_its_parts() {
    for (out, x) in [(0..7, 9..14), (9..21, 0..9), (3..4, 4..5), (2..2, 5..9), (0..5, 6..6)] {
        for columns in [0, 1, 2, 9] {
            let (rows, stride) = (22, 25);
            let weight = matrix::<f64>(3, out.len(), x.len());
            let before = numbers::<f64>(4, stride * columns);
            for level in Level::available() {
                let mut packed = Packed::new();
                packed.pack(
                    &Compute::sequential().with_level(level),
                    weight.as_ref(),
                    &[0..out.len()],
                );
                for accum in [Accum::Add, Accum::Replace] {
                    let mut expected = before.clone();
                    let copy = Columns::with_stride(&before, rows, columns, stride);
                    let block = ColumnsMut::with_stride(&mut expected, rows, columns, stride);
                    let parts = block.rows_range(out.clone());
                    product(parts, accum, &packed, copy.rows_range(x.clone()));
                    let mut got = before.clone();
                    let block = ColumnsMut::with_stride(&mut got, rows, columns, stride);
                    product_within(block, out.clone(), accum, &packed, x.clone());
                    assert!(got == expected, "{out:?} from {x:?}, {columns} columns, {level:?}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "rows 4..8 cannot be multiplied into rows 3..5 of a block of 9 rows")]
fn overlapping_rows_are_refused() {
    let mut packed = Packed::new();
    packed.pack(
        &Compute::sequential().with_level(Level::SCALAR),
        matrix::<f32>(1, 2, 4).as_ref(),
        &[0..2],
    );
    product_within(matrix(2, 9, 3).as_mut(), 3..5, Accum::Add, &packed, 4..8);
}

#[test]
#[should_panic(expected = "rows 8..12 cannot be multiplied into rows 3..5 of a block of 9 rows")]
fn rows_outside_a_block_are_refused() {
    let mut packed = Packed::new();
    packed.pack(
        &Compute::sequential().with_level(Level::SCALAR),
        matrix::<f32>(1, 2, 4).as_ref(),
        &[0..2],
    );
    product_within(matrix(2, 9, 3).as_mut(), 3..5, Accum::Add, &packed, 8..12);
}
