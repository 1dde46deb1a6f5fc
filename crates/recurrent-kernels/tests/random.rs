//! The generator's and dropout's promises: pinned bits, states, statistics.

use proptest::prelude::*;
use recurrent_kernels::random::{Dropout, Generator, GeneratorState};

/// Computed by another implementation of ChaCha8, which gives the published words for a zero key.
/// These bits are a promise to every checkpoint: this test may never be changed.
#[test]
fn bits_never_change() {
    let generator = || Generator::new(0x0123_4567_89ab_cdef, 7);
    let words = [0x01fc_4ae0, 0x9932_6361, 0xcdc3_7caf, 0x249c_03fc];
    let mut g = generator();
    assert_eq!([(); 4].map(|()| g.next_u32()), words);
    let mut g = generator();
    assert_eq!([(); 2].map(|()| g.next_u64()), [0x9932_6361_01fc_4ae0, 0x249c_03fc_cdc3_7caf]);
    let far = GeneratorState { position: 1_000_003, ..generator().state() };
    assert_eq!(Generator::from_state(far).unwrap().next_u32(), 0x1145_eac4);
    assert_eq!(generator().uniform::<f64>(), 0.598_425_112_899_336);
    assert_eq!(generator().uniform::<f32>(), 0.598_425_1);
    assert!((generator().normal::<f64>() - 0.841_238_745_965_408).abs() < 1e-14);
    let mut g = generator();
    assert_eq!([(); 8].map(|()| g.below(10)), [5, 1, 9, 0, 4, 2, 6, 2]);

    let mut column = [1.0_f32; 40];
    Dropout::new(0.25, 42).apply(3, 17, 5, &mut column);
    let mask: String = column.iter().map(|&x| if x == 0.0 { '0' } else { '1' }).collect();
    assert_eq!(mask, "1011111000111000111110101111110111100101");
    assert!(column.iter().all(|&x| x == 0.0 || x == 4.0 / 3.0));
}

#[test]
fn a_factor_is_that_of_its_row() {
    for probability in [0.0, 0.3] {
        let dropout = Dropout::new(probability, 9);
        let mut column = [1.0_f64; 200];
        dropout.apply(1 << 31, 17, 5, &mut column);
        for (row, &expected) in column.iter().enumerate() {
            assert_eq!(dropout.factor::<f64>(1 << 31, 17, 5, row as u32), expected, "row {row}");
        }
    }
}

#[test]
fn positions_beyond_the_stream_are_refused() {
    let at = |position| GeneratorState { position, ..Generator::new(1, 2).state() };
    let last = at((1 << 68) - 1);
    assert_eq!(Generator::from_state(last).unwrap().state(), last);
    for position in [1 << 68, (1 << 68) + 3, u128::MAX] {
        assert_eq!(Generator::from_state(at(position)).unwrap_err().position, position);
    }
}

proptest! {
    #[test]
    fn a_state_goes_on_where_it_was_taken(seed: u64, stream: u64, used in 0usize..300, far: bool) {
        let mut original = Generator::new(seed, stream);
        if far {
            // Beyond 2^32 blocks, where a narrower counter would have wrapped.
            let state = GeneratorState { seed, stream, position: (1 << 37) + 5 };
            original = Generator::from_state(state).unwrap();
            prop_assert_eq!(original.state(), state);
        }
        for _ in 0..used {
            original.next_u32();
        }
        let mut resumed = Generator::from_state(original.state()).unwrap();
        prop_assert_eq!(resumed.state(), original.state());
        for _ in 0..100 {
            prop_assert_eq!(resumed.next_u64(), original.next_u64());
        }
    }

    #[test]
    fn draws_stay_in_range(seed: u64, n in 1u64.., low in -1e3_f32..1e3, width in 0.0_f32..1e3) {
        let mut g = Generator::new(seed, 0);
        for _ in 0..50 {
            prop_assert!(g.below(n) < n);
            let u = g.uniform::<f32>();
            prop_assert!((0.0..1.0).contains(&u));
            let v = g.uniform_between(low, low + width);
            prop_assert!(low <= v && v <= low + width);
        }
    }

    #[test]
    fn a_dropout_mask_is_a_function_of_its_address(
        seed: u64, site: u32, step: u64, sequence: u64, rows in 1usize..200
    ) {
        let dropout = Dropout::new(0.5, seed);
        let mask = |site, step, sequence, rows| {
            let mut column = vec![1.0_f64; rows];
            dropout.apply(site, step, sequence, &mut column);
            column
        };
        let long = mask(site, step, sequence, 200);
        prop_assert_eq!(&mask(site, step, sequence, rows)[..], &long[..rows]);
        prop_assert_ne!(&mask(site ^ 1, step, sequence, 200), &long);
        prop_assert_ne!(&mask(site, step ^ (1 << 40), sequence, 200), &long);
        prop_assert_ne!(&mask(site, step, sequence ^ (1 << 40), 200), &long);
    }
}

