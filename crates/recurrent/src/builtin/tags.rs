//! Sentences with a tag at each word, which the word alone does not tell.

use super::{Chance, Part, part_of};

/// Sentences of `(token, tag)`, such as "the/DET.PL sheep/NOUN.PL that/REL this/DET.SG
/// guard/NOUN.SG watched/VERB.SG are/VERB.PL tired/ADJ ./PUNCT": 4,000 to train, 1,000 each to
/// validate and test.
///
/// Nouns, their articles and all verbs are tagged with their number, and many do not show it:
/// the one of "sheep" may stand in its article or in a verb behind a long clause, the one of
/// "watched" in a subject before one. Words such as "guard" and "guards" are nouns and verbs,
/// "that" is an article or opens a clause, "her" owns or is seen. The sentence always decides.
/// No sequence of tags of one part is in another.
pub fn tags(seed: u64, part: Part) -> Vec<Vec<(String, String)>> {
    let chance = &mut Chance::of_part(seed, "tags", part);
    let rows = part.of([4_000, 1_000, 1_000]);
    let mut sentences = Vec::with_capacity(rows);
    while sentences.len() < rows {
        let mut words = Words { chance, sentence: Vec::new() };
        words.sentence();
        let sentence = words.sentence;
        let tags: Vec<&str> = sentence.iter().map(|(_, tag)| tag.as_str()).collect();
        if part_of(seed, "tags", &tags.join(" ")) == part {
            sentences.push(sentence);
        }
    }
    sentences
}

/// Singular or plural.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Singular,
    Plural,
}
use Number::{Plural, Singular};

impl Number {
    fn drawn(chance: &mut Chance) -> Number {
        chance.pick(&[Singular, Plural])
    }

    /// The one of two forms that has this number.
    fn of<T: Copy>(self, [singular, plural]: [T; 2]) -> T {
        match self {
            Singular => singular,
            Plural => plural,
        }
    }
}

/// A sentence as it is written, word by word.
struct Words<'a> {
    chance: &'a mut Chance,
    sentence: Vec<(String, String)>,
}

impl Words<'_> {
    fn word(&mut self, token: &str, tag: &str) {
        self.sentence.push((token.to_owned(), tag.to_owned()));
    }

    fn numbered(&mut self, token: &str, kind: &str, number: Number) {
        self.word(token, &format!("{kind}.{}", number.of(["SG", "PL"])));
    }

    fn sentence(&mut self) {
        if self.chance.percent(20) {
            let opening = self.chance.pick(&["when", "because", "while"]);
            self.word(opening, "CONJ");
            self.clause(false);
            self.word(",", "PUNCT");
        }
        self.clause(true);
        self.word(".", "PUNCT");
    }

    /// A subject and what it does; in the main clause with something in between.
    fn clause(&mut self, main: bool) {
        let number = Number::drawn(self.chance);
        let shown = self.noun_phrase(number, true);
        let mut shown = shown;
        if main || self.chance.percent(30) {
            shown |= self.modifiers(number);
        }
        self.predicate(number, !shown);
    }

    /// An article, perhaps an adjective, and a noun. Returns whether they show their number;
    /// if `may_hide` is false they do.
    fn noun_phrase(&mut self, number: Number, may_hide: bool) -> bool {
        let (noun, noun_shows) = match self.chance.below(100) {
            0..35 => (self.chance.pick(SAME), false),
            35..70 => (number.of(self.chance.pick(PEOPLE)), true),
            _ => (number.of(self.chance.pick(ANIMALS)), true),
        };
        let article_shows = !noun_shows && !may_hide || self.chance.percent(40);
        let article = if article_shows {
            self.chance.pick(number.of([SINGULAR_ARTICLES, PLURAL_ARTICLES]))
        } else {
            self.chance.pick(ARTICLES)
        };
        self.numbered(article, "DET", number);
        if self.chance.percent(25) {
            let adjective = self.chance.pick(ADJECTIVES);
            self.word(adjective, "ADJ");
        }
        self.numbered(noun, "NOUN", number);
        noun_shows || article_shows
    }

    /// What stands between a subject and its verb. Returns whether it shows the subject's number.
    fn modifiers(&mut self, number: Number) -> bool {
        if self.chance.percent(30) {
            self.place();
        }
        match self.chance.below(100) {
            // "that watched these old dogs"
            0..40 => {
                self.word("that", "REL");
                let shown = self.verb(number, false);
                self.object();
                if self.chance.percent(30) {
                    self.place();
                }
                shown
            }
            // "that these old dogs near the mill watched"
            40..75 => {
                self.word("that", "REL");
                let inner = Number::drawn(self.chance);
                let shown = self.noun_phrase(inner, true);
                if self.chance.percent(30) {
                    self.place();
                }
                self.verb(inner, !shown);
                false
            }
            _ => false,
        }
    }

    /// "near the mill": its noun shows its number.
    fn place(&mut self) {
        let preposition = self.chance.pick(PREPOSITIONS);
        self.word(preposition, "PREP");
        let number = Number::drawn(self.chance);
        self.noun_phrase(number, false);
    }

    /// What the subject does. If `must_show`, it shows the subject's number.
    fn predicate(&mut self, number: Number, must_show: bool) {
        match self.chance.below(100) {
            0..20 => {
                let verb = number.of(self.chance.pick(BE));
                self.numbered(verb, "VERB", number);
                let adjective = self.chance.pick(ADJECTIVES);
                self.word(adjective, "ADJ");
            }
            // The number may come at the very end.
            20..40 => {
                let verb = self.chance.pick(REFLEXIVE);
                self.numbered(verb, "VERB", number);
                self.numbered(number.of(["itself", "themselves"]), "PRON", number);
            }
            _ => {
                self.verb(number, must_show);
                self.object();
            }
        }
        if self.chance.percent(30) {
            let adverb = self.chance.pick(ADVERBS);
            self.word(adverb, "ADV");
        }
    }

    /// A verb that has an object. Returns whether it shows its number; if `must_show`, it does.
    fn verb(&mut self, number: Number, must_show: bool) -> bool {
        let verb = self.chance.pick(VERBS);
        let shows = must_show || self.chance.percent(35);
        if shows {
            self.numbered(number.of(verb.present), "VERB", number);
        } else if self.chance.percent(70) {
            self.numbered(verb.past, "VERB", number);
        } else {
            let modal = self.chance.pick(&["could", "must", "will"]);
            self.numbered(modal, "VERB", number);
            self.word(verb.present[1], "INF");
        }
        shows
    }

    /// "her", or a noun phrase that shows its number.
    fn object(&mut self) {
        if self.chance.percent(15) {
            self.word("her", "PRON.SG");
        } else {
            let number = Number::drawn(self.chance);
            self.noun_phrase(number, false);
        }
    }
}

