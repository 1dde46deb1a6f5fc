//! A text that is never in memory as a whole: its tokens are read from its file as they are needed.
//!
//! Loading reads the file from start to end three times, in pieces: to check and count it, to learn
//! the vocabulary of its training part, and for the fingerprint. What stays is where some tokens lie:
//! one place in `PASS` bytes. Then each stream of a training has a place of its own in the file and
//! some `AHEAD` bytes of tokens ahead, so the memory depends on the number of streams and not on the
//! length of the text. The tokens are those of [`Corpus`](super::Corpus).

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, Metadata};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use recurrent_training::TokenSource;

use self::pieces::{Piece, PieceError, read_piece};
use super::source::{not_utf8, unreadable};
use super::text::{
    FingerprintOfText, LAST_TENTH, WHOLE_FILE, nine_tenths, require, require_held_out,
    require_window,
};
use super::vocabulary::Counts;
use super::{DataError, Source, TokenKind, Vocabulary, require_tokens};

mod pieces;

/// Bytes of a piece in a pass from start to end.
const PASS: usize = 1 << 18;
/// Bytes that a stream reads ahead.
const AHEAD: usize = 1 << 13;

/// A text to learn from and a text to be judged on, as [`Corpus`](super::Corpus) has them, on disk.
pub struct StreamedCorpus {
    /// The vocabulary of the training part.
    pub vocabulary: Vocabulary,
    /// The training part.
    pub train: StreamedText,
    /// The held-out part.
    pub valid: StreamedText,
}

impl StreamedCorpus {
    /// Reads what [`Corpus::load`](super::Corpus::load) reads, or with a `vocabulary` what
    /// [`Corpus::load_with`](super::Corpus::load_with) does.
    ///
    /// # Errors
    /// Theirs, and [`DataError`] where a text is built-in data or no regular file.
    pub fn load(
        data: &Source,
        valid: Option<&Source>,
        kind: TokenKind,
        min_count: u64,
        vocabulary: Option<Vocabulary>,
    ) -> Result<StreamedCorpus, DataError> {
        StreamedCorpus::load_in_pieces(data, valid, kind, min_count, vocabulary, PASS)
    }

    fn load_in_pieces(
        data: &Source,
        valid: Option<&Source>,
        kind: TokenKind,
        min_count: u64,
        vocabulary: Option<Vocabulary>,
        pass: usize,
    ) -> Result<StreamedCorpus, DataError> {
        let text = TextFile::open(data, kind, pass)?;
        let other = valid.map(|valid| TextFile::open(valid, kind, pass)).transpose()?;
        let train = match &other {
            Some(_) => text.tokens,
            None => text.border(nine_tenths(text.tokens))?,
        };
        require(data, "the training part", train, 2, kind, "give more text")?;
        match (valid, &other) {
            (Some(valid), Some(other)) => {
                require_held_out(valid, other.tokens, kind, WHOLE_FILE)?;
            }
            _ => require_held_out(data, text.tokens - train, kind, LAST_TENTH)?,
        }
        let vocabulary = match vocabulary {
            Some(vocabulary) => vocabulary,
            None => require_tokens(&text.name, text.learn(train, min_count)?, min_count)?,
        };
        let (text, known) = (Arc::new(text), Arc::new(vocabulary));
        let of = |file: Arc<TextFile>, part| StreamedText::new(file, Arc::clone(&known), part);
        let valid = match other {
            Some(other) => (0..other.tokens, Arc::new(other)),
            None => (train..text.tokens, Arc::clone(&text)),
        };
        let (mut train, valid) = (of(text, 0..train), of(valid.1, valid.0));
        let mut fingerprint = FingerprintOfText::new(train.token_count(), valid.token_count());
        for part in [&train, &valid] {
            part.for_each(|tokens| fingerprint.add(tokens))?;
        }
        train.fingerprint = Some(fingerprint.0);
        Ok(StreamedCorpus { vocabulary: (*known).clone(), train, valid })
    }

    /// As [`Corpus::require_window`](super::Corpus::require_window).
    ///
    /// # Errors
    /// [`DataError::TooSmall`].
    pub fn require_window(
        &self,
        batch_size: usize,
        sequence_length: usize,
    ) -> Result<(), DataError> {
        let (name, kind) = (&self.train.file.name, self.vocabulary.kind());
        require_window(name, kind, self.train.token_count(), batch_size, sequence_length)
    }
}

