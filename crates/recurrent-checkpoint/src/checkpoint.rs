//! A checkpoint in memory: a kind, metadata and named sections.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{ContentError, EncodeError, FormatError, LoadError, SaveError};
use crate::format::Encoded;
use crate::section::{Data, Element, MAX_DIMENSIONS, Section, element_count};
use crate::{load, save};

/// Named sections of numbers, with a kind and metadata: everything that a file holds.
///
/// The crate gives names no meaning. Sections are kept in the order of their names, so that the
/// same content is the same bytes, however it was put together. The lifetime is that of borrowed
/// values ([`Data`]); what is loaded is `Checkpoint<'static>`.
#[derive(Clone, Debug)]
pub struct Checkpoint<'a> {
    kind: String,
    metadata: BTreeMap<String, String>,
    /// Strictly ascending by name.
    sections: Vec<Section<'a>>,
}

impl<'a> Checkpoint<'a> {
    /// An empty checkpoint. `kind` says what it is of, for example `recurrent.language-model`.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), metadata: BTreeMap::new(), sections: Vec::new() }
    }

    /// Joins parts that are already known to be right: sections strictly ascend by name.
    pub(crate) fn from_parts(
        kind: String,
        metadata: BTreeMap<String, String>,
        sections: Vec<Section<'a>>,
    ) -> Self {
        debug_assert!(sections.is_sorted_by(|a, b| a.name() < b.name()));
        Self { kind, metadata, sections }
    }

    /// What the checkpoint is of.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Checks the kind.
    ///
    /// # Errors
    /// [`ContentError::WrongKind`].
    pub fn require_kind(&self, kind: &str) -> Result<(), ContentError> {
        if self.kind == kind {
            Ok(())
        } else {
            Err(ContentError::WrongKind { expected: kind.to_owned(), found: self.kind.clone() })
        }
    }

    /// Short texts by key: settings, versions, names. Long text belongs into a section of bytes.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Short texts by key, to be changed.
    pub fn metadata_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.metadata
    }

    /// The metadata under `key`.
    ///
    /// # Errors
    /// [`ContentError::MissingMetadata`].
    pub fn require_metadata(&self, key: &str) -> Result<&str, ContentError> {
        self.metadata
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| ContentError::MissingMetadata { key: key.to_owned() })
    }

    /// Adds a section. `data` is owned (`Vec<T>`, `[T; N]`) or borrowed (`&[T]`, `&Vec<T>`), with
    /// `T` one of `f32`, `f64`, `u8`, `u32`, `u64`. The empty shape is a scalar.
    ///
    /// # Panics
    /// When the product of `shape` is not the number of values, when `shape` has more than 16
    /// dimensions, and when there is a section of this name already.
    #[track_caller]
    pub fn insert(&mut self, name: impl Into<String>, shape: &[usize], data: impl Into<Data<'a>>) {
        let (name, data) = (name.into(), data.into());
        let sizes: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
        if element_count(&sizes) != Some(data.len() as u64) || sizes.len() > MAX_DIMENSIONS {
            shape_does_not_fit(&name, shape, &data);
        }
        match self.position(&name) {
            Ok(_) => name_is_taken(&name),
            Err(place) => {
                self.sections.insert(place, Section::from_parts(name, shape.to_vec(), data));
            }
        }
    }

    /// Where the section is, or where it would be.
    fn position(&self, name: &str) -> Result<usize, usize> {
        self.sections.binary_search_by(|section| section.name().cmp(name))
    }

    /// All sections, ascending by name (by the bytes of the name).
    pub fn sections(&self) -> impl ExactSizeIterator<Item = &Section<'a>> {
        self.sections.iter()
    }

    /// The section of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Section<'a>> {
        self.position(name).ok().map(|place| &self.sections[place])
    }

    /// The section of this name.
    ///
    /// # Errors
    /// [`ContentError::MissingSection`].
    pub fn section(&self, name: &str) -> Result<&Section<'a>, ContentError> {
        self.get(name).ok_or_else(|| ContentError::MissingSection { name: name.to_owned() })
    }

    /// The values of the section of this name, type and shape.
    ///
    /// # Errors
    /// [`ContentError::MissingSection`], [`ContentError::WrongType`] or
    /// [`ContentError::WrongShape`].
    pub fn values<T: Element>(&self, name: &str, shape: &[usize]) -> Result<&[T], ContentError> {
        self.section(name)?.values_shaped(shape)
    }

    /// The only value of the scalar section of this name and type.
    ///
    /// # Errors
    /// As [`Checkpoint::values`], with the empty shape.
    pub fn value<T: Element>(&self, name: &str) -> Result<T, ContentError> {
        self.values(name, &[]).map(|values| values[0])
    }

    /// Like [`Checkpoint::values`], but takes the values out, without a copy where they are owned;
    /// the section is gone then. After an error it is still there.
    ///
    /// # Errors
    /// As [`Checkpoint::values`].
    pub fn take<T: Element>(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<T>, ContentError> {
        self.values::<T>(name, shape)?;
        let place = self.position(name).expect("the section was there a line above");
        let data = self.sections.remove(place).into_data();
        Ok(T::into_vec(data).expect("the type was checked above"))
    }

    /// Copies borrowed values, so that the checkpoint can be saved while the model goes on, for
    /// example on another thread; owned values are moved.
    #[must_use]
    pub fn into_owned(self) -> Checkpoint<'static> {
        Checkpoint {
            kind: self.kind,
            metadata: self.metadata,
            sections: self.sections.into_iter().map(Section::into_owned).collect(),
        }
    }

    /// The bytes of the file. The same content gives the same bytes, on every machine.
    ///
    /// # Errors
    /// [`EncodeError`] when the checkpoint is beyond the format's bounds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let encoded = Encoded::new(self)?;
        let mut bytes = Vec::with_capacity(encoded.file_bytes() as usize);
        encoded.write(&mut bytes).expect("writing into memory cannot fail");
        Ok(bytes)
    }

    /// Saves to `path`: after a crash or a power cut at any moment, the file there is the old one
    /// or this one, whole. See [`write_atomically`](crate::write_atomically) for the conditions.
    /// Values are written from where they lie: no copy of the checkpoint is made.
    ///
    /// # Errors
    /// [`SaveError::NotCommitted`] when nothing changed, [`SaveError::DurabilityUncertain`] when
    /// the file was replaced and a power cut may undo it.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaveError> {
        save::save(self, path.as_ref())
    }
}

impl Checkpoint<'static> {
    /// Reads a checkpoint from the bytes of a file; all checksums are verified.
    ///
    /// # Errors
    /// [`FormatError`] for every byte sequence that [`Checkpoint::to_bytes`], of this build or of
    /// one that is compatible, does not give.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        load::from_bytes(bytes)
    }

    /// Loads the checkpoint at `path`; all checksums are verified. However hostile the file, at no
    /// time more memory is used than its size and 24 MiB for the decoded header (which has some
    /// kilobytes where the file is an honest one).
    ///
    /// # Errors
    /// [`LoadError`]; its text names the file, what is wrong with it and what to do.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        load::load(path.as_ref())
    }
}

#[cold]
#[track_caller]
fn shape_does_not_fit(name: &str, shape: &[usize], data: &Data<'_>) -> ! {
    panic!(
        "section `{name}`: shape {shape:?} does not fit {} values of {} \
         (the product must be equal, with at most {MAX_DIMENSIONS} dimensions)",
        data.len(),
        data.element_type(),
    )
}

#[cold]
#[track_caller]
fn name_is_taken(name: &str) -> ! {
    panic!("the checkpoint has a section `{name}` already")
}
