//! Stacks against cells written as scalar loops.

use recurrent_cells::{Cell, CellSlots};
use recurrent_kernels::random::Dropout;
use recurrent_kernels::{Compute, Matrix};
use recurrent_topologies::{Directions, Regularization, Tape};

use super::run::{noise, run};
use super::{Seen, Subject, for_cases};
use crate::case::{Case, flat, shapes};
use crate::oracle::{Next, Weights};

/// Outputs and final states are those of scalar loops over each sequence alone, with the same numbers
/// dropped between layers, and with learned initial states by their names where documents begin.
///
/// # Panics
/// With the smallest case that is not.
pub fn outputs_agree<C: Cell>(subject: &Subject<C>) -> Seen {
    for_cases(subject, 128, shapes(9, 5), |shape| {
        let case = shape.build::<C, f64>(subject.cell);
        let entries = case.parameters.layout().entries();
        let is_learned = entries.iter().any(|entry| entry.name == "h_0_l0");
        assert!(is_learned == shape.options.learned_initial_state, "another h_0_l0");
        let (output, last) = run(&case, &Compute::sequential(), noise(&case), &mut Tape::new());
        let output = Matrix::from_columns(output, case.stack.output_size(), case.lengths.columns());
        let numbers = output.as_slice().iter().chain(&last);
        let largest = numbers.fold(1.0, |largest: f64, x| largest.max(x.abs()));
        let mut expected_last = case.initial.clone();
        for sequence in 0..case.lengths.batch() {
            let (outputs, states) = sequence_by_oracle(subject, &case, &shape.resets, sequence);
            for (t, expected) in outputs.iter().enumerate() {
                let got = output.as_ref().column(case.lengths.column(sequence, t));
                assert_close(&format!("sequence {sequence}, step {t}"), got, expected, largest);
            }
            for (target, (h, c)) in expected_last.layers.iter_mut().zip(states) {
                target.h.as_mut().column(sequence).copy_from_slice(&h);
                target.c.as_mut().column(sequence).copy_from_slice(&c);
            }
        }
        assert_close("final state", &last, &flat(&expected_last), largest);
        Ok(())
    })
}

