//! Examples as a person has them: a text with a label, or a series of numbers with a label.

use std::path::Path;
use std::sync::Arc;

use crate::builtin::{self, Builtin, Part};
use crate::data::numbers::LabelledTable;
use crate::data::table::{column_count, column_names};
use crate::data::{Columns, DataError, Row, Source, Table, TokenKind, source};
use crate::options::{Options, usage};

/// What a label is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// Rows of numbers.
    Series,
}

/// An example.
pub(super) struct Written {
    /// The data as the person named them.
    pub(super) data: Arc<str>,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    pub(super) label: String,
    /// The text, or what a series is called.
    pub(super) text: String,
    /// The names of the features; none for a text.
    pub(super) features: Arc<[String]>,
    /// Row after row, a number for each feature.
    pub(super) values: Vec<f64>,
}

impl Kind {
    /// What the data of these options are. A table is one of series if it has a column `series`, or
    /// if more columns are picked than a text and its label need.
    pub(super) fn of(data: &Path, columns: &Columns) -> anyhow::Result<Kind> {
        let source = source::open(data)?;
        let is_series = match (&source, &columns.picked) {
            (Source::Builtin(_), _) => false,
            (Source::Path(path), _) if path.is_dir() => false,
            (_, Some(picked)) => picked.len() > 2,
            (_, None) if !columns.header => false,
            (_, None) => column_names(&source, columns)?
                .iter()
                .any(|name| name.eq_ignore_ascii_case("series")),
        };
        Ok(if is_series { Kind::Series } else { Kind::Text })
    }

    /// What examples are told apart by.
    pub(super) fn key(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Series => "series",
        }
    }

    /// What several steps of an example are called; those of a text are such tokens.
    pub(super) fn plural(self, tokens: TokenKind) -> &'static str {
        match self {
            Kind::Text => tokens.plural(),
            Kind::Series => "rows",
        }
    }

    /// How many steps an example has.
    pub(super) fn count(self, tokens: TokenKind, written: &Written) -> usize {
        match self {
            Kind::Text => tokens.count(&written.text),
            Kind::Series => written.values.len() / written.features.len(),
        }
    }

    /// Refuses options that only a text has.
    pub(super) fn check(self, options: &Options) -> anyhow::Result<()> {
        let tokens = options.tokens.is_some_and(|tokens| tokens != TokenKind::Word);
        let given = [
            ("tokens", tokens),
            ("min-count", options.min_count.is_some()),
            ("embedding-size", options.embedding_size.is_some()),
            ("one-hot", options.one_hot),
            ("embeddings", options.embeddings.is_some()),
            ("embedding-dropout", options.embedding_dropout.is_some()),
        ];
        match given.into_iter().find(|&(_, given)| given) {
            Some((name, _)) if self == Kind::Series => Err(usage(format!(
                "--{name}: the data are series of numbers and have no tokens; drop it"
            ))),
            _ => Ok(()),
        }
    }

    /// Reads examples of this kind; of built-in data, those of a part.
    pub(super) fn read(
        self,
        source: &Source,
        part: Part,
        columns: &Columns,
    ) -> anyhow::Result<Vec<Written>> {
        match self {
            Kind::Text => texts(source, part, columns),
            Kind::Series => series(source, columns),
        }
    }
}

fn texts(source: &Source, part: Part, columns: &Columns) -> anyhow::Result<Vec<Written>> {
    let data: Arc<str> = source.to_string().into();
    let none: Arc<[String]> = Arc::new([]);
    let written = |data: &Arc<str>, line, text, label| {
        let (data, features) = (data.clone(), none.clone());
        Written { data, line, label, text, features, values: vec![] }
    };
    let of_builtin = |rows: Vec<[String; 2]>| {
        let rows = (1..).zip(rows);
        rows.map(|(line, [text, label])| written(&data, line, text, label)).collect()
    };
    Ok(match source {
        Source::Builtin(Builtin::Sentiment) => of_builtin(builtin::sentiment(builtin::SEED, part)),
        Source::Builtin(Builtin::Labels) => {
            let rows = builtin::labels(builtin::SEED, part).into_iter();
            of_builtin(rows.map(|[label, text]| [text, label]).collect())
        }
        Source::Builtin(_) => {
            let needed = "texts with labels; there are builtin:sentiment and builtin:labels";
            return Err(DataError::WrongBuiltin { name: source.to_string(), needed }.into());
        }
        Source::Path(path) => {
            if !columns.header && columns.picked.is_none() && !path.is_dir() {
                require_two_columns(source, columns)?;
            }
            let rows = Table::read_labelled(source, columns)?.rows.into_iter();
            let row = |Row { name, line, cells }| match <[String; 2]>::try_from(cells) {
                Ok([text, label]) => written(&name, line, text, label),
                Err(cells) => unreachable!("asked for two columns, got {}", cells.len()),
            };
            rows.map(row).collect()
        }
    })
}

/// Refuses to choose among columns that no header names.
fn require_two_columns(source: &Source, columns: &Columns) -> anyhow::Result<()> {
    match column_count(source, columns)? {
        count if count > 2 => Err(usage(format!(
            "--no-header: {source} has {count} columns; say by their numbers which to read: \
             --columns TEXT,LABEL, or of series of numbers --columns SERIES,LABEL,FEATURE..."
        ))),
        _ => Ok(()),
    }
}

fn series(source: &Source, columns: &Columns) -> anyhow::Result<Vec<Written>> {
    let LabelledTable { name, features, series } = LabelledTable::read(source, columns)?;
    let (data, features): (Arc<str>, Arc<[String]>) = (name.into(), features.into());
    let written = |series: crate::data::LabelledSeries| Written {
        data: data.clone(),
        line: series.line,
        label: series.label,
        text: series.id,
        features: features.clone(),
        values: series.values,
    };
    Ok(series.into_iter().map(written).collect())
}