#[test]
fn streams_and_seeds_differ() {
    let first = |seed, stream| Generator::new(seed, stream).next_u64();
    assert_ne!(first(1, 0), first(2, 0));
    assert_ne!(first(1, 0), first(1, 1));
}

#[test]
fn f32_is_the_beginning_of_f64() {
    let (mut single, mut double) = (Generator::new(9, 0), Generator::new(9, 0));
    for _ in 0..1000 {
        let (a, b) = (single.uniform::<f32>(), double.uniform::<f64>());
        assert!((0.0..2.0_f64.powi(-24)).contains(&(b - f64::from(a))));
    }
}

#[test]
fn draws_have_the_moments_of_their_distributions() {
    let mut g = Generator::new(1, 0);
    let n = 100_000;
    // Each bound is more than four standard deviations of the estimate.
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let uniform: Vec<f64> = (0..n).map(|_| g.uniform()).collect();
    assert!((mean(&uniform) - 0.5).abs() < 0.004);
    let normal: Vec<f64> = (0..n).map(|_| g.normal()).collect();
    assert!(mean(&normal).abs() < 0.014);
    let powers = |k: i32| mean(&normal.iter().map(|x| x.powi(k)).collect::<Vec<_>>());
    assert!((powers(2) - 1.0).abs() < 0.02);
    assert!((powers(4) - 3.0).abs() < 0.13);
    let mut counts = [0; 7];
    for _ in 0..70_000 {
        counts[g.below(7) as usize] += 1;
    }
    assert!(counts.iter().all(|&count: &i32| (count - 10_000).abs() < 400), "{counts:?}");
}

#[test]
fn a_shuffle_reaches_every_order_equally() {
    let mut g = Generator::new(5, 2);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..24_000 {
        let mut order = [0, 1, 2, 3];
        g.shuffle(&mut order);
        *counts.entry(order).or_insert(0_i32) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|count| (count - 1000).abs() < 130), "{counts:?}");
}

#[test]
fn dropout_drops_its_share_and_keeps_the_mean() {
    for probability in [0.1, 0.5, 0.9] {
        let dropout = Dropout::new(probability, 11);
        let mut column = vec![1.0_f32; 1000];
        let (mut dropped, mut sum) = (0, 0.0);
        for step in 0..100 {
            column.fill(1.0);
            dropout.apply(0, step, 0, &mut column);
            dropped += column.iter().filter(|&&x| x == 0.0).count();
            sum += column.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        assert!((dropped as f64 / 1e5 - probability).abs() < 0.007, "{dropped} at {probability}");
        assert!((sum / 1e5 - 1.0).abs() < 0.04, "{sum} at {probability}");
    }
    let mut column = [f64::NAN, 1.5];
    Dropout::new(0.0, 11).apply(0, 0, 0, &mut column);
    assert_eq!(column[1], 1.5);
}

#[test]
#[should_panic(expected = "a dropout probability of 1 is not in [0, 1)")]
fn certain_dropout_is_refused() {
    let _ = Dropout::new(1.0, 0);
}
