//! Rows in the order of time: how they are read, scaled, and which of them are forecast.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::autoregression::Autoregression;
use crate::builtin::{self, Builtin, Part};
use crate::data::{DataError, Series, Source, source};
use crate::options::Options;
use crate::tasks::examples::columns;
use crate::tasks::parts::MISFIT;

/// What the training rows taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    /// The columns' names, or their numbers from 1.
    pub columns: Vec<String>,
    /// The mean of every column.
    pub mean: Vec<f64>,
    /// Its standard deviation; 1 if it is constant.
    pub deviation: Vec<f64>,
    /// The mean distance between a row and the next, of every column.
    pub step: Vec<f64>,
    /// What a linear map makes of the same rows, standardised.
    pub autoregression: Autoregression,
}

/// Rows in the order of time, of which those from `first` on are forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Row after row, in the data's own units.
    pub values: Vec<f64>,
    /// The same in standard deviations from the mean.
    pub scaled: Vec<f32>,
    /// Numbers in a row.
    pub columns: usize,
    /// The first row that is forecast; those before are only looked back at.
    pub first: usize,
}

impl Rows {
    /// How many rows there are.
    pub fn steps(&self) -> usize {
        self.values.len() / self.columns
    }

    /// How many forecasts of `horizon` rows there are: one from every row but the last of them.
    pub fn forecasts(&self, horizon: usize) -> usize {
        (self.steps() + 1).saturating_sub(self.first + horizon)
    }
}

/// The series of a source.
pub(super) fn read(source: &Source, part: Part, options: &Options) -> anyhow::Result<Series> {
    let Source::Builtin(builtin) = source else {
        return Ok(Series::read(source, &columns(options))?);
    };
    let name = source.to_string();
    if *builtin != Builtin::Series {
        return Err(DataError::WrongBuiltin { name, needed: "a series" }.into());
    }
    let (columns, rows) = builtin::series(builtin::SEED, part);
    // The built-in series as a file, so that columns are picked by the same rules.
    let mut text = columns.join("\t");
    for row in rows {
        let cells: Vec<String> = row.iter().map(f64::to_string).collect();
        text.push('\n');
        text.push_str(&cells.join("\t"));
    }
    let columns = crate::data::Columns { header: true, ..self::columns(options) };
    Ok(Series::parse(&name, &text, crate::data::table::Format::Tabs, &columns)?)
}

