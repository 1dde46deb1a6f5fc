//! The built-in sums, dates and series: right, apart, and with something to learn.

use recurrent::builtin::{self, Part, SEED};
use std::collections::{HashMap, HashSet};

fn fingerprint(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    text.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

#[test]
fn sums_are_right_and_no_pair_comes_twice() {
    let mut seen = HashSet::new();
    for part in Part::ALL {
        let rows = builtin::addition(SEED, part);
        assert_eq!(rows.len(), if part == Part::Train { 50_000 } else { 1_000 });
        for [source, target] in rows {
            let (a, b) = source.split_once('+').unwrap();
            let (a, b): (u32, u32) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((format!("{a}+{b}"), (a + b).to_string()), (source, target));
            assert!(a < 1000 && b < 1000);
            assert!(seen.insert((a.min(b), a.max(b))), "{a} and {b} twice");
        }
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const ONES: [&str; 19] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

/// Days of a month, from 1.
fn length(year: u32, month: u32) -> u32 {
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1]
}

/// The day of the week, from 0, a Sunday (Sakamoto's congruence).
fn weekday(year: u32, month: u32, day: u32) -> u32 {
    let shift = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4][month as usize - 1];
    let year = if month < 3 { year - 1 } else { year };
    (year + year / 4 - year / 100 + year / 400 + shift + day) % 7
}

/// The day of a month in words.
fn ordinal(word: &str) -> Option<u32> {
    let ones = |word: &str| ONES.iter().position(|one| *one == word).map(|at| at as u32 + 1);
    match word.split_once('-') {
        Some(("twenty", one)) => Some(20 + ones(one)?),
        Some(("thirty", one)) => Some(30 + ones(one)?),
        _ if word == "twentieth" => Some(20),
        _ if word == "thirtieth" => Some(30),
        _ => ones(word),
    }
}

/// Reads a date in any style: year, month, day, and the weekday if one is named.
fn read(source: &str) -> Option<([u32; 3], Option<u32>)> {
    let text = source.to_ascii_lowercase();
    let named = |names: &[&str], word: &str| names.iter().position(|name| word.starts_with(name));
    let (mut year, mut month, mut day, mut named_weekday) = (None, None, None, None);
    let mut bare = Vec::new();
    // "twenty-first" is a word, "09-May-1998" three.
    for word in text.split([' ', ',', '.', '/']).filter(|word| !word.is_empty()) {
        let whole = ordinal(word).is_some();
        for word in word.split(|c| c == '-' && !whole) {
            let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            if let Some(number) = ordinal(word) {
                day = Some(number);
            } else if let Some(at) = named(&MONTHS, word) {
                month = Some(at as u32 + 1);
            } else if let Some(at) = named(&WEEKDAYS, word) {
                named_weekday = Some(at as u32);
            } else if let Some(short) = word.strip_prefix('\'') {
                let short: u32 = short.parse().ok()?;
                year = Some(if short >= 50 { 1900 + short } else { 2000 + short });
            } else if digits.len() == 8 {
                let number: u32 = digits.parse().ok()?;
                return Some(([number / 10_000, number / 100 % 100, number % 100], None));
            } else if digits.len() == 4 {
                year = Some(digits.parse().ok()?);
            } else if digits.is_empty() {
                assert!(["the", "of"].contains(&word), "{source}");
            } else {
                bare.push(digits.parse().ok()?);
            }
        }
    }
    match bare[..] {
        [one] => day = Some(one),
        // Year, month, day; or only one of the two can be a month.
        [one, two] if text.starts_with(['1', '2']) && text.find('/') == Some(4) => {
            (month, day) = (Some(one), Some(two));
        }
        [one, two] => {
            assert!((one > 12) != (two > 12), "{source} has two readings");
            (month, day) = (Some(one.min(two)), Some(one.max(two)));
        }
        _ => {}
    }
    Some(([year?, month?, day?], named_weekday))
}

#[test]
fn dates_read_as_they_are_written() {
    let mut owner = HashMap::new();
    for part in Part::ALL {
        let rows = builtin::dates(SEED, part);
        assert_eq!(rows.len(), if part == Part::Train { 16_000 } else { 1_000 });
        for [source, iso] in rows {
            let ([year, month, day], named) = read(&source).unwrap_or_else(|| panic!("{source}"));
            assert_eq!(format!("{year}-{month:02}-{day:02}"), iso, "{source}");
            assert!((1950..2050).contains(&year) && (1..=length(year, month)).contains(&day));
            assert!(named.is_none_or(|named| named == weekday(year, month, day)), "{source}");
            assert_eq!(*owner.entry(iso).or_insert(part), part, "a day of two parts");
        }
    }
}

/// The coefficients of the least squares: the normal equations, by elimination.
fn least_squares(inputs: &[Vec<f64>], outputs: &[f64]) -> Vec<f64> {
    let size = inputs[0].len();
    let mut table = vec![vec![0.0; size + 1]; size];
    for (input, output) in inputs.iter().zip(outputs) {
        for i in 0..size {
            for j in 0..size {
                table[i][j] += input[i] * input[j];
            }
            table[i][size] += input[i] * output;
        }
    }
    for pivot in 0..size {
        table[pivot][pivot] += 1e-6;
        let row = table[pivot].clone();
        for below in pivot + 1..size {
            let factor = table[below][pivot] / row[pivot];
            (pivot..=size).for_each(|at| table[below][at] -= factor * row[at]);
        }
    }
    let mut solution = vec![0.0; size];
    for i in (0..size).rev() {
        let known: f64 = (i + 1..size).map(|j| table[i][j] * solution[j]).sum();
        solution[i] = (table[i][size] - known) / table[i][i];
    }
    solution
}

#[test]
fn a_line_is_better_than_repeating_and_worse_than_knowing() {
    const LAGS: usize = 48;
    let parts = Part::ALL.map(|part| builtin::series(SEED, part));
    assert!(parts.iter().all(|part| part.0 == ["temperature", "power"]));
    assert_eq!(parts.each_ref().map(|part| part.1.len()), [4_800, 960, 960]);
    let rows: Vec<Vec<f64>> = parts.into_iter().flat_map(|part| part.1).collect();
    let past = |at: usize| {
        let rows = rows[at - LAGS..at].iter().flatten().copied();
        rows.chain([1.0]).collect::<Vec<f64>>()
    };
    // Who knows how the series is made, and reads the rest off the two rows before.
    let knowing = |at: usize| {
        let angle = |hour: usize| (hour % 24) as f64 * std::f64::consts::TAU / 24.0;
        let [before, last] = [&rows[at - 2], &rows[at - 1]];
        let weather = last[0] - 16.0 - 6.0 * angle(at - 1).sin();
        let change = if weather <= 3.0 { 0.4 } else { -6.0 };
        let habit = last[1] - 30.0 - 3.0 * (before[0] - 16.0).abs() - 3.0 * angle(at - 1).cos();
        let power = 30.0 + 3.0 * (last[0] - 16.0).abs() + 3.0 * angle(at).cos() + 0.8 * habit;
        [16.0 + 6.0 * angle(at).sin() + weather + change, power]
    };
    for column in 0..2 {
        let outputs: Vec<f64> = rows[LAGS..4_800].iter().map(|row| row[column]).collect();
        let inputs: Vec<Vec<f64>> = (LAGS..4_800).map(past).collect();
        let line = least_squares(&inputs, &outputs);
        let mut errors = [0.0; 3];
        for at in 5_760..rows.len() {
            let linear: f64 = past(at).iter().zip(&line).map(|(x, w)| x * w).sum();
            let guesses = [rows[at - 1][column], linear, knowing(at)[column]];
            for (error, guess) in errors.iter_mut().zip(guesses) {
                *error += (guess - rows[at][column]).powi(2) / 960.0;
            }
        }
        let [repeat, linear, knowing] = errors;
        assert!(linear < 0.75 * repeat, "column {column}: {errors:?}");
        assert!(knowing < 0.25 * linear, "column {column}: {errors:?}");
    }
}

#[test]
fn they_are_pinned() {
    let first = |rows: Vec<[String; 2]>| rows[..100].iter().flatten().cloned().collect::<String>();
    let series = builtin::series(SEED, Part::Test).1;
    let numbers: String = series[..100].iter().flatten().map(|v| format!("{v:.2} ")).collect();
    let found = [
        fingerprint(&first(builtin::addition(SEED, Part::Test))),
        fingerprint(&first(builtin::dates(SEED, Part::Test))),
        fingerprint(&numbers),
    ];
    assert_eq!(found, [0x303FCB4E7C4D27FE, 0x5C4FACFD2EF97D81, 0x28052F3903EB86D6]);
    assert_ne!(builtin::dates(SEED, Part::Test), builtin::dates(SEED + 1, Part::Test));
}
