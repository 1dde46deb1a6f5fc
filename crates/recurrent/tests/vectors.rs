//! Word vectors: both forms of file, and bad input with the line that a person sees.

#[path = "support/files.rs"]
mod files;

use files::Files;
use proptest::prelude::*;
use recurrent::data::{TokenKind, Vectors, Vocabulary, source, vectors::read_vectors};

fn read(content: impl AsRef<[u8]>) -> Result<Vectors, String> {
    let files = Files::new();
    let source = files.put("v.txt", content);
    // Numbers: the 1, cat 2, dog 3.
    let vocabulary = Vocabulary::learn(TokenKind::Word, "the the dog cat", 1);
    read_vectors(&source, &vocabulary).map_err(|error| files.message(&error))
}

#[test]
fn the_words_of_the_vocabulary_are_found() {
    let expected = Vectors { size: 2, found: vec![(1, vec![1.0, -2.5]), (3, vec![0.0, 3.0])] };
    let glove = "dog 0 3\nbird 4 5\nthe 1 -2.5\n";
    assert_eq!(read(glove).unwrap(), expected);
    assert_eq!(read(format!("3 2\n{glove}")).unwrap(), expected, "word2vec's first line");
    assert_eq!(read(format!("\u{FEFF}{}", glove.replace('\n', " \r\n"))).unwrap(), expected);
    assert_eq!(read(glove.replace(' ', "\t")).unwrap(), expected);
    let more = format!("{glove}dog 9 9\n. . 1 2\na\u{A0}b 1 2\n");
    assert_eq!(
        read(more).unwrap(),
        expected,
        "a word twice, a word with blanks, with another blank"
    );
    assert_eq!(read("<unk> 7\n").unwrap().found, [(0, vec![7.0])]);
}

#[test]
fn vectors_that_are_wrong() {
    assert_eq!(
        read("the 1 2\nbird 3\n").unwrap_err(),
        "v.txt:2: the vector of \"bird\" has 1 number, expected: 2; is the line cut off?"
    );
    assert_eq!(
        read("the 1 2\ncat 3 4 5\n").unwrap_err(),
        "v.txt:2: the vector of \"cat\" has 3 numbers, expected: 2; is the line cut off?"
    );
    assert_eq!(
        read("the\ncat\n").unwrap_err(),
        "v.txt:1: the vector of \"the\" has 0 numbers, expected: 1; is the line cut off?"
    );
    for cell in ["NaN", "inf", "1,5", "1e39"] {
        assert_eq!(
            read(format!("the 1 2\ndog 3 {cell}\n")).unwrap_err(),
            format!("v.txt:2: the vector of \"dog\" holds {cell:?}, which is not a finite number")
        );
    }
    assert_eq!(
        read("5 2\nthe 1 2\n").unwrap_err(),
        "v.txt: its first line says 5 words, but it has 1; is it cut off?"
    );
    assert_eq!(
        read("bird 1 2\n").unwrap_err(),
        "v.txt: has a vector for none of the model's 3 words; is it of another language, or is \
         --tokens not word?"
    );
    let nothing = "v.txt: holds no examples; give a file with at least one line of data";
    assert_eq!(read("\n").unwrap_err(), nothing);
    assert_eq!(read("").unwrap_err(), nothing);
    assert_eq!(
        read(b"the 1\nna\xEFve 2\n").unwrap_err(),
        "v.txt: is not UTF-8 text: byte 0xEF at offset 8 (line 2); convert it, for example with \
         `iconv -f ISO-8859-1 -t UTF-8`"
    );
    let vocabulary = Vocabulary::learn(TokenKind::Word, "the", 1);
    let text = source::open("builtin:text").unwrap();
    let error = read_vectors(&text, &vocabulary).unwrap_err().to_string();
    assert_eq!(error, "builtin:text: is not a file");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "(the|dog|[0-9.e \n-]){0,20}".prop_map(String::into_bytes),
    ]) {
        if let Ok(vectors) = read(bytes) {
            prop_assert!(!vectors.found.is_empty());
            for (token, vector) in &vectors.found {
                prop_assert!(*token < 4 && vector.len() == vectors.size && vectors.size > 0);
                prop_assert!(vector.iter().all(|number| number.is_finite()));
            }
        }
    }
}
