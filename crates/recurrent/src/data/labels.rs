//! Labels and their numbers.

use super::{DataError, Problem, problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The labels of a training part, each with a number from 0: sorted by their characters, so that
/// the order of the examples does not matter. Written as a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Labels {
    names: Vec<String>,
}

impl Labels {
    /// The different labels of the examples of `name`, the data as the person named them.
    ///
    /// # Errors
    /// [`DataError::NoExamples`], or [`DataError::OneLabel`] when all are the same.
    pub fn learn<'a>(
        name: &str,
        labels: impl IntoIterator<Item = &'a str>,
    ) -> Result<Labels, DataError> {
        let names: BTreeSet<&str> = labels.into_iter().collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        match names.as_slice() {
            [] => Err(DataError::NoExamples { name: name.to_owned() }),
            [only] => Err(DataError::OneLabel { name: name.to_owned(), label: only.clone() }),
            _ => Ok(Labels { names }),
        }
    }

    /// How many there are, at least two.
    #[expect(clippy::len_without_is_empty, reason = "there are at least two")]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// All of them, in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The label with a number.
    ///
    /// # Panics
    /// If `number` is not below [`len`](Labels::len).
    #[track_caller]
    pub fn name(&self, number: u32) -> &str {
        match self.names.get(number as usize) {
            Some(name) => name,
            None => panic!("label {number} is not one of {} labels", self.names.len()),
        }
    }

    /// The number of a label, if it is known.
    pub fn number(&self, label: &str) -> Option<u32> {
        let index = self.names.binary_search_by(|name| name.as_str().cmp(label));
        index.ok().map(|index| index as u32)
    }

    /// The number of the label that stands at a line of `name`, the data as the person named them.
    ///
    /// # Errors
    /// [`Problem::UnknownLabel`].
    pub fn require(&self, label: &str, name: &str, line: usize) -> Result<u32, DataError> {
        self.number(label).ok_or_else(|| {
            let known = problem::list(&self.names);
            DataError::at(name, line, Problem::UnknownLabel { label: label.to_owned(), known })
        })
    }

    /// Checks that of labels to be judged on, in the data that a person named so, at least one is
    /// known; `what` is what a message calls one.
    ///
    /// # Errors
    /// [`DataError::NoneKnown`].
    pub fn require_any<'a>(
        &self,
        what: &'static str,
        name: &str,
        labels: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), DataError> {
        let mut labels = labels.into_iter();
        match labels.next() {
            Some(first) if self.number(first).is_none() => {
                if labels.any(|label| self.number(label).is_some()) {
                    return Ok(());
                }
                let (name, known) = (name.to_owned(), problem::list(&self.names));
                Err(DataError::NoneKnown { name, what, first: problem::quote(first), known })
            }
            _ => Ok(()),
        }
    }
}

impl From<Labels> for Vec<String> {
    fn from(labels: Labels) -> Vec<String> {
        labels.names
    }
}

impl TryFrom<Vec<String>> for Labels {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Labels, String> {
        if let Some(pair) = names.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("labels: {:?} comes after {:?}", pair[1], pair[0]));
        }
        if names.len() < 2 {
            return Err("labels: fewer than two".to_owned());
        }
        Ok(Labels { names })
    }
}
