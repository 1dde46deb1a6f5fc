//! Initial values: ranges, moments, orthogonality, and what is refused.

use std::sync::Arc;

use proptest::prelude::*;
use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{
    AnyCell, Biases, Cell, CellKind, CellSlots, Gru, GruOptions, Layout, Lstm, LstmOptions,
    Nonlinearity, Parameters, Rnn,
};
use recurrent_kernels::Columns;
use recurrent_kernels::random::Generator;

type Filled = (AnyCell, CellSlots, Parameters<f64>);

fn zeros(cell: AnyCell) -> Filled {
    let mut layout = Layout::new();
    let slots = CellSlots::add(&mut layout, cell.shape(), "rnn.", "_l0");
    (cell, slots, Parameters::zeros(Arc::new(layout)))
}

fn fill(cell: AnyCell, how: Initialization) -> Result<Filled, InitializationError> {
    let (cell, slots, mut parameters) = zeros(cell);
    how.fill(&mut Generator::new(1, 0), &mut parameters, &cell, &slots)?;
    Ok((cell, slots, parameters))
}

fn largest(data: &[f64]) -> f64 {
    data.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
}

#[test]
fn uniform_is_within_pytorchs_bounds() {
    let options = LstmOptions { proj_size: Some(7), ..LstmOptions::default() };
    let cells = CellKind::ALL.map(|kind| kind.build(30, 25));
    for cell in cells.into_iter().chain([Lstm::with_options(30, 25, options).into()]) {
        let (cell, slots, parameters) = fill(cell, Initialization::Uniform).unwrap();
        // 1 / sqrt(25), also where h is a projection.
        for slot in slots.all() {
            let data = parameters.slice(slot);
            let largest = largest(data);
            assert!(largest <= 0.2 && largest > 0.17, "{cell:?}: {largest}");
            let variance = data.iter().map(|x| x * x).sum::<f64>() / data.len() as f64;
            assert!((variance - 0.04 / 3.0).abs() < 0.005, "{cell:?}: {variance}");
        }
    }
}