/// The tokens of a file, or of a part of it, read as they are needed.
pub struct StreamedText {
    file: Arc<TextFile>,
    vocabulary: Arc<Vocabulary>,
    /// Which of the file's tokens.
    part: Range<usize>,
    fingerprint: Option<u64>,
    places: Mutex<HashMap<usize, Place>>,
}

/// Where a stream reads.
struct Place {
    /// The number of the first of `tokens`, in the file.
    first: usize,
    tokens: VecDeque<u32>,
    /// Where the file goes on behind them, in bytes.
    at: u64,
}

impl StreamedText {
    fn new(file: Arc<TextFile>, vocabulary: Arc<Vocabulary>, part: Range<usize>) -> StreamedText {
        let places = Mutex::new(HashMap::new());
        StreamedText { file, vocabulary, part, fingerprint: None, places }
    }

    /// [`fingerprint`](super::text::fingerprint) of a corpus's two parts, of which this is the one to
    /// learn from.
    pub fn fingerprint(&self) -> Option<u64> {
        self.fingerprint
    }

    /// Opens a text for evaluation: all of it is held out.
    ///
    /// # Errors
    /// As [`load_held_out`](super::text::load_held_out), and [`DataError`] where it is built-in data
    /// or no regular file.
    pub fn held_out(data: &Source, vocabulary: &Vocabulary) -> Result<StreamedText, DataError> {
        let file = TextFile::open(data, vocabulary.kind(), PASS)?;
        require_held_out(data, file.tokens, vocabulary.kind(), WHOLE_FILE)?;
        let part = 0..file.tokens;
        Ok(StreamedText::new(Arc::new(file), Arc::new(vocabulary.clone()), part))
    }

    /// Gives all of its tokens to `take`, in order, some at a time.
    fn for_each(&self, mut take: impl FnMut(&[u32])) -> Result<(), DataError> {
        let Entry { mut first, mut at } = self.file.entry(self.part.start);
        while first < self.part.end {
            let Piece { text, end } = self.file.piece(at, self.file.pass)?;
            let tokens = self.vocabulary.encode_lossy(&text);
            let within = |token: usize| token.clamp(first, first + tokens.len()) - first;
            take(&tokens[within(self.part.start)..within(self.part.end)]);
            (first, at) = (first + tokens.len(), end);
        }
        Ok(())
    }
}

impl TokenSource for StreamedText {
    type Error = DataError;

    fn token_count(&self) -> usize {
        self.part.len()
    }

    /// # Errors
    /// [`DataError`] when its file cannot be read any more, or is not what it was: its length is
    /// another, or it was written to.
    ///
    /// # Panics
    /// If the text has no such tokens.
    #[track_caller]
    fn read(
        &self,
        stream: usize,
        range: Range<usize>,
        tokens: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let count = self.part.len();
        assert!(
            range.start <= range.end && range.end <= count,
            "tokens {range:?} of a text that has {count}"
        );
        let (start, end) = (self.part.start + range.start, self.part.start + range.end);
        // What another thread that panicked left is made anew below, or whole.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places
            .remove(&stream)
            .filter(|place| (place.first..=place.first + place.tokens.len()).contains(&start));
        let mut place = known.unwrap_or_else(|| {
            let Entry { first, at } = self.file.entry(start);
            Place { first, tokens: VecDeque::new(), at }
        });
        loop {
            let passed = (start - place.first).min(place.tokens.len());
            place.tokens.drain(..passed);
            place.first += passed;
            if place.first + place.tokens.len() >= end && place.first == start {
                break;
            }
            let Piece { text, end } = self.file.piece(place.at, self.file.pass.min(AHEAD))?;
            place.tokens.extend(self.vocabulary.encode_lossy(&text));
            place.at = end;
        }
        tokens.extend(place.tokens.range(..end - start));
        places.insert(stream, place);
        Ok(())
    }
}

/// A text file that was read once: it is UTF-8, and it is known where its tokens lie.
struct TextFile {
    name: String,
    kind: TokenKind,
    file: Mutex<File>,
    /// What the file was before its first byte was read.
    was: Version,
    /// Bytes of a piece of a pass.
    pass: usize,
    /// How many tokens it has.
    tokens: usize,
    /// Where each piece of the first pass began; the first is at 0.
    entries: Vec<Entry>,
}

