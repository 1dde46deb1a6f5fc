//! A stack through a whole batch: layer upon layer forward and, underneath, backward.

use std::ops::Range;

use recurrent_cells::{Cell, Parameters};
use recurrent_kernels::{Accum, ColumnsMut, Compute, Matrix, Real};

use crate::layer::{Pass, input_product};
use crate::near::NEAR_COLUMNS;
use crate::regularization::Masks;
use crate::stack::StackCell;
use crate::tape::{LayerTape, Turned};
use crate::zoneout::Zoneout;
use crate::{
    Input, InputGradient, LayerState, Lengths, Probe, Recorded, Regularization, Retreating,
    Reversed, Stack, StackOptions, State, Tape, Taping,
};

/// What decides which numbers dropout sets to zero. A mask depends only on these two, the layer,
/// the step, the row and the sequence (by the caller's number), never on threads or on how lengths
/// sort the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// The number of the batch's first step, counted over the whole training.
    pub first_step: u64,
}

impl Noise {
    /// For the second stack of a model: its masks are not the first one's. Its time steps are counted
    /// from the middle of the 2^24 that a step of training has, wherever the first one's end, so that
    /// no mask depends on how long the others of the batch are.
    pub(crate) fn for_decoder(self) -> Noise {
        Noise { first_step: self.first_step.wrapping_add(1 << 23), ..self }
    }
}

