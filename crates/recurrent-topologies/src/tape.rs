//! What forward leaves for backward. The buffers are reused from batch to batch.

use std::ops::Range;

use recurrent_cells::{Cell, CellPlan, CellShape, PackedCell, PackedCellBackward};
use recurrent_kernels::{Columns, ColumnsMut, Matrix, Real};

use crate::stack::{Layer, StackCell};
use crate::state::select;
use crate::{Direction, LayerState, Lengths, Noise, State};

/// One layer's part of a [`Tape`].
pub(crate) struct LayerTape<T> {
    /// The layer's own input where it is not simply what is below: after dropout.
    pub(crate) x: Matrix<T>,
    /// The gradient of x, where there is dropout.
    pub(crate) d_x: Matrix<T>,
    /// h at every step. Of two directions forward has the upper rows, reverse the lower ones.
    pub(crate) h: Matrix<T>,
    /// The gradient of h at every step.
    pub(crate) d_h: Matrix<T>,
    /// One for each direction.
    pub(crate) directions: Vec<DirectionTape<T>>,
}

/// One direction's part of a [`LayerTape`].
pub(crate) struct DirectionTape<T> {
    pub(crate) direction: Direction,
    /// The layer's buffers and packed weights are made for cells like this.
    pub(crate) plan: CellPlan,
    /// Tape rows x N: pre-activations, then what backward needs, then gradients. In inference those
    /// of a few steps, and without meaning after the pass.
    pub(crate) gates: Matrix<T>,
    /// The input of a few steps, where several threads run inference.
    pub(crate) near_x: Matrix<T>,
    pub(crate) c: Matrix<T>,
    /// c before zoneout, where there is zoneout; else without rows.
    pub(crate) candidate: Matrix<T>,
    /// The gradient of c at one step that passes by the cell, as zoneout lets it.
    pub(crate) d_c_kept: Matrix<T>,
    /// What is left of `weight_hh`, where some of it is dropped.
    pub(crate) weight_hh: Option<Matrix<T>>,
    /// The gradient of c, one column a sequence, moving back in time.
    pub(crate) d_c: Matrix<T>,
    /// The gradient of h_0.
    pub(crate) d_h_0: Matrix<T>,
    /// The gradient of the rows that a cell's later phase multiplies with, at one step.
    pub(crate) d_inner: Matrix<T>,
    /// What documents begin from, a column for each sequence; without columns where none does.
    pub(crate) afresh: LayerState<T>,
    /// The gradient of `afresh`, summed over the documents of each sequence.
    pub(crate) d_afresh: LayerState<T>,
    pub(crate) packed: PackedCell<T>,
    pub(crate) packed_backward: PackedCellBackward<T>,
}

/// Everything a stack remembers of a batch of sequences until backward has used it.
///
/// A forward pass borrows it and hands out a [`Recorded`]; backward takes that, so a tape cannot
/// be used twice, while its memory is.
pub struct Tape<T> {
    pub(crate) layers: Vec<LayerTape<T>>,
    /// h_0 and c_0, in sorted order.
    pub(crate) initial: State<T>,
    pub(crate) lengths: Lengths,
    /// What decided the dropout masks, so that backward uses the same.
    pub(crate) noise: Option<Noise>,
    /// The gates of all steps are there after a pass.
    pub(crate) keeps_gates: bool,
    /// Some of the last layer's h is dropped on its way up.
    pub(crate) drops_output: bool,
    /// What is left of it, and the gradient of that; of no meaning where nothing is dropped.
    pub(crate) output: Matrix<T>,
    pub(crate) d_output: Matrix<T>,
    /// Previous h or c of every column, gathered where it does not lie in one piece.
    pub(crate) previous: Matrix<T>,
    /// What the penalty of gradients came to in the last backward pass.
    pub(crate) penalty: f64,
    /// The gradient of what is left of a `weight_hh`.
    pub(crate) d_weight: Matrix<T>,
    /// The sums of a layer's gates over all columns.
    pub(crate) d_bias: Vec<T>,
}

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Tape {
            layers: Vec::new(),
            initial: State { layers: Vec::new(), directions: 1 },
            lengths: Lengths::equal(1, 1),
            noise: None,
            keeps_gates: false,
            drops_output: false,
            output: Matrix::zeros(0, 0),
            d_output: Matrix::zeros(0, 0),
            previous: Matrix::zeros(0, 0),
            penalty: 0.0,
            d_weight: Matrix::zeros(0, 0),
            d_bias: Vec::new(),
        }
    }
}

