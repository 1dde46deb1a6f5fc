//! An image as a vector of features, learned with what reads them: convolutions, pooling, a linear
//! map.
//!
//! ```text
//! images                                        channels x (batch * height * width)
//! for each convolution: 3x3 convolution,        its channels x (batch * height * width)
//!     2x2 max pooling, relu                     its channels x (batch * height/2 * width/2)
//! all numbers of an image as one column         (channels * height * width) x batch
//! linear map                                    output_size x batch
//! layer normalisation, if asked for
//! ```
//! The linear map has no activation behind it: a tanh there soon stands at 1 or -1 everywhere and
//! lets no gradient through. Pooling comes before relu because the two can be exchanged without
//! changing a number or a gradient, and then relu has a quarter of the work.

use std::ops::Range;

use recurrent_cells::{
    Conv2d, LayerNorm, LayerNormTape, Layout, Linear, PackedConv2d, PackedLinear, Parameters,
    initialize,
};
use recurrent_kernels::activation::{relu, relu_slope};
use recurrent_kernels::pooling::{max_pool, max_pool_backward};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, ImageSize, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::config::{at_least_one, countable};

/// Height and width of every kernel, in pixels.
const KERNEL: usize = 3;

/// Height and width of every pooling window, in pixels.
const WINDOW: usize = 2;

/// A thread takes at least this many numbers, or starting it costs more than it saves.
const LEAST_NUMBERS: usize = 32 * 1024;

/// What an [`ImageEncoder`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEncoderConfig {
    /// Rows of pixels; at least 1.
    pub height: usize,
    /// Pixels in a row; at least 1.
    pub width: usize,
    /// Numbers of a pixel; at least 1.
    pub channels: usize,
    /// The output channels of each convolution, at least one convolution and one channel. Each
    /// halves height and width, rounded down.
    pub convolutions: Vec<usize>,
    /// How many features an image has; at least 1.
    pub output_size: usize,
    /// Features are normalised over the image's own ([`LayerNorm`]): for those that a recurrent
    /// network reads.
    pub normalize: bool,
}

impl ImageEncoderConfig {
    /// Height and width of the images.
    pub fn size(&self) -> ImageSize {
        ImageSize { height: self.height, width: self.width }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        at_least_one("image height", self.height)?;
        at_least_one("image width", self.width)?;
        at_least_one("number of an image's channels", self.channels)?;
        at_least_one("number of convolutions", self.convolutions.len())?;
        for &channels in &self.convolutions {
            at_least_one("number of a convolution's channels", channels)?;
        }
        at_least_one("number of an image's features", self.output_size)?;
        // How often the shorter side can be halved before nothing is left.
        let most = self.height.min(self.width).ilog2() as usize;
        let convolutions = self.convolutions.len();
        if convolutions > most {
            let (height, width) = (self.height, self.width);
            return Err(ConfigError::ImageTooSmall { height, width, convolutions, most });
        }
        countable(self.count())?;
        // An image is no parameter, but its numbers must be countable too.
        countable(self.height as f64 * self.width as f64 * self.channels as f64)
    }

    /// Sizes and channels before each convolution, and those after the last pooling.
    fn steps(&self) -> (Vec<(ImageSize, usize)>, (ImageSize, usize)) {
        let mut now = (self.size(), self.channels);
        let mut before = Vec::new();
        for &channels in &self.convolutions {
            before.push(now);
            now = (now.0.pooled(WINDOW), channels);
        }
        (before, now)
    }

    /// How many parameters, as a number that cannot overflow.
    pub(crate) fn count(&self) -> f64 {
        let (before, (size, channels)) = self.steps();
        let kernels: f64 = before
            .iter()
            .zip(&self.convolutions)
            .map(|(&(_, inner), &outer)| {
                ((KERNEL * KERNEL) as f64 * inner as f64 + 1.0) * outer as f64
            })
            .sum();
        let numbers = size.height as f64 * size.width as f64 * channels as f64;
        kernels + (numbers + 3.0) * self.output_size as f64
    }
}

/// Turns images into columns of features. A part that a model adds to its own parameters.
///
/// The linear map reads an image's numbers pixel by pixel, row after row, channels fastest;
/// PyTorch's `flatten` has channels slowest.
#[derive(Clone, Debug)]
pub struct ImageEncoder {
    config: ImageEncoderConfig,
    stages: Vec<Stage>,
    linear: Linear,
    norm: Option<LayerNorm>,
}

/// A convolution, on images of this size.
#[derive(Clone, Copy, Debug)]
struct Stage {
    conv: Conv2d,
    size: ImageSize,
}

/// The buffers of an [`ImageEncoder`], reused from batch to batch: what
/// [`forward`](ImageEncoder::forward) leaves for [`backward`](ImageEncoder::backward).
pub struct ImageEncoderTape<T> {
    stages: Vec<StageTape<T>>,
    /// What a convolution gives before pooling; backward, its gradient.
    convolved: Matrix<T>,
    linear: PackedLinear<T>,
    /// What the linear map gives.
    projected: Matrix<T>,
    norm: LayerNormTape<T>,
    normalized: Matrix<T>,
    d_projected: Matrix<T>,
    d_pooled: Matrix<T>,
    /// Images of the last forward pass that has not been undone; None if there is none.
    batch: Option<usize>,
}

