//! A cell with its weights, ready to step: for whoever has trained elsewhere and needs no more.

use std::sync::Arc;

use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};

use crate::cell::{Biases, Cell, StateRef};
use crate::{
    CellSlots, Entry, Gru, GruOptions, Layout, Lstm, LstmOptions, Nonlinearity, PackedCell,
    Parameters, Rnn, RnnOptions, Slot, initialize,
};

/// The tensors of one cell as PyTorch keeps them, row after row: those of `nn.LSTMCell`, or of a
/// layer of `nn.LSTM`. What a cell does not have stays empty.
#[derive(Clone, Copy, Debug)]
pub struct PytorchWeights<'a, T> {
    /// (gate rows, `input_size`).
    pub weight_ih: &'a [T],
    /// (gate rows, size of h).
    pub weight_hh: &'a [T],
    /// (gate rows).
    pub bias_ih: &'a [T],
    /// (gate rows).
    pub bias_hh: &'a [T],
    /// (`proj_size`, `hidden_size`), for an LSTM with a projection.
    pub weight_hr: &'a [T],
}

impl<T> Default for PytorchWeights<'_, T> {
    fn default() -> Self {
        PytorchWeights {
            weight_ih: &[],
            weight_hh: &[],
            bias_ih: &[],
            bias_hh: &[],
            weight_hr: &[],
        }
    }
}

/// Why weights do not make a cell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A tensor has another number of elements than the sizes ask for.
    #[error("`{name}` has {given} numbers; {wanted:?} = {} are needed", wanted.iter().product::<usize>())]
    Size {
        /// PyTorch's name.
        name: &'static str,
        /// How many there are.
        given: usize,
        /// PyTorch's shape for these sizes.
        wanted: Vec<usize>,
    },
    /// There is a tensor that no such cell has.
    #[error("`{name}` has {given} numbers, and this cell has no such tensor")]
    Unexpected {
        /// PyTorch's name.
        name: &'static str,
        /// How many there are.
        given: usize,
    },
    /// A size is 0, or too large to count.
    #[error("sizes of {input_size} (input) and {hidden_size} (hidden) make no cell")]
    Sizes {
        /// Rows of x.
        input_size: usize,
        /// Rows of h.
        hidden_size: usize,
    },
}

impl<T> PytorchWeights<'_, T> {
    /// Which biases were given.
    fn biases(&self) -> Biases {
        match (self.bias_ih.is_empty(), self.bias_hh.is_empty()) {
            (true, true) => Biases::None,
            (false, true) => Biases::One,
            // One that is missing is then found by its size.
            _ => Biases::Two,
        }
    }
}

impl Rnn {
    /// A cell with the weights of PyTorch's `nn.RNN`, or of its own making.
    ///
    /// # Errors
    /// [`WeightsError`] names the first tensor whose size does not fit.
    pub fn from_pytorch<T: Real>(
        input_size: usize,
        hidden_size: usize,
        nonlinearity: Nonlinearity,
        weights: PytorchWeights<'_, T>,
    ) -> Result<WeightedCell<Rnn, T>, WeightsError> {
        check_sizes(input_size, hidden_size)?;
        let options = RnnOptions { biases: weights.biases(), ..RnnOptions::default() };
        let cell = Rnn::with_options(input_size, hidden_size, nonlinearity, options);
        WeightedCell::from_pytorch(cell, weights)
    }
}

impl Lstm {
    /// A cell with the weights of PyTorch's `nn.LSTM`, with a projection if there is a `weight_hr`.
    ///
    /// # Errors
    /// [`WeightsError`] names the first tensor whose size does not fit.
    pub fn from_pytorch<T: Real>(
        input_size: usize,
        hidden_size: usize,
        weights: PytorchWeights<'_, T>,
    ) -> Result<WeightedCell<Lstm, T>, WeightsError> {
        check_sizes(input_size, hidden_size)?;
        // A length that is no multiple is found by its size.
        let projected = weights.weight_hr.len().div_ceil(hidden_size.max(1));
        let proj_size = (projected > 0).then_some(projected);
        let options = LstmOptions { proj_size, biases: weights.biases(), ..LstmOptions::default() };
        WeightedCell::from_pytorch(Lstm::with_options(input_size, hidden_size, options), weights)
    }
}

impl Gru {
    /// A cell with the weights of PyTorch's `nn.GRU`.
    ///
    /// # Errors
    /// [`WeightsError`] names the first tensor whose size does not fit.
    pub fn from_pytorch<T: Real>(
        input_size: usize,
        hidden_size: usize,
        weights: PytorchWeights<'_, T>,
    ) -> Result<WeightedCell<Gru, T>, WeightsError> {
        check_sizes(input_size, hidden_size)?;
        let options = GruOptions { biases: weights.biases(), ..GruOptions::default() };
        WeightedCell::from_pytorch(Gru::with_options(input_size, hidden_size, options), weights)
    }
}

/// Refuses sizes with which nothing could be counted, before anything is.
fn check_sizes(input_size: usize, hidden_size: usize) -> Result<(), WeightsError> {
    let countable = |size: usize| size > 0 && size < 1 << 24;
    match countable(input_size) && countable(hidden_size) {
        true => Ok(()),
        false => Err(WeightsError::Sizes { input_size, hidden_size }),
    }
}