impl<C: Cell> Stack<C> {
    /// Gets ready for a batch: the step-by-step way, for inputs that depend on earlier outputs.
    /// `noise` is given in training and left out elsewhere.
    ///
    /// # Panics
    /// If `initial` does not fit, or the stack reads in reverse: it begins at the last step.
    #[track_caller]
    pub fn begin<'t, T: Real>(
        &'t self,
        compute: &'t Compute,
        parameters: &Parameters<T>,
        initial: &State<T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut Tape<T>,
    ) -> Taping<'t, T, C> {
        self.require_forward();
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
    ) -> Recorded<'t, T> {
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
    ) {
        let zoneout = self.zoneout(0, noise).is_some();
        tape.prepare(&self.layers, lengths, initial, noise, zoneout);
        tape.keep_gates();
        tape.drops_output = self.masks_above(noise).is_some();
        if tape.drops_output {
            tape.output.resize(self.output_size(), lengths.columns());
        }
        self.pack(compute, parameters, tape, pack_first_input);
        let batch = if lengths.has_resets() { lengths.batch() } else { 0 };
        for (direction, own) in tape.directions_mut().zip(self.layers.iter().flatten()) {
            own.initial_state(parameters, batch, &mut direction.afresh);
        }
    }

    /// Packs the weights of all layers.
    pub(crate) fn pack<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut Tape<T>,
        pack_first_input: bool,
    ) {
        let regularization = &self.options().regularization;
        for (index, (layer, cells)) in tape.layers.iter_mut().zip(&self.layers).enumerate() {
            for (at, (direction, own)) in layer.directions.iter_mut().zip(cells).enumerate() {
                let with_input = index > 0 || pack_first_input;
                let number = index * cells.len() + at;
                match regularization.weight_masks(tape.noise, number) {
                    None => direction.weight_hh = None,
                    Some(masks) => {
                        let weight = parameters.get(own.slots.weight_hh);
                        let left = direction.weight_hh.get_or_insert_with(|| Matrix::zeros(0, 0));
                        left.resize(weight.rows(), weight.columns());
                        left.as_mut().copy_from(weight);
                        masks.apply(left.as_mut());
                    }
                }
                direction.pack(compute, &own.slots, parameters, with_input);
            }
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
    ) {
        let Tape { layers, initial, lengths, noise, output, keeps_gates, .. } = tape;
        let columns = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
        let (below, rest) = layers.split_at_mut(index);
        let LayerTape { x, h, directions, .. } = &mut rest[0];
        let source = match (below.last(), input) {
            (Some(below), _) => Input::Columns(below.h.as_ref().columns_range(columns.clone())),
            (None, input) => input,
        };
        let input = match (self.masks_below(index, *noise), source) {
            (None, source) => {
                x.resize(0, 0);
                source
            }
            (Some(masks), Input::Columns(source)) => {
                x.resize(source.rows(), lengths.columns());
                let target = x.as_mut().columns_range(columns.clone());
                masks.copy(compute, lengths, steps.clone(), source, target);
                Input::Columns(x.as_ref().columns_range(columns.clone()))
            }
            (Some(_), Input::Table { .. }) => {
                panic!("dropout of the input takes vectors, and a table of products was given")
            }
        };
        let cells = self.layers[index].iter().zip(self.states(index, initial));
        for (at, (own, (cell, initial))) in directions.iter_mut().zip(cells).enumerate() {
            let (direction, rows) = (cell.direction, own.rows(at));
            let zoneout = self.zoneout(index * self.layers[index].len() + at, *noise);
            let pass = Pass { compute, cell: &cell.cell, lengths, initial, direction, zoneout };
            if !*keeps_gates {
                debug_assert_eq!(steps, 0..lengths.steps(), "inference takes whole batches");
                own.forward_near(pass, input, at, h, rows);
                continue;
            }
            // Several threads make the products of all steps first, to wait for one another once.
            let together = if compute.threads() == 1 { NEAR_COLUMNS } else { usize::MAX };
            direction.for_groups(lengths, steps.clone(), together, |steps| {
                let group = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
                let given = group.start - columns.start..group.end - columns.start;
                let gates = own.gates.as_mut().columns_range(group);
                input_product(&own.packed, compute, gates, input.columns_range(given), at);
                own.forward(pass, h, rows.clone(), steps);
            });
        }
        if let Some(masks) = self.masks_above(*noise).filter(|_| index + 1 == self.layers.len()) {
            let source = h.as_ref().columns_range(columns.clone());
            masks.copy(compute, lengths, steps, source, output.as_mut().columns_range(columns));
        }
    }

    /// A layer's blocks of a state.
    fn states<'s, T>(&self, layer: usize, state: &'s State<T>) -> &'s [LayerState<T>] {
        let directions = self.layers[layer].len();
        &state.layers[layer * directions..(layer + 1) * directions]
    }

    /// Undoes the step of a layer's input from the layer below: adds the gradient of what `layer`
    /// read at `steps` to that of h below, through the same masks.
    fn read_below_backward<T: Real>(
        &self,
        compute: &Compute,
        layer: &mut LayerTape<T>,
        below: &mut LayerTape<T>,
        masks: Option<Masks>,
        lengths: &Lengths,
        steps: Range<usize>,
    ) {
        let columns = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
        let mut d_h = below.d_h.as_mut().columns_range(columns.clone());
        let Some(masks) = masks else {
            input_product_backward(layer, compute, d_h, Accum::Add, columns);
            return;
        };
        // What is in d_h already did not pass the mask, so the masked part is made apart.
        let mut d_x = std::mem::replace(&mut layer.d_x, Matrix::zeros(0, 0));
        d_x.resize(d_h.rows(), lengths.columns());
        let mut part = d_x.as_mut().columns_range(columns.clone());
        input_product_backward(layer, compute, part.reborrow(), Accum::Replace, columns);
        masks.apply(compute, lengths, steps, part.reborrow());
        d_h.add(part.as_ref());
        layer.d_x = d_x;
    }

    /// The gradient of what the first layer read at `steps`, before anything was dropped of it.
    pub(crate) fn first_input_backward<T: Real>(
        &self,
        compute: &Compute,
        tape: &Tape<T>,
        steps: Range<usize>,
        mut d_x: ColumnsMut<'_, T>,
    ) {
        let Tape { layers, lengths, noise, .. } = tape;
        let columns = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
        input_product_backward(&layers[0], compute, d_x.reborrow(), Accum::Replace, columns);
        if let Some(masks) = self.masks_below(0, *noise) {
            masks.apply(compute, lengths, steps, d_x);
        }
    }

    /// Zoneout of the cell of this number, counted through layers and directions.
    pub(crate) fn zoneout(&self, number: usize, noise: Option<Noise>) -> Option<Zoneout> {
        Zoneout::new(&self.options().regularization, noise, number)
    }

    /// The masks of what layer `index` reads, if there are any in this pass.
    fn masks_below(&self, index: usize, noise: Option<Noise>) -> Option<Masks> {
        let StackOptions { dropout, regularization, .. } = self.options();
        let share = if index == 0 { regularization.input_dropout } else { *dropout };
        Masks::new(share, noise, index, regularization.variational)
    }

    /// The masks of what the last layer gives, if there are any in this pass.
    pub(crate) fn masks_above(&self, noise: Option<Noise>) -> Option<Masks> {
        let Regularization { output_dropout, variational, .. } = self.options().regularization;
        let locked = variational || self.locks_output;
        Masks::new(output_dropout, noise, self.layers.len(), locked)
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
    ) -> Reversed<'t, T> {
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
    ) -> Retreating<'t, T, C> {
        self.pack_backward(compute, parameters, turned.tape);
        self.pack_input_backward(compute, parameters, turned.tape, 0);
        let next = turned.tape.lengths.steps();
        Retreating { stack: self, compute, tape: turned.tape, next }
    }

    #[track_caller]
    fn pack_backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut Tape<T>,
    ) {
        self.check_tape(tape);
        for (index, cells) in self.layers.iter().enumerate() {
            for (direction, own) in tape.layers[index].directions.iter_mut().zip(cells) {
                let packed = &mut direction.packed_backward;
                match &direction.weight_hh {
                    None => packed.pack(compute, &own.slots, parameters),
                    Some(left) => packed.pack_with(compute, &own.slots, parameters, left.as_ref()),
                }
            }
            if index > 0 {
                self.pack_input_backward(compute, parameters, tape, index);
            }
        }
    }

    fn pack_input_backward<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        tape: &mut Tape<T>,
        layer: usize,
    ) {
        for (direction, own) in tape.layers[layer].directions.iter_mut().zip(&self.layers[layer]) {
            direction.packed_backward.pack_input(compute, &own.slots, parameters);
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
    ) {
        let Tape { layers, initial, lengths, noise, d_output, .. } = tape;
        let (below, rest) = layers.split_at_mut(index);
        let layer = &mut rest[0];
        let LayerTape { h, d_h, directions, .. } = layer;
        if let Some(masks) = self.masks_above(*noise).filter(|_| index + 1 == self.layers.len()) {
            let columns = lengths.offsets()[steps.start]..lengths.offsets()[steps.end];
            let mut d_output = d_output.as_mut().columns_range(columns.clone());
            masks.apply(compute, lengths, steps.clone(), d_output.reborrow());
            d_h.as_mut().columns_range(columns).add(d_output.as_ref());
        }
        let cells = self.layers[index].iter().zip(self.states(index, initial));
        for (at, (own, (cell, initial))) in directions.iter_mut().zip(cells).enumerate() {
            let (direction, rows) = (cell.direction, own.rows(at));
            let zoneout = self.zoneout(index * self.layers[index].len() + at, *noise);
            let pass = Pass { compute, cell: &cell.cell, lengths, initial, direction, zoneout };
            own.backward(pass, (h, d_h), rows, steps.clone(), (index, probe));
        }
        if let Some(below) = below.last_mut() {
            let masks = self.masks_below(index, *noise);
            self.read_below_backward(compute, layer, below, masks, lengths, steps);
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
    ) {
        let Tape { layers, initial, lengths, noise, penalty, previous, d_weight, d_bias, .. } =
            &mut *tape;
        let noise = *noise;
        *penalty = 0.0;
        for (index, cells) in self.layers.iter().enumerate() {
            let layer = &layers[index];
            let states = cells.iter().zip(self.states(index, initial));
            for (at, (own, (cell, initial))) in layer.directions.iter().zip(states).enumerate() {
                let (direction, rows) = (cell.direction, own.rows(at));
                let StackCell { cell, slots, .. } = cell;
                let number = index * cells.len() + at;
                let zoneout = self.zoneout(number, noise);
                let pass = Pass { compute, cell, lengths, initial, direction, zoneout };
                let h = layer.h.as_ref().rows_range(rows.clone());
                let d_h = layer.d_h.as_ref().rows_range(rows);
                let scratch = (&mut *previous, &mut *d_weight, &mut *d_bias);
                let regularization = &self.options().regularization;
                let how = (
                    regularization.weight_masks(noise, number),
                    regularization.gradient_penalty(noise),
                );
                *penalty += own.recurrent_gradients(pass, slots, (h, d_h), scratch, how, gradients);
                if index > 0 {
                    let dropped = self.masks_below(index, noise).is_some();
                    let x = if dropped { &layer.x } else { &layers[index - 1].h };
                    own.input_gradients(compute, slots, x.as_ref(), gradients);
                }
                cells[at].add_initial_gradient(&own.d_afresh, gradients);
            }
        }
        match input {
            InputGradient::Columns { x, d_x } => {
                let dropped = self.masks_below(0, noise).is_some();
                let x = if dropped { tape.layers[0].x.as_ref() } else { x };
                for (own, cell) in tape.layers[0].directions.iter().zip(&self.layers[0]) {
                    own.input_gradients(compute, &cell.slots, x, gradients);
                }
                if let Some(d_x) = d_x {
                    self.pack_input_backward(compute, parameters, tape, 0);
                    self.first_input_backward(compute, tape, 0..tape.lengths.steps(), d_x);
                }
            }
            InputGradient::Table { tokens, d_table, d_reverse } => {
                let tables = std::iter::once(d_table).chain(d_reverse);
                for (own, d_table) in tape.layers[0].directions.iter().zip(tables) {
                    own.table_gradients(compute, tokens, d_table);
                }
            }
        }
    }
}

/// The gradient of what a layer read at `columns`, from the gates' of its directions, one after the
/// other: `d_x = W_ih^T d_gates`.
fn input_product_backward<T: Real>(
    layer: &LayerTape<T>,
    compute: &Compute,
    mut d_x: ColumnsMut<'_, T>,
    mut accum: Accum,
    columns: Range<usize>,
) {
    for own in &layer.directions {
        let d_gates = own.gates.as_ref().columns_range(columns.clone());
        own.packed_backward.input_product(compute, d_x.reborrow(), accum, d_gates);
        accum = Accum::Add;
    }
}
