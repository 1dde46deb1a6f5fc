//! The largest singular value of a matrix: by how much it stretches at most.

use recurrent_kernels::Matrix;

/// The residual at which the iteration ends, as a share of the value.
const RESIDUAL: f64 = 1e-9;
/// And the most rounds, which only neighbours closer than about 1e-3 can need.
const MOST_ROUNDS: usize = 10_000;

/// The largest singular value of `matrix`; 0 if it has no number but zeros, NaN if one is not finite.
///
/// By power iteration, in f64 and from a fixed beginning:
///
/// ```text
/// u = A v        w = A^T u        s^2 = |u|^2 / |v|^2        v <- w / |w|
/// until w = s^2 v, but for 1e-9
/// ```
///
/// Each round costs 4 rows x columns operations. The value is right to 1e-9 unless the two largest
/// are so close (within about 1e-3 of each other) that the rounds do not part them; then it lies
/// between them.
pub(crate) fn largest_singular_value(matrix: &Matrix<f64>) -> f64 {
    let numbers = matrix.as_slice();
    if numbers.iter().any(|number| !number.is_finite()) {
        return f64::NAN;
    }
    let scale = numbers.iter().fold(0.0, |most: f64, number| most.max(number.abs()));
    if scale == 0.0 {
        return 0.0;
    }
    // Squares of what is below 1e-154 would be nothing.
    let of_place = |row: usize, column: usize| matrix.as_ref().column(column)[row] / scale;
    let a = Matrix::from_fn(matrix.rows(), matrix.columns(), of_place);
    let a = a.as_ref();
    // Any vector will do that is not at right angles to the one that is stretched most. Nothing about
    // a network singles this one out: fractions of multiples of the golden ratio.
    let golden = 0.618_033_988_749_894_9;
    let mut v: Vec<f64> = (1..=a.columns()).map(|j| 0.5 + (j as f64 * golden).fract()).collect();
    normalize(&mut v);
    let (mut u, mut w) = (vec![0.0; a.rows()], vec![0.0; a.columns()]);
    let mut square = 0.0;
    for _ in 0..MOST_ROUNDS {
        u.fill(0.0);
        for (j, &factor) in v.iter().enumerate() {
            for (sum, number) in u.iter_mut().zip(a.column(j)) {
                *sum += number * factor;
            }
        }
        for (j, product) in w.iter_mut().enumerate() {
            *product = a.column(j).iter().zip(&u).map(|(number, u)| number * u).sum();
        }
        square = squares(&u) / squares(&v);
        let residual = w.iter().zip(&v).map(|(w, v)| (w - square * v).powi(2)).sum::<f64>();
        std::mem::swap(&mut v, &mut w);
        if residual.sqrt() <= RESIDUAL * square || !normalize(&mut v) {
            break;
        }
    }
    scale * square.sqrt()
}

fn squares(vector: &[f64]) -> f64 {
    vector.iter().map(|number| number * number).sum()
}

/// Scales a vector to length 1, unless it has none.
fn normalize(vector: &mut [f64]) -> bool {
    let norm = squares(vector).sqrt();
    vector.iter_mut().for_each(|number| *number /= norm);
    norm > 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All singular values, by one-sided Jacobi rotations: pairs of columns are turned until all are
    /// at right angles; their lengths are the values (Hestenes 1958).
    fn singular_values(mut a: Matrix<f64>) -> Vec<f64> {
        let dot = |a: &Matrix<f64>, i: usize, j: usize| -> f64 {
            a.as_ref().column(i).iter().zip(a.as_ref().column(j)).map(|(x, y)| x * y).sum()
        };
        for _ in 0..60 {
            for (i, j) in (0..a.columns()).flat_map(|j| (0..j).map(move |i| (i, j))) {
                let (ii, jj, ij) = (dot(&a, i, i), dot(&a, j, j), dot(&a, i, j));
                if ij == 0.0 {
                    continue;
                }
                let zeta = (jj - ii) / (2.0 * ij);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cos = 1.0 / (1.0 + t * t).sqrt();
                let sin = cos * t;
                for row in 0..a.rows() {
                    let (x, y) = (a.as_ref().column(i)[row], a.as_ref().column(j)[row]);
                    a.as_mut().column(i)[row] = cos * x - sin * y;
                    a.as_mut().column(j)[row] = sin * x + cos * y;
                }
            }
        }
        (0..a.columns()).map(|j| dot(&a, j, j).sqrt()).collect()
    }

    proptest! {
        #[test]
        fn it_is_the_largest_of_all(
            (rows, columns) in (1usize..9, 1usize..9),
            numbers in prop::collection::vec(-1.0f64..1.0, 64),
            exponent in -200i32..100,
        ) {
            let scale = libm::pow(10.0, f64::from(exponent));
            let a = Matrix::from_fn(rows, columns, |row, column| numbers[8 * column + row]);
            let expected = singular_values(a.clone()).into_iter().fold(0.0, f64::max);
            let scaled = Matrix::from_fn(rows, columns, |row, column| {
                scale * a.as_ref().column(column)[row]
            });
            let found = largest_singular_value(&scaled) / scale;
            prop_assert!((found - expected).abs() <= 1e-6 * expected, "{found}, not {expected}");
        }
    }

    #[test]
    fn special_matrices_have_theirs() {
        let diagonal = |values: &[f64]| {
            let size = values.len();
            Matrix::from_fn(size, size, |row, column| if row == column { values[row] } else { 0.0 })
        };
        assert_eq!(largest_singular_value(&diagonal(&[1.0; 7])), 1.0);
        assert!((largest_singular_value(&diagonal(&[0.5, -3.0, 2.9])) - 3.0).abs() < 1e-9);
        // Far apart, and a first number that is next to nothing.
        assert!((largest_singular_value(&diagonal(&[1e-30, 1.0, 1e-3])) - 1.0).abs() < 1e-12);
        assert_eq!(largest_singular_value(&diagonal(&[0.0, 0.0])), 0.0);
        assert_eq!(largest_singular_value(&Matrix::zeros(0, 0)), 0.0);
        assert!(largest_singular_value(&diagonal(&[1.0, f64::NAN, 2.0])).is_nan());
        assert!(largest_singular_value(&diagonal(&[1.0, f64::INFINITY])).is_nan());
    }
}
