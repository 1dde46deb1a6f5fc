//! Reading: every check in the order that lets nothing be believed before it is verified, and
//! nothing be allocated that the file's real size does not cover.
//!
//! Magic, version, checksum of the preamble, lengths against the real size and the caps, checksum
//! of the header, its decoding, shapes against lengths, places without hole or overlap; only then
//! memory for a section, its bytes, and its checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::codec::{self, Header, HeaderEntry};
use crate::error::{FormatError, LoadError};
use crate::format::{
    ALIGNMENT, CHECKSUM_BYTES, PREAMBLE_BYTES, Preamble, VERSION, Version, aligned,
};
use crate::section::{CHUNK_BYTES, Data, Element, ElementType, Section, element_count};

/// Bytes that are read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// What a checkpoint file holds, without the values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The version of the file's format.
    pub version: Version,
    /// The size of the file in bytes.
    pub file_bytes: u64,
    /// What the checkpoint is of.
    pub kind: String,
    /// Short texts by key.
    pub metadata: BTreeMap<String, String>,
    /// The sections, ascending by name.
    pub sections: Vec<SectionSummary>,
}

impl Summary {
    /// Whether every section is intact, so that the file can be loaded.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.sections.iter().all(|section| section.intact)
    }
}

/// What a section holds, without the values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionSummary {
    /// The name.
    pub name: String,
    /// The type of the values.
    pub element_type: ElementType,
    /// The shape.
    pub shape: Vec<usize>,
    /// Bytes of the values.
    pub bytes: u64,
    /// Whether the values pass their checksum.
    pub intact: bool,
}

/// Why reading stopped, before it is known whether there is a path to name.
enum Fault {
    Read(io::Error),
    Format(FormatError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

/// See [`Checkpoint::from_bytes`].
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Checkpoint<'static>, FormatError> {
    read(bytes, bytes.len() as u64).map_err(|fault| match fault {
        Fault::Format(error) => error,
        Fault::Read(error) => unreachable!("lengths were held against the slice: {error}"),
    })
}

/// See [`Checkpoint::load`].
pub(crate) fn load(path: &Path) -> Result<Checkpoint<'static>, LoadError> {
    with_file(path, read)
}

/// Reads the checkpoint at `path` through and verifies it, without keeping values.
///
/// # Errors
/// [`LoadError`] when the file is not a readable checkpoint. A section that fails its checksum is
/// no error here: it is reported in its [`SectionSummary`], so that a person sees what is lost.
pub fn inspect(path: impl AsRef<Path>) -> Result<Summary, LoadError> {
    with_file(path.as_ref(), |source, real_bytes| {
        let (mut reader, index) = Reader::open(source, real_bytes)?;
        let sections = index.entries.into_iter().map(|entry| {
            reader.skip_padding(entry.offset)?;
            let checksum = reader.visit(entry.bytes, |_| ())?;
            Ok(SectionSummary {
                intact: checksum == entry.checksum,
                name: entry.name,
                element_type: entry.element_type,
                shape: entry.shape,
                bytes: entry.bytes,
            })
        });
        let sections = sections.collect::<Result<_, Fault>>()?;
        Ok(Summary {
            version: index.version,
            file_bytes: real_bytes,
            kind: index.kind,
            metadata: index.metadata,
            sections,
        })
    })
}

/// Opens the regular file at `path` and gives it to `read` with its size.
fn with_file<T>(
    path: &Path,
    read: impl FnOnce(BufReader<File>, u64) -> Result<T, Fault>,
) -> Result<T, LoadError> {
    let cannot_read = |cause| LoadError::Read { path: path.to_owned(), cause };
    // Asked before opening, because opening a pipe waits for its other end.
    if !std::fs::metadata(path).map_err(cannot_read)?.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(cannot_read)?;
    let real_bytes = file.metadata().map_err(cannot_read)?.len();
    read(BufReader::with_capacity(READ_BYTES, file), real_bytes).map_err(|fault| match fault {
        Fault::Read(cause) => cannot_read(cause),
        Fault::Format(reason) => LoadError::Format { path: path.to_owned(), reason },
    })
}

