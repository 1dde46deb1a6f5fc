//! What models that write must keep: streams, batches and threads leave no trace in the bits, and
//! encoder and decoder have nothing in common.

#[path = "support/decoders.rs"]
mod support;

use proptest::prelude::*;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::{Compute, Level, Real};
use recurrent_topologies::{
    AttentionKind, Bridge, Condition, ConfigError, DecoderStream, EncoderDecoderConfig,
    InputConfig, Noise, OneToManyConfig, Regularization, StackConfig, TokenEncoding, TokenStream,
};
use support::{Said, Translating, Writing, bits};

/// A case of either model.
trait Case<T: Real>: Clone {
    fn said(&self, compute: &Compute) -> Said;
    fn gradient_bits(&self, compute: &Compute) -> Vec<u64>;
    fn stream(&self, compute: &Compute) -> DecoderStream<T>;
    fn tokens(&mut self) -> &mut Vec<Vec<u32>>;
    fn noise(&mut self) -> &mut Option<Noise>;
    fn select(&self, order: &[usize]) -> Self;
}

impl<T: Real> Case<T> for Writing<T> {
    fn said(&self, compute: &Compute) -> Said {
        self.said(compute)
    }
    fn gradient_bits(&self, compute: &Compute) -> Vec<u64> {
        let (_, gradients, d_condition) = self.gradients(compute, T::ZERO);
        [bits(gradients.as_slice()), bits(d_condition.as_slice())].concat()
    }
    fn stream(&self, compute: &Compute) -> DecoderStream<T> {
        self.stream(compute)
    }
    fn tokens(&mut self) -> &mut Vec<Vec<u32>> {
        &mut self.tokens
    }
    fn noise(&mut self) -> &mut Option<Noise> {
        &mut self.noise
    }
    fn select(&self, order: &[usize]) -> Self {
        self.select(order)
    }
}

impl<T: Real> Case<T> for Translating<T> {
    fn said(&self, compute: &Compute) -> Said {
        self.said(compute)
    }
    fn gradient_bits(&self, compute: &Compute) -> Vec<u64> {
        bits(self.gradients(compute, T::ZERO).1.as_slice())
    }
    fn stream(&self, compute: &Compute) -> DecoderStream<T> {
        self.stream(compute)
    }
    fn tokens(&mut self) -> &mut Vec<Vec<u32>> {
        &mut self.tokens
    }
    fn noise(&mut self) -> &mut Option<Noise> {
        &mut self.noise
    }
    fn select(&self, order: &[usize]) -> Self {
        self.select(order)
    }
}

const NOISE: Noise = Noise { seed: 5, first_step: 1 << 30 };

fn most_likely<T: Real>(logits: &[T]) -> u32 {
    let best = |best: usize, k: usize| if logits[k] > logits[best] { k } else { best };
    (0..logits.len()).fold(0, best) as u32
}

/// Takes one step, and gives what was said and looked at by row.
fn step<T: Real>(
    stream: &mut DecoderStream<T>,
    tokens: &[u32],
    attends: bool,
) -> Vec<(Vec<T>, Vec<T>)> {
    let logits: Vec<Vec<T>> = {
        let logits = stream.step(tokens);
        (0..tokens.len()).map(|row| logits.column(row).to_vec()).collect()
    };
    let weights = |row| if attends { stream.attention_weights(row).to_vec() } else { vec![] };
    logits.into_iter().enumerate().map(|(row, logits)| (logits, weights(row))).collect()
}

/// The stream's steps on the case's own tokens have the bits of forward.
fn stream_is_forward<T: Real>(mut case: impl Case<T>) -> Result<(), TestCaseError> {
    let compute = Compute::sequential();
    let said = case.said(&compute);
    let mut stream = case.stream(&compute);
    let tokens = case.tokens().clone();
    let steps = tokens.iter().map(Vec::len).max().unwrap();
    for t in 0..steps {
        // Sequences that have ended go on with any token: nobody may notice.
        let now: Vec<u32> = tokens.iter().map(|own| own.get(t).copied().unwrap_or(0)).collect();
        let rows = step(&mut stream, &now, !said.weights.is_empty());
        for (sequence, (logits, weights)) in rows.iter().enumerate() {
            if t < tokens[sequence].len() {
                prop_assert_eq!(&bits(logits), &said.logits[sequence][t]);
                if !said.weights.is_empty() {
                    prop_assert_eq!(&bits(weights), &said.weights[sequence][t]);
                }
            }
        }
    }
    Ok(())
}

