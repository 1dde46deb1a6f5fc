//! Text to words and back: the tokens of `--tokens word`.
//!
//! A word is a run of letters, digits and apostrophes (`don't`, `'tis`, `players'`), with hyphens
//! inside it (`well-known`) and points or commas between two digits (`1,000.5`). A line end is a
//! token. Anything else that is not blank is punctuation: one character, or a run of the same
//! one (`--`, `...`). Blanks only separate, so their kind and number are lost. `<unk>` is one
//! token, as in corpora that were prepared for word models.
//!
//! [`join`] puts blanks back where English has them. What it writes splits into the same tokens
//! again: `split(join(split(text)))` is `split(text)`.

/// How an unknown word is written.
pub const UNKNOWN: &str = "<unk>";

/// The tokens of a text, as slices of it, in order.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    split_indices(text).map(|(_, token)| token)
}

/// The tokens of a text, each with the offset in bytes at which it begins.
pub fn split_indices(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let start = text.len() - rest.len();
        let (token, after) = rest.split_at(first_token(rest));
        rest = after;
        (!token.is_empty()).then_some((start, token))
    })
}

/// Length in bytes of the token that `text` begins with; 0 only if it is empty.
fn first_token(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let Some((_, first)) = chars.next() else { return 0 };
    if text.starts_with(UNKNOWN) {
        return UNKNOWN.len();
    }
    if first == '\n' {
        return 1;
    }
    if !is_word(first) {
        return text.find(|c| c != first).unwrap_or(text.len());
    }
    let mut last = first;
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or(' ', |&(_, next)| next);
        let inside = match c {
            '-' | '\u{2010}' => is_word(next),
            '.' | ',' => last.is_numeric() && next.is_numeric(),
            _ => is_word(c),
        };
        if !inside {
            return at;
        }
        last = c;
    }
    text.len()
}

/// Letters, digits, apostrophes, and the accents that are characters of their own.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\'' | '\u{2019}' | '\u{0300}'..='\u{036F}')
}

/// Tokens as text that reads well: no blank before `,` or after `(`, none around line ends, and
/// straight double quotes open and close in turn within a line.
pub fn join<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut in_quotes = false;
    let mut glue = true; // The next token follows without a blank.
    for token in tokens {
        let (glue_before, glue_after) = match token {
            "\n" => {
                in_quotes = false;
                (true, true)
            }
            "\"" => {
                in_quotes = !in_quotes;
                (!in_quotes, in_quotes)
            }
            _ => (closes(token), opens(token)),
        };
        // Two runs of the same character must not become one.
        let merges = token != "\n" && text.chars().next_back() == token.chars().next();
        if !(glue || glue_before) || merges {
            text.push(' ');
        }
        text.push_str(token);
        glue = glue_after;
    }
    text
}

fn closes(token: &str) -> bool {
    token.starts_with([',', '.', ';', ':', '!', '?', ')', ']', '}', '%', '\u{2026}', '\u{201D}'])
}

fn opens(token: &str) -> bool {
    token.starts_with(['(', '[', '{', '$', '£', '€', '\u{2018}', '\u{201C}'])
}
