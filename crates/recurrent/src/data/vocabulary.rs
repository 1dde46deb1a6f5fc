//! The vocabulary: which tokens a model knows, and the number of each.

use super::{DataError, words};
use serde::{Deserialize, Serialize};
use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    str::FromStr,
};

mod counts;
pub(crate) use counts::Counts;

/// What one token of a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum TokenKind {
    /// A Unicode character (a scalar value).
    #[default]
    Char,
    /// A word, a punctuation mark or a line end.
    Word,
    /// A byte of the text's UTF-8: 256 tokens for any script, nothing to learn.
    Byte,
}

impl TokenKind {
    /// `"char"`, `"word"` or `"byte"`.
    pub fn name(self) -> &'static str {
        match self {
            TokenKind::Char => "char",
            TokenKind::Word => "word",
            TokenKind::Byte => "byte",
        }
    }

    /// What a message calls one token.
    pub fn singular(self) -> &'static str {
        match self {
            TokenKind::Char => "character",
            TokenKind::Word => "word",
            TokenKind::Byte => "byte",
        }
    }

    /// What a message calls several tokens.
    pub fn plural(self) -> &'static str {
        match self {
            TokenKind::Char => "characters",
            TokenKind::Word => "words",
            TokenKind::Byte => "bytes",
        }
    }

    /// How many tokens a text has.
    pub fn count(self, text: &str) -> usize {
        match self {
            TokenKind::Char => text.chars().count(),
            TokenKind::Word => words::split(text).count(),
            TokenKind::Byte => text.len(),
        }
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TokenKind {
    type Err = UnknownTokenKind;

    fn from_str(name: &str) -> Result<TokenKind, UnknownTokenKind> {
        [TokenKind::Char, TokenKind::Word, TokenKind::Byte]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownTokenKind(name.to_owned()))
    }
}

/// There are no tokens of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of token {0:?}: there are char, word and byte")]
pub struct UnknownTokenKind(pub String);