/// Reads a whole checkpoint from a source of `real_bytes` bytes.
fn read(source: impl Read, real_bytes: u64) -> Result<Checkpoint<'static>, Fault> {
    let (mut reader, index) = Reader::open(source, real_bytes)?;
    let sections = index.entries.into_iter().map(|entry| {
        reader.skip_padding(entry.offset)?;
        let data = match entry.element_type {
            ElementType::F32 => Data::F32(reader.values(&entry)?.into()),
            ElementType::F64 => Data::F64(reader.values(&entry)?.into()),
            ElementType::U8 => Data::Bytes(reader.values(&entry)?.into()),
            ElementType::U32 => Data::U32(reader.values(&entry)?.into()),
            ElementType::U64 => Data::U64(reader.values(&entry)?.into()),
        };
        Ok(Section::from_parts(entry.name, entry.shape, data))
    });
    let sections = sections.collect::<Result<_, Fault>>()?;
    Ok(Checkpoint::from_parts(index.kind, index.metadata, sections))
}

/// A header whose every statement was checked.
struct Index {
    version: Version,
    kind: String,
    metadata: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

/// Where a section lies and what it is.
struct Entry {
    name: String,
    element_type: ElementType,
    shape: Vec<usize>,
    offset: u64,
    bytes: u64,
    checksum: u32,
}

/// A source read from front to back.
struct Reader<R> {
    source: R,
    /// Bytes read so far.
    position: u64,
}

impl<R: Read> Reader<R> {
    /// Reads and checks everything up to the first section.
    fn open(source: R, real_bytes: u64) -> Result<(Self, Index), Fault> {
        let mut reader = Self { source, position: 0 };
        let mut start = [0; PREAMBLE_BYTES];
        let start = &mut start[..real_bytes.min(PREAMBLE_BYTES as u64) as usize];
        reader.fill(start)?;
        let preamble = Preamble::decode(start, real_bytes)?;

        let mut header = reserve::<u8>(preamble.header_bytes)?;
        header.resize(preamble.header_bytes as usize, 0);
        reader.fill(&mut header)?;
        let mut checksum = [0; CHECKSUM_BYTES as usize];
        reader.fill(&mut checksum)?;
        if crc32fast::hash(&header) != u32::from_le_bytes(checksum) {
            return Err(FormatError::DamagedHeader.into());
        }
        let (decoded, used) = codec::decode(preamble.version, &header)
            .map_err(|reason| FormatError::InvalidHeader { reason })?;
        // A later minor version may append to the header; one that is known may not.
        if used != header.len() && preamble.version <= VERSION {
            return Err(FormatError::InvalidHeader {
                reason: format!("{} bytes behind its end", header.len() - used),
            }
            .into());
        }
        let index = check(&decoded, preamble)?;
        Ok((reader, index))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.source.read_exact(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Reads up to `offset`, less than [`ALIGNMENT`] away, and checks that all of it is zero.
    fn skip_padding(&mut self, offset: u64) -> Result<(), Fault> {
        let from = self.position;
        let mut padding = [0; ALIGNMENT as usize];
        let padding = &mut padding[..(offset - from) as usize];
        self.fill(padding)?;
        match padding.iter().position(|&byte| byte != 0) {
            Some(place) => Err(FormatError::DamagedPadding { offset: from + place as u64 }.into()),
            None => Ok(()),
        }
    }

    /// Shows the next `count` bytes in runs of at most [`CHUNK_BYTES`]; gives their checksum.
    fn visit(&mut self, count: u64, mut visit: impl FnMut(&[u8])) -> Result<u32, Fault> {
        let mut buffer = [0; CHUNK_BYTES];
        let mut hasher = crc32fast::Hasher::new();
        let mut left = count;
        while left > 0 {
            let run = &mut buffer[..left.min(CHUNK_BYTES as u64) as usize];
            self.fill(run)?;
            hasher.update(run);
            visit(run);
            left -= run.len() as u64;
        }
        Ok(hasher.finalize())
    }

    /// Reads the values of `entry` and verifies them.
    fn values<T: Element>(&mut self, entry: &Entry) -> Result<Vec<T>, Fault> {
        let mut values = reserve(entry.bytes / T::BYTES as u64)?;
        // Runs are a multiple of every element's size, so that no value is cut in two.
        let checksum = self.visit(entry.bytes, |bytes| {
            values.extend(bytes.chunks_exact(T::BYTES).map(T::read_from));
        })?;
        if checksum != entry.checksum {
            return Err(FormatError::DamagedSection { name: entry.name.clone() }.into());
        }
        Ok(values)
    }
}

/// An empty vector with room for `count` values.
fn reserve<T>(count: u64) -> Result<Vec<T>, FormatError> {
    let mut values = Vec::new();
    usize::try_from(count)
        .ok()
        .and_then(|count| values.try_reserve_exact(count).ok())
        .map(|()| values)
        .ok_or(FormatError::OutOfMemory { bytes: count.saturating_mul(size_of::<T>() as u64) })
}

/// Checks everything that a header states against itself and against the file's size.
fn check(header: &Header<'_>, preamble: Preamble) -> Result<Index, FormatError> {
    let metadata = &header.metadata.0;
    if let Some(pair) = metadata.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        return Err(FormatError::InvalidHeader {
            reason: format!("metadata {:?} does not come before {:?}", pair[0].0, pair[1].0),
        });
    }
    let sections = &header.sections.0;
    if let Some(pair) = sections.windows(2).find(|pair| pair[0].name >= pair[1].name) {
        return Err(FormatError::InvalidHeader {
            reason: format!("section {:?} does not come before {:?}", pair[0].name, pair[1].name),
        });
    }
    let mut end = preamble.sections_from();
    let mut entries = Vec::with_capacity(sections.len());
    for entry in sections {
        let (checked, entry_end) = check_entry(entry, end).map_err(|reason| {
            FormatError::InvalidSection { name: entry.name.to_owned(), reason }
        })?;
        end = entry_end;
        entries.push(checked);
    }
    if end != preamble.file_bytes {
        return Err(FormatError::InvalidHeader {
            reason: format!("its sections end at {end}, the file at {}", preamble.file_bytes),
        });
    }
    Ok(Index {
        version: preamble.version,
        kind: header.kind.to_owned(),
        metadata: metadata.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        entries,
    })
}

/// Checks one entry that must lie right behind `end`, and gives the end of its values.
fn check_entry(entry: &HeaderEntry<'_>, end: u64) -> Result<(Entry, u64), String> {
    let element_type = ElementType::from_code(entry.element_type)
        .ok_or_else(|| format!("its element type {} is unknown", entry.element_type))?;
    let bytes = element_count(&entry.shape.0)
        .and_then(|count| count.checked_mul(element_type.bytes() as u64))
        .filter(|&bytes| bytes == entry.length)
        .ok_or_else(|| {
            format!(
                "shape {:?} of {element_type} does not make {} bytes",
                entry.shape.0, entry.length
            )
        })?;
    let shape = entry.shape.0.iter().map(|&size| usize::try_from(size));
    let shape = shape
        .collect::<Result<_, _>>()
        .map_err(|_| format!("shape {:?} is too large for this machine", entry.shape.0))?;
    let offset = aligned(end)
        .filter(|&offset| offset == entry.offset)
        .ok_or_else(|| format!("it begins at {}, not right behind {end}", entry.offset))?;
    let end = offset
        .checked_add(bytes)
        .ok_or_else(|| format!("its {bytes} bytes from {offset} end beyond any file"))?;
    let name = entry.name.to_owned();
    let checksum = entry.checksum;
    Ok((Entry { name, element_type, shape, offset, bytes, checksum }, end))
}