/// The series to learn from, and that to be judged on with the first of its rows that is forecast.
///
/// Held out is what `--valid` names, of built-in data the validation part; or else the last tenth
/// of the rows, whose first forecasts look back into the training rows.
pub(super) fn read_parts(
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<(Series, Series, usize)> {
    let data = source::open(options.data_name()?)?;
    let mut train = read(&data, Part::Train, options)?;
    let reach = settings.reach();
    let (mut held_out, mut hint) = (None, "give more rows, or lower");
    if let Some(valid) = &options.valid {
        held_out = Some(read(&source::open(valid)?, Part::Valid, options)?);
    } else if let Source::Builtin(_) = data {
        held_out = Some(read(&data, Part::Valid, options)?);
    } else {
        hint =
            "a tenth is held out: give more rows, or some to be judged on with --valid, or lower";
    }
    let held_out = held_out.unwrap_or_else(|| {
        let border = train.steps() - train.steps() / 10;
        let width = train.columns.len();
        let values = train.values[border.saturating_sub(reach) * width..].to_vec();
        train.values.truncate(border * width);
        Series { values, name: train.name.clone(), columns: train.columns.clone() }
    });
    require(&train, "the training part", settings.window, settings, hint)?;
    require(&held_out, "the held-out part, with the rows before it,", reach, settings, hint)?;
    Ok((train, held_out, reach))
}

/// A series that is only judged on: it is forecast from behind its first window on.
pub(super) fn read_test(
    data: &Path,
    settings: &Settings,
    options: &Options,
) -> anyhow::Result<Series> {
    let series = read(&source::open(data)?, Part::Test, options)?;
    require(&series, "the file", settings.reach(), settings, "give more rows; the model has")?;
    Ok(series)
}

/// Refuses a series that is too short for one forecast after `reach` rows.
fn require(
    series: &Series,
    part: &'static str,
    reach: usize,
    settings: &Settings,
    hint: &str,
) -> Result<(), DataError> {
    let needed = reach.saturating_add(settings.horizon);
    if series.steps() >= needed {
        return Ok(());
    }
    let (window, horizon) = (settings.window, settings.horizon);
    let season = settings.season.map_or(String::new(), |season| format!(", --season {season}"));
    let hint = format!("{hint} --window {window}, --horizon {horizon}{season}");
    let (name, tokens) = (series.name.clone(), series.steps());
    Err(DataError::TooSmall { name, part, tokens, needed, unit: "rows", hint })
}

impl Codec {
    /// Learns from the training rows.
    pub fn learn(series: &Series, settings: &Settings) -> Codec {
        let width = series.columns.len();
        let count = series.steps() as f64;
        let mean_of = |of: &dyn Fn(usize, usize) -> f64, from: usize| -> Vec<f64> {
            let mean = |column| {
                let sum: f64 = (from..series.steps()).map(|row| of(row, column)).sum();
                sum / (count - from as f64)
            };
            (0..width).map(mean).collect()
        };
        let mean = mean_of(&|row, column| series.row(row)[column], 0);
        let square = |row: usize, column: usize| {
            let distance = series.row(row)[column] - mean[column];
            distance * distance
        };
        // Rounding leaves a constant column some deviation; its numbers are equal all the same.
        let constant = |column: usize| {
            (1..series.steps()).all(|row| series.row(row)[column] == series.row(0)[column])
        };
        let deviation = mean_of(&square, 0).into_iter().map(f64::sqrt).enumerate();
        let deviation =
            deviation.map(|(column, d)| if d > 0.0 && !constant(column) { d } else { 1.0 });
        let deviation = deviation.collect();
        let step = |row: usize, column: usize| {
            (series.row(row)[column] - series.row(row - 1)[column]).abs()
        };
        let step = mean_of(&step, 1);
        let mut codec = Codec {
            columns: series.columns.clone(),
            mean,
            deviation,
            step,
            autoregression: Autoregression::fit(&[0.0, 0.0], 1, 1, 1),
        };
        let lags = Autoregression::lags_for(settings.window, width);
        let rows = codec.standardise(&series.values);
        codec.autoregression = Autoregression::fit(&rows, width, lags, settings.horizon);
        codec
    }

    /// Whether its parts belong together and to the settings; a file may hold anything.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), &'static str> {
        let Codec { columns, mean, deviation, step, autoregression } = self;
        let width = columns.len();
        let fits = width > 0
            && [mean, deviation, step].iter().all(|numbers| {
                numbers.len() == width && numbers.iter().all(|number| number.is_finite())
            })
            && deviation.iter().all(|&deviation| deviation > 0.0)
            && autoregression.fits(width, settings.window, settings.horizon);
        if fits { Ok(()) } else { Err(MISFIT) }
    }

    /// Numbers in standard deviations from the mean.
    pub fn standardise(&self, values: &[f64]) -> Vec<f64> {
        let width = self.columns.len();
        let scaled = |(at, value): (usize, &f64)| {
            (value - self.mean[at % width]) / self.deviation[at % width]
        };
        values.iter().enumerate().map(scaled).collect()
    }

    /// The number of a column in the data's own units.
    pub fn restore(&self, column: usize, scaled: f64) -> f64 {
        self.mean[column] + self.deviation[column] * scaled
    }

    /// A series as the model reads it.
    ///
    /// # Errors
    /// If its columns are not those of the training.
    pub fn rows(&self, series: Series, first: usize) -> Result<Rows, DataError> {
        self.require_columns(&series)?;
        let scaled = self.standardise(&series.values).into_iter().map(|x| x as f32).collect();
        Ok(Rows { values: series.values, scaled, columns: self.columns.len(), first })
    }

    fn require_columns(&self, series: &Series) -> Result<(), DataError> {
        let same = series.columns == self.columns;
        // Numbers stand for names where a file has no header.
        let numbers = |names: &[String]| names.iter().all(|name| name.parse::<usize>().is_ok());
        let unnamed = numbers(&series.columns) || numbers(&self.columns);
        if same || (unnamed && series.columns.len() == self.columns.len()) {
            return Ok(());
        }
        Err(DataError::SeriesColumns {
            name: series.name.clone(),
            found: series.columns.join(", "),
            expected: self.columns.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Forecast, Task};
    use super::*;

    #[test]
    fn a_column_that_never_changes_is_constant_whatever_its_mean_rounds_to() {
        let values = (0..450).flat_map(|row| [0.1, f64::from(row % 2)]).collect();
        let columns = vec!["fixed".to_owned(), "other".to_owned()];
        let series = Series { name: "d".to_owned(), columns, values };
        let settings = Forecast::settings(&Forecast::defaults()).unwrap();
        assert_eq!(Codec::learn(&series, &settings).deviation, [1.0, 0.5]);
    }
}