/// What a model writes when it reads its own most likely tokens is what forward says to these tokens.
fn forced_is_free<T: Real>(mut case: impl Case<T>) -> Result<(), TestCaseError> {
    let compute = Compute::sequential();
    let mut stream = case.stream(&compute);
    let lengths: Vec<usize> = case.tokens().iter().map(Vec::len).collect();
    let mut free = vec![Vec::new(); lengths.len()];
    let mut read = vec![vec![0]; lengths.len()];
    for t in 0..*lengths.iter().max().unwrap() {
        let now: Vec<u32> = read.iter().map(|own| own[t]).collect();
        for (row, (logits, _)) in step(&mut stream, &now, false).iter().enumerate() {
            free[row].push(bits(logits));
            read[row].push(most_likely(logits));
        }
    }
    for (row, &length) in lengths.iter().enumerate() {
        read[row].truncate(length);
        free[row].truncate(length);
    }
    *case.tokens() = read;
    prop_assert_eq!(case.said(&compute).logits, free);
    Ok(())
}

/// Another order, and each sequence alone, give the same bits.
fn neighbours_leave_no_trace<T: Real>(mut case: impl Case<T>) -> Result<(), TestCaseError> {
    let compute = Compute::sequential();
    let whole = case.said(&compute);
    let batch = case.tokens().len();
    let backwards: Vec<usize> = (0..batch).rev().collect();
    let rotated: Vec<usize> = (0..2 * batch).map(|j| (j + 1) % batch).collect();
    let mut orders = vec![backwards, rotated];
    orders.extend((0..batch).map(|alone| vec![alone]));
    for order in orders {
        let said = case.select(&order).said(&compute);
        for (j, &sequence) in order.iter().enumerate() {
            prop_assert_eq!(&said.logits[j], &whole.logits[sequence]);
            if !whole.weights.is_empty() {
                prop_assert_eq!(&said.weights[j], &whole.weights[sequence]);
            }
        }
    }
    // Masks go by the number of a sequence: it may have fewer neighbours behind it.
    *case.noise() = Some(NOISE);
    let whole = case.said(&compute);
    for count in 1..batch {
        let said = case.select(&(0..count).collect::<Vec<_>>()).said(&compute);
        prop_assert_eq!(&said.logits, &whole.logits[..count]);
        prop_assert_eq!(&said.weights[..], whole.weights.get(..count).unwrap_or_default());
    }
    Ok(())
}

