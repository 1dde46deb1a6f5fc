//! A caption for an image: what the image shows, as a vector, and a decoder that writes from it
//! (Vinyals et al. 2015, "Show and tell: a neural image caption generator"). Both learn together.

use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::{
    Condition, ConfigError, DecoderStream, ImageInput, ImageInputConfig, ImageInputTape, Lengths,
    Noise, OneToMany, OneToManyConfig, OneToManyRecorded, OneToManyTape, Probe, StackConfig,
    TokenEncoding,
};

/// What an [`ImageCaptioner`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCaptionerConfig {
    /// What shows an image, and how it becomes a vector.
    pub image: ImageInputConfig,
    /// Where the vector enters the decoder.
    pub condition: Condition,
    /// How many different tokens there are, the start and the end token included; at least 1.
    pub vocabulary_size: usize,
    /// How a token becomes a vector.
    pub encoding: TokenEncoding,
    /// The decoder's layers; they cannot read both ways.
    pub stack: StackConfig,
}

impl ImageCaptionerConfig {
    /// Checks every field and lays out the model: under `image.` what turns images into vectors,
    /// then the parameters of a [`OneToMany`].
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<ImageCaptioner, ConfigError> {
        let &ImageCaptionerConfig { condition, vocabulary_size, encoding, stack, .. } = self;
        let mut layout = Layout::new();
        let image = ImageInput::add(&mut layout, "image.", &self.image)?;
        let condition_size = image.output_size();
        let decoder =
            OneToManyConfig { condition_size, condition, vocabulary_size, encoding, stack };
        Ok(ImageCaptioner { config: self.clone(), image, decoder: decoder.build_upon(layout)? })
    }
}

/// An image that enters a decoder, which writes a sequence.
#[derive(Clone, Debug)]
pub struct ImageCaptioner {
    config: ImageCaptionerConfig,
    image: ImageInput,
    decoder: OneToMany,
}

/// The buffers of an [`ImageCaptioner`], reused from batch to batch.
pub struct ImageCaptionerTape<T> {
    features: Matrix<T>,
    image: ImageTape<T>,
    decoder: OneToManyTape<T>,
}

/// What the way back through the image needs.
struct ImageTape<T> {
    input: ImageInputTape<T>,
    d_features: Matrix<T>,
}

impl<T: Real> Default for ImageCaptionerTape<T> {
    fn default() -> Self {
        let image = ImageTape { input: ImageInputTape::default(), d_features: Matrix::zeros(0, 0) };
        let decoder = OneToManyTape::default();
        ImageCaptionerTape { features: Matrix::zeros(0, 0), image, decoder }
    }
}

/// A forward pass of an [`ImageCaptioner`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct ImageCaptionerRecorded<'t, T> {
    image: &'t mut ImageTape<T>,
    decoder: OneToManyRecorded<'t, T>,
}

impl<T: Real> ImageCaptionerRecorded<'_, T> {
    /// What is said after every token: `vocabulary_size` x N, arranged as the tokens were.
    pub fn logits(&self) -> Columns<'_, T> {
        self.decoder.logits()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn logits_mut(&mut self) -> ColumnsMut<'_, T> {
        self.decoder.logits_mut()
    }
}

impl ImageCaptioner {
    /// What the model is made of.
    pub fn config(&self) -> &ImageCaptionerConfig {
        &self.config
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        self.decoder.layout()
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
        self.decoder.fill(generator, &mut parameters, initialization, forget_bias)?;
        Ok(parameters)
    }

    /// The part that turns images into vectors: for [`ImageInput::center`] before a training.
    pub fn image(&self) -> &ImageInput {
        &self.image
    }

    /// Runs a batch: `images` as [`ImageInput::forward`] takes them, one for each sequence in the
    /// caller's order; `tokens` are what is read, arranged by `lengths` ([`Lengths::arrange`]),
    /// mostly the start token and the true tokens without the last. `noise` is given in training
    /// and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, a token is outside the
    /// vocabulary, or documents begin in the middle of `lengths`.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        images: Columns<'_, T>,
        tokens: &'t [u32],
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ImageCaptionerTape<T>,
    ) -> ImageCaptionerRecorded<'t, T> {
        parameters.assert_layout(self.layout());
        let ImageCaptionerTape { features, image, decoder } = tape;
        self.image.forward(compute, parameters, images, &mut image.input, features);
        let condition = features.as_ref();
        let decoder =
            self.decoder.forward(compute, parameters, condition, tokens, lengths, noise, decoder);
        ImageCaptionerRecorded { image, decoder }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// logits must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: ImageCaptionerRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        let ImageCaptionerRecorded { image, decoder } = recorded;
        let ImageTape { input, d_features } = image;
        d_features.resize(self.image.output_size(), decoder.batch());
        d_features.as_mut_slice().fill(T::ZERO);
        let into = Some(d_features.as_mut());
        self.decoder.backward(decoder, compute, parameters, into, gradients, probe);
        self.image.backward(compute, parameters, input, d_features.as_ref(), gradients);
    }

    /// The model as it writes, token by token, for one sequence of each image.
    ///
    /// # Panics
    /// If the shapes do not fit or the parameters are another model's.
    #[track_caller]
    pub fn stream<T: Real>(
        &self,
        compute: &Compute,
        parameters: Parameters<T>,
        images: Columns<'_, T>,
    ) -> DecoderStream<T> {
        parameters.assert_layout(self.layout());
        let (mut tape, mut features) = (ImageInputTape::default(), Matrix::zeros(0, 0));
        self.image.forward(compute, &parameters, images, &mut tape, &mut features);
        self.decoder.stream(compute, parameters, features.as_ref())
    }
}