#[test]
fn a_forget_bias_is_that_of_the_forget_gate() {
    let (cell, slots, mut parameters) =
        fill(Lstm::new(30, 25).into(), Initialization::Uniform).unwrap();
    let AnyCell::Lstm(lstm) = &cell else { unreachable!() };
    initialize::forget_bias(&mut parameters, lstm, &slots, 1.0).unwrap();
    let ih = parameters.slice(slots.bias_ih.unwrap());
    let hh = parameters.slice(slots.bias_hh.unwrap());
    assert!((25..50).all(|row| ih[row] + hh[row] == 1.0));
    assert!((0..25).chain(50..100).all(|row| ih[row] + hh[row] != 1.0));

    let coupled = LstmOptions { coupled: true, ..LstmOptions::default() };
    let without = LstmOptions { biases: Biases::None, ..LstmOptions::default() };
    for (options, message) in [
        (coupled, "a forget bias is for an LSTM whose forget gate is not coupled"),
        (without, "a forget bias sets a bias, and the cell has none"),
    ] {
        let lstm = Lstm::with_options(3, 4, options);
        let (_, slots, mut parameters) = zeros(lstm.clone().into());
        let error = initialize::forget_bias(&mut parameters, &lstm, &slots, 1.0).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn xavier_depends_on_inputs_and_outputs_of_one_gate() {
    let options = LstmOptions { peephole: true, proj_size: Some(50), ..LstmOptions::default() };
    let cell = Lstm::with_options(30, 40, options).into();
    let (_, slots, parameters) = fill(cell, Initialization::Xavier).unwrap();
    let of = |slot| largest(parameters.slice(slot));
    for (slot, bound) in [
        (slots.weight_ih, (6.0f64 / 70.0).sqrt()),
        (slots.weight_hh, (6.0f64 / 90.0).sqrt()),
        (slots.weight_hr.unwrap(), (6.0f64 / 90.0).sqrt()),
        (slots.weight_peephole.unwrap(), 3.0f64.sqrt()),
    ] {
        assert!(of(slot) <= bound && of(slot) > 0.97 * bound, "{} and {bound}", of(slot));
    }
    assert_eq!(of(slots.bias_ih.unwrap()) + of(slots.bias_hh.unwrap()), 0.0);
}

/// Rows, or columns if there are fewer of them, are orthonormal.
fn assert_orthonormal(block: Columns<'_, f64>) {
    let (rows, columns) = (block.rows(), block.columns());
    let at = |row: usize, column: usize| block.column(column)[row];
    let dot = |a: usize, b: usize| -> f64 {
        match rows >= columns {
            true => (0..rows).map(|r| at(r, a) * at(r, b)).sum(),
            false => (0..columns).map(|j| at(a, j) * at(b, j)).sum(),
        }
    };
    for a in 0..rows.min(columns) {
        for b in 0..=a {
            let expected = if a == b { 1.0 } else { 0.0 };
            assert!((dot(a, b) - expected).abs() < 1e-13, "{a}, {b}: {}", dot(a, b));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn orthogonal_blocks_are_orthogonal(
        kind in prop::sample::select(&CellKind::ALL[..]), size in 1usize..40,
        projection in prop::option::of(1usize..40), seed: u64,
    ) {
        let cell: AnyCell = match projection {
            None => kind.build(3, size),
            proj_size => {
                Lstm::with_options(3, size, LstmOptions { proj_size, ..Default::default() }).into()
            }
        };
        let (cell, slots, mut parameters) = zeros(cell);
        initialize::orthogonal(&mut Generator::new(seed, 0), &mut parameters, &cell, &slots);
        for first in (0..slots.weight_hh.rows()).step_by(size) {
            assert_orthonormal(parameters.get(slots.weight_hh).rows_range(first..first + size));
        }
        if let Some(weight_hr) = slots.weight_hr {
            assert_orthonormal(parameters.get(weight_hr));
        }
    }
}

/// Evenly drawn: no direction is favoured, so every element has the same variance, 1 / size, and
/// both determinants come up.
#[test]
fn orthogonal_blocks_are_drawn_evenly() {
    let (cell, slots, mut parameters) = zeros(Rnn::new(1, 2, Nonlinearity::Tanh).into());
    let (mut squares, mut turned) = ([0.0; 4], 0);
    for seed in 0..2000 {
        initialize::orthogonal(&mut Generator::new(seed, 0), &mut parameters, &cell, &slots);
        let [a, b, c, d] = *parameters.slice(slots.weight_hh) else { unreachable!() };
        turned += usize::from(a * d - b * c > 0.0);
        for (sum, x) in squares.iter_mut().zip([a, b, c, d]) {
            *sum += x * x / 2000.0;
        }
    }
    assert!(squares.iter().all(|square| (square - 0.5).abs() < 0.05), "{squares:?}");
    assert!((900..1100).contains(&turned), "{turned}");
}

#[test]
fn identity_keeps_h_without_input() {
    let cell = Rnn::new(6, 5, Nonlinearity::Relu).into();
    let (_, slots, parameters) = fill(cell, Initialization::Identity).unwrap();
    let weight_hh = parameters.get(slots.weight_hh);
    for j in 0..5 {
        for r in 0..5 {
            assert_eq!(weight_hh.column(j)[r], if r == j { 1.0 } else { 0.0 });
        }
    }
    assert!(largest(parameters.slice(slots.weight_ih)) < 0.004);
    assert_eq!(largest(parameters.slice(slots.bias_ih.unwrap())), 0.0);
}

#[test]
fn chrono_biases_are_logarithms_of_times() {
    let how = Initialization::Chrono { steps: 1000 };
    let (_, slots, parameters) = fill(Lstm::new(3, 200).into(), how).unwrap();
    let bias = parameters.slice(slots.bias_ih.unwrap());
    let (input, forget) = (&bias[..200], &bias[200..400]);
    assert!(input.iter().zip(forget).all(|(i, f)| *i == -f));
    assert!(forget.iter().all(|f| (0.0..=libm::log(999.0)).contains(f)));
    // The mean of ln u for u even in [1, 999].
    let mean = forget.iter().sum::<f64>() / 200.0;
    assert!((mean - 5.91).abs() < 0.3, "{mean}");
    assert!(parameters.slice(slots.bias_hh.unwrap())[..400].iter().all(|&b| b == 0.0));
    assert!(parameters.slice(slots.bias_hh.unwrap())[400..].iter().all(|&b| b != 0.0));

    let (_, slots, parameters) = fill(Gru::new(3, 50).into(), how).unwrap();
    let bias = parameters.slice(slots.bias_ih.unwrap());
    assert!(bias[50..100].iter().all(|z| (0.0..=libm::log(999.0)).contains(z)));

    let coupled = LstmOptions { coupled: true, ..LstmOptions::default() };
    let (_, slots, parameters) = fill(Lstm::with_options(3, 50, coupled).into(), how).unwrap();
    let bias = parameters.slice(slots.bias_ih.unwrap());
    assert!(bias[..50].iter().all(|i| (-libm::log(999.0)..=0.0).contains(i)));
}

/// Whichever initialiser is called, with or without [`Initialization`] around it.
#[test]
fn a_normalisation_begins_without_a_say() {
    type Fill = fn(&mut Generator, &mut Parameters<f64>, &AnyCell, &CellSlots);
    let fills: [Fill; 4] =
        [initialize::recurrent, initialize::xavier, initialize::orthogonal, |g, p, cell, slots| {
            initialize::chrono(g, p, cell, slots, 20).unwrap();
        }];
    for fill in fills {
        let (cell, slots, mut parameters) = zeros(CellKind::LayerNormLstm.build(3, 4));
        fill(&mut Generator::new(1, 0), &mut parameters, &cell, &slots);
        let (gains, shifts) = parameters.slice(slots.weight_norm.unwrap()).split_at(9 * 4);
        assert!(gains.iter().all(|&gain| gain == 1.0), "{gains:?}");
        assert!(shifts.len() == 4 && shifts.iter().all(|&shift| shift == 0.0), "{shifts:?}");
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    let refused = |cell, how| fill(cell, how).unwrap_err().to_string();
    let chrono = Initialization::Chrono { steps: 100 };
    assert_eq!(
        refused(Lstm::new(3, 4).into(), Initialization::Identity),
        "identity is for rnn-tanh, rnn-relu and rnn-identity"
    );
    let rnn = || Rnn::new(3, 4, Nonlinearity::Tanh).into();
    assert_eq!(refused(rnn(), chrono), "chrono is for lstm, layer-norm-lstm and gru");
    let options = GruOptions { biases: Biases::None, ..GruOptions::default() };
    let gru = Gru::with_options(3, 4, options).into();
    assert_eq!(refused(gru, chrono), "chrono sets a bias, and the cell has none");
    let short = Initialization::Chrono { steps: 2 };
    let message = refused(Gru::new(3, 4).into(), short);
    assert_eq!(message, "chrono needs at least 3 steps to remember, not 2");
}
