//! Decoding: a wide beam is an exhaustive search, a narrow one is the search that the documentation
//! describes, constraints hold, and no sequence depends on those beside it.

use std::collections::HashSet;

use proptest::prelude::*;
use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, Compute, Level, Matrix};
use recurrent_topologies::{
    Beam, Constraints, DecodingError, Ended, Hypothesis, InputConfig, Lengths, ManyToMany,
    ManyToManyConfig, ManyToManyTape, Reading, Regularization, Sampler, Sampling, StackConfig,
    TokenEncoding, TokenStream, beam_search, sample,
};

const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: None, top_p: None };
const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };

/// Logits that are a function of everything read so far, and of nothing else.
#[derive(Clone, Copy, Debug)]
struct Fake {
    classes: usize,
    seed: u64,
    /// Logits are among so many values only, so that ties happen, also of 0 with -0.
    values: u64,
    /// Some tokens cannot come.
    impossible: bool,
}

impl Fake {
    fn logits(&self, read: &[u32]) -> Vec<f64> {
        // FNV-1a over the tokens gives the seed of a generator.
        let mix = |hash: u64, &token: &u32| (hash ^ u64::from(token)).wrapping_mul(0x100_0000_01b3);
        let mut generator = Generator::new(read.iter().fold(self.seed, mix), 5);
        let mut draw = || {
            let logit = generator.below(self.values) as f64 * 4.0 / self.values as f64;
            if logit == 0.0 && generator.below(2) == 0 { -logit } else { logit }
        };
        let mut logits: Vec<f64> = (0..self.classes).map(|_| draw()).collect();
        for logit in &mut logits[1..] {
            if self.impossible && generator.below(3) == 0 {
                *logit = f64::NEG_INFINITY;
            }
        }
        logits
    }

    fn stream(&self, batch: usize) -> FakeStream {
        FakeStream { fake: *self, read: vec![Vec::new(); batch], logits: Matrix::zeros(0, 0) }
    }

    fn log_probabilities(&self, first: u32, tokens: &[u32]) -> Vec<f64> {
        log_softmax(&self.logits(&[&[first], tokens].concat()))
    }
}

struct FakeStream {
    fake: Fake,
    read: Vec<Vec<u32>>,
    logits: Matrix<f64>,
}

impl TokenStream<f64> for FakeStream {
    fn batch(&self) -> usize {
        self.read.len()
    }

    fn step(&mut self, tokens: &[u32]) -> Columns<'_, f64> {
        assert_eq!(tokens.len(), self.batch());
        self.logits = Matrix::zeros(self.fake.classes, self.batch());
        for (j, (read, &token)) in self.read.iter_mut().zip(tokens).enumerate() {
            read.push(token);
            self.logits.as_mut().column(j).copy_from_slice(&self.fake.logits(read));
        }
        self.logits.as_ref()
    }

    fn select(&mut self, columns: &[usize]) {
        self.read = columns.iter().map(|&column| self.read[column].clone()).collect();
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| libm::exp(x - largest)).sum();
    logits.iter().map(|x| x - largest - libm::log(sum)).collect()
}

/// Whether a token may come next: the constraints word for word.
fn may_come(constraints: &Constraints, tokens: &[u32], next: u32) -> bool {
    let Constraints { end, min_length, no_repeat_ngram, banned, prefix, .. } = constraints;
    if let Some(&forced) = prefix.get(tokens.len()) {
        return next == forced;
    }
    if *end == Some(next) {
        return tokens.len() >= *min_length;
    }
    let longer = [tokens, &[next]].concat();
    let repeats = no_repeat_ngram.is_some_and(|size| has_repeats(&longer, size));
    !banned.contains(&next) && !repeats
}

fn has_repeats(tokens: &[u32], size: usize) -> bool {
    let mut seen = HashSet::new();
    !tokens.windows(size).all(|ngram| seen.insert(ngram))
}

/// What one sequence becomes by each token that may come: finished ones, and those that run on.
fn continuations(
    fake: &Fake,
    first: u32,
    constraints: &Constraints,
    (tokens, log_probability): &(Vec<u32>, f64),
) -> Vec<(u32, f64)> {
    let forced = tokens.len() < constraints.prefix.len();
    let row = fake.log_probabilities(first, tokens);
    let next = (0..fake.classes as u32).filter(|&token| {
        let possible = forced || row[token as usize] > f64::NEG_INFINITY;
        possible && may_come(constraints, tokens, token)
    });
    next.map(|token| (token, log_probability + row[token as usize])).collect()
}

