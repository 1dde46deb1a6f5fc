//! The container's bytes: preamble, header, padding and sections (`docs/checkpoint-format.md`).

use std::fmt;
use std::io::{self, Write};

use crate::checkpoint::Checkpoint;
use crate::codec::{self, Header, HeaderEntry, Limited};
use crate::error::{EncodeError, FormatError};

/// Starts every checkpoint. The first byte is not ASCII and the line ends are of both kinds, so
/// that a transfer as text is noticed at once; 0x1A ends a text file where that still matters.
pub(crate) const MAGIC: [u8; 8] = *b"\x89RNN\r\n\x1a\n";
/// The version that this build writes, and the latest that it reads.
pub(crate) const VERSION: Version = Version { major: 1, minor: 0 };
/// Critical flags that this build knows: none yet.
pub(crate) const KNOWN_FLAGS: u32 = 0;
/// Bytes of the preamble.
pub(crate) const PREAMBLE_BYTES: usize = 36;
/// Bytes of a CRC-32.
pub(crate) const CHECKSUM_BYTES: u64 = 4;
/// Sections begin at multiples of this, the alignment that vector loads and cache lines like.
pub(crate) const ALIGNMENT: u64 = 64;
/// No checkpoint is shorter: a preamble, an empty header and its checksum.
pub(crate) const LEAST_BYTES: u64 = PREAMBLE_BYTES as u64 + CHECKSUM_BYTES;

/// A version of the file format. A reader accepts every minor version of the major ones it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when older readers could misread the file.
    pub major: u16,
    /// Changes when something is added that older readers may ignore.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the preamble states, once its checksum and its lengths are known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) version: Version,
    pub(crate) flags: u32,
    pub(crate) header_bytes: u64,
    pub(crate) file_bytes: u64,
}

impl Preamble {
    /// The preamble's bytes, with their checksum.
    pub(crate) fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.major.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.version.minor.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.header_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.file_bytes.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a preamble from `start`, the first [`PREAMBLE_BYTES`] of a file of `real_bytes`, or
    /// all of it where it is shorter.
    ///
    /// The version is looked at before the checksum, because a later major version may have moved
    /// the checksum; the lengths after it, against the real size.
    pub(crate) fn decode(start: &[u8], real_bytes: u64) -> Result<Self, FormatError> {
        let magic = &start[..start.len().min(MAGIC.len())];
        if magic.is_empty() || !MAGIC.starts_with(magic) {
            return Err(FormatError::NotACheckpoint { begins_with: magic.to_vec() });
        }
        let Ok(bytes) = <&[u8; PREAMBLE_BYTES]>::try_from(start) else {
            return Err(FormatError::Truncated { found: real_bytes, expected: LEAST_BYTES });
        };
        let preamble = Self {
            version: Version {
                major: u16::from_le_bytes(field(bytes, 8)),
                minor: u16::from_le_bytes(field(bytes, 10)),
            },
            flags: u32::from_le_bytes(field(bytes, 12)),
            header_bytes: u64::from_le_bytes(field(bytes, 16)),
            file_bytes: u64::from_le_bytes(field(bytes, 24)),
        };
        if preamble.version.major > VERSION.major {
            return Err(FormatError::NewerVersion { found: preamble.version, supported: VERSION });
        }
        // Major version 0 was never released.
        if preamble.version.major == 0
            || crc32fast::hash(&bytes[..32]) != u32::from_le_bytes(field(bytes, 32))
        {
            return Err(FormatError::DamagedPreamble);
        }
        if preamble.flags & !KNOWN_FLAGS != 0 {
            return Err(FormatError::UnknownFeatures {
                flags: preamble.flags & !KNOWN_FLAGS,
                found: preamble.version,
                supported: VERSION,
            });
        }
        let (found, expected) = (real_bytes, preamble.file_bytes);
        if found < expected {
            return Err(FormatError::Truncated { found, expected });
        }
        if found > expected {
            return Err(FormatError::TrailingBytes { found, expected });
        }
        if preamble.header_bytes > codec::MAX_HEADER_BYTES as u64 {
            return Err(FormatError::InvalidHeader {
                reason: format!(
                    "it has {} bytes; at most {} are allowed",
                    preamble.header_bytes,
                    codec::MAX_HEADER_BYTES
                ),
            });
        }
        if preamble.sections_from() > preamble.file_bytes {
            return Err(FormatError::InvalidHeader {
                reason: format!(
                    "its {} bytes do not fit into a file of {}",
                    preamble.header_bytes, preamble.file_bytes
                ),
            });
        }
        Ok(preamble)
    }

