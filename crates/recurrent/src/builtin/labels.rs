//! Names in invented languages, each with sounds and syllables of its own.

use super::{
    Chance, Part,
    chance::{drawn, part_of},
};
use std::collections::HashSet;

/// Rows of `[label, text]`: the language and a name in it, such as `["Kordun", "Grumaz"]`. Six
/// languages, 1,000 names of each to train, 160 of each to validate and test; no name comes
/// twice, in one part or in two, in one language or in two.
pub fn labels(seed: u64, part: Part) -> Vec<[String; 2]> {
    let chance = &mut Chance::of_part(seed, "labels", part);
    let rows = part.of([1_000, 160, 160]);
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(rows * LANGUAGES.len());
    for (index, language) in LANGUAGES.iter().enumerate() {
        let mut left = rows;
        while left > 0 {
            let name = language.name(chance);
            // What two languages could say belongs to one of them, whatever else is drawn.
            let owner = drawn(seed, &["languages", &name], LANGUAGES.len());
            let belongs = owner == index && part_of(seed, "labels", &name) == part;
            if belongs && seen.insert(name.clone()) {
                names.push([language.label.to_owned(), name]);
                left -= 1;
            }
        }
    }
    chance.shuffle(&mut names);
    names
}

/// Which sounds stand where in a name: a start, then vowels with consonants between them, then
/// an end.
struct Language {
    label: &'static str,
    starts: &'static [&'static str],
    vowels: &'static [&'static str],
    middles: &'static [&'static str],
    ends: &'static [&'static str],
    /// The least and the greatest number of vowels.
    syllables: (i32, i32),
}

impl Language {
    fn name(&self, chance: &mut Chance) -> String {
        let mut name = chance.pick(self.starts).to_owned() + chance.pick(self.vowels);
        for _ in 1..chance.between(self.syllables.0, self.syllables.1) {
            name.push_str(chance.pick(self.middles));
            name.push_str(chance.pick(self.vowels));
        }
        name.push_str(chance.pick(self.ends));
        name[..1].to_ascii_uppercase() + &name[1..]
    }
}

const LANGUAGES: [Language; 6] = [
    // Soft consonants, many vowels.
    Language {
        label: "Lirian",
        starts: &["l", "m", "n", "v", "s", "r", "el", "al", "il"],
        vowels: &["a", "e", "i", "o", "ie", "ia"],
        middles: &["l", "r", "n", "m", "v", "s", "ll", "nn"],
        ends: &["", "", "n", "l", "el", "ra"],
        syllables: (2, 4),
    },
    // Hard clusters, dark vowels.
    Language {
        label: "Kordun",
        starts: &["k", "g", "gr", "kr", "dr", "br", "d", "th"],
        vowels: &["o", "u", "a"],
        middles: &["rd", "rg", "g", "k", "zg", "m", "rm", "dr"],
        ends: &["k", "g", "rn", "z", "sh", "rk", "m"],
        syllables: (2, 3),
    },
    // Every consonant with a vowel behind it, and vowels side by side.
    Language {
        label: "Pohalu",
        starts: &["p", "k", "h", "l", "m", "n", "w", ""],
        vowels: &["a", "e", "i", "o", "u", "ai", "oa", "au"],
        middles: &["p", "k", "h", "l", "m", "n", "w"],
        ends: &["", "", "", "'a", "'u"],
        syllables: (3, 4),
    },
    // Short, with diphthongs, closed by n or ng.
    Language {
        label: "Tinmai",
        starts: &["t", "ch", "sh", "x", "zh", "j", "m", "l"],
        vowels: &["ai", "ei", "ao", "uo", "i", "iu", "a"],
        middles: &["nt", "ngl", "ngsh", "nm", "zh", "x", "nch", "j"],
        ends: &["", "n", "ng", "ng"],
        syllables: (2, 3),
    },
    // Consonants upon consonants, and endings of its own.
    Language {
        label: "Szervak",
        starts: &["sz", "cz", "str", "vl", "b", "pr", "z", "m"],
        vowels: &["e", "a", "y", "o"],
        middles: &["rv", "tk", "j", "rz", "sl", "v", "dn", "cz"],
        ends: &["ek", "ov", "ny", "ak", "ic", "a"],
        syllables: (1, 3),
    },
    // Long vowels, breathed consonants.
    Language {
        label: "Wyndar",
        starts: &["w", "gw", "rh", "ll", "f", "h", "br", "c"],
        vowels: &["y", "e", "aa", "ee", "w", "ae"],
        middles: &["nd", "dd", "ff", "r", "lw", "th", "rch", "n"],
        ends: &["r", "n", "dd", "th", "yn", "wen"],
        syllables: (2, 3),
    },
];
