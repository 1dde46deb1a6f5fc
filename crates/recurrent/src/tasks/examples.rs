//! What tasks with examples have in common: which part an example belongs to, fingerprints, and
//! how often two lists agree.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use recurrent_kernels::{Columns, Compute, loss};

use crate::builtin::Part;
use crate::data::{self, Source, source, split_by_key};
use crate::options::{Options, usage};
use crate::run::thousands;

/// The examples of a training and those held out, by the rule of all tasks: those of `--valid`; of
/// built-in data the validation part; of a file a tenth of its inputs, so that no input is on both
/// sides.
///
/// `read` gives the examples of a source; of built-in data, those of a part.
///
/// # Errors
/// Those of `read`, and if there are too few examples to hold any out.
pub fn read_parts<E>(
    options: &Options,
    key_name: &'static str,
    read: impl Fn(&Source, Part) -> anyhow::Result<Vec<E>>,
    key: impl Fn(&E) -> &str,
) -> anyhow::Result<(Vec<E>, Vec<E>)> {
    let data = source::open(options.data_name()?)?;
    let train = read(&data, Part::Train)?;
    if let Some(valid) = &options.valid {
        return Ok((train, read(&source::open(valid)?, Part::Valid)?));
    }
    match data {
        Source::Builtin(_) => Ok((train, read(&data, Part::Valid)?)),
        Source::Path(_) => Ok(split_by_key(&data.to_string(), key_name, train, key)?),
    }
}

/// The examples of a file to be judged on; of built-in data, those of the test part.
///
/// # Errors
/// Those of `read`.
pub fn read_test<E>(
    data: &Path,
    read: impl Fn(&Source, Part) -> anyhow::Result<Vec<E>>,
) -> anyhow::Result<Vec<E>> {
    read(&source::open(data)?, Part::Test)
}

/// Leaves out of a training the examples whose length is above `--max-length`; `name` is the data
/// as the person named them, `what` one example, `unit` what a length counts. If there are any, a line
/// says how many.
///
/// # Errors
/// Wrong usage if that leaves none.
pub fn keep_short<E>(
    (name, what): (&Path, &str),
    examples: &mut Vec<E>,
    most: Option<usize>,
    unit: &str,
    length: impl Fn(&E) -> usize,
) -> anyhow::Result<Option<String>> {
    let Some(most) = most else { return Ok(None) };
    let all = examples.len();
    examples.retain(|example| length(example) <= most);
    if examples.is_empty() {
        return Err(usage(format!(
            "--max-length: every {what} of {} has more than {most} {unit}; raise it",
            name.display()
        )));
    }
    let left_out = |count: usize| match count {
        1 => format!("1 {what} of more than {most} {unit} is left out"),
        _ => format!("{} {what}s of more than {most} {unit} are left out", thousands(count)),
    };
    Ok(Some(all - examples.len()).filter(|&count| count > 0).map(left_out))
}

/// How the columns of a file are found.
pub fn columns(options: &Options) -> data::Columns {
    data::Columns { picked: options.columns.clone(), header: !options.no_header }
}

/// A number that changes when anything does that went into it: 64-bit FNV-1a.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint(0xCBF2_9CE4_8422_2325)
    }
}

impl Fingerprint {
    /// That of the parts of a training; `take_in` takes in the examples of one.
    pub fn of<E>(parts: [&Vec<E>; 2], take_in: impl Fn(&mut Fingerprint, &[E])) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for part in parts {
            fingerprint.number(part.len() as u64);
            take_in(&mut fingerprint, part);
        }
        fingerprint.value()
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0100_0000_01B3);
    }

    /// Takes tokens in, and how many there are.
    pub fn tokens(&mut self, tokens: &[u32]) {
        self.number(tokens.len() as u64);
        tokens.iter().for_each(|&token| self.number(u64::from(token)));
    }

    /// Takes numbers in by their bits, and how many there are.
    pub fn numbers(&mut self, numbers: &[f32]) {
        self.number(numbers.len() as u64);
        numbers.iter().for_each(|number| self.number(u64::from(number.to_bits())));
    }

    /// What it has become.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// Examples judged side by side: enough to keep the processor busy, few enough for any memory.
pub const EVALUATION_BATCH: usize = 128;

/// What was counted most often; the first of equally frequent ones.
pub fn most_frequent<K: Ord + Copy>(counts: &BTreeMap<K, usize>) -> Option<K> {
    counts.iter().max_by_key(|&(key, count)| (count, Reverse(key))).map(|(&key, _)| key)
}

