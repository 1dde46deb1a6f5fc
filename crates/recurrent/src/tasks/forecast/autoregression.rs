//! A linear autoregression, fitted by least squares: what a forecast is worth that knows no
//! threshold, no product and no longer memory.

use serde::{Deserialize, Serialize};

/// Added to the squares of every input, per example: enough where inputs say the same, such as
/// neighbours in a smooth series, and nothing where they do not.
const RIDGE: f64 = 1e-9;

/// The most rows that are looked back at.
const MOST_LAGS: usize = 48;
/// The most inputs, so that wide tables are fitted in seconds: they look back less far.
const MOST_INPUTS: usize = 192;

/// An autoregression AR(p) of all columns together: a linear map from the last `lags` rows to each
/// of the next `horizon` rows. Each step has a map of its own (direct forecasts), which is the best
/// that any linear map of these rows can do at it; with one column and a horizon of 1 it is the
/// textbook's AR(p).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoregression {
    /// Rows that it looks back at.
    lags: usize,
    /// For each number of the forecast, row after row: its constant, then a factor for each number
    /// of the last rows, oldest first.
    maps: Vec<Vec<f64>>,
}

impl Autoregression {
    /// How many rows an autoregression looks back at, of windows of `window` rows.
    pub fn lags_for(window: usize, columns: usize) -> usize {
        window.min(MOST_LAGS).min((MOST_INPUTS / columns).max(1))
    }

    /// Fits `rows` of `columns` numbers, which should be near 1 in size.
    ///
    /// # Panics
    /// If there are fewer than `lags + horizon` rows.
    #[track_caller]
    pub fn fit(rows: &[f64], columns: usize, lags: usize, horizon: usize) -> Autoregression {
        let count = rows.len() / columns;
        assert!(
            count >= lags + horizon,
            "{count} rows; {lags} lags and a horizon of {horizon} need as many together"
        );
        let (inputs, outputs) = (lags * columns + 1, horizon * columns);
        let examples = count - lags - horizon + 1;
        // Z'Z, of which the lower half is filled, and Z'Y.
        let mut squares = vec![vec![0.0; inputs]; inputs];
        let mut maps = vec![vec![0.0; inputs]; outputs];
        let mut z = vec![1.0; inputs];
        for first in 0..examples {
            let past = &rows[first * columns..][..lags * columns];
            let future = &rows[(first + lags) * columns..][..outputs];
            z[1..].copy_from_slice(past);
            for (i, row) in squares.iter_mut().enumerate() {
                row[..=i].iter_mut().zip(&z).for_each(|(sum, other)| *sum += z[i] * other);
            }
            for (map, y) in maps.iter_mut().zip(future) {
                map.iter_mut().zip(&z).for_each(|(sum, z)| *sum += z * y);
            }
        }
        for (i, row) in squares.iter_mut().enumerate() {
            row[i] += RIDGE * examples as f64;
        }
        let factor = cholesky(squares);
        maps.iter_mut().for_each(|map| solve(&factor, map));
        Autoregression { lags, maps }
    }

    /// Rows that it looks back at.
    pub fn lags(&self) -> usize {
        self.lags
    }

    /// Whether it is one that [`fit`](Autoregression::fit) makes of rows of `columns` numbers, with
    /// no more lags than `window`; a file may hold anything.
    pub(super) fn fits(&self, columns: usize, window: usize, horizon: usize) -> bool {
        let outputs = horizon.checked_mul(columns);
        let inputs = self.lags.checked_mul(columns).and_then(|inputs| inputs.checked_add(1));
        (1..=window).contains(&self.lags)
            && outputs == Some(self.maps.len())
            && self.maps.iter().all(|map| Some(map.len()) == inputs)
    }

    /// The next rows after `past`, of which the last `lags` count.
    ///
    /// # Panics
    /// If there are fewer.
    #[track_caller]
    pub fn forecast(&self, past: &[f64]) -> Vec<f64> {
        let inputs = self.maps[0].len() - 1;
        let past = &past[past.len() - inputs..];
        let value = |map: &Vec<f64>| {
            map[0] + map[1..].iter().zip(past).map(|(factor, x)| factor * x).sum::<f64>()
        };
        self.maps.iter().map(value).collect()
    }
}