struct StageTape<T> {
    conv: PackedConv2d<T>,
    patches: Matrix<T>,
    places: Vec<u32>,
    /// After pooling and relu.
    pooled: Matrix<T>,
}

impl<T: Real> Default for ImageEncoderTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        ImageEncoderTape {
            stages: Vec::new(),
            convolved: empty(),
            linear: PackedLinear::default(),
            projected: empty(),
            norm: LayerNormTape::default(),
            normalized: empty(),
            d_projected: empty(),
            d_pooled: empty(),
            batch: None,
        }
    }
}

impl<T: Real> Default for StageTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        let conv = PackedConv2d::default();
        StageTape { conv, patches: empty(), places: Vec::new(), pooled: empty() }
    }
}

impl ImageEncoder {
    /// Checks every field of `config` and adds `{prefix}convolutions.{k}.weight` and `.bias`,
    /// `{prefix}linear.weight` and `.bias` and, if features are normalised, `{prefix}norm.weight`
    /// and `.bias` to a layout.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range; nothing is added then.
    pub fn add(
        layout: &mut Layout,
        prefix: &str,
        config: &ImageEncoderConfig,
    ) -> Result<ImageEncoder, ConfigError> {
        config.check()?;
        let (before, (size, channels)) = config.steps();
        let stages = before.into_iter().zip(&config.convolutions).enumerate();
        let stages = stages
            .map(|(k, ((size, inner), &outer))| {
                let name = format!("{prefix}convolutions.{k}");
                Stage { conv: Conv2d::add(layout, &name, inner, outer, KERNEL), size }
            })
            .collect();
        let (numbers, output_size) = (size.pixels() * channels, config.output_size);
        let linear = Linear::add(layout, &format!("{prefix}linear"), numbers, output_size);
        let norm =
            config.normalize.then(|| LayerNorm::add(layout, &format!("{prefix}norm"), output_size));
        Ok(ImageEncoder { config: config.clone(), stages, linear, norm })
    }

    /// What the encoder is made of.
    pub fn config(&self) -> &ImageEncoderConfig {
        &self.config
    }

    /// How many features an image has.
    pub fn output_size(&self) -> usize {
        self.config.output_size
    }

    /// Fresh values for the encoder's parameters: convolutions and linear map by
    /// [`conv2d`](initialize::conv2d) and [`kaiming_normal`](initialize::kaiming_normal), which keep what passes
    /// them as large as it was.
    pub fn initialize<T: Real>(&self, generator: &mut Generator, parameters: &mut Parameters<T>) {
        for stage in &self.stages {
            initialize::conv2d(generator, parameters, &stage.conv);
        }
        initialize::kaiming_normal(generator, parameters, &self.linear);
        if let Some(norm) = &self.norm {
            initialize::layer_norm(parameters, norm);
        }
    }

    /// Shifts the bias of the linear map so that over these images every feature has mean 0 before
    /// it is normalised; to be done once, with fresh parameters and some images of the training
    /// (Salimans and Kingma 2016, "Weight normalization", section 3).
    ///
    /// Most of an image is like most of any other, paper for example, so without this the features
    /// of all images are nearly the same, and normalisation of each on its own leaves it so.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), or if there is no image.
    #[track_caller]
    pub fn center<T: Real>(
        &self,
        compute: &Compute,
        parameters: &mut Parameters<T>,
        images: Columns<'_, T>,
    ) {
        let batch = self.check_images(images);
        assert!(batch > 0, "no image to take the mean of");
        let mut tape = ImageEncoderTape::default();
        self.forward(compute, parameters, images, &mut tape);
        let mut sums = vec![0.0; self.output_size()];
        for image in 0..batch {
            let features = tape.projected.as_ref().column(image);
            sums.iter_mut().zip(features).for_each(|(sum, x)| *sum += x.to_f64());
        }
        let bias = parameters.slice_mut(self.linear.bias);
        for (bias, sum) in bias.iter_mut().zip(sums) {
            *bias -= T::from_f64(sum / batch as f64);
        }
    }

