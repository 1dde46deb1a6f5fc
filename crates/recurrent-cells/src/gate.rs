//! What a cell says of its own gates, for those who look at them.

use std::ops::Range;

/// A gate: rows of the tape that hold numbers in (0, 1) once forward has passed, one for each unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name: `input`, `forget`, `output`, `reset`, `update`.
    pub name: &'static str,
    /// Its rows of the tape.
    pub tape: Range<usize>,
    /// What it says of how much of a unit's state goes on to the next step, if it does.
    pub keeps: Option<Keeps>,
}

/// Which share of a unit's state a gate lets through to the next step, without any weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The gate's value: the forget gate f in `c' = f c + i g`, the update gate z in
    /// `h' = (1 - z) n + z h`.
    Value,
    /// 1 less the gate's value: the input gate of an LSTM whose gates are coupled.
    Rest,
}

impl Gate {
    /// A gate that says nothing of what is kept.
    pub fn new(name: &'static str, tape: Range<usize>) -> Gate {
        Gate { name, tape, keeps: None }
    }

    /// A gate that says which share of a unit's state is kept.
    pub fn keeping(name: &'static str, tape: Range<usize>, keeps: Keeps) -> Gate {
        Gate { name, tape, keeps: Some(keeps) }
    }
}
