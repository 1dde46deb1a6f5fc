//! Encoder-decoder for numbers: gradients through feedback and handed-over state, feeds that see
//! what they may see, and forecasts that do not depend on the rest of the batch.

mod support;

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_testkit::gradient::added;
use recurrent_topologies::{
    InputConfig, Lengths, Noise, Observation, Probe, Reading, Regularization, SeriesFeed,
    SeriesForecaster, SeriesForecasterConfig, SeriesForecasterTape, StackConfig,
};
use support::{Sequences, compare_parameters, hold_bits, hold_gradients, matrix, stacks};

fn configs() -> impl Strategy<Value = SeriesForecasterConfig> {
    let feeds = prop::sample::select(&SeriesFeed::ALL[..]);
    (1usize..4, stacks(false), 1usize..5, feeds).prop_map(|(columns, stack, horizon, feed)| {
        SeriesForecasterConfig { columns, stack, horizon, feed }
    })
}

fn build<T: Real>(config: &SeriesForecasterConfig, seed: u64) -> (SeriesForecaster, Parameters<T>) {
    let model = config.build().unwrap();
    let mut generator = Generator::new(seed, 1);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

fn windows(config: &SeriesForecasterConfig, seed: u64, lengths: &[usize]) -> Sequences {
    let input = InputConfig::Vectors { size: config.columns };
    Sequences::draw(&mut Generator::new(seed, 0), input, lengths)
}

/// A truth for every window, as it is given and as it is drawn: window by window.
fn truths(config: &SeriesForecasterConfig, which: &[usize]) -> Matrix<f32> {
    let batch = which.len();
    Matrix::from_fn(config.columns, config.horizon * batch, |r, j| {
        let (t, sequence) = (j / batch, which[j % batch]);
        Generator::new((t * 100 + sequence) as u64, r as u64).normal()
    })
}

fn outputs(
    model: &SeriesForecaster,
    parameters: &Parameters<f32>,
    sequences: &Sequences,
    truth: Option<&Matrix<f32>>,
) -> Matrix<f32> {
    let (x, lengths, mut tape) = (sequences.arrange(), sequences.lengths(), Default::default());
    let Reading::Vectors(window) = x.reading() else { unreachable!() };
    let (compute, truth) = (Compute::sequential(), truth.map(Matrix::as_ref));
    let recorded = model.forward(&compute, parameters, window, truth, &lengths, None, &mut tape);
    let y = recorded.outputs();
    Matrix::from_fn(y.rows(), y.columns(), |r, j| y.column(j)[r])
}

#[test]
fn gradients_agree_with_central_differences() {
    let lengths = prop::collection::vec(1usize..5, 1..4);
    let cases = (configs(), lengths, any::<bool>(), any::<u64>());
    hold_gradients(96, cases, |(config, lengths, with_truth, seed)| {
        let (model, mut parameters) = build::<f64>(&config, seed);
        let sequences = windows(&config, seed, &lengths);
        let (x, lengths) = (sequences.arrange(), sequences.lengths());
        let Reading::Vectors(window) = x.reading() else { unreachable!() };
        let columns = config.horizon * lengths.batch();
        let truth = matrix::<f64>(&mut Generator::new(seed, 2), config.columns, columns);
        let truth = with_truth.then_some(truth.as_ref());
        let weights = support::weights(config.columns, columns);
        let compute = Compute::sequential();
        let noise = Some(Noise { seed: 3, first_step: 9 });
        let mut tape = SeriesForecasterTape::default();
        let mut recorded =
            model.forward(&compute, &parameters, window, truth, &lengths, noise, &mut tape);
        recorded.outputs_mut().copy_from(weights.as_ref());
        let gradients = added(1.0, &parameters, |gradients| {
            model.backward(recorded, &compute, &parameters, gradients, &());
        });
        compare_parameters(&mut parameters, &gradients, |parameters| {
            let recorded =
                model.forward(&compute, parameters, window, truth, &lengths, noise, &mut tape);
            support::weighted_sum(&weights, recorded.outputs())
        })
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_rest_of_the_batch_changes_no_bit(
        config in configs(),
        lengths in prop::collection::vec(1usize..7, 2..7),
        with_truth: bool,
        seed: u64,
    ) {
        let (model, parameters) = build::<f32>(&config, seed);
        let sequences = windows(&config, seed, &lengths);
        let mut which: Vec<usize> = (0..lengths.len()).collect();
        let run = |which: &[usize]| {
            let truth = truths(&config, which);
            let truth = with_truth.then_some(&truth);
            outputs(&model, &parameters, &sequences.select(which), truth)
        };
        let together = run(&which);
        Generator::new(seed, 3).shuffle(&mut which);
        for which in (0..lengths.len()).map(|k| vec![k]).chain([which]) {
            let part = run(&which);
            for t in 0..config.horizon {
                for (j, &sequence) in which.iter().enumerate() {
                    let part = part.as_ref().column(t * which.len() + j);
                    let whole = together.as_ref().column(t * lengths.len() + sequence);
                    prop_assert_eq!(part, whole, "{:?}", &which);
                }
            }
        }
    }

    /// The truth is seen by who is fed with it, and then no earlier than it has come.
    #[test]
    fn a_forecast_sees_what_it_may_see(
        config in configs(),
        lengths in prop::collection::vec(1usize..7, 1..5),
        seed: u64,
    ) {
        let which: Vec<usize> = (0..lengths.len()).collect();
        let sequences = windows(&config, seed, &lengths);
        let run = |feed: SeriesFeed, truth: Option<&Matrix<f32>>| {
            let (model, parameters) = build(&SeriesForecasterConfig { feed, ..config.clone() }, seed);
            outputs(&model, &parameters, &sequences, truth)
        };
        let truth = truths(&config, &which);
        let written = run(SeriesFeed::Output, None);
        for feed in [SeriesFeed::Dummy, SeriesFeed::Output] {
            prop_assert_eq!(run(feed, Some(&truth)), run(feed, None));
        }
        // Without truth it reads what it wrote; so does who is given just that as the truth.
        prop_assert_eq!(&run(SeriesFeed::Truth, None), &written);
        prop_assert_eq!(&run(SeriesFeed::Truth, Some(&written)), &written);
        // A change of the truth's row t shows after row t.
        let batch = lengths.len();
        let given = run(SeriesFeed::Truth, Some(&truth));
        for t in 0..config.horizon {
            let mut other = truth.clone();
            other.as_mut_slice()[config.columns * t * batch..].fill(3.0);
            let changed = run(SeriesFeed::Truth, Some(&other));
            let before = 0..(t + 1) * batch;
            let same = given.as_slice()[..config.columns * before.end]
                == changed.as_slice()[..config.columns * before.end];
            prop_assert!(same, "row {t} of the truth was seen too early");
        }
    }
}

fn large(feed: SeriesFeed) -> SeriesForecasterConfig {
    SeriesForecasterConfig {
        columns: 7,
        stack: StackConfig {
            cell: CellKind::Lstm,
            hidden_size: 37,
            num_layers: 2,
            bidirectional: false,
            dropout: 0.2,
            regularization: Regularization::NONE,
        },
        horizon: 9,
        feed,
    }
}

/// Rows of the truth do reach who is fed with them, and rows that were written who is fed with those.
#[test]
fn feeds_differ() {
    let lengths = [5, 3, 4];
    let run = |feed: SeriesFeed| {
        let config = large(feed);
        let (model, parameters) = build(&config, 5);
        let truth = truths(&config, &[0, 1, 2]);
        outputs(&model, &parameters, &windows(&config, 5, &lengths), Some(&truth))
    };
    let [dummy, output, truth] = SeriesFeed::ALL.map(run);
    assert!(dummy != output && output != truth && truth != dummy);
    // The first row is written before any of that is read.
    let first = |y: &Matrix<f32>| y.as_slice()[..7 * lengths.len()].to_vec();
    assert!(first(&dummy) == first(&output) && first(&output) == first(&truth));
}

#[test]
fn bits_depend_on_neither_level_nor_threads() {
    for feed in SeriesFeed::ALL {
        let config = large(feed);
        let (model, parameters) = build::<f32>(&config, 5);
        let lengths: Vec<usize> = (0..50).map(|k| 1 + k * 7 % 13).collect();
        let sequences = windows(&config, 5, &lengths);
        let truth = truths(&config, &(0..50).collect::<Vec<_>>());
        let (x, lengths) = (sequences.arrange(), sequences.lengths());
        let Reading::Vectors(window) = x.reading() else { unreachable!() };
        let noise = Some(Noise { seed: 3, first_step: 9 });
        hold_bits(|compute| {
            let (mut tape, mut gradients) =
                (SeriesForecasterTape::default(), parameters.zeros_like());
            let truth = Some(truth.as_ref());
            let recorded =
                model.forward(compute, &parameters, window, truth, &lengths, noise, &mut tape);
            let y = recorded.outputs();
            let y = Matrix::from_fn(y.rows(), y.columns(), |r, j| y.column(j)[r]);
            model.backward(recorded, compute, &parameters, &mut gradients, &());
            (y, gradients)
        });
    }
}

#[test]
fn encoder_and_decoder_share_no_parameter() {
    let model = large(SeriesFeed::Output).build().unwrap();
    let names: Vec<&str> = model.layout().entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names.len(), 2 * 2 * 4 + 2);
    assert!(names[..8].iter().all(|name| name.starts_with("encoder.")));
    assert!(names[8..16].iter().all(|name| name.starts_with("decoder.")));
    let refused = |config: SeriesForecasterConfig| config.build().unwrap_err().to_string();
    let stack = StackConfig { bidirectional: true, ..large(SeriesFeed::Output).stack };
    let message = refused(SeriesForecasterConfig { stack, ..large(SeriesFeed::Output) });
    assert!(message.starts_with("a decoder cannot read both ways"), "{message}");
    let message = refused(SeriesForecasterConfig { horizon: 0, ..large(SeriesFeed::Output) });
    assert_eq!(message, "horizon must be at least 1");
}

#[test]
#[should_panic(expected = "a truth of 7 rows x 26 columns; 7 x 27 are forecast")]
fn a_truth_of_another_shape_is_refused() {
    let config = large(SeriesFeed::Truth);
    let (model, parameters) = build(&config, 5);
    let truth = Matrix::zeros(7, 26);
    outputs(&model, &parameters, &windows(&config, 5, &[5, 3, 4]), Some(&truth));
}

/// Counts how often each layer and step is seen.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<(usize, usize)>>);

impl Probe<f32> for Seen {
    fn observe(&self, seen: Observation<'_, f32>) {
        self.0.lock().unwrap().push((seen.layer, seen.t));
    }
}

#[test]
fn masks_do_not_know_the_neighbours_and_a_probe_knows_the_two_stacks_apart() {
    let stack = StackConfig {
        cell: CellKind::Gru,
        hidden_size: 6,
        num_layers: 2,
        bidirectional: false,
        dropout: 0.5,
        regularization: Regularization::NONE,
    };
    for feed in SeriesFeed::ALL {
        let config = SeriesForecasterConfig { columns: 2, stack, horizon: 2, feed };
        let (model, parameters) = build::<f32>(&config, 5);
        let compute = Compute::sequential();
        let noise = Some(Noise { seed: 3, first_step: 1 << 24 });
        let run = |lengths: &[usize], probe: &Seen| {
            // The first window has the same three rows whatever stands beside it.
            let lengths = Lengths::new(lengths);
            let mut x = Matrix::<f32>::zeros(2, lengths.columns());
            for t in 0..3 {
                x.as_mut().column(lengths.column(0, t)).copy_from_slice(&[0.3 * t as f32, 1.0]);
            }
            let mut tape = SeriesForecasterTape::default();
            let x = x.as_ref();
            let recorded =
                model.forward(&compute, &parameters, x, None, &lengths, noise, &mut tape);
            let first = recorded.outputs().column(0).to_vec();
            let mut gradients = parameters.zeros_like();
            model.backward(recorded, &compute, &parameters, &mut gradients, probe);
            first
        };
        let seen = Seen::default();
        assert_eq!(run(&[3, 3], &seen), run(&[3, 7], &Seen::default()), "{feed:?}");
        let mut seen = seen.0.into_inner().unwrap();
        seen.sort_unstable();
        let encoder = (0..2).flat_map(|layer| (0..3).map(move |t| (layer, t)));
        let decoder = (2..4).flat_map(|layer| (0..2).map(move |t| (layer, t)));
        assert_eq!(seen, encoder.chain(decoder).collect::<Vec<_>>(), "{feed:?}");
    }
}
