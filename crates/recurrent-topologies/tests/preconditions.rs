//! What does not fit is refused at the door, with what was given and what is needed.

use std::sync::Arc;

use recurrent_cells::{
    CellKind, Gru, Layout, Lstm, LstmOptions, Nonlinearity, Parameters, Rnn, RnnOptions,
};
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    DecoderStream, Directions, Input, InputConfig, InputGradient, Lengths, ManyToManyConfig,
    Regularization, Stack, StackConfig, StackOptions, StackStream, Tape, TokenEncoding,
    TokenStream,
};

const REVERSE: StackOptions = StackOptions {
    dropout: 0.0,
    directions: Directions::Both,
    learned_initial_state: false,
    regularization: Regularization::NONE,
};

fn stack(options: StackOptions) -> (Stack<Lstm>, Parameters<f32>) {
    let mut layout = Layout::new();
    let stack = Stack::add(&mut layout, "", vec![Lstm::new(2, 3)], options);
    (stack, Parameters::zeros(Arc::new(layout)))
}

#[test]
#[should_panic(expected = "layer 0 gives 6 numbers, layer 1 reads 3")]
fn a_layer_above_two_directions_reads_both() {
    Stack::add(&mut Layout::new(), "", vec![Lstm::new(2, 3), Lstm::new(3, 3)], REVERSE);
}

#[test]
#[should_panic(expected = "a dropout of 1 is not in [0, 1)")]
fn all_cannot_be_dropped() {
    stack(StackOptions { dropout: 1.0, ..StackOptions::default() });
}

#[test]
#[should_panic(expected = "a stack that reads in reverse cannot go step by step")]
fn step_by_step_goes_forward_only() {
    let (stack, parameters) = stack(REVERSE);
    let (compute, lengths, mut tape) = (Compute::sequential(), Lengths::equal(1, 2), Tape::new());
    stack.begin(&compute, &parameters, &stack.zero_state(1), &lengths, None, &mut tape);
}

#[test]
#[should_panic(expected = "a stack that reads in reverse cannot go step by step")]
fn a_stream_goes_forward_only() {
    let (stack, parameters) = stack(REVERSE);
    StackStream::new(&Compute::sequential(), &stack, &parameters, 1);
}

fn many_to_many(input: InputConfig, bidirectional: bool) -> DecoderStream<f32> {
    let (cell, hidden_size) = (CellKind::Gru, 3);
    let stack = StackConfig {
        cell,
        hidden_size,
        num_layers: 1,
        bidirectional,
        dropout: 0.0,
        regularization: Regularization::NONE,
    };
    let model = ManyToManyConfig { input, stack, output_size: 2 }.build().unwrap();
    model.stream(&Compute::sequential(), Parameters::zeros(model.layout().clone()), 2)
}

const TOKENS: InputConfig =
    InputConfig::Tokens { vocabulary_size: 5, encoding: TokenEncoding::OneHot };

#[test]
#[should_panic(expected = "a stream over tokens of a model that reads vectors")]
fn a_stream_over_tokens_reads_no_vectors() {
    many_to_many(InputConfig::Vectors { size: 2 }, false);
}

#[test]
#[should_panic(expected = "a stack that reads in reverse cannot go step by step")]
fn a_whole_model_streams_forward_only() {
    many_to_many(TOKENS, true);
}

/// A tagger knows more words than tags.
#[test]
#[should_panic(expected = "token 5 at column 1 is outside a vocabulary of 5")]
fn a_stream_reads_every_token_and_no_other() {
    let mut stream = many_to_many(TOKENS, false);
    assert_eq!(stream.step(&[4, 3]).rows(), 2);
    stream.step(&[4, 5]);
}

#[test]
#[should_panic(expected = "1 tokens were given to a stream of 2 sequences")]
fn a_stream_reads_a_token_of_each_sequence() {
    many_to_many(TOKENS, false).step(&[1]);
}

#[test]
#[should_panic(expected = "no document can begin before step 2 of a sequence of 2 steps")]
fn documents_begin_inside_their_sequence() {
    let _ = Lengths::new(&[3, 2]).with_resets(&[(0, 2), (1, 2)]);
}

#[test]
#[should_panic(expected = "there is no sequence 2 in a batch of 2")]
fn documents_begin_in_sequences_that_are_there() {
    let _ = Lengths::new(&[3, 2]).with_resets(&[(2, 1)]);
}

#[test]
#[should_panic(expected = "a clip of 0 is not above 0 and finite")]
fn a_clip_lets_something_through() {
    Rnn::with_options(
        2,
        3,
        Nonlinearity::Tanh,
        RnnOptions { clip: Some(0.0), ..Default::default() },
    );
}

#[test]
#[should_panic(expected = "a projection to no number")]
fn a_projection_gives_numbers() {
    let options = LstmOptions { proj_size: Some(0), ..LstmOptions::default() };
    Lstm::with_options(2, 3, options);
}

#[test]
#[should_panic(expected = "the tape was recorded by another stack")]
fn a_tape_goes_back_where_it_came_from() {
    let (forward, parameters) = stack(StackOptions::default());
    let mut layout = Layout::new();
    let other = Stack::add(&mut layout, "", vec![Gru::new(2, 3)], StackOptions::default());
    let others: Parameters<f32> = Parameters::zeros(Arc::new(layout));
    let (compute, lengths, mut tape) = (Compute::sequential(), Lengths::equal(1, 2), Tape::new());
    let x = Matrix::zeros(2, 2);
    let (input, zero) = (Input::Columns(x.as_ref()), forward.zero_state(1));
    let recorded = forward.run(&compute, &parameters, input, &zero, &lengths, None, &mut tape);
    let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
    let mut gradients = others.zeros_like();
    let _ = other.run_backward(recorded.turn(), &compute, &others, input, &mut gradients, &());
}

/// A tape that was used for another number of directions gives states with this stack's names.
#[test]
fn a_used_tape_gives_states_of_this_stack() {
    let mut layout = Layout::new();
    let cells = vec![Lstm::new(2, 3), Lstm::new(3, 3)];
    let deep = Stack::add(&mut layout, "", cells, StackOptions::default());
    let deep_parameters = Parameters::zeros(Arc::new(layout));
    let (wide, parameters) = stack(REVERSE);
    let (compute, lengths, mut tape) = (Compute::sequential(), Lengths::equal(1, 2), Tape::new());
    let x = Matrix::<f32>::zeros(2, 2);
    let input = Input::Columns(x.as_ref());
    let zero = deep.zero_state(1);
    let _ = deep.run(&compute, &deep_parameters, input, &zero, &lengths, None, &mut tape);
    let zero = wide.zero_state(1);
    let recorded = wide.run(&compute, &parameters, input, &zero, &lengths, None, &mut tape);
    let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
    let mut gradients = parameters.zeros_like();
    let turned = recorded.turn();
    let reversed = wide.run_backward(turned, &compute, &parameters, input, &mut gradients, &());
    let state = reversed.initial_state_gradient();
    let mut names = Vec::new();
    state.visit(|name, _| names.push(name.to_string()));
    assert_eq!(names, ["h_l0", "c_l0", "h_l0_reverse", "c_l0_reverse"]);
    assert_eq!(state, wide.zero_state(1));
}
