//! Results summed up: the seeds of a variant in one row.

use serde::Serialize;

use super::results::Record;
use super::{Outcome, Problem, RunConfig, TESTED};
use crate::run::thousands;

/// What became of all seeds of one variant on one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The task.
    pub task: Problem,
    /// Its lag; none where the grammar has its own.
    pub lag: Option<usize>,
    /// What is compared.
    pub cells: String,
    /// Numbers in h.
    pub hidden_size: usize,
    /// Sequences a step.
    pub batch_size: usize,
    /// The learning rate.
    pub learning_rate: f64,
    /// How many seeds were run.
    pub seeds: usize,
    /// With how many of them the goal was reached.
    pub solved: usize,
    /// With how many of them a number was not finite.
    pub exploded: usize,
    /// After how many sequences: the least and the most.
    pub exploded_after: Option<[u64; 2]>,
    /// Sequences needed by those that reached it: the median (the lower one), the least, the most.
    pub sequences: Option<[u64; 3]>,
    /// Sequences after which the others had failed.
    pub budget: u64,
    /// The median over all seeds of the mean error at the end.
    pub error: Option<f64>,
    /// Afterwards: of how many new sequences.
    pub tested: usize,
    /// So many were wrong, over all that reached the goal.
    pub wrong: usize,
}

/// The rows of these results, in the order in which their variants first come.
pub fn rows(records: &[Record]) -> Vec<Row> {
    let mut groups: Vec<(RunConfig, Vec<&Outcome>)> = vec![];
    for Record { run, outcome } in records {
        let mut without_seed = run.clone();
        without_seed.learning.seed = 0;
        match groups.iter_mut().find(|(known, _)| *known == without_seed) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => groups.push((without_seed, vec![outcome])),
        }
    }
    groups.iter().map(|(run, outcomes)| row(run, outcomes)).collect()
}

fn row(run: &RunConfig, outcomes: &[&Outcome]) -> Row {
    let solved = || outcomes.iter().filter(|outcome| outcome.solved);
    let mut sequences: Vec<u64> = solved().map(|outcome| outcome.sequences).collect();
    sequences.sort_unstable();
    let exploded = || {
        let exploded = outcomes.iter().filter(|outcome| outcome.exploded.is_some());
        exploded.map(|outcome| outcome.sequences)
    };
    let mut errors: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.error).collect();
    errors.sort_by(f64::total_cmp);
    let middle = |count: usize| (count - 1) / 2;
    Row {
        task: run.problem,
        lag: (run.lag > 0).then_some(run.lag),
        cells: run.variant.clone(),
        hidden_size: run.network.hidden_size,
        batch_size: run.learning.batch_size,
        learning_rate: run.learning.learning_rate,
        seeds: outcomes.len(),
        solved: sequences.len(),
        exploded: exploded().count(),
        exploded_after: exploded().min().zip(exploded().max()).map(|(least, most)| [least, most]),
        sequences: match sequences[..] {
            [] => None,
            [least, .., most] => Some([sequences[middle(sequences.len())], least, most]),
            [only] => Some([only; 3]),
        },
        budget: run.budget,
        error: (!errors.is_empty()).then(|| errors[middle(errors.len())]),
        tested: TESTED * sequences.len(),
        wrong: solved().filter_map(|outcome| outcome.wrong).sum(),
    }
}

impl Row {
    /// The names of the columns of [`line`](Self::line), `cells` being as wide as the longest name.
    pub fn heads(cells: usize) -> String {
        let heads = [
            "cells",
            "units",
            "batch",
            "rate",
            "solved",
            "sequences needed",
            "then wrong",
            "mean error",
            "exploded",
        ];
        columns(cells, heads)
    }

    /// A line for a person.
    pub fn line(&self, cells: usize) -> String {
        let sequences = match self.sequences {
            Some([median, least, most]) => {
                let [median, least, most] =
                    [median, least, most].map(|count| thousands(count as usize));
                format!("{median} ({least}..{most})")
            }
            None => format!("not within {}", thousands(self.budget as usize)),
        };
        let wrong = match self.tested {
            0 => "-".to_owned(),
            tested => format!("{} of {}", thousands(self.wrong), thousands(tested)),
        };
        let exploded = match self.exploded_after {
            Some([least, most]) if least == most => {
                format!("{} after {}", self.exploded, thousands(least as usize))
            }
            Some([least, most]) => {
                let [least, most] = [least, most].map(|count| thousands(count as usize));
                format!("{} after {least}..{most}", self.exploded)
            }
            None => String::new(),
        };
        // As it would be typed.
        let rate = match self.learning_rate {
            rate if (1e-5..1e5).contains(&rate) => rate.to_string(),
            rate => format!("{rate:e}"),
        };
        let cell = [
            &*self.cells,
            &self.hidden_size.to_string(),
            &self.batch_size.to_string(),
            &rate,
            &format!("{}/{}", self.solved, self.seeds),
            &sequences,
            &wrong,
            &self.error.map_or("-".to_owned(), |error| format!("{error:.3}")),
            &exploded,
        ];
        columns(cells, cell)
    }
}

/// What stands in a line, in columns.
fn columns(cells: usize, line: [&str; 9]) -> String {
    let [name, units, batch, rate, solved, sequences, wrong, error, exploded] = line;
    let line = format!(
        "{name:cells$}{units:>7} {batch:>6} {rate:>8} {solved:>8}  {sequences:32}  {wrong:16}  \
         {error:10}  {exploded}"
    );
    line.trim_end().to_owned()
}
