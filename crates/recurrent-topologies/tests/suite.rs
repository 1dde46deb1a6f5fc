//! Every cell with every option through the whole suite: see `recurrent_testkit::suite`.

use recurrent_testkit::subjects;

/// Stamps the suite over subjects, and keeps their names.
macro_rules! suites {
    ($($name:ident),+ $(,)?) => {
        recurrent_testkit::cell_suite! { $($name: subjects::$name();)+ }
        const STAMPED: &[&str] = &[$(stringify!($name)),+];
    };
}

suites! {
    rnn_tanh,
    rnn_tanh_one_bias,
    rnn_tanh_no_bias,
    rnn_tanh_clip,
    rnn_relu,
    rnn_relu_clip,
    rnn_identity,
    lstm,
    lstm_one_bias,
    lstm_no_bias,
    lstm_peephole,
    lstm_coupled,
    lstm_clip,
    lstm_projection,
    lstm_everything,
    lstm_peephole_clip_projection,
    lstm_layer_norm,
    lstm_layer_norm_no_bias,
    gru,
    gru_one_bias,
    gru_clip,
    gru_reset_before,
    gru_reset_before_no_bias_clip,
}

#[test]
fn no_subject_is_left_out() {
    let names: Vec<&str> = subjects::all().iter().map(|subject| subject.name).collect();
    assert_eq!(names, STAMPED);
}