/// The last layer's output at every step of one sequence, and the final h and c of every layer and
/// direction.
fn sequence_by_oracle<C: Cell>(
    subject: &Subject<C>,
    case: &Case<C, f64>,
    resets: &[(usize, usize)],
    sequence: usize,
) -> (Vec<Vec<f64>>, Vec<Next>) {
    let length = case.lengths.length(sequence);
    let mut inputs: Vec<Vec<f64>> = (0..length)
        .map(|t| case.x.as_ref().column(case.lengths.column(sequence, t)).to_vec())
        .collect();
    let learned = |name: String, rows: usize| {
        let entries = case.parameters.layout().entries();
        match entries.iter().find(|entry| entry.name == name) {
            Some(entry) => case.parameters.slice(entry.slot).to_vec(),
            None => vec![0.0; rows],
        }
    };
    let noise = noise(case);
    let options = case.stack.options();
    let Regularization { input_dropout, output_dropout, variational, .. } = options.regularization;
    let Regularization { zoneout, zoneout_cell, weight_dropout, .. } = options.regularization;
    // What is dropped from a column of step t, at this place of the stack.
    let drop = |share: f64, place: usize, t: usize, x: &mut [f64]| {
        let Some(noise) = noise else { return };
        let step = noise.first_step + if variational { 0 } else { t as u64 };
        Dropout::new(share, noise.seed).apply(place as u32, step, sequence as u64, x);
    };
    // What stays of the state before a step, at this place of masks.
    let keep = |share: f64, place: usize, t: usize, before: &[f64], after: &mut [f64]| {
        let mut kept = vec![share; after.len()];
        if let Some(noise) = noise {
            kept.fill(1.0);
            let masks = Dropout::new(share, noise.seed);
            let step = noise.first_step + t as u64;
            masks.apply((1 << 29) + place as u32, step, sequence as u64, &mut kept);
            kept.iter_mut().for_each(|m| *m = if *m == 0.0 { 1.0 } else { 0.0 });
        }
        for ((after, before), m) in after.iter_mut().zip(before).zip(kept) {
            *after = m * before + (1.0 - m) * *after;
        }
    };
    let directions = options.directions.count();
    let cells: Vec<_> = case.stack.cells().collect();
    let mut finals = Vec::new();
    for (layer, cells) in cells.chunks(directions).enumerate() {
        let share = if layer == 0 { input_dropout } else { options.dropout };
        inputs.iter_mut().enumerate().for_each(|(t, x)| drop(share, layer, t, x));
        let mut outputs = vec![Vec::new(); length];
        for (direction, (_, slots)) in cells.iter().enumerate() {
            let block = layer * directions + direction;
            let initial = &case.initial.layers[block];
            let mut h = initial.h.as_ref().column(sequence).to_vec();
            let mut c = initial.c.as_ref().column(sequence).to_vec();
            let reverse = direction == 1 || options.directions == Directions::Reverse;
            let mut steps: Vec<usize> = (0..length).collect();
            if reverse {
                steps.reverse();
            }
            for t in steps {
                // The border that is crossed on the way to step t.
                let border = if reverse { t + 1 } else { t };
                if resets.contains(&(sequence, border)) {
                    let suffix = if direction == 1 { "_reverse" } else { "" };
                    h = learned(format!("h_0_l{layer}{suffix}"), h.len());
                    c = learned(format!("c_0_l{layer}{suffix}"), c.len());
                }
                let hh = |row: usize, column: usize| {
                    let mut weight = case.parameters.get(slots.weight_hh).column(column).to_vec();
                    if let Some(noise) = noise {
                        let masks = Dropout::new(weight_dropout, noise.seed);
                        let site = (1 << 30) + block as u32;
                        masks.apply(site, noise.first_step, column as u64, &mut weight);
                    }
                    weight[row]
                };
                let (before_h, before_c) = (h, c);
                (h, c) = step(subject, case, slots, &hh, &inputs[t], &before_h, &before_c);
                keep(zoneout, 2 * block, t, &before_h, &mut h);
                keep(zoneout_cell, 2 * block + 1, t, &before_c, &mut c);
                outputs[t].extend_from_slice(&h);
            }
            finals.push((h, c));
        }
        inputs = outputs;
    }
    let layers = cells.len() / directions;
    inputs.iter_mut().enumerate().for_each(|(t, x)| drop(output_dropout, layers, t, x));
    (inputs, finals)
}

fn step<C: Cell>(
    subject: &Subject<C>,
    case: &Case<C, f64>,
    slots: &CellSlots,
    hh: &dyn Fn(usize, usize) -> f64,
    x: &[f64],
    h: &[f64],
    c: &[f64],
) -> Next {
    let parameters = &case.parameters;
    let ih = parameters.get(slots.weight_ih);
    let hr = slots.weight_hr.map(|slot| parameters.get(slot));
    let vector = |slot: Option<_>| slot.map_or(&[][..], |slot| parameters.slice(slot));
    let weights = Weights {
        ih: &|row, column| ih.column(column)[row],
        hh,
        bias_ih: vector(slots.bias_ih),
        bias_hh: vector(slots.bias_hh),
        hr: &|row, column| hr.expect("a cell that projects").column(column)[row],
        peephole: vector(slots.weight_peephole),
        norm: vector(slots.weight_norm),
    };
    (subject.oracle)(&weights, x, h, c)
}

/// Within rounding of the largest number: without an activation numbers grow, and differences of
/// large ones keep their rounding.
fn assert_close(what: &str, got: &[f64], expected: &[f64], largest: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-12 * largest, "{what}: {got} and {expected}");
    }
}
