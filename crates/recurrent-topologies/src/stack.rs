//! Layers upon layers: what a stack of cells is made of, and the state that it begins from.

use recurrent_cells::{Cell, CellPlan, CellShape, CellSlots, Form, Layout, Parameters, Slot};
use recurrent_kernels::{Columns, ColumnsMut, Matrix, Real};

use crate::direction::suffix;
use crate::{
    Direction, Directions, Input, InputGradient, LayerState, Lengths, Regularization, State, Tape,
};

/// Several layers of cells, each reading h of the one below, in one direction or in both, with
/// dropout between them.
#[derive(Clone, Debug)]
pub struct Stack<C> {
    pub(crate) layers: Vec<Layer<C>>,
    options: StackOptions,
    /// Dropout of the output has one mask for all steps, whatever is asked for elsewhere.
    pub(crate) locks_output: bool,
}

/// What a [`Stack`] may have beside its cells. The default is PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StackOptions {
    /// The share of h of each layer but the last that is dropped on its way up in training; in
    /// [0, 1).
    pub dropout: f64,
    /// Which ways every layer reads. With both, a second cell reads each sequence from its own end,
    /// and the next layer reads h of both, forward above reverse.
    pub directions: Directions,
    /// The state that sequences and documents begin from is learned: parameters `h_0_l{k}` and
    /// `c_0_l{k}`. Otherwise it is zero. A batch begins from it if it is run from
    /// [`Stack::initial_state`], and it learns from the batch if [`Stack::initial_state_backward`]
    /// takes the gradient of the state; documents in the middle need neither.
    pub learned_initial_state: bool,
    /// What else is left to chance in training. A stack reads vectors: embedding dropout is for what
    /// makes them.
    pub regularization: Regularization,
}

/// The cells of one layer, one for each direction.
pub(crate) type Layer<C> = Vec<StackCell<C>>;

/// One direction of one layer.
#[derive(Clone, Debug)]
pub(crate) struct StackCell<C> {
    pub(crate) cell: C,
    /// What the cell says of itself.
    pub(crate) plan: CellPlan,
    pub(crate) direction: Direction,
    pub(crate) slots: CellSlots,
    /// h_0 and, in a cell with c, c_0, if they are learned.
    initial: Option<(Slot, Option<Slot>)>,
}

/// Where the parameters of the first layer lie: whoever makes tables of tokens needs `weight_ih`.
#[derive(Clone, Copy, Debug)]
pub struct InputSlots {
    /// Those of the first cell.
    pub first: CellSlots,
    /// Those of the reverse cell beside it, if there are two.
    pub reverse: Option<CellSlots>,
}

impl InputSlots {
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CellSlots> {
        std::iter::once(&self.first).chain(&self.reverse)
    }
}

impl<C: Cell> Stack<C> {
    /// A stack of `cells`, first layer first, with PyTorch's parameter names:
    /// `{prefix}weight_ih_l0`, with two directions `{prefix}weight_ih_l0_reverse`, and so on. A
    /// reverse cell is one more of the same kind with parameters of its own.
    ///
    /// # Panics
    /// If there is no cell, if a cell does not read what the layer below gives (twice `hidden_size`
    /// with two directions), if a share is not in [0, 1), or if embeddings are to be
    /// dropped, or c is to stay where there is none.
    #[track_caller]
    pub fn add(layout: &mut Layout, prefix: &str, cells: Vec<C>, options: StackOptions) -> Self {
        let StackOptions { dropout, directions, learned_initial_state, regularization } = options;
        assert!(!cells.is_empty(), "a stack needs at least one layer");
        assert!((0.0..1.0).contains(&dropout), "a dropout of {dropout} is not in [0, 1)");
        if let Err(error) = regularization.check() {
            panic!("{error}");
        }
        assert!(regularization.embedding_dropout == 0.0, "a stack has no embedding to drop");
        assert!(
            regularization.zoneout_cell == 0.0 || cells.iter().all(|c| c.shape().cell_size > 0),
            "zoneout of c in cells that have none"
        );
        assert!(
            regularization.regularize_gradients == 0.0
                || cells.iter().all(|cell| cell.hidden_slope(0.0f64).is_some()),
            "gradients can be regularized in vanilla cells only"
        );
        for (index, pair) in cells.windows(2).enumerate() {
            let below = directions.count() * pair[0].shape().hidden_size;
            let above = pair[1].shape().input_size;
            assert!(
                below == above,
                "layer {index} gives {below} numbers, layer {} reads {above}",
                index + 1
            );
        }
        let mut add_cell = |cell: C, layer: usize, (index, &direction): (usize, &Direction)| {
            let shape = cell.shape();
            let suffix = format!("_l{layer}{}", suffix(index));
            let slots = CellSlots::add(layout, shape, prefix, &suffix);
            let mut vector = |name: &str, rows: usize| {
                layout.add(format!("{prefix}{name}{suffix}"), Form::Vector, rows, 1)
            };
            let initial = learned_initial_state.then(|| {
                let h_0 = vector("h_0", shape.hidden_size);
                (h_0, (shape.cell_size > 0).then(|| vector("c_0", shape.cell_size)))
            });
            StackCell { plan: CellPlan::of(&cell), cell, direction, slots, initial }
        };
        let layers = cells.into_iter().enumerate().map(|(layer, cell)| {
            let directions = directions.list().iter().enumerate();
            directions.map(|direction| add_cell(cell.clone(), layer, direction)).collect()
        });
        Stack { layers: layers.collect(), options, locks_output: false }
    }

