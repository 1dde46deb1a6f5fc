//! Forecasts: the rows of numbers that follow those that are known (many-to-many, or an
//! encoder-decoder).
//!
//! A model reads a window of rows, standardised by the training's means and deviations, and says
//! the next `horizon` rows. It is judged at every row of the held-out part from which a whole
//! horizon is known (rolling origin), in the data's own units, beside lines that know little: the
//! last row repeated, the row of a season before, and a linear autoregression.
//!
//! What is judged: the last tenth of the rows, with windows that begin in the training rows; or the
//! file of `--valid` or `evaluate --data` behind its first window (or season, if that is longer),
//! which is only looked back at.

use std::path::{Path, PathBuf};

use anyhow::{Error, bail, ensure};
use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_topologies::SeriesFeed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::examples::{EVALUATION_BATCH, Fingerprint};
use super::settings::{Learning, Network};
use super::{Data, Input, Predict, Prediction, Task, TaskModel};
use crate::data::{Columns, DataError, Series, table::Format};
use crate::options::{FeedKind, Options, TopologyKind, groups, usage};
use crate::run::thousands;

mod autoregression;
pub use autoregression::Autoregression;

mod rows;
pub use rows::{Codec, Rows};

mod model;
pub use model::{ForecastBatch, Forecaster, ForecasterObjective};

mod exhibits;

mod report;
use model::ForecasterTape;
use report::Sums;
pub use report::{ColumnErrors, Errors, ForecastReport};

/// How rows become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One stack says at every row all rows of the horizon at once.
    ManyToMany,
    /// One stack reads the window, another writes the horizon row after row.
    EncoderDecoder {
        /// What the second reads.
        feed: SeriesFeed,
    },
}

/// Everything that decides the bits of a run, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Rows that are read.
    pub window: usize,
    /// Rows that are forecast.
    pub horizon: usize,
    /// Rows of a season, for the line that repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<usize>,
    /// How rows become rows.
    pub topology: Topology,
    /// The layers.
    #[serde(flatten)]
    pub network: Network,
    /// How it learns.
    #[serde(flatten)]
    pub learning: Learning,
}

/// The longest window and horizon: dropout masks of different steps would meet beyond them.
const MOST_ROWS: usize = 1 << 23;

impl Settings {
    /// Rows before the first that is forecast: what any line looks back at.
    fn reach(&self) -> usize {
        self.window.max(self.season.unwrap_or(0))
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("window", self.window),
            ("horizon", self.horizon),
            ("season", self.season.unwrap_or(1)),
        ];
        for (name, size) in sizes {
            match size {
                0 => return Err(format!("--{name} must be at least 1")),
                1..=MOST_ROWS => {}
                _ => return Err(format!("--{name} must be at most {MOST_ROWS}")),
            }
        }
        Forecaster::build(self, 1).map(drop).map_err(|error| error.to_string())
    }
}

/// A model that forecasts.
pub type Forecast = TaskModel<Settings, Codec, Forecaster>;

