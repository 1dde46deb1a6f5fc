//! The tasks of the long-lag suite, read back with code of their own: a recogniser of the grammar, the
//! sum of what is marked, the order of what was seen.

#![cfg(feature = "cli")]

use proptest::prelude::*;
use recurrent::long_lag::{
    Answer, Judged, Problem, Sequence, Steps, Streak, embedded_reber, pixels,
};
use recurrent_kernels::random::Generator;

fn drawn(problem: Problem, lag: usize, seed: u64, count: usize) -> Vec<Sequence> {
    let mut generator = Generator::new(seed, 9);
    (0..count).map(|_| problem.draw(&mut generator, lag)).collect()
}

fn tokens(sequence: &Sequence) -> &[u32] {
    let Steps::Tokens(tokens) = &sequence.steps else { panic!("{sequence:?}") };
    tokens
}

fn vectors(sequence: &Sequence) -> Vec<&[f32]> {
    let Steps::Vectors { size, numbers } = &sequence.steps else { panic!("{sequence:?}") };
    numbers.chunks(*size).collect()
}

fn every_step(sequence: &Sequence) -> &[u32] {
    let Answer::EveryStep(answer) = &sequence.answer else { panic!("{sequence:?}") };
    answer
}

fn class(sequence: &Sequence) -> u32 {
    let Answer::Class(class) = sequence.answer else { panic!("{sequence:?}") };
    class
}

/// Between T and T + T/10.
fn holds_length(sequence: &Sequence, lag: usize) -> bool {
    (lag..=lag + lag / 10).contains(&sequence.steps.count())
}

/// The whole string, as letters.
fn letters(sequence: &Sequence) -> String {
    let read = tokens(sequence);
    assert_eq!(read[1..], every_step(sequence)[..read.len() - 1], "the next symbol is asked for");
    let all = read.iter().chain(every_step(sequence).last());
    all.map(|&symbol| embedded_reber::SYMBOLS[symbol as usize]).collect()
}

/// Takes one of these from the front.
fn take<'a>(text: &mut &'a str, front: &str) -> bool {
    let rest: Option<&'a str> = text.strip_prefix(front);
    *text = rest.unwrap_or(text);
    rest.is_some()
}

/// Reber's graph as its two halves are described: T S* X, or P T* V; from behind X one may fall into
/// the lower half, from behind V into the upper's end.
fn is_inner(mut text: &str) -> bool {
    let text = &mut text;
    if !take(text, "B") {
        return false;
    }
    // Above: after T any number of S, then X. Below: after P any number of T, then V.
    let mut below = if take(text, "T") {
        while take(text, "S") {}
        if !take(text, "X") {
            return false;
        }
        if take(text, "S") {
            return *text == "E";
        }
        take(text, "X")
    } else {
        take(text, "P")
    };
    while below {
        while take(text, "T") {}
        if !take(text, "V") {
            return false;
        }
        if take(text, "V") {
            return *text == "E";
        }
        if !take(text, "P") {
            return false;
        }
        if take(text, "S") {
            return *text == "E";
        }
        below = take(text, "X");
    }
    false
}

fn is_embedded(text: &str) -> bool {
    ["T", "P"].iter().any(|outer| {
        let inner = text.strip_prefix(&format!("B{outer}"));
        let inner = inner.and_then(|text| text.strip_suffix(&format!("{outer}E")));
        inner.is_some_and(is_inner)
    })
}

#[test]
fn the_recogniser_knows_the_grammar() {
    for known in ["BTBTXSETE", "BPBPVVEPE", "BTBTSSXXTTVPSETE", "BPBPTVPXVVEPE"] {
        assert!(is_embedded(known), "{known}");
    }
    for no in ["BTBTXSEPE", "BTBTXSET", "BTBTSSEPE", "BTBPXVVETE", "BTBTXETE", "BPBPVTVEPE"] {
        assert!(!is_embedded(no), "{no}");
    }
}

#[test]
fn strings_are_of_the_grammar_and_allowed_says_what_can_come() {
    let strings = drawn(Problem::EmbeddedReber, 0, 3, 500);
    // Which symbols came behind each beginning: with 500 strings, short ones show all that can.
    for sequence in &strings {
        let string = letters(sequence);
        assert!(is_embedded(&string), "{string}");
        let allowed = embedded_reber::allowed(tokens(sequence));
        for (&symbol, allowed) in every_step(sequence).iter().zip(allowed) {
            assert!(allowed >> symbol & 1 == 1, "{string}");
            assert!(matches!(allowed.count_ones(), 1 | 2), "{string}");
        }
    }
    let bits = |symbols: &str| -> u32 {
        let number =
            |letter| embedded_reber::SYMBOLS.iter().position(|&known| known == letter).unwrap();
        symbols.chars().map(|letter| 1 << number(letter)).sum()
    };
    let read: Vec<u32> =
        "BPBTXSEP".chars().map(|letter| bits(&letter.to_string()).trailing_zeros()).collect();
    let expected = ["TP", "B", "TP", "SX", "XS", "E", "P", "E"].map(bits);
    assert_eq!(embedded_reber::allowed(&read), expected);
}

