//! The header's bytes: the only place that names the serialisation library.
//!
//! Rules for what is written here, because a released struct can never change:
//! - structs only gain a successor (`HeaderV2`, with a `From<HeaderV1>`); fields are never reordered;
//! - every list is a [`Limited`]; none holds items of zero size, and nothing is recursive;
//! - no `Option`, `bool`, enum or map, and no serde attribute that changes the shape: with
//!   fixed-size integers each value then has exactly one encoding.
//!
//! `schema_tests.rs` holds every header against these rules.
//!
//! A `HeaderV2` is a struct beside [`HeaderV1`], a line in [`decode`], and what [`Header`] means;
//! the structs of released headers and their bytes stay as they are.
//!
//! Strings are borrowed from the header's bytes, so that a false length cannot reserve memory.

use std::fmt;
use std::marker::PhantomData;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::EncodeError;
use crate::format::Version;
use crate::section::MAX_DIMENSIONS;

#[cfg(test)]
mod schema_tests;

/// The most bytes that an encoded header may have.
pub(crate) const MAX_HEADER_BYTES: usize = 16 << 20;
/// The most sections in a file.
pub(crate) const MAX_SECTIONS: usize = 16_384;
/// The most entries of metadata in a file.
pub(crate) const MAX_METADATA: usize = 16_384;

/// Little-endian, integers of fixed size, and nothing above [`MAX_HEADER_BYTES`] when decoding.
const CONFIGURATION: Configuration<LittleEndian, Fixint, Limit<MAX_HEADER_BYTES>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit::<MAX_HEADER_BYTES>();

/// The header that is written, and that what is read becomes.
pub(crate) type Header<'a> = HeaderV1<'a>;
/// A section's entry in it.
pub(crate) type HeaderEntry<'a> = EntryV1<'a>;

/// The header of format 1.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeaderV1<'a> {
    /// What the checkpoint is of, for example `recurrent.language-model`.
    pub(crate) kind: &'a str,
    /// Keys and values, strictly ascending by key.
    #[serde(borrow)]
    pub(crate) metadata: Limited<(&'a str, &'a str), MAX_METADATA>,
    /// One entry a section, strictly ascending by name.
    #[serde(borrow)]
    pub(crate) sections: Limited<EntryV1<'a>, MAX_SECTIONS>,
}

/// A section's entry in the header of format 1.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryV1<'a> {
    /// The section's name.
    pub(crate) name: &'a str,
    /// The code of the elements' type.
    pub(crate) element_type: u32,
    /// The dimensions.
    pub(crate) shape: Limited<u64, MAX_DIMENSIONS>,
    /// Where the values begin, in bytes from the start of the file.
    pub(crate) offset: u64,
    /// Bytes of the values, without padding.
    pub(crate) length: u64,
    /// CRC-32 of the values' bytes.
    pub(crate) checksum: u32,
}

/// A list of at most `LIMIT` items. Decoding refuses a larger count before the first item, and
/// reserves memory for items that are there, not for those a count promises.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limited<T, const LIMIT: usize>(pub(crate) Vec<T>);

impl<T: Serialize, const LIMIT: usize> Serialize for Limited<T, LIMIT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Limited<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const LIMIT: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Items<T, LIMIT> {
            type Value = Limited<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {LIMIT} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                if items.size_hint().is_none_or(|count| count > LIMIT) {
                    return Err(A::Error::custom(format_args!(
                        "a list has more than {LIMIT} items"
                    )));
                }
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Limited(list))
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// Encodes `header`.
pub(crate) fn encode(header: &Header<'_>) -> Result<Vec<u8>, EncodeError> {
    let bound = |count, limit, error: fn(usize, usize) -> EncodeError| {
        if count > limit { Err(error(count, limit)) } else { Ok(()) }
    };
    bound(header.sections.0.len(), MAX_SECTIONS, |count, limit| EncodeError::TooManySections {
        count,
        limit,
    })?;
    bound(header.metadata.0.len(), MAX_METADATA, |count, limit| EncodeError::TooManyMetadata {
        count,
        limit,
    })?;
    let bytes = bincode::serde::encode_to_vec(header, CONFIGURATION)
        .expect("strings, integers and lists of known length always encode into memory");
    // The library applies its limit to decoding alone: without this check a writer could emit a
    // file that its own reader refuses.
    bound(bytes.len(), MAX_HEADER_BYTES, |bytes, limit| EncodeError::HeaderTooLarge {
        bytes,
        limit,
    })?;
    Ok(bytes)
}

