//! What tasks on images have in common: images as examples hold them, what the training images
//! teach, and how images enter a model.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use recurrent_kernels::Matrix;
use recurrent_topologies::{ImageEncoderConfig, ImageInputConfig};
use serde::{Deserialize, Serialize};

use super::examples::{Fingerprint, columns};
use crate::builtin::Drawing;
use crate::data::images::{self, PictureShape};
use crate::data::{DataError, Image, Pictures, PixelScale, Row, Source, Table};
use crate::options::Options;

/// What an encoder of images is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSettings {
    /// The output channels of each convolution.
    pub convolutions: Vec<usize>,
    /// How many features an image has.
    pub features: usize,
}

impl Default for ImageSettings {
    /// Enough to tell shapes, colours and places of a few objects.
    fn default() -> Self {
        ImageSettings { convolutions: vec![8, 16, 32], features: 128 }
    }
}

/// So many images of the training say what features have in common, before it begins.
pub const CENTERING_IMAGES: usize = 256;

/// What shows an image. Several examples may share one; pixels stay bytes until they are in a
/// batch.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Its pixels.
    Image(Arc<Image>),
    /// Numbers made of it before.
    Features(Arc<[f32]>),
}

impl Picture {
    /// What a model that reads it must have been trained with.
    pub fn shape(&self) -> PictureShape {
        match self {
            Picture::Image(image) => {
                PictureShape::Image { height: image.height, width: image.width }
            }
            Picture::Features(features) => PictureShape::Features { size: features.len() },
        }
    }

    /// The same for equal pictures, whatever they are called.
    pub fn key(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        take_in(&mut fingerprint, [self]);
        format!("{:016x}", fingerprint.value())
    }

