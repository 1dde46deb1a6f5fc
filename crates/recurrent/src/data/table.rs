//! Tables of text: the examples of a task, a row each.

use std::sync::Arc;

use super::{DataError, Problem, Source, problem};

mod grid;
pub use grid::Format;
pub(super) use grid::{Grid, Record};

mod folder;

/// The columns of a file that a task reads, in the order in which it asked for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The data as the person named them.
    pub name: String,
    /// The examples, in the order of the file; at least one.
    pub rows: Vec<Row>,
}

/// An example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The file that it stands in.
    pub name: Arc<str>,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The cells: not empty, and without blanks at either end.
    pub cells: Vec<String>,
}

/// How columns are found: the options `--columns` and `--no-header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The columns to read instead of those that the task is called by: names in the header, or
    /// numbers from 1. A header that holds a number as a name has precedence.
    pub picked: Option<Vec<String>>,
    /// Whether the first line names the columns.
    pub header: bool,
}

impl Default for Columns {
    /// The task's own columns, named by the first line.
    fn default() -> Columns {
        Columns { picked: None, header: true }
    }
}

impl Table {
    /// Reads the columns `wanted` of a table. They are found by their names in the first line
    /// (upper or lower case), in any order and among others; or as `columns` says. Without a
    /// header they are the first columns.
    ///
    /// A file that ends in `.tsv` or `.txt` is split at tabs, and a quote is text. One that ends
    /// in `.csv` is split at commas, and quoted cells may hold commas, line ends and doubled
    /// quotes. All rows have the same number of columns. Empty lines are skipped, and blanks at
    /// the ends of a cell are dropped: nobody sees them, and a label with one would be another.
    ///
    /// # Errors
    /// [`DataError`] when the file is no such table, lacks a column, or leaves a cell empty.
    pub fn read(
        source: &Source,
        wanted: &[&'static str],
        columns: &Columns,
    ) -> Result<Table, DataError> {
        if let Source::Builtin(_) = source {
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed: "a table" });
        }
        // The text first: that a file is missing matters more than how it is called.
        let text = source.read_text()?;
        Table::parse(&source.to_string(), &text, Format::of(source)?, wanted, columns)
    }

    /// Reads the columns `text` and `label` of a table, or a folder with one file a label: each
    /// line of `names/Greek.txt` is an example with the label `Greek`. Its files are read in the
    /// order of their names; hidden ones are not, and any other file than `.txt` is refused.
    ///
    /// # Errors
    /// As [`read`](Table::read), and [`DataError`] when the folder is none of labels or `columns`
    /// are given with a folder.
    pub fn read_labelled(source: &Source, columns: &Columns) -> Result<Table, DataError> {
        match source {
            Source::Path(path) if path.is_dir() => {
                if *columns != Columns::default() {
                    return Err(DataError::FolderColumns { name: source.to_string() });
                }
                folder::read(path)
            }
            _ => Table::read(source, &["text", "label"], columns),
        }
    }

    /// The table of a text that was read from `name`, with line feeds at its line ends.
    ///
    /// # Errors
    /// As [`read`](Table::read).
    pub fn parse(
        name: &str,
        text: &str,
        format: Format,
        wanted: &[&'static str],
        columns: &Columns,
    ) -> Result<Table, DataError> {
        let grid = Grid::parse(name, text, format, columns.header)?;
        let chosen = choose(&grid, wanted, columns.picked.as_deref())?;
        let file: Arc<str> = name.into();
        let row = |record: &Record| {
            let cells = chosen.iter().map(|&column| match &*record.cells[column] {
                "" => {
                    let column = grid.column_name(column);
                    Err(DataError::at(name, record.line, Problem::EmptyCell { column }))
                }
                cell => Ok(cell.to_owned()),
            });
            let cells = cells.collect::<Result<_, _>>()?;
            Ok(Row { name: Arc::clone(&file), line: record.line, cells })
        };
        let rows = grid.records.iter().map(row).collect::<Result<_, DataError>>()?;
        Ok(Table { name: name.to_owned(), rows })
    }
}

/// The names in the first line of a table; none if `columns` says that it has no header.
///
/// # Errors
/// [`DataError`] when the file is not a table.
pub fn column_names(source: &Source, columns: &Columns) -> Result<Vec<String>, DataError> {
    let text = source.read_text()?;
    let name = source.to_string();
    let grid = Grid::parse(&name, &text, Format::of(source)?, columns.header)?;
    let names = grid.header.map(|header| header.cells).unwrap_or_default();
    Ok(names.into_iter().map(|name| name.into_owned()).collect())
}

/// How many columns a table has.
///
/// # Errors
/// [`DataError`] when the file is not a table.
pub fn column_count(source: &Source, columns: &Columns) -> Result<usize, DataError> {
    let text = source.read_text()?;
    Ok(Grid::parse(&source.to_string(), &text, Format::of(source)?, columns.header)?.width)
}

/// Where the wanted columns are, from 0.
fn choose(
    grid: &Grid,
    wanted: &[&'static str],
    picked: Option<&[String]>,
) -> Result<Vec<usize>, DataError> {
    match (picked, &grid.header) {
        (Some(picked), _) if picked.len() != wanted.len() => Err(DataError::PickedCount {
            picked: problem::count(picked.len(), "column"),
            needed: format!("{}: {}", wanted.len(), wanted.join(", ")),
        }),
        (Some(picked), _) => picked.iter().map(|column| grid.find(column)).collect(),
        (None, Some(_)) => wanted.iter().map(|column| grid.find_wanted(column, wanted)).collect(),
        (None, None) if grid.width < wanted.len() => {
            let found = problem::count(grid.width, "column");
            let (needed, hint) = (wanted.join(", "), grid.format.hint());
            let problem = Problem::TooFewColumns { found, needed, hint };
            Err(DataError::at(grid.name, grid.first_line, problem))
        }
        (None, None) => Ok((0..wanted.len()).collect()),
    }
}
