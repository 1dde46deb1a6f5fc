//! What units and gates do over a batch: where the gates' values lie, how long units keep their
//! state, and which units are dead.

use std::f64::consts::LN_2;

use recurrent_cells::Keeps;
use recurrent_kernels::Real;

use crate::by_cell::ByCell;
use crate::{Direction, Observation, Probe};

/// A gate's values are counted in so many bins of equal width over (0, 1).
pub const GATE_BINS: usize = 20;
/// Bins below 0.1, and above 0.9.
const SATURATED_BINS: usize = GATE_BINS / 10;

/// A [`Probe`] that counts what gates do at every step of every sequence that backward passes.
///
/// It needs to be told nothing of the model, and counts in whole numbers, so that neither threads nor
/// the order of steps change a bit of what it says.
#[derive(Debug, Default)]
pub struct GateStatistics(ByCell<Counts>);

/// What the gates of one cell did.
#[derive(Clone, Debug, PartialEq)]
pub struct CellGates {
    /// Which layer, 0 first.
    pub layer: usize,
    /// Which way the layer reads here.
    pub direction: Direction,
    /// Each gate's values; none in a cell without gates.
    pub gates: Vec<GateHistogram>,
    /// By unit: after how many steps the gate that keeps its state has let it fall to a half, if it
    /// always did what it did in the geometric mean; infinite if it was always 1. None in a cell
    /// without such a gate.
    ///
    /// ```text
    /// f_1 f_2 ... f_n = e^(n mean ln f)        half-life = ln 2 / -mean ln f
    /// ```
    ///
    /// It is the time constant `-1 / mean ln f` times ln 2 (Tallec and Ollivier 2018 speak of the
    /// characteristic forgetting time). The gate alone is meant: what the recurrent weights carry
    /// beside it is not in it.
    pub half_lives: Option<Vec<f64>>,
    /// Units that were 0 at every step of every sequence, in a cell whose units can be dead (relu).
    pub dead: Option<Vec<usize>>,
}

/// Where a gate's values lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateHistogram {
    /// The gate's name.
    pub name: &'static str,
    /// How many values, over all units and steps, lie in each of the bins [0, 0.05), [0.05, 0.1) and
    /// so on; 1 belongs to the last. What is no number is in none.
    pub counts: [u64; GATE_BINS],
}

impl GateHistogram {
    /// The share of values below 0.1: left-saturated, in the words of Karpathy, Johnson and Li 2015.
    pub fn low(&self) -> f64 {
        self.share(&self.counts[..SATURATED_BINS])
    }

    /// The share of values of at least 0.9: right-saturated.
    pub fn high(&self) -> f64 {
        self.share(&self.counts[GATE_BINS - SATURATED_BINS..])
    }

    fn share(&self, bins: &[u64]) -> f64 {
        bins.iter().sum::<u64>() as f64 / self.counts.iter().sum::<u64>() as f64
    }
}

/// What is counted of a cell.
#[derive(Clone, Debug, Default)]
struct Counts {
    columns: u64,
    gates: Vec<GateHistogram>,
    /// By unit: the sum of the logarithms of what is kept, in units of 1 / [`LOGARITHM_UNITS`].
    kept: Vec<i128>,
    /// By unit: it was above 0 once.
    alive: Vec<bool>,
}

/// Logarithms are added as whole numbers: then their order does not matter. The unit is far below the
/// distance of two `f32` near 1.
const LOGARITHM_UNITS: f64 = (1_u64 << 40) as f64;
/// ln 2^-149, of the smallest `f32`: a gate at 0 counts as this one.
const LEAST_LOGARITHM: f64 = -103.28;

impl GateStatistics {
    /// Nothing is counted yet.
    pub fn new() -> GateStatistics {
        GateStatistics::default()
    }

    /// What was counted, for each cell that was seen: first layer first, forward before reverse.
    pub fn cells(&self) -> Vec<CellGates> {
        self.0.map(|layer, direction, counts| CellGates {
            layer,
            direction,
            gates: counts.gates.clone(),
            half_lives: (!counts.kept.is_empty()).then(|| counts.half_lives()),
            dead: (!counts.alive.is_empty()).then(|| {
                let alive = counts.alive.iter().enumerate();
                alive.filter(|(_, alive)| !**alive).map(|(unit, _)| unit).collect()
            }),
        })
    }
}

impl<T: Real> Probe<T> for GateStatistics {
    fn observe(&self, seen: Observation<'_, T>) {
        let counts = Counts::of(&seen);
        self.0.change(seen.layer, seen.direction, |all| all.add(&counts));
    }
}

impl Counts {
    fn of<T: Real>(seen: &Observation<'_, T>) -> Counts {
        let (plan, tape) = (seen.plan, seen.tape);
        let rectified = tape.rows_range(plan.rectified.clone());
        let mut counts = Counts {
            columns: tape.columns() as u64,
            alive: vec![false; rectified.rows()],
            ..Counts::default()
        };
        for j in 0..tape.columns() {
            for (alive, value) in counts.alive.iter_mut().zip(rectified.column(j)) {
                *alive |= *value > T::ZERO;
            }
        }
        for gate in &plan.gates {
            let values = tape.rows_range(gate.tape.clone());
            let mut bins = [0; GATE_BINS];
            for j in 0..values.columns() {
                for value in values.column(j).iter().filter(|value| !value.to_f64().is_nan()) {
                    let bin = (value.to_f64() * GATE_BINS as f64) as usize;
                    bins[bin.min(GATE_BINS - 1)] += 1;
                }
            }
            counts.gates.push(GateHistogram { name: gate.name, counts: bins });
            let Some(keeps) = gate.keeps else { continue };
            counts.kept = vec![0; values.rows()];
            for j in 0..values.columns() {
                for (sum, value) in counts.kept.iter_mut().zip(values.column(j)) {
                    let kept = match keeps {
                        Keeps::Value => value.to_f64(),
                        Keeps::Rest => 1.0 - value.to_f64(),
                    };
                    let logarithm = libm::log(kept).max(LEAST_LOGARITHM);
                    *sum += (logarithm * LOGARITHM_UNITS).round() as i128;
                }
            }
        }
        counts
    }

    fn add(&mut self, other: &Counts) {
        if self.columns == 0 {
            *self = other.clone();
            return;
        }
        self.columns += other.columns;
        for (own, other) in self.gates.iter_mut().zip(&other.gates) {
            own.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
        }
        self.kept.iter_mut().zip(&other.kept).for_each(|(own, other)| *own += other);
        self.alive.iter_mut().zip(&other.alive).for_each(|(own, other)| *own |= other);
    }

    fn half_lives(&self) -> Vec<f64> {
        let of_sum = |&sum: &i128| {
            let mean = sum as f64 / LOGARITHM_UNITS / self.columns as f64;
            // A mean of 0 gives infinity, and not minus infinity.
            LN_2 / mean.abs()
        };
        self.kept.iter().map(of_sum).collect()
    }
}
