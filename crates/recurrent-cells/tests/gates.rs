//! The ranges that gates and states keep, for any finite pre-activation, stated so that they are
//! true in floating point; and what NaN does.

use proptest::prelude::*;
use recurrent_cells::{
    AnyCell, Cell, Forward, Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Reset, Rnn,
    RnnOptions, StateRef,
};
use recurrent_kernels::{Columns, ColumnsMut, Level, Real, activation};

/// The largest number of units.
const MOST: usize = 40;

/// Numbers for one step of one sequence, more than any cell needs.
#[derive(Clone, Debug)]
struct Numbers<T> {
    tape: Vec<T>,
    bias: Vec<T>,
    peephole: Vec<T>,
    h: Vec<T>,
    c: Vec<T>,
}

/// Any finite number: ordinary ones, huge ones, subnormal ones, zeros of both signs.
fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -20.0f32..20.0, 1 => prop::num::f32::ANY.prop_filter("finite", |x| x.is_finite())]
}

/// Pre-activations, c and h of any size, small biases and peepholes.
fn numbers() -> impl Strategy<Value = Numbers<f32>> {
    (
        prop::collection::vec(finite(), 5 * MOST),
        prop::collection::vec(-1.0f32..1.0, 5 * MOST),
        prop::collection::vec(-1.0f32..1.0, 3 * MOST),
        prop::collection::vec(finite(), MOST),
        prop::collection::vec(finite(), MOST),
    )
        .prop_map(|(tape, bias, peephole, h, c)| Numbers { tape, bias, peephole, h, c })
}

impl Numbers<f32> {
    fn in_f64(&self) -> Numbers<f64> {
        let widen = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Numbers {
            tape: widen(&self.tape),
            bias: widen(&self.bias),
            peephole: widen(&self.peephole),
            h: widen(&self.h),
            c: widen(&self.c),
        }
    }
}

/// What a step left.
struct Step<T> {
    tape: Vec<T>,
    h: Vec<T>,
    c: Vec<T>,
}

impl<T: Real> Step<T> {
    /// Rows of a block of the tape.
    fn block(&self, index: usize, size: usize) -> &[T] {
        &self.tape[index * size..(index + 1) * size]
    }
}

/// The pointwise arithmetic of all phases, each on pre-activations that are given.
fn take<T: Real>(cell: &impl Cell, level: Level, numbers: &Numbers<T>) -> Step<T> {
    let shape = cell.shape();
    let mut tape = numbers.tape[..shape.tape_rows].to_vec();
    let (mut h, mut c) = (vec![T::ZERO; shape.hidden_size], vec![T::ZERO; shape.cell_size]);
    for phase in 0..cell.phases().len() {
        let step = Forward {
            tape: ColumnsMut::new(&mut tape, shape.tape_rows, 1),
            bias: &numbers.bias[..shape.tape_rows],
            peephole: &numbers.peephole[..shape.peephole_size],
            norm: &numbers.peephole[..shape.norm_size],
            previous: StateRef {
                h: Columns::new(&numbers.h[..shape.hidden_size], shape.hidden_size, 1),
                c: Columns::new(&numbers.c[..shape.cell_size], shape.cell_size, 1),
            },
            h: ColumnsMut::new(&mut h, shape.hidden_size, 1),
            c: ColumnsMut::new(&mut c, shape.cell_size, 1),
        };
        cell.pointwise(level, phase, step);
    }
    Step { tape, h, c }
}

/// In [0, 1]; with a clip as far from 0 and 1 as the limit's own value, but for a few roundings.
fn check_gate<T: Real>(gate: T, clip: Option<f64>) -> Result<(), TestCaseError> {
    prop_assert!(gate >= T::ZERO && gate <= T::ONE, "gate {gate}");
    if let Some(limit) = clip {
        let low = activation::sigmoid(T::from_f64(-limit));
        let slack = T::from_f64(4.0) * T::EPSILON;
        let inside = gate >= low - slack && gate <= T::ONE - low + slack;
        prop_assert!(inside, "gate {gate} under a clip of {limit}");
    }
    Ok(())
}

