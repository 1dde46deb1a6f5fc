//! Images, and features that somebody else has made of images.

use super::{DataError, Problem, Source, Table, problem};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

mod decode;

/// The longest side of an image that is read: 48 MiB of pixels.
pub(crate) const LONGEST_SIDE: usize = 4096;

/// An image in red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 3: red, green, blue.
    pub channels: usize,
    /// From 0 to 255: row after row from the top, in it position after position from the left,
    /// and of each position its channels.
    pub pixels: Vec<u8>,
}

/// What the image column of a table holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Pictures {
    /// Paths of images.
    Images {
        /// The different images, all of one size.
        images: Vec<Image>,
        /// The image of each row of the table.
        of_row: Vec<usize>,
    },
    /// Numbers made of images before.
    Features {
        /// How many each row has.
        size: usize,
        /// Those of each row of the table.
        vectors: Vec<Vec<f32>>,
    },
}

/// What a model reads in the place of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureShape {
    /// Images of this size.
    Image {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Features.
    Features {
        /// How many.
        size: usize,
    },
}

impl fmt::Display for PictureShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PictureShape::Image { height, width } => write!(f, "images of {width}x{height} pixels"),
            PictureShape::Features { size } => write!(f, "lists of {size} features"),
        }
    }
}

/// Reads a PNG or JPEG file of at most 4096 x 4096 pixels. Grey becomes equal red, green and blue;
/// what is transparent shows white behind it; 16 bits become 8. Colour profiles and notes on how
/// a camera was held are ignored.
///
/// # Errors
/// [`Problem::MissingImage`], [`Problem::BrokenImage`].
pub fn load(path: &Path) -> Result<Image, Problem> {
    let broken = |reason| Problem::BrokenImage { path: path.to_owned(), reason };
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Problem::MissingImage { path: path.to_owned() }
        }
        _ => broken(error.to_string()),
    })?;
    decode::image(&bytes).map_err(broken)
}