impl<T: Real> Tape<T> {
    /// A tape without memory; the first forward pass sizes it.
    pub fn new() -> Self {
        Tape::default()
    }

    /// A state of the batch that is on the tape, in the caller's order.
    #[track_caller]
    fn assert_fits(&self, state: &State<T>) {
        let shapes = self.directions().map(|direction| direction.plan.shape);
        state.assert_shapes(shapes, self.lengths.batch());
    }

    /// The directions of all layers, in the order of a [`State`].
    pub(crate) fn directions(&self) -> impl Iterator<Item = &DirectionTape<T>> + Clone {
        self.layers.iter().flat_map(|layer| &layer.directions)
    }

    /// The same, to be changed.
    pub(crate) fn directions_mut(&mut self) -> impl Iterator<Item = &mut DirectionTape<T>> {
        self.layers.iter_mut().flat_map(|layer| &mut layer.directions)
    }

    /// What the last layer gives at every step.
    pub(crate) fn output(&self) -> Columns<'_, T> {
        let top = self.layers.last().expect("a stack has at least one layer");
        if self.drops_output { self.output.as_ref() } else { top.h.as_ref() }
    }

    /// The same, and where its gradient goes.
    pub(crate) fn output_and_gradient(&mut self) -> (Columns<'_, T>, ColumnsMut<'_, T>) {
        let top = self.layers.last_mut().expect("a stack has at least one layer");
        match self.drops_output {
            true => (self.output.as_ref(), self.d_output.as_mut()),
            false => (top.h.as_ref(), top.d_h.as_mut()),
        }
    }

    /// Makes room for all of a batch but its gates ([`keep_gates`](Self::keep_gates)) through
    /// `layers`, which have one cell for each direction, and copies its initial state in sorted order. With `zoneout` the candidates for c are kept, too.
    #[track_caller]
    pub(crate) fn prepare<C: Cell>(
        &mut self,
        layers: &[Layer<C>],
        lengths: &Lengths,
        initial: &State<T>,
        noise: Option<Noise>,
        zoneout: bool,
    ) {
        let shapes = layers.iter().flatten().map(|own| own.plan.shape);
        initial.assert_shapes(shapes, lengths.batch());
        self.noise = noise;
        if self.lengths != *lengths {
            self.lengths.clone_from(lengths);
        }
        for (index, layer) in layers.iter().enumerate() {
            match self.layers.get_mut(index) {
                Some(tape) if tape.is_for(layer) => {}
                Some(tape) => *tape = LayerTape::new(layer),
                None => self.layers.push(LayerTape::new(layer)),
            }
            self.layers[index].resize(lengths, zoneout);
        }
        self.layers.truncate(layers.len());
        if self.initial.layers.len() != initial.layers.len() {
            self.initial = initial.clone();
        }
        self.initial.directions = initial.directions;
        for (target, source) in self.initial.layers.iter_mut().zip(&initial.layers) {
            select(&mut target.h, &source.h, lengths.order());
            select(&mut target.c, &source.c, lengths.order());
        }
    }

    /// Makes room for the gates of all steps, which backward needs.
    pub(crate) fn keep_gates(&mut self) {
        self.keeps_gates = true;
        let columns = self.lengths.columns();
        for direction in self.directions_mut() {
            direction.gates.resize(direction.plan.shape.tape_rows, columns);
        }
    }
}

impl<T: Real> LayerTape<T> {
    fn new<C: Cell>(layer: &Layer<C>) -> Self {
        let directions = layer.iter().map(DirectionTape::new).collect();
        LayerTape { x: empty(), d_x: empty(), h: empty(), d_h: empty(), directions }
    }

    /// The layer's buffers were made for cells like these.
    pub(crate) fn is_for<C: Cell>(&self, layer: &Layer<C>) -> bool {
        self.directions.len() == layer.len()
            && self
                .directions
                .iter()
                .zip(layer)
                .all(|(tape, own)| tape.direction == own.direction && tape.plan == own.plan)
    }