/// Every sequence that the constraints allow.
fn all(fake: &Fake, first: u32, constraints: &Constraints) -> Vec<Hypothesis> {
    let mut finished = Vec::new();
    let mut running = vec![(Vec::new(), 0.0)];
    while let Some((tokens, log_probability)) = running.pop() {
        if tokens.len() == constraints.max_length {
            finished.push(Hypothesis { tokens, log_probability, ended: Ended::MaximumLength });
            continue;
        }
        let now = (tokens, log_probability);
        let next = continuations(fake, first, constraints, &now);
        let tokens = now.0;
        if next.is_empty() {
            let tokens = tokens.clone();
            finished.push(Hypothesis { tokens, log_probability, ended: Ended::NothingLeft });
        }
        for (token, log_probability) in next {
            if constraints.end == Some(token) {
                let (tokens, ended) = (tokens.clone(), Ended::EndToken);
                finished.push(Hypothesis { tokens, log_probability, ended });
            } else {
                running.push(([&tokens[..], &[token]].concat(), log_probability));
            }
        }
    }
    finished
}

fn best(mut hypotheses: Vec<Hypothesis>, beam: Beam) -> Vec<Hypothesis> {
    let score = |hypothesis: &Hypothesis| {
        let said = hypothesis.tokens.len() + usize::from(hypothesis.ended == Ended::EndToken);
        let penalty = libm::pow((5.0 + said as f64) / 6.0, beam.length_penalty);
        hypothesis.log_probability / penalty
    };
    hypotheses.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.tokens.cmp(&b.tokens)));
    hypotheses.truncate(beam.n_best);
    hypotheses
}

