//! What does not fit is refused by name.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call says when it panics.
#[track_caller]
pub(crate) fn said(call: impl FnOnce()) -> String {
    let caught = catch_unwind(AssertUnwindSafe(call)).expect_err("what does not fit was taken");
    caught.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// Sizes that fit are taken; where one is another, the kernel says so itself, in one of these words.
#[track_caller]
pub(crate) fn refuses_others<const N: usize>(
    sizes: [usize; N],
    words: &[&str],
    call: impl Fn([usize; N]),
) {
    call(sizes);
    for operand in 0..N {
        let mut others = sizes;
        others[operand] += 1;
        let said = said(|| call(others));
        let ours = words.iter().any(|words| said.contains(words));
        assert!(ours, "operand {operand} of {N}: {said}");
    }
}
