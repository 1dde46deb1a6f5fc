//! What a model sees: pixels, which an encoder that learns with it turns into features, or features
//! that somebody else has made of images.

use recurrent_cells::{LayerNorm, LayerNormTape, Layout, Parameters, initialize};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::config::{at_least_one, countable};
use crate::{ConfigError, ImageEncoder, ImageEncoderConfig, ImageEncoderTape};

/// What an [`ImageInput`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageInputConfig {
    /// Pixels, and the encoder that looks at them.
    Pixels(ImageEncoderConfig),
    /// A column of numbers for each image, as it is.
    Features {
        /// How many numbers; at least 1.
        size: usize,
        /// They are normalised over each image's own ([`LayerNorm`]).
        normalize: bool,
    },
}

impl ImageInputConfig {
    /// How many features the model behind it reads.
    pub fn output_size(&self) -> usize {
        match self {
            ImageInputConfig::Pixels(encoder) => encoder.output_size,
            ImageInputConfig::Features { size, .. } => *size,
        }
    }
}

/// Turns what shows an image into a column of features. A part that a model adds to its own
/// parameters.
#[derive(Clone, Debug)]
pub struct ImageInput {
    size: usize,
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Pixels(ImageEncoder),
    Features(Option<LayerNorm>),
}

/// The buffers of an [`ImageInput`], reused from batch to batch.
pub struct ImageInputTape<T> {
    encoder: ImageEncoderTape<T>,
    norm: LayerNormTape<T>,
    /// Images are data: nobody asks for the gradient of given features.
    d_given: Matrix<T>,
}

impl<T: Real> Default for ImageInputTape<T> {
    fn default() -> Self {
        let (encoder, norm) = (ImageEncoderTape::default(), LayerNormTape::default());
        ImageInputTape { encoder, norm, d_given: Matrix::zeros(0, 0) }
    }
}

impl ImageInput {
    /// Checks every field of `config` and adds the parameters to a layout: those of
    /// [`ImageEncoder::add`], or `{prefix}norm.weight` and `.bias`, or none.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range; nothing is added then.
    pub fn add(
        layout: &mut Layout,
        prefix: &str,
        config: &ImageInputConfig,
    ) -> Result<ImageInput, ConfigError> {
        let part = match config {
            ImageInputConfig::Pixels(config) => {
                Part::Pixels(ImageEncoder::add(layout, prefix, config)?)
            }
            &ImageInputConfig::Features { size, normalize } => {
                at_least_one("number of an image's features", size)?;
                countable(2.0 * size as f64)?;
                let norm = || LayerNorm::add(layout, &format!("{prefix}norm"), size);
                Part::Features(normalize.then(norm))
            }
        };
        Ok(ImageInput { size: config.output_size(), part })
    }

    /// How many features an image has.
    pub fn output_size(&self) -> usize {
        self.size
    }

    /// Fresh values for the parameters ([`ImageEncoder::initialize`]; a normalisation by PyTorch's
    /// defaults).
    pub fn initialize<T: Real>(&self, generator: &mut Generator, parameters: &mut Parameters<T>) {
        match &self.part {
            Part::Pixels(encoder) => encoder.initialize(generator, parameters),
            Part::Features(Some(norm)) => initialize::layer_norm(parameters, norm),
            Part::Features(None) => {}
        }
    }

    /// [`ImageEncoder::center`]; given features stay as they are.
    ///
    /// # Panics
    /// As [`ImageEncoder::center`].
    #[track_caller]
    pub fn center<T: Real>(
        &self,
        compute: &Compute,
        parameters: &mut Parameters<T>,
        images: Columns<'_, T>,
    ) {
        if let Part::Pixels(encoder) = &self.part {
            encoder.center(compute, parameters, images);
        }
    }

    /// Writes the features of a batch: `output_size` x batch. `images` is channels x (batch * height *
    /// width) ([`ImageEncoder::forward`]), or `size` x batch. An image's bits do not depend on the
    /// others.
    ///
    /// # Panics
    /// If the shape does not fit.
    #[track_caller]
    pub fn forward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        images: Columns<'_, T>,
        tape: &mut ImageInputTape<T>,
        features: &mut Matrix<T>,
    ) {
        match &self.part {
            Part::Pixels(encoder) => {
                let encoded = encoder.forward(compute, parameters, images, &mut tape.encoder);
                features.resize(self.size, encoded.columns());
                features.as_mut().copy_from(encoded);
            }
            Part::Features(norm) => {
                self.check(images);
                features.resize(self.size, images.columns());
                match norm {
                    None => features.as_mut().copy_from(images),
                    Some(norm) => {
                        let into = features.as_mut();
                        norm.forward(compute, parameters, images, &mut tape.norm, into);
                    }
                }
            }
        }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. Images are data
    /// and get none.
    ///
    /// # Panics
    /// If the shape is not that of the features, or the tape's forward pass has been undone already.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut ImageInputTape<T>,
        d_features: Columns<'_, T>,
        gradients: &mut Parameters<T>,
    ) {
        match &self.part {
            Part::Pixels(encoder) => {
                encoder.backward(compute, parameters, &mut tape.encoder, d_features, gradients);
            }
            Part::Features(None) => {}
            Part::Features(Some(norm)) => {
                let ImageInputTape { norm: norm_tape, d_given, .. } = tape;
                d_given.resize(self.size, d_features.columns());
                d_given.as_mut_slice().fill(T::ZERO);
                let into = d_given.as_mut();
                norm.backward(compute, parameters, norm_tape, d_features, gradients, into);
            }
        }
    }

    #[track_caller]
    fn check<T: Real>(&self, images: Columns<'_, T>) {
        let (rows, columns, size) = (images.rows(), images.columns(), self.size);
        assert!(
            rows == size,
            "a block of {rows} rows x {columns} columns holds no images of {size} features"
        );
    }
}
