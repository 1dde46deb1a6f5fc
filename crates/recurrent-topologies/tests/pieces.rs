//! A readout in pieces says and learns what one of all columns at once does.

use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::loss::{IGNORED, softmax_cross_entropy};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Real};
use recurrent_topologies::{
    InputConfig, Lengths, ManyToMany, ManyToManyConfig, ManyToManyTape, Reading, Regularization,
    StackConfig, TokenEncoding,
};

const VOCABULARY: usize = 23;

fn model() -> ManyToMany {
    let encoding = TokenEncoding::Embedding(6);
    let config = ManyToManyConfig {
        input: InputConfig::Tokens { vocabulary_size: VOCABULARY, encoding },
        stack: StackConfig {
            cell: CellKind::Gru,
            hidden_size: 9,
            num_layers: 2,
            bidirectional: false,
            dropout: 0.0,
            regularization: Regularization::NONE,
        },
        output_size: VOCABULARY,
    };
    config.build().unwrap()
}

/// Ragged sequences of more than 1,024 columns together, and what is to be said at each.
struct Case<T> {
    model: ManyToMany,
    parameters: Parameters<T>,
    lengths: Lengths,
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl<T: Real> Case<T> {
    fn new() -> Self {
        let (model, mut generator) = (model(), Generator::new(3, 0));
        let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
        let lengths: Vec<usize> = (0..40).map(|_| 1 + generator.below(60) as usize).collect();
        let lengths = Lengths::new(&lengths);
        let mut draw = || generator.below(VOCABULARY as u64) as u32;
        let tokens: Vec<u32> = (0..lengths.columns()).map(|_| draw()).collect();
        let mut targets: Vec<u32> = tokens.iter().map(|_| draw()).collect();
        targets.iter_mut().step_by(17).for_each(|target| *target = IGNORED);
        assert!(lengths.columns() > 1024);
        Case { model, parameters, lengths, tokens, targets }
    }

    /// Losses and gradients, the logits made in pieces of `together` columns; `None`: by `forward` and
    /// `backward`.
    fn learn(&self, compute: &Compute, together: Option<usize>) -> (Vec<f64>, Vec<T>) {
        let Case { model, parameters, lengths, tokens, targets } = self;
        let (mut tape, mut gradients) = (ManyToManyTape::default(), parameters.zeros_like());
        let (state, reading) = (model.zero_state(lengths.batch()), Reading::Tokens(tokens));
        let mut losses = vec![0.0; tokens.len()];
        let scale = T::from_f64(0.01);
        match together {
            None => {
                let mut recorded =
                    model.forward(compute, parameters, reading, &state, lengths, None, &mut tape);
                softmax_cross_entropy(compute, recorded.logits_mut(), targets, scale, &mut losses);
                model.backward(recorded, compute, parameters, &mut gradients, &());
            }
            Some(together) => {
                let hidden = model
                    .forward_hidden(compute, parameters, reading, &state, lengths, None, &mut tape);
                let gradients = &mut gradients;
                model.backward_from_hidden(
                    hidden,
                    compute,
                    parameters,
                    gradients,
                    &(),
                    together,
                    |columns, logits| {
                        let (targets, losses) = (&targets[columns.clone()], &mut losses[columns]);
                        softmax_cross_entropy(compute, logits, targets, scale, losses);
                    },
                );
            }
        }
        (losses, gradients.as_slice().to_vec())
    }
}

#[test]
fn one_piece_has_the_bits_of_the_whole_and_pieces_those_of_any_number_of_threads() {
    let case = Case::<f32>::new();
    let compute = [1, 2].map(|threads| Compute::new(threads).unwrap());
    let whole = case.learn(&compute[0], None);
    assert!(case.learn(&compute[1], Some(1 << 20)) == whole);
    let pieces = case.learn(&compute[0], Some(512));
    assert!(pieces.0 == whole.0, "losses know nothing of pieces");
    assert!(case.learn(&compute[1], Some(512)) == pieces);
}

#[test]
fn pieces_of_any_size_give_the_gradient() {
    let case = Case::<f64>::new();
    let (losses, gradients) = case.learn(&Compute::sequential(), None);
    for together in [1, 7, 100] {
        let pieces = case.learn(&Compute::sequential(), Some(together));
        assert_eq!(pieces.0, losses, "{together} columns together");
        for (piece, whole) in pieces.1.iter().zip(&gradients) {
            let distance = (piece - whole).abs();
            assert!(distance <= 1e-14 + 1e-12 * whole.abs(), "{piece} and not {whole}");
        }
    }
}

#[test]
fn what_is_said_in_pieces_is_what_is_said() {
    let Case { model, parameters, lengths, tokens, .. } = Case::<f32>::new();
    let (compute, state) = (Compute::sequential(), model.zero_state(lengths.batch()));
    let (reading, mut tapes) =
        (Reading::Tokens(&tokens), [(); 2].map(|()| ManyToManyTape::default()));
    let [first, second] = &mut tapes;
    let whole = model.forward(&compute, &parameters, reading, &state, &lengths, None, first);
    let mut hidden =
        model.forward_hidden(&compute, &parameters, reading, &state, &lengths, None, second);
    let mut said = 0;
    hidden.say(&compute, 100, |columns, logits| {
        assert_eq!(columns.start, said);
        for (index, j) in columns.clone().enumerate() {
            assert_eq!(logits.as_ref().column(index), whole.logits().column(j), "column {j}");
        }
        said = columns.end;
    });
    assert_eq!(said, lengths.columns());
}
