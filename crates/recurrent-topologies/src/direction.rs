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
