//! Equations over registers: the same bits as over one number, every place once, and no other.

use std::panic::catch_unwind;

use proptest::prelude::*;
use recurrent_kernels::{Elementwise, ElementwiseWork, Level, Numbers, Real, Vectors};

/// Every operation that equations may use, each in a result of its own.
#[derive(Clone, Copy)]
struct All;

impl<T: Real> Elementwise<T, 8, 2> for All {
    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(&self, changed: [N; 8], [a, b]: [N; 2]) -> [N; 8] {
        let three = a.all(T::from_f64(3.0));
        [
            -a + b * three,
            a / b,
            a.mul_add(b, changed[2]),
            a.abs(),
            a.if_less(b, three, changed[4]),
            a.if_at_most(b, three, changed[5]),
            a.with_sign_of(b),
            changed[7] - changed[0],
        ]
    }
}

struct Work<'a, T>([&'a mut [T]; 8], [&'a [T]; 2]);

impl<T: Real> ElementwiseWork for Work<'_, T> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        vectors.elementwise(&All, self.0, self.1);
    }
}

/// `pairs` at every level against one number at a time, with a margin that must stay as it is.
fn registers_against_numbers<T: Real>(pairs: &[(f64, f64)]) {
    const MARGIN: usize = 3;
    let length = pairs.len();
    let a: Vec<T> = pairs.iter().map(|&(a, _)| T::from_f64(a)).collect();
    let b: Vec<T> = pairs.iter().map(|&(_, b)| T::from_f64(b)).collect();
    let before = |k: usize, place: usize| T::from_f64(0.25 * k as f64 - 0.5 * place as f64 + 1.0);
    for level in Level::available() {
        let mut vectors: [Vec<T>; 8] =
            std::array::from_fn(|k| (0..length + MARGIN).map(|place| before(k, place)).collect());
        let changed = vectors.each_mut().map(|vector| &mut vector[..length]);
        level.run_elementwise(Work(changed, [&a, &b]));
        for place in 0..length + MARGIN {
            let mut expected: [T; 8] = std::array::from_fn(|k| before(k, place));
            if place < length {
                expected = All.apply(expected, [a[place], b[place]]);
            }
            for (k, expected) in expected.into_iter().enumerate() {
                let (found, expected) = (vectors[k][place].to_f64(), expected.to_f64());
                let same =
                    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
                assert!(same, "{level:?}, result {k} at {place}: {found} and not {expected}");
            }
        }
    }
}

/// Numbers of every kind.
fn number() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, -f64::INFINITY, 1e-310, f64::MAX];
    prop_oneof![any::<f64>(), -2.0..2.0, prop::sample::select(special.to_vec())]
}

proptest! {
    #[test]
    fn registers_give_the_bits_of_single_numbers(
        pairs in prop::collection::vec((number(), number()), 0..150)
    ) {
        registers_against_numbers::<f32>(&pairs);
        registers_against_numbers::<f64>(&pairs);
    }
}

#[test]
fn vectors_of_different_lengths_are_refused() {
    for (first, other) in [(5, 6), (6, 5), (0, 1)] {
        let result = catch_unwind(|| {
            let mut vectors: [Vec<f32>; 8] = std::array::from_fn(|_| vec![1.0; first]);
            let changed = vectors.each_mut().map(Vec::as_mut_slice);
            let (a, b) = (vec![1.0; first], vec![1.0; other]);
            Level::SCALAR.run_elementwise(Work(changed, [&a, &b]));
        });
        let message = *result.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("cannot go through equations together"), "{message}");
    }
}
