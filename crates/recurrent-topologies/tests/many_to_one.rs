//! One answer a sequence: gradients through everything, pools against their definitions, and
//! answers that do not depend on the rest of the batch.

mod support;

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_testkit::case::suited;
use recurrent_testkit::gradient::added;
use recurrent_topologies::{
    Input, InputConfig, Lengths, ManyToOne, ManyToOneConfig, ManyToOneTape, Noise, Pool, Reading,
    Regularization, SequenceEncoder, SequenceEncoderTape, StackConfig, Tape, TokenEncoding,
};
use support::{Sequences, compare_parameters, hold_bits, hold_gradients, inputs, stacks};

fn configs() -> impl Strategy<Value = ManyToOneConfig> {
    let pools = prop::sample::select(&Pool::ALL[..]);
    (inputs(), stacks(true), pools, 1usize..4).prop_map(|(input, mut stack, pool, output_size)| {
        stack.regularization = suited(stack.regularization, &input);
        ManyToOneConfig { input, stack, pool, output_size }
    })
}

fn build<T: Real>(config: &ManyToOneConfig, seed: u64) -> (ManyToOne, Parameters<T>) {
    let model = config.build().unwrap();
    let mut generator = Generator::new(seed, 1);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

fn outputs<T: Real>(
    model: &ManyToOne,
    parameters: &Parameters<T>,
    compute: &Compute,
    sequences: &Sequences,
) -> Matrix<T> {
    let (x, lengths, mut tape) = (sequences.arrange(), sequences.lengths(), Default::default());
    let recorded = model.forward(compute, parameters, x.reading(), &lengths, None, &mut tape);
    let y = recorded.outputs();
    Matrix::from_fn(y.rows(), y.columns(), |r, j| y.column(j)[r])
}

#[test]
fn gradients_agree_with_central_differences() {
    let lengths = prop::collection::vec(1usize..5, 1..4);
    hold_gradients(96, (configs(), lengths, any::<u64>()), |(config, lengths, seed)| {
        let (model, mut parameters) = build::<f64>(&config, seed);
        let sequences = Sequences::draw(&mut Generator::new(seed, 0), config.input, &lengths);
        let (x, lengths) = (sequences.arrange(), sequences.lengths());
        let weights = support::weights(config.output_size, lengths.batch());
        let compute = Compute::sequential();
        let noise = Some(Noise { seed: 3, first_step: 9 });
        let mut tape = ManyToOneTape::default();
        let mut recorded =
            model.forward(&compute, &parameters, x.reading(), &lengths, noise, &mut tape);
        recorded.outputs_mut().copy_from(weights.as_ref());
        let gradients = added(1.0, &parameters, |gradients| {
            model.backward(recorded, &compute, &parameters, gradients, &());
        });
        compare_parameters(&mut parameters, &gradients, |parameters| {
            let recorded =
                model.forward(&compute, parameters, x.reading(), &lengths, noise, &mut tape);
            support::weighted_sum(&weights, recorded.outputs())
        })
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A batch says of each sequence what it says of it alone, in another order, or among others.
    #[test]
    fn the_rest_of_the_batch_changes_no_bit(
        config in configs(),
        lengths in prop::collection::vec(1usize..7, 2..7),
        seed: u64,
    ) {
        let (model, parameters) = build::<f32>(&config, seed);
        let mut generator = Generator::new(seed, 0);
        let sequences = Sequences::draw(&mut generator, config.input, &lengths);
        let compute = Compute::sequential();
        let together = outputs(&model, &parameters, &compute, &sequences);
        let mut which: Vec<usize> = (0..lengths.len()).collect();
        generator.shuffle(&mut which);
        let half = which[..lengths.len() / 2].to_vec();
        let alone = (0..lengths.len()).map(|k| vec![k]);
        for which in alone.chain([which, half]) {
            let part = outputs(&model, &parameters, &compute, &sequences.select(&which));
            for (j, &sequence) in which.iter().enumerate() {
                let (part, whole) = (part.as_ref(), together.as_ref());
                prop_assert_eq!(part.column(j), whole.column(sequence), "{:?}", &which);
            }
        }
    }

    #[test]
    fn pools_are_what_they_are_called(
        stack in stacks(true),
        lengths in prop::collection::vec(1usize..7, 1..6),
        seed: u64,
    ) {
        let input = InputConfig::Vectors { size: 2 };
        let sequences = Sequences::draw(&mut Generator::new(seed, 0), input, &lengths);
        let (x, lengths) = (sequences.arrange::<f64>(), Lengths::new(&lengths));
        let Reading::Vectors(columns) = x.reading() else { unreachable!() };
        let compute = Compute::sequential();
        for pool in Pool::ALL {
            let mut layout = Layout::new();
            let encoder = SequenceEncoder::add(&mut layout, "q.", input, stack, pool).unwrap();
            let mut parameters = Parameters::<f64>::zeros(layout.into());
            let mut generator = Generator::new(seed, 1);
            let how = Initialization::Uniform;
            encoder.initialize(&mut generator, &mut parameters, how, None).unwrap();
            let mut tape = SequenceEncoderTape::default();
            let recorded =
                encoder.forward(&compute, &parameters, x.reading(), &lengths, None, &mut tape);

            let (mut tape, own) = (Tape::new(), encoder.stack());
            let (zero, steps) = (own.zero_state(lengths.batch()), Input::Columns(columns));
            let run = own.run(&compute, &parameters, steps, &zero, &lengths, None, &mut tape);
            let mut last = zero.clone();
            run.final_state(&mut last);
            let size = stack.hidden_size;
            let directions = encoder.output_size() / size;
            let top = &last.layers[last.layers.len() - directions..];
            for sequence in 0..lengths.batch() {
                for r in 0..encoder.output_size() {
                    let h = |t: usize| run.output().column(lengths.column(sequence, t))[r];
                    let length = lengths.length(sequence);
                    let found = recorded.output().column(sequence)[r];
                    let state = top[r / size].h.as_ref();
                    match pool {
                        Pool::Last => prop_assert_eq!(found, state.column(sequence)[r % size]),
                        Pool::Mean => {
                            let mean = (0..length).map(h).sum::<f64>() / length as f64;
                            prop_assert!((found - mean).abs() < 1e-15);
                        }
                        Pool::Max => prop_assert_eq!(found, (0..length).map(h).fold(f64::MIN, f64::max)),
                    }
                }
            }
        }
    }
}

#[test]
fn bits_depend_on_neither_level_nor_threads() {
    for (pool, bidirectional) in Pool::ALL.into_iter().zip([true, false, true]) {
        let config = ManyToOneConfig {
            input: InputConfig::Tokens {
                vocabulary_size: 40,
                encoding: TokenEncoding::Embedding(6),
            },
            stack: StackConfig {
                cell: CellKind::Gru,
                hidden_size: 37,
                num_layers: 2,
                bidirectional,
                dropout: 0.2,
                regularization: Regularization::NONE,
            },
            pool,
            output_size: 5,
        };
        let (model, parameters) = build::<f32>(&config, 5);
        let lengths: Vec<usize> = (0..50).map(|k| 1 + k * 7 % 13).collect();
        let sequences = Sequences::draw(&mut Generator::new(5, 0), config.input, &lengths);
        let (x, lengths) = (sequences.arrange(), sequences.lengths());
        let noise = Some(Noise { seed: 3, first_step: 9 });
        hold_bits(|compute| {
            let (mut tape, mut gradients) = (ManyToOneTape::default(), parameters.zeros_like());
            let recorded =
                model.forward(compute, &parameters, x.reading(), &lengths, noise, &mut tape);
            let y = recorded.outputs();
            let y = Matrix::from_fn(y.rows(), y.columns(), |r, j| y.column(j)[r]);
            // The outputs as their own gradient: that of half their squares.
            model.backward(recorded, compute, &parameters, &mut gradients, &());
            (y, gradients)
        });
    }
}

#[test]
fn the_parameters_have_the_names_of_many_to_many() {
    let config = ManyToOneConfig {
        input: InputConfig::Tokens { vocabulary_size: 5, encoding: TokenEncoding::Embedding(2) },
        stack: StackConfig {
            cell: CellKind::RnnTanh,
            hidden_size: 3,
            num_layers: 1,
            bidirectional: true,
            dropout: 0.0,
            regularization: Regularization::NONE,
        },
        pool: Pool::Last,
        output_size: 4,
    };
    let model = config.build().unwrap();
    let names: Vec<&str> = model.layout().entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names[..2], ["embedding.weight", "rnn.weight_ih_l0"]);
    assert_eq!(names[5], "rnn.weight_ih_l0_reverse");
    assert_eq!(names[names.len() - 2..], ["readout.weight", "readout.bias"]);
    let refused = |config: ManyToOneConfig| config.build().unwrap_err().to_string();
    let message = refused(ManyToOneConfig { output_size: 0, ..config.clone() });
    assert_eq!(message, "output size must be at least 1");
    let message = refused(ManyToOneConfig { output_size: usize::MAX, ..config });
    assert_eq!(message, "a model of these sizes has too many parameters");
}