    /// What the stack has beside its cells.
    pub fn options(&self) -> &StackOptions {
        &self.options
    }

    /// Each cell and where its parameters lie, in PyTorch's order: first layer first, of two
    /// directions forward first.
    pub fn cells(&self) -> impl Iterator<Item = (&C, &CellSlots)> {
        self.layers.iter().flatten().map(|own| (&own.cell, &own.slots))
    }

    /// Where a [`State`] has the cell of this layer and direction, if there is one.
    pub fn place(&self, layer: usize, direction: Direction) -> Option<usize> {
        let cells = self.layers.get(layer)?;
        let at = cells.iter().position(|own| own.direction == direction)?;
        Some(layer * cells.len() + at)
    }

    /// The sizes of the cell of this layer and direction, if there is one.
    pub fn shape(&self, layer: usize, direction: Direction) -> Option<CellShape> {
        let cell = self.layers.get(layer)?.iter().find(|own| own.direction == direction)?;
        Some(cell.plan.shape)
    }

    /// Rows of what the last layer gives: `hidden_size`, or twice that with two directions.
    pub fn output_size(&self) -> usize {
        self.layers
            .last()
            .map_or(0, |layer| layer.iter().map(|own| own.cell.shape().hidden_size).sum())
    }

    /// Where the parameters of the first layer lie.
    pub fn input_slots(&self) -> InputSlots {
        let first = &self.layers[0];
        InputSlots { first: first[0].slots, reverse: first.get(1).map(|own| own.slots) }
    }

    /// A state of zeros for `batch` sequences.
    pub fn zero_state<T: Real>(&self, batch: usize) -> State<T> {
        let directions = self.layers[0].len();
        State::zeros(self.layers.iter().flatten().map(|own| &own.cell), directions, batch)
    }

    /// The state that `batch` sequences begin from: the learned one, or zeros.
    pub fn initial_state<T: Real>(&self, parameters: &Parameters<T>, batch: usize) -> State<T> {
        let mut state = self.zero_state(batch);
        for (own, target) in self.layers.iter().flatten().zip(&mut state.layers) {
            own.fill_initial(parameters, target);
        }
        state
    }

