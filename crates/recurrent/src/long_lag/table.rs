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
        exploded: outcomes.iter().filter(|outcome| outcome.exploded.is_some()).count(),
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
    /// The names of the columns of [`line`](Self::line).
    pub fn heads() -> String {
        format!(
            "{:26}{:>6}{:>6}{:>8}{:>9}  {:34}{}",
            "cells", "units", "batch", "rate", "solved", "sequences needed", "then wrong"
        )
    }

    /// A line for a person.
    pub fn line(&self) -> String {
        let solved = format!("{}/{}", self.solved, self.seeds);
        let sequences = match self.sequences {
            Some([median, least, most]) => {
                let [median, least, most] =
                    [median, least, most].map(|count| thousands(count as usize));
                format!("{median} ({least}..{most})")
            }
            None => format!("not within {}", thousands(self.budget as usize)),
        };
        let mut last = match (self.tested, self.error) {
            (0, Some(error)) => format!("error {error:.3}"),
            (0, None) => String::new(),
            (tested, _) => {
                format!("{} of {}", thousands(self.wrong), thousands(tested))
            }
        };
        if self.exploded > 0 {
            last.push_str(&format!("  {} exploded", self.exploded));
        }
        let line = format!(
            "{:26}{:>6}{:>6}{:>8}{:>9}  {:34}{}",
            self.cells,
            self.hidden_size,
            self.batch_size,
            self.learning_rate,
            solved,
            sequences,
            last
        );
        line.trim_end().to_owned()
    }
}
