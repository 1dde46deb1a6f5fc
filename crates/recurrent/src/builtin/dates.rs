//! Days as people write them, and as ISO 8601 does.

use super::{Chance, Part, part_of};

const FIRST_YEAR: usize = 1950;

/// 1950 to 2049, so that two digits after an apostrophe name one year.
const DAYS: usize = 36_525;

/// Rows of `["monday, 10th of march 2003", "2003-03-10"]`: days of 1950 to 2049 in 26 styles, with
/// and without weekday, in digits and in words, a third of them without capitals; 16,000 rows to
/// train, 1,000 each to validate and test. A weekday is the day's own.
///
/// Each source has one reading: day and month stand in digits side by side only where the day is
/// above 12, and the year's last two digits only after an apostrophe. A calendar day of one part
/// is in no other.
pub fn dates(seed: u64, part: Part) -> Vec<[String; 2]> {
    let chance = &mut Chance::of_part(seed, "dates", part);
    let rows = part.of([16_000, 1_000, 1_000]);
    let mut dates = Vec::with_capacity(rows);
    while dates.len() < rows {
        let date = Date::after(chance.below(DAYS));
        let iso = format!("{}-{:02}-{:02}", date.year, date.month + 1, date.day);
        if part_of(seed, "dates", &iso) == part {
            dates.push([date.written(chance), iso]);
        }
    }
    dates
}

/// A day of the Gregorian calendar.
struct Date {
    year: usize,
    /// From 0.
    month: usize,
    /// From 1.
    day: usize,
    /// From 0, a Sunday.
    weekday: usize,
}

impl Date {
    /// The day so many days after the first of January 1950, which was a Sunday.
    fn after(days: usize) -> Date {
        let (mut year, mut month, mut left) = (FIRST_YEAR, 0, days);
        while left >= length(year, month) {
            left -= length(year, month);
            (year, month) = if month == 11 { (year + 1, 0) } else { (year, month + 1) };
        }
        Date { year, month, day: left + 1, weekday: days % 7 }
    }

    /// The day in one of the styles, drawn by chance.
    fn written(&self, chance: &mut Chance) -> String {
        let style = loop {
            let style = chance.pick(STYLES);
            let ambiguous = style.starts_with("MM/") || style.starts_with("DD/");
            if !ambiguous || self.day > 12 {
                break style;
            }
        };
        let mut text = String::new();
        // A word of a style is a run of letters; everything else stands for itself.
        let mut rest = style;
        while let Some(first) = rest.chars().next() {
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(letters.max(first.len_utf8()));
            text.push_str(&self.word(word));
            rest = after;
        }
        if chance.below(3) == 0 { text.to_ascii_lowercase() } else { text }
    }

    /// What a word of a style stands for.
    fn word(&self, word: &str) -> String {
        let (month, weekday) = (MONTHS[self.month], WEEKDAYS[self.weekday]);
        match word {
            "Y" => self.year.to_string(),
            "YY" => format!("{:02}", self.year % 100),
            "Month" => month.to_owned(),
            "Mon" => month[..3].to_owned(),
            "MM" => format!("{:02}", self.month + 1),
            "D" => self.day.to_string(),
            "DD" => format!("{:02}", self.day),
            "Dth" => format!("{}{}", self.day, suffix(self.day)),
            "Day" => ORDINALS[self.day - 1].to_owned(),
            "Weekday" => weekday.to_owned(),
            "Wed" => weekday[..3].to_owned(),
            "YYYYMMDD" => format!("{}{:02}{:02}", self.year, self.month + 1, self.day),
            _ => word.to_owned(),
        }
    }
}

/// Days of a month, counted from 0.
fn length(year: usize, month: usize) -> usize {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

fn suffix(day: usize) -> &'static str {
    match day {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    }
}

const STYLES: &[&str] = &[
    "D Month Y",
    "Dth Month Y",
    "Dth of Month Y",
    "Month D, Y",
    "Month Dth, Y",
    "D Mon Y",
    "Mon D, Y",
    "Mon Dth Y",
    "DD-Mon-Y",
    "D. Month Y",
    "Weekday, D Month Y",
    "Weekday, Dth of Month Y",
    "Weekday Month D, Y",
    "Wed, DD Mon Y",
    "Wed Mon D Y",
    "the Day of Month Y",
    "Weekday the Day of Month, Y",
    "Month the Day, Y",
    "D Month 'YY",
    "Mon Dth 'YY",
    "Y Month D",
    "Y, Dth of Month",
    "Y/MM/DD",
    "YYYYMMDD",
    "MM/DD/Y",
    "DD/MM/Y",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const ORDINALS: [&str; 31] = [
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
    "twentieth",
    "twenty-first",
    "twenty-second",
    "twenty-third",
    "twenty-fourth",
    "twenty-fifth",
    "twenty-sixth",
    "twenty-seventh",
    "twenty-eighth",
    "twenty-ninth",
    "thirtieth",
    "thirty-first",
];
