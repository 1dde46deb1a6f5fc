//! What a stack remembers between steps: h and c of every layer and direction, a column for each
//! sequence.

use recurrent_cells::{Cell, CellShape};
use recurrent_kernels::{Matrix, Real};

use crate::direction;

/// h and c of one layer in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerState<T> {
    /// `hidden_size` x batch.
    pub h: Matrix<T>,
    /// `cell_size` x batch; no rows for cells without c.
    pub c: Matrix<T>,
}

/// h and c of every layer of a stack, first layer first; of two directions forward comes first. This
/// is the order of PyTorch's `h_n` and `c_n`.
#[derive(Clone, Debug, PartialEq)]
pub struct State<T> {
    /// One for each layer and direction.
    pub layers: Vec<LayerState<T>>,
    /// 1, or 2 if every layer reads both ways.
    pub(crate) directions: usize,
}

impl<T: Real> State<T> {
    /// Zeros for `batch` sequences through these cells, with `directions` of them to a layer.
    pub(crate) fn zeros<'c, C: Cell + 'c>(
        cells: impl IntoIterator<Item = &'c C>,
        directions: usize,
        batch: usize,
    ) -> Self {
        let layers = cells
            .into_iter()
            .map(|cell| LayerState {
                h: Matrix::zeros(cell.shape().hidden_size, batch),
                c: Matrix::zeros(cell.shape().cell_size, batch),
            })
            .collect();
        State { layers, directions }
    }

    /// The one door for states: every block has the shape that the cells and the batch ask for.
    #[track_caller]
    pub(crate) fn assert_shapes(
        &self,
        shapes: impl Iterator<Item = CellShape> + Clone,
        batch: usize,
    ) {
        let (given, wanted) = (self.layers.len(), shapes.clone().count());
        assert!(
            given == wanted,
            "a state of {given} blocks (layers and directions) does not fit a stack of {wanted}"
        );
        for (index, (layer, shape)) in self.layers.iter().zip(shapes).enumerate() {
            let (h, c) = (&layer.h, &layer.c);
            assert!(
                (h.rows(), h.columns()) == (shape.hidden_size, batch)
                    && (c.rows(), c.columns()) == (shape.cell_size, batch),
                "block {index} of a state has h of {} x {} and c of {} x {}; {} x {batch} and {} x \
                 {batch} are needed",
                h.rows(),
                h.columns(),
                c.rows(),
                c.columns(),
                shape.hidden_size,
                shape.cell_size
            );
        }
    }

    /// How many sequences.
    pub fn batch(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.h.columns())
    }

    /// Sets everything to zero.
    pub fn reset(&mut self) {
        for layer in &mut self.layers {
            layer.h.as_mut_slice().fill(T::ZERO);
            layer.c.as_mut_slice().fill(T::ZERO);
        }
    }

    /// The state whose column j is column `columns[j]` of this one: to follow sorted sequences,
    /// to drop finished ones, to spread one over many.
    ///
    /// # Panics
    /// If a column does not exist.
    #[track_caller]
    pub fn select_columns(&self, columns: &[usize]) -> State<T> {
        let mut selected = self.clone();
        self.select_columns_into(columns, &mut selected);
        selected
    }

    /// [`select_columns`](Self::select_columns) into a state of the same stack, reusing its memory.
    #[track_caller]
    pub(crate) fn select_columns_into(&self, columns: &[usize], selected: &mut State<T>) {
        for (target, source) in selected.layers.iter_mut().zip(&self.layers) {
            select(&mut target.h, &source.h, columns);
            select(&mut target.c, &source.c, columns);
        }
    }

    /// Gives the state room for `batch` sequences and leaves its contents unspecified.
    pub(crate) fn resize(&mut self, batch: usize) {
        for layer in &mut self.layers {
            layer.h.resize(layer.h.rows(), batch);
            layer.c.resize(layer.c.rows(), batch);
        }
    }

    /// Calls `f` with every block's name (`h_l0`, `c_l0`, `h_l0_reverse`, ...) and matrix, in order.
    pub fn visit(&self, mut f: impl FnMut(&str, &Matrix<T>)) {
        for (index, layer) in self.layers.iter().enumerate() {
            let suffix = suffix(index, self.directions);
            f(&format!("h_{suffix}"), &layer.h);
            f(&format!("c_{suffix}"), &layer.c);
        }
    }

    /// Calls `f` with every block's name and numbers, in order, writable.
    pub fn visit_mut(&mut self, mut f: impl FnMut(&str, &mut [T])) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let suffix = suffix(index, self.directions);
            f(&format!("h_{suffix}"), layer.h.as_mut_slice());
            f(&format!("c_{suffix}"), layer.c.as_mut_slice());
        }
    }
}

/// The end of the names of block `index`: `l0`, `l0_reverse`, `l1`, ...
fn suffix(index: usize, directions: usize) -> String {
    format!("l{}{}", index / directions, direction::suffix(index % directions))
}

/// `target[:, j] = source[:, columns[j]]`, reusing the target's memory.
pub(crate) fn select<T: Real>(target: &mut Matrix<T>, source: &Matrix<T>, columns: &[usize]) {
    target.resize(source.rows(), columns.len());
    for (j, &column) in columns.iter().enumerate() {
        target.as_mut().column(j).copy_from_slice(source.as_ref().column(column));
    }
}
