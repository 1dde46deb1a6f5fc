//! Vocabularies: round trips, order, the unknown token, what is stored.

use proptest::prelude::*;
use recurrent::data::{TokenKind, Vocabulary, words};

const KINDS: [TokenKind; 3] = [TokenKind::Char, TokenKind::Word, TokenKind::Byte];

/// Text dense in what the word rules look at.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c1-3'\"\\-.,()!$% \n\t<>]{0,40}",
        "(\\PC|\n|<unk>|\u{301}|\u{2019}|\u{201C}){0,40}",
    ]
}

proptest! {
    #[test]
    fn characters_and_bytes_come_back_exactly(text in "(\\PC|\\s|\0){0,60}") {
        for kind in [TokenKind::Char, TokenKind::Byte] {
            let vocabulary = Vocabulary::learn(kind, &text, 1);
            let numbers = vocabulary.encode(&text).unwrap();
            prop_assert_eq!(&numbers, &vocabulary.encode_lossy(&text));
            prop_assert_eq!(vocabulary.decode(&numbers), text.clone());
            prop_assert!(numbers.iter().all(|&n| (n as usize) < vocabulary.len()));
        }
    }

    #[test]
    fn joined_words_split_into_the_same_words(text in tricky()) {
        let tokens: Vec<&str> = words::split(&text).collect();
        let joined = words::join(tokens.iter().copied());
        prop_assert_eq!(words::split(&joined).collect::<Vec<_>>(), tokens, "{:?}", joined);
        let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(kept(&joined), kept(&text), "only blanks may change");
    }

    #[test]
    fn words_come_back_in_number(text in tricky()) {
        let vocabulary = Vocabulary::learn(TokenKind::Word, &text, 1);
        let numbers = vocabulary.encode(&text).unwrap();
        prop_assert_eq!(vocabulary.encode(&vocabulary.decode(&numbers)).unwrap(), numbers);
    }

    #[test]
    fn stored_and_read_back_it_is_the_same(text in tricky(), min_count in 0_u64..3) {
        for kind in KINDS {
            let vocabulary = Vocabulary::learn(kind, &text, min_count);
            let stored = serde_json::to_string(&vocabulary).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vocabulary>(&stored).unwrap(), vocabulary);
        }
    }
}

#[test]
fn numbers_are_in_a_fixed_order_after_the_unknown_token() {
    let chars = Vocabulary::learn(TokenKind::Char, "banana\n", 1);
    assert_eq!(chars.encode("\nabn").unwrap(), [1, 2, 3, 4]);
    assert_eq!((chars.len(), chars.unknown()), (5, Some(0)));

    let words = Vocabulary::learn(TokenKind::Word, "b a c c\nb a, the the the", 1);
    let listed: Vec<_> = (0..words.len() as u32).map(|n| words.token(n)).collect();
    assert_eq!(listed, ["<unk>", "the", "a", "b", "c", "\n", ","]);

    let bytes = Vocabulary::learn(TokenKind::Byte, "", 7);
    assert_eq!((bytes.len(), bytes.unknown()), (256, None));
    assert_eq!([10, 65, 233].map(|n| bytes.token(n)), ["\\x0A", "A", "\\xE9"]);
    assert_eq!(bytes.decode(&[0xC3, 0xA9, 0xE9]), "é\u{FFFD}");
}

#[test]
fn rare_tokens_are_unknown() {
    let chars = Vocabulary::learn(TokenKind::Char, "aab", 2);
    assert_eq!(chars.encode_lossy("ab"), [1, 0]);
    assert_eq!(chars.decode(&[1, 0]), "a\u{FFFD}");
    let words = Vocabulary::learn(TokenKind::Word, "a a b <unk> <unk>", 2);
    assert_eq!(words.len(), 2, "<unk> is in every word vocabulary, once");
    assert_eq!(words.encode_lossy("a b <unk>"), [1, 0, 0]);
    assert_eq!(words.decode(&[1, 0]), "a <unk>");
    assert_eq!(words.encode("a <unk>").unwrap(), [1, 0]);
}

#[test]
fn an_unknown_token_is_named_with_its_place_and_a_way_on() {
    let message = |kind, learnt: &str, text: &str| {
        Vocabulary::learn(kind, learnt, 1).encode(text).unwrap_err().to_string()
    };
    assert_eq!(
        message(TokenKind::Char, "abcdef XYZ24.\n", "abé"),
        "\"é\" (character 3) is not in the model's vocabulary; it knows '\\n' ' ' . 2 4 X-Z a-f"
    );
    assert_eq!(
        message(TokenKind::Char, "abc", "aB"),
        "\"B\" (character 2) is not in the model's vocabulary; it knows \"b\""
    );
    assert_eq!(
        message(TokenKind::Word, "Hello, world", "Hello, moon"),
        "\"moon\" (word 3) is not in the model's vocabulary; \
         it knows 3 words of its training text"
    );
    assert_eq!(
        message(TokenKind::Word, "Hello, world", "hello"),
        "\"hello\" (word 1) is not in the model's vocabulary; it knows \"Hello\""
    );
}

#[test]
fn words_are_what_a_reader_calls_words() {
    let split = |text| words::split(text).collect::<Vec<_>>().join("|");
    assert_eq!(split("Don't stop -- 'tis well-known."), "Don't|stop|--|'tis|well-known|.");
    assert_eq!(split("1,000.5 a.b x- -y ..."), "1,000.5|a|.|b|x|-|-|y|...");
    assert_eq!(split("a\t b\u{A0}c\n\nd <unk>!?"), "a|b|c|\n|\n|d|<unk>|!|?");
    let text = "\"Stay (here),\" he said. \"It's $5, or 20%!\"\n\"Why?\"\n";
    assert_eq!(words::join(words::split(text)), text);
}

#[test]
fn a_list_that_was_never_learnt_is_refused() {
    let refused = |json: &str| serde_json::from_str::<Vocabulary>(json).unwrap_err().to_string();
    assert!(refused(r#"{"char":"ba"}"#).contains("'a' comes after 'b'"));
    assert!(refused(r#"{"char":"aa"}"#).contains("'a' comes after 'a'"));
    assert!(refused(r#"{"word":["a","a"]}"#).contains("twice"));
    for word in ["", "<unk>"] {
        assert!(refused(&format!(r#"{{"word":["{word}"]}}"#)).contains("is not a word"));
    }
}

#[test]
#[should_panic(expected = "token 4 is not in the vocabulary, which has 4 tokens")]
fn a_number_beyond_the_vocabulary_is_a_mistake_of_the_program() {
    Vocabulary::learn(TokenKind::Char, "abc", 1).decode(&[3, 4]);
}

#[test]
fn kinds_have_names() {
    for kind in KINDS {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
    }
    assert_eq!(
        "letters".parse::<TokenKind>().unwrap_err().to_string(),
        "unknown kind of token \"letters\": there are char, word and byte"
    );
}