    /// The features of a batch: `output_size` x batch. `images` is channels x (batch * height *
    /// width), as [`ImageSize`] describes. An image's bits do not depend on the others.
    ///
    /// # Panics
    /// If the shape does not fit, or there are gaps between the columns of `images`.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        images: Columns<'_, T>,
        tape: &'t mut ImageEncoderTape<T>,
    ) -> Columns<'t, T> {
        let batch = self.check_images(images);
        tape.stages.resize_with(self.stages.len(), StageTape::default);
        let mut x = images;
        for (stage, memory) in self.stages.iter().zip(&mut tape.stages) {
            stage.forward(compute, parameters, x, &mut tape.convolved, memory);
            x = memory.pooled.as_ref();
        }
        let flat = Columns::new(x.as_slice(), self.linear.weight.columns(), batch);
        tape.linear.pack(compute, &self.linear, parameters);
        tape.projected.resize(self.output_size(), batch);
        tape.linear.forward(compute, flat, tape.projected.as_mut());
        tape.batch = Some(batch);
        let Some(norm) = &self.norm else { return tape.projected.as_ref() };
        tape.normalized.resize(self.output_size(), batch);
        let (projected, normalized) = (tape.projected.as_ref(), tape.normalized.as_mut());
        norm.forward(compute, parameters, projected, &mut tape.norm, normalized);
        tape.normalized.as_ref()
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the encoder's parameters. Images
    /// are data and get none.
    ///
    /// # Panics
    /// If the shape is not that of the features, or the tape's forward pass has been undone already.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut ImageEncoderTape<T>,
        d_features: Columns<'_, T>,
        gradients: &mut Parameters<T>,
    ) {
        let batch = tape.batch.take().expect("every backward pass needs a forward pass of its own");
        assert!(
            (d_features.rows(), d_features.columns()) == (self.output_size(), batch)
                && tape.stages.len() == self.stages.len(),
            "a gradient of {} features of {} images for an encoder that gave {} of {batch}",
            d_features.rows(),
            d_features.columns(),
            self.output_size()
        );
        let ImageEncoderTape { stages, convolved, norm, d_projected, d_pooled, .. } = tape;
        let d_projected = match &self.norm {
            None => d_features,
            Some(layer) => {
                d_projected.reset(self.output_size(), batch);
                let into = d_projected.as_mut();
                layer.backward(compute, parameters, norm, d_features, gradients, into);
                d_projected.as_ref()
            }
        };
        let pooled = &stages[stages.len() - 1].pooled;
        let flat = Columns::new(pooled.as_slice(), self.linear.weight.columns(), batch);
        d_pooled.reset(flat.rows(), batch);
        let d_flat = d_pooled.as_mut();
        self.linear.backward(compute, parameters, flat, d_projected, gradients, d_flat);
        d_pooled.resize(pooled.rows(), pooled.columns());
        for (k, (stage, memory)) in self.stages.iter().zip(stages).enumerate().rev() {
            let wanted = k > 0;
            stage.backward(compute, parameters, memory, convolved, d_pooled, wanted, gradients);
        }
    }

    /// The number of images.
    #[track_caller]
    fn check_images<T: Real>(&self, images: Columns<'_, T>) -> usize {
        let (config, size) = (&self.config, self.config.size());
        match size.images(images.columns()) {
            Some(batch)
                if (images.rows(), images.stride()) == (config.channels, config.channels) =>
            {
                batch
            }
            _ => panic!(
                "a block of {} rows x {} columns (stride {}) holds no images of {} channels x {} x \
                 {} pixels without gaps",
                images.rows(),
                images.columns(),
                images.stride(),
                config.channels,
                size.height,
                size.width
            ),
        }
    }
}

impl Stage {
    fn forward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        x: Columns<'_, T>,
        convolved: &mut Matrix<T>,
        memory: &mut StageTape<T>,
    ) {
        let StageTape { conv, patches, places, pooled } = memory;
        let channels = self.conv.weight.rows();
        let batch = x.columns() / self.size.pixels();
        conv.pack(compute, &self.conv, parameters);
        convolved.resize(channels, x.columns());
        conv.forward(compute, self.size, x, patches, convolved.as_mut());

        pooled.resize(channels, batch * self.size.pooled(WINDOW).pixels());
        places.resize(channels * pooled.columns(), 0);
        max_pool(compute, self.size, WINDOW, convolved.as_ref(), pooled.as_mut(), places);
        compute.split(pooled.as_mut_slice(), LEAST_NUMBERS, &|part: &mut [T]| {
            part.iter_mut().for_each(|x| *x = relu(*x));
        });
    }

    /// `d_pooled` becomes the gradient of x, if that is wanted.
    fn backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        memory: &mut StageTape<T>,
        d_convolved: &mut Matrix<T>,
        d_pooled: &mut Matrix<T>,
        wanted: bool,
        gradients: &mut Parameters<T>,
    ) {
        let StageTape { patches, places, pooled, .. } = memory;
        let values = pooled.as_slice();
        let piece = (d_pooled.as_mut_slice(), 0..values.len());
        compute.split(piece, LEAST_NUMBERS, &|(part, range): (&mut [T], Range<usize>)| {
            for (d, &y) in part.iter_mut().zip(&values[range]) {
                *d *= relu_slope(y);
            }
        });
        d_convolved.reset(pooled.rows(), patches.columns());
        let into = d_convolved.as_mut();
        max_pool_backward(compute, self.size, WINDOW, places, d_pooled.as_ref(), into);

        let d_x = wanted.then(|| {
            d_pooled.reset(patches.rows() / (KERNEL * KERNEL), patches.columns());
            d_pooled.as_mut()
        });
        let d_y = d_convolved.as_ref();
        self.conv.backward(compute, parameters, self.size, patches, d_y, gradients, d_x);
    }
}
