//! Layers upon layers: a stack of cells through time, forward and, underneath, backward.

use std::ops::Range;

use recurrent_cells::{Cell, CellSlots, Layout, Parameters};
use recurrent_kernels::random::Dropout;
use recurrent_kernels::{Accum, ColumnsMut, Compute, Real};

use crate::layer::input_product;
use crate::tape::{LayerTape, Turned};
use crate::{
    Input, InputGradient, Lengths, Probe, Recorded, Retreating, Reversed, State, Tape, Taping,
};

/// Several layers of cells, each reading h of the one below, with dropout between them.
#[derive(Clone, Debug)]
pub struct Stack<C> {
    pub(crate) layers: Vec<(C, CellSlots)>,
    dropout: f64,
}

/// What decides which numbers dropout sets to zero. A mask depends only on these two, the layer,
/// the step, the sequence and the row, never on threads or on the order of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// The number of the batch's first step, counted over the whole training.
    pub first_step: u64,
}

impl<C> Stack<C> {
    /// A stack of `cells`, first layer first, with PyTorch's parameter names:
    /// `{prefix}weight_ih_l0` and so on. During training, h of each layer but the last is dropped
    /// with probability `dropout` on its way up, as in PyTorch.
    ///
    /// # Panics
    /// If there is no cell, if a cell does not read what the one below gives, or if `dropout` is
    /// not in [0, 1).
    #[track_caller]
    pub fn add(layout: &mut Layout, prefix: &str, cells: Vec<C>, dropout: f64) -> Self
    where
        C: Cell,
    {
        assert!(!cells.is_empty(), "a stack needs at least one layer");
        assert!((0.0..1.0).contains(&dropout), "a dropout of {dropout} is not in [0, 1)");
        for (index, pair) in cells.windows(2).enumerate() {
            let (below, above) = (pair[0].shape().hidden_size, pair[1].shape().input_size);
            assert!(
                below == above,
                "layer {index} gives {below} numbers, layer {} reads {above}",
                index + 1
            );
        }
        let layers = cells
            .into_iter()
            .enumerate()
            .map(|(index, cell)| {
                let slots = CellSlots::add(layout, cell.shape(), prefix, &format!("_l{index}"));
                (cell, slots)
            })
            .collect();
        Stack { layers, dropout }
    }

