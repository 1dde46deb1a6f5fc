//! What every recurrent cell must keep, as checks over drawn stacks: depth, directions, ragged
//! lengths, resets, dropout, learned initial states.
//!
//! [`cell_suite!`](crate::cell_suite) makes tests of them for a cell of your own; each check can also
//! be called, and tells what it saw.

mod equal_bits;
mod gradients;
mod oracle;
mod precision;
mod run;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use recurrent_cells::Cell;

pub use equal_bits::{
    garbage_changes_nothing, levels_agree, order_changes_nothing, pieces_are_the_whole,
    step_by_step_is_at_once, threads_agree, together_is_alone_is_streamed,
};
pub use gradients::gradients_agree;
pub use oracle::outputs_agree;
pub use precision::single_precision_is_close;

use crate::gradient::Comparison;
use crate::oracle::{Next, Weights};

/// A cell under test.
pub struct Subject<C> {
    /// Its name in messages and tables.
    pub name: &'static str,
    /// Makes one from the numbers that it reads and its units.
    pub cell: fn(usize, usize) -> C,
    /// One step as a scalar loop: from x, h and c to h and c. c is empty for a cell without one.
    pub oracle: fn(&Weights<'_>, &[f64], &[f64], &[f64]) -> Next,
    /// Its equations have kinks, such as those of a relu or a clip.
    pub has_kinks: bool,
    /// Decides, with the name, which cases are drawn: the same seed, the same cases.
    pub seed: u64,
}

/// What a check has seen, if it found no fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Drawn cases.
    pub cases: usize,
    /// For gradients: elements compared, and those skipped for a kink.
    pub comparison: Comparison,
}

/// A check by name.
pub type Check<C> = fn(&Subject<C>) -> Seen;

/// Every check, in the order of a table's columns.
pub fn checks<C: Cell>() -> [(&'static str, Check<C>); 15] {
    [
        ("oracle", outputs_agree),
        ("gradients", gradients_agree),
        ("f32 against f64", single_precision_is_close),
        ("alone, streamed: f32", together_is_alone_is_streamed::<C, f32>),
        ("alone, streamed: f64", together_is_alone_is_streamed::<C, f64>),
        ("batch order: f32", order_changes_nothing::<C, f32>),
        ("batch order: f64", order_changes_nothing::<C, f64>),
        ("garbage: f32", garbage_changes_nothing::<C, f32>),
        ("garbage: f64", garbage_changes_nothing::<C, f64>),
        ("threads: f32", threads_agree::<C, f32>),
        ("threads: f64", threads_agree::<C, f64>),
        ("instruction sets: f32", levels_agree::<C, f32>),
        ("instruction sets: f64", levels_agree::<C, f64>),
        ("pieces", pieces_are_the_whole),
        ("step by step", step_by_step_is_at_once),
    ]
}

/// Runs `check` on `cases` drawn values; the smallest that fails is the one reported.
///
/// # Panics
/// With that value and its message.
#[track_caller]
fn for_cases<C, S: Strategy>(
    subject: &Subject<C>,
    cases: u32,
    strategy: S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> Seen {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&subject.seed.to_le_bytes());
    // Each subject has cases of its own.
    for (place, byte) in subject.name.bytes().enumerate() {
        seed[8 + place % 24] ^= byte.rotate_left(place as u32 / 24);
    }
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let name = subject.name;
    match TestRunner::new_with_rng(config, random).run(&strategy, check) {
        Ok(()) => Seen { cases: cases as usize, ..Seen::default() },
        Err(TestError::Fail(reason, value)) => panic!("{name}: {reason}\nof {value:?}"),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Makes a module of tests for each cell, one test a check:
///
/// ```ignore
/// recurrent_testkit::cell_suite! {
///     my_cell: my_subject();
/// }
/// ```
#[macro_export]
macro_rules! cell_suite {
    ($($name:ident: $subject:expr;)+) => {
        $($crate::cell_suite!(@module $name, $subject,
            outputs_agree, gradients_agree, single_precision_is_close,
            pieces_are_the_whole, step_by_step_is_at_once;
            together_is_alone_is_streamed, order_changes_nothing, garbage_changes_nothing,
            threads_agree, levels_agree);)+
    };
    (@module $name:ident, $subject:expr, $($check:ident),+; $($both:ident),+) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $check() {
                $crate::suite::$check(&$subject);
            })+
            mod in_f32 {
                #[allow(unused_imports)]
                use super::*;
                $(#[test]
                fn $both() {
                    $crate::suite::$both::<_, f32>(&$subject);
                })+
            }
            mod in_f64 {
                #[allow(unused_imports)]
                use super::*;
                $(#[test]
                fn $both() {
                    $crate::suite::$both::<_, f64>(&$subject);
                })+
            }
        }
    };
}
