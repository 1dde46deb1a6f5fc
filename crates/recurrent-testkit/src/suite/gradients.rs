//! Backpropagation through time against central differences, in f64: the gradients of every
//! parameter, of every input, of h_0 and c_0.

use std::cell::RefCell;

use recurrent_cells::Cell;
use recurrent_kernels::Compute;
use recurrent_topologies::Tape;

use super::run::{Way, Weighting, add_gradients, noise, run};
use super::{Seen, Subject, for_cases};
use crate::case::{Case, fill_state, flat, shapes};
use crate::gradient::{Comparison, MOST_SKIPPED, added, compare_gradient};

/// Every gradient agrees with central differences (relative 1e-6, absolute 1e-8).
///
/// # Panics
/// With the smallest case that does not; or if more than 1 % of the elements had to be skipped for a
/// kink, or any of a cell that has none.
pub fn gradients_agree<C: Cell>(subject: &Subject<C>) -> Seen {
    let total = RefCell::new(Comparison::default());
    let mut seen = for_cases(subject, 64, shapes(4, 4), |shape| {
        let mut case = shape.build::<C, f64>(subject.cell);
        let found = compare(&mut case);
        assert!(found.worst <= 1.0, "{} ({:.1} times the tolerance)", found.place, found.worst);
        total.borrow_mut().add(found);
        Ok(())
    });
    seen.comparison = total.into_inner();
    let Comparison { pairs, skipped, .. } = seen.comparison;
    let most = if subject.has_kinks { MOST_SKIPPED * pairs as f64 } else { 0.0 };
    assert!(
        skipped as f64 <= most,
        "{}: {skipped} of {pairs} elements have a kink beside them; at most {most} may",
        subject.name
    );
    seen
}

fn compare<C: Cell>(case: &mut Case<C, f64>) -> Comparison {
    let weighting = Weighting::new(case);
    let compute = Compute::sequential();
    let mut tape = Tape::new();
    // Half of the cases with a learned initial state begin from it.
    let begins_learned =
        case.stack.options().learned_initial_state && case.x.rows().is_multiple_of(2);
    let mut loss = |case: &mut Case<C, f64>| {
        if begins_learned {
            case.initial = case.stack.initial_state(&case.parameters, case.lengths.batch());
        }
        let (output, last) = run(case, &compute, noise(case), &mut tape);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&output, weighting.output.as_slice()) + dot(&last, &flat(&weighting.state))
    };

    loss(case);
    let mut found = None;
    let gradients = added(1.0, &case.parameters, |gradients| {
        let (way, tape) = (Way::AtOnce, &mut Tape::new());
        let own = add_gradients(case, &weighting, &compute, way, tape, gradients);
        if begins_learned {
            let mut d_initial = case.initial.clone();
            fill_state(&mut d_initial, &own.initial);
            case.stack.initial_state_backward(&d_initial, gradients);
        }
        found = Some(own);
    });
    let found = found.expect("backward was run");

    // The gaps between parameters take part: they must have no effect and no gradient.
    let mut point = case.parameters.as_slice().to_vec();
    let mut all = compare_gradient("parameters", &mut point, gradients.as_slice(), |point| {
        case.parameters.as_mut_slice().copy_from_slice(point);
        loss(case)
    });
    case.parameters.as_mut_slice().copy_from_slice(&point);

    let mut point = case.x.as_slice().to_vec();
    all.add(compare_gradient("x", &mut point, &found.x, |point| {
        case.x.as_mut_slice().copy_from_slice(point);
        loss(case)
    }));
    case.x.as_mut_slice().copy_from_slice(&point);

    if begins_learned {
        return all;
    }
    let mut point = flat(&case.initial);
    all.add(compare_gradient("initial state", &mut point, &found.initial, |point| {
        fill_state(&mut case.initial, point);
        loss(case)
    }));
    fill_state(&mut case.initial, &point);
    all
}
