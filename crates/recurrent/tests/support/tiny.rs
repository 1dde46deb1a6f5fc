//! A training of every task on files so small that it takes a second, with everything on that the
//! task takes and that a resume could lose.

// Each test file uses its part of it.
#![allow(dead_code)]

use crate::pictures::shades;
use crate::place::{Place, text};

/// A task, its files, and the options that it alone takes.
pub(crate) struct Tiny {
    pub(crate) task: &'static str,
    write: fn(&Place),
    options: &'static str,
}

pub(crate) const TASKS: [Tiny; 8] = [
    Tiny {
        task: "language-model",
        write: |place| place.write("text.txt", text(1_400)),
        options: "--data text.txt --sequence-length 16 --batch-size 4",
    },
    Tiny {
        task: "classify",
        write: |place| place.write("reviews.tsv", reviews()),
        options: "--data reviews.tsv --batch-size 4 --bidirectional --pool max --variational \
                  --embedding-dropout 0.2 --output-dropout 0.2 --zoneout 0.1",
    },
    Tiny {
        task: "tag",
        write: |place| place.write("tagged.txt", sentences()),
        options: "--data tagged.txt --batch-size 2 --bidirectional --min-count 2",
    },
    Tiny {
        task: "translate",
        write: |place| place.write("pairs.tsv", pairs()),
        options: "--data pairs.tsv --batch-size 6 --bidirectional --attention additive \
                  --embedding-dropout 0.2 --output-dropout 0.1 \
                  --input-feeding --reverse-source --teacher-forcing 0.3 \
                  --forcing-schedule linear --forcing-steps 40",
    },
    Tiny {
        task: "forecast",
        write: |place| place.write("table.csv", table()),
        options: "--data table.csv --columns low,high --window 8 --horizon 3 --batch-size 4 \
                  --input-dropout 0.1 --output-dropout 0.1 \
                  --topology encoder-decoder --feed output",
    },
    Tiny {
        task: "conditional-text",
        write: |place| place.write("names.csv", names()),
        options: "--data names.csv --batch-size 5 --condition initial-state --variational \
                  --input-dropout 0.1 --output-dropout 0.2 --weight-dropout 0.3 \
                  --forcing-schedule inverse-sigmoid --forcing-steps 9",
    },
    Tiny {
        task: "caption",
        write: |place| {
            pictured(place, 9, "image\tcaption", |colour, _| format!("all {colour} here"))
        },
        options: "--data train.tsv --valid valid.tsv --batch-size 2 --condition first-input \
                  --teacher-forcing 0.6",
    },
    Tiny {
        task: "vqa",
        write: |place| {
            pictured(place, 14, "image\tquestion\tanswer", |colour, number| match number % 2 {
                0 => format!("what colour is it?\t{colour}"),
                _ => format!("is it red?\t{}", if colour == "red" { "yes" } else { "no" }),
            });
        },
        options: "--data train.tsv --valid valid.tsv --batch-size 3 --fusion concat",
    },
];

impl Tiny {
    /// A place with the files.
    pub(crate) fn place(&self) -> Place {
        let place = Place::new();
        (self.write)(&place);
        place
    }

    /// The command that trains on them; every step is kept.
    pub(crate) fn train(&self, more: &str) -> String {
        format!(
            "train {} {} --hidden-size 5 --num-layers 2 --dropout 0.3 --seed 7 \
             --checkpoint-every 1 --keep-last 10000 {more}",
            self.task, self.options
        )
    }
}

/// Reviews in which the label is mostly the word, and sometimes the other.
fn reviews() -> String {
    let mut table = String::from("text\tlabel\n");
    for (number, thing) in (0..60).zip(["film", "plot", "cast", "end", "song"].iter().cycle()) {
        let extra = "so ".repeat(number / 5);
        let word = ["good", "bad"][number % 2];
        let label = ["up", "down"][(number + usize::from(number % 7 == 0)) % 2];
        table.push_str(&format!("{extra}the {thing} was {word}\t{label}\n"));
    }
    table
}

fn sentences() -> String {
    let mut text = String::new();
    for (number, subject) in ["dogs", "cats", "we", "they"].iter().cycle().take(40).enumerate() {
        let (before, tag) = if number % 3 == 0 { ("a", "NOUN") } else { ("can", "VERB") };
        let often = "now\tTIME\n".repeat(number % 4);
        text.push_str(&format!("{subject}\tNAME\n{before}\tSMALL\nrun{number}\t{tag}\n{often}\n"));
    }
    text
}

/// Letters, and the same letters as capitals.
fn pairs() -> String {
    let mut table = String::from("source\ttarget\n");
    for first in 'a'..='f' {
        for second in 'a'..='f' {
            for third in ["", "a", "bd"] {
                let source = format!("{first}{second}{third}");
                table.push_str(&format!("{source}\t{}\n", source.to_uppercase()));
            }
        }
    }
    table
}

/// A wave of ten rows, and the same with a trend.
fn table() -> String {
    let wave = |at: usize| [0, 3, 6, 8, 9, 10, 9, 8, 6, 3][at % 10];
    let mut text = String::from("low,high\n");
    for at in 0..90 {
        let noise = (at * at * 7 + at * 3) % 11;
        text.push_str(&format!("{}.{noise},{}.5\n", 10 * wave(at) + noise, 5 * wave(at + 4) + at));
    }
    text
}

/// Low words are of a and b, high ones of x and y.
fn names() -> String {
    let mut table = String::from("text,label\n");
    for number in 0..48u32 {
        for (label, letters) in [("low", ["a", "b"]), ("high", ["x", "y"])] {
            let letters = (0..6).map(|bit| letters[(number >> bit & 1) as usize]);
            let name: String = letters.skip((number % 3) as usize).collect();
            table.push_str(&format!("{name},{label}\n"));
        }
    }
    table
}

/// Shades of three colours to learn from, and others to be judged on.
fn pictured(place: &Place, count: u8, header: &str, rest: impl Fn(&str, usize) -> String) {
    for (file, numbers) in [("train.tsv", 0..count), ("valid.tsv", count..count + 3)] {
        let mut table = format!("{header}\n");
        for (number, (name, colour)) in shades(place, numbers).into_iter().enumerate() {
            table.push_str(&format!("{name}\t{}\n", rest(colour, number)));
        }
        place.write(file, table);
    }
}
