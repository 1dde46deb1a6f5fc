//! Captions of images and answers to questions about them, from the pixels on: gradients through the
//! whole wiring, and outputs that do not depend on the rest of the batch.

mod support;

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_testkit::case::suited;
use recurrent_topologies::{
    Condition, Fusion, ImageAnswerer, ImageAnswererConfig, ImageAnswererTape, ImageCaptioner,
    ImageCaptionerConfig, ImageCaptionerTape, ImageEncoderConfig, ImageInput, ImageInputConfig,
    ImageInputTape, InputConfig, Lengths, Noise, Regularization, TokenEncoding, TokenStream,
};
use support::{Sequences, compare_parameters, hold_bits, hold_gradients, matrix, stacks};

const NOISE: Noise = Noise { seed: 3, first_step: 9 };

fn encodings() -> impl Strategy<Value = TokenEncoding> {
    prop_oneof![Just(TokenEncoding::OneHot), (1usize..4).prop_map(TokenEncoding::Embedding)]
}

/// Pixels of odd and even sizes through one or two convolutions, and features.
fn image_inputs() -> impl Strategy<Value = ImageInputConfig> {
    let size = (4usize..7, 4usize..6, 1usize..4);
    let convolutions = prop::collection::vec(1usize..4, 1..=2);
    let pixels = (size, convolutions, 2usize..5, any::<bool>()).prop_map(
        |((height, width, channels), convolutions, output_size, normalize)| {
            ImageInputConfig::Pixels(ImageEncoderConfig {
                height,
                width,
                channels,
                convolutions,
                output_size,
                normalize,
            })
        },
    );
    let features = (2usize..6, any::<bool>())
        .prop_map(|(size, normalize)| ImageInputConfig::Features { size, normalize });
    prop_oneof![2 => pixels, 1 => features]
}

/// Rows and columns of a batch of so many images.
fn shape(config: &ImageInputConfig, batch: usize) -> (usize, usize) {
    match config {
        ImageInputConfig::Pixels(encoder) => (encoder.channels, batch * encoder.size().pixels()),
        ImageInputConfig::Features { size, .. } => (*size, batch),
    }
}

fn images<T: Real>(config: &ImageInputConfig, batch: usize, seed: u64) -> Matrix<T> {
    let (rows, columns) = shape(config, batch);
    matrix(&mut Generator::new(seed, 2), rows, columns)
}

/// The images with these numbers.
fn select(config: &ImageInputConfig, images: &Matrix<f32>, which: &[usize]) -> Matrix<f32> {
    let (rows, of_one) = shape(config, 1);
    Matrix::from_fn(rows, which.len() * of_one, |r, j| {
        images.as_ref().column(which[j / of_one] * of_one + j % of_one)[r]
    })
}

fn captioners() -> impl Strategy<Value = ImageCaptionerConfig> {
    let conditions = prop::sample::select(&Condition::ALL[..]);
    (image_inputs(), conditions, 2usize..8, encodings(), stacks(false)).prop_map(
        |(image, condition, vocabulary_size, encoding, mut stack)| {
            let input = InputConfig::Tokens { vocabulary_size, encoding };
            stack.regularization = suited(stack.regularization, &input);
            ImageCaptionerConfig { image, condition, vocabulary_size, encoding, stack }
        },
    )
}

