//! What happens to examples once they are read: the held-out part, labels, boundaries,
//! vocabularies of many texts.

use proptest::prelude::*;
use recurrent::data::{Boundaries, DataError, Labels, TokenKind, Vocabulary, split_by_key};
use std::collections::HashSet;

fn split(examples: &[String]) -> Result<(Vec<String>, Vec<String>), DataError> {
    split_by_key("d.tsv", "text", examples.to_vec(), |example| example)
}

fn distinct(examples: &[String]) -> HashSet<&String> {
    examples.iter().collect()
}

#[test]
fn a_tenth_is_held_out() {
    let examples: Vec<String> = (0..1005).map(|number| format!("example {number}")).collect();
    let (train, valid) = split(&examples).unwrap();
    assert_eq!((train.len(), valid.len()), (905, 100));
    // Not the last ones, nor those that are alike: every hundred has some.
    for hundred in 0..10 {
        let inside = |e: &&String| examples[hundred * 100..][..100].contains(e);
        assert!((2..25).contains(&valid.iter().filter(inside).count()), "{hundred}");
    }
    // Fixed for all time: a run is evaluated on the part that it was not trained on.
    assert_eq!(valid[..4], ["example 4", "example 5", "example 17", "example 20"]);
}

#[test]
fn too_few_inputs_to_hold_one_out() {
    let same = vec!["a".to_owned(); 30];
    assert_eq!(
        split(&same).unwrap_err().to_string(),
        "d.tsv: too small: a tenth is held out by its text, and there is only one; give more data, \
         or a file to be judged on with --valid"
    );
    assert!(matches!(split(&[]), Err(DataError::NoExamples { .. })));
    let (train, valid) = split(&["a".to_owned(), "b".to_owned()]).unwrap();
    assert_eq!((train.len(), valid.len()), (1, 1));
}

proptest! {
    #[test]
    fn equal_inputs_are_on_one_side_and_order_is_nothing(
        examples in prop::collection::vec("[a-d]{0,3}", 2..80).prop_shuffle(),
    ) {
        let count = distinct(&examples).len();
        prop_assume!(count > 1);
        let (train, valid) = split(&examples).unwrap();
        prop_assert!(distinct(&train).is_disjoint(&distinct(&valid)));
        prop_assert_eq!(distinct(&valid).len(), (count / 10).max(1));
        prop_assert_eq!(train.len() + valid.len(), examples.len());
        let mut kept = examples.clone();
        kept.retain(|example| !valid.contains(example));
        prop_assert_eq!(&train, &kept, "the order of the file is kept");

        let mut other = examples.clone();
        other.reverse();
        let (_, valid_of_other) = split(&other).unwrap();
        prop_assert_eq!(distinct(&valid_of_other), distinct(&valid));
    }

    #[test]
    fn labels_come_back(labels in prop::collection::hash_set("[a-c ]{1,3}", 2..10)) {
        let known = Labels::learn("d", labels.iter().map(String::as_str)).unwrap();
        prop_assert_eq!(known.len(), labels.len());
        for label in &labels {
            let number = known.require(label, "d", 1).unwrap();
            prop_assert_eq!(known.name(number), label);
        }
        let stored = serde_json::to_string(&known).unwrap();
        prop_assert_eq!(serde_json::from_str::<Labels>(&stored).unwrap(), known);
    }

    #[test]
    fn many_texts_are_learnt_like_one(texts in prop::collection::vec("[a-c 가-나]{0,8}", 0..6)) {
        for kind in [TokenKind::Char, TokenKind::Word, TokenKind::Byte] {
            let all = Vocabulary::learn_all(kind, texts.iter().map(String::as_str), 2);
            let mut one = texts.join(" ");
            if kind == TokenKind::Char {
                one = texts.concat();
            }
            prop_assert_eq!(&all, &Vocabulary::learn(kind, &one, 2));
            let tokens = (0..all.len() as u32).filter(|_| kind != TokenKind::Byte);
            for number in tokens {
                prop_assert_eq!(all.number(&all.token(number)), Some(number));
            }
        }
    }

    #[test]
    fn a_target_comes_back_up_to_its_end(text in "[a-e가-힣\u{1100}-\u{1112}\u{1161}]{0,12}") {
        for kind in [TokenKind::Char, TokenKind::Byte] {
            let vocabulary = Vocabulary::learn(kind, &text, 1);
            let boundaries = Boundaries::of(&vocabulary);
            let mut tokens = boundaries.encode_target(&text);
            prop_assert!(tokens.iter().all(|&token| token < boundaries.start()));
            prop_assert_eq!(boundaries.decode(&tokens), text.clone(), "no end is no mistake");
            tokens.insert(0, boundaries.start());
            tokens.push(boundaries.end());
            tokens.extend([0, boundaries.end(), boundaries.start()]);
            prop_assert_eq!(boundaries.decode(&tokens), text.clone());
        }
    }
}

#[test]
fn boundaries_are_behind_the_vocabulary() {
    let vocabulary = Vocabulary::learn(TokenKind::Word, "a b", 1);
    let boundaries = Boundaries::of(&vocabulary);
    assert_eq!((boundaries.start(), boundaries.end(), boundaries.size()), (3, 4, 5));
    assert_eq!(boundaries.encode_target("b c a"), [2, 0, 1]);
    assert_eq!(boundaries.decode(&[2, 0, 4, 1]), "b <unk>");
    let bytes = Vocabulary::learn(TokenKind::Byte, "", 1);
    assert_eq!(Boundaries::of(&bytes).end(), 257);
}

#[test]
fn labels_are_sorted_and_the_unknown_one_is_named() {
    let labels = Labels::learn("d.tsv", ["pos", "neg", "pos"]).unwrap();
    assert_eq!(labels.names(), ["neg", "pos"]);
    assert_eq!((labels.number("pos"), labels.number("Pos")), (Some(1), None));
    assert_eq!(
        labels.require("Pos", "d.tsv", 7).unwrap_err().to_string(),
        "d.tsv:7: \"Pos\" is not a label that the model knows; it knows \"neg\", \"pos\""
    );
    let many: Vec<String> = (10..40).map(|number| number.to_string()).collect();
    let many = Labels::learn("d.tsv", many.iter().map(String::as_str)).unwrap();
    let message = many.require("x", "d.tsv", 1).unwrap_err().to_string();
    assert!(message.ends_with("\"28\", \"29\", and 10 more"), "{message}");
    assert_eq!(
        Labels::learn("d.tsv", ["pos", "pos"]).unwrap_err().to_string(),
        "d.tsv: the only label is \"pos\", so there is nothing to tell apart; give examples of at \
         least two labels"
    );
    assert!(matches!(Labels::learn("d.tsv", []), Err(DataError::NoExamples { .. })));
    for stored in [r#"["b","a"]"#, r#"["a","a"]"#, r#"["a"]"#] {
        assert!(serde_json::from_str::<Labels>(stored).is_err(), "{stored}");
    }
}
