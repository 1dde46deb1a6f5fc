//! What is typed, what stands in a file, and what becomes of both.

use recurrent_cells::initialize::Initialization;
use recurrent_topologies::TokenEncoding;

use super::*;
use crate::tasks::language_model::Settings;
use crate::tasks::{LanguageModel, Task};

fn settings(options: &Options) -> anyhow::Result<Settings> {
    LanguageModel::settings(&options.clone().or_default(LanguageModel::defaults())?)
}

#[test]
fn what_is_typed_wins_and_a_file_round_trips() {
    let file = Options::parse("hidden-size = 64\ncell = \"gru\"\none-hot = true\n").unwrap();
    let typed = Options { hidden_size: Some(32), ..Options::default() };
    let both = typed.or(file).unwrap();
    assert_eq!(both.hidden_size, Some(32));
    assert_eq!(both.cell, Some(CellKind::Gru));
    let text = toml::to_string(&both).unwrap();
    assert_eq!(Options::parse(&text).unwrap(), both);
    assert_eq!(settings(&both).unwrap().tokens.encoding, TokenEncoding::OneHot);
}

#[test]
fn no_option_of_a_file_is_lost() {
    // Without `..`, so that a new option must be named here too.
    let file = Options {
        data: Some("data".into()),
        valid: Some("valid".into()),
        columns: Some(vec!["a".into(), "2".into()]),
        no_header: true,
        tokens: Some(TokenKind::Word),
        min_count: Some(2),
        max_length: Some(25),
        embeddings: Some("vectors".into()),
        bidirectional: true,
        cell: Some(CellKind::Gru),
        hidden_size: Some(3),
        num_layers: Some(4),
        embedding_size: Some(5),
        one_hot: true,
        dropout: Some(0.6),
        embedding_dropout: Some(0.61),
        input_dropout: Some(0.62),
        output_dropout: Some(0.63),
        variational: true,
        weight_dropout: Some(0.64),
        zoneout: Some(0.65),
        zoneout_cell: Some(0.66),
        regularize_gradients: Some(0.67),
        init: Some(InitKind::Orthogonal),
        pool: Some(Pool::Max),
        attention: Some(AttentionKind::General),
        input_feeding: true,
        reverse_source: true,
        condition: Some(Condition::EveryStep),
        fusion: Some(FusionKind::Concat),
        horizon: Some(27),
        window: Some(28),
        season: Some(29),
        topology: Some(TopologyKind::EncoderDecoder),
        feed: Some(FeedKind::Truth),
        teacher_forcing: Some(0.25),
        forcing_schedule: Some(ForcingKind::Linear),
        forcing_steps: Some(26),
        forget_bias: Some(0.7),
        epochs: Some(8),
        steps: Some(9),
        batch_size: Some(10),
        sequence_length: Some(11),
        backward_steps: Some(30),
        document_end: Some("end".into()),
        stream: true,
        learning_rate: Some(0.12),
        optimizer: Some(OptimizerKind::Sgd),
        momentum: Some(0.13),
        nesterov: true,
        weight_decay: Some(0.14),
        average_after: Some(15),
        schedule: Some(ScheduleKind::Step),
        warm_up: Some(16),
        decay: Some(0.17),
        decay_every: Some(18),
        plateau_patience: Some(19),
        patience: Some(20),
        clip_value: Some(Limit::Most(21.0)),
        clip_norm: Some(Limit::None),
        seed: Some(22),
        threads: Some(23),
        checkpoint_every: Some(24),
        keep_last: Some(2),
        watch_gradients: Some(31),
        task: Some("task".into()),
    };
    assert_eq!(Options::default().or(file.clone()).unwrap(), file);
    assert_eq!(Options::parse(&toml::to_string(&file).unwrap()).unwrap(), file);
    let typed = Options { momentum: Some(0.5), clip_norm: Some(Limit::Most(1.0)), ..file.clone() };
    assert_eq!(typed.clone().or(file).unwrap(), typed);
}

#[test]
fn a_rate_of_adam_is_not_one_of_descent() {
    let rate = |text: &str| settings(&Options::parse(text).unwrap()).unwrap().learning;
    assert_eq!(rate("").learning_rate, 0.002);
    assert_eq!(rate("optimizer = \"nt-asgd\"").learning_rate, 1.0);
    assert_eq!(rate("optimizer = \"sgd\"\nlearning-rate = 3").learning_rate, 3.0);
}

#[test]
fn what_a_task_does_not_know_is_refused_by_name() {
    let options = Options { no_header: true, epochs: Some(3), ..Options::default() };
    let error = options.require_known("classify", |name| name == "epochs").unwrap_err();
    assert!(error.is::<UsageError>());
    assert_eq!(error.to_string(), "--no-header: classify has no such option; drop it");
    assert!(options.require_known("x", |name| ["epochs", "no-header"].contains(&name)).is_ok());
}

