//! Plain text: reading, the held-out tenth, words, vocabularies.

use recurrent::data::{
    Corpus, StreamedCorpus, TokenKind, TokenText, Vocabulary, source, text, words,
};

use super::{assert_names, choice, put, seed};

pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    let kind = [TokenKind::Char, TokenKind::Word, TokenKind::Byte][usize::from(choice % 3)];
    let min_count = u64::from(choice / 3 % 4);
    let path = put("a.txt", bytes);
    let source = source::open(&path).expect("the file is there");
    let text = match source.read_text() {
        Ok(text) => text,
        Err(error) => {
            assert_names(&error, &path);
            assert!(Corpus::load(&source, None, kind, min_count).is_err());
            let streamed = StreamedCorpus::load(&source, None, kind, min_count, None);
            assert_eq!(streamed.err().map(|error| error.to_string()), Some(error.to_string()));
            return;
        }
    };
    let (train, held_out) = text::split(&text, kind);
    assert_eq!(format!("{train}{held_out}"), text);
    let tokens: Vec<&str> = words::split(&text).collect();
    let joined = words::join(tokens.iter().copied());
    assert_eq!(words::split(&joined).collect::<Vec<_>>(), tokens);

    let vocabulary = Vocabulary::learn(kind, &text, min_count);
    let numbers = vocabulary.encode_lossy(&text);
    assert_eq!(numbers.len(), kind.count(&text));
    assert!(numbers.iter().all(|&number| (number as usize) < vocabulary.len()));
    let shown = vocabulary.decode(&numbers);
    if min_count <= 1 {
        match kind {
            TokenKind::Word => assert_eq!(shown, joined),
            TokenKind::Char | TokenKind::Byte => assert_eq!(shown, text),
        }
    }
    let json = serde_json::to_string(&vocabulary).expect("a vocabulary is JSON");
    assert_eq!(
        serde_json::from_str::<Vocabulary>(&json).as_ref().ok(),
        Some(&vocabulary),
        "{json}"
    );
    let of_train = Vocabulary::learn(kind, train, 2);
    if let Err(error) = of_train.encode(held_out) {
        let message = error.to_string();
        assert!(message.len() < 2_000 && !message.is_empty(), "{message}");
    }

    let streamed = StreamedCorpus::load(&source, None, kind, min_count, None);
    match Corpus::load(&source, None, kind, min_count) {
        Err(error) => {
            assert_names(&error, &path);
            assert_eq!(streamed.err().map(|error| error.to_string()), Some(error.to_string()));
        }
        Ok(corpus) => {
            let streamed = streamed.expect("on disk it is the same text");
            assert_eq!(streamed.vocabulary, corpus.vocabulary);
            assert_eq!(streamed.train.fingerprint(), Some(corpus.fingerprint()));
            let on_disk = TokenText::Streamed(streamed.valid);
            let tokens = on_disk.beginning(usize::MAX).expect("the file is still there");
            assert_eq!(*tokens, corpus.valid);
            let again = Corpus::load_with(&source, None, corpus.vocabulary.clone())
                .expect("the same file is as large");
            assert_eq!((&again.train, &again.valid), (&corpus.train, &corpus.valid));
            assert_eq!(
                corpus.train.len() + corpus.valid.len(),
                kind.count(train) + kind.count(held_out)
            );
            assert_eq!(corpus.fingerprint(), again.fingerprint());
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let english =
        "The cat's paw, well-known: 1,000.5 mice! \"Yes,\" it said (twice)...\n\n<unk> -- ";
    let other = "Größe naïve 東京 \u{1F600} e\u{301}\r\n\u{FEFF}tab\tend\u{2028}\u{2019}tis";
    let texts = [english.repeat(3), other.repeat(4), format!("\u{FEFF}{english}\r\n{other}")];
    let kinds = 0..12;
    kinds.flat_map(|kind| texts.iter().map(move |text| seed(kind, text))).collect()
}
