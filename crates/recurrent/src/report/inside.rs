//! What happens inside a model while it reads: gates and states of every unit at every step.
//!
//! A forward pass leaves gates and c on its tape, and [`Probe`] shows them just before a backward
//! pass undoes each step. h is not among what it shows; it is made of what is: `h = o tanh(c)` in an
//! LSTM, `h' = (1 - z) n + z h` in a GRU.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use recurrent_cells::{CellKind, Gate, Keeps};
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
    gates: Vec<Gate>,
    tape: Vec<f32>,
    c: Vec<f32>,
}

impl Probe<f32> for Watch {
    fn observe(&self, seen: Observation<'_, f32>) {
        let Observation { layer, direction, plan, t, tape, c, .. } = seen;
        let first = |block: Columns<'_, f32>| block.column(0).to_vec();
        let reverse = direction == Direction::Reverse;
        let gates = plan.gates.clone();
        let seen = Seen { layer, reverse, t, gates, tape: first(tape), c: first(c) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

/// The gates and values of one layer in one direction.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) reverse: bool,
    /// The gates by name, each with its numbers: step after step, units within.
    pub(super) gates: Vec<(String, Vec<f32>)>,
    /// Which of the gates keeps what a unit has where it is near 1.
    pub(super) keeper: Option<usize>,
    /// What a unit says: tanh(c) of an LSTM, else h. Step after step; nothing of a cell that this
    /// section does not know.
    pub(super) values: Vec<f32>,
}

impl Place {
    /// "layer 0", "layer 1, backwards": numbered as parameters are.
    pub(super) fn name(&self) -> String {
        let backwards = if self.reverse { ", backwards" } else { "" };
        format!("layer {}{backwards}", self.layer)
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
    pub(super) cell: CellKind,
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

    /// Puts together what was seen while each of the sequences was read by itself: its tokens, the
    /// steps before which documents begin in it, and what happened.
    pub(crate) fn new<'t>(
        network: &crate::tasks::settings::Network,
        vocabulary: &Vocabulary,
        sequences: impl IntoIterator<Item = (&'t [u32], &'t [usize], Watch)>,
        from: &'static str,
    ) -> Inside {
        let (cell, units) = (network.cell, network.hidden_size);
        let (mut tokens, mut places, mut ends) = (vec![], Vec::<Place>::new(), vec![]);
        for (own, begins, watch) in sequences {
            ends.extend(begins.iter().map(|step| tokens.len() + step));
            tokens.extend(own.iter().map(|&token| vocabulary.token(token).into_owned()));
            ends.push(tokens.len());
            let mut seen = watch.0.into_inner().unwrap_or_else(PoisonError::into_inner);
            seen.sort_by_key(|seen| (seen.layer, seen.reverse, seen.t));
            let of_place = |a: &Seen, b: &Seen| (a.layer, a.reverse) == (b.layer, b.reverse);
            for (at, steps) in seen.chunk_by(of_place).enumerate() {
                let next = place(cell, units, steps, begins);
                match places.get_mut(at) {
                    None => places.push(next),
                    Some(place) => place.go_on(next),
                }
            }
        }
        Inside { cell, units, tokens, kind: vocabulary.kind(), places, ends, from }
    }

    /// The sections that show it.
    pub(crate) fn sections(&self) -> Vec<Section> {
        let gates = super::gates::section(self);
        gates.into_iter().chain(super::units::section(self)).collect()
    }
}

/// Gates and values from the tape's rows; the state is a fresh one between each of the steps `begins`
/// and the one before it.
fn place(cell: CellKind, units: usize, steps: &[Seen], begins: &[usize]) -> Place {
    let rows = |rows: Range<usize>| -> Vec<f32> {
        steps.iter().flat_map(|seen| &seen.tape[rows.clone()]).copied().collect()
    };
    // Row blocks of the tape, in the order of `Observation::tape`.
    let block = |index: usize| rows(index * units..(index + 1) * units);
    let own = steps.first().map_or(&[][..], |seen| &seen.gates);
    let gates: Vec<(String, Vec<f32>)> =
        own.iter().map(|gate| (with_letter(gate.name), rows(gate.tape.clone()))).collect();
    let keeper = own.iter().position(|gate| gate.keeps == Some(Keeps::Value));
    let values = match cell {
        CellKind::Lstm | CellKind::LayerNormLstm => {
            let tanh = |c: &f32| libm::tanhf(*c);
            steps.iter().flat_map(|seen| seen.c.iter().map(tanh)).collect()
        }
        CellKind::Gru => {
            let (z, n) = (block(2), block(3));
            let mut h = vec![0.0; n.len()];
            // A direction that reads backwards begins at the last step.
            let order: Vec<usize> = match steps.first().is_some_and(|seen| seen.reverse) {
                true => (0..steps.len()).rev().collect(),
                false => (0..steps.len()).collect(),
            };
            let mut before: Option<usize> = None;
            for t in order {
                before = before.filter(|&before| !begins.contains(&t.max(before)));
                for unit in 0..units {
                    let previous = before.map_or(0.0, |before: usize| h[before * units + unit]);
                    let at = t * units + unit;
                    h[at] = (1.0 - z[at]) * n[at] + z[at] * previous;
                }
                before = Some(t);
            }
            h
        }
        CellKind::RnnTanh | CellKind::RnnRelu | CellKind::RnnIdentity => block(0),
        _ => vec![],
    };
    let (layer, reverse) = steps.first().map_or((0, false), |seen| (seen.layer, seen.reverse));
    Place { layer, reverse, gates, keeper, values }
}

/// A gate's name with its letter in the equations.
fn with_letter(gate: &str) -> String {
    match gate {
        "input" => "input gate i".into(),
        "forget" => "forget gate f".into(),
        "output" => "output gate o".into(),
        "reset" => "reset gate r".into(),
        "update" => "update gate z".into(),
        _ => format!("{gate} gate"),
    }
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

    /// What the probe shows of the last step agrees with the state that forward hands on, also
    /// where a document began on the way.
    #[test]
    fn values_are_those_of_the_state() {
        for (cell, begins) in
            CellKind::NAMED.into_iter().flat_map(|cell| [(cell, &[][..]), (cell, &[2, 4][..])])
        {
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
            let resets: Vec<(usize, usize)> = begins.iter().map(|&step| (0, step)).collect();
            let lengths = Lengths::equal(1, tokens.len()).with_resets(&resets);
            let initial = state.clone();
            let reading = Reading::Tokens(&tokens);
            let recorded =
                model.forward(&compute, &parameters, reading, &initial, &lengths, None, &mut tape);
            recorded.final_state(&mut state);
            let gradients = &mut parameters.zeros_like();
            model.backward(recorded, &compute, &parameters, gradients, &watch);
            let seen = watch.0.into_inner().unwrap();
            let mut seen: Vec<Seen> = seen;
            seen.sort_by_key(|seen| seen.t);
            let place = place(cell, hidden_size, &seen, begins);
            let last = &place.values[(tokens.len() - 1) * hidden_size..];
            let mut expected = vec![];
            state.visit(|name, matrix| {
                let wanted = if cell.is_lstm() { 'c' } else { 'h' };
                if name.starts_with(wanted) && expected.is_empty() {
                    let value = |&x: &f32| if wanted == 'c' { libm::tanhf(x) } else { x };
                    expected = matrix.as_slice().iter().map(value).collect();
                }
            });
            assert_eq!(expected.len(), hidden_size);
            for (value, expected) in last.iter().zip(&expected) {
                assert!((value - expected).abs() < 1e-6, "{cell:?}: {last:?}, not {expected}");
            }
            let names: Vec<&str> = place.gates.iter().map(|(name, _)| &name[..]).collect();
            let (gates, keeper): (&[&str], _) = match cell {
                _ if cell.is_lstm() => {
                    (&["input gate i", "forget gate f", "output gate o"], Some(1))
                }
                CellKind::Gru => (&["reset gate r", "update gate z"], Some(1)),
                _ => (&[], None),
            };
            assert_eq!((&names[..], place.keeper), (gates, keeper), "{cell:?}");
            for (name, gate) in &place.gates {
                assert_eq!(gate.len(), tokens.len() * hidden_size);
                assert!(gate.iter().all(|gate| (0.0..=1.0).contains(gate)), "{cell:?} {name}");
            }
        }
    }
}
