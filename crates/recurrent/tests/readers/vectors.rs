//! Word vectors: GloVe's form and word2vec's text form.

use recurrent::data::{TokenKind, Vocabulary, source, vectors::read_vectors};

use super::{assert_names, put};

pub(super) fn run(bytes: &[u8]) {
    let vocabulary = Vocabulary::learn(TokenKind::Word, "the cat sat on 3 mats", 1);
    let path = put("a.vec", bytes);
    let source = source::open(&path).expect("the file is there");
    match read_vectors(&source, &vocabulary) {
        Err(error) => assert_names(&error, &path),
        Ok(vectors) => {
            assert!(vectors.size > 0 && !vectors.found.is_empty());
            assert!(vectors.found.is_sorted_by(|a, b| a.0 < b.0));
            for (token, vector) in &vectors.found {
                assert!((*token as usize) < vocabulary.len());
                assert_eq!(vector.len(), vectors.size);
                assert!(vector.iter().all(|number| number.is_finite()));
            }
            assert_eq!(read_vectors(&source, &vocabulary).ok(), Some(vectors));
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let glove = "the 0.5 -1e-3 2\ncat 1 2 3\n<unk> 0 0 0\nNew York 7 8 9\n";
    let word2vec = "3 2\r\nsat 1 2 \r\n3 4 5\r\nthe\t-0.5\t.25\r\n";
    [glove, word2vec].map(|text| text.as_bytes().to_vec()).to_vec()
}
