//! Sentences in the style of CoNLL's shared tasks.

use recurrent::data::{Tagged, source};

use super::{assert_names, put};

pub(super) fn run(bytes: &[u8]) {
    let path = put("a.conll", bytes);
    let source = source::open(&path).expect("the file is there");
    let tagged = match Tagged::read(&source) {
        Ok(tagged) => tagged,
        Err(error) => return assert_names(&error, &path),
    };
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
    assert!(!tagged.sentences.is_empty());
    let (mut end, mut written) = (0, String::new());
    for sentence in &tagged.sentences {
        assert!(sentence.line > end, "sentences follow each other");
        assert!(!sentence.tokens.is_empty());
        assert_eq!(sentence.tokens.len(), sentence.tags.len());
        end = sentence.line + sentence.tokens.len() - 1;
        assert!(end <= lines);
        for (token, tag) in sentence.tokens.iter().zip(&sentence.tags) {
            for part in [token, tag] {
                assert!(
                    !part.is_empty() && part.trim() == part && !part.contains('\t'),
                    "{part:?}"
                );
            }
            written += &format!("{token}\t{tag}\n");
        }
        written.push('\n');
    }
    let again = Tagged::parse("b", &written).unwrap_or_else(|error| panic!("{error}: {written:?}"));
    for (left, right) in again.sentences.iter().zip(&tagged.sentences) {
        assert_eq!((&left.tokens, &left.tags), (&right.tokens, &right.tags));
    }
    assert_eq!(again.sentences.len(), tagged.sentences.len());
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let plain = "The\tDET\ndog\tNOUN\n\nIt\tPRON\n.\tPUNCT\n";
    let bio = "\u{FEFF}\r\nAda\tB-PER\r\nLovelace\tI-PER\r\n \r\n#\tO\r\n\"\tO";
    [plain, bio].map(|text| text.as_bytes().to_vec()).to_vec()
}
