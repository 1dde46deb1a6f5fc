//! One section of a checkpoint: a name, a shape and the values, owned or borrowed.

use std::borrow::Cow;
use std::fmt;

use crate::error::ContentError;

/// The most dimensions that a shape may have.
pub(crate) const MAX_DIMENSIONS: usize = 16;

/// Values are turned into bytes, and back, in runs of at most this many bytes. It is a multiple of
/// every element's size and small enough to stay in the first-level cache.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;

/// The type of a section's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// IEEE 754 double precision, 8 bytes.
    F64,
    /// Bytes without a further meaning to the format: text, packed state.
    U8,
    /// Unsigned integers of 4 bytes.
    U32,
    /// Unsigned integers of 8 bytes.
    U64,
}

impl ElementType {
    /// The number of bytes of one value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 | Self::U32 => 4,
            Self::F64 | Self::U64 => 8,
        }
    }

    /// The number that stands for this type in a file. Numbers are never reused.
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::F32 => 1,
            Self::F64 => 2,
            Self::U8 => 3,
            Self::U32 => 4,
            Self::U64 => 5,
        }
    }

    /// The type that `code` stands for, if this build knows it.
    pub(crate) const fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::F32),
            2 => Some(Self::F64),
            3 => Some(Self::U8),
            4 => Some(Self::U32),
            5 => Some(Self::U64),
            _ => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U8 => "u8",
            Self::U32 => "u32",
            Self::U64 => "u64",
        })
    }
}

/// The values of a section, owned (`Vec`) or borrowed (`&[T]`), so that a snapshot of a large model
/// needs no copy of its parameters. What is loaded is always owned.
///
/// A file keeps the bits of every value: the sign of zero, subnormals and the payload of a NaN.
#[derive(Clone)]
#[non_exhaustive]
pub enum Data<'a> {
    /// Single precision.
    F32(Cow<'a, [f32]>),
    /// Double precision.
    F64(Cow<'a, [f64]>),
    /// Unsigned integers of 8 bytes.
    U64(Cow<'a, [u64]>),
    /// Unsigned integers of 4 bytes.
    U32(Cow<'a, [u32]>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

/// Evaluates `$body` with `$values` bound to the slice inside `$data`, whatever its type.
macro_rules! with_values {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::F32($values) => $body,
            Data::F64($values) => $body,
            Data::U64($values) => $body,
            Data::U32($values) => $body,
            Data::Bytes($values) => $body,
        }
    };
}

impl Data<'_> {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        with_values!(self, values => values.len())
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the values.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F64(_) => ElementType::F64,
            Self::U64(_) => ElementType::U64,
            Self::U32(_) => ElementType::U32,
            Self::Bytes(_) => ElementType::U8,
        }
    }

    /// Copies borrowed values; owned ones are moved.
    #[must_use]
    pub fn into_owned(self) -> Data<'static> {
        match self {
            Self::F32(values) => Data::F32(Cow::Owned(values.into_owned())),
            Self::F64(values) => Data::F64(Cow::Owned(values.into_owned())),
            Self::U64(values) => Data::U64(Cow::Owned(values.into_owned())),
            Self::U32(values) => Data::U32(Cow::Owned(values.into_owned())),
            Self::Bytes(values) => Data::Bytes(Cow::Owned(values.into_owned())),
        }
    }

    /// Shows the values as little-endian bytes, in order, in runs of at most [`CHUNK_BYTES`].
    pub(crate) fn visit_bytes<E>(
        &self,
        visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        with_values!(self, values => visit_values(values, visit))
    }
}

/// The number of values stands for the values: a model has millions.
impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}; {}]", self.element_type(), self.len())
    }
}

/// See [`Data::visit_bytes`]. The copy through a buffer is what keeps the bytes little-endian on
/// every machine; where the machine is little-endian the compiler turns it into a plain copy.
fn visit_values<T: Element, E>(
    values: &[T],
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = [0; CHUNK_BYTES];
    for run in values.chunks(CHUNK_BYTES / T::BYTES) {
        let bytes = &mut buffer[..run.len() * T::BYTES];
        for (value, place) in run.iter().zip(bytes.chunks_exact_mut(T::BYTES)) {
            value.write_to(place);
        }
        visit(bytes)?;
    }
    Ok(())
}

mod sealed {
    use super::Data;

