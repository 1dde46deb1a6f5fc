//! Which labels were taken for which.

use std::collections::BTreeMap;

use super::Section;
use super::html::{Html, note, paragraph, scrolled, table, tag};
use super::numbers::{count, percent};
use crate::run::thousands;

/// Labels with a row of their own; the rest are one row together.
const MOST_LABELS: usize = 20;
/// Confusions that are named.
const NAMED: usize = 6;

/// How often a true label (first) was taken for one. Only pairs that occur are in it, because there
/// can be more labels than a table of them all has room for.
type Counts = BTreeMap<(usize, usize), usize>;

/// Pairs of a true label and the one that was given.
pub(crate) struct Confusion<'l> {
    /// The labels by number.
    pub(crate) names: &'l [String],
    /// True and given, for every example; a true label may be one that the training never saw.
    pub(crate) pairs: Vec<(u32, u32)>,
    /// What is labelled, in the singular: "example", "word".
    pub(crate) what: &'static str,
}

impl Confusion<'_> {
    /// The section; none where there is nothing to confuse.
    pub(crate) fn section(&self) -> Option<Section> {
        let Confusion { names, pairs, what } = self;
        let labels = names.len();
        let known = || pairs.iter().filter(|(label, _)| (*label as usize) < labels);
        if labels < 2 || known().next().is_none() {
            return None;
        }
        let mut counts = Counts::new();
        for &(label, given) in known() {
            *counts.entry((label as usize, given as usize)).or_insert(0) += 1;
        }
        let all = known().count();
        let right = known().filter(|(label, given)| label == given).count();
        let lead = paragraph(format!(
            "{} of {} right ({}).",
            thousands(right),
            count(all, what),
            percent(right as f64 / all as f64)
        ));
        let section = Section::new("confusion", "What is taken for what").lead(lead);
        Some(section.body(self.matrix(&counts).with(self.worst(&counts))))
    }

    /// A row for each true label, a column for each given one.
    fn matrix(&self, counts: &Counts) -> Html {
        let labels = self.names.len();
        // Those that are confused most have a row of their own.
        let mut wrong = vec![0; labels];
        for (&(label, given), &count) in counts.iter().filter(|((label, given), _)| label != given)
        {
            wrong[label] += count;
            wrong[given] += count;
        }
        let mut shown: Vec<usize> = (0..labels).collect();
        if labels > MOST_LABELS {
            shown.sort_by_key(|&label| (std::cmp::Reverse(wrong[label]), label));
            shown.truncate(MOST_LABELS);
            shown.sort_unstable();
        }
        let mut names: Vec<String> = shown.iter().map(|&label| self.names[label].clone()).collect();
        if labels > shown.len() {
            names.push(format!("{} others", thousands(labels - shown.len())));
        }
        // Rows and columns of the table; those without one of their own are in the last.
        let place = |label: usize| shown.binary_search(&label).unwrap_or(shown.len());
        let mut table = vec![vec![0; names.len()]; names.len()];
        for (&(label, given), &count) in counts {
            table[place(label)][place(given)] += count;
        }
        let heads = names.iter().map(|name| tag("th", "", tag("span", "", name.as_str())));
        let corner = tag("th", "", "true ↓ given →");
        let head = tag("thead", "", tag("tr", "", corner.with(heads.collect::<Html>())));
        let rows = names.iter().zip(&table).enumerate().map(|(row, (name, counts))| {
            let sum: usize = counts.iter().sum();
            let cells = counts.iter().enumerate().map(|(column, &count)| {
                // Text stays readable on the strongest colour.
                let share = 0.7 * count as f64 / sum.max(1) as f64;
                let style = format!("--share: {share:.3}");
                let class = if row == column { "hit" } else { "" };
                let text = if count == 0 { String::new() } else { thousands(count) };
                Html::element("td", &[("class", class), ("style", &style)], text)
            });
            tag("tr", "", tag("th", "", name.as_str()).with(cells.collect::<Html>()))
        });
        let body = tag("tbody", "", rows.collect::<Html>());
        let caption =
            note("Rows are true labels, columns those given; the colour is the share of the row.");
        scrolled(tag("table", "confusion", head.with(body))).with(caption)
    }

    fn worst(&self, counts: &Counts) -> Html {
        let wrong = counts.iter().filter(|((label, given), _)| label != given);
        let mut worst: Vec<(usize, usize, usize)> =
            wrong.map(|(&(label, given), &count)| (count, label, given)).collect();
        worst.sort_by_key(|&(count, label, given)| (std::cmp::Reverse(count), label, given));
        if worst.is_empty() {
            return note("Nothing was confused.");
        }
        let rows = worst.into_iter().take(NAMED).map(|(count, label, given)| {
            let sum: usize =
                counts.range((label, 0)..=(label, usize::MAX)).map(|(_, count)| count).sum();
            vec![
                self.names[label].as_str().into(),
                self.names[given].as_str().into(),
                thousands(count).into(),
                percent(count as f64 / sum as f64).into(),
            ]
        });
        tag("h3", "", "The most frequent confusions").with(table(
            &["true", "given", "times", "of the true label"],
            &[2, 3],
            rows,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|label| format!("<{label}>")).collect()
    }

    #[test]
    fn counts_stand_where_they_belong() {
        let names = names(3);
        let pairs = vec![(0, 0), (0, 0), (0, 1), (2, 1), (2, 1), (2, 2), (u32::MAX, 0)];
        let section = Confusion { names: &names, pairs, what: "example" }.section().unwrap();
        let (lead, body) = (section.lead.as_str(), section.body.as_str());
        assert!(lead.contains("3 of 6 examples right (50.0 %)"), "{lead}");
        let worst = "<tbody><tr><td>&lt;2&gt;</td><td>&lt;1&gt;</td><td class=\"number\">2</td><td \
                     class=\"number\">66.7 %</td></tr>";
        assert!(body.contains(worst), "{body}");
        assert!(body.contains("<td class=\"hit\" style=\"--share: 0.467\">2</td>"), "{body}");
    }

    #[test]
    fn many_labels_are_put_together() {
        let names = names(50);
        let pairs = (0..50).map(|label| (label, label / 2)).collect();
        let section = Confusion { names: &names, pairs, what: "word" }.section().unwrap();
        assert!(section.body.as_str().contains("30 others"), "{section:?}");
    }

    /// A table of all pairs would take 80 GB.
    #[test]
    fn as_many_labels_as_words_take_no_table_of_them_all() {
        let labels = 100_000;
        let names = names(labels as usize);
        let pairs = (0..labels).map(|label| (label, label / 2)).collect();
        let section = Confusion { names: &names, pairs, what: "word" }.section().unwrap();
        let body = section.body.as_str();
        assert!(body.contains("99,980 others"), "{body}");
        // Of 2 and its like: taken for another, and another for them twice.
        assert!(body.contains(">99,"), "{body}");
        assert_eq!(body.matches("<td class=\"hit\"").count(), 21);
    }

    #[test]
    fn nothing_to_confuse_is_no_section() {
        let names = names(1);
        assert!(Confusion { names: &names, pairs: vec![(0, 0)], what: "word" }.section().is_none());
    }
}
