//! A stack that runs whole batches, again and again, with weights that stay.

use std::ops::Deref;

use recurrent_cells::{Cell, Parameters};
use recurrent_kernels::{Compute, Real};

use crate::{Input, LayerState, Lengths, Recorded, Stack, State, Tape};

/// A stack with weights packed once, for inference over whole batches: [`Stack::run`] packs them at
/// every pass, because in training they have changed. The bits are the same.
///
/// It owns its copy of the weights: parameters that change later do not reach it. Buffers are kept
/// from batch to batch; with one thread a batch no larger than an earlier one allocates nothing.
pub struct StackInference<T, C> {
    compute: Compute,
    stack: Stack<C>,
    tape: Tape<T>,
    /// What documents in the middle of sequences begin from, one column for each cell.
    begin: Vec<LayerState<T>>,
}

impl<T: Real, C: Cell> StackInference<T, C> {
    /// Packs the weights of `stack`.
    pub fn new(compute: &Compute, stack: &Stack<C>, parameters: &Parameters<T>) -> Self {
        let (stack, mut tape) = (stack.clone(), Tape::new());
        tape.prepare(&stack.layers, &Lengths::equal(1, 1), &stack.zero_state(1), None, false);
        stack.pack(compute, parameters, &mut tape, true);
        let begin = stack.initial_state(parameters, 1).layers;
        StackInference { compute: compute.clone(), stack, tape, begin }
    }

    /// Takes a whole batch from `initial` on and gives h at every step and the final state, but no
    /// way back: the gates are forgotten on the way.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn run(
        &mut self,
        input: Input<'_, T>,
        initial: &State<T>,
        lengths: &Lengths,
    ) -> Inferred<'_, T> {
        let StackInference { compute, stack, tape, begin } = self;
        stack.check_input(input, lengths.columns());
        let zoneout = stack.zoneout(0, None).is_some();
        tape.prepare(&stack.layers, lengths, initial, None, zoneout);
        let batch = if lengths.has_resets() { lengths.batch() } else { 0 };
        for (direction, begin) in tape.directions_mut().zip(begin) {
            let blocks = [(&mut direction.afresh.h, &begin.h), (&mut direction.afresh.c, &begin.c)];
            for (block, column) in blocks {
                block.resize(column.rows(), batch);
                for j in 0..batch {
                    block.as_mut().column(j).copy_from_slice(column.as_slice());
                }
            }
        }
        for index in 0..stack.layers.len() {
            stack.layer_forward(compute, index, input, 0..lengths.steps(), tape);
        }
        Inferred(Recorded { tape })
    }
}

/// What came of a batch: all that a [`Recorded`] tells. It cannot be turned round.
pub struct Inferred<'t, T>(Recorded<'t, T>);

impl<'t, T> Deref for Inferred<'t, T> {
    type Target = Recorded<'t, T>;
    fn deref(&self) -> &Recorded<'t, T> {
        &self.0
    }
}
