//! What happens inside a model while it reads: gates and states of every unit at every step.
//!
//! A forward pass leaves gates and c on its tape, and [`Probe`] shows them just before a backward
//! pass undoes each step. h is not among what it shows; it is made of what is: `h = o tanh(c)` in an
//! LSTM, `h' = (1 - z) n + z h` in a GRU.

use std::sync::{Mutex, PoisonError};

use recurrent_cells::CellKind;
use recurrent_kernels::Columns;
use recurrent_topologies::{Direction, Observation, Probe};

use super::Section;
use crate::data::{TokenKind, Vocabulary};

/// A probe that keeps what it sees of a batch of one sequence.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Vec<Seen>>);

/// One step of one layer and direction.
#[derive(Debug)]
struct Seen {
    layer: usize,
    reverse: bool,
    t: usize,
    tape: Vec<f32>,
    c: Vec<f32>,
}

impl Probe<f32> for Watch {
    fn observe(&self, seen: Observation<'_, f32>) {
        let Observation { layer, direction, t, tape, c, .. } = seen;
        let first = |block: Columns<'_, f32>| block.column(0).to_vec();
        let reverse = direction == Direction::Reverse;
        let seen = Seen { layer, reverse, t, tape: first(tape), c: first(c) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

/// The gates and values of one layer in one direction.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) reverse: bool,
    /// The gates by name, each with its numbers: step after step, units within.
    pub(super) gates: Vec<(&'static str, Vec<f32>)>,
    /// What a unit says, from -1 to 1: tanh(c) of an LSTM, else h. Step after step.
    pub(super) values: Vec<f32>,
}

impl Place {
    /// "layer 1", "layer 2, backwards".
    pub(super) fn name(&self) -> String {
        let backwards = if self.reverse { ", backwards" } else { "" };
        format!("layer {}{backwards}", self.layer + 1)
    }

    /// Takes in what the same cells did with the next sequence.
    fn go_on(&mut self, next: Place) {
        self.values.extend(next.values);
        for ((_, gate), (_, more)) in self.gates.iter_mut().zip(next.gates) {
            gate.extend(more);
        }
    }

    /// The value of a unit at every step.
    pub(super) fn unit(&self, units: usize, unit: usize) -> Vec<f64> {
        self.values.iter().skip(unit).step_by(units).map(|&value| f64::from(value)).collect()
    }
}

/// What was read, one sequence or several one after the other, and what happened inside.
pub(crate) struct Inside {
    pub(super) units: usize,
    /// As a person reads them.
    pub(super) tokens: Vec<String>,
    /// Characters stand side by side, words apart.
    pub(super) kind: TokenKind,
    pub(super) places: Vec<Place>,
    /// Behind which tokens a sequence ends.
    pub(super) ends: Vec<usize>,
    /// Where the tokens are from: "the beginning of the held-out text".
    pub(super) from: &'static str,
}

/// The most numbers that are kept.
const MOST_NUMBERS: usize = 40_000_000;
/// The most tokens that are read.
const MOST_TOKENS: usize = 3_000;

impl Inside {
    /// How many tokens of a text are read by a network of this size.
    pub(crate) fn tokens_for(network: &crate::tasks::settings::Network) -> usize {
        (MOST_NUMBERS / network.tape().max(1) as usize).clamp(60, MOST_TOKENS)
    }

    /// Puts together what was seen while each of the sequences was read by itself.
    pub(crate) fn new<'t>(
        network: &crate::tasks::settings::Network,
        vocabulary: &Vocabulary,
        sequences: impl IntoIterator<Item = (&'t [u32], Watch)>,
        from: &'static str,
    ) -> Inside {
        let (cell, units) = (network.cell, network.hidden_size);
        let (mut tokens, mut places, mut ends) = (vec![], Vec::<Place>::new(), vec![]);
        for (own, watch) in sequences {
            tokens.extend(own.iter().map(|&token| vocabulary.token(token).into_owned()));
            ends.push(tokens.len());
            let mut seen = watch.0.into_inner().unwrap_or_else(PoisonError::into_inner);
            seen.sort_by_key(|seen| (seen.layer, seen.reverse, seen.t));
            let of_place = |a: &Seen, b: &Seen| (a.layer, a.reverse) == (b.layer, b.reverse);
            for (at, steps) in seen.chunk_by(of_place).enumerate() {
                let next = place(cell, units, steps);
                match places.get_mut(at) {
                    None => places.push(next),
                    Some(place) => place.go_on(next),
                }
            }
        }
        Inside { units, tokens, kind: vocabulary.kind(), places, ends, from }
    }

    /// The sections that show it.
    pub(crate) fn sections(&self) -> Vec<Section> {
        let gates = super::gates::section(self);
        gates.into_iter().chain(super::units::section(self)).collect()
    }
}

/// Gates and values from the tape's rows.
fn place(cell: CellKind, units: usize, steps: &[Seen]) -> Place {
    // Row blocks of the tape, in the order of `Observation::tape`.
    let block = |index: usize| -> Vec<f32> {
        steps
            .iter()
            .flat_map(|seen| &seen.tape[index * units..(index + 1) * units])
            .copied()
            .collect()
    };
    let (gates, values) = match cell {
        CellKind::Lstm => {
            let tanh = |c: &f32| libm::tanhf(*c);
            let values = steps.iter().flat_map(|seen| seen.c.iter().map(tanh)).collect();
            (
                vec![
                    ("input gate i", block(0)),
                    ("forget gate f", block(1)),
                    ("output gate o", block(3)),
                ],
                values,
            )
        }
        CellKind::Gru => {
            let (r, z, n) = (block(1), block(2), block(3));
            let mut h = vec![0.0; n.len()];
            // A direction that reads backwards begins at the last step.
            let order: Vec<usize> = match steps.first().is_some_and(|seen| seen.reverse) {
                true => (0..steps.len()).rev().collect(),
                false => (0..steps.len()).collect(),
            };
            let mut before: Option<usize> = None;
            for t in order {
                for unit in 0..units {
                    let previous = before.map_or(0.0, |before: usize| h[before * units + unit]);
                    let at = t * units + unit;
                    h[at] = (1.0 - z[at]) * n[at] + z[at] * previous;
                }
                before = Some(t);
            }
            (vec![("reset gate r", r), ("update gate z", z)], h)
        }
        CellKind::RnnTanh | CellKind::RnnRelu | CellKind::RnnIdentity => (vec![], block(0)),
        _ => (vec![], vec![]),
    };
    let (layer, reverse) = steps.first().map_or((0, false), |seen| (seen.layer, seen.reverse));
    Place { layer, reverse, gates, values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recurrent_cells::initialize::Initialization;
    use recurrent_kernels::Compute;
    use recurrent_kernels::random::Generator;
    use recurrent_topologies::{
        InputConfig, Lengths, ManyToManyConfig, ManyToManyTape, Reading, Regularization,
        StackConfig, TokenEncoding,
    };

    /// What the probe shows of the last step agrees with the state that forward hands on.
    #[test]
    fn values_are_those_of_the_state() {
        for cell in [CellKind::Lstm, CellKind::Gru, CellKind::RnnTanh] {
            let (hidden_size, tokens) = (5, [0, 1, 2, 1, 0, 2]);
            let model = ManyToManyConfig {
                input: InputConfig::Tokens { vocabulary_size: 3, encoding: TokenEncoding::OneHot },
                stack: StackConfig {
                    cell,
                    hidden_size,
                    num_layers: 1,
                    bidirectional: false,
                    dropout: 0.0,
                    regularization: Regularization::NONE,
                },
                output_size: 3,
            }
            .build()
            .unwrap();
            let mut generator = Generator::new(3, 1);
            let parameters =
                model.initialize::<f32>(&mut generator, Initialization::Uniform, None).unwrap();
            let (compute, watch) = (Compute::sequential(), Watch::default());
            let (mut state, mut tape) = (model.zero_state(1), ManyToManyTape::default());
            let (initial, lengths) = (state.clone(), Lengths::equal(1, tokens.len()));
            let reading = Reading::Tokens(&tokens);
            let recorded =
                model.forward(&compute, &parameters, reading, &initial, &lengths, None, &mut tape);
            recorded.final_state(&mut state);
            let gradients = &mut parameters.zeros_like();
            model.backward(recorded, &compute, &parameters, gradients, &watch);
            let seen = watch.0.into_inner().unwrap();
            let mut seen: Vec<Seen> = seen;
            seen.sort_by_key(|seen| seen.t);
            let place = place(cell, hidden_size, &seen);
            let last = &place.values[(tokens.len() - 1) * hidden_size..];
            let mut expected = vec![];
            state.visit(|name, matrix| {
                let wanted = if cell == CellKind::Lstm { 'c' } else { 'h' };
                if name.starts_with(wanted) && expected.is_empty() {
                    let value = |&x: &f32| if wanted == 'c' { libm::tanhf(x) } else { x };
                    expected = matrix.as_slice().iter().map(value).collect();
                }
            });
            assert_eq!(expected.len(), hidden_size);
            for (value, expected) in last.iter().zip(&expected) {
                assert!((value - expected).abs() < 1e-6, "{cell:?}: {last:?}, not {expected}");
            }
            for (name, gate) in &place.gates {
                assert!(gate.iter().all(|gate| (0.0..=1.0).contains(gate)), "{cell:?} {name}");
            }
        }
    }
}