/// The numbers of a cell, separated by blanks; `None` if one is none or not finite, or there is
/// none.
pub fn parse_features(cell: &str) -> Option<Vec<f32>> {
    let numbers = cell.split_whitespace().map(|number| number.parse().ok());
    let numbers: Vec<f32> = numbers.collect::<Option<_>>()?;
    (!numbers.is_empty() && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
}

impl Pictures {
    /// Reads the images that column `column` (from 0) of a table names, each file once, or the
    /// features that it holds. A path is relative to the file of the table.
    ///
    /// # Errors
    /// [`DataError::At`] with the table's line: a file is missing, broken or of another size than
    /// the first, a cell is neither a path that ends in `.png`, `.jpg` or `.jpeg` nor numbers, or
    /// the rows are not all of one kind and length.
    ///
    /// # Panics
    /// If the table has no row or no such column.
    pub fn read(source: &Source, table: &Table, column: usize) -> Result<Pictures, DataError> {
        let first = &table.rows[0];
        let is_image = |cell: &str| {
            let extension = Path::new(cell).extension().unwrap_or_default();
            ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        };
        let mut reading = match is_image(&first.cells[column]) {
            true => Reading::Images(Images::default()),
            false => Reading::Features(Vec::new()),
        };
        for row in &table.rows {
            let cell = row.cells[column].as_str();
            let result = match (&mut reading, is_image(cell)) {
                (Reading::Images(images), true) => images.add(source.beside(cell)),
                (Reading::Images(_), false) => match parse_features(cell) {
                    Some(_) => Err(mixed("features", "images")),
                    None => Err(Problem::NotAPicture { cell: problem::shortened(cell) }),
                },
                (Reading::Features(_), true) => Err(mixed("an image", "features")),
                (Reading::Features(vectors), false) => add_features(vectors, cell, first.line),
            };
            result.map_err(|problem| DataError::at(&table.name, row.line, problem))?;
        }
        Ok(match reading {
            Reading::Images(Images { images, of_row, .. }) => Pictures::Images { images, of_row },
            Reading::Features(vectors) => Pictures::Features { size: vectors[0].len(), vectors },
        })
    }

    /// What a model that is trained on these reads.
    pub fn shape(&self) -> PictureShape {
        match self {
            Pictures::Images { images, .. } => {
                PictureShape::Image { height: images[0].height, width: images[0].width }
            }
            Pictures::Features { size, .. } => PictureShape::Features { size: *size },
        }
    }

    /// Checks that a model that was trained on `expected` can read these; `name` is the data as
    /// the person named them.
    ///
    /// # Errors
    /// [`DataError::PictureShape`].
    pub fn require(&self, name: &str, expected: PictureShape) -> Result<(), DataError> {
        let found = self.shape();
        if found == expected {
            return Ok(());
        }
        let (name, found, expected) = (name.to_owned(), found.to_string(), expected.to_string());
        Err(DataError::PictureShape { name, found, expected })
    }
}

enum Reading {
    Images(Images),
    Features(Vec<Vec<f32>>),
}

/// The images read so far.
#[derive(Default)]
struct Images {
    images: Vec<Image>,
    of_row: Vec<usize>,
    known: HashMap<PathBuf, usize>,
    first: PathBuf,
}

impl Images {
    fn add(&mut self, path: PathBuf) -> Result<(), Problem> {
        if let Some(&index) = self.known.get(&path) {
            self.of_row.push(index);
            return Ok(());
        }
        let image = load(&path)?;
        match self.images.first() {
            None => self.first.clone_from(&path),
            Some(first) if (first.width, first.height) != (image.width, image.height) => {
                let size = |image: &Image| format!("{}x{}", image.width, image.height);
                let (size, first_size) = (size(&image), size(first));
                return Err(Problem::ImageSize {
                    path,
                    size,
                    first: self.first.clone(),
                    first_size,
                });
            }
            Some(_) => {}
        }
        self.of_row.push(self.images.len());
        self.known.insert(path, self.images.len());
        self.images.push(image);
        Ok(())
    }
}

fn add_features(vectors: &mut Vec<Vec<f32>>, cell: &str, first: usize) -> Result<(), Problem> {
    let features = parse_features(cell)
        .ok_or_else(|| Problem::NotAPicture { cell: problem::shortened(cell) })?;
    let expected = vectors.first().map_or(features.len(), Vec::len);
    if features.len() != expected {
        let found = problem::count(features.len(), "feature");
        return Err(Problem::FeatureCount { found, first, expected });
    }
    vectors.push(features);
    Ok(())
}

fn mixed(found: &'static str, expected: &'static str) -> Problem {
    Problem::MixedPictures { found, expected }
}

/// What pixels are shifted and divided by, so that over the training images each channel has mean
/// 0 and standard deviation 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelScale {
    /// The mean of each channel, between 0 and 255.
    pub mean: [f32; 3],
    /// The standard deviation of each channel; 1 where it does not vary.
    pub deviation: [f32; 3],
}

impl PixelScale {
    /// The scale of the training images. Sums are of whole numbers, so their order is nothing.
    ///
    /// # Panics
    /// If there is no pixel.
    #[track_caller]
    pub fn of<'a>(images: impl IntoIterator<Item = &'a Image>) -> PixelScale {
        let (mut count, mut sums, mut squares) = (0_u64, [0_u64; 3], [0_u64; 3]);
        for pixel in images.into_iter().flat_map(|image| image.pixels.chunks_exact(3)) {
            count += 1;
            for channel in 0..3 {
                let value = u64::from(pixel[channel]);
                sums[channel] += value;
                squares[channel] += value * value;
            }
        }
        assert!(count > 0, "no pixel to take the mean of");
        let mean = sums.map(|sum| (sum as f64 / count as f64) as f32);
        let deviation = std::array::from_fn(|channel| {
            // count^2 variance = count sum(x^2) - (sum x)^2
            let [count, sum, square] = [count, sums[channel], squares[channel]].map(u128::from);
            match count * square - sum * sum {
                0 => 1.0,
                varies => ((varies as f64).sqrt() / count as f64) as f32,
            }
        });
        PixelScale { mean, deviation }
    }

    /// The pixels of all images, one image after the other, each in the order of
    /// [`Image::pixels`]: `(pixel - mean) / deviation`.
    pub fn standardize(&self, images: &[&Image]) -> Vec<f32> {
        let mut standardized =
            Vec::with_capacity(images.iter().map(|image| image.pixels.len()).sum());
        for pixel in images.iter().flat_map(|image| image.pixels.chunks_exact(3)) {
            for channel in 0..3 {
                let shifted = f32::from(pixel[channel]) - self.mean[channel];
                standardized.push(shifted / self.deviation[channel]);
            }
        }
        standardized
    }
}
