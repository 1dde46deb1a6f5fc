//! The figures that an evaluation reports.

use serde::Serialize;

use crate::data::Labels;
use crate::run::thousands;
use crate::tasks::Report;
use crate::tasks::examples::percent;

/// The figures that an evaluation reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassifyReport {
    /// The share of examples with the right label.
    pub accuracy: f64,
    /// The mean over labels of the harmonic mean of precision and recall.
    pub macro_f1: f64,
    /// The accuracy of giving every example the training's most frequent label.
    pub majority_accuracy: f64,
    /// The accuracy of a naive Bayes classifier, which does not know the order of the tokens; not
    /// for series of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bag_of_words_accuracy: Option<f64>,
    /// Nats per example.
    pub loss: f64,
    /// How many examples were judged.
    pub examples: usize,
    /// Which labels were taken for which, as a table for a person; where there are few labels.
    #[serde(skip)]
    pub confusion: Option<String>,
}

impl Report for ClassifyReport {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn headline(&self) -> String {
        format!("accuracy {}", percent(self.accuracy))
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("accuracy", percent(self.accuracy)),
            ("macro F1", percent(self.macro_f1)),
            ("most frequent label", percent(self.majority_accuracy)),
        ];
        lines.extend(self.bag_of_words_accuracy.map(|share| ("bag of words", percent(share))));
        lines.push(("loss", format!("{:.4} nats per example", self.loss)));
        lines.push(("examples", thousands(self.examples)));
        lines.extend(self.confusion.clone().map(|table| ("confusion", table)));
        if self.accuracy <= self.majority_accuracy {
            lines.push(("remark", "no better than the most frequent label for all".into()));
        } else if self.bag_of_words_accuracy.is_some_and(|share| self.accuracy <= share) {
            let remark = "no better than a bag of words (naive Bayes), which knows no order";
            lines.push(("remark", remark.into()));
        }
        lines
    }
}

/// A table wider than a terminal shows nothing.
const MOST_LABELS: usize = 20;

/// A row for each true label, a column for each label that the model gave; none if there are too
/// many.
pub(super) fn confusion(predicted: &[u32], true_ones: &[u32], labels: &Labels) -> Option<String> {
    if labels.len() > MOST_LABELS {
        return None;
    }
    let mut counts = vec![vec![0usize; labels.len()]; labels.len()];
    for (&predicted, &label) in predicted.iter().zip(true_ones) {
        counts[label as usize][predicted as usize] += 1;
    }
    let digits = |number: usize| number.to_string().len();
    let widest = counts.iter().flatten().copied().max().unwrap_or(0);
    let width = 1 + digits(widest).max(digits(labels.len()));
    let name_width = labels.names().iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let number_width = digits(labels.len());
    let mut table = "rows are true labels, columns those given".to_owned();
    let indent = 2 + number_width + 1 + name_width;
    table.push_str(&format!("\n{:indent$}", ""));
    (1..=labels.len()).for_each(|number| table.push_str(&format!("{number:>width$}")));
    for (index, (name, counts)) in labels.names().iter().zip(&counts).enumerate() {
        let number = index + 1;
        table.push_str(&format!("\n  {number:>number_width$} {name:name_width$}"));
        counts.iter().for_each(|count| table.push_str(&format!("{count:>width$}")));
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_true_label_and_a_column_a_given_one() {
        let labels = Labels::learn("data", ["no", "yes"]).unwrap();
        let mut predicted = vec![0; 12];
        predicted.extend([1, 0, 1]);
        let mut true_ones = vec![0; 13];
        true_ones.extend([1, 1]);
        let expected = "rows are true labels, columns those given\n         1  2\n  1 no  12  1\n  \
                        2 yes  1  1";
        assert_eq!(confusion(&predicted, &true_ones, &labels).unwrap(), expected);
    }
}
