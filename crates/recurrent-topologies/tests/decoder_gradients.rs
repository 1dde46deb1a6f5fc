//! Gradients of models that write, through every wiring, against central differences.

#[path = "support/decoders.rs"]
mod support;

use proptest::prelude::*;
use recurrent_cells::CellKind;
use recurrent_kernels::Compute;
use recurrent_testkit::gradient::{Comparison, compare_gradient};
use recurrent_topologies::{
    AttentionKind, Condition, EncoderDecoderConfig, InputConfig, Noise, OneToManyConfig,
    Regularization, StackConfig, TokenEncoding,
};
use support::{Translating, Writing};

/// A relu has kinks; the suite of cells bounds their share over many cases.
fn check(found: &Comparison, has_kinks: bool) -> Result<(), TestCaseError> {
    prop_assert!(found.worst <= 1.0, "{} ({} tolerances)", found.place, found.worst);
    let most = if has_kinks { found.pairs / 20 + 2 } else { 0 };
    prop_assert!(found.skipped <= most, "{} of {} skipped", found.skipped, found.pairs);
    Ok(())
}

fn check_writing(mut case: Writing<f64>) -> Result<(), TestCaseError> {
    let compute = Compute::sequential();
    let has_kinks = case.model.config().stack.cell == CellKind::RnnRelu;
    let (_, gradients, d_condition) = case.gradients(&compute, 1.0);
    let mut point = case.parameters.as_slice().to_vec();
    let mut other = case.clone();
    let found = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
        other.parameters.as_mut_slice().copy_from_slice(point);
        other.gradients(&compute, 1.0).0
    });
    check(&found, has_kinks)?;
    let size = case.model.config().condition_size;
    let mut point = case.conditions.concat();
    let found = compare_gradient("condition", &mut point, d_condition.as_slice(), |point| {
        case.conditions = point.chunks(size).map(<[f64]>::to_vec).collect();
        case.gradients(&compute, 1.0).0
    });
    check(&found, has_kinks)
}

fn check_translating(mut case: Translating<f64>) -> Result<(), TestCaseError> {
    let compute = Compute::sequential();
    let config = case.model.config();
    let has_kinks = [config.encoder.cell, config.decoder.cell].contains(&CellKind::RnnRelu);
    let (_, gradients) = case.gradients(&compute, 1.0);
    let mut point = case.parameters.as_slice().to_vec();
    let found = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
        case.parameters.as_mut_slice().copy_from_slice(point);
        case.gradients(&compute, 1.0).0
    });
    check(&found, has_kinks)
}

const NOISE: Noise = Noise { seed: 5, first_step: 1 << 30 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn one_to_many(
        config in support::one_to_many(0.3), lengths in support::lengths(), seed: u64, noisy: bool,
    ) {
        let mut case = Writing::draw(&config, &lengths, seed);
        case.noise = noisy.then_some(NOISE);
        check_writing(case)?;
    }

    #[test]
    fn encoder_decoder(
        config in support::encoder_decoders(0.3), pairs in support::pairs(3), seed: u64, noisy: bool,
    ) {
        let mut case = Translating::draw(&config, &pairs, seed);
        case.noise = noisy.then_some(NOISE);
        check_translating(case)?;
    }
}

const ENCODINGS: [TokenEncoding; 2] = [TokenEncoding::OneHot, TokenEncoding::Embedding(2)];

/// Nothing is left to the draw: every way in, every cell, both encodings.
#[test]
fn every_one_to_many() {
    for condition in Condition::ALL {
        for cell in CellKind::ALL {
            for encoding in ENCODINGS {
                let stack = StackConfig {
                    cell,
                    hidden_size: 3,
                    num_layers: 2,
                    bidirectional: false,
                    dropout: 0.0,
                    regularization: Regularization::NONE,
                };
                let (condition_size, vocabulary_size) = (2, 4);
                let config =
                    OneToManyConfig { condition_size, condition, vocabulary_size, encoding, stack };
                let case = Writing::draw(&config, &[2, 4, 1], 11);
                let name = (condition.name(), cell.name());
                check_writing(case)
                    .unwrap_or_else(|error| panic!("{name:?} {encoding:?}: {error}"));
            }
        }
    }
}

/// Every attention, with and without input feeding, from encoders that read both ways or one, from
/// either end, through a copied state or a linear bridge.
#[test]
fn every_encoder_decoder() {
    let stack = |cell, hidden_size, num_layers, bidirectional| StackConfig {
        cell,
        hidden_size,
        num_layers,
        bidirectional,
        dropout: 0.0,
        regularization: Regularization::NONE,
    };
    let encoders = [
        stack(CellKind::Lstm, 4, 1, false),
        stack(CellKind::Lstm, 2, 2, true),
        stack(CellKind::Gru, 4, 2, false),
        stack(CellKind::RnnTanh, 2, 1, true),
    ];
    let decoders = [stack(CellKind::Lstm, 4, 1, false), stack(CellKind::Gru, 4, 1, false)];
    let kinds = AttentionKind::ALL.map(Some);
    let looks = kinds.iter().flat_map(|&kind| [(kind, false), (kind, true)]);
    let looks: Vec<_> = std::iter::once((None, false)).chain(looks).collect();
    for (encoder, decoder) in encoders.into_iter().flat_map(|e| decoders.map(|d| (e, d))) {
        for (index, &(attention, input_feeding)) in looks.iter().enumerate() {
            for reverse_source in [false, true] {
                let encoding = ENCODINGS[index % 2];
                let config = EncoderDecoderConfig {
                    source: InputConfig::Tokens { vocabulary_size: 5, encoding },
                    encoder,
                    target_vocabulary_size: 4,
                    target_encoding: ENCODINGS[usize::from(reverse_source)],
                    decoder,
                    attention,
                    input_feeding,
                    reverse_source,
                };
                let case = Translating::draw(&config, &[(2, 1), (3, 3)], 12);
                check_translating(case).unwrap_or_else(|error| panic!("{config:?}: {error}"));
            }
        }
    }
}