#[test]
fn no_string_of_the_test_is_in_the_training() {
    let problem = Problem::EmbeddedReber;
    let (mut first, mut second) = (Generator::new(5, 3), Generator::new(5, 4));
    let training = problem.training_set(&mut first, 0).unwrap();
    let test = problem.test_set(&mut second, 0, Some(&training));
    assert_eq!((training.len(), test.len()), (256, 256));
    assert!(test.iter().all(|sequence| !training.contains(sequence)));
    assert!(Problem::Adding.training_set(&mut first, 30).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_answer_is_made_of_the_marked_numbers(seed: u64, lag in 20usize..150, multiply: bool) {
        let problem = if multiply { Problem::Multiplication } else { Problem::Adding };
        for sequence in drawn(problem, lag, seed, 20) {
            prop_assert!(holds_length(&sequence, lag));
            let steps = vectors(&sequence);
            let marked: Vec<usize> = (0..steps.len()).filter(|&t| steps[t][1] == 1.0).collect();
            let (first, last) = (steps[0], steps[steps.len() - 1]);
            prop_assert_eq!(marked.len(), 2);
            prop_assert!(marked[0] < 10 && marked[1] < lag / 2, "{:?}", marked);
            prop_assert_eq!(last[1], -1.0);
            prop_assert!(first[1] == -1.0 || marked[0] == 0);
            let between = |t: usize| t > 0 && t + 1 < steps.len() && !marked.contains(&t);
            prop_assert!((0..steps.len()).filter(|&t| between(t)).all(|t| steps[t][1] == 0.0));
            let low = if multiply { 0.0 } else { -1.0 };
            prop_assert!(steps.iter().all(|step| (low..=1.0).contains(&step[0])));
            let [a, b] = [marked[0], marked[1]].map(|t| steps[t][0]);
            let expected = if multiply { a * b } else { 0.5 + (a + b) / 4.0 };
            prop_assert_eq!(&sequence.answer, &Answer::Number(expected));
            if marked[0] == 0 {
                prop_assert_eq!(first[0], if multiply { 1.0 } else { 0.0 });
            }
        }
    }

    #[test]
    fn the_class_is_the_order_of_what_was_seen(seed: u64, lag in 10usize..150, three: bool) {
        let problem = if three { Problem::TemporalOrder3 } else { Problem::TemporalOrder };
        let places: &[usize] = if three { &[10, 33, 66] } else { &[10, 50] };
        for sequence in drawn(problem, lag, seed, 20) {
            prop_assert!(holds_length(&sequence, lag));
            let read: Vec<char> =
                tokens(&sequence).iter().map(|&token| "EBabcdXY".chars().nth(token as usize).unwrap()).collect();
            let seen: Vec<usize> =
                (0..read.len()).filter(|&t| "XY".contains(read[t])).collect();
            prop_assert_eq!(seen.len(), places.len());
            for (&t, begin) in seen.iter().zip(places) {
                let begin = lag * begin / 100;
                prop_assert!((begin..=begin + lag / 10).contains(&t), "{} of {}", t, lag);
            }
            let order: String =
                seen.iter().map(|&t| if read[t] == 'X' { '0' } else { '1' }).collect();
            prop_assert_eq!(class(&sequence), u32::from_str_radix(&order, 2).unwrap());
            prop_assert_eq!((read[0], read[read.len() - 1]), ('E', 'B'));
            let middle = &read[1..read.len() - 1];
            prop_assert!(middle.iter().all(|symbol| "abcdXY".contains(*symbol)));
        }
    }

    #[test]
    fn what_is_to_be_copied_was_read(seed: u64, lag in 1usize..80) {
        for sequence in drawn(Problem::CopyMemory, lag, seed, 5) {
            let (read, asked) = (tokens(&sequence), every_step(&sequence));
            prop_assert_eq!((read.len(), asked.len()), (lag + 20, lag + 20));
            prop_assert_eq!(&read[..10], &asked[lag + 10..]);
            prop_assert!(read[..10].iter().all(|&symbol| symbol < 8));
            prop_assert!(asked[..lag + 10].iter().all(|&symbol| symbol == 8));
            let delimiter: Vec<usize> = (0..read.len()).filter(|&t| read[t] == 9).collect();
            prop_assert_eq!(delimiter, vec![lag + 9]);
            prop_assert!((10..read.len()).all(|t| read[t] == 8 || t == lag + 9));
        }
    }

    #[test]
    fn a_noise_free_sequence_ends_as_it_began(seed: u64, lag in 2usize..80) {
        for sequence in drawn(Problem::NoiseFree, lag, seed, 5) {
            let (read, asked) = (tokens(&sequence), every_step(&sequence));
            prop_assert_eq!((read.len(), asked.len()), (lag, lag));
            prop_assert_eq!(read[0], asked[lag - 1]);
            prop_assert!(read[0] as usize + 1 >= lag && read[0] as usize <= lag);
            prop_assert!((1..lag).all(|t| read[t] as usize == t - 1 && asked[t - 1] == read[t]));
        }
    }
}

#[test]
fn three_numbers_tell_the_class_and_the_rest_is_noise() {
    let mut noise = vec![];
    for sequence in drawn(Problem::TwoSequence, 100, 7, 300) {
        assert!(holds_length(&sequence, 100));
        let steps = vectors(&sequence);
        let telling = if class(&sequence) == 1 { 1.0 } else { -1.0 };
        assert!(steps[..3].iter().all(|step| step[0] == telling));
        noise.extend(steps[3..].iter().map(|step| f64::from(step[0])));
    }
    let count = noise.len() as f64;
    let mean = noise.iter().sum::<f64>() / count;
    let variance = noise.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    assert!(mean.abs() < 0.02 && (variance - 0.2).abs() < 0.01, "{mean} {variance}");
}

/// The class from the pixels alone: how much of the box around the shape is filled, and whether it is as
/// wide above as below.
fn shape(pixels: &[f32], side: usize) -> &'static str {
    let at = |x: usize, y: usize| pixels[y * side + x];
    let row = |y: usize| (0..side).map(|x| at(x, y)).sum::<f32>();
    let column = |x: usize| (0..side).map(|y| at(x, y)).sum::<f32>();
    let rows: Vec<usize> = (0..side).filter(|&y| row(y) > 0.0).collect();
    // The row in the middle, if there is one, belongs to both halves.
    let half = rows.len().div_ceil(2);
    let [upper, lower] = [&rows[..half], &rows[rows.len() - half..]]
        .map(|part| part.iter().map(|&y| row(y)).sum::<f32>());
    // The widest row and the highest column are the sides of the box, but for a cross or a circle at
    // the edge of a pixel.
    let width = (0..side).map(row).fold(0.0, f32::max);
    let height = (0..side).map(column).fold(0.0, f32::max);
    let filled = pixels.iter().sum::<f32>() / (width * height);
    match filled {
        _ if lower > 1.6 * upper => "triangle",
        _ if filled > 0.9 => "square",
        _ if filled > 0.68 => "circle",
        _ => "cross",
    }
}

