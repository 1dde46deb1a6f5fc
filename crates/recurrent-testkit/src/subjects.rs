//! The cells of `recurrent-cells`, each with its options, as subjects of the suite.

use recurrent_cells::{
    AnyCell, Biases, Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Reset, Rnn, RnnOptions,
};

use crate::oracle::{gru_step, lstm_step, rnn_step};
use crate::suite::Subject;

/// A function that gives a subject: its cell, its options, and whether it has kinks.
macro_rules! subjects {
    ($($(#[$doc:meta])* $name:ident: $kind:ident($($option:tt)*), $kinks:expr;)+) => {
        $($(#[$doc])*
        pub fn $name() -> Subject<AnyCell> {
            subjects!(@$kind stringify!($name), $kinks, $($option)*)
        })+

        /// All of them.
        pub fn all() -> Vec<Subject<AnyCell>> {
            vec![$($name()),+]
        }
    };
    (@rnn $name:expr, $kinks:expr, $nonlinearity:ident $(, $field:ident: $value:expr)*) => {{
        #[allow(clippy::needless_update)] // some subject sets every field
        const OPTIONS: RnnOptions =
            RnnOptions { $($field: $value,)* ..RnnOptions { clip: None, biases: Biases::Two } };
        const F: Nonlinearity = Nonlinearity::$nonlinearity;
        Subject {
            name: $name,
            cell: |input, hidden| Rnn::with_options(input, hidden, F, OPTIONS).into(),
            oracle: |weights, x, h, _| rnn_step(F, OPTIONS, weights, x, h),
            has_kinks: $kinks,
            seed: 0,
        }
    }};
    (@lstm $name:expr, $kinks:expr, $($field:ident: $value:expr),*) => {{
        #[allow(clippy::needless_update)] // some subject sets every field
        const OPTIONS: LstmOptions = LstmOptions {
            $($field: $value,)*
            ..LstmOptions {
                peephole: false,
                coupled: false,
                clip: None,
                proj_size: None,
                layer_norm: false,
                biases: Biases::Two,
            }
        };
        Subject {
            name: $name,
            cell: |input, hidden| Lstm::with_options(input, hidden, OPTIONS).into(),
            oracle: |weights, x, h, c| lstm_step(OPTIONS, weights, x, h, c),
            has_kinks: $kinks,
            seed: 0,
        }
    }};
    // Of few units the standard deviation may be near 0, and what is divided by it bends faster than
    // differences can follow.
    (@normed $name:expr, $kinks:expr, $($field:ident: $value:expr),*) => {
        Subject {
            cell: |input, hidden| {
                let options =
                    LstmOptions { layer_norm: true, $($field: $value,)* ..LstmOptions::default() };
                Lstm::with_options(input, hidden + 5, options).into()
            },
            ..subjects!(@lstm $name, $kinks, layer_norm: true $(, $field: $value)*)
        }
    };
    (@gru $name:expr, $kinks:expr, $($field:ident: $value:expr),*) => {{
        #[allow(clippy::needless_update)] // some subject sets every field
        const OPTIONS: GruOptions = GruOptions {
            $($field: $value,)*
            ..GruOptions { reset: Reset::After, clip: None, biases: Biases::Two }
        };
        Subject {
            name: $name,
            cell: |input, hidden| Gru::with_options(input, hidden, OPTIONS).into(),
            oracle: |weights, x, h, _| gru_step(OPTIONS, weights, x, h),
            has_kinks: $kinks,
            seed: 0,
        }
    }};
}

subjects! {
    /// The vanilla network.
    rnn_tanh: rnn(Tanh), false;
    /// With one bias.
    rnn_tanh_one_bias: rnn(Tanh, biases: Biases::One), false;
    /// Without a bias.
    rnn_tanh_no_bias: rnn(Tanh, biases: Biases::None), false;
    /// With pre-activations clipped.
    rnn_tanh_clip: rnn(Tanh, clip: Some(0.7)), true;
    /// With relu.
    rnn_relu: rnn(Relu), true;
    /// With relu and a clip.
    rnn_relu_clip: rnn(Relu, clip: Some(0.7)), true;
    /// Without an activation.
    rnn_identity: rnn(Identity), false;
    /// PyTorch's LSTM.
    lstm: lstm(), false;
    /// With one bias.
    lstm_one_bias: lstm(biases: Biases::One), false;
    /// Without a bias.
    lstm_no_bias: lstm(biases: Biases::None), false;
    /// With peepholes.
    lstm_peephole: lstm(peephole: true), false;
    /// With the forget gate coupled to the input gate.
    lstm_coupled: lstm(coupled: true), false;
    /// With pre-activations clipped.
    lstm_clip: lstm(clip: Some(0.7)), true;
    /// With h projected to three numbers.
    lstm_projection: lstm(proj_size: Some(3)), false;
    /// With every option at once.
    lstm_everything: lstm(
        peephole: true, coupled: true, clip: Some(0.7), proj_size: Some(3), biases: Biases::One
    ), true;
    /// With peepholes, a clip and a projection, the forget gate its own.
    lstm_peephole_clip_projection: lstm(peephole: true, clip: Some(0.7), proj_size: Some(5)), true;
    /// With layer normalisation.
    lstm_layer_norm: normed(), false;
    /// The same without a bias.
    lstm_layer_norm_no_bias: normed(biases: Biases::None), false;
    /// PyTorch's GRU: the reset after the product.
    gru: gru(), false;
    /// With one bias.
    gru_one_bias: gru(biases: Biases::One), false;
    /// With pre-activations clipped.
    gru_clip: gru(clip: Some(0.7)), true;
    /// With the reset before the product: ONNX's default.
    gru_reset_before: gru(reset: Reset::Before), false;
    /// The same without a bias and with a clip.
    gru_reset_before_no_bias_clip: gru(
        reset: Reset::Before, biases: Biases::None, clip: Some(0.7)
    ), true;
}
