//! Which way through time, and what each step begins from.

use std::ops::Range;

use crate::Lengths;

/// Which way a layer reads its sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first step to the last.
    Forward,
    /// From each sequence's own last step to the first.
    Reverse,
}

/// Which ways the layers of a stack read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directions {
    /// Forward alone.
    #[default]
    Forward,
    /// In reverse alone: ONNX's `direction = "reverse"`.
    Reverse,
    /// Both, each with a cell of its own: PyTorch's `bidirectional=True`.
    Both,
}

impl Directions {
    /// Each, in the order of a layer's cells.
    pub(crate) fn list(self) -> &'static [Direction] {
        match self {
            Directions::Forward => &[Direction::Forward],
            Directions::Reverse => &[Direction::Reverse],
            Directions::Both => &[Direction::Forward, Direction::Reverse],
        }
    }

    /// How many.
    pub fn count(self) -> usize {
        self.list().len()
    }
}

/// What PyTorch puts at the end of the names of a layer's first and second cell.
pub(crate) fn suffix(index: usize) -> &'static str {
    if index == 0 { "" } else { "_reverse" }
}

/// What the state before a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// The state after the step of this panel.
    Panel(usize),
    /// h_0 and c_0: the sequence begins here.
    Initial,
    /// The state that a new document begins from.
    Afresh,
}

impl Direction {
    /// Calls `f` with each of `steps` in the order in which this direction takes them.
    pub(crate) fn for_steps(self, steps: Range<usize>, f: impl FnMut(usize)) {
        match self {
            Direction::Forward => steps.for_each(f),
            Direction::Reverse => steps.rev().for_each(f),
        }
    }

    /// As [`for_steps`](Self::for_steps), from the last taken to the first.
    pub(crate) fn for_steps_back(self, steps: Range<usize>, f: impl FnMut(usize)) {
        match self {
            Direction::Forward => steps.rev().for_each(f),
            Direction::Reverse => steps.for_each(f),
        }
    }

    /// Divides `steps` into neighbours that have at least `columns` columns together, except the
    /// last, and calls `f` with each in the order in which this direction takes them.
    pub(crate) fn for_groups(
        self,
        lengths: &Lengths,
        steps: Range<usize>,
        columns: usize,
        mut f: impl FnMut(Range<usize>),
    ) {
        let (offsets, mut left) = (lengths.offsets(), steps);
        while !left.is_empty() {
            let (start, end) = (offsets[left.start], offsets[left.end]);
            let group = match self {
                Direction::Forward => {
                    let reached = |&t: &usize| offsets[t] - start >= columns;
                    left.start..(left.start + 1..left.end).find(reached).unwrap_or(left.end)
                }
                Direction::Reverse => {
                    let reached = |&t: &usize| end - offsets[t] >= columns;
                    (left.start..left.end).rev().find(reached).unwrap_or(left.start)..left.end
                }
            };
            left = match self {
                Direction::Forward => group.end..left.end,
                Direction::Reverse => left.start..group.start,
            };
            f(group);
        }
    }

    /// Divides `places`, which all reach step `t`, into neighbours whose state before the step comes
    /// from the same place.
    ///
    /// Forward, all sequences begin at step 0. In reverse the longest begin first: the places that
    /// panel `t + 1` does not have begin at step `t`. So there is nothing to copy: a step is taken
    /// once for each of these ranges, and mostly there is one.
    pub(crate) fn for_segments(
        self,
        lengths: &Lengths,
        t: usize,
        places: Range<usize>,
        mut f: impl FnMut(Range<usize>, Before),
    ) {
        // Where the state comes from, how many places have one there, and the border between.
        let (usual, width, border) = match self {
            Direction::Forward if t == 0 => (Before::Initial, lengths.width(t), t),
            Direction::Forward => (Before::Panel(t - 1), lengths.width(t), t),
            Direction::Reverse if t + 1 == lengths.steps() => (Before::Initial, 0, t + 1),
            Direction::Reverse => (Before::Panel(t + 1), lengths.width(t + 1), t + 1),
        };
        let end = places.end.min(width).max(places.start);
        let mut start = places.start;
        let resets = lengths.resets(border);
        let inside = resets.partition_point(|&place| place < start)
            ..resets.partition_point(|&place| place < end);
        let mut afresh = &resets[inside];
        while let Some(&first) = afresh.first() {
            if start < first {
                f(start..first, usual);
            }
            let run =
                afresh.iter().zip(first..).take_while(|&(&place, next)| place == next).count();
            (start, afresh) = (first + run, &afresh[run..]);
            f(first..start, Before::Afresh);
        }
        if start < end {
            f(start..end, usual);
        }
        if end < places.end {
            f(end..places.end, Before::Initial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_every_step_once_and_are_large_enough() {
        let lengths = Lengths::new(&[1, 7, 3, 9, 9, 2]);
        for direction in [Direction::Forward, Direction::Reverse] {
            for columns in 1..40 {
                let mut taken = Vec::new();
                let mut small = 0;
                direction.for_groups(&lengths, 1..8, columns, |group| {
                    assert!(!group.is_empty() && small == 0);
                    let own = lengths.offsets()[group.end] - lengths.offsets()[group.start];
                    small += usize::from(own < columns);
                    direction.for_steps(group, |t| taken.push(t));
                });
                let mut expected = Vec::new();
                direction.for_steps(1..8, |t| expected.push(t));
                assert_eq!(taken, expected);
            }
        }
    }
}
