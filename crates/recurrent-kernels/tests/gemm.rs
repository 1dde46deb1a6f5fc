//! The door to faer against sums in `f64`, within the rounding bound of a sum in any order.

use recurrent_kernels::{Accum, Columns, ColumnsMut, Compute, Level, Matrix, Operand, Real, gemm};

/// A number in [-1, 1) that looks random and is exact in both types.
fn noise<T: Real>(seed: u64, index: usize) -> T {
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    T::from_f64(((z >> 41) as f64) / (1u64 << 22) as f64 - 1.0)
}

fn matrix<T: Real>(seed: u64, rows: usize, columns: usize) -> Matrix<T> {
    let data = (0..rows * columns).map(|i| noise(seed, i)).collect();
    Matrix::from_columns(data, rows, columns)
}

/// The transpose, so that a factor can be handed over in either layout.
fn transpose<T: Real>(matrix: &Matrix<T>) -> Matrix<T> {
    Matrix::from_fn(matrix.columns(), matrix.rows(), |r, j| matrix.as_ref().column(r)[j])
}

/// `by_rows` is the left factor transposed: both factors are then contiguous along the sum.
/// Checks every `step`-th element of `out` against `old + left * right`.
fn check<T: Real>(
    out: Columns<'_, T>,
    old: Option<Columns<'_, T>>,
    by_rows: &Matrix<T>,
    right: &Matrix<T>,
    step: usize,
    what: &str,
) {
    let depth = right.rows();
    let rounding = (depth + 2) as f64 * T::EPSILON.to_f64();
    for index in (0..out.rows() * out.columns()).step_by(step) {
        let (r, j) = (index % out.rows(), index / out.rows());
        let start = old.map_or(0.0, |old| old.column(j)[r].to_f64());
        let (mut sum, mut size) = (start, start.abs());
        for (&a, &b) in by_rows.as_ref().column(r).iter().zip(right.as_ref().column(j)) {
            let term = a.to_f64() * b.to_f64();
            sum += term;
            size += term.abs();
        }
        let value = out.column(j)[r].to_f64();
        assert!(
            (value - sum).abs() <= rounding * size,
            "{what}: row {r}, column {j} is {value} and should be {sum}"
        );
    }
}

/// All four layouts of the factors, with both ways of accumulating.
fn check_layouts<T: Real>(computes: &[Compute], rows: usize, depth: usize, columns: usize) {
    let (left, right) = (matrix::<T>(1, rows, depth), matrix::<T>(2, depth, columns));
    let (by_rows, by_columns) = (transpose(&left), transpose(&right));
    let old = matrix::<T>(3, rows, columns);
    for layout in 0..8 {
        let accum = if layout & 4 == 0 { Accum::Replace } else { Accum::Add };
        let l = match layout & 1 {
            0 => Operand::Plain(left.as_ref()),
            _ => Operand::Transposed(by_rows.as_ref()),
        };
        let r = match layout & 2 {
            0 => Operand::Plain(right.as_ref()),
            _ => Operand::Transposed(by_columns.as_ref()),
        };
        let mut first: Option<Matrix<T>> = None;
        for compute in computes {
            // A gap of two numbers after each column, which must stay as it is.
            let gap = T::from_f64(7.0);
            let mut out = vec![gap; (rows + 2) * columns];
            let mut block = ColumnsMut::with_stride(&mut out, rows, columns, rows + 2);
            match accum {
                Accum::Add => block.copy_from(old.as_ref()),
                Accum::Replace => block.fill(T::from_f64(f64::NAN)),
            }
            gemm(compute, block, accum, l, r);
            assert!((0..columns).all(|j| out[j * (rows + 2) + rows..][..2] == [gap; 2]));
            let block = Columns::with_stride(&out, rows, columns, rows + 2);
            let mut result = Matrix::zeros(rows, columns);
            result.as_mut().copy_from(block);
            let what = format!(
                "{} {rows} x {depth} x {columns}, layout {layout}, {} threads, {}",
                T::NAME,
                compute.threads(),
                compute.level().name()
            );
            match &first {
                Some(first) => assert!(*first == result, "{what}: other bits"),
                None => {
                    let old = (accum == Accum::Add).then_some(old.as_ref());
                    check(block, old, &by_rows, &right, 1 + rows * columns / 20_000, &what);
                    first = Some(result);
                }
            }
        }
    }
}

