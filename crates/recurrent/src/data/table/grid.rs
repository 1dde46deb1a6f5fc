//! The cells of a file: tabs or commas, and the header.

use super::super::{DataError, Problem, Source, problem};
use std::borrow::Cow;

/// How the columns of a table are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// By tabs; every other character is text.
    Tabs,
    /// By commas; a cell in double quotes may hold anything.
    Commas,
}

impl Format {
    /// The format that the end of a file's name says.
    ///
    /// # Errors
    /// [`DataError::UnknownFormat`] for other ends than `.tsv`, `.txt` and `.csv`.
    pub fn of(source: &Source) -> Result<Format, DataError> {
        let Source::Path(path) = source else { return Ok(Format::Tabs) };
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "tsv" | "txt" => Ok(Format::Tabs),
            "csv" => Ok(Format::Commas),
            _ => Err(DataError::UnknownFormat { name: source.to_string() }),
        }
    }

    pub(crate) fn hint(self) -> &'static str {
        match self {
            Format::Tabs => {
                "tabs separate the columns of a .tsv or .txt file, so no cell holds one"
            }
            Format::Commas => {
                "commas separate the columns of a .csv file; put quotes around a cell with one"
            }
        }
    }
}

/// A file as rows of equally many cells.
pub(crate) struct Grid<'a> {
    pub(crate) name: &'a str,
    pub(crate) format: Format,
    /// The number of the first line that is not empty, from 1.
    pub(crate) first_line: usize,
    /// How many columns there are, at least one.
    pub(crate) width: usize,
    pub(crate) header: Option<Record<'a>>,
    /// At least one.
    pub(crate) records: Vec<Record<'a>>,
    text: &'a str,
}

/// A row: the line on which it begins, and its cells without the blanks at their ends.
pub(crate) struct Record<'a> {
    pub(crate) line: usize,
    pub(crate) cells: Vec<Cow<'a, str>>,
}

impl<'a> Grid<'a> {
    /// Splits a text; `header` says that the first row holds names.
    pub(crate) fn parse(
        name: &'a str,
        text: &'a str,
        format: Format,
        header: bool,
    ) -> Result<Grid<'a>, DataError> {
        Grid::parse_with(name, text, format, |_| header)
    }

    /// Splits a text; `header` says of the first row whether it holds names.
    pub(crate) fn parse_with(
        name: &'a str,
        text: &'a str,
        format: Format,
        header: impl FnOnce(&Record) -> bool,
    ) -> Result<Grid<'a>, DataError> {
        let mut records = match format {
            Format::Tabs => tabs(text),
            Format::Commas => commas(name, text)?,
        };
        let no_examples = || DataError::NoExamples { name: name.to_owned() };
        let first = records.first().ok_or_else(no_examples)?;
        let (first_line, width) = (first.line, first.cells.len());
        if let Some(other) = records.iter().find(|record| record.cells.len() != width) {
            let found = problem::count(other.cells.len(), "column");
            let (first, expected, hint) = (first_line, width, format.hint());
            let problem = Problem::ColumnCount { found, first, expected, hint };
            return Err(DataError::at(name, other.line, problem));
        }
        let header = header(first).then(|| records.remove(0));
        if records.is_empty() {
            return Err(no_examples());
        }
        Ok(Grid { name, format, first_line, width, header, records, text })
    }

    /// A column by its name or, if none is called so, by its number from 1.
    pub(crate) fn find(&self, column: &str) -> Result<usize, DataError> {
        if let Some(found) = self.named(column)? {
            return Ok(found);
        }
        let name = self.name.to_owned();
        match (column.trim().parse::<usize>(), &self.header) {
            (Ok(number), _) if (1..=self.width).contains(&number) => Ok(number - 1),
            (Ok(number), _) => Err(DataError::NoColumnNumber { name, number, columns: self.width }),
            (Err(_), None) => {
                let column = column.to_owned();
                Err(DataError::NoNames { name, column, columns: self.width })
            }
            (Err(_), Some(_)) => {
                let hint = "--columns takes these names, or numbers from 1".to_owned();
                Err(self.missing(column, hint))
            }
        }
    }

    /// A column that a task is called by; there is a header.
    pub(crate) fn find_wanted(&self, column: &str, wanted: &[&str]) -> Result<usize, DataError> {
        if let Some(found) = self.named(column)? {
            return Ok(found);
        }
        let pick = format!("say with --columns which columns are {}", wanted.join(", "));
        let mut known = 0;
        for other in wanted {
            known += usize::from(self.named(other)?.is_some());
        }
        let other_separator = match self.format {
            Format::Commas if self.width == 1 && self.text.contains(['\t', ';']) => true,
            Format::Tabs if self.width == 1 && !self.text.contains('\t') => true,
            _ => false,
        };
        let hint = if other_separator {
            format!("there is one column only: {}", self.format.hint())
        } else if known > 0 {
            pick
        } else {
            format!("{pick}, or with --no-header that the first line is data")
        };
        Err(self.missing(column, hint))
    }

    /// What a message calls a column.
    pub(crate) fn column_name(&self, column: usize) -> String {
        match &self.header {
            Some(header) if !header.cells[column].is_empty() => header.cells[column].to_string(),
            _ => (column + 1).to_string(),
        }
    }

    fn named(&self, column: &str) -> Result<Option<usize>, DataError> {
        let column = column.trim();
        let Some(header) = &self.header else { return Ok(None) };
        let same = |cell: &Cow<str>| cell.eq_ignore_ascii_case(column);
        let mut found = (0..self.width).filter(|&at| same(&header.cells[at]));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                Err(DataError::TwoColumns { name: self.name.to_owned(), column: column.to_owned() })
            }
            (found, _) => Ok(found),
        }
    }

    fn missing(&self, column: &str, hint: String) -> DataError {
        let header = self.header.iter().flat_map(|header| &header.cells);
        DataError::NoColumn {
            name: self.name.to_owned(),
            column: column.to_owned(),
            first_line: problem::quote(
                self.text.lines().nth(self.first_line - 1).unwrap_or_default(),
            ),
            columns: problem::list(header),
            hint,
        }
    }
}