impl Task for Forecast {
    const NAME: &'static str = "forecast";
    const OPTIONS: &'static [&'static [&'static str]] =
        &[groups::TABLE, &["horizon", "window", "season", "topology", "feed", "bidirectional"]];

    type Examples = Rows;
    type Objective = ForecasterObjective;
    type Report = ForecastReport;

    fn defaults() -> Options {
        Options {
            data: Some(PathBuf::from("builtin:series")),
            window: Some(32),
            horizon: Some(1),
            hidden_size: Some(64),
            epochs: Some(20),
            batch_size: Some(32),
            learning_rate: Some(0.002),
            ..Options::default()
        }
    }

    fn settings(options: &Options) -> anyhow::Result<Settings> {
        if options.bidirectional {
            return Err(usage(
                "--bidirectional: a forecast must not see what it forecasts, and the rows before \
                 are read on the way already; drop it",
            ));
        }
        let topology = match (options.topology.unwrap_or_default(), options.feed) {
            (TopologyKind::ManyToMany, None) => Topology::ManyToMany,
            (TopologyKind::ManyToMany, Some(_)) => {
                return Err(usage(
                    "--feed: only a decoder is fed; add --topology encoder-decoder, or drop it",
                ));
            }
            (TopologyKind::EncoderDecoder, feed) => Topology::EncoderDecoder {
                feed: match feed.unwrap_or(FeedKind::Output) {
                    FeedKind::Dummy => SeriesFeed::Dummy,
                    FeedKind::Output => SeriesFeed::Output,
                    FeedKind::Truth => SeriesFeed::Truth,
                },
            },
        };
        let window = options.window.unwrap_or(32);
        let settings = Settings {
            window,
            horizon: options.horizon.unwrap_or(1),
            season: options.season,
            topology,
            network: options.network(window)?,
            learning: options.learning()?,
        };
        settings.check().map_err(usage)?;
        Ok(settings)
    }

    fn read(
        options: &Options,
        settings: &Settings,
        codec: Option<Codec>,
    ) -> anyhow::Result<Data<Self>> {
        let (train, held_out, reach) = rows::read_parts(options, settings)?;
        let codec = match codec {
            Some(codec) => codec,
            None => {
                let codec = Codec::learn(&train, settings);
                let too_large = |_| DataError::NumbersTooLarge { name: train.name.clone() };
                codec.check(settings).map_err(too_large)?;
                codec
            }
        };
        let (train, held_out) = (codec.rows(train, settings.window)?, codec.rows(held_out, reach)?);
        Ok(Data { codec, train, held_out, left_out: None })
    }

    fn read_held_out(&self, data: &Path, options: &Options) -> anyhow::Result<Rows> {
        let series = rows::read_test(data, &self.settings, options)?;
        Ok(self.codec.rows(series, self.settings.reach())?)
    }

    fn build(settings: &Settings, codec: &Codec) -> anyhow::Result<Forecaster> {
        settings.check().map_err(Error::msg)?;
        codec.check(settings).map_err(Error::msg)?;
        Ok(Forecaster::build(settings, codec.columns.len())?)
    }

    fn objective(&self) -> ForecasterObjective {
        self.model.objective(self.settings.learning.seed)
    }

    fn units(&self, examples: &Rows) -> usize {
        examples.forecasts(self.settings.horizon)
    }

    fn batch(&self, examples: &Rows, units: &[usize]) -> Result<ForecastBatch, DataError> {
        Ok(self.model.batch(examples, units))
    }

    fn tape(&self, _: &Rows) -> u128 {
        self.model.tape(&self.settings)
    }

    fn fingerprint(data: &Data<Self>) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for Rows { values, columns, first, .. } in [&data.train, &data.held_out] {
            for number in [values.len(), *columns, *first] {
                fingerprint.number(number as u64);
            }
            values.iter().for_each(|value| fingerprint.number(value.to_bits()));
        }
        fingerprint.value()
    }

    fn describe(&self, data: &Data<Self>) -> String {
        let Settings { window, horizon, .. } = self.settings;
        let [train, held_out] = [data.train.steps(), data.held_out.steps() - data.held_out.first];
        let [train, held_out] = [train, held_out].map(thousands);
        let columns = self.codec.columns.join(", ");
        format!(
            "{columns}: {horizon} ahead from {window}; {train} rows to learn from, {held_out} held \
             out"
        )
    }

