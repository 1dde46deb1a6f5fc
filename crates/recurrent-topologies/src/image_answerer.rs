//! An answer to a question about an image, from the image's pixels on: what turns images into
//! vectors and the [`VisualQuestion`] that reads them learn together.

use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::{
    ConfigError, Fusion, ImageInput, ImageInputConfig, ImageInputTape, InputConfig, Lengths, Noise,
    Probe, Reading, StackConfig, VisualQuestion, VisualQuestionConfig, VisualQuestionRecorded,
    VisualQuestionTape,
};

/// What an [`ImageAnswerer`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageAnswererConfig {
    /// What shows an image, and how it becomes a vector.
    pub image: ImageInputConfig,
    /// What is read at every step of a question.
    pub question: InputConfig,
    /// The layers that read the question. They may read both ways.
    pub stack: StackConfig,
    /// How image and question become one vector.
    pub fusion: Fusion,
    /// Numbers that image and question each have when they are fused; at least 1.
    pub fused_size: usize,
    /// Numbers in a hidden layer with relu between what is fused and the readout, at least 1, if there
    /// is to be one ([`VisualQuestion`] says when).
    pub hidden_layer: Option<usize>,
    /// Different answers; at least 1.
    pub classes: usize,
}

impl ImageAnswererConfig {
    /// Checks every field and lays out the model: under `image.` what turns images into vectors,
    /// then the parameters of a [`VisualQuestion`].
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<ImageAnswerer, ConfigError> {
        let &ImageAnswererConfig { question, stack, fusion, fused_size, .. } = self;
        let &ImageAnswererConfig { hidden_layer, classes, .. } = self;
        let mut layout = Layout::new();
        let image = ImageInput::add(&mut layout, "image.", &self.image)?;
        let image_size = image.output_size();
        let answer = VisualQuestionConfig {
            image_size,
            question,
            stack,
            fusion,
            fused_size,
            hidden_layer,
            classes,
        };
        Ok(ImageAnswerer { config: self.clone(), image, answer: answer.build_upon(layout)? })
    }
}

/// An image and a question, fused and answered.
#[derive(Clone, Debug)]
pub struct ImageAnswerer {
    config: ImageAnswererConfig,
    image: ImageInput,
    answer: VisualQuestion,
}

/// The buffers of an [`ImageAnswerer`], reused from batch to batch.
pub struct ImageAnswererTape<T> {
    features: Matrix<T>,
    image: ImageTape<T>,
    answer: VisualQuestionTape<T>,
}

/// What the way back through the image needs.
struct ImageTape<T> {
    input: ImageInputTape<T>,
    d_features: Matrix<T>,
}

impl<T: Real> Default for ImageAnswererTape<T> {
    fn default() -> Self {
        let image = ImageTape { input: ImageInputTape::default(), d_features: Matrix::zeros(0, 0) };
        let answer = VisualQuestionTape::default();
        ImageAnswererTape { features: Matrix::zeros(0, 0), image, answer }
    }
}

/// A forward pass of an [`ImageAnswerer`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct ImageAnswererRecorded<'t, T> {
    image: &'t mut ImageTape<T>,
    answer: VisualQuestionRecorded<'t, T>,
}

impl<T: Real> ImageAnswererRecorded<'_, T> {
    /// A logit for every answer: classes x batch, in the caller's order.
    pub fn outputs(&self) -> Columns<'_, T> {
        self.answer.outputs()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn outputs_mut(&mut self) -> ColumnsMut<'_, T> {
        self.answer.outputs_mut()
    }
}

impl ImageAnswerer {
    /// What the model is made of.
    pub fn config(&self) -> &ImageAnswererConfig {
        &self.config
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        self.answer.layout()
    }

    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given
    /// ([`forget_bias`](recurrent_cells::initialize::forget_bias)), what turns pixels into
    /// features by [`ImageEncoder::initialize`](crate::ImageEncoder::initialize), the rest by PyTorch's
    /// defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(self.layout()));
        self.image.initialize(generator, &mut parameters);
        self.answer.fill(generator, &mut parameters, initialization, forget_bias)?;
        Ok(parameters)
    }

    /// The part that turns images into vectors: for [`ImageInput::center`] before a training.
    pub fn image(&self) -> &ImageInput {
        &self.image
    }

    /// Answers a batch: `images` as [`ImageInput::forward`] takes them, one for each question in the
    /// caller's order; questions are read in the order of columns ([`Lengths::arrange`]). `noise` is
    /// given in training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, or a token is outside the
    /// vocabulary.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        images: Columns<'_, T>,
        question: Reading<'t, T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ImageAnswererTape<T>,
    ) -> ImageAnswererRecorded<'t, T> {
        parameters.assert_layout(self.layout());
        let ImageAnswererTape { features, image, answer } = tape;
        self.image.forward(compute, parameters, images, &mut image.input, features);
        let seen = features.as_ref();
        let answer =
            self.answer.forward(compute, parameters, seen, question, lengths, noise, answer);
        ImageAnswererRecorded { image, answer }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// logits must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: ImageAnswererRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        let ImageAnswererRecorded { image, answer } = recorded;
        let ImageTape { input, d_features } = image;
        d_features.reset(self.image.output_size(), answer.outputs().columns());
        let into = d_features.as_mut();
        self.answer.backward(answer, compute, parameters, gradients, into, probe);
        self.image.backward(compute, parameters, input, d_features.as_ref(), gradients);
    }
}