/// Tab-separated rows. An empty line is none.
fn tabs(text: &str) -> Vec<Record<'_>> {
    let lines = (1..).zip(text.split('\n')).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(line, text)| Record {
            line,
            cells: text.split('\t').map(|c| c.trim().into()).collect(),
        })
        .collect()
}

/// Comma-separated rows (RFC 4180). An empty line between rows is none; blanks around a quoted
/// cell are allowed, and a quote inside an unquoted cell is text.
fn commas<'a>(name: &str, text: &'a str) -> Result<Vec<Record<'a>>, DataError> {
    let mut records = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('\n') {
            (rest, line) = (after, line + 1);
            continue;
        }
        let mut record = Record { line, cells: Vec::new() };
        loop {
            let (cell, after) = match rest.trim_start_matches(' ').strip_prefix('"') {
                Some(quoted) => unquote(quoted)
                    .map_err(|(problem, lines)| DataError::at(name, line + lines, problem))?,
                None => {
                    let end = rest.find([',', '\n']).unwrap_or(rest.len());
                    (rest[..end].trim().into(), &rest[end..])
                }
            };
            record.cells.push(cell);
            line += count_lines(&rest[..rest.len() - after.len()]);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after;
                    break;
                }
            }
        }
        if let Some(after) = rest.strip_prefix('\n') {
            (rest, line) = (after, line + 1);
        }
        records.push(record);
    }
    Ok(records)
}

/// The cell behind an opening quote, and what follows its closing one: a comma, a line end or
/// nothing. A problem comes with the number of line ends before it.
fn unquote(text: &str) -> Result<(Cow<'_, str>, &str), (Problem, usize)> {
    let mut end = 0;
    loop {
        end += text[end..].find('"').ok_or((Problem::UnclosedQuote, 0))?;
        if !text[end + 1..].starts_with('"') {
            break;
        }
        end += 2;
    }
    let (cell, after) = (text[..end].trim(), text[end + 1..].trim_start_matches(' '));
    match after.chars().next() {
        None | Some(',' | '\n') => {}
        Some(found) => return Err((Problem::AfterQuote { found }, count_lines(&text[..end]))),
    }
    let cell = if cell.contains('"') { cell.replace("\"\"", "\"").into() } else { cell.into() };
    Ok((cell, after))
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}