    /// Each layer's cell and where its parameters lie, first layer first.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (&C, &CellSlots)> {
        self.layers.iter().map(|(cell, slots)| (cell, slots))
    }

    /// A state of zeros for `batch` sequences.
    pub fn zero_state<T: Real>(&self, batch: usize) -> State<T>
    where
        C: Cell,
    {
        State::zeros(self.layers.iter().map(|(cell, _)| cell), batch)
    }

    /// Gets ready for a batch: the step-by-step way, for inputs that depend on earlier outputs.
    /// `noise` is given in training and left out elsewhere.
    ///
    /// # Panics
    /// If `initial` does not fit.
    #[track_caller]
    pub fn begin<'t, T: Real>(
        &'t self,
        compute: &'t Compute,
        parameters: &Parameters<T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut Tape<T>,
    ) -> Taping<'t, T, C>
    where
        C: Cell,
    {
        self.prepare(compute, parameters, initial, lengths, noise, tape, true);
        Taping { stack: self, compute, tape, next: 0 }
    }

    /// A whole batch whose inputs are known: every layer's input product is one product over all
    /// steps. Gives the same bits as [`begin`](Self::begin) and one [`Taping::advance`] a step.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn run<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        input: Input<'_, T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut Tape<T>,
    ) -> Recorded<'t, T>
    where
        C: Cell,
    {
        self.check_input(input, lengths.columns());
        let pack_input = matches!(input, Input::Columns(_));
        self.prepare(compute, parameters, initial, lengths, noise, tape, pack_input);
        for index in 0..self.layers.len() {
            self.layer_forward(compute, index, input, 0..lengths.steps(), tape);
        }
        Recorded { tape }
    }

    #[track_caller]
    fn prepare<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &mut Tape<T>,
        pack_first_input: bool,
    ) where
        C: Cell,
    {
        tape.prepare(self.layers.iter().map(|(cell, _)| cell), lengths, initial, noise);
        for (index, (layer, (cell, slots))) in tape.layers.iter_mut().zip(&self.layers).enumerate()
        {
            layer.pack(compute, cell, slots, parameters, index > 0 || pack_first_input);
        }
    }

    /// Takes one layer through `steps`; `input` holds the first layer's columns of these steps.
    pub(crate) fn layer_forward<T: Real>(
        &self,
        compute: &Compute,
        index: usize,
        input: Input<'_, T>,
        steps: Range<usize>,
        tape: &mut Tape<T>,
    ) where
        C: Cell,
    {
        let Tape { layers, initial, lengths, noise, .. } = tape;
        let noise = *noise;
        let columns = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
        let (below, rest) = layers.split_at_mut(index);
        let layer = &mut rest[0];
        let input = match below.last() {
            None => input,
            Some(below) => {
                self.read_below(compute, layer, below, index, lengths, noise, steps.clone());
                let dropped = self.dropout(noise).is_some();
                let x = if dropped { layer.x.as_ref() } else { below.h.as_ref() };
                Input::Columns(x.columns_range(columns.clone()))
            }
        };
        input_product(&layer.packed, compute, layer.gates.as_mut().columns_range(columns), input);
        let (cell, _) = &self.layers[index];
        layer.forward(compute, cell, lengths, &initial.layers[index], steps);
    }

    /// Copies h of the layer below and drops some of it, where there is dropout.
    fn read_below<T: Real>(
        &self,
        compute: &Compute,
        layer: &mut LayerTape<T>,
        below: &LayerTape<T>,
        index: usize,
        lengths: &Lengths,
        noise: Option<Noise>,
        steps: Range<usize>,
    ) {
        let Some((dropout, noise)) = self.dropout(noise) else {
            layer.x.resize(0, 0);
            return;
        };
        layer.x.resize(below.h.rows(), below.h.columns());
        for t in steps {
            let columns = lengths.offsets()[t]..lengths.offsets()[t + 1];
            let (order, h) = (lengths.order(), below.h.as_ref().columns_range(columns.clone()));
            let x = layer.x.as_mut().columns_range(columns);
            let step = noise.first_step + t as u64;
            compute.split((x, 0..h.columns()), 16, &|(mut x, places): (
                ColumnsMut<'_, T>,
                Range<usize>,
            )| {
                for (j, place) in places.enumerate() {
                    x.column(j).copy_from_slice(h.column(place));
                    dropout.apply(index as u32, step, order[place] as u64, x.column(j));
                }
            });
        }
    }

    /// Undoes [`read_below`](Self::read_below): adds the gradient of what `layer` read at `steps`
    /// to that of the layer below, through the same masks.
    fn read_below_backward<T: Real>(
        &self,
        compute: &Compute,
        layer: &mut LayerTape<T>,
        below: &mut LayerTape<T>,
        index: usize,
        lengths: &Lengths,
        noise: Option<Noise>,
        steps: Range<usize>,
    ) {
        let columns = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
        let d_gates = layer.gates.as_ref().columns_range(columns.clone());
        let mut d_h = below.d_h.as_mut().columns_range(columns.clone());
        let Some((dropout, noise)) = self.dropout(noise) else {
            layer.packed_backward.input_product(compute, d_h, Accum::Add, d_gates);
            return;
        };
        // What is in d_h already did not pass the mask, so the masked part is made apart.
        layer.d_x.resize(d_h.rows(), lengths.columns());
        let mut d_x = layer.d_x.as_mut().columns_range(columns);
        layer.packed_backward.input_product(compute, d_x.reborrow(), Accum::Replace, d_gates);
        for t in steps.clone() {
            let first = lengths.offsets()[t] - lengths.offsets()[steps.start];
            let width = lengths.width(t);
            let (order, step) = (lengths.order(), noise.first_step + t as u64);
            let d_x = d_x.reborrow().columns_range(first..first + width);
            compute.split((d_x, 0..width), 16, &|(mut d_x, places): (
                ColumnsMut<'_, T>,
                Range<usize>,
            )| {
                for (j, place) in places.enumerate() {
                    dropout.apply(index as u32, step, order[place] as u64, d_x.column(j));
                }
            });
        }
        d_h.add(d_x.as_ref());
    }

    /// The masks, if there are any in this pass.
    fn dropout(&self, noise: Option<Noise>) -> Option<(Dropout, Noise)> {
        let noise = noise.filter(|_| self.dropout > 0.0 && self.layers.len() > 1)?;
        Some((Dropout::new(self.dropout, noise.seed), noise))
    }

    /// Undoes [`run`](Self::run): from the gradients in `turned` to those of the parameters, of
    /// the input, and of the initial state, which [`Reversed`] hands out. The dropout masks are
    /// those of forward.
    ///
    /// # Panics
    /// If the tape is another stack's, or `input` does not fit.
    #[track_caller]
    pub fn run_backward<'t, T: Real>(
        &self,
        turned: Turned<'t, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        input: InputGradient<'_, T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Reversed<'t, T>
    where
        C: Cell,
    {
        let tape = turned.tape;
        self.check_gradient(&input, &tape.lengths);
        self.pack_backward(compute, parameters, tape);
        let steps = 0..tape.lengths.steps();
        for index in (0..self.layers.len()).rev() {
            self.layer_backward(compute, index, steps.clone(), tape, probe);
        }
        self.finish_backward(compute, parameters, tape, input, gradients);
        Reversed { tape }
    }

    /// Gets ready to go back step by step, as [`begin`](Self::begin) goes forward.
    ///
    /// # Panics
    /// If the tape is another stack's.
    #[track_caller]
    pub fn begin_backward<'t, T: Real>(
        &'t self,
        turned: Turned<'t, T>,
        compute: &'t Compute,
        parameters: &Parameters<T>,
    ) -> Retreating<'t, T, C>
    where
        C: Cell,
    {
        self.pack_backward(compute, parameters, turned.tape);
        let (cell, slots) = &self.layers[0];
        let first = &mut turned.tape.layers[0];
        first.packed_backward.pack_input(compute.level(), cell, slots, parameters);
        let next = turned.tape.lengths.steps();
        Retreating { stack: self, compute, tape: turned.tape, next }
    }

    #[track_caller]
    fn pack_backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut Tape<T>,
    ) where
        C: Cell,
    {
        let level = compute.level();
        self.check_tape(tape);
        for (index, (layer, (cell, slots))) in tape.layers.iter_mut().zip(&self.layers).enumerate()
        {
            layer.packed_backward.pack(level, slots, parameters);
            if index > 0 {
                layer.packed_backward.pack_input(level, cell, slots, parameters);
            }
        }
    }

    /// Undoes `steps` of one layer and adds the gradient of what it read to the layer below.
    pub(crate) fn layer_backward<T: Real>(
        &self,
        compute: &Compute,
        index: usize,
        steps: Range<usize>,
        tape: &mut Tape<T>,
        probe: &impl Probe<T>,
    ) where
        C: Cell,
    {
        let Tape { layers, initial, lengths, noise, .. } = tape;
        let noise = *noise;
        let (below, rest) = layers.split_at_mut(index);
        let layer = &mut rest[0];
        let (cell, _) = &self.layers[index];
        let initial = &initial.layers[index];
        layer.backward(compute, cell, lengths, initial, steps.clone(), (index, probe));
        if let Some(below) = below.last_mut() {
            self.read_below_backward(compute, layer, below, index, lengths, noise, steps);
        }
    }

    /// The gradients that need all steps: one product a parameter.
    pub(crate) fn finish_backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut Tape<T>,
        input: InputGradient<'_, T>,
        gradients: &mut Parameters<T>,
    ) where
        C: Cell,
    {
        let Tape { layers, initial, lengths, noise, previous, d_bias } = tape;
        let noise = *noise;
        for (index, (cell, slots)) in self.layers.iter().enumerate() {
            let (layer, initial) = (&layers[index], &initial.layers[index]);
            let scratch = (&mut *previous, &mut *d_bias);
            layer.recurrent_gradients(compute, cell, slots, lengths, initial, scratch, gradients);
            if index > 0 {
                let dropped = self.dropout(noise).is_some();
                let x = if dropped { &layer.x } else { &layers[index - 1].h };
                layer.input_gradients(compute, slots, x.as_ref(), gradients);
            }
        }
        let (cell, slots) = &self.layers[0];
        let first = &mut layers[0];
        match input {
            InputGradient::Columns { x, d_x } => {
                first.input_gradients(compute, slots, x, gradients);
                if let Some(d_x) = d_x {
                    first.packed_backward.pack_input(compute.level(), cell, slots, parameters);
                    let d_gates = first.gates.as_ref();
                    first.packed_backward.input_product(compute, d_x, Accum::Replace, d_gates);
                }
            }
            InputGradient::Table { tokens, d_table } => {
                first.table_gradients(compute, tokens, d_table);
            }
        }
    }

    #[track_caller]
    pub(crate) fn check_input<T: Real>(&self, input: Input<'_, T>, expected: usize)
    where
        C: Cell,
    {
        let shape = self.layers[0].0.shape();
        let (rows, wanted, columns) = match input {
            Input::Columns(x) => (x.rows(), shape.input_size, x.columns()),
            Input::Table { table, tokens } => (table.rows(), shape.weight_ih_rows, tokens.len()),
        };
        assert!(
            rows == wanted && columns == expected,
            "an input of {rows} rows x {columns} columns does not fit a stack that reads {wanted} \
             rows and a batch of {expected} columns"
        );
    }

    #[track_caller]
    pub(crate) fn check_gradient<T: Real>(&self, input: &InputGradient<'_, T>, lengths: &Lengths)
    where
        C: Cell,
    {
        match input {
            InputGradient::Columns { x, d_x } => {
                self.check_input(Input::Columns(*x), lengths.columns());
                if let Some(d_x) = d_x {
                    self.check_input(Input::Columns(d_x.as_ref()), lengths.columns());
                }
            }
            InputGradient::Table { tokens, d_table } => {
                let table = d_table.as_ref();
                self.check_input(Input::Table { table, tokens }, lengths.columns());
                let size = table.columns();
                if let Some(token) = tokens.iter().find(|&&token| token as usize >= size) {
                    panic!("token {token} is outside a table of {size} columns");
                }
            }
        }
    }

    /// A tape must have been recorded by a stack of the same cells.
    #[track_caller]
    fn check_tape<T: Real>(&self, tape: &Tape<T>)
    where
        C: Cell,
    {
        let same = tape.layers.len() == self.layers.len()
            && tape.layers.iter().zip(&self.layers).all(|(layer, (cell, _))| layer.is_for(cell));
        assert!(same, "the tape was recorded by another stack");
    }
}
