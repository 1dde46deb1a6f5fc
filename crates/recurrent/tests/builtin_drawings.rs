//! The built-in drawings: every caption and answer is found again from the pixels alone.

use recurrent::builtin::{self, Drawing, Part, SEED};
use std::collections::{HashMap, HashSet};

/// An object as it is seen: by its pixels, not by how it was drawn.
#[derive(Debug)]
struct Seen {
    shape: &'static str,
    colour: &'static str,
    /// Of its widest row, in pixels.
    width: f64,
    /// The middle of its ink.
    x: f64,
    y: f64,
}

const SHAPES: [&str; 4] = ["circle", "square", "triangle", "cross"];

const COLOURS: [(&str, [f64; 3]); 6] = [
    ("red", [210.0, 50.0, 50.0]),
    ("green", [50.0, 160.0, 70.0]),
    ("blue", [45.0, 100.0, 215.0]),
    ("yellow", [240.0, 195.0, 25.0]),
    ("purple", [140.0, 70.0, 170.0]),
    ("black", [45.0, 45.0, 50.0]),
];

fn pixel(drawing: &Drawing, place: usize) -> [f64; 3] {
    [0, 1, 2].map(|channel| f64::from(drawing.pixels[3 * place + channel]))
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// The objects of a drawing: connected pixels that are not paper.
fn look(drawing: &Drawing) -> Vec<Seen> {
    assert_eq!((drawing.height, drawing.width, drawing.pixels.len()), (32, 32, 3072));
    let paper = pixel(drawing, 0);
    let ink: Vec<f64> = (0..1024).map(|place| distance(pixel(drawing, place), paper)).collect();
    let mut visited = [false; 1024];
    let mut objects = Vec::new();
    for start in 0..1024 {
        let (mut open, mut places) = (vec![start], Vec::new());
        while let Some(place) = open.pop() {
            if ink[place] > 60.0 && !std::mem::replace(&mut visited[place], true) {
                // No object touches an edge, so every neighbour exists.
                assert!((1..31).contains(&(place % 32)) && (1..31).contains(&(place / 32)));
                places.push(place);
                open.extend([place - 1, place + 1, place - 32, place + 32]);
            }
        }
        if !places.is_empty() {
            objects.push(recognise(drawing, &ink, &places));
        }
    }
    objects
}

fn recognise(drawing: &Drawing, ink: &[f64], places: &[usize]) -> Seen {
    let darkest = *places.iter().max_by(|a, b| ink[**a].total_cmp(&ink[**b])).unwrap();
    let (mut rows, mut columns) = ([0.0; 32], [0.0; 32]);
    for &place in places {
        let cover = ink[place] / ink[darkest];
        rows[place / 32] += cover;
        columns[place % 32] += cover;
    }
    let greatest = |sums: &[f64; 32]| sums.iter().copied().fold(0.0, f64::max);
    let middle = |sums: &[f64; 32]| {
        let moment: f64 = sums.iter().enumerate().map(|(at, sum)| (at as f64 + 0.5) * sum).sum();
        moment / sums.iter().sum::<f64>()
    };
    let (width, height) = (greatest(&rows), greatest(&columns));
    let fill = rows.iter().sum::<f64>() / (width * height);
    // Most of a triangle's ink is far down: its skewness is -0.57, that of the others 0.
    let down = middle(&rows);
    let moment = |power: i32| -> f64 {
        rows.iter().enumerate().map(|(at, sum)| sum * (at as f64 + 0.5 - down).powi(power)).sum()
    };
    let skewness = moment(3) * moment(0).sqrt() / moment(2).powf(1.5);
    let shape = match fill {
        _ if skewness < -0.3 => "triangle",
        0.92.. => "square",
        0.72.. => "circle",
        _ => "cross",
    };
    let colour = pixel(drawing, darkest);
    let nearest = |a: &&(&str, [f64; 3]), b: &&(&str, [f64; 3])| {
        distance(a.1, colour).total_cmp(&distance(b.1, colour))
    };
    let colour = COLOURS.iter().min_by(nearest).unwrap().0;
    Seen { shape, colour, width, x: middle(&columns), y: down }
}

/// The caption as the rules of captions have it.
fn caption(objects: &[Seen]) -> String {
    let name = |object: &Seen| {
        let size = if object.width < 9.0 { "small" } else { "large" };
        format!("a {size} {} {}", object.colour, object.shape)
    };
    match objects {
        [one] => {
            let (right, down) = (one.x - 16.0, one.y - 16.0);
            let side = match (right.abs() > 4.2, down.abs() > 4.2) {
                (false, false) => "in the middle",
                (true, false) if right < 0.0 => "on the left",
                (true, false) => "on the right",
                (false, true) if down < 0.0 => "at the top",
                (false, true) => "at the bottom",
                _ => panic!("in a corner: {one:?}"),
            };
            format!("{} {side}", name(one))
        }
        [a, b] => {
            let upright = (a.y - b.y).abs() > (a.x - b.x).abs();
            let first = if upright { a.y < b.y } else { a.x < b.x };
            let (first, second) = if first { (a, b) } else { (b, a) };
            let relation = if upright { "above" } else { "left of" };
            format!("{} {relation} {}", name(first), name(second))
        }
        _ => panic!("{} objects", objects.len()),
    }
}

/// The answer to a question about the objects.
fn answer(question: &str, objects: &[Seen]) -> String {
    let words: Vec<&str> = question.trim_end_matches('?').split(' ').collect();
    let the = |shape: &str| {
        let found: Vec<&Seen> = objects.iter().filter(|object| object.shape == shape).collect();
        assert_eq!(found.len(), 1, "{question} {objects:?}");
        found[0]
    };
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    match words[..] {
        ["is", "there", "a", colour, shape] => {
            // Neither half of the name tells.
            assert!(objects.iter().any(|object| object.colour == colour));
            assert!(objects.iter().any(|object| object.shape == shape));
            yes(objects.iter().any(|object| (object.colour, object.shape) == (colour, shape)))
        }
        ["what", "colour", "is", "the", shape] => the(shape).colour.to_owned(),
        ["which", "shape", "is", colour] => {
            let found: Vec<&Seen> = objects.iter().filter(|o| o.colour == colour).collect();
            assert_eq!(found.len(), 1, "{question} {objects:?}");
            found[0].shape.to_owned()
        }
        ["how", "many", plural, "are", "there"] => {
            let is_one = |object: &&Seen| plural.strip_prefix(object.shape).is_some();
            objects.iter().filter(is_one).count().to_string()
        }
        ["is", "the", one, ref relation @ .., "the", other] => {
            let (one, other) = (the(one), the(other));
            yes(match relation {
                ["left", "of"] => one.x < other.x,
                ["right", "of"] => one.x > other.x,
                ["above"] => one.y < other.y,
                ["below"] => one.y > other.y,
                _ => panic!("{question}"),
            })
        }
        _ => panic!("{question}"),
    }
}

fn fingerprint(values: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    values.into_iter().fold(0xCBF2_9CE4_8422_2325, step)
}

#[test]
fn every_caption_is_seen_in_the_drawing() {
    let mut drawings = HashSet::new();
    let mut owner = HashMap::new();
    for part in Part::ALL {
        let captions = builtin::captions(SEED, part);
        assert_eq!(captions.len(), if part == Part::Train { 8_000 } else { 1_000 });
        for (drawing, text) in captions {
            assert_eq!(caption(&look(&drawing)), text);
            assert_eq!(*owner.entry(text).or_insert(part), part, "a caption of two parts");
            assert!(drawings.insert(drawing), "two equal drawings");
        }
    }
}

#[test]
fn no_caption_is_frequent() {
    let mut counts = HashMap::<String, usize>::new();
    let test = builtin::captions(SEED, Part::Test);
    test.iter().for_each(|(_, caption)| *counts.entry(caption.clone()).or_default() += 1);
    let most = *counts.values().max().unwrap();
    assert!(most * 50 <= test.len(), "the majority caption: {most} of {}", test.len());
}

#[test]
fn every_answer_is_seen_in_the_drawing() {
    let mut owner = HashMap::new();
    for part in Part::ALL {
        let rows = builtin::shapes(SEED, part);
        assert_eq!(rows.len(), if part == Part::Train { 40_000 } else { 1_000 });
        for pair in rows.chunks(2) {
            assert!(std::sync::Arc::ptr_eq(&pair[0].0, &pair[1].0));
            let objects = look(&pair[0].0);
            for (_, question, text) in pair {
                assert_eq!(answer(question, &objects), *text, "{question} {objects:?}");
            }
            let mut contents: Vec<_> = objects.iter().map(|o| (o.shape, o.colour)).collect();
            contents.sort();
            assert_eq!(*owner.entry(contents).or_insert(part), part, "contents of two parts");
        }
    }
}

#[test]
fn a_question_alone_does_not_tell_its_answer() {
    let mut answers = HashMap::<String, HashMap<String, usize>>::new();
    for (_, question, answer) in builtin::shapes(SEED, Part::Train) {
        *answers.entry(question).or_default().entry(answer).or_default() += 1;
    }
    let test = builtin::shapes(SEED, Part::Test);
    let hits = test.iter().filter(|(_, question, answer)| {
        let known = answers.get(question).expect("a question that is not in the training part");
        known.iter().max_by_key(|(text, count)| (**count, text.as_str())).unwrap().0 == answer
    });
    let hits = hits.count();
    assert!(hits * 2 <= test.len(), "question only: {hits} of {}", test.len());
    // Nor does it where the usual answers are known afterwards.
    let usual: usize = answers.values().map(|counts| counts.values().max().unwrap()).sum();
    let all: usize = answers.values().flat_map(HashMap::values).sum();
    assert!(usual * 100 <= 42 * all, "question only: {usual} of {all}");
    // Every kind of question has its answers spread: yes and no within a tenth of one another.
    let count = |wanted: &str| test.iter().filter(|row| row.2 == wanted).count() as f64;
    assert!((count("yes") / count("no") - 1.0).abs() < 0.15);
    for word in COLOURS[..4].iter().map(|colour| &colour.0).chain(&SHAPES) {
        assert!(count(word) > 20.0, "{word}: {}", count(word));
    }
}

#[test]
fn the_bytes_are_pinned() {
    let captions = builtin::captions(SEED, Part::Test);
    assert_eq!(captions[0].1, "a large yellow triangle above a large red square");
    let shapes = builtin::shapes(SEED, Part::Test);
    let first = captions.into_iter().take(20).flat_map(|(drawing, _)| drawing.pixels);
    let second = shapes.iter().step_by(2).take(20).flat_map(|row| row.0.pixels.clone());
    assert_eq!([fingerprint(first), fingerprint(second)], [0x45074C2860676828, 0x16C1B5AB32CD3FE1]);
}
