//! The table of tokens gives the bits of the long way, in one direction and in both.

use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::Compute;
use recurrent_kernels::random::Generator;
use recurrent_topologies::{
    InputConfig, Lengths, ManyToManyConfig, ManyToManyTape, Reading, Regularization, StackConfig,
    TokenEncoding,
};

/// With 5 tokens of a vocabulary of 9 vectors are looked up and multiplied; with four times as many
/// the products of all tokens are made first and looked up.
#[test]
fn a_large_batch_has_the_bits_of_a_small_one() {
    let sequence = vec![3, 0, 8, 3, 5];
    for cell in CellKind::ALL {
        for bidirectional in [false, true] {
            let config = ManyToManyConfig {
                input: InputConfig::Tokens {
                    vocabulary_size: 9,
                    encoding: TokenEncoding::Embedding(6),
                },
                stack: StackConfig {
                    cell,
                    hidden_size: 7,
                    num_layers: 2,
                    bidirectional,
                    dropout: 0.0,
                    regularization: Regularization::NONE,
                },
                output_size: 4,
            };
            let model = config.build().unwrap();
            let mut generator = Generator::new(1, 0);
            let parameters: Parameters<f32> =
                model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
            let run = |copies: usize| {
                let lengths = Lengths::equal(copies, sequence.len());
                let tokens = lengths.arrange(&vec![sequence.clone(); copies]);
                let (state, compute) = (model.zero_state(copies), Compute::sequential());
                let mut tape = ManyToManyTape::default();
                let recorded = model.forward(
                    &compute,
                    &parameters,
                    Reading::Tokens(&tokens),
                    &state,
                    &lengths,
                    None,
                    &mut tape,
                );
                let column = |t| recorded.logits().column(lengths.column(copies - 1, t)).to_vec();
                (0..sequence.len()).map(column).collect::<Vec<_>>()
            };
            assert_eq!(run(4), run(1), "{}, both ways: {bidirectional}", cell.name());
        }
    }
}