/// What tells a file from the same file written to: its length, and when it was written, where the
/// system says it.
#[derive(PartialEq)]
struct Version {
    length: u64,
    written: Option<SystemTime>,
}

impl Version {
    fn of(metadata: &Metadata) -> Version {
        Version { length: metadata.len(), written: metadata.modified().ok() }
    }
}

/// A token and the byte at which a piece of text begins with it, or with the blanks before it.
#[derive(Clone, Copy)]
struct Entry {
    first: usize,
    at: u64,
}

impl TextFile {
    /// Reads all of it, in pieces of so many bytes.
    fn open(source: &Source, kind: TokenKind, pass: usize) -> Result<TextFile, DataError> {
        let name = source.to_string();
        let Source::Path(path) = source else {
            let needed = "a file, and --stream reads from a file; drop it, or name one";
            return Err(DataError::WrongBuiltin { name, needed });
        };
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if metadata.is_dir() {
            return Err(DataError::IsDirectory { path: path.clone() });
        }
        if !metadata.is_file() {
            return Err(DataError::NotRegular { path: path.clone() });
        }
        let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
        // Of what is open: at the path there may be another file by now.
        let was = Version::of(&file.metadata().map_err(|error| unreadable(path, error))?);
        let (mut tokens, mut entries) = (0, vec![]);
        let (mut at, mut line, mut is_empty) = (0, 1, true);
        loop {
            let next = read_piece(&mut file, kind, at, pass).map_err(|error| match error {
                PieceError::Unreadable(error) => unreadable(path, error),
                PieceError::NotUtf8 { byte, offset, lines, start } => {
                    let start = if at == 0 { &start[..] } else { &[] };
                    not_utf8(&name, byte, offset as usize, line + lines, start)
                }
            })?;
            let Some(Piece { text, end }) = next else { break };
            entries.push(Entry { first: tokens, at });
            tokens += kind.count(&text);
            line += text.matches('\n').count();
            is_empty &= text.is_empty();
            at = end;
        }
        if is_empty {
            return Err(DataError::Empty { name });
        }
        Ok(TextFile { name, kind, file: Mutex::new(file), was, pass, tokens, entries })
    }

    /// The piece that begins at a byte where one began before.
    fn piece(&self, at: u64, size: usize) -> Result<Piece, DataError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = || DataError::Changed { name: self.name.clone() };
        let failed = |error| unreadable(self.name.as_ref(), error);
        let piece = match read_piece(&mut file, self.kind, at, size) {
            Ok(piece) => piece.ok_or_else(changed)?,
            Err(PieceError::NotUtf8 { .. }) => return Err(changed()),
            Err(PieceError::Unreadable(error)) => return Err(failed(error)),
        };
        // Behind the bytes: before them it would not see what changes while they are read.
        match Version::of(&file.metadata().map_err(failed)?) == self.was {
            true => Ok(piece),
            false => Err(changed()),
        }
    }

    /// The last place that is known at or before a token.
    fn entry(&self, token: usize) -> Entry {
        let behind = self.entries.partition_point(|entry| entry.first <= token);
        // Several begin with the same token where one holds nothing but blanks; any will do.
        self.entries[behind - 1]
    }

    /// Where the text can be cut at or before this token: bytes have to end a character.
    fn border(&self, token: usize) -> Result<usize, DataError> {
        if self.kind != TokenKind::Byte {
            return Ok(token);
        }
        let Entry { mut first, mut at } = self.entry(token);
        loop {
            let Piece { text, end } = self.piece(at, self.pass)?;
            if token - first < text.len() {
                return Ok(first + text.floor_char_boundary(token - first));
            }
            (first, at) = (first + text.len(), end);
        }
    }

    /// The vocabulary of its first tokens.
    fn learn(&self, tokens: usize, min_count: u64) -> Result<Vocabulary, DataError> {
        let mut counts = Counts::new(self.kind);
        let (mut first, mut at) = (0, 0);
        while first < tokens && self.kind != TokenKind::Byte {
            let Piece { text, end } = self.piece(at, self.pass)?;
            counts.add(&text, tokens - first);
            (first, at) = (first + self.kind.count(&text), end);
        }
        Ok(counts.vocabulary(min_count))
    }
}

#[cfg(test)]
mod tests;
