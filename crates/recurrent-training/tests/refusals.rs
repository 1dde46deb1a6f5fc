//! What an objective cannot carry is refused: documents that begin in the middle of what is read or
//! written as a whole, and tokens to be ignored where a decoder would have to read them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::loss::IGNORED;
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{
    Condition, EncoderDecoderConfig, Fusion, ImageAnswererConfig, ImageCaptionerConfig,
    ImageInputConfig, InputConfig, Lengths, ManyToOneConfig, OneToManyConfig, Pool, Regularization,
    SeriesFeed, SeriesForecasterConfig, StackConfig, TokenEncoding,
};
use recurrent_training::{
    AnswerBatch, CaptionBatch, EncoderDecoderBatch, EncoderDecoderObjective, Feed,
    ImageAnswererObjective, ImageCaptionerObjective, Labelled, ManyToOneObjective, Objective,
    OneToManyBatch, OneToManyObjective, SeriesForecasterObjective, SeriesWindows, Sources, Targets,
    TeacherForcing,
};

const VOCABULARY: usize = 5;
const TOKENS: InputConfig =
    InputConfig::Tokens { vocabulary_size: VOCABULARY, encoding: TokenEncoding::Embedding(3) };
const STACK: StackConfig = StackConfig {
    cell: CellKind::Gru,
    hidden_size: 3,
    num_layers: 1,
    bidirectional: false,
    dropout: 0.0,
    regularization: Regularization::NONE,
};
const IMAGE: ImageInputConfig = ImageInputConfig::Features { size: 2, normalize: false };
const UNIFORM: Initialization = Initialization::Uniform;
const HALF: Feed = Feed::Truth { teacher_forcing: TeacherForcing::Constant { ratio: 0.5 } };
const FEEDS: [Feed; 4] = [Feed::Dummy, Feed::Output, Feed::TRUTH, HALF];

/// Two sequences; with `broken` a document begins in the middle of the second.
fn lengths(broken: bool) -> Lengths {
    let lengths = Lengths::new(&[2, 3]);
    if broken { lengths.with_resets(&[(1, 1)]) } else { lengths }
}

fn targets(broken: bool) -> Targets {
    let targets = Targets::new(&[vec![1, 2], vec![3, 4, 1]], 0);
    Targets { lengths: lengths(broken), ..targets }
}

fn sources() -> Sources<f32> {
    Sources::Tokens(vec![1, 2, 3, 4, 1])
}

fn columns(count: usize) -> Matrix<f32> {
    Matrix::from_fn(2, count, |r, j| (r + 2 * j) as f32 * 0.1)
}

/// What a panic says, if there is one.
fn said<R>(f: impl FnOnce() -> R) -> Option<String> {
    let caught = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = caught.downcast_ref::<String>().cloned();
    Some(text.unwrap_or_else(|| "a panic without a message".to_string()))
}

/// Neither a step nor an evaluation takes `broken`, and each says `message`; both take `whole`.
fn holds<O: Objective<f32>>(
    mut objective: O,
    parameters: &Parameters<f32>,
    [whole, broken]: [O::Batch; 2],
    message: &str,
) {
    let compute = Compute::sequential();
    let mut gradients = parameters.zeros_like();
    for (batch, message) in [(&whole, None), (&broken, Some(message.to_string()))] {
        let step = said(|| {
            objective.gradients(&compute, parameters, batch, 0, &mut gradients, &());
        });
        assert_eq!(step, message, "a step");
        let evaluation = said(|| objective.evaluate(&compute, parameters, batch));
        assert_eq!(evaluation, message, "an evaluation");
    }
}

fn document(of: &str) -> String {
    format!("no document can begin in the middle of {of}")
}

