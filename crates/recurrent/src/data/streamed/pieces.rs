//! A text file in pieces that end where a token ends, so that the tokens of the pieces are those of
//! the text.
//!
//! Byte-order mark and line ends are treated as [`Source::read_text`] treats them.
//!
//! [`Source::read_text`]: crate::data::Source::read_text

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::data::TokenKind;
use crate::data::source::BYTE_ORDER_MARK;

/// Some text of a file, and where the next piece begins.
pub(super) struct Piece {
    pub(super) text: String,
    /// In bytes from the file's beginning.
    pub(super) end: u64,
}

/// Why there is no piece.
pub(super) enum PieceError {
    Unreadable(io::Error),
    /// A byte that is no UTF-8.
    NotUtf8 {
        byte: u8,
        /// From the file's beginning.
        offset: u64,
        /// Line ends between the piece's beginning and the byte.
        lines: usize,
        /// What the piece begins with.
        start: Vec<u8>,
    },
}

/// The piece of about `size` bytes that begins at byte `at`, where a piece began before; `None` at the
/// end of the file. It becomes longer where a token is.
pub(super) fn read_piece(
    file: &mut File,
    kind: TokenKind,
    at: u64,
    size: usize,
) -> Result<Option<Piece>, PieceError> {
    let (mut bytes, mut size) = (Vec::new(), size as u64);
    loop {
        let had = bytes.len() as u64;
        file.seek(SeekFrom::Start(at + had)).map_err(PieceError::Unreadable)?;
        let more = Read::by_ref(file).take(size - had).read_to_end(&mut bytes);
        more.map_err(PieceError::Unreadable)?;
        let is_last = (bytes.len() as u64) < size;
        if bytes.is_empty() {
            return Ok(None);
        }
        let text = match str::from_utf8(&bytes) {
            Ok(text) => text,
            // The last character goes on in the next piece.
            Err(error) if error.error_len().is_none() && !is_last => {
                str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(error) => {
                let (before, after) = bytes.split_at(error.valid_up_to());
                return Err(PieceError::NotUtf8 {
                    byte: after[0],
                    offset: at + before.len() as u64,
                    lines: before.iter().filter(|&&byte| byte == b'\n').count(),
                    start: bytes[..bytes.len().min(4)].to_vec(),
                });
            }
        };
        let cut = if is_last { text.len() } else { last_border(text, kind) };
        if cut > 0 {
            let text = &text[..cut];
            let text = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| at == 0).unwrap_or(text);
            let text = text.replace("\r\n", "\n");
            return Ok(Some(Piece { text, end: at + cut as u64 }));
        }
        size *= 2;
    }
}

/// Where a text that goes on can be cut, in bytes: no token lies across, whatever follows.
fn last_border(text: &str, kind: TokenKind) -> usize {
    match kind {
        // No word has a blank in it, and what follows a blank never decides what stood before.
        TokenKind::Word => text.rfind(char::is_whitespace).unwrap_or(0),
        // A line feed may follow, and then both are one.
        TokenKind::Char | TokenKind::Byte => text.strip_suffix('\r').unwrap_or(text).len(),
    }
}
