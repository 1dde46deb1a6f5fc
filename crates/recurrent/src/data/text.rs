//! Plain text for a language model: a training part and a held-out part, as token numbers.

use super::{DataError, Source, TokenKind, Vocabulary, require_tokens, words};

/// How many streams the evaluation reads side by side. Each must have something to predict, so a
/// held-out text needs one token more than this.
pub const EVALUATION_STREAMS: usize = 10;

/// A text to learn from and a text to be judged on, in the tokens of one vocabulary.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The vocabulary of the training part.
    pub vocabulary: Vocabulary,
    /// The training part, as token numbers.
    pub train: Vec<u32>,
    /// The held-out part, as token numbers.
    pub valid: Vec<u32>,
    /// The training data as the person named them.
    name: String,
}

impl Corpus {
    /// Reads the data and learns the vocabulary from its training part. That part is everything
    /// if `valid` is given, and otherwise what [`split`] leaves for it.
    ///
    /// # Errors
    /// [`DataError`] when a file cannot be read as text, when a part is too small (two tokens to
    /// train on, [`EVALUATION_STREAMS`] + 1 to be judged on), or when no token occurs `min_count`
    /// times.
    pub fn load(
        data: &Source,
        valid: Option<&Source>,
        kind: TokenKind,
        min_count: u64,
    ) -> Result<Corpus, DataError> {
        Corpus::build(data, valid, kind, |text| {
            let vocabulary = Vocabulary::learn(kind, text, min_count);
            require_tokens(&data.to_string(), vocabulary, min_count)
        })
    }

    /// Reads the data again for a model that has its vocabulary already.
    ///
    /// # Errors
    /// As [`load`](Corpus::load).
    pub fn load_with(
        data: &Source,
        valid: Option<&Source>,
        vocabulary: Vocabulary,
    ) -> Result<Corpus, DataError> {
        Corpus::build(data, valid, vocabulary.kind(), |_| Ok(vocabulary))
    }

    fn build(
        data: &Source,
        valid: Option<&Source>,
        kind: TokenKind,
        vocabulary: impl FnOnce(&str) -> Result<Vocabulary, DataError>,
    ) -> Result<Corpus, DataError> {
        let text = data.read_text()?;
        let other = valid.map(Source::read_text).transpose()?;
        let (train_text, valid_text) = match &other {
            Some(other) => (text.as_str(), other.as_str()),
            None => split(&text, kind),
        };
        // The sizes come first: what is too small has no vocabulary worth a message.
        let tokens = count(train_text, kind);
        require(data, "the training part", tokens, 2, kind, "give more text")?;
        match valid {
            Some(valid) => require_held_out(valid, count(valid_text, kind), kind, WHOLE_FILE)?,
            None => require_held_out(data, count(valid_text, kind), kind, LAST_TENTH)?,
        }
        let vocabulary = vocabulary(train_text)?;
        Ok(Corpus {
            train: vocabulary.encode_lossy(train_text),
            valid: vocabulary.encode_lossy(valid_text),
            vocabulary,
            name: data.to_string(),
        })
    }

    /// Checks that the training part fills `batch_size` streams with at least one window of
    /// `sequence_length` predictions each.
    ///
    /// # Errors
    /// [`DataError::TooSmall`].
    pub fn require_window(
        &self,
        batch_size: usize,
        sequence_length: usize,
    ) -> Result<(), DataError> {
        let (name, kind) = (&self.name, self.vocabulary.kind());
        require_window(name, kind, self.train.len(), batch_size, sequence_length)
    }

    /// A number that changes when any token of either part does, so that a run is not resumed on
    /// other data.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.train, &self.valid)
    }
}