    /// Where the header and its checksum end. Call it with a header length within its limit.
    pub(crate) fn sections_from(self) -> u64 {
        LEAST_BYTES + self.header_bytes
    }
}

/// The `N` bytes of `bytes` from `at`.
fn field<const N: usize>(bytes: &[u8; PREAMBLE_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// The next multiple of [`ALIGNMENT`], `None` beyond 64 bits.
pub(crate) fn aligned(offset: u64) -> Option<u64> {
    offset.checked_next_multiple_of(ALIGNMENT)
}

/// A checkpoint ready to be written: everything about it is decided and checked.
pub(crate) struct Encoded<'c> {
    checkpoint: &'c Checkpoint<'c>,
    /// Preamble, header and the header's checksum.
    head: Vec<u8>,
    /// The size of the whole file in bytes.
    file_bytes: u64,
}

impl<'c> Encoded<'c> {
    /// Computes checksums and places, without copying a section.
    pub(crate) fn new(checkpoint: &'c Checkpoint<'c>) -> Result<Self, EncodeError> {
        let entries = checkpoint.sections().map(|section| {
            let mut hasher = crc32fast::Hasher::new();
            let Ok(()) = section.data().visit_bytes(|bytes| {
                hasher.update(bytes);
                Ok::<(), std::convert::Infallible>(())
            });
            let data = section.data();
            HeaderEntry {
                name: section.name(),
                element_type: data.element_type().code(),
                shape: Limited(section.shape().iter().map(|&size| size as u64).collect()),
                offset: 0,
                length: (data.len() * data.element_type().bytes()) as u64,
                checksum: hasher.finalize(),
            }
        });
        let mut header = Header {
            kind: checkpoint.kind(),
            metadata: Limited(
                checkpoint.metadata().iter().map(|(key, value)| (&**key, &**value)).collect(),
            ),
            sections: Limited(entries.collect()),
        };
        // Integers have a fixed size, so the header is as long with its offsets as without.
        let header_bytes = codec::encode(&header)?.len() as u64;
        let mut file_bytes = LEAST_BYTES + header_bytes;
        for entry in &mut header.sections.0 {
            // Sections lie in this machine's memory, so that the sum of their sizes fits.
            entry.offset = file_bytes.next_multiple_of(ALIGNMENT);
            file_bytes = entry.offset + entry.length;
        }
        let header = codec::encode(&header)?;
        assert_eq!(header.len() as u64, header_bytes, "offsets changed the header's length");

        let preamble = Preamble { version: VERSION, flags: 0, header_bytes, file_bytes };
        let mut head = preamble.encode().to_vec();
        head.extend(&header);
        head.extend(crc32fast::hash(&header).to_le_bytes());
        Ok(Self { checkpoint, head, file_bytes })
    }

    /// The size of the whole file in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Writes the whole file to `out`.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        let mut position = self.head.len() as u64;
        for section in self.checkpoint.sections() {
            let offset = position.next_multiple_of(ALIGNMENT);
            out.write_all(&[0; ALIGNMENT as usize][..(offset - position) as usize])?;
            position = offset;
            section.data().visit_bytes(|bytes| {
                position += bytes.len() as u64;
                out.write_all(bytes)
            })?;
        }
        debug_assert_eq!(position, self.file_bytes);
        Ok(())
    }
}