/// Rows that were selected go on as if they had always stood where they stand.
fn selected_rows_go_on<T: Real>(
    mut case: impl Case<T>,
    columns: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let compute = Compute::sequential();
    let attends = !case.said(&compute).weights.is_empty();
    let batch = case.tokens().len();
    let columns: Vec<usize> = columns.iter().map(|index| index.index(batch)).collect();
    let (mut stream, mut whole) = (case.stream(&compute), case.stream(&compute));
    let first: Vec<u32> = case.tokens().iter().map(|own| own[0]).collect();
    step(&mut stream, &first, attends);
    step(&mut whole, &first, attends);
    stream.select(&columns);
    prop_assert_eq!(stream.batch(), columns.len());
    for t in 0..3 {
        let token = |row: usize| first[(row + t) % batch];
        let all = step(&mut whole, &(0..batch).map(token).collect::<Vec<_>>(), attends);
        let some = columns.iter().map(|&row| token(row)).collect::<Vec<_>>();
        for (row, said) in step(&mut stream, &some, attends).iter().enumerate() {
            prop_assert_eq!(bits(&said.0), bits(&all[columns[row]].0));
            prop_assert_eq!(bits(&said.1), bits(&all[columns[row]].1));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_to_many(
        config in support::one_to_many(0.3),
        lengths in support::lengths(),
        columns in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        seed: u64,
    ) {
        let case = Writing::<f32>::draw(&config, &lengths, seed);
        stream_is_forward(case.clone())?;
        forced_is_free(case.clone())?;
        neighbours_leave_no_trace(case.clone())?;
        selected_rows_go_on(case, &columns)?;
    }

    #[test]
    fn encoder_decoder(
        config in support::encoder_decoders(0.3),
        pairs in support::pairs(5),
        columns in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        seed: u64,
    ) {
        let case = Translating::<f32>::draw(&config, &pairs, seed);
        stream_is_forward(case.clone())?;
        forced_is_free(case.clone())?;
        neighbours_leave_no_trace(case.clone())?;
        selected_rows_go_on(case, &columns)?;
    }

    /// A model that reverses its sources is one that does not, on reversed sources: it says the same
    /// and looks at the same places. (Attention adds them up in another order.)
    #[test]
    fn reversing_is_the_models_business(
        config in support::encoder_decoders(0.0), pairs in support::pairs(4), seed: u64,
    ) {
        let compute = Compute::sequential();
        let reversing = EncoderDecoderConfig { reverse_source: true, ..config.clone() };
        let plain = EncoderDecoderConfig { reverse_source: false, ..config };
        let reversing = Translating::<f64>::draw(&reversing, &pairs, seed);
        let mut plain = Translating::<f64>::draw(&plain, &pairs, seed);
        plain.source_tokens.iter_mut().for_each(|source| source.reverse());
        plain.source_vectors.iter_mut().for_each(|source| source.reverse());
        let context = |case: &Translating<f64>| {
            case.with_sources(|sources| case.model.context(&compute, &case.parameters, sources))
        };
        prop_assert_eq!(context(&reversing), context(&plain));
        let stream = reversing.stream(&compute);
        prop_assert_eq!(stream.state(), &context(&plain));
        let (ours, theirs) = (reversing.said(&compute), plain.said(&compute));
        if reversing.model.config().attention.is_none() {
            prop_assert_eq!(&ours.logits, &theirs.logits);
        }
        for (a, b) in ours.logits.iter().flatten().flatten().zip(theirs.logits.iter().flatten().flatten())
        {
            let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
            prop_assert!((a - b).abs() < 1e-12 * a.abs().max(1.0), "{} and {}", a, b);
        }
        for (ours, theirs) in ours.weights.iter().flatten().zip(theirs.weights.iter().flatten()) {
            for (a, b) in ours.iter().zip(theirs.iter().rev()) {
                let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
                prop_assert!((a - b).abs() < 1e-12, "{} and {}", a, b);
            }
        }
    }
}

/// Neither logits nor attention weights nor gradients depend on the threads or on the instructions,
/// with dropout and without.
fn equal_bits<T: Real>(mut case: impl Case<T>) {
    let plain = case.said(&Compute::sequential());
    *case.noise() = Some(NOISE);
    assert!(case.said(&Compute::sequential()) != plain, "nothing was dropped");
    equal_bits_under_this_noise(case.clone(), false);
    *case.noise() = None;
    equal_bits_under_this_noise(case, true);
}

fn equal_bits_under_this_noise<T: Real>(case: impl Case<T>, streams: bool) {
    let everything = |compute: &Compute| (case.said(compute), case.gradient_bits(compute));
    let expected = everything(&Compute::sequential());
    for threads in [2, 3] {
        let compute = Compute::new(threads).unwrap();
        assert!(everything(&compute) == expected, "{threads} threads");
        if !streams {
            continue;
        }
        let mut stream = case.stream(&compute);
        let first: Vec<u32> = case.clone().tokens().iter().map(|own| own[0]).collect();
        for (row, (logits, _)) in step(&mut stream, &first, false).iter().enumerate() {
            assert_eq!(bits(logits), expected.0.logits[row][0], "{threads} threads, row {row}");
        }
    }
    for level in Level::available() {
        let compute = Compute::sequential().with_level(level);
        assert!(everything(&compute) == expected, "{}", level.name());
    }
}

fn layers(cell: CellKind, hidden_size: usize, num_layers: usize) -> StackConfig {
    StackConfig {
        cell,
        hidden_size,
        num_layers,
        bidirectional: false,
        dropout: 0.0,
        regularization: Regularization::NONE,
    }
}

fn translator(attention: Option<AttentionKind>, input_feeding: bool) -> EncoderDecoderConfig {
    let encoder = StackConfig { bidirectional: true, ..layers(CellKind::Lstm, 24, 1) };
    let decoder = StackConfig { dropout: 0.3, ..layers(CellKind::Gru, 48, 2) };
    EncoderDecoderConfig {
        source: InputConfig::Tokens { vocabulary_size: 30, encoding: TokenEncoding::Embedding(20) },
        encoder,
        target_vocabulary_size: 60,
        target_encoding: TokenEncoding::Embedding(20),
        decoder,
        attention,
        input_feeding,
        reverse_source: true,
    }
}

/// In shapes above the thresholds from which work is divided among threads.
#[test]
fn threads_and_levels_leave_no_trace() {
    let pairs: Vec<(usize, usize)> = (0..40).map(|k| (1 + k * 7 % 12, 1 + k * 5 % 11)).collect();
    for attention in [None].into_iter().chain(AttentionKind::ALL.map(Some)) {
        for input_feeding in [false, true] {
            if attention.is_some() || !input_feeding {
                let config = translator(attention, input_feeding);
                equal_bits(Translating::<f32>::draw(&config, &pairs, 3));
            }
        }
    }
    for condition in Condition::ALL {
        let (condition_size, vocabulary_size) = (30, 60);
        let encoding = TokenEncoding::Embedding(20);
        let stack = StackConfig { dropout: 0.3, ..layers(CellKind::Lstm, 48, 2) };
        let config =
            OneToManyConfig { condition_size, condition, vocabulary_size, encoding, stack };
        let lengths: Vec<usize> = pairs.iter().map(|pair| pair.1).collect();
        equal_bits(Writing::<f32>::draw(&config, &lengths, 3));
    }
}

/// Changes every parameter whose name begins with `prefix`.
fn change(parameters: &mut Parameters<f32>, prefix: &str) -> usize {
    let mut changed = 0;
    parameters.visit_mut(|entry, numbers| {
        if entry.name.starts_with(prefix) {
            numbers.iter_mut().for_each(|x| *x += 0.5);
            changed += numbers.len();
        }
    });
    changed
}

#[test]
fn encoder_and_decoder_share_no_parameter() {
    // Equal in everything, so that whatever could be shared would fit.
    let tokens = InputConfig::Tokens { vocabulary_size: 6, encoding: TokenEncoding::Embedding(3) };
    let config = EncoderDecoderConfig {
        source: tokens,
        encoder: layers(CellKind::Lstm, 4, 2),
        target_vocabulary_size: 6,
        target_encoding: TokenEncoding::Embedding(3),
        decoder: layers(CellKind::Lstm, 4, 2),
        attention: None,
        input_feeding: false,
        reverse_source: false,
    };
    let compute = Compute::sequential();
    let case = Translating::<f32>::draw(&config, &[(3, 4), (5, 2)], 4);
    assert_eq!(case.model.bridge(), &Bridge::Copy);
    let context = |case: &Translating<f32>| {
        case.with_sources(|sources| case.model.context(&compute, &case.parameters, sources))
    };
    let next = |stream: &mut DecoderStream<f32>| bits(stream.step(&[1, 2]).as_slice());

    let mut other = case.clone();
    let decoders = change(&mut other.parameters, "decoder.");
    assert_eq!(context(&other), context(&case), "the encoder listens to the decoder");
    assert_ne!(next(&mut other.stream(&compute)), next(&mut case.stream(&compute)));

    let mut other = case.clone();
    let encoders = change(&mut other.parameters, "encoder.");
    assert_ne!(context(&other), context(&case));
    let mut stream = other.stream(&compute);
    *stream.state_mut() = context(&case);
    assert_eq!(next(&mut stream), next(&mut case.stream(&compute)), "the decoder listens");

    assert_eq!(encoders + decoders, case.model.layout().count());
}

/// The rows of h that dropout sets to zero on their way to the second layer: where x is zero, so is
/// that column of the weight's gradient.
fn dropped(case: &Translating<f32>, name: &str) -> Vec<bool> {
    let (_, gradients) = case.gradients(&Compute::sequential(), 0.0);
    let mut dropped = Vec::new();
    gradients.visit(|entry, numbers| {
        if entry.name == name {
            let columns = numbers.chunks(entry.slot.rows());
            dropped = columns.map(|column| column.iter().all(|&x| x == 0.0)).collect();
        }
    });
    dropped
}

/// Encoder and decoder have the same layers and the same steps of the same sequences, and yet masks
/// of their own; those of the decoder do not depend on how long the source is.
#[test]
fn encoder_and_decoder_share_no_mask() {
    let stack = StackConfig { dropout: 0.5, ..layers(CellKind::RnnTanh, 40, 2) };
    let tokens = InputConfig::Tokens { vocabulary_size: 6, encoding: TokenEncoding::Embedding(3) };
    for attention in [None, Some(AttentionKind::Dot)] {
        let config = EncoderDecoderConfig {
            source: tokens,
            encoder: stack,
            target_vocabulary_size: 6,
            target_encoding: TokenEncoding::Embedding(3),
            decoder: stack,
            attention,
            input_feeding: attention.is_some(),
            reverse_source: false,
        };
        let masks = |source: usize, target: usize| {
            let mut case = Translating::<f32>::draw(&config, &[(source, target)], 4);
            case.noise = Some(Noise { seed: 9, first_step: 3 << 24 });
            ["encoder", "decoder"].map(|of| dropped(&case, &format!("{of}.rnn.weight_ih_l1")))
        };
        let [encoder, decoder] = masks(1, 1);
        for mask in [&encoder, &decoder] {
            let share = mask.iter().filter(|&&dropped| dropped).count();
            assert!((8..=32).contains(&share), "{share} of 40 were dropped");
        }
        assert_ne!(encoder, decoder);
        assert_eq!(masks(7, 1)[1], decoder);
        assert_eq!(masks(1, 7)[0], encoder);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let good = translator(Some(AttentionKind::General), true);
    assert!(good.build().is_ok());
    let dot = EncoderDecoderConfig {
        attention: Some(AttentionKind::Dot),
        decoder: layers(CellKind::Gru, 47, 2),
        ..good.clone()
    };
    let error = dot.build().unwrap_err();
    assert!(matches!(error, ConfigError::DotAttention { encoder_size: 48, decoder_size: 47 }));
    assert!(error.to_string().contains("general"), "{error}");
    let fed = EncoderDecoderConfig { attention: None, ..good.clone() };
    assert_eq!(fed.build().unwrap_err(), ConfigError::InputFeeding);
    let both = StackConfig { bidirectional: true, ..good.decoder };
    let both_ways = EncoderDecoderConfig { decoder: both, ..good.clone() };
    assert_eq!(both_ways.build().unwrap_err(), ConfigError::BidirectionalDecoder);
    let huge = EncoderDecoderConfig { target_vocabulary_size: usize::MAX, ..good };
    assert_eq!(huge.build().unwrap_err(), ConfigError::TooLarge);

    let writer = OneToManyConfig {
        condition_size: 3,
        condition: Condition::EveryStep,
        vocabulary_size: 5,
        encoding: TokenEncoding::OneHot,
        stack: layers(CellKind::Lstm, 4, 1),
    };
    for condition in Condition::ALL {
        let none = OneToManyConfig { condition_size: 0, condition, ..writer.clone() };
        assert!(matches!(none.build().unwrap_err(), ConfigError::Zero { .. }));
        let condition_size = usize::MAX;
        let huge = OneToManyConfig { condition_size, condition, ..writer.clone() };
        assert_eq!(huge.build().unwrap_err(), ConfigError::TooLarge, "{}", condition.name());
    }
    let stack = StackConfig { bidirectional: true, ..writer.stack };
    let both_ways = OneToManyConfig { stack, ..writer };
    assert_eq!(both_ways.build().unwrap_err(), ConfigError::BidirectionalDecoder);
}

/// Names and shapes as notation.md lists them: they are what a checkpoint is read by.
#[test]
fn parameters_have_their_names() {
    let config = translator(Some(AttentionKind::Additive), true);
    let model = config.build().unwrap();
    let names: Vec<String> = model
        .layout()
        .entries()
        .iter()
        .map(|entry| format!("{} {:?}", entry.name, entry.pytorch_shape()))
        .filter(|line| !line.contains("rnn."))
        .collect();
    assert_eq!(
        names,
        [
            "encoder.embedding.weight [30, 20]",
            "bridge.h.weight [96, 48]",
            "bridge.h.bias [96]",
            "decoder.embedding.weight [60, 20]",
            "attention.key.weight [48, 48]",
            "attention.query.weight [48, 48]",
            "attention.score.weight [48]",
            "attention.combine.weight [48, 96]",
            "decoder.readout.weight [60, 48]",
            "decoder.readout.bias [60]",
        ]
    );
    assert!(model.layout().entries().iter().any(|entry| entry.name == "decoder.rnn.weight_hh_l1"));
}
