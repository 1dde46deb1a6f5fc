//! Documents in a text: what they end with (`--document-end`).
//!
//! A text of many documents is still read as one, in streams; at each ending the state of that stream
//! begins afresh, and no gradient crosses it. Exactly, the last token of an ending begins the next
//! document ([`Windows::with_document_end`](recurrent_training::Windows::with_document_end)): every
//! token is predicted once, from its own document alone, the end of a document included; and a
//! generated text without a prompt begins as documents do.

use recurrent_training::TokenSource;

use crate::data::{DataError, TokenText, Vocabulary};
use crate::options::usage;

/// The ending that a person typed, in which `\n`, `\t`, `\r` and `\\` stand for what they mean.
///
/// # Errors
/// Wrong usage if it is empty, or another letter follows a backslash.
pub fn ending(typed: &str) -> anyhow::Result<String> {
    if typed.is_empty() {
        return Err(usage("--document-end must not be empty"));
    }
    let (mut ending, mut chars) = (String::new(), typed.chars());
    while let Some(c) = chars.next() {
        ending.push(match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('r')) => '\r',
            ('\\', Some('\\')) => '\\',
            ('\\', other) => {
                let other = other.map_or(String::new(), String::from);
                return Err(usage(format!(
                    "--document-end: \\{other} stands for nothing; there are \\n, \\t, \\r and \\\\"
                )));
            }
            _ => c,
        });
    }
    Ok(ending)
}

/// The tokens of an ending.
///
/// # Errors
/// Wrong usage if it has none, or one of them is not known.
pub fn encode(ending: &str, vocabulary: &Vocabulary) -> anyhow::Result<Vec<u32>> {
    let tokens =
        vocabulary.encode(ending).map_err(|error| usage(format!("--document-end: {error}")))?;
    match tokens.is_empty() {
        true => Err(usage(format!("--document-end: in {ending:?} there is no word"))),
        false => Ok(tokens),
    }
}

/// Checks that some document of the training part ends.
///
/// # Errors
/// Wrong usage if none does, or what a text fails with that cannot be read.
pub fn require(text: &TokenText, ending: &[u32], written: &str) -> anyhow::Result<()> {
    match ends_somewhere(text, ending)? {
        true => Ok(()),
        false => Err(usage(format!(
            "--document-end: {written:?} is nowhere in the training part, so it is one document; drop \
             the option, or name what its documents end with"
        ))),
    }
}

/// Tokens that are looked through at once.
const SOME: usize = 1 << 16;

fn ends_somewhere(text: &TokenText, ending: &[u32]) -> Result<bool, DataError> {
    let (count, mut at, mut tokens) = (text.token_count(), 0, vec![]);
    while at < count {
        tokens.clear();
        text.read(0, at..(at + SOME + ending.len() - 1).min(count), &mut tokens)?;
        if tokens.windows(ending.len()).any(|some| some == ending) {
            return Ok(true);
        }
        at += SOME;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TokenKind;

    #[test]
    fn what_is_typed_may_name_line_ends() {
        assert_eq!(ending(r"\n\n").unwrap(), "\n\n");
        assert_eq!(ending("\n<|end|>").unwrap(), "\n<|end|>");
        assert_eq!(ending(r"a\t\\n\r").unwrap(), "a\t\\n\r");
        for (wrong, part) in
            [("", "must not be empty"), (r"\x", r"\x stands"), (r"a\", r"\ stands")]
        {
            let message = ending(wrong).unwrap_err().to_string();
            assert!(message.contains(part), "{wrong}: {message}");
        }
    }

    #[test]
    fn an_ending_is_found_wherever_the_text_is_cut() {
        let vocabulary = Vocabulary::learn(TokenKind::Char, "ab.", 1);
        let end = encode("b.", &vocabulary).unwrap();
        for at in [0, 1, SOME - 2, SOME - 1, SOME, SOME + 1, 2 * SOME - 1] {
            let mut letters = vec!["a"; 2 * SOME + 1];
            letters[at] = "b";
            letters[at + 1] = ".";
            let text = TokenText::from(vocabulary.encode(&letters.concat()).unwrap());
            assert!(ends_somewhere(&text, &end).unwrap(), "{at}");
            assert!(!ends_somewhere(&text, &[end[0], end[0]]).unwrap(), "{at}");
        }
        assert!(
            encode("c", &vocabulary).unwrap_err().to_string().starts_with("--document-end: \"c\"")
        );
    }
}