fn captioner<T: Real>(config: &ImageCaptionerConfig, seed: u64) -> (ImageCaptioner, Parameters<T>) {
    let model = config.build().unwrap();
    let mut generator = Generator::new(seed, 1);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

fn answerers() -> impl Strategy<Value = ImageAnswererConfig> {
    let fusions = prop::sample::select(&Fusion::ALL[..]);
    let fused = (fusions, 1usize..5, prop::option::of(1usize..5));
    (image_inputs(), 2usize..8, encodings(), stacks(true), fused, 1usize..4).prop_map(
        |(
            image,
            vocabulary_size,
            encoding,
            mut stack,
            (fusion, fused_size, hidden_layer),
            classes,
        )| {
            let question = InputConfig::Tokens { vocabulary_size, encoding };
            stack.regularization = suited(stack.regularization, &question);
            ImageAnswererConfig {
                image,
                question,
                stack,
                fusion,
                fused_size,
                hidden_layer,
                classes,
            }
        },
    )
}

fn answerer<T: Real>(config: &ImageAnswererConfig, seed: u64) -> (ImageAnswerer, Parameters<T>) {
    let model = config.build().unwrap();
    let mut generator = Generator::new(seed, 1);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

/// Tokens of a sequence for each length.
fn tokens(vocabulary_size: usize, lengths: &[usize], seed: u64) -> Vec<Vec<u32>> {
    let mut generator = Generator::new(seed, 3);
    let mut token = || generator.below(vocabulary_size as u64) as u32;
    lengths.iter().map(|&length| (0..length).map(|_| token()).collect()).collect()
}

#[test]
fn gradients_of_captions_reach_the_pixels_kernels() {
    let lengths = prop::collection::vec(1usize..5, 1..4);
    hold_gradients(48, (captioners(), lengths, any::<u64>()), |(config, lengths, seed)| {
        let (model, mut parameters) = captioner::<f64>(&config, seed);
        let tokens = tokens(config.vocabulary_size, &lengths, seed);
        let (images, lengths) =
            (images(&config.image, lengths.len(), seed), Lengths::new(&lengths));
        let (images, tokens) = (images.as_ref(), lengths.arrange(&tokens));
        let weights = support::weights(config.vocabulary_size, lengths.columns());
        let (compute, noise) = (Compute::sequential(), Some(NOISE));
        let mut tape = ImageCaptionerTape::default();
        let mut gradients = parameters.zeros_like();
        // Twice, so that what a backward pass leaves in the tape shows.
        for _ in 0..2 {
            gradients = parameters.zeros_like();
            let mut recorded =
                model.forward(&compute, &parameters, images, &tokens, &lengths, noise, &mut tape);
            recorded.logits_mut().copy_from(weights.as_ref());
            model.backward(recorded, &compute, &parameters, &mut gradients, &());
        }
        compare_parameters(&mut parameters, &gradients, |parameters| {
            let recorded =
                model.forward(&compute, parameters, images, &tokens, &lengths, noise, &mut tape);
            support::weighted_sum(&weights, recorded.logits())
        })
    });
}

#[test]
fn gradients_of_answers_reach_the_pixels_kernels() {
    let lengths = prop::collection::vec(1usize..5, 1..4);
    hold_gradients(48, (answerers(), lengths, any::<u64>()), |(config, lengths, seed)| {
        let (model, mut parameters) = answerer::<f64>(&config, seed);
        let mut generator = Generator::new(seed, 0);
        let sequences = Sequences::draw(&mut generator, config.question, &lengths);
        let images = images(&config.image, lengths.len(), seed);
        let (images, x, lengths) = (images.as_ref(), sequences.arrange(), sequences.lengths());
        let weights = support::weights(config.classes, lengths.batch());
        let (compute, noise) = (Compute::sequential(), Some(NOISE));
        let mut tape = ImageAnswererTape::default();
        let mut gradients = parameters.zeros_like();
        for _ in 0..2 {
            gradients = parameters.zeros_like();
            let (reading, tape) = (x.reading(), &mut tape);
            let mut recorded =
                model.forward(&compute, &parameters, images, reading, &lengths, noise, tape);
            recorded.outputs_mut().copy_from(weights.as_ref());
            model.backward(recorded, &compute, &parameters, &mut gradients, &());
        }
        compare_parameters(&mut parameters, &gradients, |parameters| {
            let (reading, tape) = (x.reading(), &mut tape);
            let recorded =
                model.forward(&compute, parameters, images, reading, &lengths, noise, tape);
            support::weighted_sum(&weights, recorded.outputs())
        })
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Step by step as all at once, alone as among others.
    #[test]
    fn captions_do_not_depend_on_neighbours_nor_on_how_they_are_made(
        config in captioners(),
        lengths in prop::collection::vec(1usize..6, 2..6),
        seed: u64,
    ) {
        let (model, parameters) = captioner::<f32>(&config, seed);
        let tokens = tokens(config.vocabulary_size, &lengths, seed);
        let all: Matrix<f32> = images(&config.image, lengths.len(), seed);
        let lengths = Lengths::new(&lengths);
        let (compute, mut tape) = (Compute::sequential(), ImageCaptionerTape::default());
        let arranged = lengths.arrange(&tokens);
        let recorded = model.forward(
            &compute, &parameters, all.as_ref(), &arranged, &lengths, None, &mut tape,
        );
        for (sequence, tokens) in tokens.iter().enumerate() {
            let image = select(&config.image, &all, &[sequence]);
            let mut stream = model.stream(&compute, parameters.clone(), image.as_ref());
            for (t, &token) in tokens.iter().enumerate() {
                let said = stream.step(&[token]);
                let expected = recorded.logits().column(lengths.column(sequence, t));
                prop_assert_eq!(said.column(0), expected, "sequence {}, step {}", sequence, t);
            }
        }
    }

    #[test]
    fn answers_do_not_depend_on_neighbours(
        config in answerers(),
        lengths in prop::collection::vec(1usize..6, 2..6),
        seed: u64,
    ) {
        let (model, parameters) = answerer::<f32>(&config, seed);
        let sequences = Sequences::draw(&mut Generator::new(seed, 0), config.question, &lengths);
        let all: Matrix<f32> = images(&config.image, lengths.len(), seed);
        let outputs = |images: &Matrix<f32>, sequences: &Sequences| {
            let (x, lengths) = (sequences.arrange(), sequences.lengths());
            let (compute, mut tape) = (Compute::sequential(), ImageAnswererTape::default());
            let (images, reading) = (images.as_ref(), x.reading());
            let recorded =
                model.forward(&compute, &parameters, images, reading, &lengths, None, &mut tape);
            let columns = 0..recorded.outputs().columns();
            columns.map(|j| recorded.outputs().column(j).to_vec()).collect::<Vec<_>>()
        };
        let together = outputs(&all, &sequences);
        for (sequence, expected) in together.iter().enumerate() {
            let image = select(&config.image, &all, &[sequence]);
            let alone = outputs(&image, &sequences.select(&[sequence]));
            prop_assert_eq!(&alone[0], expected, "sequence {}", sequence);
        }
    }
}

/// Over the images that it is centred on, the features that go into the normalisation have mean 0;
/// without a normalisation behind them those are the features.
#[test]
fn centred_features_have_mean_0() {
    let ImageInputConfig::Pixels(mut config) = large_image() else { unreachable!() };
    config.normalize = false;
    let mut layout = Layout::new();
    let config = ImageInputConfig::Pixels(config);
    let input = ImageInput::add(&mut layout, "image.", &config).unwrap();
    let mut parameters = Parameters::<f64>::zeros(layout.into());
    input.initialize(&mut Generator::new(4, 1), &mut parameters);
    let (all, compute) = (images(&config, 9, 4), Compute::sequential());
    let (mut tape, mut features) = (ImageInputTape::default(), Matrix::zeros(0, 0));
    let mut largest_mean = |parameters: &Parameters<f64>| {
        input.forward(&compute, parameters, all.as_ref(), &mut tape, &mut features);
        let sum = |r: usize| (0..9).map(|j| features.as_ref().column(j)[r]).sum::<f64>();
        (0..features.rows()).map(|r| (sum(r) / 9.0).abs()).fold(0.0, f64::max)
    };
    assert!(largest_mean(&parameters) > 1e-2);
    input.center(&compute, &mut parameters, all.as_ref());
    assert!(largest_mean(&parameters) < 1e-12);
}

fn large_image() -> ImageInputConfig {
    ImageInputConfig::Pixels(ImageEncoderConfig {
        height: 32,
        width: 32,
        channels: 3,
        convolutions: vec![8, 16, 32],
        output_size: 40,
        normalize: true,
    })
}

#[test]
fn bits_of_gradients_depend_on_neither_level_nor_threads() {
    let stack = recurrent_topologies::StackConfig {
        cell: recurrent_cells::CellKind::Lstm,
        hidden_size: 37,
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        regularization: Regularization::NONE,
    };
    let encoding = TokenEncoding::Embedding(9);
    let config = ImageCaptionerConfig {
        image: large_image(),
        condition: Condition::FirstInput,
        vocabulary_size: 30,
        encoding,
        stack,
    };
    let (model, parameters) = captioner::<f32>(&config, 5);
    let each: Vec<usize> = (0..33).map(|k| 1 + k * 7 % 13).collect();
    let (all, lengths) = (images(&config.image, each.len(), 5), Lengths::new(&each));
    let arranged = lengths.arrange(&tokens(30, &each, 5));
    hold_bits(|compute| {
        let (mut tape, mut gradients) = (ImageCaptionerTape::default(), parameters.zeros_like());
        let images = all.as_ref();
        let recorded =
            model.forward(compute, &parameters, images, &arranged, &lengths, None, &mut tape);
        let logits = recorded.logits().as_slice().to_vec();
        model.backward(recorded, compute, &parameters, &mut gradients, &());
        (logits, gradients)
    });
}

#[test]
fn images_come_first_and_sizes_are_checked() {
    let image = large_image();
    let stack = recurrent_topologies::StackConfig {
        cell: recurrent_cells::CellKind::Gru,
        hidden_size: 3,
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        regularization: Regularization::NONE,
    };
    let encoding = TokenEncoding::OneHot;
    let (condition, vocabulary_size) = (Condition::FirstInput, 4);
    let config =
        ImageCaptionerConfig { image: image.clone(), condition, vocabulary_size, encoding, stack };
    let layout = config.build().unwrap().layout().clone();
    let names: Vec<&str> = layout.entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names[0], "image.convolutions.0.weight");
    assert_eq!(
        names[6..10],
        ["image.linear.weight", "image.linear.bias", "image.norm.weight", "image.norm.bias"]
    );
    assert_eq!(names[10], "condition.weight");
    let nothing = ImageInputConfig::Features { size: 0, normalize: false };
    let error = ImageCaptionerConfig { image: nothing, ..config.clone() }.build().unwrap_err();
    assert_eq!(error.to_string(), "number of an image's features must be at least 1");
    let stack = recurrent_topologies::StackConfig { bidirectional: true, ..stack };
    let error = ImageCaptionerConfig { stack, ..config }.build().unwrap_err();
    assert!(error.to_string().starts_with("a decoder cannot read both ways"), "{error}");

    let question = InputConfig::Tokens { vocabulary_size: 4, encoding };
    let (fusion, fused_size, classes) = (Fusion::Sum, 5, 2);
    let config = ImageAnswererConfig {
        image,
        question,
        stack,
        fusion,
        fused_size,
        hidden_layer: None,
        classes,
    };
    let layout = config.build().unwrap().layout().clone();
    assert_eq!(layout.entries()[10].name, "question.rnn.weight_ih_l0");
}