#[test]
fn a_shape_is_in_its_pixels() {
    let mut seen = [0; 4];
    for side in [8, 14, 28] {
        for sequence in drawn(Problem::Pixels, side * side, 11, 300) {
            let numbers: Vec<f32> = vectors(&sequence).concat();
            assert_eq!(numbers.len(), side * side);
            let class = class(&sequence) as usize;
            assert_eq!(shape(&numbers, side), pixels::SHAPES[class], "{side}: {numbers:?}");
            seen[class] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > 150), "{seen:?}");
}

/// How many things that can be drawn come how often: each of `count` within a fifth of its share.
fn are_even(seen: impl IntoIterator<Item = usize>, count: usize) -> bool {
    let mut times = vec![0.0f64; count];
    seen.into_iter().for_each(|one| times[one] += 1.0);
    let share = times.iter().sum::<f64>() / count as f64;
    times.iter().all(|times| (times - share).abs() < 0.2 * share)
}

#[test]
fn all_that_can_come_comes_equally_often() {
    for (problem, lag, classes) in [
        (Problem::TwoSequence, 20, 2),
        (Problem::TemporalOrder, 20, 4),
        (Problem::TemporalOrder3, 20, 8),
        (Problem::Pixels, 64, 4),
    ] {
        let sequences = drawn(problem, lag, 5, 4000);
        assert!(are_even(sequences.iter().map(|one| class(one) as usize), classes), "{problem:?}");
    }
    for problem in [Problem::TwoSequence, Problem::Adding, Problem::TemporalOrder] {
        let lengths = drawn(problem, 40, 5, 4000).into_iter().map(|one| one.steps.count() - 40);
        assert!(are_even(lengths, 5), "{problem:?}");
    }
    let copied = drawn(Problem::CopyMemory, 5, 5, 400);
    let symbols = copied.iter().flat_map(|one| &tokens(one)[..10]).map(|&symbol| symbol as usize);
    assert!(are_even(symbols, 8));
    let outer = drawn(Problem::EmbeddedReber, 0, 5, 1000);
    let outer = outer.iter().map(|one| usize::from(letters(one).starts_with("BT")));
    assert!(are_even(outer, 2));
    let firsts = drawn(Problem::NoiseFree, 20, 5, 1000);
    assert!(are_even(firsts.iter().map(|one| tokens(one)[0] as usize - 19), 2));
    let both = Problem::NoiseFree.test_set(&mut Generator::new(1, 1), 20, None);
    assert!(both.len() == 2 && both[0] != both[1], "{both:?}");
}