#[test]
fn products_are_right_and_have_the_same_bits_at_any_thread_count_and_level() {
    let mut computes: Vec<Compute> =
        [1, 2, 3, 8].iter().map(|&threads| Compute::new(threads).unwrap()).collect();
    computes.extend(Level::available().iter().map(|&l| Compute::sequential().with_level(l)));
    // Small; one wide, short and long; a few terms; general; divided by rows, by columns, both.
    let small = [(1, 1, 1), (3, 5, 2), (16, 16, 16), (7, 0, 4), (0, 3, 2), (2, 3, 0)];
    let narrow = [(1, 1500, 3), (1, 40, 900), (900, 600, 1), (130, 1030, 1)];
    let few = [(300, 1, 901), (130, 2, 301), (65, 3, 400), (65, 4, 400), (1, 3, 2000)];
    let general = [(17, 16, 16), (2, 2000, 3), (65, 700, 33)];
    let divided = [(1000, 530, 40), (50, 520, 1001), (333, 600, 222), (790, 300, 260)];
    let shapes = small.into_iter().chain(narrow).chain(few).chain(general).chain(divided);
    for (rows, depth, columns) in shapes {
        check_layouts::<f32>(&computes, rows, depth, columns);
        check_layouts::<f64>(&computes, rows, depth, columns);
    }
}

/// One-wide results keep the chains of the packed product: 512 terms, ascending.
#[test]
fn one_wide_results_are_chains_of_512_terms() {
    let (left, right) = (matrix::<f32>(4, 1, 1100), matrix::<f32>(5, 1100, 1));
    let (l, r) = (Operand::Plain(left.as_ref()), Operand::Plain(right.as_ref()));
    let mut out = Matrix::from_columns(vec![0.25f32], 1, 1);
    gemm(&Compute::sequential(), out.as_mut(), Accum::Add, l, r);
    let mut expected = 0.25f32;
    for range in [0..512, 512..1024, 1024..1100] {
        let terms = range.map(|k| (left.as_slice()[k], right.as_slice()[k]));
        expected += terms.fold(0.0, |sum, (a, b)| a.mul_add(b, sum));
    }
    assert_eq!(out.as_slice(), [expected]);
}

/// The gradient of a weight, `d_y x^T`, bit for bit: chains of 512 terms, ascending, each then added.
fn check_gradient<T: Real>(computes: &[Compute], rows: usize, depth: usize, columns: usize) {
    // Both are rows of taller blocks, as gates are.
    let (d_y, x) = (matrix::<T>(8, rows + 3, depth), matrix::<T>(9, columns + 2, depth));
    let d_y = d_y.as_ref().rows_range(1..rows + 1);
    let x = x.as_ref().rows_range(2..columns + 2);
    let old = matrix::<T>(10, rows, columns);
    let expected = Matrix::from_fn(rows, columns, |r, j| {
        let mut sum = old.as_ref().column(j)[r];
        for start in (0..depth).step_by(512) {
            let terms = start..depth.min(start + 512);
            sum += terms.fold(T::ZERO, |chain, k| d_y.column(k)[r].mul_add(x.column(k)[j], chain));
        }
        sum
    });
    for compute in computes {
        let mut out = old.clone();
        let (left, right) = (Operand::Plain(d_y), Operand::Transposed(x));
        gemm(compute, out.as_mut(), Accum::Add, left, right);
        let (threads, level) = (compute.threads(), compute.level().name());
        let what = format!("{} {rows} x {depth} x {columns}, {threads} threads", T::NAME);
        assert!(out == expected, "{what}, {level}");
    }
}