    fn resize(&mut self, lengths: &Lengths, zoneout: bool) {
        let mut rows = 0;
        for direction in &mut self.directions {
            let shape = direction.plan.shape;
            rows += shape.hidden_size;
            direction.c.resize(shape.cell_size, lengths.columns());
            let rows = if zoneout { shape.cell_size } else { 0 };
            direction.candidate.resize(rows, lengths.columns());
        }
        self.h.resize(rows, lengths.columns());
    }

    /// Makes room for gradients, all zero.
    fn prepare_backward(&mut self, lengths: &Lengths) {
        let batch = lengths.batch();
        self.d_h.reset(self.h.rows(), self.h.columns());
        for direction in &mut self.directions {
            let CellShape { hidden_size, cell_size, inner_size, .. } = direction.plan.shape;
            direction.d_c.reset(cell_size, batch);
            direction.d_c_kept.resize(direction.candidate.rows(), batch);
            direction.d_h_0.reset(hidden_size, batch);
            direction.d_inner.resize(inner_size, batch);
            let (h, c) = if lengths.has_resets() { (hidden_size, cell_size) } else { (0, 0) };
            direction.d_afresh.h.reset(h, batch);
            direction.d_afresh.c.reset(c, batch);
        }
    }
}

impl<T: Real> DirectionTape<T> {
    /// The rows of the layer's h that belong to this direction, which has this index.
    pub(crate) fn rows(&self, index: usize) -> Range<usize> {
        let size = self.plan.shape.hidden_size;
        index * size..(index + 1) * size
    }

    fn new<C: Cell>(own: &StackCell<C>) -> Self {
        let StackCell { cell, direction, plan, .. } = own;
        DirectionTape {
            direction: *direction,
            plan: plan.clone(),
            gates: empty(),
            near_x: empty(),
            c: empty(),
            candidate: empty(),
            d_c_kept: empty(),
            weight_hh: None,
            d_c: empty(),
            d_h_0: empty(),
            d_inner: empty(),
            afresh: LayerState { h: empty(), c: empty() },
            d_afresh: LayerState { h: empty(), c: empty() },
            packed: PackedCell::new(cell),
            packed_backward: PackedCellBackward::new(cell),
        }
    }
}

fn empty<T: Real>() -> Matrix<T> {
    Matrix::zeros(0, 0)
}

/// A forward pass that has not been undone yet: the one ticket for going back.
#[must_use = "drop it if no gradient is wanted"]
pub struct Recorded<'t, T> {
    pub(crate) tape: &'t mut Tape<T>,
}

