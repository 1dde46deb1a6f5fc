//! Tables of numbers: one long series to forecast, or many short ones to classify.

use super::{
    Columns, DataError, Problem, Source, problem,
    table::{Format, Grid, Record},
};
use std::collections::HashMap;

/// A series: a row of numbers for each step of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The data as the person named them.
    pub name: String,
    /// The columns' names, or their numbers from 1 where there is no header.
    pub columns: Vec<String>,
    /// Row after row: `columns.len()` finite numbers for each step.
    pub values: Vec<f64>,
}

/// A short series with a label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledSeries {
    /// What its rows are told from others by.
    pub id: String,
    /// Its label.
    pub label: String,
    /// The line of its first row, from 1.
    pub line: usize,
    /// Row after row: one finite number for each feature and step.
    pub values: Vec<f64>,
}

/// Many short series with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledTable {
    /// The data as the person named them.
    pub name: String,
    /// The names of the features, or the numbers of their columns where there is no header.
    pub features: Vec<String>,
    /// The series in the order in which they begin; at least one, each with at least one step.
    pub series: Vec<LabelledSeries>,
}

impl Series {
    /// Reads the numeric columns of a table: those picked, or else all, and then all must be
    /// numeric. A first line of numbers alone is data and no header, even where `columns` expects
    /// one, so a file with one number a line needs no option; where every column is picked by its
    /// number, only the cells picked count. Formats as in [`Table::read`](super::Table::read).
    ///
    /// # Errors
    /// [`DataError`] when the file is no table, or a cell is empty, text, NaN or infinite.
    pub fn read(source: &Source, columns: &Columns) -> Result<Series, DataError> {
        if let Source::Builtin(_) = source {
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed: "a series" });
        }
        let text = source.read_text()?;
        Series::parse(&source.to_string(), &text, Format::of(source)?, columns)
    }

    /// The series of a text that was read from `name`, with line feeds at its line ends.
    ///
    /// # Errors
    /// As [`read`](Series::read).
    pub fn parse(
        name: &str,
        text: &str,
        format: Format,
        columns: &Columns,
    ) -> Result<Series, DataError> {
        if columns.picked.as_ref().is_some_and(Vec::is_empty) {
            let (picked, needed) = (problem::count(0, "column"), "1 or more".to_owned());
            return Err(DataError::PickedCount { picked, needed });
        }
        let grid = parse_grid(name, text, format, columns)?;
        let chosen: Vec<usize> = match &columns.picked {
            Some(picked) => {
                picked.iter().map(|column| grid.find(column)).collect::<Result<_, _>>()?
            }
            None => (0..grid.width).collect(),
        };
        let mut values = Vec::with_capacity(grid.records.len() * chosen.len());
        for record in &grid.records {
            for &column in &chosen {
                values.push(number(&grid, record, column)?);
            }
        }
        let columns = chosen.iter().map(|&column| grid.column_name(column)).collect();
        Ok(Series { name: name.to_owned(), columns, values })
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    /// The numbers of one step, from 0.
    ///
    /// # Panics
    /// If `step` is not below [`steps`](Series::steps).
    #[track_caller]
    pub fn row(&self, step: usize) -> &[f64] {
        let width = self.columns.len();
        &self.values[step * width..][..width]
    }
}

impl LabelledTable {
    /// Reads the columns `series`, `label` and features: all others, or as `columns` picks them,
    /// in this order. Rows with the same `series` are its steps, from first to last; rows of
    /// other series may stand between them. Formats and headers as in
    /// [`Table::read`](super::Table::read).
    ///
    /// # Errors
    /// [`DataError`] when the file is no such table, when a series has two labels, or when a
    /// feature is empty, text, NaN or infinite.
    pub fn read(source: &Source, columns: &Columns) -> Result<LabelledTable, DataError> {
        if let Source::Builtin(_) = source {
            let needed = "a table of series";
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed });
        }
        let text = source.read_text()?;
        LabelledTable::parse(&source.to_string(), &text, Format::of(source)?, columns)
    }

    /// The series of a text that was read from `name`, with line feeds at its line ends.
    ///
    /// # Errors
    /// As [`read`](LabelledTable::read).
    pub fn parse(
        name: &str,
        text: &str,
        format: Format,
        columns: &Columns,
    ) -> Result<LabelledTable, DataError> {
        let grid = Grid::parse(name, text, format, columns.header)?;
        let (id_column, label_column, features) = choose(&grid, columns)?;
        let mut series: Vec<LabelledSeries> = Vec::new();
        let mut places = HashMap::<&str, usize>::new();
        for record in &grid.records {
            let (id, label) =
                (text_cell(&grid, record, id_column)?, text_cell(&grid, record, label_column)?);
            let place = *places.entry(id).or_insert_with(|| {
                let (id, label) = (id.to_owned(), label.to_owned());
                series.push(LabelledSeries { id, label, line: record.line, values: Vec::new() });
                series.len() - 1
            });
            let series = &mut series[place];
            if series.label != label {
                let problem = Problem::TwoLabels {
                    series: id.to_owned(),
                    label: label.to_owned(),
                    earlier: series.label.clone(),
                };
                return Err(DataError::at(name, record.line, problem));
            }
            for &column in &features {
                series.values.push(number(&grid, record, column)?);
            }
        }
        let features = features.iter().map(|&column| grid.column_name(column)).collect();
        Ok(LabelledTable { name: name.to_owned(), features, series })
    }
}