/// Beam search without a shortcut: every candidate is sorted, and every sequence runs to its end.
fn plain_beam(fake: &Fake, first: u32, constraints: &Constraints, beam: Beam) -> Vec<Hypothesis> {
    let mut finished = Vec::new();
    let mut running = vec![(Vec::new(), 0.0)];
    for _ in 0..constraints.max_length {
        let mut candidates = Vec::new();
        for (parent, now) in running.iter().enumerate() {
            let next = continuations(fake, first, constraints, now);
            if next.is_empty() {
                let (tokens, log_probability) = now.clone();
                finished.push(Hypothesis { tokens, log_probability, ended: Ended::NothingLeft });
            }
            candidates.extend(next.into_iter().map(|(token, p)| (p, token, parent)));
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut next = Vec::new();
        for (rank, (log_probability, token, parent)) in candidates.into_iter().enumerate() {
            let tokens = running[parent].0.clone();
            if constraints.end != Some(token) {
                next.push(([&tokens[..], &[token]].concat(), log_probability));
            } else if rank < beam.width {
                finished.push(Hypothesis { tokens, log_probability, ended: Ended::EndToken });
            }
        }
        next.truncate(beam.width);
        running = next;
    }
    let ended = Ended::MaximumLength;
    let full = running.into_iter();
    finished.extend(full.map(|(tokens, log_probability)| Hypothesis {
        tokens,
        log_probability,
        ended,
    }));
    best(finished, beam)
}

fn fakes() -> impl Strategy<Value = Fake> {
    let values = prop_oneof![Just(2), Just(5), Just(1 << 40)];
    (2usize..5, any::<u64>(), values, any::<bool>())
        .prop_map(|(classes, seed, values, impossible)| Fake { classes, seed, values, impossible })
}

/// Constraints over `classes` tokens that do not contradict each other.
fn constraints(classes: usize, longest: usize) -> impl Strategy<Value = Constraints> {
    let token = 0..classes as u32;
    (
        prop_oneof![1 => Just(None), 4 => token.clone().prop_map(Some)],
        0..=longest,
        1..=longest,
        prop_oneof![Just(None), (1usize..4).prop_map(Some)],
        prop::collection::vec(token.clone(), 0..2),
        prop_oneof![Just(Vec::new()), prop::collection::vec(token, 0..3)],
    )
        .prop_map(|(end, min_length, max_length, no_repeat_ngram, banned, prefix)| {
            let min_length = min_length.min(max_length);
            Constraints { end, min_length, max_length, no_repeat_ngram, banned, prefix }
        })
        .prop_filter("a contradiction", |constraints| constraints.check().is_ok())
}

fn fakes_and_constraints(longest: usize) -> impl Strategy<Value = (Fake, Constraints)> {
    fakes().prop_flat_map(move |fake| (Just(fake), constraints(fake.classes, longest)))
}

fn beams(width: impl Strategy<Value = usize>) -> impl Strategy<Value = Beam> {
    let penalties = prop::sample::select(vec![0.0, 0.6, 1.0, 3.0]);
    (width, 1usize..12, penalties).prop_map(|(width, n_best, length_penalty)| Beam {
        width,
        n_best: n_best.min(width),
        length_penalty,
    })
}

fn sampler(sampling: Sampling) -> Sampler<f64> {
    Sampler::new(Level::detect(), sampling).unwrap()
}

fn generators(seeds: &[u32]) -> Vec<Generator> {
    seeds.iter().map(|&seed| Generator::new(u64::from(seed), 0)).collect()
}

/// All constraints hold, the end is what it is said to be, and so is the probability.
fn check(
    fake: &Fake,
    first: u32,
    constraints: &Constraints,
    hypothesis: &Hypothesis,
) -> Result<(), TestCaseError> {
    let Hypothesis { tokens, log_probability, ended } = hypothesis;
    let Constraints { end, min_length, max_length, no_repeat_ngram, banned, prefix } = constraints;
    prop_assert!(tokens.len() <= *max_length);
    let forced = tokens.len().min(prefix.len());
    prop_assert_eq!(&tokens[..forced], &prefix[..forced]);
    prop_assert!(tokens.iter().all(|token| !banned.contains(token) && Some(*token) != *end));
    prop_assert!(no_repeat_ngram.is_none_or(|size| !has_repeats(tokens, size)));

    let mut expected = 0.0;
    for (k, &token) in tokens.iter().enumerate() {
        expected += fake.log_probabilities(first, &tokens[..k])[token as usize];
    }
    let next = continuations(fake, first, constraints, &(tokens.clone(), 0.0));
    match ended {
        Ended::EndToken => {
            prop_assert!(tokens.len() >= *min_length && tokens.len() < *max_length);
            expected += fake.log_probabilities(first, tokens)[end.unwrap() as usize];
        }
        Ended::MaximumLength => prop_assert_eq!(tokens.len(), *max_length),
        Ended::NothingLeft => prop_assert!(tokens.len() < *max_length && next.is_empty()),
    }
    prop_assert_eq!(*log_probability, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_beam_as_wide_as_all_prefixes_is_exhaustive(
        (fake, constraints) in fakes_and_constraints(4),
        beam in beams(Just(1024)),
    ) {
        let first = [0, 1, 2];
        let found = beam_search(&mut fake.stream(3), &first, &constraints, beam).unwrap();
        for (first, found) in first.into_iter().zip(found) {
            prop_assert_eq!(found, best(all(&fake, first, &constraints), beam));
        }
    }

    #[test]
    fn a_narrow_beam_is_the_plain_search(
        (fake, constraints) in fakes_and_constraints(7),
        beam in beams(1usize..6),
    ) {
        let first = [3, 0, 1, 2];
        let found = beam_search(&mut fake.stream(4), &first, &constraints, beam).unwrap();
        for (first, found) in first.into_iter().zip(found) {
            prop_assert_eq!(&found, &plain_beam(&fake, first, &constraints, beam));
            for hypothesis in &found {
                check(&fake, first, &constraints, hypothesis)?;
            }
        }
    }

    #[test]
    fn constraints_hold_in_what_is_drawn(
        (fake, constraints) in fakes_and_constraints(7),
        temperature in prop::sample::select(vec![0.0, 0.5, 1.0, 3.0]),
        top_k in prop::option::of(1usize..4),
        top_p in prop::option::of(0.1f64..1.0),
    ) {
        let first = [2, 0, 2, 1, 2];
        let mut sampler = sampler(Sampling { temperature, top_k, top_p });
        let mut generators = generators(&[7, 8, 9, 10, 11]);
        let drawn =
            sample(&mut fake.stream(5), &first, &constraints, &mut sampler, &mut generators).unwrap();
        for (&first, hypothesis) in first.iter().zip(&drawn) {
            check(&fake, first, &constraints, hypothesis)?;
        }
    }

    #[test]
    fn a_width_of_one_a_temperature_of_zero_and_a_top_k_of_one_are_greedy(
        (fake, constraints) in fakes_and_constraints(9),
        first in 0u32..4,
    ) {
        // The most likely token that may come, step by step.
        let mut now = (Vec::new(), 0.0);
        let ended = loop {
            if now.0.len() == constraints.max_length {
                break Ended::MaximumLength;
            }
            let next = continuations(&fake, first, &constraints, &(now.0.clone(), 0.0));
            let Some(&(_, most)) = next.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
                break Ended::NothingLeft;
            };
            let &(token, _) = next.iter().find(|&&(_, p)| p == most).unwrap();
            now.1 += most;
            if constraints.end == Some(token) {
                break Ended::EndToken;
            }
            now.0.push(token);
        };
        let greedy = vec![Hypothesis { tokens: now.0, log_probability: now.1, ended }];
        for sampling in [GREEDY, Sampling { top_k: Some(1), ..PLAIN }] {
            let (mut sampler, mut generators) = (sampler(sampling), generators(&[3]));
            let mut stream = fake.stream(1);
            let drawn = sample(&mut stream, &[first], &constraints, &mut sampler, &mut generators);
            prop_assert_eq!(drawn.unwrap(), greedy.clone());
        }
        // After an impossible prefix all scores are equal.
        prop_assume!(greedy[0].log_probability > f64::NEG_INFINITY);
        let beam = Beam { width: 1, n_best: 1, length_penalty: 0.0 };
        let found = beam_search(&mut fake.stream(1), &[first], &constraints, beam).unwrap();
        prop_assert_eq!(found, vec![greedy]);
    }
}

/// A small model of tokens, with parameters large enough to have opinions.
fn model(cell: CellKind, classes: usize, seed: u64) -> (ManyToMany, Parameters<f32>) {
    let config = ManyToManyConfig {
        input: InputConfig::Tokens {
            vocabulary_size: classes,
            encoding: TokenEncoding::Embedding(4),
        },
        stack: StackConfig {
            cell,
            hidden_size: 6,
            num_layers: 2,
            bidirectional: false,
            dropout: 0.0,
            regularization: Regularization::NONE,
        },
        output_size: classes,
    };
    let model = config.build().unwrap();
    let mut generator = Generator::new(seed, 0);
    let mut parameters = model.initialize(&mut generator, Initialization::Uniform, None).unwrap();
    parameters.as_mut_slice().iter_mut().for_each(|parameter| *parameter *= 3.0);
    (model, parameters)
}

/// The log-probability that forward over the whole sequence gives.
fn by_forward(
    model: &ManyToMany,
    parameters: &Parameters<f32>,
    first: u32,
    end: Option<u32>,
    hypothesis: &Hypothesis,
) -> f64 {
    let mut said = hypothesis.tokens.clone();
    if hypothesis.ended == Ended::EndToken {
        said.extend(end);
    }
    let read = [&[first], &said[..]].concat();
    let (compute, lengths) = (Compute::sequential(), Lengths::equal(1, read.len()));
    let (state, mut tape) = (model.zero_state(1), ManyToManyTape::default());
    let reading = Reading::Tokens(&read);
    let recorded = model.forward(&compute, parameters, reading, &state, &lengths, None, &mut tape);
    let row = |t| recorded.logits().column(t).iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    said.iter().enumerate().map(|(t, &token)| log_softmax(&row(t))[token as usize]).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Together, alone, and in another order, with sequences that end at different times.
    #[test]
    fn no_sequence_depends_on_the_others(
        cell in prop::sample::select(&CellKind::ALL[..]),
        constraints in constraints(9, 12),
        beam in beams(1usize..5),
        first in prop::collection::vec(0u32..9, 1..12),
        seed in any::<u64>(),
    ) {
        let (model, parameters) = model(cell, 9, seed);
        let stream =
            |batch| model.stream(&Compute::sequential(), parameters.clone(), batch);
        let mut sampler = Sampler::new(Level::detect(), PLAIN).unwrap();
        let mut run = |first: &[u32], seeds: &[u32]| {
            let mut generators = generators(seeds);
            let mut batch = stream(first.len());
            let drawn = sample(&mut batch, first, &constraints, &mut sampler, &mut generators);
            let mut batch = stream(first.len());
            (drawn.unwrap(), beam_search(&mut batch, first, &constraints, beam).unwrap())
        };
        let seeds: Vec<u32> = (0..first.len() as u32).collect();
        let (drawn, found) = run(&first, &seeds);
        for (j, &first) in first.iter().enumerate() {
            let (alone_drawn, alone_found) = run(&[first], &seeds[j..j + 1]);
            prop_assert_eq!(&alone_drawn[0], &drawn[j]);
            prop_assert_eq!(&alone_found[0], &found[j]);
            for hypothesis in found[j].iter().chain([&drawn[j]]) {
                let expected = by_forward(&model, &parameters, first, constraints.end, hypothesis);
                prop_assert_eq!(hypothesis.log_probability, expected);
            }
        }

        let mut order = seeds.clone();
        Generator::new(seed, 1).shuffle(&mut order);
        let turned: Vec<u32> = order.iter().map(|&j| first[j as usize]).collect();
        let (turned_drawn, turned_found) = run(&turned, &order);
        for (new, &old) in order.iter().enumerate() {
            prop_assert_eq!(&turned_drawn[new], &drawn[old as usize]);
            prop_assert_eq!(&turned_found[new], &found[old as usize]);
        }
    }
}

/// Far before the maximum length: once nothing that runs can win, and each source by itself.
#[test]
fn a_search_stops_and_its_rows_leave() {
    let fake = Fake { classes: 3, seed: 8, values: 1 << 40, impossible: false };
    let constraints = Constraints { end: Some(0), ..Constraints::new(100_000) };
    let beam = Beam { width: 4, n_best: 2, length_penalty: 0.0 };
    let first: Vec<u32> = (0..8).collect();
    let mut stream = fake.stream(8);
    beam_search(&mut stream, &first, &constraints, beam).unwrap();
    let steps = stream.read[0].len();
    assert!(steps < 100, "{steps} steps");
    // The last step had only the rows of those sources that took longest.
    let rows = stream.batch();
    assert!(rows < 8 * beam.width, "{rows} rows");
}

/// What is banned leaves the others in proportion.
#[test]
fn frequencies_follow_what_is_left_of_the_distribution() {
    let fake = Fake { classes: 4, seed: 3, values: 1 << 40, impossible: false };
    let constraints = Constraints { banned: vec![1], ..Constraints::new(1) };
    let draws = 4000;
    let seeds: Vec<u32> = (0..draws).collect();
    let (first, mut generators) = (vec![0; seeds.len()], generators(&seeds));
    let mut stream = fake.stream(seeds.len());
    let drawn = sample(&mut stream, &first, &constraints, &mut sampler(PLAIN), &mut generators);
    let mut counts = [0.0; 4];
    drawn.unwrap().iter().for_each(|hypothesis| counts[hypothesis.tokens[0] as usize] += 1.0);
    let mut expected: Vec<f64> =
        fake.log_probabilities(0, &[]).iter().map(|&p| libm::exp(p)).collect();
    expected[1] = 0.0;
    let left: f64 = expected.iter().sum();
    for (count, expected) in counts.into_iter().zip(expected) {
        let (frequency, expected) = (count / f64::from(draws), expected / left);
        assert!((frequency - expected).abs() < 0.025, "{frequency} and {expected}");
    }
}

#[test]
fn contradictions_are_refused() {
    let good = Constraints { end: Some(0), ..Constraints::new(4) };
    let refused = |constraints: Constraints, n_best: usize, length_penalty: f64| {
        let fake = Fake { classes: 3, seed: 3, values: 5, impossible: false };
        let (mut sampler, mut generators) = (sampler(PLAIN), generators(&[0]));
        let drawn = sample(&mut fake.stream(1), &[0], &constraints, &mut sampler, &mut generators);
        let beam = Beam { width: 2, n_best, length_penalty };
        let found = beam_search(&mut fake.stream(1), &[0], &constraints, beam);
        let found = found.map_err(|error| error.to_string()).unwrap_err();
        if let Err(error) = drawn {
            assert_eq!(error.to_string(), found);
        }
        found
    };
    let constraint = |constraints: Constraints| refused(constraints, 1, 0.0);
    let good = || good.clone();
    for (error, expected) in [
        (constraint(Constraints { max_length: 0, ..good() }), "at least 1, not 0"),
        (constraint(Constraints { min_length: 5, ..good() }), "5 tokens is above the maximum of 4"),
        (constraint(Constraints { prefix: vec![1; 5], ..good() }), "prefix has 5 tokens"),
        (constraint(Constraints { prefix: vec![1, 0], ..good() }), "holds the end token 0"),
        (constraint(Constraints { banned: vec![0], ..good() }), "end token 0 is banned"),
        (
            constraint(Constraints { banned: vec![1], prefix: vec![2, 1], ..good() }),
            "token 1 is banned and in the forced prefix",
        ),
        (
            constraint(Constraints { no_repeat_ngram: Some(2), prefix: vec![1, 1, 1], ..good() }),
            "the same 2 tokens twice",
        ),
        (constraint(Constraints { no_repeat_ngram: Some(0), ..good() }), "at least 1 token"),
        (constraint(Constraints { end: Some(3), ..good() }), "the end has token 3"),
        (constraint(Constraints { banned: vec![7], ..good() }), "banned tokens has token 7"),
        (constraint(Constraints { prefix: vec![9], ..good() }), "prefix has token 9"),
        (refused(good(), 3, 0.0), "between 1 and the width of the beam, 2, not 3"),
        (refused(good(), 0, 0.0), "not 0"),
        (refused(good(), 1, -1.0), "not -1"),
        (refused(good(), 1, f64::NAN), "not NaN"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
    let beam = Beam { width: 0, n_best: 1, length_penalty: 0.0 };
    assert_eq!(beam.check(), Err(DecodingError::Width));
}

/// The second token of sequence 1 comes from a broken distribution.
#[test]
fn a_broken_distribution_is_refused_with_its_place() {
    struct Broken(Matrix<f32>, f32);
    impl TokenStream<f32> for Broken {
        fn batch(&self) -> usize {
            2
        }
        fn step(&mut self, tokens: &[u32]) -> Columns<'_, f32> {
            let mut logits = self.0.as_mut();
            logits.column(0).fill(0.0);
            logits.column(1).copy_from_slice(&[
                0.0,
                0.0,
                if tokens[1] == 9 { 0.0 } else { self.1 },
            ]);
            self.0.as_ref()
        }
        fn select(&mut self, columns: &[usize]) {
            assert_eq!(columns, [0, 1]);
        }
    }
    let constraints = Constraints::new(4);
    for broken in [f32::NAN, f32::INFINITY] {
        let stream = || Broken(Matrix::zeros(3, 2), broken);
        let (mut sampler, mut generators) =
            (Sampler::new(Level::detect(), GREEDY).unwrap(), generators(&[0, 1]));
        let drawn = sample(&mut stream(), &[0, 9], &constraints, &mut sampler, &mut generators)
            .unwrap_err();
        let beam = Beam { width: 1, n_best: 1, length_penalty: 0.0 };
        let found = beam_search(&mut stream(), &[0, 9], &constraints, beam).unwrap_err();
        for error in [drawn, found] {
            let DecodingError::NonFinite { sequence, length, token, logit } = error else {
                panic!("{error}");
            };
            assert_eq!((sequence, length, token), (1, 1, 2));
            assert!(!logit.is_finite());
        }
    }
}

#[test]
fn nothing_comes_from_nothing() {
    let fake = Fake { classes: 3, seed: 3, values: 5, impossible: false };
    let (constraints, beam) =
        (Constraints::new(4), Beam { width: 2, n_best: 1, length_penalty: 0.0 });
    assert_eq!(beam_search(&mut fake.stream(0), &[], &constraints, beam), Ok(vec![]));
    assert_eq!(
        sample(&mut fake.stream(0), &[], &constraints, &mut sampler(PLAIN), &mut []),
        Ok(vec![])
    );
}