fn check_lstm<T: Real>(
    options: LstmOptions,
    size: usize,
    numbers: &Numbers<T>,
) -> Result<(), TestCaseError> {
    let step = take(&Lstm::with_options(1, size, options), Level::detect(), numbers);
    let one = T::ONE;
    // Blocks on the tape: m, if there is one, then i, f, g, o or i, g, o.
    let first = usize::from(options.proj_size.is_some());
    let (gates, candidate): (&[usize], usize) =
        if options.coupled { (&[0, 2], 1) } else { (&[0, 1, 3], 2) };
    for &block in gates {
        for &gate in step.block(first + block, size) {
            check_gate(gate, options.clip)?;
        }
    }
    for &g in step.block(first + candidate, size) {
        prop_assert!(g.abs() <= one, "g = {g}");
    }
    let shown = if first == 1 { step.block(0, size) } else { &step.h };
    for k in 0..size {
        prop_assert!(shown[k].abs() <= one, "{} is shown", shown[k]);
        let (before, after) = (numbers.c[k].abs(), step.c[k].abs());
        prop_assert!(after <= before + one, "c = {after} after {before}");
        if options.coupled {
            // A mean of c and g whose two shares add up to 1 but for a rounding.
            let most = if before > one { before } else { one };
            let most = most + T::from_f64(2.0) * T::EPSILON * most;
            prop_assert!(after <= most, "coupled: c = {after} after {before}");
        }
    }
    Ok(())
}

fn check_gru<T: Real>(
    options: GruOptions,
    size: usize,
    numbers: &Numbers<T>,
) -> Result<(), TestCaseError> {
    let step = take(&Gru::with_options(1, size, options), Level::detect(), numbers);
    for k in 0..size {
        let [r, z, n] = [1, 2, 3].map(|block| step.block(block, size)[k]);
        check_gate(r, options.clip)?;
        check_gate(z, options.clip)?;
        let (h, before) = (step.h[k], numbers.h[k]);
        // After the product, an infinite r hn may meet an infinite opposite: only then is n NaN.
        let is_number = n.abs() <= T::ONE;
        prop_assert!(
            is_number || (options.reset == Reset::After && n.to_f64().is_nan()),
            "n = {n}"
        );
        if is_number {
            let (low, high) = if n < before { (n, before) } else { (before, n) };
            let most = if before.abs() > T::ONE { before.abs() } else { T::ONE };
            let slack = T::EPSILON * most;
            prop_assert!(h >= low - slack && h <= high + slack, "{h} between {low} and {high}");
            prop_assert!(h.abs() <= most + slack, "{h} after {before}");
            prop_assert!(z != T::ONE || h == before, "z = 1 keeps {before}, not {h}");
        }
    }
    Ok(())
}

fn check_rnn<T: Real>(
    nonlinearity: Nonlinearity,
    clip: Option<f64>,
    size: usize,
    numbers: &Numbers<T>,
) -> Result<(), TestCaseError> {
    let options = RnnOptions { clip, ..RnnOptions::default() };
    let cell = Rnn::with_options(1, size, nonlinearity, options);
    let step = take(&cell, Level::detect(), numbers);
    for (k, &h) in step.h.iter().enumerate() {
        let a = numbers.tape[k] + numbers.bias[k];
        let limit = T::from_f64(clip.unwrap_or(f64::INFINITY));
        let a = if a > limit { limit } else { a };
        let a = if a < -limit { -limit } else { a };
        match nonlinearity {
            Nonlinearity::Tanh => prop_assert!(h.abs() <= T::ONE, "h = {h}"),
            Nonlinearity::Relu => {
                prop_assert!(h == if a > T::ZERO { a } else { T::ZERO }, "h = {h} of {a}");
            }
            Nonlinearity::Identity => prop_assert!(h == a, "h = {h} of {a}"),
        }
    }
    Ok(())
}

