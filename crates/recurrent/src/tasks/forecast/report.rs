//! How far forecasts are from what came.

use serde::Serialize;

use crate::run::thousands;
use crate::tasks::Report;

/// The errors of one forecaster, over all columns and steps of the horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// The mean absolute error, in the data's own units.
    pub mae: f64,
    /// The mean squared error.
    pub mse: f64,
    /// Its square root.
    pub rmse: f64,
    /// The mean absolute scaled error (Hyndman and Koehler 2006): the absolute error of each column
    /// divided by that of repeating the last row, one step ahead, in the training part. A column that
    /// is constant there is left out; NaN if all are.
    pub mase: f64,
}

/// The errors of one column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnErrors {
    /// The column.
    pub name: String,
    /// The model's errors in it.
    #[serde(flatten)]
    pub errors: Errors,
}

/// The figures that an evaluation reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForecastReport {
    /// The model's errors.
    #[serde(flatten)]
    pub model: Errors,
    /// The model's mean squared error in standard deviations of the training.
    pub loss: f64,
    /// How many forecasts, each of as many rows as the horizon.
    pub examples: usize,
    /// The errors of repeating the last row.
    pub repeat_last: Errors,
    /// The errors of repeating the row of one season before, if a season was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seasonal_naive: Option<Errors>,
    /// The errors of a linear autoregression, fitted to the training part.
    pub autoregression: Errors,
    /// The model's errors in each column, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnErrors>,
}

/// Errors of one forecaster as they come in, by column.
pub(super) struct Sums {
    columns: Vec<[f64; 2]>,
    count: usize,
}

impl Sums {
    /// Nothing yet.
    pub(super) fn new(columns: usize) -> Sums {
        Sums { columns: vec![[0.0; 2]; columns], count: 0 }
    }

    /// Takes in a row, and what came.
    pub(super) fn add(&mut self, forecast: &[f64], truth: &[f64]) {
        for ([absolute, squared], (forecast, truth)) in
            self.columns.iter_mut().zip(forecast.iter().zip(truth))
        {
            let distance = forecast - truth;
            *absolute += distance.abs();
            *squared += distance * distance;
        }
        self.count += 1;
    }

    /// The errors of one column, of which a naive step in the training is `step`.
    pub(super) fn column(&self, column: usize, step: f64) -> Errors {
        let [mae, mse] = self.columns[column].map(|sum| sum / self.count as f64);
        let mase = if step > 0.0 { mae / step } else { f64::NAN };
        Errors { mae, mse, rmse: mse.sqrt(), mase }
    }

    /// The errors over all columns.
    pub(super) fn errors(&self, steps: &[f64]) -> Errors {
        let columns: Vec<Errors> =
            steps.iter().enumerate().map(|(column, &step)| self.column(column, step)).collect();
        let mean = |of: &dyn Fn(&Errors) -> f64| {
            let values: Vec<f64> = columns.iter().map(of).filter(|value| !value.is_nan()).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let [mae, mse, mase] = [mean(&|e| e.mae), mean(&|e| e.mse), mean(&|e| e.mase)];
        Errors { mae, mse, rmse: mse.sqrt(), mase }
    }
}

impl Errors {
    fn line(&self) -> String {
        let Errors { mae, mse, rmse, mase } = self;
        let [rmse, mae, mse] = [*rmse, *mae, *mse].map(shown);
        format!("rmse {rmse}, mae {mae}, mse {mse}, mase {mase:.4}")
    }
}

/// An error in the data's own units, which may be millionths or millions.
fn shown(error: f64) -> String {
    match error {
        0.0 | 0.01..1e6 => format!("{error:.4}"),
        _ => format!("{error:.3e}"),
    }
}

impl Report for ForecastReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        format!("rmse {}", shown(self.model.rmse))
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut naive = vec![("repeating the last row", self.repeat_last)];
        naive.extend(self.seasonal_naive.map(|errors| ("repeating the season", errors)));
        naive.push(("linear autoregression", self.autoregression));
        let mut lines = vec![("model", self.model.line())];
        lines.extend(naive.iter().map(|(name, errors)| (*name, errors.line())));
        for ColumnErrors { name, errors } in &self.columns {
            lines.push(("model, by column", format!("{name}: {}", errors.line())));
        }
        lines.push(("loss", format!("{:.4} squared standard deviations", self.loss)));
        lines.push(("forecasts", thousands(self.examples)));
        for (name, errors) in naive {
            if self.model.mse.is_nan() || self.model.mse >= errors.mse {
                lines.push(("remark", format!("no better than {name}")));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_at_any_scale() {
        let scales = [0.0, 1.23456, 0.0036124, 2.5e-9, 3.87e36];
        let lines = scales.map(shown);
        assert_eq!(lines, ["0.0000", "1.2346", "3.612e-3", "2.500e-9", "3.870e36"]);
    }

    #[test]
    fn errors_follow_their_definitions() {
        let mut sums = Sums::new(2);
        sums.add(&[1.0, 10.0], &[2.0, 10.0]);
        sums.add(&[5.0, 14.0], &[2.0, 12.0]);
        let first = Errors { mae: 2.0, mse: 5.0, rmse: 5f64.sqrt(), mase: 4.0 };
        assert_eq!(sums.column(0, 0.5), first);
        // The second column: mae 1, mse 2, and it takes steps of 4.
        let both = Errors { mae: 1.5, mse: 3.5, rmse: 3.5f64.sqrt(), mase: (4.0 + 0.25) / 2.0 };
        assert_eq!(sums.errors(&[0.5, 4.0]), both);
        // One that stands still in the training has no scale.
        assert_eq!(sums.errors(&[0.5, 0.0]).mase, 4.0);
        assert!(sums.errors(&[0.0, 0.0]).mase.is_nan());
    }
}