/// Whether a task is solved with so many errors of one size, and all others of another.
fn is_solved(problem: Problem, (wrong, error): (usize, f64), others: f64) -> bool {
    let goal = problem.goal();
    let errors = |count: usize| (0..count).map(|k| if k < wrong { error } else { others });
    match goal.judged {
        Judged::Training { recent } => {
            assert_eq!(recent, 2000, "{problem:?}");
            let mut streak = Streak::new(goal, recent);
            errors(recent).for_each(|error| streak.push(error));
            streak.is_reached()
        }
        Judged::Test { .. } => {
            let lag = if problem == Problem::EmbeddedReber { 0 } else { 64 };
            let test = problem.test_set(&mut Generator::new(1, 1), lag, None);
            goal.is_reached_by(&errors(test.len()).collect::<Vec<_>>())
        }
    }
}

/// The criteria of the table in docs/long-lag.md, from both sides.
#[test]
fn a_task_is_solved_when_its_paper_says_so() {
    use Problem::*;
    for (problem, solved, not) in [
        (EmbeddedReber, [(0, 0.0, 0.0); 2], [(1, 1.0, 0.0); 2]),
        (NoiseFree, [(0, 0.0, 0.249); 2], [(1, 0.251, 0.0); 2]),
        (TwoSequence, [(1, 0.199, 0.0), (0, 0.0, 0.0099)], [(1, 0.201, 0.0), (0, 0.0, 0.0101)]),
        (Adding, [(0, 0.0, 0.0099); 2], [(1, 0.0401, 0.0), (0, 0.0, 0.0101)]),
        (Multiplication, [(12, 2.0, 0.0399); 2], [(13, 0.0401, 0.0); 2]),
        (TemporalOrder, [(0, 0.0, 0.099); 2], [(1, 0.301, 0.0), (0, 0.0, 0.101)]),
        (TemporalOrder3, [(0, 0.0, 0.099); 2], [(1, 0.301, 0.0), (0, 0.0, 0.101)]),
        (CopyMemory, [(0, 0.0, 0.0099), (25, 0.1, 0.0)], [(0, 0.0, 0.0101), (26, 0.1, 0.0)]),
        (Pixels, [(12, 0.51, 0.49); 2], [(13, 0.51, 0.0); 2]),
    ] {
        for (wrong, error, others) in solved {
            assert!(is_solved(problem, (wrong, error), others), "{problem:?}: {wrong} {error}");
        }
        for (wrong, error, others) in not {
            assert!(!is_solved(problem, (wrong, error), others), "{problem:?}: {wrong} {error}");
        }
    }
}

#[test]
fn a_seed_is_a_sequence_whatever_is_drawn_together() {
    for problem in Problem::ALL {
        let lag = match problem {
            Problem::EmbeddedReber => 0,
            Problem::Pixels => 64,
            _ => 20,
        };
        let [once, again] = [3, 7].map(|count| drawn(problem, lag, 1, count));
        assert_eq!(once, again[..3], "{problem:?}");
        assert_ne!(drawn(problem, lag, 2, 7), again, "{problem:?}");
    }
}

#[test]
fn lags_that_have_no_meaning_are_refused() {
    for (problem, lag) in [
        (Problem::EmbeddedReber, 5),
        (Problem::NoiseFree, 1),
        (Problem::TwoSequence, 3),
        (Problem::Adding, 19),
        (Problem::TemporalOrder, 9),
        (Problem::CopyMemory, 0),
        (Problem::Pixels, 65),
        (Problem::Pixels, 49),
        (Problem::Adding, 1 << 40),
    ] {
        assert!(problem.check_lag(lag).is_err(), "{problem:?} {lag}");
    }
}
