//! Questions about images: gradients through both sides, fusions that are what they are called, and
//! answers that do not depend on the rest of the batch.

mod support;

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Form, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_testkit::case::suited;
use recurrent_testkit::gradient::compare_gradient;
use recurrent_topologies::{
    Fusion, FusionLayer, FusionTape, InputConfig, Noise, Regularization, StackConfig,
    TokenEncoding, VisualQuestion, VisualQuestionConfig, VisualQuestionTape,
};
use support::{Sequences, compare_parameters, hold_bits, hold_gradients, inputs, matrix, stacks};

fn configs() -> impl Strategy<Value = VisualQuestionConfig> {
    let fusions = prop::sample::select(&Fusion::ALL[..]);
    let hidden_layers = prop::option::of(1usize..5);
    (1usize..5, inputs(), stacks(true), fusions, 1usize..5, hidden_layers, 1usize..4).prop_map(
        |(image_size, question, mut stack, fusion, fused_size, hidden_layer, classes)| {
            stack.regularization = suited(stack.regularization, &question);
            VisualQuestionConfig {
                image_size,
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

fn build<T: Real>(config: &VisualQuestionConfig, seed: u64) -> (VisualQuestion, Parameters<T>) {
    let model = config.build().unwrap();
    let mut generator = Generator::new(seed, 1);
    let parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    (model, parameters)
}

#[test]
fn gradients_agree_with_central_differences() {
    let lengths = prop::collection::vec(1usize..5, 1..4);
    hold_gradients(96, (configs(), lengths, any::<u64>()), |(config, lengths, seed)| {
        let (model, mut parameters) = build::<f64>(&config, seed);
        let mut generator = Generator::new(seed, 0);
        let sequences = Sequences::draw(&mut generator, config.question, &lengths);
        let (x, lengths) = (sequences.arrange(), sequences.lengths());
        let mut image = matrix::<f64>(&mut generator, config.image_size, lengths.batch());
        let weights = support::weights(config.classes, lengths.batch());
        let compute = Compute::sequential();
        let noise = Some(Noise { seed: 3, first_step: 9 });
        let mut tape = VisualQuestionTape::default();
        let mut gradients = parameters.zeros_like();
        // Gradients are added to what is there.
        let mut d_image = image.clone();
        let (columns, reading) = (image.as_ref(), x.reading());
        let mut recorded =
            model.forward(&compute, &parameters, columns, reading, &lengths, noise, &mut tape);
        recorded.outputs_mut().copy_from(weights.as_ref());
        let d_columns = d_image.as_mut();
        model.backward(recorded, &compute, &parameters, &mut gradients, d_columns, &());
        for (d, there) in d_image.as_mut_slice().iter_mut().zip(image.as_slice()) {
            *d -= there;
        }

        let mut loss = |parameters: &Parameters<f64>, image: &Matrix<f64>| {
            let (columns, reading) = (image.as_ref(), x.reading());
            let recorded =
                model.forward(&compute, parameters, columns, reading, &lengths, noise, &mut tape);
            support::weighted_sum(&weights, recorded.outputs())
        };
        let mut found =
            compare_parameters(&mut parameters, &gradients, |parameters| loss(parameters, &image));
        let mut point = image.as_slice().to_vec();
        found.add(compare_gradient("image", &mut point, d_image.as_slice(), |point| {
            image.as_mut_slice().copy_from_slice(point);
            loss(&parameters, &image)
        }));
        found
    });
}

fn outputs(
    model: &VisualQuestion,
    parameters: &Parameters<f32>,
    image: &Matrix<f32>,
    sequences: &Sequences,
) -> Matrix<f32> {
    let (x, lengths, mut tape) = (sequences.arrange(), sequences.lengths(), Default::default());
    let (compute, image) = (Compute::sequential(), image.as_ref());
    let recorded =
        model.forward(&compute, parameters, image, x.reading(), &lengths, None, &mut tape);
    let y = recorded.outputs();
    Matrix::from_fn(y.rows(), y.columns(), |r, j| y.column(j)[r])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_rest_of_the_batch_changes_no_bit(
        config in configs(),
        lengths in prop::collection::vec(1usize..7, 2..7),
        seed: u64,
    ) {
        let (model, parameters) = build::<f32>(&config, seed);
        let mut generator = Generator::new(seed, 0);
        let sequences = Sequences::draw(&mut generator, config.question, &lengths);
        let image = matrix::<f32>(&mut generator, config.image_size, lengths.len());
        let together = outputs(&model, &parameters, &image, &sequences);
        let mut which: Vec<usize> = (0..lengths.len()).collect();
        generator.shuffle(&mut which);
        for which in (0..lengths.len()).map(|k| vec![k]).chain([which]) {
            let image = Matrix::from_fn(image.rows(), which.len(), |r, j| {
                image.as_ref().column(which[j])[r]
            });
            let part = outputs(&model, &parameters, &image, &sequences.select(&which));
            for (j, &sequence) in which.iter().enumerate() {
                let (part, whole) = (part.as_ref(), together.as_ref());
                prop_assert_eq!(part.column(j), whole.column(sequence), "{:?}", &which);
            }
        }
    }

    #[test]
    fn fusions_are_what_they_are_called(
        sizes in [1usize..5, 1usize..5],
        size in 1usize..5,
        batch in 1usize..4,
        seed: u64,
    ) {
        let mut generator = Generator::new(seed, 0);
        for fusion in Fusion::ALL {
            let mut layout = Layout::new();
            let [a, b] = sizes;
            let layer = FusionLayer::add(&mut layout, fusion, [("a", a), ("b", b)], size);
            let mut parameters = Parameters::<f64>::zeros(layout.into());
            layer.initialize(&mut generator, &mut parameters);
            let inputs = sizes.map(|size| matrix::<f64>(&mut generator, size, batch));
            let (mut fused, mut tape) =
                (Matrix::zeros(layer.output_size(), batch), FusionTape::default());
            let [a, b] = [inputs[0].as_ref(), inputs[1].as_ref()];
            let compute = Compute::sequential();
            layer.forward(&compute, &parameters, [a, b], fused.as_mut(), &mut tape);
            let mut values = Vec::new();
            parameters.visit(|entry, numbers| values.push((entry.clone(), numbers.to_vec())));
            // W x + b, as the sum says it, of what has not the size; parameters lie weight, bias,
            // weight, bias.
            let value = |name: String| {
                values.iter().find(|(entry, _)| entry.name == name).map(|(_, numbers)| numbers)
            };
            let mapped = |k: usize, r: usize, j: usize| {
                let (x, name) = (inputs[k].as_ref().column(j), ["a", "b"][k]);
                let map = [".weight", ".bias"].map(|kind| value(format!("{name}{kind}")));
                let [Some(weight), Some(bias)] = map else {
                    assert_eq!((x.len(), map), (size, [None, None]));
                    return x[r];
                };
                assert_ne!(x.len(), size);
                bias[r] + (0..x.len()).map(|c| weight[c * size + r] * x[c]).sum::<f64>()
            };
            for j in 0..batch {
                for (r, &found) in fused.as_ref().column(j).iter().enumerate() {
                    let expected = match fusion {
                        Fusion::Sum => mapped(0, r, j) + mapped(1, r, j),
                        Fusion::Product => mapped(0, r, j) * mapped(1, r, j),
                        Fusion::Concatenation => mapped(r / size, r % size, j),
                    };
                    prop_assert!((found - expected).abs() < 1e-13, "{fusion:?}, row {r}");
                }
            }
        }
    }
}

fn large(fusion: Fusion) -> VisualQuestionConfig {
    VisualQuestionConfig {
        image_size: 19,
        question: InputConfig::Tokens {
            vocabulary_size: 40,
            encoding: TokenEncoding::Embedding(6),
        },
        stack: StackConfig {
            cell: CellKind::Lstm,
            hidden_size: 37,
            num_layers: 2,
            bidirectional: true,
            dropout: 0.2,
            regularization: Regularization::NONE,
        },
        fusion,
        fused_size: 33,
        hidden_layer: Some(21),
        classes: 5,
    }
}

/// Vectors of the size that is fused are fused as they are, and a readout needs no hidden layer.
#[test]
fn what_is_not_needed_is_not_there() {
    let config = VisualQuestionConfig {
        image_size: 74,
        fused_size: 74,
        hidden_layer: None,
        ..large(Fusion::Concatenation)
    };
    let layout = config.build().unwrap().layout().clone();
    let [.., before, weight, bias] = layout.entries() else { unreachable!() };
    assert!(before.name.starts_with("question."), "{}", before.name);
    assert_eq!((weight.name.as_str(), bias.name.as_str()), ("readout.weight", "readout.bias"));
    assert_eq!((weight.slot.rows(), weight.slot.columns()), (5, 2 * 74));
}

#[test]
fn bits_depend_on_neither_level_nor_threads() {
    for fusion in Fusion::ALL {
        let config = large(fusion);
        let (model, parameters) = build::<f32>(&config, 5);
        let lengths: Vec<usize> = (0..50).map(|k| 1 + k * 7 % 13).collect();
        let mut generator = Generator::new(5, 0);
        let sequences = Sequences::draw(&mut generator, config.question, &lengths);
        let image = matrix::<f32>(&mut generator, config.image_size, 50);
        let (x, lengths) = (sequences.arrange(), sequences.lengths());
        let noise = Some(Noise { seed: 3, first_step: 9 });
        hold_bits(|compute| {
            let (mut tape, mut gradients) =
                (VisualQuestionTape::default(), parameters.zeros_like());
            let (image, reading) = (image.as_ref(), x.reading());
            let recorded =
                model.forward(compute, &parameters, image, reading, &lengths, noise, &mut tape);
            let y = recorded.outputs();
            let y = Matrix::from_fn(y.rows(), y.columns(), |r, j| y.column(j)[r]);
            let mut d_image = Matrix::zeros(config.image_size, 50);
            let d_columns = d_image.as_mut();
            model.backward(recorded, compute, &parameters, &mut gradients, d_columns, &());
            (y, gradients, d_image)
        });
    }
}

/// What turns pixels into features shares the layout, and its parameters stay its own.
#[test]
fn a_model_is_built_upon_the_layout_of_another() {
    let mut layout = Layout::new();
    let own = layout.add("image.weight".into(), Form::Matrix, 3, 2);
    let model = large(Fusion::Product).build_upon(layout).unwrap();
    let names: Vec<&str> = model.layout().entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names[..2], ["image.weight", "question.embedding.weight"]);
    assert_eq!(
        names[names.len() - 8..],
        [
            "fusion.image.weight",
            "fusion.image.bias",
            "fusion.question.weight",
            "fusion.question.bias",
            "hidden.weight",
            "hidden.bias",
            "readout.weight",
            "readout.bias",
        ]
    );
    let mut parameters = Parameters::<f32>::zeros(model.layout().clone());
    parameters.slice_mut(own).fill(0.5);
    let mut generator = Generator::new(1, 0);
    model.fill(&mut generator, &mut parameters, Initialization::Uniform, None).unwrap();
    assert!(parameters.slice(own).iter().all(|&x| x == 0.5));
    let refused = |config: VisualQuestionConfig| config.build().unwrap_err().to_string();
    let message = refused(VisualQuestionConfig { fused_size: 0, ..large(Fusion::Sum) });
    assert_eq!(message, "fused size must be at least 1");
    let message = refused(VisualQuestionConfig { hidden_layer: Some(0), ..large(Fusion::Sum) });
    assert_eq!(message, "size of the hidden layer must be at least 1");
    let message = refused(VisualQuestionConfig { image_size: 0, ..large(Fusion::Sum) });
    assert_eq!(message, "number of image features must be at least 1");
}