/// A cell with weights, packed once. It keeps no state between steps: h and c are the caller's.
pub struct WeightedCell<C, T> {
    cell: C,
    compute: Compute,
    parameters: Parameters<T>,
    slots: CellSlots,
    packed: PackedCell<T>,
    tape: Matrix<T>,
    h: Matrix<T>,
    c: Matrix<T>,
}

impl<C: Cell, T: Real> WeightedCell<C, T> {
    /// A cell with these tensors; peepholes, if it has any, are zero, and gains 1.
    ///
    /// # Errors
    /// [`WeightsError`] names the first tensor whose size does not fit the cell.
    pub fn from_pytorch(cell: C, weights: PytorchWeights<'_, T>) -> Result<Self, WeightsError> {
        let shape = cell.shape();
        check_sizes(shape.input_size, shape.hidden_size)?;
        let mut layout = Layout::new();
        let slots = CellSlots::add(&mut layout, shape, "", "");
        let given = [
            ("weight_ih", weights.weight_ih),
            ("weight_hh", weights.weight_hh),
            ("bias_ih", weights.bias_ih),
            ("bias_hh", weights.bias_hh),
            ("weight_hr", weights.weight_hr),
        ];
        let entry = |name: &str| layout.entries().iter().find(|entry| entry.name == name).cloned();
        let mut tensors: Vec<(Entry, &[T])> = Vec::new();
        for (name, tensor) in given {
            let given = tensor.len();
            match entry(name) {
                Some(entry) => {
                    let wanted = entry.pytorch_shape();
                    if wanted.iter().product::<usize>() != given {
                        return Err(WeightsError::Size { name, given, wanted });
                    }
                    tensors.push((entry, tensor));
                }
                None if given > 0 => return Err(WeightsError::Unexpected { name, given }),
                None => {}
            }
        }
        let mut parameters = Parameters::zeros(Arc::new(layout));
        initialize::unit_norm(&mut parameters, shape, &slots);
        for (entry, tensor) in &tensors {
            entry.fill_from_pytorch(tensor, parameters.slice_mut(entry.slot));
        }
        Ok(WeightedCell::new(cell, slots, parameters))
    }

    /// A cell with parameters that lie at `slots`.
    ///
    /// # Panics
    /// If they are not this cell's.
    #[track_caller]
    pub fn new(cell: C, slots: CellSlots, parameters: Parameters<T>) -> Self {
        let (shape, compute) = (cell.shape(), Compute::sequential());
        let sizes = |slot: Option<Slot>| slot.map(|slot| (slot.rows(), slot.columns()));
        let own = CellSlots::add(&mut Layout::new(), shape, "", "");
        for (name, given, wanted) in [
            ("weight_ih", Some(slots.weight_ih), Some(own.weight_ih)),
            ("weight_hh", Some(slots.weight_hh), Some(own.weight_hh)),
            ("bias_ih", slots.bias_ih, own.bias_ih),
            ("bias_hh", slots.bias_hh, own.bias_hh),
            ("weight_hr", slots.weight_hr, own.weight_hr),
            ("weight_peephole", slots.weight_peephole, own.weight_peephole),
            ("weight_norm", slots.weight_norm, own.weight_norm),
        ] {
            let (given, wanted) = (sizes(given), sizes(wanted));
            assert!(given == wanted, "{name} of {given:?}; this cell needs {wanted:?}");
        }
        let mut packed = PackedCell::new(&cell);
        packed.pack(&compute, &slots, &parameters);
        packed.pack_input(&compute, &slots, &parameters);
        WeightedCell {
            tape: Matrix::zeros(shape.tape_rows, 1),
            h: Matrix::zeros(shape.hidden_size, 1),
            c: Matrix::zeros(shape.cell_size, 1),
            compute,
            parameters,
            slots,
            packed,
            cell,
        }
    }

    /// The equations.
    pub fn cell(&self) -> &C {
        &self.cell
    }

    /// The parameters, and where they lie.
    pub fn parameters(&self) -> (&Parameters<T>, &CellSlots) {
        (&self.parameters, &self.slots)
    }

    /// Takes one step of one sequence: h and c move on. `c` is empty for a cell without one.
    /// Allocates nothing.
    ///
    /// # Panics
    /// If a slice has another length than the cell's `input_size`, `hidden_size` or `cell_size`.
    #[track_caller]
    pub fn step(&mut self, x: &[T], h: &mut [T], c: &mut [T]) {
        let shape = self.cell.shape();
        let (given, wanted) =
            ([x.len(), h.len(), c.len()], [shape.input_size, shape.hidden_size, shape.cell_size]);
        assert!(given == wanted, "x, h and c have {given:?} numbers; {wanted:?} are needed");
        let WeightedCell { cell, compute, packed, tape, .. } = self;
        packed.input_product(compute, tape.as_mut(), Columns::new(x, x.len(), 1));
        let previous = StateRef { h: Columns::new(h, h.len(), 1), c: Columns::new(c, c.len(), 1) };
        let (next_h, next_c): (ColumnsMut<'_, T>, _) = (self.h.as_mut(), self.c.as_mut());
        packed.forward(compute, cell, tape.as_mut(), previous, next_h, next_c);
        h.copy_from_slice(self.h.as_slice());
        c.copy_from_slice(self.c.as_slice());
    }
}
