//! Sequences of different lengths in one batch, without padding.
//!
//! Sequences are sorted by length, longest first, so that panel t (all columns of step t) holds
//! the first `width(t)` of them. A batch has exactly as many columns as it has tokens. Whoever
//! calls never sees the sorted order: what goes in and comes out by sequence is in its own order.

use crate::Direction;

/// The lengths of a batch of sequences, and where each step of each sequence lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// `offsets[t]..offsets[t + 1]` are the columns of panel t.
    offsets: Vec<usize>,
    /// The length of each sequence in sorted order.
    sorted: Vec<usize>,
    /// The caller's sequence at each sorted place.
    order: Vec<usize>,
    /// The sorted place of each of the caller's sequences.
    place: Vec<usize>,
    /// For each step the places whose state begins afresh before it, ascending; empty if none does.
    resets: Vec<Vec<usize>>,
}

impl Lengths {
    /// The lengths of the caller's sequences, in the caller's order.
    ///
    /// # Panics
    /// If there is no sequence, or one without steps.
    #[track_caller]
    pub fn new(lengths: &[usize]) -> Self {
        assert!(!lengths.is_empty(), "a batch needs at least one sequence");
        if let Some(empty) = lengths.iter().position(|&length| length == 0) {
            panic!("sequence {empty} of {} has no steps", lengths.len());
        }
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        // A stable sort: equal lengths stay in the caller's order.
        order.sort_by_key(|&sequence| std::cmp::Reverse(lengths[sequence]));
        let sorted: Vec<usize> = order.iter().map(|&sequence| lengths[sequence]).collect();
        let mut place = vec![0; order.len()];
        for (at, &sequence) in order.iter().enumerate() {
            place[sequence] = at;
        }
        let mut offsets = vec![0];
        let mut width = sorted.len();
        for t in 0..sorted[0] {
            while sorted[width - 1] <= t {
                width -= 1;
            }
            offsets.push(offsets[t] + width);
        }
        Lengths { offsets, sorted, order, place, resets: Vec::new() }
    }

    /// `batch` sequences of `steps` steps each.
    ///
    /// # Panics
    /// If either is 0.
    #[track_caller]
    pub fn equal(batch: usize, steps: usize) -> Self {
        Lengths::new(&vec![steps; batch])
    }

    /// The same batch, in which the state of some sequences begins afresh at some steps: each pair
    /// is one of the caller's sequences and the step before which a new document begins in it. They
    /// replace those of an earlier call. At step 0 the sequence does not take the initial state that
    /// the batch is given, such as one carried from an earlier window. A reverse direction begins
    /// afresh at the same borders, on its way back.
    ///
    /// # Panics
    /// If there is no such sequence, or it has no such step.
    #[track_caller]
    pub fn with_resets(mut self, resets: &[(usize, usize)]) -> Self {
        self.resets = Vec::new();
        for &(sequence, step) in resets {
            let batch = self.batch();
            assert!(sequence < batch, "there is no sequence {sequence} in a batch of {batch}");
            let length = self.length(sequence);
            assert!(
                step < length,
                "no document can begin before step {step} of a sequence of {length} steps"
            );
            self.resets.resize(self.steps(), Vec::new());
            let places = &mut self.resets[step];
            if let Err(at) = places.binary_search(&self.place[sequence]) {
                places.insert(at, self.place[sequence]);
            }
        }
        self
    }

    /// Some state begins afresh in the middle.
    pub fn has_resets(&self) -> bool {
        !self.resets.is_empty()
    }

    /// What is read or written as one whole has no documents that begin in its middle.
    #[track_caller]
    pub(crate) fn require_whole(&self, what: &str) {
        assert!(!self.has_resets(), "no document can begin in the middle of {what}");
    }

    /// The sorted places whose state begins afresh before `step`.
    pub(crate) fn resets(&self, step: usize) -> &[usize] {
        self.resets.get(step).map_or(&[], Vec::as_slice)
    }

    /// How many sequences.
    pub fn batch(&self) -> usize {
        self.order.len()
    }
    /// The length of the longest sequence: how many panels there are.
    pub fn steps(&self) -> usize {
        self.offsets.len() - 1
    }
    /// The sum of all lengths: how many columns there are.
    pub fn columns(&self) -> usize {
        self.offsets[self.steps()]
    }
    /// How many sequences reach step t.
    pub fn width(&self, t: usize) -> usize {
        self.offsets[t + 1] - self.offsets[t]
    }
    /// `offsets()[t]..offsets()[t + 1]` are the columns of panel t.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }
    /// All sequences have the same length.
    pub fn is_regular(&self) -> bool {
        self.columns() == self.batch() * self.steps()
    }
    /// The caller's sequence in each column of panel 0; panel t holds the first `width(t)`.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
    /// The length of one of the caller's sequences.
    pub fn length(&self, sequence: usize) -> usize {
        self.sorted[self.place[sequence]]
    }
    /// The column of step t of one of the caller's sequences.
    ///
    /// # Panics
    /// If the sequence has ended before.
    #[track_caller]
    pub fn column(&self, sequence: usize, t: usize) -> usize {
        let length = self.length(sequence);
        assert!(t < length, "sequence {sequence} has {length} steps and no step {t}");
        self.offsets[t] + self.place[sequence]
    }
    /// The sorted place of one of the caller's sequences: its column in panel 0.
    pub(crate) fn place(&self, sequence: usize) -> usize {
        self.place[sequence]
    }
    /// The column of the step that `direction` takes last, of the sequence at this sorted place.
    pub(crate) fn final_column(&self, direction: Direction, place: usize) -> usize {
        match direction {
            Direction::Forward => self.offsets[self.sorted[place] - 1] + place,
            Direction::Reverse => place,
        }
    }

    /// Arranges something per token, given sequence by sequence in the caller's order, into the
    /// order of columns.
    ///
    /// # Panics
    /// If a sequence has another length.
    #[track_caller]
    pub fn arrange<V: Copy>(&self, sequences: &[impl AsRef<[V]>]) -> Vec<V> {
        assert_eq!(sequences.len(), self.batch(), "sequences given and sequences in the batch");
        for (sequence, tokens) in sequences.iter().enumerate() {
            let (given, length) = (tokens.as_ref().len(), self.length(sequence));
            assert!(given == length, "sequence {sequence} has {length} steps; {given} were given");
        }
        let mut columns = Vec::with_capacity(self.columns());
        for t in 0..self.steps() {
            let running = &self.order[..self.width(t)];
            columns.extend(running.iter().map(|&sequence| sequences[sequence].as_ref()[t]));
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_has_one_column(lengths in prop::collection::vec(1usize..9, 1..9)) {
            let batch = Lengths::new(&lengths);
            prop_assert_eq!(batch.columns(), lengths.iter().sum::<usize>());
            let tokens: Vec<Vec<(usize, usize)>> = lengths
                .iter()
                .enumerate()
                .map(|(sequence, &length)| (0..length).map(|t| (sequence, t)).collect())
                .collect();
            let arranged = batch.arrange(&tokens);
            for (sequence, &length) in lengths.iter().enumerate() {
                prop_assert_eq!(batch.length(sequence), length);
                for t in 0..length {
                    prop_assert_eq!(arranged[batch.column(sequence, t)], (sequence, t));
                }
            }
            for t in 1..batch.steps() {
                prop_assert!(batch.width(t) <= batch.width(t - 1));
            }
        }
    }

    #[test]
    #[should_panic(expected = "sequence 1 of 2 has no steps")]
    fn an_empty_sequence_is_refused() {
        Lengths::new(&[3, 0]);
    }
}