/// Nouns whose plural is their singular.
const SAME: &[&str] = &["sheep", "deer", "fish", "moose", "salmon", "bison", "swine", "trout"];

const ANIMALS: &[[&str; 2]] = &[
    ["dog", "dogs"],
    ["horse", "horses"],
    ["goat", "goats"],
    ["fox", "foxes"],
    ["farmer", "farmers"],
    ["child", "children"],
];

/// Nouns that are verbs as well: those of [`VERBS`].
const PEOPLE: &[[&str; 2]] = &[
    ["guard", "guards"],
    ["guide", "guides"],
    ["judge", "judges"],
    ["nurse", "nurses"],
    ["pilot", "pilots"],
    ["coach", "coaches"],
];

struct Verb {
    present: [&'static str; 2],
    past: &'static str,
}

const fn verb(singular: &'static str, plural: &'static str, past: &'static str) -> Verb {
    Verb { present: [singular, plural], past }
}

const VERBS: &[&Verb] = &[
    &verb("guards", "guard", "guarded"),
    &verb("guides", "guide", "guided"),
    &verb("judges", "judge", "judged"),
    &verb("nurses", "nurse", "nursed"),
    &verb("pilots", "pilot", "piloted"),
    &verb("coaches", "coach", "coached"),
    &verb("watches", "watch", "watched"),
    &verb("follows", "follow", "followed"),
    &verb("finds", "find", "found"),
    &verb("calls", "call", "called"),
];

const BE: &[[&str; 2]] = &[["is", "are"], ["was", "were"], ["seems", "seem"], ["looks", "look"]];

/// Past forms in front of "itself" and "themselves".
const REFLEXIVE: &[&str] = &["hid", "washed", "warmed", "saved", "lost"];

/// Articles that do not show a number.
const ARTICLES: &[&str] = &["the", "my", "her", "no", "some"];

const SINGULAR_ARTICLES: &[&str] = &["this", "that", "every", "one", "a"];

const PLURAL_ARTICLES: &[&str] = &["these", "those", "many", "two", "both"];

/// No adjective begins with a vowel, so that "a" stays "a".
const ADJECTIVES: &[&str] =
    &["young", "tired", "small", "brave", "quiet", "tall", "grey", "hungry"];

const PREPOSITIONS: &[&str] = &["near", "behind", "beside", "with"];

const ADVERBS: &[&str] = &["today", "again", "quickly", "often", "quietly"];