    fn unit(&self) -> &'static str {
        match self.settings.topology {
            Topology::ManyToMany => "forecasts",
            Topology::EncoderDecoder { .. } => "rows",
        }
    }

    /// The mean of everything is one standard deviation away.
    fn guessing(&self) -> f64 {
        1.0
    }

    /// A batch with an outlier in it is hard by itself, whatever the model says.
    fn guessing_of(&self, batch: &ForecastBatch) -> f64 {
        batch.mean_square().max(self.guessing())
    }

    fn evaluate(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Rows,
    ) -> anyhow::Result<ForecastReport> {
        let Settings { window, horizon, season, .. } = self.settings;
        let Codec { columns, step, deviation, autoregression, .. } = &self.codec;
        let (width, count) = (columns.len(), examples.forecasts(horizon));
        let scaled = self.codec.standardise(&examples.values);
        let row = |at: usize| &examples.values[at * width..][..width];
        let restored = |scaled: &[f64]| -> Vec<f64> {
            scaled.iter().enumerate().map(|(at, &x)| self.codec.restore(at % width, x)).collect()
        };
        let [mut model, mut repeat, mut seasonal, mut linear] =
            std::array::from_fn(|_| Sums::new(width));
        let mut tape = ForecasterTape::default();
        let firsts: Vec<usize> = (examples.first..examples.first + count).collect();
        for firsts in firsts.chunks(EVALUATION_BATCH) {
            let starts: Vec<usize> = firsts.iter().map(|first| first - window).collect();
            let written = self.model.forecast(compute, parameters, examples, &starts, &mut tape);
            for (&first, written) in firsts.iter().zip(written) {
                let written = restored(&written.into_iter().map(f64::from).collect::<Vec<f64>>());
                let line = restored(&autoregression.forecast(&scaled[..first * width]));
                for t in 0..horizon {
                    let (truth, at) = (row(first + t), t * width..(t + 1) * width);
                    model.add(&written[at.clone()], truth);
                    linear.add(&line[at], truth);
                    repeat.add(row(first - 1), truth);
                    if let Some(season) = season {
                        // The last season that is known, again and again.
                        seasonal.add(row(first - season + t % season), truth);
                    }
                }
            }
        }
        let by_column = |column: usize| model.column(column, step[column]);
        let squares = (0..width).map(|column| by_column(column).mse / deviation[column].powi(2));
        let named = |column: usize| {
            let (name, errors) = (columns[column].clone(), by_column(column));
            ColumnErrors { name, errors }
        };
        Ok(ForecastReport {
            model: model.errors(step),
            loss: squares.sum::<f64>() / width as f64,
            examples: count,
            repeat_last: repeat.errors(step),
            seasonal_naive: season.map(|_| seasonal.errors(step)),
            autoregression: linear.errors(step),
            columns: (0..width).filter(|_| width > 1).map(named).collect(),
        })
    }

    /// The rows after the last of the input, as a table.
    fn predict(
        &self,
        compute: &Compute,
        parameters: Parameters<f32>,
        input: Input<'_>,
        how: &Predict,
        emit: &mut dyn FnMut(Prediction) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        how.require_none(Self::NAME)?;
        let rows = self.known_rows(input)?;
        let start = rows.steps() - self.settings.window;
        let tape = &mut ForecasterTape::default();
        let forecast = self.model.forecast(compute, &parameters, &rows, &[start], tape).remove(0);
        let width = rows.columns;
        // As exact as the model is: the shortest decimals of 32 bits.
        let value =
            |(column, &scaled): (usize, &f32)| self.codec.restore(column, f64::from(scaled)) as f32;
        let forecast: Vec<Vec<f32>> =
            forecast.chunks(width).map(|row| row.iter().enumerate().map(value).collect()).collect();
        let mut lines = vec![self.codec.columns.iter().map(|name| cell(name)).collect::<Vec<_>>()];
        lines.extend(forecast.iter().map(|row| row.iter().map(f32::to_string).collect()));
        let lines: Vec<String> = lines.into_iter().map(|cells| cells.join(",")).collect();
        let number =
            |value: &f32| value.to_string().parse::<f64>().map_or(Value::Null, Value::from);
        let rows: Vec<Vec<Value>> =
            forecast.iter().map(|row| row.iter().map(number).collect()).collect();
        let json = json!({ "columns": self.codec.columns, "rows": rows });
        emit(Prediction::new(lines.join("\n"), json))
    }
}

/// A cell of a CSV file.
fn cell(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

impl Forecast {
    /// The rows that a person hands in: the model's columns alone, or a file that names them.
    fn known_rows(&self, input: Input<'_>) -> anyhow::Result<Rows> {
        let Input { mut reader, name, .. } = input;
        let mut text = String::new();
        if let Err(error) = reader.read_to_string(&mut text) {
            bail!("{name}: cannot be read as text: {error}");
        }
        let text = text.trim_start_matches('\u{FEFF}').replace("\r\n", "\n");
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let format = if first.contains('\t') { Format::Tabs } else { Format::Commas };
        let separator = if format == Format::Tabs { '\t' } else { ',' };
        let width = first.split(separator).count();
        let numbers = first.split(separator).all(|cell| cell.trim().parse::<f64>().is_ok());
        let names = &self.codec.columns;
        let picked = match numbers && width == names.len() {
            true => None,
            false => Some(names.clone()),
        };
        let columns = Columns { picked, header: true };
        let (window, horizon) = (self.settings.window, self.settings.horizon);
        let series = match text.trim().is_empty() {
            true => Series { name: name.clone(), columns: names.clone(), values: vec![] },
            false => Series::parse(&name, &text, format, &columns)?,
        };
        let rows = series.steps();
        ensure!(
            rows >= window,
            "{name}: has {rows} rows, and the model reads {window} to forecast {horizon}; give at \
             least {window} rows"
        );
        Ok(self.codec.rows(series, rows)?)
    }
}