#[test]
fn gradients_of_weights_are_chains_of_512_terms() {
    let mut computes: Vec<Compute> =
        [2, 3, 8].iter().map(|&threads| Compute::new(threads).unwrap()).collect();
    computes.extend(Level::available().iter().map(|&l| Compute::sequential().with_level(l)));
    // Every edge of squares, panels and groups of rows, of blocks of terms and of columns; then
    // what is divided by rows, and by columns.
    let edges = [(15, 9, 9), (17, 512, 7), (129, 513, 8), (128, 520, 6), (2, 3000, 2)];
    let divided = [(270, 1030, 40), (33, 530, 600), (9, 700, 1025)];
    // So few terms that they go another way, whole and divided; and one more.
    let few = [(5, 1, 7), (33, 2, 70), (70, 3, 41), (70, 4, 41)];
    let few_divided = [(1100, 1, 500), (900, 2, 301), (700, 3, 300), (700, 4, 300)];
    let shapes = edges.into_iter().chain(divided).chain(few).chain(few_divided);
    for (rows, depth, columns) in shapes {
        check_gradient::<f32>(&computes, rows, depth, columns);
        check_gradient::<f64>(&computes, rows, depth, columns);
    }
}

/// Large results, some of whose blocks are zero. Versions of faer's x86 product below 0.1.22 were
/// silently wrong on some elements of results about 5,000 wide.
fn check_large<T: Real>(rows: usize, depth: usize, columns: usize, step: usize) {
    let compute = Compute::new(2).unwrap();
    let mut by_rows = matrix::<T>(6, depth, rows);
    let mut right = matrix::<T>(7, depth, columns);
    by_rows.as_mut().columns_range(rows / 3..rows / 2).fill(T::ZERO);
    right.as_mut().columns_range(columns / 5..columns / 2).fill(T::ZERO);
    let mut out = Matrix::zeros(rows, columns);
    out.as_mut().fill(T::from_f64(f64::NAN));
    let by_columns = transpose(&right);
    for (layout, r) in [
        ("plain", Operand::Plain(right.as_ref())),
        ("transposed", Operand::Transposed(by_columns.as_ref())),
    ] {
        gemm(&compute, out.as_mut(), Accum::Replace, Operand::Transposed(by_rows.as_ref()), r);
        let what = format!("{} {rows} x {depth} x {columns}, {layout}", T::NAME);
        check(out.as_ref(), None, &by_rows, &right, step, &what);
    }
}

#[test]
fn large_results_with_zero_blocks_are_right() {
    for (rows, depth, columns, step) in
        [(5018, 9, 5018, 11), (5018, 130, 257, 3), (257, 40, 5018, 1), (67, 5018, 50, 1)]
    {
        check_large::<f32>(rows, depth, columns, step);
        check_large::<f64>(rows, depth, columns, step);
    }
}

#[test]
fn faer_sees_the_same_block() {
    let mut data: Vec<f32> = (0..11).map(|i| i as f32).collect();
    let block = Columns::with_stride(&data, 3, 2, 8);
    let view = block.as_faer();
    assert_eq!((view.nrows(), view.ncols()), (3, 2));
    assert_eq!((view[(2, 0)], view[(0, 1)], view[(2, 1)]), (2.0, 8.0, 10.0));
    ColumnsMut::with_stride(&mut data, 3, 2, 8).as_faer_mut()[(1, 1)] = -1.0;
    assert_eq!(data[9], -1.0);
}

#[test]
#[should_panic(expected = "a factor of 4 x 3 times one of 2 x 5 does not give an output of 4 x 5")]
fn shapes_that_do_not_fit_are_refused() {
    let (left, right) = (matrix::<f32>(0, 4, 3), matrix::<f32>(0, 5, 2));
    let (l, r) = (Operand::Plain(left.as_ref()), Operand::Transposed(right.as_ref()));
    gemm(&Compute::sequential(), Matrix::zeros(4, 5).as_mut(), Accum::Add, l, r);
}
