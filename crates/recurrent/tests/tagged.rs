//! Tagged sentences: what is read, and bad input with the line that a person sees.

#[path = "support/files.rs"]
mod files;

use files::Files;
use proptest::prelude::*;
use recurrent::data::{Tagged, source};

fn read(content: impl AsRef<[u8]>) -> Result<Tagged, String> {
    let files = Files::new();
    let source = files.put("d.conll", content);
    Tagged::read(&source).map_err(|error| files.message(&error))
}

#[test]
fn sentences_end_at_blank_lines() {
    let tagged = read("\u{FEFF}\r\nThe\tDET\r\n#\tSYM\r\n\r\n  \r\n\"\tPUNCT\r\n\r\n").unwrap();
    let [first, second] = &tagged.sentences[..] else { panic!("{tagged:?}") };
    assert_eq!((first.line, second.line), (2, 6));
    assert_eq!(first.tokens, ["The", "#"]);
    assert_eq!(first.tags, ["DET", "SYM"]);
    assert_eq!((&second.tokens[0][..], &second.tags[0][..]), ("\"", "PUNCT"));
}

#[test]
fn lines_that_are_not_a_token_and_a_tag() {
    assert_eq!(
        read("The\tDET\ndog NOUN\n").unwrap_err(),
        "d.conll:2: is not a token, a tab and a tag: it has 1 column; put a tab and not blanks \
         between them"
    );
    assert_eq!(
        read("dog\n").unwrap_err(),
        "d.conll:1: is not a token, a tab and a tag: it has 1 column; every token needs a tag"
    );
    assert_eq!(
        read("1\tThe\tDET\n").unwrap_err(),
        "d.conll:1: is not a token, a tab and a tag: it has 3 columns; keep the two columns that \
         are to be learnt"
    );
    let empty = |line: &str, column: &str| {
        let expected =
            format!("d.conll:3: the column {column:?} is empty; fill it in, or leave the line out");
        assert_eq!(read(format!("The\tDET\n\n{line}\n")).unwrap_err(), expected);
    };
    empty("dog\t", "tag");
    empty(" \tNOUN", "token");
    empty("\t", "token");
}

#[test]
fn a_file_without_blank_lines() {
    let lines = |count| "a\tX\n".repeat(count);
    assert_eq!(
        read(lines(201)).unwrap_err(),
        "d.conll: no blank line between sentences: 201 tokens in a row; put a blank line after \
         every sentence"
    );
    assert!(read(lines(200)).is_ok(), "a single sentence");
    assert!(read(lines(201) + "\nb\tY\n").is_ok(), "there is a blank line");
}

#[test]
fn files_without_sentences() {
    assert_eq!(read("").unwrap_err(), "d.conll: is empty; give a file with text in it");
    assert_eq!(
        read("\n \n").unwrap_err(),
        "d.conll: holds no examples; give a file with at least one line of data"
    );
    let text = source::open("builtin:text").unwrap();
    let error = Tagged::read(&text).unwrap_err().to_string();
    assert_eq!(error, "builtin:text: is not tagged sentences");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        sentences in prop::collection::vec(
            prop::collection::vec(("[a#\"é,]{1,4}", "[A-C-]{1,3}"), 1..5), 1..5),
    ) {
        let line = |(token, tag): &(String, String)| format!("{token}\t{tag}\n");
        let sentence = |tokens: &Vec<_>| tokens.iter().map(line).collect::<String>();
        let text = sentences.iter().map(sentence).collect::<Vec<_>>().join("\n");
        let read = Tagged::parse("d", &text).unwrap();
        prop_assert_eq!(read.sentences.len(), sentences.len());
        for (read, written) in read.sentences.iter().zip(&sentences) {
            let read: Vec<_> = read.tokens.iter().cloned().zip(read.tags.iter().cloned()).collect();
            prop_assert_eq!(&read, written);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "[ab\t \n\r#]{0,40}".prop_map(String::into_bytes),
    ]) {
        if let Ok(tagged) = read(bytes) {
            for sentence in &tagged.sentences {
                prop_assert!(!sentence.tokens.is_empty());
                prop_assert_eq!(sentence.tokens.len(), sentence.tags.len());
            }
        }
    }
}
