//! What forward leaves for backward. The buffers are reused from batch to batch.

use recurrent_cells::{Cell, CellShape, PackedCell, PackedCellBackward, Phase, RowMap};
use recurrent_kernels::{Columns, ColumnsMut, Matrix, Real};

use crate::state::select;
use crate::{Lengths, Noise, State};

/// How a cell uses its tape; a layer's buffers and packed weights are made for one.
#[derive(Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) shape: CellShape,
    pub(crate) input_map: Vec<RowMap>,
    pub(crate) phases: Vec<Phase>,
}

impl Plan {
    fn of(cell: &impl Cell) -> Self {
        Plan { shape: cell.shape(), input_map: cell.input_map(), phases: cell.phases() }
    }
}

/// One layer's part of a [`Tape`].
pub(crate) struct LayerTape<T> {
    pub(crate) plan: Plan,
    /// Tape rows x N: pre-activations, then what backward needs, then gradients.
    pub(crate) gates: Matrix<T>,
    /// The layer's own input where it is not simply h of the layer below: after dropout.
    pub(crate) x: Matrix<T>,
    /// The gradient of x, where there is dropout.
    pub(crate) d_x: Matrix<T>,
    pub(crate) h: Matrix<T>,
    pub(crate) c: Matrix<T>,
    /// The gradient of h at every step.
    pub(crate) d_h: Matrix<T>,
    /// The gradient of c, one column a sequence, moving back in time.
    pub(crate) d_c: Matrix<T>,
    /// The gradient of h_0.
    pub(crate) d_h_0: Matrix<T>,
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
    /// Previous h of every column, gathered where panels have different widths.
    pub(crate) previous: Matrix<T>,
    /// The sums of a layer's gates over all columns.
    pub(crate) d_bias: Vec<T>,
}

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Tape {
            layers: Vec::new(),
            initial: State { layers: Vec::new() },
            lengths: Lengths::equal(1, 1),
            noise: None,
            previous: Matrix::zeros(0, 0),
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
        let shapes = self.layers.iter().map(|layer| layer.plan.shape);
        state.assert_shapes(shapes, self.lengths.batch());
    }

    /// Makes room for a batch, and copies its initial state in sorted order.
    #[track_caller]
    pub(crate) fn prepare<'c, C: Cell + 'c>(
        &mut self,
        cells: impl ExactSizeIterator<Item = &'c C> + Clone,
        lengths: &Lengths,
        initial: &State<T>,
        noise: Option<Noise>,
    ) {
        initial.assert_shapes(cells.clone().map(Cell::shape), lengths.batch());
        self.noise = noise;
        if self.lengths != *lengths {
            self.lengths.clone_from(lengths);
        }
        let count = cells.len();
        for (index, cell) in cells.enumerate() {
            match self.layers.get_mut(index) {
                Some(layer) if layer.is_for(cell) => {}
                Some(layer) => *layer = LayerTape::new(cell),
                None => self.layers.push(LayerTape::new(cell)),
            }
            self.layers[index].resize(lengths);
        }
        self.layers.truncate(count);
        if self.initial.layers.len() != count {
            self.initial = initial.clone();
        }
        for (target, source) in self.initial.layers.iter_mut().zip(&initial.layers) {
            select(&mut target.h, &source.h, lengths.order());
            select(&mut target.c, &source.c, lengths.order());
        }
    }
}

impl<T: Real> LayerTape<T> {
    fn new(cell: &impl Cell) -> Self {
        let empty = || Matrix::zeros(0, 0);
        LayerTape {
            plan: Plan::of(cell),
            gates: empty(),
            x: empty(),
            d_x: empty(),
            h: empty(),
            c: empty(),
            d_h: empty(),
            d_c: empty(),
            d_h_0: empty(),
            packed: PackedCell::new(cell),
            packed_backward: PackedCellBackward::new(cell),
        }
    }

    /// The layer's buffers were made for a cell like this.
    pub(crate) fn is_for(&self, cell: &impl Cell) -> bool {
        self.plan == Plan::of(cell)
    }

    fn resize(&mut self, lengths: &Lengths) {
        let shape = self.plan.shape;
        self.gates.resize(shape.tape_rows, lengths.columns());
        self.h.resize(shape.hidden_size, lengths.columns());
        self.c.resize(shape.cell_size, lengths.columns());
    }

    /// Makes room for gradients, all zero.
    pub(crate) fn prepare_backward(&mut self, batch: usize) {
        self.d_h.resize(self.h.rows(), self.h.columns());
        self.d_h.as_mut_slice().fill(T::ZERO);
        self.d_c.resize(self.c.rows(), batch);
        self.d_c.as_mut_slice().fill(T::ZERO);
        self.d_h_0.resize(self.h.rows(), batch);
        self.d_h_0.as_mut_slice().fill(T::ZERO);
    }
}

/// A forward pass that has not been undone yet: the one ticket for going back.
#[must_use = "drop it if no gradient is wanted"]
pub struct Recorded<'t, T> {
    pub(crate) tape: &'t mut Tape<T>,
}

impl<'t, T: Real> Recorded<'t, T> {
    /// h of the last layer at every step: `hidden_size` x N.
    pub fn output(&self) -> Columns<'_, T> {
        self.top().h.as_ref()
    }

    /// Turns round: from here on the tape takes gradients.
    pub fn turn(self) -> Turned<'t, T> {
        let batch = self.tape.lengths.batch();
        for layer in &mut self.tape.layers {
            layer.prepare_backward(batch);
        }
        Turned { tape: self.tape }
    }

    /// The lengths of the batch.
    pub fn lengths(&self) -> &Lengths {
        &self.tape.lengths
    }

    /// Writes h_n and c_n, the state of each sequence after its own last step, in the caller's
    /// order.
    ///
    /// # Panics
    /// If `state` has another shape.
    #[track_caller]
    pub fn final_state(&self, state: &mut State<T>) {
        let lengths = &self.tape.lengths;
        self.tape.assert_fits(state);
        for (target, source) in state.layers.iter_mut().zip(&self.tape.layers) {
            for (&sequence, column) in lengths.order().iter().zip(lengths.last_columns()) {
                let (h, c) = (source.h.as_ref().column(column), source.c.as_ref().column(column));
                target.h.as_mut().column(sequence).copy_from_slice(h);
                target.c.as_mut().column(sequence).copy_from_slice(c);
            }
        }
    }

    fn top(&self) -> &LayerTape<T> {
        self.tape.layers.last().expect("a stack has at least one layer")
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
    /// The output at every step, and its gradient, zero so far: `hidden_size` x N both.
    pub fn output_and_gradient(&mut self) -> (Columns<'_, T>, ColumnsMut<'_, T>) {
        let top = self.tape.layers.last_mut().expect("a stack has at least one layer");
        (top.h.as_ref(), top.d_h.as_mut())
    }

    /// Adds a gradient of h_n and c_n, given in the caller's order.
    ///
    /// # Panics
    /// If its shape differs.
    #[track_caller]
    pub fn add_final_state_gradient(&mut self, gradient: &State<T>) {
        self.tape.assert_fits(gradient);
        let Tape { layers, lengths, .. } = &mut *self.tape;
        for (layer, given) in layers.iter_mut().zip(&gradient.layers) {
            for (place, column) in lengths.last_columns().enumerate() {
                let sequence = lengths.order()[place];
                add(layer.d_h.as_mut().column(column), given.h.as_ref().column(sequence));
                add(layer.d_c.as_mut().column(place), given.c.as_ref().column(sequence));
            }
        }
    }
}

fn add<T: Real>(sums: &mut [T], terms: &[T]) {
    for (sum, &term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}