/// The tokens that a model knows, numbered from 0.
///
/// Characters and words always have a token for what is unknown, number 0 ([`unknown`]): text that
/// is only evaluated may hold what the training text lacks. It counts in the loss like any other
/// token, and generation leaves it out. Then come the characters in the order of their code
/// points, or the words by falling frequency and, where that is equal, in the order of their
/// bytes. So the numbers depend on the training text alone. Bytes are numbered by their value
/// and are all known.
///
/// Serialised it is the list of tokens under the name of their kind. Reading it back fails for a
/// list that [`learn`] cannot have written.
///
/// [`unknown`]: Vocabulary::unknown
/// [`learn`]: Vocabulary::learn
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Vocabulary {
    tokens: Tokens,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tokens {
    /// Sorted, so that a binary search finds the number; number 0 is not among them.
    Char(Vec<char>),
    /// Number 0 is not among them.
    Word {
        words: Vec<String>,
        numbers: HashMap<String, u32>,
    },
    Byte,
}

const UNKNOWN: u32 = 0;

impl Vocabulary {
    /// The vocabulary of a training text: every token that occurs at least `min_count` times
    /// (0 is taken as 1). Bytes need neither text nor count.
    pub fn learn(kind: TokenKind, text: &str, min_count: u64) -> Vocabulary {
        Vocabulary::learn_all(kind, [text], min_count)
    }

    /// The vocabulary of many texts together, as [`learn`](Vocabulary::learn) takes it from one.
    pub fn learn_all<'a>(
        kind: TokenKind,
        texts: impl IntoIterator<Item = &'a str>,
        min_count: u64,
    ) -> Vocabulary {
        let texts = texts.into_iter();
        let tokens = match kind {
            TokenKind::Char => {
                let mut counts = BTreeMap::<char, u64>::new();
                texts.flat_map(str::chars).for_each(|c| *counts.entry(c).or_default() += 1);
                Tokens::Char(counts::frequent(counts, min_count))
            }
            TokenKind::Word => {
                return Vocabulary::of_words(texts.flat_map(words::split), min_count);
            }
            TokenKind::Byte => Tokens::Byte,
        };
        Vocabulary { tokens }
    }

    /// The vocabulary of words that stand alone already, as in tagged sentences: those that occur
    /// at least `min_count` times.
    pub fn of_words<'a>(all: impl IntoIterator<Item = &'a str>, min_count: u64) -> Vocabulary {
        let mut counts = HashMap::<&str, u64>::new();
        all.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
        Vocabulary::of_counts(counts, min_count)
    }

    /// The vocabulary of words that occur so often.
    fn of_counts<W>(mut counts: HashMap<W, u64>, min_count: u64) -> Vocabulary
    where
        W: AsRef<str> + Borrow<str> + Eq + Hash + Into<String>,
    {
        counts.remove(words::UNKNOWN);
        counts.retain(|_, count| *count >= min_count);
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by(|(a, a_count), (b, b_count)| {
            b_count.cmp(a_count).then_with(|| a.as_ref().cmp(b.as_ref()))
        });
        let words = counts.into_iter().map(|(word, _)| word.into()).collect();
        Vocabulary { tokens: Tokens::words(words) }
    }

    /// What one token is.
    pub fn kind(&self) -> TokenKind {
        match self.tokens {
            Tokens::Char(_) => TokenKind::Char,
            Tokens::Word { .. } => TokenKind::Word,
            Tokens::Byte => TokenKind::Byte,
        }
    }

    /// How many tokens there are, the unknown one included.
    #[expect(clippy::len_without_is_empty, reason = "no vocabulary is without a token")]
    pub fn len(&self) -> usize {
        match &self.tokens {
            Tokens::Char(chars) => chars.len() + 1,
            Tokens::Word { words, .. } => words.len() + 1,
            Tokens::Byte => 256,
        }
    }

    /// The number of the token for what is unknown; `None` for bytes, which are all known.
    pub fn unknown(&self) -> Option<u32> {
        (self.kind() != TokenKind::Byte).then_some(UNKNOWN)
    }

    /// The number of one token, if it is known: a character or a word as it is, or `<unk>`. Bytes
    /// have no text of their own, so none is known by one.
    pub fn number(&self, token: &str) -> Option<u32> {
        if token == words::UNKNOWN {
            return self.unknown();
        }
        match &self.tokens {
            Tokens::Char(chars) => {
                let mut single = token.chars();
                let (Some(c), None) = (single.next(), single.next()) else { return None };
                chars.binary_search(&c).ok().map(|index| index as u32 + 1)
            }
            Tokens::Word { numbers, .. } => numbers.get(token).copied(),
            Tokens::Byte => None,
        }
    }

    /// The numbers of a text's tokens: for what a person typed, where an unknown token is a slip
    /// that they want to hear of. (The word `<unk>` is taken at its word.)
    ///
    /// # Errors
    /// [`DataError::UnknownToken`] for the first token that is not in the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.numbers(text)
            .enumerate()
            .map(|(index, (token, number))| {
                number.ok_or_else(|| DataError::UnknownToken {
                    token: token.to_owned(),
                    unit: self.kind().singular(),
                    position: index + 1,
                    hint: self.hint(token),
                })
            })
            .collect()
    }

    /// The numbers of a text's tokens, with [`unknown`](Vocabulary::unknown) for those that are
    /// not in the vocabulary: for training and validation texts.
    pub fn encode_lossy(&self, text: &str) -> Vec<u32> {
        self.numbers(text).map(|(_, number)| number.unwrap_or(UNKNOWN)).collect()
    }

    /// The tokens of a text that are not in the vocabulary, in their order: those that
    /// [`encode_lossy`](Vocabulary::encode_lossy) reads as the unknown one.
    pub fn unknown_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.numbers(text).filter(|(_, number)| number.is_none()).map(|(token, _)| token)
    }

    /// The text of tokens. The unknown character is written U+FFFD, the unknown word `<unk>`;
    /// words are joined as [`words::join`] does, and bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Panics
    /// If a number is not below [`len`](Vocabulary::len).
    #[track_caller]
    pub fn decode(&self, numbers: &[u32]) -> String {
        if let Some(&number) = numbers.iter().find(|&&number| number as usize >= self.len()) {
            out_of_range(number, self.len());
        }
        match &self.tokens {
            Tokens::Char(chars) => numbers.iter().map(|&n| character(chars, n)).collect(),
            Tokens::Word { words, .. } => words::join(numbers.iter().map(|&n| word(words, n))),
            Tokens::Byte => {
                let bytes: Vec<u8> = numbers.iter().map(|&n| n as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }

    /// One token, to be shown by itself: a character or a word as it is, `<unk>`, and a byte that
    /// is no printable ASCII as `\x0A`.
    ///
    /// # Panics
    /// If `number` is not below [`len`](Vocabulary::len).
    #[track_caller]
    pub fn token(&self, number: u32) -> Cow<'_, str> {
        if number as usize >= self.len() {
            out_of_range(number, self.len());
        }
        match &self.tokens {
            Tokens::Char(_) if number == UNKNOWN => words::UNKNOWN.into(),
            Tokens::Char(chars) => character(chars, number).to_string().into(),
            Tokens::Word { words, .. } => word(words, number).into(),
            Tokens::Byte => match number as u8 {
                byte @ b' '..=b'~' => char::from(byte).to_string().into(),
                byte => format!("\\x{byte:02X}").into(),
            },
        }
    }

    /// Every token of the text, as a slice of it, with its number if it is known.
    fn numbers<'a>(
        &'a self,
        text: &'a str,
    ) -> Box<dyn Iterator<Item = (&'a str, Option<u32>)> + 'a> {
        match &self.tokens {
            Tokens::Char(chars) => Box::new(text.char_indices().map(move |(at, c)| {
                let number = chars.binary_search(&c).ok().map(|index| index as u32 + 1);
                (&text[at..at + c.len_utf8()], number)
            })),
            Tokens::Word { numbers, .. } => Box::new(words::split(text).map(move |word| {
                let known = (word == words::UNKNOWN).then_some(UNKNOWN);
                (word, known.or_else(|| numbers.get(word).copied()))
            })),
            // A byte is always known, so nobody asks for its slice, which may be no text.
            Tokens::Byte => Box::new(text.bytes().map(|byte| ("", Some(byte.into())))),
        }
    }

    /// What a person can write instead of an unknown token.
    fn hint(&self, token: &str) -> String {
        let variants = [token.to_lowercase(), token.to_uppercase(), capitalised(token)];
        let known = variants
            .into_iter()
            .find(|variant| self.numbers(variant).all(|(_, number)| number.is_some()));
        match (known, &self.tokens) {
            (Some(variant), _) => format!("it knows {variant:?}"),
            (None, Tokens::Char(chars)) => format!("it knows {}", ranges(chars)),
            (None, _) => format!("it knows {} words of its training text", self.len() - 1),
        }
    }
}

impl Tokens {
    fn words(words: Vec<String>) -> Tokens {
        let numbers = (1..).zip(&words).map(|(number, word)| (word.clone(), number)).collect();
        Tokens::Word { words, numbers }
    }
}

fn character(chars: &[char], number: u32) -> char {
    if number == UNKNOWN { char::REPLACEMENT_CHARACTER } else { chars[number as usize - 1] }
}

fn word(words: &[String], number: u32) -> &str {
    if number == UNKNOWN { words::UNKNOWN } else { &words[number as usize - 1] }
}

#[cold]
#[track_caller]
fn out_of_range(number: u32, len: usize) -> ! {
    panic!("token {number} is not in the vocabulary, which has {len} tokens");
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// Sorted characters on one line: runs of letters and of digits as ranges (`a-z`), and no more
/// than 40 entries.
fn ranges(chars: &[char]) -> String {
    const MOST: usize = 40;
    let same_run = |a: &char, b: &char| {
        a.is_alphanumeric() && b.is_alphanumeric() && u32::from(*a) + 1 == u32::from(*b)
    };
    let mut shown: Vec<String> = chars
        .chunk_by(same_run)
        .map(|run| match run {
            [only] if only.is_whitespace() => format!("{only:?}"),
            [first, .., last] if run.len() > 2 => format!("{first}-{last}"),
            _ => run.iter().map(|c| c.escape_debug().to_string()).collect::<Vec<_>>().join(" "),
        })
        .collect();
    if shown.len() > MOST {
        shown.truncate(MOST);
        shown.push("...".to_owned());
    }
    shown.join(" ")
}

/// A vocabulary as it is written: characters as one string, words as a list.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stored {
    Char(String),
    Word(Vec<String>),
    Byte,
}

impl From<Vocabulary> for Stored {
    fn from(vocabulary: Vocabulary) -> Stored {
        match vocabulary.tokens {
            Tokens::Char(chars) => Stored::Char(chars.into_iter().collect()),
            Tokens::Word { words, .. } => Stored::Word(words),
            Tokens::Byte => Stored::Byte,
        }
    }
}

impl TryFrom<Stored> for Vocabulary {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Vocabulary, String> {
        let tokens = match stored {
            Stored::Char(chars) => {
                let chars: Vec<char> = chars.chars().collect();
                if let Some(pair) = chars.windows(2).find(|pair| pair[0] >= pair[1]) {
                    return Err(format!("vocabulary: {:?} comes after {:?}", pair[1], pair[0]));
                }
                Tokens::Char(chars)
            }
            Stored::Word(words) => {
                // Words of a file that names each by itself may be anything, such as "U.S.".
                let stray = |word: &&String| word.is_empty() || *word == words::UNKNOWN;
                if let Some(word) = words.iter().find(stray) {
                    return Err(format!("vocabulary: {word:?} is not a word"));
                }
                let count = words.len();
                let tokens = Tokens::words(words);
                if matches!(&tokens, Tokens::Word { numbers, .. } if numbers.len() != count) {
                    return Err("vocabulary: a word occurs twice".to_owned());
                }
                tokens
            }
            Stored::Byte => Tokens::Byte,
        };
        Ok(Vocabulary { tokens })
    }
}