/// What a model says of targets that are labels, batch after batch.
#[derive(Clone, Debug, Default)]
pub struct Guesses {
    /// The most likely label of each column.
    pub predicted: Vec<u32>,
    /// The cross entropy of all columns together, in nats.
    pub loss: f64,
    losses: Vec<f64>,
}

impl Guesses {
    /// Judges the logits of as many columns as there are targets; [`loss::IGNORED`] ones count no
    /// loss.
    pub fn add(&mut self, compute: &Compute, logits: Columns<'_, f32>, targets: &[u32]) {
        self.losses.resize(targets.len(), 0.0);
        loss::cross_entropy(compute, logits, targets, &mut self.losses);
        self.loss += self.losses.iter().sum::<f64>();
        self.predicted.extend((0..logits.columns()).map(|at| largest(logits.column(at))));
    }
}

/// The share of pairs that are equal.
///
/// # Panics
/// If there are not as many on both sides.
#[track_caller]
pub fn accuracy(predicted: &[u32], true_ones: &[u32]) -> f64 {
    assert_eq!(predicted.len(), true_ones.len(), "predictions and truths");
    let right = predicted.iter().zip(true_ones).filter(|(a, b)| a == b).count();
    right as f64 / true_ones.len() as f64
}

/// The mean over `classes` classes of the harmonic mean of precision and recall (macro-averaged
/// F1). A class that neither occurs nor is predicted is left out; one that is never right counts 0.
pub fn macro_f1(predicted: &[u32], true_ones: &[u32], classes: usize) -> f64 {
    let mut counts = vec![[0usize; 3]; classes];
    for (&p, &t) in predicted.iter().zip(true_ones) {
        counts[p as usize][1] += 1;
        counts[t as usize][2] += 1;
        if p == t {
            counts[p as usize][0] += 1;
        }
    }
    // 2 P R / (P + R) with P = right / predicted and R = right / true is 2 right / (both together).
    let f1 = |[right, predicted, true_ones]: [usize; 3]| {
        2.0 * right as f64 / (predicted + true_ones) as f64
    };
    let seen: Vec<f64> = counts.into_iter().filter(|[_, p, t]| p + t > 0).map(f1).collect();
    seen.iter().sum::<f64>() / seen.len() as f64
}

/// The place of the largest number; the first of equal ones.
pub fn largest(numbers: &[f32]) -> u32 {
    let mut best = 0;
    for (index, number) in numbers.iter().enumerate() {
        if *number > numbers[best] {
            best = index;
        }
    }
    best as u32
}

/// How many targets are none of the training's; none if that is none.
pub fn unknown(targets: &[u32]) -> Option<usize> {
    let unknown = targets.iter().filter(|&&target| target == loss::IGNORED).count();
    (unknown > 0).then_some(unknown)
}

/// What a report says of so many unknown targets; `what` is one.
pub fn unknown_remark(what: &str, count: usize) -> String {
    match count {
        1 => format!("1 {what} is none of the training's, and counts as wrong"),
        _ => format!("{} {what}s are none of the training's, and count as wrong", thousands(count)),
    }
}

/// A share as people read it: `93.1 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_their_definitions() {
        let (predicted, true_ones) = ([0, 0, 1, 1, 2], [0, 1, 1, 1, 0]);
        assert_eq!(accuracy(&predicted, &true_ones), 0.6);
        // Class 0: P 1/2, R 1/2. Class 1: P 1, R 2/3. Class 2: never right. Class 3: absent.
        let expected = (0.5 + 0.8 + 0.0) / 3.0;
        assert!((macro_f1(&predicted, &true_ones, 4) - expected).abs() < 1e-12);
        assert_eq!(largest(&[1.0, 3.0, 3.0, f32::NAN]), 1);
    }

    #[test]
    fn a_fingerprint_knows_where_a_list_ends() {
        let of = |lists: &[&[u32]]| {
            let mut fingerprint = Fingerprint::default();
            lists.iter().for_each(|list| fingerprint.tokens(list));
            fingerprint.value()
        };
        assert_ne!(of(&[&[1, 2], &[3]]), of(&[&[1], &[2, 3]]));
        assert_ne!(of(&[&[1, 2]]), of(&[&[2, 1]]));
    }
}
