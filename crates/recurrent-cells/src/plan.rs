//! What a cell says of itself, asked once.

use std::ops::Range;

use crate::Gate;
use crate::cell::{Cell, CellShape, NormSum, Peephole, Phase, RecurrentWeight, RowMap, Target};

/// The sizes and lists of a [`Cell`]. Whoever needs them at every pass keeps this: a list that is
/// asked for anew takes memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPlan {
    /// [`Cell::shape`].
    pub shape: CellShape,
    /// [`Cell::input_map`].
    pub input_map: Vec<RowMap>,
    /// [`Cell::phases`].
    pub phases: Vec<Phase>,
    /// [`Cell::peepholes`].
    pub peepholes: Vec<Peephole>,
    /// [`Cell::norm_sums`].
    pub norm_sums: Vec<NormSum>,
    /// Which rows of `bias_ih`, and which of `bias_hh`, go to which rows of the tape.
    pub bias_maps: [Vec<RowMap>; 2],
    /// [`Cell::gates`].
    pub gates: Vec<Gate>,
    /// [`Cell::rectified`].
    pub rectified: Range<usize>,
}

impl CellPlan {
    /// Asks `cell`.
    pub fn of(cell: &impl Cell) -> Self {
        let (input_map, phases) = (cell.input_map(), cell.phases());
        let bias_maps = match cell.bias_rows() {
            Some(tape) => {
                let map = || vec![RowMap { weight: 0..tape.len(), tape: tape.clone() }];
                [map(), map()]
            }
            None => {
                let of_hidden = |phase: &Phase| match (phase.weight, &phase.target) {
                    (RecurrentWeight::Hidden, Target::Tape(map)) => map.clone(),
                    _ => Vec::new(),
                };
                [input_map.clone(), phases.iter().flat_map(of_hidden).collect()]
            }
        };
        CellPlan {
            shape: cell.shape(),
            input_map,
            phases,
            peepholes: cell.peepholes(),
            norm_sums: cell.norm_sums(),
            bias_maps,
            gates: cell.gates(),
            rectified: cell.rectified(),
        }
    }

    /// The rows of the tape that the input's product fills.
    pub(crate) fn input_rows(&self) -> Range<usize> {
        tape_rows(&self.input_map)
    }

    /// The rows of `weight_ih`, in the order of the tape.
    pub(crate) fn input_weight_rows(&self) -> Vec<Range<usize>> {
        self.input_map.iter().map(|map| map.weight.clone()).collect()
    }

    /// The rows of a phase's weight, in the order of its target.
    pub(crate) fn weight_rows(&self, phase: &Phase) -> Vec<Range<usize>> {
        match &phase.target {
            Target::Tape(map) => map.iter().map(|map| map.weight.clone()).collect(),
            Target::Hidden => std::iter::once(0..self.shape.hidden_size).collect(),
        }
    }
}

/// The rows of the tape that a product goes to.
pub(crate) fn tape_rows(map: &[RowMap]) -> Range<usize> {
    let start = map.first().map_or(0, |map| map.tape.start);
    let end = map.last().map_or(0, |map| map.tape.end);
    start..end
}
