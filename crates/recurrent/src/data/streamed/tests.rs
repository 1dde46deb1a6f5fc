//! A streamed text is the text, whatever pieces it is read in.

use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use recurrent_kernels::random::Generator;
use tempfile::TempDir;

use super::*;
use crate::data::{Corpus, source, text};

/// What a border can go wrong at.
const PARTS: [&str; 21] = [
    "a", "word", "two-part", "-", "--", "1,000.5", ".", "don't", "<unk>", "<", "e\u{301}", "é",
    "語", "😀", " ", "\t", "\n", "\r\n", "\r", "\u{85}", "\u{FEFF}",
];

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn text_of_parts() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PARTS[..]), 0..500).prop_map(|parts| parts.concat())
}

const KINDS: [TokenKind; 3] = [TokenKind::Char, TokenKind::Word, TokenKind::Byte];

/// All tokens, read by several streams in turn, some of them again.
fn read_in_turns(text: &StreamedText, seed: u64) -> Vec<u32> {
    let (mut generator, count) = (Generator::new(seed, 0), text.token_count());
    let streams = 3;
    let mut tokens = vec![vec![]; streams];
    let length = count.div_ceil(streams);
    for begin in 0..length {
        for (stream, own) in tokens.iter_mut().enumerate() {
            let at = (stream * length + begin).min(count);
            let border = ((stream + 1) * length).min(count);
            let mut read = vec![];
            // As windows do that go back: some tokens more on both sides.
            let from = at - generator.below(at.min(9) as u64 + 1) as usize;
            let to = at + generator.below((count - at).min(9) as u64 + 1) as usize;
            text.read(stream, from..to, &mut read).unwrap();
            assert_eq!(read.len(), to - from);
            if at < border {
                read.clear();
                text.read(stream, at..at + 1, &mut read).unwrap();
                own.push(read[0]);
            }
        }
    }
    tokens.concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_is_the_text_in_memory(
        text in text_of_parts(),
        mark: bool,
        broken in prop::option::weighted(0.1, 0usize..400),
        kind in prop::sample::select(&KINDS[..]),
        pass in 1usize..60,
        min_count in 1u64..3,
        seed in any::<u64>(),
    ) {
        let mut bytes = [if mark { "\u{FEFF}" } else { "" }, &text].concat().into_bytes();
        if let Some(broken) = broken.filter(|&broken| broken < bytes.len()) {
            bytes[broken] = 0xFF;
        }
        let (_folder, path) = file(&bytes);
        let source = source::open(&path).unwrap();
        let loaded = Corpus::load(&source, None, kind, min_count);
        let streamed = StreamedCorpus::load_in_pieces(&source, None, kind, min_count, None, pass);
        let (loaded, streamed) = match (loaded, streamed) {
            (Ok(loaded), Ok(streamed)) => (loaded, streamed),
            (loaded, streamed) => {
                let message = |error: Option<DataError>| error.map(|error| error.to_string());
                prop_assert_eq!(message(loaded.err()), message(streamed.err()));
                return Ok(());
            }
        };
        prop_assert_eq!(&streamed.vocabulary, &loaded.vocabulary);
        prop_assert_eq!(streamed.train.fingerprint(), Some(loaded.fingerprint()));
        prop_assert_eq!(read_in_turns(&streamed.train, seed), loaded.train.clone());
        prop_assert_eq!(read_in_turns(&streamed.valid, seed), loaded.valid);
        // As a file to be judged on, and with the vocabulary.
        let again = StreamedCorpus::load_in_pieces(
            &source, Some(&source), kind, 1, Some(streamed.vocabulary), pass,
        );
        let again = again.unwrap();
        let whole = text::load_held_out(&source, &loaded.vocabulary).unwrap();
        prop_assert_eq!(read_in_turns(&again.valid, seed), &whole[..]);
        prop_assert_eq!(read_in_turns(&again.train, seed), &whole[..]);
    }
}

#[test]
fn what_cannot_be_streamed_is_refused() {
    let load = |name: &str| {
        let source = source::open(name).unwrap();
        StreamedCorpus::load(&source, None, TokenKind::Char, 1, None).err().unwrap().to_string()
    };
    let message = load("builtin:text");
    assert!(message.starts_with("builtin:text: is not a file"), "{message}");
    assert!(load("/").starts_with("/: is a folder"));
    #[cfg(unix)]
    assert!(load("/dev/null").starts_with("/dev/null: is no regular file"));
}

#[test]
fn a_file_that_changes_is_noticed() {
    let words = "some words, to be read later. ".repeat(4_000);
    for change in ["shorter", "longer", "no text", "other letters, same length"] {
        let (_folder, path) = file(words.as_bytes());
        let source = source::open(&path).unwrap();
        let corpus = StreamedCorpus::load(&source, None, TokenKind::Word, 1, None).unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        match change {
            "shorter" => file.set_len(20_000).unwrap(),
            "longer" => file.set_len(200_000).unwrap(),
            "no text" => file.write_all(&[0xFF; 60_000]).unwrap(),
            _ => file.write_all(words.to_uppercase().as_bytes()).unwrap(),
        }
        // The clock of the file system may stand still for as long as this test takes.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
        file.set_modified(later).unwrap();
        let mut tokens = vec![];
        let end = corpus.train.token_count();
        let error = corpus.train.read(0, 4_000..end, &mut tokens).unwrap_err().to_string();
        assert!(error.contains("was changed while it was read"), "{change}: {error}");
    }
}