/// Checks that a training part of `tokens` tokens fills `batch_size` streams with at least one window
/// of `sequence_length` predictions each.
pub(super) fn require_window(
    name: &str,
    kind: TokenKind,
    tokens: usize,
    batch_size: usize,
    sequence_length: usize,
) -> Result<(), DataError> {
    // A window of n predictions reads n tokens and the one after them.
    let needed = batch_size.saturating_mul(sequence_length).saturating_add(1);
    if tokens >= needed {
        return Ok(());
    }
    Err(DataError::TooSmall {
        name: name.to_owned(),
        part: "the training part",
        tokens,
        needed,
        unit: kind.plural(),
        hint: format!(
            "give more text, or lower --sequence-length ({sequence_length}) or --batch-size \
             ({batch_size})"
        ),
    })
}

/// A number that changes when any token of either part does (64-bit FNV-1a), so that a run is not
/// resumed on other data.
pub fn fingerprint(train: &[u32], held_out: &[u32]) -> u64 {
    let mut hash = FingerprintOfText::new(train.len(), held_out.len());
    hash.add(train);
    hash.add(held_out);
    hash.0
}

/// [`fingerprint`] of parts that come piece by piece.
pub(super) struct FingerprintOfText(pub(super) u64);

impl FingerprintOfText {
    pub(super) fn new(train: usize, held_out: usize) -> FingerprintOfText {
        let mut hash = FingerprintOfText(0xCBF2_9CE4_8422_2325);
        hash.take_in(train as u64);
        hash.take_in(held_out as u64);
        hash
    }

    pub(super) fn add(&mut self, tokens: &[u32]) {
        tokens.iter().for_each(|&token| self.take_in(u64::from(token)));
    }

    fn take_in(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x0100_0000_01B3);
    }
}

/// Reads a text for evaluation: all of it is held out.
///
/// # Errors
/// [`DataError`] when it cannot be read as text or is too small.
pub fn load_held_out(data: &Source, vocabulary: &Vocabulary) -> Result<Vec<u32>, DataError> {
    let tokens = vocabulary.encode_lossy(&data.read_text()?);
    require_held_out(data, tokens.len(), vocabulary.kind(), WHOLE_FILE)?;
    Ok(tokens)
}

/// The first nine tenths of a text's tokens (rounded down) to train on, and the rest, which is
/// held out. Characters are counted for [`TokenKind::Char`] and words for [`TokenKind::Word`];
/// for [`TokenKind::Byte`] the cut moves down to the nearest end of a character.
pub fn split(text: &str, kind: TokenKind) -> (&str, &str) {
    let train = nine_tenths(count(text, kind));
    let cut = match kind {
        TokenKind::Char => text.char_indices().nth(train).map(|(at, _)| at),
        TokenKind::Word => words::split_indices(text).nth(train).map(|(at, _)| at),
        TokenKind::Byte => Some(text.floor_char_boundary(train)),
    };
    text.split_at(cut.unwrap_or(text.len()))
}

/// Nine tenths, rounded down, without overflow: the tenths of the whole tens, and of what is left.
pub(super) fn nine_tenths(tokens: usize) -> usize {
    tokens / 10 * 9 + tokens % 10 * 9 / 10
}

fn count(text: &str, kind: TokenKind) -> usize {
    match kind {
        TokenKind::Char => text.chars().count(),
        TokenKind::Word => words::split(text).count(),
        TokenKind::Byte => text.len(),
    }
}

pub(super) const WHOLE_FILE: (&str, &str) = ("the text", "give more text");
pub(super) const LAST_TENTH: (&str, &str) =
    ("the held-out last tenth", "give more text, or a file to be judged on with --valid");

pub(super) fn require_held_out(
    data: &Source,
    tokens: usize,
    kind: TokenKind,
    (part, hint): (&'static str, &str),
) -> Result<(), DataError> {
    require(data, part, tokens, EVALUATION_STREAMS + 1, kind, hint)
}

pub(super) fn require(
    data: &Source,
    part: &'static str,
    tokens: usize,
    needed: usize,
    kind: TokenKind,
    hint: &str,
) -> Result<(), DataError> {
    if tokens >= needed {
        return Ok(());
    }
    let (name, unit, hint) = (data.to_string(), kind.plural(), hint.to_owned());
    Err(DataError::TooSmall { name, part, tokens, needed, unit, hint })
}
