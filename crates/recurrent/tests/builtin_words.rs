//! The built-in reviews, tags and names: right, apart, and not to be had by counting words.

use recurrent::{
    builtin::{self, Part, SEED},
    data::words,
};
use std::collections::{HashMap, HashSet};

fn fingerprint(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    text.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

/// How many of the test rows naive Bayes gets right: counts of each label's features, plus one.
fn naive_bayes(
    train: &[[String; 2]],
    test: &[[String; 2]],
    features: impl Fn(&[String; 2]) -> (String, Vec<String>),
) -> f64 {
    let mut counts = HashMap::<String, HashMap<String, f64>>::new();
    let mut known = HashSet::new();
    for (label, seen) in train.iter().map(&features) {
        let counts = counts.entry(label).or_default();
        for feature in seen {
            *counts.entry(feature.clone()).or_default() += 1.0;
            known.insert(feature);
        }
    }
    let totals: HashMap<&String, f64> =
        counts.iter().map(|(label, counts)| (label, counts.values().sum())).collect();
    let hits = test.iter().map(&features).filter(|(label, seen)| {
        let score = |label: &String| -> f64 {
            let total = totals[label] + known.len() as f64;
            let times = |feature| counts[label].get(feature).unwrap_or(&0.0) + 1.0;
            seen.iter().map(|feature| (times(feature) / total).ln()).sum()
        };
        counts.keys().max_by(|a, b| score(a).total_cmp(&score(b))) == Some(label)
    });
    hits.count() as f64 / test.len() as f64
}

const GOOD: &str =
    "good brilliant clever moving funny charming gripping fresh warm lovely strong delightful";

const BAD: &str = "bad dull silly boring clumsy tedious bland stale cold weak tiresome dreadful";

const THINGS: &str = "film plot music cast script ending story dialogue acting finale";

fn is_in(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// A review's pattern: its words, those that vary blanked out.
fn pattern(review: &str) -> String {
    let masked = words::split(review).map(|word| match word {
        _ if is_in(GOOD, word) || is_in(BAD, word) => "adjective",
        _ if is_in(THINGS, word) => "thing",
        _ => word,
    });
    masked.collect::<Vec<_>>().join(" ")
}

/// Whether a review is positive, by the rules of English: find the clause that counts, and see
/// how often it turns the meaning of its adjective round.
fn is_positive(review: &str) -> bool {
    let adjectives = |text: &str| {
        words::split(text).filter(|word| is_in(GOOD, word) || is_in(BAD, word)).count()
    };
    let sentence = review.split_inclusive('.').find(|text| adjectives(text) > 0).unwrap();
    let sentence = sentence.trim().trim_end_matches('.').to_lowercase();
    let after = |mark: &str| sentence.rsplit_once(mark).map(|(_, after)| after);
    let before = |mark: &str| sentence.split_once(mark).map(|(before, _)| before);
    let opens = ["although ", "even if ", "it is true that "];
    let counts = if opens.iter().any(|open| sentence.starts_with(open)) {
        after(", ")
    } else if sentence.contains(" more ") {
        before(" than ")
    } else if sentence.contains(" less ") {
        after(" than ")
    } else if sentence.contains(" turned from ") {
        after(" to ")
    } else {
        let later = ["; even so, ", ", but ", " at first but ", " ended "];
        let earlier =
            [", although ", ", even if ", ", if ", ", though ", " rather than ", ", not "];
        let marked = earlier.iter().find_map(|mark| before(mark));
        marked.or_else(|| later.iter().find_map(|mark| after(mark)))
    };
    // "not dull but clever" has its adjectives on both sides; "nothing but" has not.
    let both = |(a, b): &(&str, &str)| adjectives(a) > 0 && adjectives(b) > 0;
    let divided = sentence.split_once(" but ").filter(both).map(|(_, after)| after);
    let counts = counts.or(divided).unwrap_or(&sentence);
    let words: Vec<&str> = words::split(counts).collect();
    let turns = |at: usize| match words[at] {
        "nothing" => words.get(at + 1) != Some(&"but"),
        word => is_in("not never nobody anything stopped wrong", word),
    };
    let turned = (0..words.len()).filter(|&at| turns(at)).count();
    let found: Vec<&&str> = words.iter().filter(|w| is_in(GOOD, w) || is_in(BAD, w)).collect();
    assert_eq!(found.len(), 1, "{review}");
    is_in(GOOD, found[0]) == turned.is_multiple_of(2)
}

#[test]
fn reviews_mean_what_their_label_says() {
    let mut owner = HashMap::new();
    for part in Part::ALL {
        let rows = builtin::sentiment(SEED, part);
        assert_eq!(rows.len(), if part == Part::Train { 8_000 } else { 1_000 });
        let positive = rows.iter().filter(|row| row[1] == "positive").count();
        assert_eq!(2 * positive, rows.len());
        for [text, label] in rows {
            assert_eq!(is_positive(&text), label == "positive", "{text} {label}");
            assert_eq!(*owner.entry(pattern(&text)).or_insert(part), part, "of two parts: {text}");
        }
    }
}

#[test]
fn counting_words_does_not_tell_a_review() {
    let parts = [Part::Train, Part::Test].map(|part| builtin::sentiment(SEED, part));
    // What is new on the test is how words come together, not the words.
    let known: HashSet<&str> = parts[0].iter().flat_map(|row| words::split(&row[0])).collect();
    assert!(parts[1].iter().flat_map(|row| words::split(&row[0])).all(|w| known.contains(w)));
    let bag = |row: &[String; 2]| {
        let words = words::split(&row[0]).map(str::to_lowercase);
        (row[1].clone(), words.collect())
    };
    let accuracy = naive_bayes(&parts[0], &parts[1], bag);
    assert!((0.40..=0.65).contains(&accuracy), "naive Bayes: {accuracy:.3}");
    // The same measure sees order as soon as it is shown some of it: the counter counts.
    let labelled = |row: &[String; 2]| {
        (row[1].clone(), vec![if is_positive(&row[0]) { "a" } else { "b" }.to_owned()])
    };
    assert_eq!(naive_bayes(&parts[0], &parts[1], labelled), 1.0);
}

/// Words that belong together in number: an article, its noun, and the verbs of that noun; each
/// group lists the places of its words.
fn agreeing(sentence: &[(String, String)]) -> Vec<Vec<usize>> {
    let kind = |at: usize| sentence[at].1.split('.').next().unwrap();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // Subjects that wait for their verb, and the group of the verb before.
    let (mut waiting, mut last) = (Vec::new(), None);
    for at in 0..sentence.len() {
        match kind(at) {
            "DET" => groups.push(vec![at]),
            "NOUN" => {
                groups.last_mut().unwrap().push(at);
                let article = *groups.last().unwrap().first().unwrap();
                let object = article > 0 && ["VERB", "INF", "PREP"].contains(&kind(article - 1));
                if !object {
                    waiting.push(groups.len() - 1);
                }
            }
            "VERB" => {
                let relative = kind(at - 1) == "REL";
                let subject = if relative { waiting.last().copied() } else { waiting.pop() };
                let subject = subject.unwrap_or_else(|| panic!("no subject: {sentence:?}"));
                groups[subject].push(at);
                last = Some(subject);
            }
            "PRON" if sentence[at].0 != "her" => groups[last.unwrap()].push(at),
            _ => {}
        }
    }
    assert!(waiting.is_empty(), "a subject without verb: {sentence:?}");
    groups
}

#[test]
fn tags_agree_and_the_sentence_shows_them() {
    let mut numbers = HashMap::<(String, String), HashSet<String>>::new();
    let train = builtin::tags(SEED, Part::Train);
    for (token, tag) in train.iter().flatten() {
        if let Some((kind, number)) = tag.split_once('.') {
            let key = (token.clone(), kind.to_owned());
            numbers.entry(key).or_default().insert(number.to_owned());
        }
    }
    let (mut owner, mut meaning) = (HashMap::new(), HashMap::new());
    for part in Part::ALL {
        let sentences = builtin::tags(SEED, part);
        assert_eq!(sentences.len(), if part == Part::Train { 4_000 } else { 1_000 });
        for sentence in sentences {
            assert_eq!(sentence.last().unwrap(), &(".".to_owned(), "PUNCT".to_owned()));
            for group in agreeing(&sentence) {
                let number = |at: usize| sentence[at].1.split_once('.').unwrap().1;
                assert!(group.iter().all(|&at| number(at) == number(group[0])), "{sentence:?}");
                // One of them at least has a form that is always of this number.
                let shows = |at: usize| {
                    let (token, tag) = &sentence[at];
                    let kind = tag.split_once('.').unwrap().0;
                    numbers[&(token.clone(), kind.to_owned())].len() == 1
                };
                assert!(group.iter().any(|&at| shows(at)), "hidden: {group:?} {sentence:?}");
            }
            let (tokens, tags): (Vec<_>, Vec<_>) = sentence.into_iter().unzip();
            let tags = tags.join(" ");
            assert_eq!(*meaning.entry(tokens).or_insert(tags.clone()), tags, "two readings");
            assert_eq!(*owner.entry(tags).or_insert(part), part, "a pattern of two parts");
        }
    }
}

#[test]
fn a_word_alone_does_not_tell_its_tag() {
    let mut counts = HashMap::<String, HashMap<String, usize>>::new();
    for (token, tag) in builtin::tags(SEED, Part::Train).into_iter().flatten() {
        *counts.entry(token).or_default().entry(tag).or_default() += 1;
    }
    let test: Vec<_> = builtin::tags(SEED, Part::Test).into_iter().flatten().collect();
    let hits = test.iter().filter(|(token, tag)| {
        let known = counts.get(token).expect("a word that is not in the training part");
        known.iter().max_by_key(|(tag, count)| (**count, tag.as_str())).unwrap().0 == tag
    });
    let accuracy = hits.count() as f64 / test.len() as f64;
    assert!((0.60..=0.85).contains(&accuracy), "most frequent tag: {accuracy:.3}");
}

#[test]
fn names_are_of_one_language_and_sound_like_it() {
    let parts = Part::ALL.map(|part| builtin::labels(SEED, part));
    let mut names = HashSet::new();
    for rows in &parts {
        let mut counts = HashMap::<&str, usize>::new();
        for [label, name] in rows {
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
            assert!(name[1..].bytes().all(|b| b.is_ascii_lowercase() || b == b'\''), "{name}");
            *counts.entry(label).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|&count| count * 6 == rows.len()));
    }
    assert_eq!(parts.each_ref().map(Vec::len), [6_000, 960, 960]);
    let pairs = |row: &[String; 2]| {
        let letters: Vec<char> = row[1].chars().collect();
        (row[0].clone(), letters.windows(2).map(|pair| pair.iter().collect()).collect())
    };
    let accuracy = naive_bayes(&parts[0], &parts[2], pairs);
    assert!(accuracy > 0.9, "by pairs of letters: {accuracy:.3}");
}

#[test]
fn they_are_pinned() {
    let first = |rows: Vec<[String; 2]>| rows[..100].iter().flatten().cloned().collect::<String>();
    let tags = builtin::tags(SEED, Part::Test);
    let tags: String = tags[..100].iter().flatten().map(|(a, b)| format!("{a}/{b} ")).collect();
    let found = [
        fingerprint(&first(builtin::sentiment(SEED, Part::Test))),
        fingerprint(&tags),
        fingerprint(&first(builtin::labels(SEED, Part::Test))),
    ];
    assert_eq!(found, [0x9A078247A3A1175A, 0x34799BC50F889F7A, 0x54A4C8C004866130]);
    assert_ne!(builtin::labels(SEED, Part::Test), builtin::labels(SEED + 1, Part::Test));
}