#[test]
fn a_wrong_file_is_named_by_line() {
    let message = Options::parse("seed = 1\nhiden-size = 64\n").unwrap_err().to_string();
    assert!(message.starts_with("line 2: unknown field `hiden-size`"), "{message}");
    let message = Options::parse("seed = 1\nepochs = \"many\"\n").unwrap_err().to_string();
    assert_eq!(message, "line 2: invalid type: string \"many\", expected a whole number");
}

/// `resume` compares what a checkpoint holds with what the options say.
#[test]
fn settings_come_back_from_a_checkpoint_bit_for_bit() {
    for weight_decay in [0.000_479_581_553_720_430_43, 1e-23, 0.1 + 0.2, 5e-324, 1.0 / 3.0] {
        let clip_norm = Some(Limit::Most(3e37 * (1.0 + weight_decay)));
        let weight_decay = Some(weight_decay);
        let options = Options { weight_decay, clip_norm, ..Options::default() };
        let settings = settings(&options).unwrap();
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }
}

#[test]
fn a_message_about_a_file_is_a_line_whatever_the_file_holds() {
    let refused = |text: &str| Options::parse(text).unwrap_err().to_string();
    let message = refused("cell = \"\"\"u\nv\"\"\"");
    assert!(message.starts_with("line 1: unknown variant `u\\nv`, expected"), "{message}");
    assert!(refused(&format!("cell = \"{}\"", "u".repeat(9_999))).len() < 600);
}

#[test]
fn a_number_that_toml_has_not_is_named() {
    for text in ["seed = 9223372036854775808", "forcing-steps = 18446744073709551615"] {
        let options = Options::parse(text).unwrap();
        let message = options.or_default(LanguageModel::defaults()).unwrap_err().to_string();
        let name = text.split(' ').next().unwrap();
        assert_eq!(message, format!("--{name} must be at most 9223372036854775807"));
    }
    assert!(Options::parse("seed = 9223372036854775807").unwrap().table().is_ok());
}

#[test]
fn initial_values_reach_the_settings() {
    let begin = |init, forget_bias| {
        let options = Options { init, forget_bias, ..Options::default() };
        settings(&options).unwrap()
    };
    assert_eq!(begin(None, None).network.initialization, Initialization::Uniform);
    let orthogonal = begin(Some(InitKind::Orthogonal), Some(1.5));
    assert_eq!(orthogonal.network.initialization, Initialization::Orthogonal);
    assert_eq!(orthogonal.network.forget_bias, Some(1.5));
    let chrono = begin(Some(InitKind::Chrono), None).network.initialization;
    assert_eq!(chrono, Initialization::Chrono { steps: 64 });
}

#[test]
fn numbers_out_of_range_are_wrong_usage() {
    let refused = |options: Options| {
        let error = settings(&options).unwrap_err();
        assert!(error.is::<UsageError>());
        error.to_string()
    };
    let hidden_size = Some(0);
    let message = refused(Options { hidden_size, ..Options::default() });
    assert_eq!(message, "hidden size must be at least 1");
    let message = refused(Options { batch_size: Some(0), ..Options::default() });
    assert_eq!(message, "the batch size must be at least 1");
    let message = refused(Options { learning_rate: Some(-1.0), ..Options::default() });
    assert_eq!(message, "the learning rate must be finite and at least 0, not -1");
    let cell = Some(CellKind::Gru);
    let message = refused(Options { cell, forget_bias: Some(1.0), ..Options::default() });
    assert_eq!(message, "--forget-bias: a gru has no forget gate");
    for clip_norm in [f64::INFINITY, f64::NAN, 0.0] {
        let clip_norm = Some(Limit::Most(clip_norm));
        let message = refused(Options { clip_norm, ..Options::default() });
        assert!(message.starts_with("the clip norm must be above 0 and finite"), "{message}");
    }
    let init = Some(InitKind::Identity);
    let message = refused(Options { init, ..Options::default() });
    let cells = "rnn-tanh, rnn-relu and rnn-identity";
    assert_eq!(message, format!("--init: identity is for {cells}; the cell is lstm"));
    let init = Some(InitKind::Chrono);
    let message = refused(Options { init, sequence_length: Some(2), ..Options::default() });
    let expected = "--init: chrono needs at least 3 steps to remember, not 2; the cell is lstm";
    assert_eq!(message, expected);
    let message = refused(Options { init, forget_bias: Some(1.0), ..Options::default() });
    let expected = "--forget-bias: --init chrono sets it already; drop one of them";
    assert_eq!(message, expected);
}