    /// Whether they are one and the same, not only alike.
    fn is(&self, other: &Picture) -> bool {
        match (self, other) {
            (Picture::Image(a), Picture::Image(b)) => Arc::ptr_eq(a, b),
            (Picture::Features(a), Picture::Features(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// The rows of a table whose first wanted column holds images or features, each with the
/// [key](Picture::key) of its picture.
///
/// # Errors
/// [`DataError`] if it is no such table, or an image cannot be read.
pub fn read_table(
    source: &Source,
    wanted: &[&'static str],
    options: &Options,
) -> Result<Vec<(Picture, Arc<str>, Row)>, DataError> {
    let table = Table::read(source, wanted, &columns(options))?;
    let keyed = |picture: Picture| {
        let key = Arc::from(picture.key());
        (picture, key)
    };
    let pictures: Vec<(Picture, Arc<str>)> = match Pictures::read(source, &table, 0)? {
        Pictures::Images { images, of_row } => {
            let images = images.into_iter().map(|image| keyed(Picture::Image(Arc::new(image))));
            let images: Vec<_> = images.collect();
            of_row.into_iter().map(|index| images[index].clone()).collect()
        }
        Pictures::Features { vectors, .. } => {
            vectors.into_iter().map(|vector| keyed(Picture::Features(vector.into()))).collect()
        }
    };
    let row = |((picture, key), row)| (picture, key, row);
    Ok(pictures.into_iter().zip(table.rows).map(row).collect())
}

/// A drawing as an image.
pub fn drawn(drawing: &Drawing) -> Picture {
    let &Drawing { height, width, ref pixels } = drawing;
    Picture::Image(Arc::new(Image { height, width, channels: CHANNELS, pixels: pixels.clone() }))
}

/// Red, green and blue.
const CHANNELS: usize = 3;

/// What the training images taught before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureCodec {
    shape: PictureShape,
    /// Of pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<PixelScale>,
}

impl PictureCodec {
    /// The shape and the scale of training images that are all of one shape, each counted once.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn learn<'p>(pictures: impl IntoIterator<Item = &'p Picture>) -> PictureCodec {
        let mut pictures = pictures.into_iter().peekable();
        let shape = pictures.peek().expect("a training has an image").shape();
        let mut images: Vec<&Arc<Image>> = pictures
            .filter_map(|picture| match picture {
                Picture::Image(image) => Some(image),
                Picture::Features(_) => None,
            })
            .collect();
        // In which order does not matter to the scale.
        images.sort_unstable_by_key(|image| Arc::as_ptr(image));
        images.dedup_by_key(|image| Arc::as_ptr(image));
        let scale = (!images.is_empty())
            .then(|| PixelScale::of(images.into_iter().map(|image| image.as_ref())));
        PictureCodec { shape, scale }
    }

    /// That of so many features, which need no scale.
    pub fn of_features(size: usize) -> PictureCodec {
        PictureCodec { shape: PictureShape::Features { size }, scale: None }
    }

    /// Whether its parts belong together; a file may hold anything.
    pub(super) fn fits(&self) -> bool {
        match (self.shape, &self.scale) {
            (PictureShape::Features { .. }, scale) => scale.is_none(),
            (PictureShape::Image { height, width }, Some(PixelScale { mean, deviation })) => {
                height.max(width) <= images::LONGEST_SIDE
                    && mean.iter().all(|mean| mean.is_finite())
                    && deviation.iter().all(|&deviation| deviation > 0.0 && deviation.is_finite())
            }
            (PictureShape::Image { .. }, None) => false,
        }
    }

    /// What the model reads.
    pub fn shape(&self) -> PictureShape {
        self.shape
    }

    /// Checks that the model can read pictures that are all of one shape; `name` is the data as the
    /// person named them.
    ///
    /// # Errors
    /// [`DataError::PictureShape`].
    pub fn require(&self, name: &str, first: Option<&Picture>) -> Result<(), DataError> {
        match first.map(Picture::shape).filter(|&shape| shape != self.shape) {
            None => Ok(()),
            Some(found) => Err(DataError::PictureShape {
                name: name.to_owned(),
                found: found.to_string(),
                expected: self.shape.to_string(),
            }),
        }
    }

    /// A batch as a model reads it: standardised pixels, or columns of features.
    ///
    /// # Panics
    /// If a picture has another shape.
    #[track_caller]
    pub fn batch<'p>(&self, pictures: impl IntoIterator<Item = &'p Picture>) -> Matrix<f32> {
        let pictures = pictures.into_iter().inspect(|picture| {
            assert!(picture.shape() == self.shape, "{} in a batch", picture.shape());
        });
        let (mut images, mut numbers) = (Vec::new(), Vec::new());
        for picture in pictures {
            match picture {
                Picture::Image(image) => images.push(image.as_ref()),
                Picture::Features(features) => numbers.extend_from_slice(features),
            }
        }
        let rows = match (self.shape, &self.scale) {
            (PictureShape::Features { size }, _) => size,
            (PictureShape::Image { .. }, scale) => {
                let scale = scale.as_ref().expect("images have taught a scale");
                numbers = scale.standardize(&images);
                CHANNELS
            }
        };
        let columns = numbers.len() / rows;
        Matrix::from_columns(numbers, rows, columns)
    }

    /// How pictures enter a model. Given features are normalised, because nobody knows how large they
    /// are; those of the model's own encoder if `normalize` says so.
    pub fn input(&self, settings: &ImageSettings, normalize: bool) -> ImageInputConfig {
        match self.shape {
            PictureShape::Image { height, width } => ImageInputConfig::Pixels(ImageEncoderConfig {
                height,
                width,
                channels: CHANNELS,
                convolutions: settings.convolutions.clone(),
                output_size: settings.features,
                normalize,
            }),
            PictureShape::Features { size } => ImageInputConfig::Features { size, normalize: true },
        }
    }

    /// Numbers that an image leaves on the tape at least: patches and what the kernels make of
    /// them.
    pub fn tape(&self, settings: &ImageSettings) -> u128 {
        let PictureShape::Image { height, width } = self.shape else { return 0 };
        let (mut pixels, mut channels, mut numbers) = ((height * width) as u128, CHANNELS, 0);
        for &next in &settings.convolutions {
            numbers += pixels * (9 * channels + next) as u128;
            (pixels, channels) = (pixels / 4, next);
        }
        numbers
    }

    /// What a person names to be looked at: an image, by a path relative to `folder` or to the
    /// working folder, or features.
    ///
    /// # Errors
    /// A line that says what is wrong with it.
    pub fn look(&self, folder: &Path, text: &str) -> anyhow::Result<Picture> {
        let text = text.trim();
        let PictureShape::Image { height, width } = self.shape else {
            let features = images::parse_features(text).ok_or_else(|| {
                anyhow!(
                    "is not a list of finite numbers separated by blanks; the model reads {}",
                    self.shape
                )
            })?;
            let picture = Picture::Features(features.into());
            return match picture.shape() == self.shape {
                true => Ok(picture),
                false => {
                    Err(anyhow!("holds {}, but the model reads {}", picture.shape(), self.shape))
                }
            };
        };
        let beside = folder.join(text);
        let path =
            if beside.exists() || !Path::new(text).exists() { &beside } else { Path::new(text) };
        let image = images::load(path)?;
        if (image.height, image.width) != (height, width) {
            return Err(anyhow!(
                "the image {} has {}x{} pixels, but the model was trained with images of \
                 {width}x{height}; resize it",
                path.display(),
                image.width,
                image.height
            ));
        }
        Ok(Picture::Image(Arc::new(image)))
    }
}

/// Takes the pictures of examples into a fingerprint; one that neighbours share, once.
pub fn take_in<'p>(fingerprint: &mut Fingerprint, pictures: impl IntoIterator<Item = &'p Picture>) {
    let mut before: Option<&Picture> = None;
    for picture in pictures {
        let same = before.is_some_and(|before| before.is(picture));
        fingerprint.number(u64::from(same));
        if !same {
            match picture {
                Picture::Features(features) => fingerprint.numbers(features),
                Picture::Image(image) => {
                    fingerprint.number(image.width as u64);
                    for bytes in image.pixels.chunks(8) {
                        let fold = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
                        fingerprint.number(bytes.iter().fold(0, fold));
                    }
                }
            }
        }
        before = Some(picture);
    }
}
