//! Which labels were taken for which.

use super::Section;
use super::html::{Html, note, paragraph, scrolled, table, tag};
use super::numbers::{count, percent};
use crate::run::thousands;

/// Labels with a row of their own; the rest are one row together.
const MOST_LABELS: usize = 20;
/// Confusions that are named.
const NAMED: usize = 6;

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
        let mut counts = vec![vec![0usize; labels]; labels];
        known().for_each(|&(label, given)| counts[label as usize][given as usize] += 1);
        let all = known().count();
        let right: usize = (0..labels).map(|label| counts[label][label]).sum();
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
    fn matrix(&self, counts: &[Vec<usize>]) -> Html {
        let labels = counts.len();
        // Those that are confused most have a row of their own.
        let wrong = |label: usize| -> usize {
            let others = (0..labels).filter(|&other| other != label);
            others.map(|other| counts[label][other] + counts[other][label]).sum()
        };
        let mut shown: Vec<usize> = (0..labels).collect();
        if labels > MOST_LABELS {
            shown.sort_by_key(|&label| (std::cmp::Reverse(wrong(label)), label));
            shown.truncate(MOST_LABELS);
            shown.sort_unstable();
        }
        let mut groups: Vec<(String, Vec<usize>)> =
            shown.iter().map(|&label| (self.names[label].clone(), vec![label])).collect();
        let rest: Vec<usize> = (0..labels).filter(|label| !shown.contains(label)).collect();
        if !rest.is_empty() {
            groups.push((format!("{} others", rest.len()), rest));
        }
        let heads = groups.iter().map(|(name, _)| tag("th", "", tag("span", "", name.as_str())));
        let corner = tag("th", "", "true ↓ given →");
        let head = tag("thead", "", tag("tr", "", corner.with(heads.collect::<Html>())));
        let rows = groups.iter().enumerate().map(|(row, (name, members))| {
            let sum: usize = members.iter().map(|&label| counts[label].iter().sum::<usize>()).sum();
            let cells = groups.iter().enumerate().map(|(column, (_, given))| {
                let pairs = members.iter().flat_map(|&a| given.iter().map(move |&b| (a, b)));
                let count: usize = pairs.map(|(a, b)| counts[a][b]).sum();
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

    fn worst(&self, counts: &[Vec<usize>]) -> Html {
        let mut worst: Vec<(usize, usize, usize)> = vec![];
        for (label, row) in counts.iter().enumerate() {
            let wrong =
                row.iter().enumerate().filter(|&(given, &count)| given != label && count > 0);
            worst.extend(wrong.map(|(given, &count)| (count, label, given)));
        }
        worst.sort_by_key(|&(count, label, given)| (std::cmp::Reverse(count), label, given));
        if worst.is_empty() {
            return note("Nothing was confused.");
        }
        let rows = worst.into_iter().take(NAMED).map(|(count, label, given)| {
            let sum: usize = counts[label].iter().sum();
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

    #[test]
    fn nothing_to_confuse_is_no_section() {
        let names = names(1);
        assert!(Confusion { names: &names, pairs: vec![(0, 0)], what: "word" }.section().is_none());
    }
}
