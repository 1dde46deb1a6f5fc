//! The ranges that gates and states keep, for any finite pre-activation, and what NaN does.

use proptest::prelude::*;
use recurrent_cells::{Cell, Forward, Gru, Lstm, StateRef};
use recurrent_kernels::{Columns, ColumnsMut, Level, Real};

/// One step of `size` units for one sequence.
#[derive(Debug)]
struct Step<T> {
    tape: Vec<T>,
    bias: Vec<T>,
    h_previous: Vec<T>,
    c_previous: Vec<T>,
    h: Vec<T>,
    c: Vec<T>,
}

impl<T: Real> Step<T> {
    /// Takes the step; the tape then holds the gates.
    fn take(&mut self, cell: &impl Cell, level: Level) {
        let (size, states) = (self.h.len(), self.c.len());
        let rows = self.tape.len();
        let forward = Forward {
            tape: ColumnsMut::new(&mut self.tape, rows, 1),
            bias: &self.bias,
            previous: StateRef {
                h: Columns::new(&self.h_previous, size, 1),
                c: Columns::new(&self.c_previous, states, 1),
            },
            h: ColumnsMut::new(&mut self.h, size, 1),
            c: ColumnsMut::new(&mut self.c, states, 1),
        };
        cell.pointwise(level, 0, forward);
    }
}

/// Any finite number: ordinary ones, huge ones, subnormal ones, zeros of both signs.
fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -20.0f32..20.0, 1 => prop::num::f32::ANY.prop_filter("finite", |x| x.is_finite())]
}

/// A step of 1 to 40 units: pre-activations, bias, h in [-1, 1], c of any size.
fn steps(cells: usize) -> impl Strategy<Value = Step<f32>> {
    (1usize..40).prop_flat_map(move |size| {
        (
            prop::collection::vec(finite(), 4 * size),
            prop::collection::vec(-1.0f32..1.0, 4 * size),
            prop::collection::vec(-1.0f32..=1.0, size),
            prop::collection::vec(finite(), cells * size),
        )
            .prop_map(move |(tape, bias, h_previous, c_previous)| Step {
                tape,
                bias,
                h_previous,
                c_previous,
                h: vec![0.0; size],
                c: vec![0.0; cells * size],
            })
    })
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn in_f64(step: &Step<f32>) -> Step<f64> {
    Step {
        tape: widen(&step.tape),
        bias: widen(&step.bias),
        h_previous: widen(&step.h_previous),
        c_previous: widen(&step.c_previous),
        h: widen(&step.h),
        c: widen(&step.c),
    }
}

fn check_lstm<T: Real>(mut step: Step<T>) -> Result<(), TestCaseError> {
    let size = step.h.len();
    let activations: Vec<T> = step.tape.iter().zip(&step.bias).map(|(&a, &b)| a + b).collect();
    step.take(&Lstm::new(1, size), Level::detect());
    let (zero, one) = (T::ZERO, T::ONE);
    for (row, (&gate, &a)) in step.tape.iter().zip(&activations).enumerate() {
        if row / size == 2 {
            prop_assert!(gate.abs() <= one, "g = {gate} of {a}");
        } else {
            prop_assert!(gate >= zero && gate <= one, "gate {gate} of {a}");
            if a.abs() <= T::from_f64(15.0) {
                prop_assert!(gate > zero && gate < one, "gate {gate} of {a}");
            }
        }
    }
    for r in 0..size {
        prop_assert!(step.h[r].abs() <= one, "h = {}", step.h[r]);
        let most = step.c_previous[r].abs() + one;
        prop_assert!(step.c[r].abs() <= most, "c = {} after {}", step.c[r], step.c_previous[r]);
    }
    Ok(())
}

fn check_gru<T: Real>(mut step: Step<T>) -> Result<(), TestCaseError> {
    let size = step.h.len();
    step.take(&Gru::new(1, size), Level::detect());
    for k in 0..size {
        let [r, z, n] = [1, 2, 3].map(|block| step.tape[block * size + k]);
        prop_assert!(r >= T::ZERO && r <= T::ONE && z >= T::ZERO && z <= T::ONE);
        // An infinite product of r and hn may meet an infinite opposite: only then is n NaN.
        if n.abs() <= T::ONE {
            let (h, before) = (step.h[k], step.h_previous[k]);
            let (low, high) = if n < before { (n, before) } else { (before, n) };
            let slack = T::EPSILON;
            prop_assert!(h >= low - slack && h <= high + slack, "{h} between {low} and {high}");
            prop_assert!(z != T::ONE || h == before, "z = 1 keeps {before}, not {h}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn lstm_gates_keep_their_ranges(step in steps(1)) {
        check_lstm(in_f64(&step))?;
        check_lstm(step)?;
    }

    #[test]
    fn gru_gates_keep_their_ranges(step in steps(0)) {
        check_gru(in_f64(&step))?;
        check_gru(step)?;
    }

    #[test]
    fn nan_in_gives_nan_out(step in steps(1), place in any::<prop::sample::Index>()) {
        let size = step.h.len();
        let at = place.index(size);
        for block in 0..4 {
            for level in Level::available() {
                let mut lstm = in_f64(&step);
                lstm.tape[block * size + at] = f64::NAN;
                lstm.take(&Lstm::new(1, size), level);
                prop_assert!(lstm.tape[block * size + at].is_nan());
                prop_assert!(lstm.h[at].is_nan(), "LSTM block {block} at {}", level.name());
                // i, f and g make c; o does not.
                prop_assert_eq!(lstm.c[at].is_nan(), block != 3);

                let mut gru = Step { c: vec![], c_previous: vec![], ..in_f64(&step) };
                gru.tape[block * size + at] = f64::NAN;
                gru.take(&Gru::new(1, size), level);
                prop_assert!(gru.h[at].is_nan(), "GRU block {block} at {}", level.name());
            }
        }
        let mut lstm = in_f64(&step);
        lstm.c_previous[at] = f64::NAN;
        lstm.take(&Lstm::new(1, size), Level::detect());
        prop_assert!(lstm.c[at].is_nan() && lstm.h[at].is_nan());
    }
}
