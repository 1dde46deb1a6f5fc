//! A stack through a batch step by step, for inputs that depend on earlier outputs: forward and,
//! underneath, backward.

use recurrent_cells::{Cell, Parameters};
use recurrent_kernels::{Columns, ColumnsMut, Compute, Real};

use crate::{Input, InputGradient, LayerState, Probe, Recorded, Stack, State, Tape};

/// A stack on its way through a batch: [`Stack::begin`].
pub struct Taping<'t, T, C> {
    pub(crate) stack: &'t Stack<C>,
    pub(crate) compute: &'t Compute,
    pub(crate) tape: &'t mut Tape<T>,
    /// The step to take next.
    pub(crate) next: usize,
}

impl<'t, T: Real, C: Cell> Taping<'t, T, C> {
    /// The step that [`advance`](Self::advance) takes next, from 0.
    pub fn step(&self) -> usize {
        self.next
    }

    /// Takes the next step through all layers and gives the last layer's h: `hidden_size` x the
    /// number of sequences that reach the step.
    ///
    /// # Panics
    /// If the input's shape does not fit, or no step is left.
    #[track_caller]
    pub fn advance(&mut self, input: Input<'_, T>) -> Columns<'_, T> {
        let (t, steps) = (self.next, self.tape.lengths.steps());
        assert!(t < steps, "all {steps} steps are taken");
        self.stack.check_input(input, self.tape.lengths.width(t));
        for index in 0..self.stack.layers.len() {
            self.stack.layer_forward(self.compute, index, input, t..t + 1, self.tape);
        }
        self.next += 1;
        self.output(t)
    }

    /// The last layer's h at a step that has been taken.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn output(&self, t: usize) -> Columns<'_, T> {
        assert!(t < self.next, "step {t} has not been taken");
        let offsets = self.tape.lengths.offsets();
        self.tape.output().columns_range(offsets[t]..offsets[t + 1])
    }

    /// All steps are taken.
    ///
    /// # Panics
    /// If some are not.
    #[track_caller]
    pub fn finish(self) -> Recorded<'t, T> {
        let steps = self.tape.lengths.steps();
        assert!(self.next == steps, "{} of {steps} steps are taken", self.next);
        Recorded { tape: self.tape }
    }
}

/// A stack on its way back through a batch: [`Stack::begin_backward`].
pub struct Retreating<'t, T, C> {
    pub(crate) stack: &'t Stack<C>,
    pub(crate) compute: &'t Compute,
    pub(crate) tape: &'t mut Tape<T>,
    /// The step after the one to undo next.
    pub(crate) next: usize,
}

impl<'t, T: Real, C: Cell> Retreating<'t, T, C> {
    /// The last layer's h at step `t`, and its gradient, to add to before the step is undone.
    ///
    /// # Panics
    /// If the step is undone already.
    #[track_caller]
    pub fn output_and_gradient(&mut self, t: usize) -> (Columns<'_, T>, ColumnsMut<'_, T>) {
        assert!(t < self.next, "step {t} is undone");
        let offsets = self.tape.lengths.offsets();
        let columns = offsets[t]..offsets[t + 1];
        let (output, d_output) = self.tape.output_and_gradient();
        (output.columns_range(columns.clone()), d_output.columns_range(columns))
    }

    /// Undoes the last step that is left, in all layers, and writes the gradient of its input to
    /// `d_x`. Gives the step.
    ///
    /// # Panics
    /// If the shape of `d_x` does not fit, or no step is left.
    #[track_caller]
    pub fn retreat(&mut self, d_x: Option<ColumnsMut<'_, T>>, probe: &impl Probe<T>) -> usize {
        assert!(self.next > 0, "all steps are undone");
        self.next -= 1;
        let t = self.next;
        for index in (0..self.stack.layers.len()).rev() {
            self.stack.layer_backward(self.compute, index, t..t + 1, self.tape, probe);
        }
        if let Some(d_x) = d_x {
            self.stack.check_input(Input::Columns(d_x.as_ref()), self.tape.lengths.width(t));
            self.stack.first_input_backward(self.compute, self.tape, t..t + 1, d_x);
        }
        t
    }

    /// All steps are undone: adds the gradients of the parameters.
    ///
    /// # Panics
    /// If some are not, or `input` does not fit.
    #[track_caller]
    pub fn finish(
        self,
        parameters: &Parameters<T>,
        input: InputGradient<'_, T>,
        gradients: &mut Parameters<T>,
    ) -> Reversed<'t, T> {
        assert!(self.next == 0, "{} steps are not undone", self.next);
        self.stack.check_gradient(&input, &self.tape.lengths);
        self.stack.finish_backward(self.compute, parameters, self.tape, input, gradients);
        Reversed { tape: self.tape }
    }
}

/// A batch that has been undone.
pub struct Reversed<'t, T> {
    pub(crate) tape: &'t mut Tape<T>,
}

impl<T: Real> Reversed<'_, T> {
    /// What the penalty of gradients ([`regularize_gradients`]) came to, weight included; 0 without
    /// one.
    ///
    /// [`regularize_gradients`]: crate::Regularization::regularize_gradients
    pub fn gradient_penalty(&self) -> f64 {
        self.tape.penalty
    }

    /// The gradient of the initial state, in the caller's order.
    pub fn initial_state_gradient(&self) -> State<T> {
        let lengths = &self.tape.lengths;
        let place: Vec<usize> =
            (0..lengths.batch()).map(|sequence| lengths.place(sequence)).collect();
        let blocks = self.tape.directions();
        let layers = blocks.map(|own| LayerState { h: own.d_h_0.clone(), c: own.d_c.clone() });
        let directions = self.tape.initial.directions;
        State { layers: layers.collect(), directions }.select_columns(&place)
    }
}
