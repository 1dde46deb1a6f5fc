//! Reading text: every bad input with the line that a person sees, and where a text is cut.

use proptest::prelude::*;
use recurrent::data::{
    Corpus, DataError, TokenKind, Vocabulary, source,
    text::{load_held_out, split},
};
use std::{error::Error, fs, path::PathBuf};
use tempfile::TempDir;

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.txt");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The text of a file with these bytes, or the message without the folder's name.
fn read(bytes: &[u8]) -> Result<String, String> {
    let (folder, path) = file(bytes);
    source::open(&path).unwrap().read_text().map_err(|error| message(&error, &folder))
}

fn load(bytes: &[u8], kind: TokenKind, min_count: u64) -> Result<Corpus, String> {
    let (folder, path) = file(bytes);
    Corpus::load(&source::open(&path).unwrap(), None, kind, min_count)
        .map_err(|error| message(&error, &folder))
}

fn message(error: &DataError, folder: &TempDir) -> String {
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn names_that_lead_nowhere() {
    let (folder, path) = file(b"text");
    let missing = source::open(folder.path().join("absent.txt")).unwrap_err();
    assert_eq!(
        message(&missing, &folder),
        "absent.txt: no such file; give the path of a file, or `builtin:NAME`"
    );
    assert!(matches!(source::open(path.join("below")), Err(DataError::Missing { .. })));
    assert!(matches!(source::open(""), Err(DataError::Missing { .. })));
    assert_eq!(
        source::open("builtin:novel").unwrap_err().to_string(),
        "builtin:novel: no such built-in data; there is builtin:text, builtin:sentiment, \
         builtin:tags, builtin:addition, builtin:dates, builtin:series, builtin:labels, \
         builtin:captions, builtin:shapes"
    );
    let shapes = source::open("builtin:shapes").unwrap().read_text().unwrap_err();
    assert_eq!(shapes.to_string(), "builtin:shapes: is not plain text");
    let directory = source::open(folder.path()).unwrap().read_text().unwrap_err();
    assert_eq!(
        directory.to_string(),
        format!("{}: is a folder; give the path of a file in it", folder.path().display())
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_the_system_refuses_to_read_names_its_reason() {
    // Reading another process's memory from offset 0 fails, even for root.
    let error = source::open("/proc/self/mem").unwrap().read_text().unwrap_err();
    assert_eq!(error.to_string(), "/proc/self/mem: cannot be read");
    assert!(error.source().is_some(), "the system's reason is in the chain");
}

#[test]
fn bytes_that_are_no_text() {
    assert_eq!(read(b"").unwrap_err(), "data.txt: is empty; give a file with text in it");
    assert_eq!(
        read(b"\xEF\xBB\xBF").unwrap_err(),
        "data.txt: is empty; give a file with text in it"
    );
    assert_eq!(
        read(b"one\ntwo\nna\xEFve\n").unwrap_err(),
        "data.txt: is not UTF-8 text: byte 0xEF at offset 10 (line 3); \
         convert it, for example with `iconv -f ISO-8859-1 -t UTF-8`"
    );
    assert_eq!(
        read(b"\xFF\xFEa\0b\0").unwrap_err(),
        "data.txt: is not UTF-8 text: byte 0xFF at offset 0 (line 1); \
         the file looks like UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`"
    );
    // Cut off in the middle of a character.
    assert!(
        read("a\u{20AC}".as_bytes().split_last().unwrap().1).unwrap_err().contains("offset 1 ")
    );
}

#[test]
fn byte_order_mark_and_line_ends() {
    assert_eq!(read(b"\xEF\xBB\xBFa\r\nb\r\n").unwrap(), "a\nb\n");
    assert_eq!(read(b"a\rb\n\r\n").unwrap(), "a\rb\n\n", "a CR without LF stays");
    assert_eq!(read("a\u{FEFF}b".as_bytes()).unwrap(), "a\u{FEFF}b", "only a leading mark goes");
}

#[test]
fn texts_that_are_too_small() {
    assert_eq!(
        load(&[b'a'; 100], TokenKind::Char, 1).unwrap_err(),
        "data.txt: too small: the held-out last tenth has 10 characters, at least 11 are needed; \
         give more text, or a file to be judged on with --valid"
    );
    assert_eq!(
        load(b"a", TokenKind::Word, 1).unwrap_err(),
        "data.txt: too small: the training part has 0 words, at least 2 are needed; give more text"
    );
    assert!(load(&[b'a'; 101], TokenKind::Char, 1).is_ok());

    let (folder, path) = file(b"short");
    let held_out = source::open(&path).unwrap();
    let vocabulary = Vocabulary::learn(TokenKind::Char, "short", 1);
    assert_eq!(
        message(&load_held_out(&held_out, &vocabulary).unwrap_err(), &folder),
        "data.txt: too small: the text has 5 characters, at least 11 are needed; give more text"
    );
}

#[test]
fn a_window_longer_than_the_data() {
    let corpus = load(&[b'a'; 200], TokenKind::Byte, 1).unwrap();
    assert!(corpus.require_window(1, 179).is_ok(), "180 bytes train: 179 predictions");
    let error = corpus.require_window(3, 60).unwrap_err().to_string();
    let end = "data.txt: too small: the training part has 180 bytes, at least 181 are needed; \
               give more text, or lower --sequence-length (60) or --batch-size (3)";
    assert!(error.ends_with(end), "{error}");
    assert!(corpus.require_window(usize::MAX, 2).is_err(), "no overflow");
}

#[test]
fn no_token_is_frequent_enough() {
    let text = "abcdefghij".repeat(20);
    assert_eq!(
        load(text.as_bytes(), TokenKind::Char, 19).unwrap_err(),
        "data.txt: no token occurs 19 times, so the vocabulary is empty; lower --min-count"
    );
    assert!(load(text.as_bytes(), TokenKind::Char, 18).is_ok());
}

#[test]
fn a_validation_file_leaves_all_of_the_data_to_train_on() {
    let (_folder, data) = file(b"aab");
    let (_other_folder, valid) = file(b"ab?ab?ab?ab");
    let (data, valid) = (source::open(&data).unwrap(), source::open(&valid).unwrap());
    let corpus = Corpus::load(&data, Some(&valid), TokenKind::Char, 1).unwrap();
    assert_eq!(corpus.train, [1, 1, 2]);
    assert_eq!(corpus.valid[..4], [1, 2, 0, 1], "what the training part lacks is unknown");

    let again = Corpus::load_with(&data, Some(&valid), corpus.vocabulary.clone()).unwrap();
    assert_eq!(again.fingerprint(), corpus.fingerprint());
    let swapped = Corpus::load_with(&valid, Some(&valid), corpus.vocabulary.clone()).unwrap();
    assert_ne!(swapped.fingerprint(), corpus.fingerprint());
}

#[test]
fn nine_tenths_are_rounded_down() {
    // 1,115,394 characters, a well-known corpus's size, are cut at 1,003,854.
    let text = "é".repeat(1_115_394);
    let (train, valid) = split(&text, TokenKind::Char);
    assert_eq!((train.chars().count(), valid.chars().count()), (1_003_854, 111_540));
    assert_eq!(split("", TokenKind::Char), ("", ""));
    assert_eq!(split("a", TokenKind::Word), ("", "a"));
    assert_eq!(split("éé", TokenKind::Byte), ("é", "é"), "byte 3 lies inside a character");
    let words = "a b c d e f g h i, j k";
    assert_eq!(split(words, TokenKind::Word), ("a b c d e f g h i, ", "j k"));
}

proptest! {
    #[test]
    fn the_parts_are_the_text_and_the_counts_are_exact(text in "(\\PC|\n){0,80}") {
        for kind in [TokenKind::Char, TokenKind::Word, TokenKind::Byte] {
            let (train, valid) = split(&text, kind);
            prop_assert_eq!(train.to_owned() + valid, text.clone());
            let vocabulary = Vocabulary::learn(kind, &text, 1);
            let [all, first] = [&text[..], train].map(|text| vocabulary.encode_lossy(text));
            prop_assert!(all.starts_with(&first), "the cut goes through no token");
            let expected = all.len() * 9 / 10;
            let slack = if kind == TokenKind::Byte { 3 } else { 0 };
            prop_assert!(first.len() <= expected && first.len() + slack >= expected);
        }
    }
}
