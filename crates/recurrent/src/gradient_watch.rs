//! What a training sees of its own gradients: a look at the backward pass of a step that is taken
//! anyway, every so many steps.

use recurrent_kernels::Real;
use recurrent_topologies::{
    CellGates, CellProfile, Direction, GATE_BINS, GateHistogram, GateStatistics, GradientProfile,
    Observation, Probe,
};
use serde::Serialize;

/// The probe of a watched step. It changes no bit of the step, needs to be told nothing of the model,
/// and sees the same at any number of threads.
#[derive(Debug, Default)]
pub struct GradientWatch {
    gates: GateStatistics,
    profile: GradientProfile,
}

/// What was seen of one cell. What a cell has not is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WatchedCell {
    /// Which layer, 0 first; a decoder's layers stand above the encoder's.
    pub layer: usize,
    /// It reads from the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
    /// How many steps before the last one that the cell takes. Longer lags are further apart:
    /// 0, 1, 2, 3, 4, 6, 8, 12, 16 and so on, and the longest that there is.
    pub lags: Vec<usize>,
    /// At each lag the norm of dL/dh over the sequences that are as long.
    pub h: Vec<f64>,
    /// The same of dL/dc, what reaches c from later steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<Vec<f64>>,
    /// Where the values of each gate lie.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<WatchedGate>,
    /// Half-lives of units in steps, by their forget or update gates: the shortest, three quartiles
    /// and the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_lives: Option<[f64; 5]>,
    /// How many units were 0 at every step (relu).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<usize>,
}

/// The values of a gate over all units and steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WatchedGate {
    /// `input`, `forget`, `output`, `reset` or `update`.
    pub name: &'static str,
    /// The share below 0.1.
    pub low: f64,
    /// The share of at least 0.9.
    pub high: f64,
    /// How many values lie in each 20th of (0, 1).
    pub counts: [u64; GATE_BINS],
}

impl GradientWatch {
    /// Nothing is seen yet.
    pub fn new() -> GradientWatch {
        GradientWatch::default()
    }

    /// What was seen, for each cell: first layer first, forward before reverse.
    pub fn cells(&self) -> Vec<WatchedCell> {
        let cells = self.gates.cells().into_iter().zip(self.profile.cells());
        cells.map(|(gates, profile)| WatchedCell::of(gates, profile)).collect()
    }
}

impl<T: Real> Probe<T> for GradientWatch {
    fn observe(&self, seen: Observation<'_, T>) {
        self.gates.observe(seen.clone());
        self.profile.observe(seen);
    }
}

impl WatchedCell {
    /// Both are of the same cell, because the same steps were seen.
    fn of(gates: CellGates, profile: CellProfile) -> WatchedCell {
        let lags = spread(profile.h.len());
        let at_lags = |norms: Vec<f64>| lags.iter().map(|&lag| norms[lag]).collect();
        WatchedCell {
            layer: gates.layer,
            reverse: gates.direction == Direction::Reverse,
            h: at_lags(profile.h),
            c: profile.c.map(at_lags),
            gates: gates.gates.iter().map(WatchedGate::of).collect(),
            half_lives: gates.half_lives.map(quartiles),
            dead: gates.dead.map(|units| units.len()),
            lags,
        }
    }
}

impl WatchedGate {
    /// Counts, and the shares at both ends.
    pub fn of(gate: &GateHistogram) -> WatchedGate {
        let GateHistogram { name, counts } = gate;
        WatchedGate { name, low: gate.low(), high: gate.high(), counts: *counts }
    }
}

/// The lags that are written of `count`: two for each doubling, and the last.
fn spread(count: usize) -> Vec<usize> {
    let doublings = (0..usize::BITS - 1).flat_map(|power| [1 << power, 3 << power >> 1]);
    let mut lags: Vec<usize> =
        std::iter::once(0).chain(doublings.take_while(|&lag| lag < count)).collect();
    lags.push(count - 1);
    lags.dedup();
    lags
}

/// The smallest number, the three quartiles and the largest: those in the places next to a share of
/// 0, 1/4, 1/2, 3/4 and 1 of the order.
pub fn quartiles(mut numbers: Vec<f64>) -> [f64; 5] {
    numbers.sort_by(f64::total_cmp);
    [0, 1, 2, 3, 4].map(|quarter| numbers[(quarter * (numbers.len() - 1) + 2) / 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_dense_near_the_end_and_end_with_the_longest() {
        assert_eq!(spread(1), [0]);
        assert_eq!(spread(2), [0, 1]);
        assert_eq!(spread(5), [0, 1, 2, 3, 4]);
        assert_eq!(spread(6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(spread(64), [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63]);
        assert_eq!(spread(1000).last(), Some(&999));
    }

    #[test]
    fn quartiles_are_numbers_that_are_there() {
        assert_eq!(quartiles(vec![3.0]), [3.0; 5]);
        assert_eq!(quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(
            quartiles(vec![f64::INFINITY, 1.0]),
            [1.0, 1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY]
        );
    }
}