/// Decodes the header of a file of `version` from the start of `bytes`, and says how many of them
/// it took: the caller decides what bytes behind it mean. The error is text for people.
pub(crate) fn decode(version: Version, bytes: &[u8]) -> Result<(Header<'_>, usize), String> {
    match version.major {
        1 => decode_as::<HeaderV1<'_>>(bytes),
        other => Err(format!("nothing is known of headers of format {other}")),
    }
}

/// Decodes an `H` from the start of `bytes`, and makes the current header of it.
fn decode_as<'a, H>(bytes: &'a [u8]) -> Result<(Header<'a>, usize), String>
where
    H: Deserialize<'a> + Into<Header<'a>>,
{
    bincode::serde::borrow_decode_from_slice::<H, _>(bytes, CONFIGURATION)
        .map(|(header, used)| (header.into(), used))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::VERSION;

    fn header() -> HeaderV1<'static> {
        HeaderV1 {
            kind: "k",
            metadata: Limited(vec![("a", "bc")]),
            sections: Limited(vec![EntryV1 {
                name: "w",
                element_type: 1,
                shape: Limited(vec![2, 3]),
                offset: 192,
                length: 24,
                checksum: 0xDEAD_BEEF,
            }]),
        }
    }

    /// The released layout, byte for byte: a field that is added, moved or given another type
    /// would make old files unreadable, and fails here.
    #[test]
    fn header_v1_has_the_documented_bytes() {
        let mut expected = Vec::new();
        let number = |value: u64| value.to_le_bytes();
        expected.extend(number(1));
        expected.extend(b"k");
        expected.extend(number(1));
        expected.extend(number(1));
        expected.extend(b"a");
        expected.extend(number(2));
        expected.extend(b"bc");
        expected.extend(number(1));
        expected.extend(number(1));
        expected.extend(b"w");
        expected.extend(1_u32.to_le_bytes());
        expected.extend(number(2));
        expected.extend(number(2));
        expected.extend(number(3));
        expected.extend(number(192));
        expected.extend(number(24));
        expected.extend(0xDEAD_BEEF_u32.to_le_bytes());
        let bytes = encode(&header()).unwrap();
        assert_eq!(bytes, expected);
        assert_eq!(decode(VERSION, &bytes).unwrap(), (header(), bytes.len()));
    }

    /// The writer's bound and the reader's are the same number.
    #[test]
    fn the_largest_header_that_is_written_can_be_read() {
        let with_value = |length: usize| {
            let value = "v".repeat(length);
            let header = HeaderV1 {
                kind: "k",
                metadata: Limited(vec![("a", &value)]),
                sections: Limited(Vec::new()),
            };
            encode(&header).map(|bytes| {
                assert_eq!(decode(VERSION, &bytes), Ok((header, bytes.len())));
                bytes.len()
            })
        };
        let around = with_value(0).unwrap();
        assert_eq!(with_value(MAX_HEADER_BYTES - around), Ok(MAX_HEADER_BYTES));
        assert_eq!(
            with_value(MAX_HEADER_BYTES - around + 1),
            Err(EncodeError::HeaderTooLarge {
                bytes: MAX_HEADER_BYTES + 1,
                limit: MAX_HEADER_BYTES
            })
        );
    }

    #[test]
    fn lists_above_their_limit_are_refused_by_writer_and_reader() {
        let metadata = |count| HeaderV1 {
            kind: "",
            metadata: Limited(vec![("", ""); count]),
            sections: Limited(Vec::new()),
        };
        let bytes = encode(&metadata(MAX_METADATA)).unwrap();
        assert!(decode(VERSION, &bytes).is_ok());
        assert_eq!(
            encode(&metadata(MAX_METADATA + 1)),
            Err(EncodeError::TooManyMetadata { count: MAX_METADATA + 1, limit: MAX_METADATA })
        );
        for count in [MAX_METADATA as u64 + 1, 1 << 32, 1 << 63, u64::MAX] {
            let mut bytes = bytes.clone();
            // One item more is there: only the bound can refuse it.
            bytes.extend([0; 16]);
            bytes[8..16].copy_from_slice(&count.to_le_bytes());
            assert!(decode(VERSION, &bytes).is_err(), "{count}");
        }
    }
}