/// L of `A = L L'` for a symmetric A of which the lower half is given:
///
/// ```text
/// L_jj = sqrt(A_jj - sum_k L_jk^2)                k < j
/// L_ij = (A_ij - sum_k L_ik L_jk) / L_jj          i > j
/// ```
fn cholesky(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..a.len() {
        let (above, rest) = a.split_at_mut(i);
        let row = &mut rest[0];
        for (j, other) in above.iter().enumerate() {
            let known: f64 = row[..j].iter().zip(other).map(|(x, y)| x * y).sum();
            row[j] = (row[j] - known) / other[j];
        }
        let known: f64 = row[..i].iter().map(|x| x * x).sum();
        // Rounding must not make it negative, where inputs say the same.
        row[i] = (row[i] - known).max(f64::EPSILON).sqrt();
    }
    a
}

/// Solves `L L' x = b` in place: first `L y = b` downwards, then `L' x = y` upwards.
fn solve(l: &[Vec<f64>], b: &mut [f64]) {
    for i in 0..b.len() {
        let known: f64 = l[i][..i].iter().zip(&b[..i]).map(|(l, y)| l * y).sum();
        b[i] = (b[i] - known) / l[i][i];
    }
    for i in (0..b.len()).rev() {
        let known: f64 = (i + 1..b.len()).map(|j| l[j][i] * b[j]).sum();
        b[i] = (b[i] - known) / l[i][i];
    }
}

#[cfg(test)]
mod tests {
    use recurrent_kernels::random::Generator;

    use super::*;

    /// x' = 0.3 + 0.6 x - 0.2 y_before, y' = -0.1 + 0.5 y + noise / 10.
    fn rows(noise: f64) -> Vec<f64> {
        let mut generator = Generator::new(3, 1);
        let mut rows = vec![0.5, -0.25, 1.0, 0.75];
        for at in 2..4_000 {
            let [.., y_before, x, y] = rows[2 * at - 4..] else { unreachable!() };
            let chance = noise * generator.normal::<f64>();
            rows.extend([0.3 + 0.6 * x - 0.2 * y_before, -0.1 + 0.5 * y + chance]);
        }
        rows
    }

    #[test]
    fn the_rule_of_a_linear_series_is_found() {
        let fitted = Autoregression::fit(&rows(1.0), 2, 2, 1);
        // Constant, x and y of the row before the last, x and y of the last.
        let rules = [[0.3, 0.0, -0.2, 0.6, 0.0], [-0.1, 0.0, 0.0, 0.0, 0.5]];
        for (map, rule) in fitted.maps[0].iter().zip(rules[0]) {
            assert!((map - rule).abs() < 1e-6, "{:?}", fitted.maps);
        }
        for (map, rule) in fitted.maps[1].iter().zip(rules[1]) {
            assert!((map - rule).abs() < 0.05, "{:?}", fitted.maps);
        }
        let forecast = fitted.forecast(&[9.0, 9.0, 1.0, 2.0, 3.0, 4.0]);
        assert!((forecast[0] - (0.3 + 0.6 * 3.0 - 0.2 * 2.0)).abs() < 1e-5, "{forecast:?}");
    }

    /// Least squares leave residuals that are orthogonal to every input.
    #[test]
    fn no_other_map_is_better_on_what_was_fitted() {
        let (rows, lags, horizon) = (rows(1.0), 3, 4);
        let fitted = Autoregression::fit(&rows, 2, lags, horizon);
        let mut products = vec![[0.0; 7]; 2 * horizon];
        let examples = rows.len() / 2 - lags - horizon + 1;
        for first in 0..examples {
            let past = &rows[2 * first..][..2 * lags];
            let future = &rows[2 * (first + lags)..][..2 * horizon];
            for ((sum, guess), truth) in products.iter_mut().zip(fitted.forecast(past)).zip(future)
            {
                let inputs = [&[1.0], past].concat();
                sum.iter_mut().zip(inputs).for_each(|(sum, z)| *sum += (guess - truth) * z);
            }
        }
        let largest = products.iter().flatten().fold(0.0, |most: f64, sum| most.max(sum.abs()));
        assert!(largest / (examples as f64) < 1e-6, "{largest}");
    }

    #[test]
    fn inputs_that_say_the_same_are_no_trouble() {
        // A constant column, and a line, of which any two rows say all.
        let rows: Vec<f64> = (0..200).flat_map(|t| [0.0, f64::from(t) / 100.0 - 1.0]).collect();
        let forecast = Autoregression::fit(&rows, 2, 8, 2).forecast(&rows);
        for (forecast, truth) in forecast.iter().zip([0.0, 1.0, 0.0, 1.01]) {
            assert!((forecast - truth).abs() < 1e-3, "{forecast} instead of {truth}");
        }
    }
}