impl<'t, T: Real> Recorded<'t, T> {
    /// h of the last layer at every step: `hidden_size` x N; with two directions twice as many rows,
    /// forward above reverse. In training what is left of it after dropout.
    pub fn output(&self) -> Columns<'_, T> {
        self.tape.output()
    }

    /// Turns round: from here on the tape takes gradients.
    pub fn turn(self) -> Turned<'t, T> {
        let Tape { layers, lengths, drops_output, output, d_output, .. } = &mut *self.tape;
        for layer in layers {
            layer.prepare_backward(lengths);
        }
        if *drops_output {
            d_output.reset(output.rows(), output.columns());
        }
        Turned { tape: self.tape }
    }

    /// The lengths of the batch.
    pub fn lengths(&self) -> &Lengths {
        &self.tape.lengths
    }

    /// Writes h_n and c_n, the state of each sequence after the last step that a direction takes, in
    /// the caller's order: forward after its own last step, in reverse after its first.
    ///
    /// # Panics
    /// If `state` has another shape.
    #[track_caller]
    pub fn final_state(&self, state: &mut State<T>) {
        let lengths = &self.tape.lengths;
        self.copy_state(state, |direction, place| lengths.final_column(direction, place));
    }

    /// Writes h and c of each sequence after its first `steps` steps, in the caller's order: what a
    /// batch that goes on there begins from. After 0 steps it is the initial state. (A document that
    /// begins with the next step is the next batch's to say.)
    ///
    /// # Panics
    /// If `state` has another shape, a sequence is shorter, or the stack reads in reverse.
    #[track_caller]
    pub fn state_after(&self, steps: usize, state: &mut State<T>) {
        let Tape { initial, lengths, layers, .. } = &*self.tape;
        let reads_back = |own: &DirectionTape<T>| own.direction == Direction::Reverse;
        let reverse = layers.iter().flat_map(|layer| &layer.directions).any(reads_back);
        assert!(!reverse, "what reads in reverse has no state after its first {steps} steps");
        let width = match steps {
            0 => lengths.batch(),
            _ if steps > lengths.steps() => 0,
            _ => lengths.width(steps - 1),
        };
        assert!(
            width == lengths.batch(),
            "{width} of {} sequences reach step {steps}, where a state is asked for",
            lengths.batch()
        );
        if steps > 0 {
            return self.copy_state(state, |_, place| lengths.offsets()[steps - 1] + place);
        }
        self.tape.assert_fits(state);
        for (target, source) in state.layers.iter_mut().zip(&initial.layers) {
            for (place, &sequence) in lengths.order().iter().enumerate() {
                target.h.as_mut().column(sequence).copy_from_slice(source.h.as_ref().column(place));
                target.c.as_mut().column(sequence).copy_from_slice(source.c.as_ref().column(place));
            }
        }
    }

    /// Writes h and c of the column that `column` names for each direction and place.
    #[track_caller]
    fn copy_state(&self, state: &mut State<T>, column: impl Fn(Direction, usize) -> usize) {
        self.tape.assert_fits(state);
        let mut targets = state.layers.iter_mut();
        for tape in &self.tape.layers {
            for (index, source) in tape.directions.iter().enumerate() {
                let target = targets.next().expect("the state fits");
                let h = tape.h.as_ref().rows_range(source.rows(index));
                for (place, &sequence) in self.tape.lengths.order().iter().enumerate() {
                    let column = column(source.direction, place);
                    target.h.as_mut().column(sequence).copy_from_slice(h.column(column));
                    let c = source.c.as_ref().column(column);
                    target.c.as_mut().column(sequence).copy_from_slice(c);
                }
            }
        }
    }
}

/// A forward pass whose gradients are being filled in: [`Stack::run_backward`] takes it.
///
/// [`Stack::run_backward`]: crate::Stack::run_backward
#[must_use = "backward starts from here"]
pub struct Turned<'t, T> {
    pub(crate) tape: &'t mut Tape<T>,
}

impl<T: Real> Turned<'_, T> {
    /// The output at every step, and its gradient, zero so far: rows as in
    /// [`Recorded::output`], N columns, both.
    pub fn output_and_gradient(&mut self) -> (Columns<'_, T>, ColumnsMut<'_, T>) {
        self.tape.output_and_gradient()
    }

    /// The lengths of the batch, and the gradient of the output at every step.
    pub(crate) fn lengths_and_gradient(&mut self) -> (&Lengths, ColumnsMut<'_, T>) {
        let Tape { layers, lengths, drops_output, d_output, .. } = &mut *self.tape;
        let top = layers.last_mut().expect("a stack has at least one layer");
        (lengths, if *drops_output { d_output.as_mut() } else { top.d_h.as_mut() })
    }

    /// Adds a gradient of h_n and c_n, given in the caller's order.
    ///
    /// # Panics
    /// If its shape differs.
    #[track_caller]
    pub fn add_final_state_gradient(&mut self, gradient: &State<T>) {
        self.tape.assert_fits(gradient);
        let Tape { layers, lengths, .. } = &mut *self.tape;
        let mut given = gradient.layers.iter();
        for layer in layers {
            for (index, own) in layer.directions.iter_mut().enumerate() {
                let given = given.next().expect("the state fits");
                let rows = own.rows(index);
                for (place, &sequence) in lengths.order().iter().enumerate() {
                    let column = lengths.final_column(own.direction, place);
                    let mut d_h = layer.d_h.as_mut().rows_range(rows.clone());
                    add(d_h.column(column), given.h.as_ref().column(sequence));
                    add(own.d_c.as_mut().column(place), given.c.as_ref().column(sequence));
                }
            }
        }
    }
}

/// `sums += terms`.
pub(crate) fn add<T: Real>(sums: &mut [T], terms: &[T]) {
    for (sum, &term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}