/// Splits a text whose first line is no header if it holds numbers alone, or only numbers where
/// columns are picked by number: a date may stand beside them.
fn parse_grid<'a>(
    name: &'a str,
    text: &'a str,
    format: Format,
    columns: &Columns,
) -> Result<Grid<'a>, DataError> {
    let number = |cell: &str| cell.parse::<f64>().is_ok();
    let numeric = |first: &Record| {
        let cell =
            |column: &String| first.cells.get(column.trim().parse::<usize>().ok()?.checked_sub(1)?);
        let picked = columns.picked.iter().flatten().map(cell).collect::<Option<Vec<_>>>();
        match picked {
            Some(cells) if !cells.is_empty() => cells.into_iter().all(|cell| number(cell)),
            _ => first.cells.iter().all(|cell| number(cell)),
        }
    };
    Grid::parse_with(name, text, format, |first| columns.header && !numeric(first))
}

/// The columns of the series, the label and the features.
fn choose(grid: &Grid, columns: &Columns) -> Result<(usize, usize, Vec<usize>), DataError> {
    const WANTED: [&str; 3] = ["series", "label", "features..."];
    match (&columns.picked, &grid.header) {
        (Some(picked), _) => match picked.as_slice() {
            [series, label, features @ ..] if !features.is_empty() => {
                let features = features.iter().map(|column| grid.find(column));
                Ok((grid.find(series)?, grid.find(label)?, features.collect::<Result<_, _>>()?))
            }
            _ => Err(DataError::PickedCount {
                picked: problem::count(picked.len(), "column"),
                needed: format!("3 or more: {}", WANTED.join(", ")),
            }),
        },
        (None, _) if grid.width < WANTED.len() => {
            let (found, hint) = (problem::count(grid.width, "column"), grid.format.hint());
            let problem = Problem::TooFewColumns { found, needed: WANTED.join(", "), hint };
            Err(DataError::at(grid.name, grid.first_line, problem))
        }
        (None, Some(_)) => {
            let series = grid.find_wanted("series", &WANTED)?;
            let label = grid.find_wanted("label", &WANTED)?;
            let others = (0..grid.width).filter(|&column| column != series && column != label);
            Ok((series, label, others.collect()))
        }
        (None, None) => Ok((0, 1, (2..grid.width).collect())),
    }
}

fn text_cell<'a>(grid: &Grid, record: &'a Record, column: usize) -> Result<&'a str, DataError> {
    match &*record.cells[column] {
        "" => {
            let column = grid.column_name(column);
            Err(DataError::at(grid.name, record.line, Problem::EmptyCell { column }))
        }
        cell => Ok(cell),
    }
}

fn number(grid: &Grid, record: &Record, column: usize) -> Result<f64, DataError> {
    let cell = text_cell(grid, record, column)?;
    match finite(cell) {
        Some(number) => Ok(number),
        None => {
            let hint = hint(grid, record, cell);
            let (column, cell) = (grid.column_name(column), problem::shortened(cell));
            let problem = Problem::NotANumber { column, cell, hint };
            Err(DataError::at(grid.name, record.line, problem))
        }
    }
}

fn finite(cell: &str) -> Option<f64> {
    cell.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// What to do about a cell that is no finite number.
fn hint(grid: &Grid, record: &Record, cell: &str) -> String {
    const FILL_IN: &str = "fill it in, or leave the line out";
    if cell.parse::<f64>().is_ok() {
        return FILL_IN.to_owned();
    }
    if finite(&cell.replacen(',', ".", 1)).is_some() {
        return "write a point before decimals, and nothing between thousands".to_owned();
    }
    let numeric = (0..grid.width).filter(|&column| finite(&record.cells[column]).is_some());
    let numeric: Vec<String> = numeric.map(|column| grid.column_name(column)).collect();
    if numeric.is_empty() {
        return FILL_IN.to_owned();
    }
    format!("read columns of numbers alone, with --columns {}, or {FILL_IN}", numeric.join(","))
}