fn clips() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(0.1f64..30.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn lstm_gates_and_states_keep_their_ranges(
        numbers in numbers(), size in 1usize..MOST, peephole: bool, coupled: bool, clip in clips(),
        proj_size in prop::option::of(1usize..4),
    ) {
        let options = LstmOptions { peephole, coupled, clip, proj_size, ..LstmOptions::default() };
        check_lstm(options, size, &numbers)?;
        check_lstm(options, size, &numbers.in_f64())?;
    }

    #[test]
    fn gru_gates_and_states_keep_their_ranges(
        numbers in numbers(), size in 1usize..MOST, before: bool, clip in clips(),
    ) {
        let reset = if before { Reset::Before } else { Reset::After };
        let options = GruOptions { reset, clip, ..GruOptions::default() };
        check_gru(options, size, &numbers)?;
        check_gru(options, size, &numbers.in_f64())?;
    }

    #[test]
    fn rnn_states_keep_their_ranges(
        numbers in numbers(), size in 1usize..MOST, clip in clips(),
        nonlinearity in prop::sample::select(vec![
            Nonlinearity::Tanh, Nonlinearity::Relu, Nonlinearity::Identity,
        ]),
    ) {
        check_rnn(nonlinearity, clip, size, &numbers)?;
        check_rnn(nonlinearity, clip, size, &numbers.in_f64())?;
    }

    /// Gates are strictly between 0 and 1 as long as pre-activations are ordinary.
    #[test]
    fn ordinary_gates_are_open(a in prop::collection::vec(-15.0f32..=15.0, 4 * MOST)) {
        let tape = a.iter().copied().chain([0.0; MOST]).collect();
        let zeros = |count| vec![0.0; count];
        let (bias, peephole) = (zeros(5 * MOST), zeros(3 * MOST));
        let numbers = Numbers { tape, bias, peephole, h: zeros(MOST), c: zeros(MOST) };
        let step = take(&Lstm::new(1, MOST), Level::detect(), &numbers);
        for block in [0, 1, 3] {
            prop_assert!(step.block(block, MOST).iter().all(|&gate| gate > 0.0 && gate < 1.0));
        }
    }

    /// A NaN in any pre-activation, or in c, reaches h; and c, if the gate makes c.
    #[test]
    fn nan_in_gives_nan_out(
        numbers in numbers(), size in 1usize..MOST, at in any::<prop::sample::Index>(),
        clip in clips(),
    ) {
        let at = at.index(size);
        // Each cell with its blocks of pre-activations, and those that make c.
        let lstm = LstmOptions { clip, ..LstmOptions::default() };
        let coupled = LstmOptions { coupled: true, peephole: true, ..lstm };
        let gru = GruOptions { clip, ..GruOptions::default() };
        let before = GruOptions { reset: Reset::Before, ..gru };
        let rnn = |nonlinearity| -> AnyCell {
            Rnn::with_options(1, size, nonlinearity, RnnOptions { clip, ..Default::default() }).into()
        };
        let cells: [(AnyCell, &[usize], &[usize]); 7] = [
            (Lstm::with_options(1, size, lstm).into(), &[0, 1, 2, 3], &[0, 1, 2]),
            (Lstm::with_options(1, size, coupled).into(), &[0, 1, 2], &[0, 1]),
            (Gru::with_options(1, size, gru).into(), &[0, 1, 2, 3], &[]),
            // r reaches h through the product, which is not taken here.
            (Gru::with_options(1, size, before).into(), &[2, 3], &[]),
            (rnn(Nonlinearity::Tanh), &[0], &[]),
            (rnn(Nonlinearity::Relu), &[0], &[]),
            (rnn(Nonlinearity::Identity), &[0], &[]),
        ];
        for (cell, blocks, into_c) in cells {
            for &block in blocks {
                for level in Level::available() {
                    let mut numbers = numbers.in_f64();
                    numbers.tape[block * size + at] = f64::NAN;
                    let step = take(&cell, level, &numbers);
                    prop_assert!(step.h[at].is_nan(), "{cell:?}, block {block}, {level:?}");
                    if !step.c.is_empty() {
                        prop_assert_eq!(step.c[at].is_nan(), into_c.contains(&block));
                    }
                }
            }
        }
        let mut numbers = numbers.in_f64();
        numbers.c[at] = f64::NAN;
        for options in [lstm, coupled] {
            let step = take(&Lstm::with_options(1, size, options), Level::detect(), &numbers);
            prop_assert!(step.c[at].is_nan() && step.h[at].is_nan());
        }
    }
}
