//! How far the loss of a step reaches back through time.
//!
//! With shared weights the gradient of the loss of step t with respect to the state of step t - k
//! is a product of k Jacobians, so it vanishes or explodes with the lag k unless the cell keeps it
//! (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013). Here it is
//! measured, not estimated: one backward pass over sequences of which each has the loss of one step
//! alone. Beside it stand what explains it: what each lag says to the recurrent weight, by how much
//! the steps' Jacobians stretch at most, and what the gates do.

use recurrent_cells::{AnyCell, Parameters};
use recurrent_kernels::{Columns, Compute};
use recurrent_topologies::{
    CellGates, Direction, GateStatistics, GradientNorms, Lengths, Stack, StateJacobian,
    WeightContributions,
};
use serde::Serialize;

use crate::gradient_watch::WatchedGate;

mod text;
pub use text::{TooShort, beginnings, gradient_flow, steps_to_follow};

mod examples;
pub use examples::{
    Chosen, NoneIsSoLong, choose_examples, gradient_flow_of_labels, gradient_flow_of_tags,
};

/// The losses that are followed back, at most.
pub const LOSSES: usize = 32;

/// The longest lag that is followed where none is asked for.
pub const USUAL_LAG: usize = 100;

/// States of more numbers than this have no Jacobian here: it would take minutes.
pub const MOST_STATE: usize = 512;

/// What reaches one cell: a layer, in one direction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerFlow {
    /// Which layer, 0 first.
    pub layer: usize,
    /// It reads from the end: a lag goes to later steps.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
    /// How many losses are followed.
    pub losses: usize,
    /// By lag k from 0: the median over the losses of the norm of dL_t/dh_{t-k}.
    pub h: Vec<f64>,
    /// The same of dL_t/dc_{t-k}, what reaches c through c itself; none in cells without c.
    pub c: Option<Vec<f64>>,
    /// By lag: the norm of what all losses together say to `weight_hh` at that lag
    /// ([`WeightContributions`]).
    pub weight_hh: Vec<f64>,
    /// By how much the steps' Jacobians stretch, at some lags; none if the state has more than
    /// [`MOST_STATE`] numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jacobian: Option<Vec<Stretch>>,
    /// Where the gates' values lie over the sequences that were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<WatchedGate>,
    /// The half-life of every unit in steps ([`CellGates::half_lives`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_lives: Option<Vec<f64>>,
    /// Units that were always 0, in a cell whose units can be dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<Vec<usize>>,
}

/// By how much some steps can stretch a gradient at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stretch {
    /// How many steps.
    pub lag: usize,
    /// The largest singular value of the product of their Jacobians ([`StateJacobian`]).
    pub singular_value: f64,
}

impl LayerFlow {
    /// By how much dL_t/dh changes with each step back, in the geometric mean from lag 0 to the
    /// last; 0 if nothing arrives there.
    pub fn factor(&self) -> f64 {
        let (first, last) = (self.h[0], self.h[self.h.len() - 1]);
        libm::pow(last / first, 1.0 / (self.h.len() - 1) as f64)
    }
}

/// The lags that a person is shown, up to the longest.
pub fn shown_lags(longest: usize) -> Vec<usize> {
    let usual = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
    usual.into_iter().filter(|&lag| lag < longest).chain([longest]).collect()
}

/// The probes of one backward pass.
type Probes = ((GradientNorms, WeightContributions<f64>), GateStatistics);

/// Sequences of which each has the loss of one step alone.
struct Followed<'a> {
    stack: &'a Stack<AnyCell>,
    lengths: &'a Lengths,
    /// The step of each sequence's loss, at least `lag` steps behind the first that the direction
    /// takes.
    losses: &'a [usize],
    lag: usize,
    direction: Direction,
}

impl Followed<'_> {
    /// What reaches the cells that read in this direction; `undo` goes forward and back again with
    /// the probes. Jacobians are left out.
    fn flow(&self, undo: impl FnOnce(&Probes)) -> Vec<LayerFlow> {
        let Followed { stack, lengths, losses, lag, direction } = *self;
        let norms = GradientNorms::new(stack, lengths);
        let contributions = WeightContributions::new(lengths, losses);
        let probes = ((norms, contributions), GateStatistics::new());
        undo(&probes);
        let ((norms, contributions), statistics) = probes;

        let median_by_lag = |norm: &dyn Fn(usize, usize) -> f64| {
            let of_lag = |k: usize| {
                let step = |t: usize| match direction {
                    Direction::Forward => t - k,
                    Direction::Reverse => t + k,
                };
                median(losses.iter().enumerate().map(|(j, &t)| norm(j, step(t))).collect())
            };
            (0..=lag).map(of_lag).collect::<Vec<f64>>()
        };
        let own = statistics.cells().into_iter().filter(|cell| cell.direction == direction);
        let flow = |CellGates { layer, gates, half_lives, dead, .. }: CellGates| {
            let has_c = stack.shape(layer, direction).is_some_and(|shape| shape.cell_size > 0);
            let mut weight_hh = contributions.norms(layer, direction);
            weight_hh.truncate(lag + 1);
            LayerFlow {
                layer,
                reverse: direction == Direction::Reverse,
                losses: losses.len(),
                h: median_by_lag(&|j, t| norms.h(layer, direction, j, t)),
                c: has_c.then(|| median_by_lag(&|j, t| norms.c(layer, direction, j, t))),
                weight_hh,
                jacobian: None,
                gates: gates.iter().map(WatchedGate::of).collect(),
                half_lives,
                dead,
            }
        };
        own.map(flow).collect()
    }
}

/// The same numbers in f64: in f32 what reaches back a hundred steps can be too small for any number
/// but 0.
fn exact(parameters: &Parameters<f32>) -> Parameters<f64> {
    let mut exact = Parameters::<f64>::zeros(parameters.layout().clone());
    for (exact, &number) in exact.as_mut_slice().iter_mut().zip(parameters.as_slice()) {
        *exact = f64::from(number);
    }
    exact
}

/// Measures the Jacobians of every cell over one sequence, `x`, whose numbers the first layer reads.
fn add_jacobians(
    flow: &mut [LayerFlow],
    stack: &Stack<AnyCell>,
    compute: &Compute,
    parameters: &Parameters<f64>,
    x: Columns<'_, f64>,
    lags: &[usize],
) {
    let initial = stack.initial_state(parameters, 1);
    for own in flow {
        let direction = if own.reverse { Direction::Reverse } else { Direction::Forward };
        let shape = stack.shape(own.layer, direction);
        let size = shape.map_or(0, |shape| shape.hidden_size + shape.cell_size);
        if size > MOST_STATE {
            continue;
        }
        let of = (own.layer, direction);
        let jacobian = StateJacobian::measure(stack, compute, parameters, x, &initial, of, lags);
        let stretches = lags.iter().zip(jacobian.largest_singular_values());
        let stretch = |(&lag, singular_value)| Stretch { lag, singular_value };
        own.jacobian = Some(stretches.map(stretch).collect());
    }
}

/// The middle one; of an even number the lower of the two.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[(numbers.len() - 1) / 2]
}