    /// What the crate needs of an element type; nobody else can implement it.
    pub trait Sealed: Sized {
        /// Bytes of one value.
        const BYTES: usize;
        /// Writes the value, little-endian, to exactly `BYTES` bytes.
        fn write_to(self, place: &mut [u8]);
        /// Reads a value, little-endian, from exactly `BYTES` bytes.
        fn read_from(place: &[u8]) -> Self;
        /// The values of `data`, if they are of this type.
        fn slice<'d>(data: &'d Data<'_>) -> Option<&'d [Self]>;
        /// The values of `data`, if they are of this type; borrowed ones are copied.
        fn into_vec(data: Data<'_>) -> Option<Vec<Self>>;
    }
}

/// A type that a section can hold: `f32`, `f64`, `u8`, `u32` or `u64`. Sealed.
pub trait Element: sealed::Sealed + Copy + 'static {
    /// The same type as a value.
    const TYPE: ElementType;
}

macro_rules! element {
    ($type:ty, $variant:ident, $element_type:ident) => {
        impl sealed::Sealed for $type {
            const BYTES: usize = size_of::<$type>();

            #[inline]
            fn write_to(self, place: &mut [u8]) {
                place.copy_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn read_from(place: &[u8]) -> Self {
                let mut bytes = [0; size_of::<$type>()];
                bytes.copy_from_slice(place);
                Self::from_le_bytes(bytes)
            }

            fn slice<'d>(data: &'d Data<'_>) -> Option<&'d [Self]> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }

            fn into_vec(data: Data<'_>) -> Option<Vec<Self>> {
                match data {
                    Data::$variant(values) => Some(values.into_owned()),
                    _ => None,
                }
            }
        }

        impl Element for $type {
            const TYPE: ElementType = ElementType::$element_type;
        }

        impl From<Vec<$type>> for Data<'_> {
            fn from(values: Vec<$type>) -> Self {
                Self::$variant(Cow::Owned(values))
            }
        }

        impl<const N: usize> From<[$type; N]> for Data<'_> {
            fn from(values: [$type; N]) -> Self {
                Self::$variant(Cow::Owned(values.into()))
            }
        }

        impl<'a> From<&'a [$type]> for Data<'a> {
            fn from(values: &'a [$type]) -> Self {
                Self::$variant(Cow::Borrowed(values))
            }
        }

        impl<'a> From<&'a Vec<$type>> for Data<'a> {
            fn from(values: &'a Vec<$type>) -> Self {
                Self::$variant(Cow::Borrowed(values))
            }
        }
    };
}

element!(f32, F32, F32);
element!(f64, F64, F64);
element!(u8, Bytes, U8);
element!(u32, U32, U32);
element!(u64, U64, U64);

/// The number of values of `shape`: the product of its dimensions, 1 for the empty shape of a
/// scalar. `None` when a product, taken from the left, does not fit in 64 bits.
pub(crate) fn element_count(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1, |count: u64, &dimension| count.checked_mul(dimension))
}

/// A named, shaped run of values in a [`Checkpoint`](crate::Checkpoint).
///
/// The product of the shape is the number of values; the empty shape is a scalar. What a shape
/// means (which dimension runs fastest) belongs to whoever writes the section.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    name: String,
    shape: Vec<usize>,
    data: Data<'a>,
}

impl<'a> Section<'a> {
    /// Joins parts that are already known to fit together.
    pub(crate) fn from_parts(name: String, shape: Vec<usize>, data: Data<'a>) -> Self {
        debug_assert_eq!(
            element_count(&shape.iter().map(|&size| size as u64).collect::<Vec<_>>()),
            Some(data.len() as u64)
        );
        Self { name, shape, data }
    }

    /// The name, unique within a checkpoint.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape; its product is the number of values.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, of whichever type they are.
    #[must_use]
    pub fn data(&self) -> &Data<'a> {
        &self.data
    }

    /// The values, taken out of the section.
    #[must_use]
    pub fn into_data(self) -> Data<'a> {
        self.data
    }

    /// Copies borrowed values; owned ones are moved.
    #[must_use]
    pub fn into_owned(self) -> Section<'static> {
        Section { name: self.name, shape: self.shape, data: self.data.into_owned() }
    }

    /// The values as type `T`, whatever the shape.
    ///
    /// # Errors
    /// [`ContentError::WrongType`] when the section holds another type: nothing is converted.
    pub fn values<T: Element>(&self) -> Result<&[T], ContentError> {
        T::slice(&self.data).ok_or_else(|| ContentError::WrongType {
            name: self.name.clone(),
            expected: T::TYPE,
            found: self.data.element_type(),
        })
    }

    /// The values as type `T`, when the shape is `shape`.
    ///
    /// # Errors
    /// [`ContentError::WrongType`] or [`ContentError::WrongShape`].
    pub fn values_shaped<T: Element>(&self, shape: &[usize]) -> Result<&[T], ContentError> {
        let values = self.values()?;
        if self.shape != shape {
            return Err(ContentError::WrongShape {
                name: self.name.clone(),
                expected: shape.to_vec(),
                found: self.shape.clone(),
            });
        }
        Ok(values)
    }
}