    /// Undoes [`initial_state`](Self::initial_state): adds the gradient of the state that sequences
    /// began from ([`initial_state_gradient`](crate::Reversed::initial_state_gradient)) to that of
    /// the learned one, sequence after sequence. Does nothing if none is learned.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn initial_state_backward<T: Real>(
        &self,
        gradient: &State<T>,
        gradients: &mut Parameters<T>,
    ) {
        let shapes = self.layers.iter().flatten().map(|own| own.plan.shape);
        gradient.assert_shapes(shapes, gradient.batch());
        for (own, given) in self.layers.iter().flatten().zip(&gradient.layers) {
            own.add_initial_gradient(given, gradients);
        }
    }

    #[track_caller]
    pub(crate) fn check_input<T: Real>(&self, input: Input<'_, T>, expected: usize) {
        let shape = self.layers[0][0].cell.shape();
        let (rows, wanted, columns) = match input {
            Input::Columns(x) => (x.rows(), shape.input_size, x.columns()),
            Input::Table { table, tokens, .. } => {
                (table.rows(), shape.weight_ih_rows, tokens.len())
            }
        };
        assert!(
            rows == wanted && columns == expected,
            "an input of {rows} rows x {columns} columns does not fit a stack that reads {wanted} \
             rows and a batch of {expected} columns"
        );
        if let Input::Table { table, reverse, .. } = input {
            let shape = |table: Columns<'_, T>| (table.rows(), table.columns());
            let both = self.options.directions == Directions::Both;
            let wanted = both.then_some(shape(table));
            let given = reverse.map(shape);
            assert!(
                given == wanted,
                "a table of {given:?} rows and columns for the reverse direction; {wanted:?} is \
                 needed"
            );
        }
    }

    #[track_caller]
    pub(crate) fn check_gradient<T: Real>(&self, input: &InputGradient<'_, T>, lengths: &Lengths) {
        match input {
            InputGradient::Columns { x, d_x } => {
                self.check_input(Input::Columns(*x), lengths.columns());
                if let Some(d_x) = d_x {
                    self.check_input(Input::Columns(d_x.as_ref()), lengths.columns());
                }
            }
            InputGradient::Table { tokens, d_table, d_reverse } => {
                let table = d_table.as_ref();
                let reverse = d_reverse.as_ref().map(ColumnsMut::as_ref);
                self.check_input(Input::Table { table, reverse, tokens }, lengths.columns());
                let size = table.columns();
                if let Some(token) = tokens.iter().find(|&&token| token as usize >= size) {
                    panic!("token {token} is outside a table of {size} columns");
                }
            }
        }
    }

    /// A tape must have been recorded by a stack of cells of the same sizes and phases.
    #[track_caller]
    pub(crate) fn check_tape<T: Real>(&self, tape: &Tape<T>) {
        let same = tape.layers.len() == self.layers.len()
            && tape.layers.iter().zip(&self.layers).all(|(tape, layer)| tape.is_for(layer));
        assert!(same, "the tape was recorded by another stack");
    }

    /// What goes step by step cannot read from the end.
    #[track_caller]
    pub(crate) fn require_forward(&self) {
        assert!(
            self.options.directions == Directions::Forward,
            "a stack that reads in reverse cannot go step by step: it begins at the last step"
        );
    }
}

impl<C: Cell> StackCell<C> {
    /// Every column of `state` becomes what a sequence begins from: what is learned, or zero.
    fn fill_initial<T: Real>(&self, parameters: &Parameters<T>, state: &mut LayerState<T>) {
        let (h_0, c_0) = self.initial.unzip();
        for (block, slot) in [(&mut state.h, h_0), (&mut state.c, c_0.flatten())] {
            match slot {
                None => block.as_mut_slice().fill(T::ZERO),
                Some(slot) => {
                    let mut block = block.as_mut();
                    for j in 0..block.columns() {
                        block.column(j).copy_from_slice(parameters.slice(slot));
                    }
                }
            }
        }
    }

    /// The state that documents begin from in the middle of sequences.
    pub(crate) fn initial_state<T: Real>(
        &self,
        parameters: &Parameters<T>,
        batch: usize,
        state: &mut LayerState<T>,
    ) {
        let shape = self.cell.shape();
        state.h.resize(shape.hidden_size, batch);
        state.c.resize(shape.cell_size, batch);
        self.fill_initial(parameters, state);
    }

    /// Undoes [`fill_initial`](Self::fill_initial): adds up the columns, in order.
    pub(crate) fn add_initial_gradient<T: Real>(
        &self,
        gradient: &LayerState<T>,
        gradients: &mut Parameters<T>,
    ) {
        let mut add = |block: &Matrix<T>, slot: Slot| {
            let sums = gradients.slice_mut(slot);
            for j in 0..block.columns() {
                for (sum, &term) in sums.iter_mut().zip(block.as_ref().column(j)) {
                    *sum += term;
                }
            }
        };
        if let Some((h_0, c_0)) = self.initial {
            add(&gradient.h, h_0);
            if let Some(c_0) = c_0 {
                add(&gradient.c, c_0);
            }
        }
    }
}
