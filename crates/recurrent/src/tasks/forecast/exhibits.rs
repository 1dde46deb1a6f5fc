//! What a report shows of a model that forecasts: forecasts beside what came and beside the naive
//! lines, and how errors grow with the steps ahead.

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;

use super::model::ForecasterTape;
use super::{Codec, Forecast, Rows, Settings};
use crate::report::{Exhibits, Forecasts, Outlook, Section};
use crate::tasks::examples::EVALUATION_BATCH;

/// Columns that are drawn, and windows of each.
const COLUMNS: usize = 3;
const WINDOWS: usize = 3;
/// Neighbouring rows that are drawn where the horizon is short.
const STRETCH: usize = 120;

impl Exhibits for Forecast {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Rows,
    ) -> Vec<Section> {
        let Settings { window, horizon, season, .. } = self.settings;
        let Codec { columns, deviation, .. } = &self.codec;
        let (width, count) = (columns.len(), examples.forecasts(horizon));
        let scaled = self.codec.standardise(&examples.values);
        let row = |at: usize| &examples.values[at * width..][..width];
        let mut names = vec!["model", "last row repeated"];
        names.extend(season.map(|_| "season repeated"));
        names.push("autoregression");

        // The middles of as many equal parts as there are windows.
        let picked: Vec<usize> =
            (0..WINDOWS).map(|k| count * (2 * k + 1) / (2 * WINDOWS)).collect();
        let drawn = width.min(COLUMNS);
        let mut squares = vec![vec![0.0; horizon]; names.len()];
        let mut outlooks: Vec<Vec<Outlook>> = (0..drawn).map(|_| vec![]).collect();
        let mut stretch: Vec<Vec<[f64; 2]>> = vec![vec![]; drawn];
        let mut tape = ForecasterTape::default();
        let all: Vec<usize> = (0..count).collect();
        for chunk in all.chunks(EVALUATION_BATCH) {
            let starts: Vec<usize> = chunk.iter().map(|at| examples.first + at - window).collect();
            let written = self.model.forecast(compute, parameters, examples, &starts, &mut tape);
            for (&at, written) in chunk.iter().zip(written) {
                let first = examples.first + at;
                let said = self.said((examples, &scaled), first, &written);
                for (squares, said) in squares.iter_mut().zip(&said) {
                    for (t, square) in squares.iter_mut().enumerate() {
                        let errors = (0..width).map(|column| {
                            let error = said[t * width + column] - row(first + t)[column];
                            // Columns of different units are put together in deviations.
                            if width > 1 { error / deviation[column] } else { error }
                        });
                        *square += errors.map(|error| error * error).sum::<f64>() / width as f64;
                    }
                }
                for column in 0..drawn {
                    let of = |said: &Vec<f64>| -> Vec<f64> {
                        said.iter().skip(column).step_by(width).copied().collect()
                    };
                    if at < STRETCH {
                        stretch[column].push([row(first)[column], said[0][column]]);
                    }
                    if picked.contains(&at) && outlooks[column].iter().all(|o| o.row != at + 1) {
                        let known = window.min((2 * horizon).max(8));
                        outlooks[column].push(Outlook {
                            row: at + 1,
                            known: (first - known..first).map(|at| row(at)[column]).collect(),
                            truth: (first..first + horizon).map(|at| row(at)[column]).collect(),
                            said: said.iter().map(of).collect(),
                        });
                    }
                }
            }
        }
        let errors = |squares: Vec<f64>| -> Vec<f64> {
            squares.into_iter().map(|sum| (sum / count as f64).sqrt()).collect()
        };
        let shown = Forecasts {
            outlooks: columns.iter().cloned().zip(outlooks).collect(),
            stretch: columns.iter().cloned().zip(stretch).collect(),
            by_step: names.into_iter().zip(squares.into_iter().map(errors)).collect(),
            unit: if width > 1 { "standard deviations" } else { "the data's own units" },
            examples: count,
        };
        vec![shown.section()]
    }
}

impl Forecast {
    /// What each forecaster says of the rows from `first` on, in the data's own units: the model,
    /// that said `written`, and the naive lines.
    fn said(
        &self,
        (examples, scaled): (&Rows, &[f64]),
        first: usize,
        written: &[f32],
    ) -> Vec<Vec<f64>> {
        let Settings { horizon, season, .. } = self.settings;
        let width = self.codec.columns.len();
        let row = |at: usize| &examples.values[at * width..][..width];
        let restored = |numbers: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
            numbers.enumerate().map(|(at, x)| self.codec.restore(at % width, x)).collect()
        };
        let mut said = vec![
            restored(&mut written.iter().copied().map(f64::from)),
            row(first - 1).repeat(horizon),
        ];
        said.extend(season.map(|season| -> Vec<f64> {
            (0..horizon).flat_map(|t| row(first - season + t % season)).copied().collect()
        }));
        let line = self.codec.autoregression.forecast(&scaled[..first * width]);
        said.push(restored(&mut line.into_iter()));
        said
    }
}
