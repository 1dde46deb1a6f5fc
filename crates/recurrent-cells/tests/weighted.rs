//! Cells made of PyTorch's tensors: their steps against the oracle, and tensors that do not fit.

use recurrent_cells::{
    Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, PytorchWeights, Rnn, RnnOptions, WeightedCell,
};
use recurrent_testkit::golden::numbers;
use recurrent_testkit::oracle::{Weights, gru_step, lstm_step, rnn_step};

const INPUT: usize = 3;
const HIDDEN: usize = 5;

/// Tensors for so many gates, and h of `size` numbers.
struct Tensors {
    ih: Vec<f64>,
    hh: Vec<f64>,
    bias_ih: Vec<f64>,
    bias_hh: Vec<f64>,
    hr: Vec<f64>,
    size: usize,
}

impl Tensors {
    fn new(gates: usize, size: usize) -> Self {
        let rows = gates * HIDDEN;
        Tensors {
            ih: numbers(0, rows * INPUT, 1.0),
            hh: numbers(1, rows * size, 1.0),
            bias_ih: numbers(2, rows, 1.0),
            bias_hh: numbers(3, rows, 1.0),
            hr: numbers(4, size * HIDDEN, 1.0),
            size,
        }
    }

    fn given(&self) -> PytorchWeights<'_, f64> {
        PytorchWeights {
            weight_ih: &self.ih,
            weight_hh: &self.hh,
            bias_ih: &self.bias_ih,
            bias_hh: &self.bias_hh,
            weight_hr: &[],
        }
    }

    /// The oracle's view of the same tensors: PyTorch's rows.
    fn oracle<R>(&self, run: impl Fn(&Weights<'_>) -> R) -> R {
        run(&Weights {
            ih: &|row, column| self.ih[row * INPUT + column],
            hh: &|row, column| self.hh[row * self.size + column],
            bias_ih: &self.bias_ih,
            bias_hh: &self.bias_hh,
            hr: &|row, column| self.hr[row * HIDDEN + column],
            peephole: &[],
            norm: &[],
        })
    }
}

/// Takes three steps both ways.
fn compare(
    size: usize,
    cell_size: usize,
    mut step: impl FnMut(&[f64], &mut [f64], &mut [f64]),
    oracle: impl Fn(&[f64], &[f64], &[f64]) -> (Vec<f64>, Vec<f64>),
) {
    let (mut h, mut c) = (numbers(10, size, 1.0), numbers(11, cell_size, 1.0));
    for t in 0..3 {
        let x = numbers(20 + t, INPUT, 2.0);
        let (expected_h, expected_c) = oracle(&x, &h, &c);
        step(&x, &mut h, &mut c);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-14);
        assert!(close(&h, &expected_h) && close(&c, &expected_c), "step {t}: {h:?} {expected_h:?}");
    }
}

#[test]
fn steps_are_the_oracles() {
    let t = Tensors::new(4, HIDDEN);
    let mut lstm = Lstm::from_pytorch(INPUT, HIDDEN, t.given()).unwrap();
    compare(
        HIDDEN,
        HIDDEN,
        |x, h, c| lstm.step(x, h, c),
        |x, h, c| t.oracle(|weights| lstm_step(LstmOptions::default(), weights, x, h, c)),
    );

    let t = Tensors::new(4, 2);
    let weights = PytorchWeights { weight_hr: &t.hr, ..t.given() };
    let mut lstm = Lstm::from_pytorch(INPUT, HIDDEN, weights).unwrap();
    let options = LstmOptions { proj_size: Some(2), ..LstmOptions::default() };
    assert_eq!(*lstm.cell().options(), options);
    compare(
        2,
        HIDDEN,
        |x, h, c| lstm.step(x, h, c),
        |x, h, c| t.oracle(|weights| lstm_step(options, weights, x, h, c)),
    );

    let mut t = Tensors::new(3, HIDDEN);
    (t.bias_ih, t.bias_hh) = (Vec::new(), Vec::new());
    let mut gru = Gru::from_pytorch(INPUT, HIDDEN, t.given()).unwrap();
    compare(
        HIDDEN,
        0,
        |x, h, c| gru.step(x, h, c),
        |x, h, _| t.oracle(|weights| gru_step(GruOptions::default(), weights, x, h)),
    );

    let mut t = Tensors::new(1, HIDDEN);
    t.bias_hh = Vec::new();
    let relu = Nonlinearity::Relu;
    let mut rnn = Rnn::from_pytorch(INPUT, HIDDEN, relu, t.given()).unwrap();
    compare(
        HIDDEN,
        0,
        |x, h, c| rnn.step(x, h, c),
        |x, h, _| t.oracle(|weights| rnn_step(relu, RnnOptions::default(), weights, x, h)),
    );
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let t = Tensors::new(4, HIDDEN);
    let refused = |weights| match Lstm::from_pytorch(INPUT, HIDDEN, weights) {
        Ok(_) => panic!("these weights make no LSTM"),
        Err(error) => error.to_string(),
    };
    let weights = PytorchWeights { weight_ih: &t.ih[1..], ..t.given() };
    assert_eq!(refused(weights), "`weight_ih` has 59 numbers; [20, 3] = 60 are needed");
    let weights = PytorchWeights { bias_ih: &[], ..t.given() };
    assert_eq!(refused(weights), "`bias_ih` has 0 numbers; [20] = 20 are needed");
    let weights = PytorchWeights { weight_hr: &t.hr[..3], ..t.given() };
    assert_eq!(refused(weights), "`weight_hh` has 100 numbers; [20, 1] = 20 are needed");
    let error = match Gru::from_pytorch(INPUT, 0, t.given()) {
        Ok(_) => panic!("no units make no GRU"),
        Err(error) => error.to_string(),
    };
    assert_eq!(error, "sizes of 3 (input) and 0 (hidden) make no cell");
    assert!(Lstm::from_pytorch(INPUT, usize::MAX, t.given()).is_err());
    let t = Tensors::new(3, HIDDEN);
    let error =
        match Gru::from_pytorch(INPUT, HIDDEN, PytorchWeights { weight_hr: &[1.0], ..t.given() }) {
            Ok(_) => panic!("a GRU has no projection"),
            Err(error) => error.to_string(),
        };
    assert_eq!(error, "`weight_hr` has 1 numbers, and this cell has no such tensor");
}

#[test]
#[should_panic(expected = "weight_ih of Some((20, 3)); this cell needs Some((15, 3))")]
fn slots_of_another_cell_are_refused() {
    let t = Tensors::new(4, HIDDEN);
    let lstm = Lstm::from_pytorch(INPUT, HIDDEN, t.given()).unwrap();
    let (parameters, slots) = lstm.parameters();
    WeightedCell::new(Gru::new(INPUT, HIDDEN), *slots, parameters.clone());
}