#[test]
fn what_is_read_as_a_whole_has_no_documents() {
    let generator = &mut Generator::new(1, 0);
    let labelled =
        |broken| Labelled { inputs: sources(), lengths: lengths(broken), labels: vec![0, 1] };
    let vector = document("a sequence that becomes one vector");
    for pool in Pool::ALL {
        let config = ManyToOneConfig { input: TOKENS, stack: STACK, pool, output_size: 2 };
        let model = config.build().unwrap();
        let parameters = model.initialize(generator, UNIFORM, None).unwrap();
        let batches = [false, true].map(labelled);
        holds(ManyToOneObjective::new(model, 1), &parameters, batches, &vector);
    }

    let config = ImageAnswererConfig {
        image: IMAGE,
        question: TOKENS,
        stack: STACK,
        fusion: Fusion::Sum,
        fused_size: 3,
        hidden_layer: Some(3),
        classes: 2,
    };
    let model = config.build().unwrap();
    let parameters = model.initialize(generator, UNIFORM, None).unwrap();
    let batches =
        [false, true].map(|broken| AnswerBatch { images: columns(2), questions: labelled(broken) });
    holds(ImageAnswererObjective::new(model, 1), &parameters, batches, &vector);

    for feed in SeriesFeed::ALL {
        let config = SeriesForecasterConfig { columns: 2, stack: STACK, horizon: 2, feed };
        let model = config.build().unwrap();
        let parameters = model.initialize(generator, UNIFORM, None).unwrap();
        let batches = [false, true].map(|broken| SeriesWindows {
            x: columns(5),
            targets: columns(4),
            lengths: lengths(broken),
        });
        let window = document("a window");
        holds(SeriesForecasterObjective::new(model, 1), &parameters, batches, &window);
    }
}

fn writer(condition: Condition) -> OneToManyConfig {
    OneToManyConfig {
        condition_size: 2,
        condition,
        vocabulary_size: VOCABULARY,
        encoding: TokenEncoding::OneHot,
        stack: STACK,
    }
}

#[test]
fn what_is_written_has_no_documents() {
    let generator = &mut Generator::new(1, 0);
    let written = document("what is written");
    for feed in FEEDS {
        for condition in Condition::ALL {
            let model = writer(condition).build().unwrap();
            let parameters = model.initialize(generator, UNIFORM, None).unwrap();
            let batches = [false, true]
                .map(|broken| OneToManyBatch { condition: columns(2), targets: targets(broken) });
            holds(OneToManyObjective::new(model, feed, 1), &parameters, batches, &written);

            let (image, vocabulary_size) = (IMAGE, VOCABULARY);
            let (encoding, stack) = (TokenEncoding::OneHot, STACK);
            let config =
                ImageCaptionerConfig { image, condition, vocabulary_size, encoding, stack };
            let model = config.build().unwrap();
            let parameters = model.initialize(generator, UNIFORM, None).unwrap();
            let batches = [false, true]
                .map(|broken| CaptionBatch { images: columns(2), targets: targets(broken) });
            holds(ImageCaptionerObjective::new(model, feed, 1), &parameters, batches, &written);
        }

        let config = EncoderDecoderConfig {
            source: TOKENS,
            encoder: STACK,
            target_vocabulary_size: VOCABULARY,
            target_encoding: TokenEncoding::OneHot,
            decoder: STACK,
            attention: None,
            input_feeding: false,
            reverse_source: true,
        };
        let model = config.build().unwrap();
        let parameters = model.initialize(generator, UNIFORM, None).unwrap();
        let batch = |source: bool, target: bool| EncoderDecoderBatch {
            sources: sources(),
            source_lengths: lengths(source),
            targets: targets(target),
        };
        let objective = || EncoderDecoderObjective::new(model.clone(), feed, 1);
        holds(objective(), &parameters, [batch(false, false), batch(false, true)], &written);
        let source = document("a source");
        holds(objective(), &parameters, [batch(false, false), batch(true, false)], &source);
    }
}

#[test]
fn a_decoder_reads_no_token_that_is_ignored() {
    let message = said(|| Targets::new(&[vec![1], vec![2, IGNORED, 1]], 0)).unwrap();
    assert!(message.starts_with("target 1 has a token to be ignored"), "{message}");

    // Made by hand: the second token of sequence 1, which is read before its third.
    let mut ignoring = targets(false);
    let column = ignoring.lengths.column(1, 1);
    ignoring.tokens[column] = IGNORED;
    let model = writer(Condition::InitialState).build().unwrap();
    let parameters = model.initialize(&mut Generator::new(1, 0), UNIFORM, None).unwrap();
    let batch = |targets: Targets| OneToManyBatch { condition: columns(2), targets };
    let message = format!("token {IGNORED} at column 4 is outside a vocabulary of {VOCABULARY}");
    let batches = [batch(targets(false)), batch(ignoring.clone())];
    holds(OneToManyObjective::new(model.clone(), Feed::TRUTH, 1), &parameters, batches, &message);

    // Where it is not read it only asks for nothing.
    for feed in [Feed::Dummy, Feed::Output] {
        let mut objective = OneToManyObjective::new(model.clone(), feed, 1);
        let compute = Compute::sequential();
        let loss = objective.evaluate(&compute, &parameters, &batch(ignoring.clone()));
        assert_eq!(loss.count, ignoring.tokens.len() - 1);
        assert!(loss.sum.is_finite());
    }
}
