//! All parameters of a model in one flat buffer, with a table of who lies where.
//!
//! Gradients and an optimiser's moments are the same thing again: [`Parameters::zeros_like`].
//! Clipping, optimisers, snapshots are loops over [`Parameters::as_slice`]; whatever needs names
//! goes through the one ordered [`Parameters::visit`].

use std::sync::Arc;

use recurrent_kernels::{Columns, ColumnsMut, Real};

/// Every parameter starts at a multiple of this many numbers from the first. The gaps
/// hold zeros and stay zero: their gradient is zero.
const ALIGNMENT: usize = 16;

/// How a parameter relates to the PyTorch tensor of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A PyTorch matrix of shape (rows, columns), row after row there, column after column here.
    Matrix,
    /// A PyTorch vector of shape (rows).
    Vector,
    /// A PyTorch matrix of shape (columns, rows): the same numbers in the same order; an
    /// embedding, of which we keep one column for each of PyTorch's rows.
    Table,
}

/// Where a parameter lies in the buffer, and its shape. Layers keep these, never the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    offset: usize,
    rows: usize,
    columns: usize,
}

impl Slot {
    /// Numbers in a column.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
    fn len(&self) -> usize {
        self.rows * self.columns
    }
}

/// A line of the table: a parameter's name, form and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// PyTorch's name, such as `rnn.weight_hh_l0`.
    pub name: String,
    /// How it relates to PyTorch's tensor.
    pub form: Form,
    /// Where it lies.
    pub slot: Slot,
}

impl Entry {
    /// The shape PyTorch gives the tensor of this name.
    pub fn pytorch_shape(&self) -> Vec<usize> {
        match self.form {
            Form::Matrix => vec![self.slot.rows, self.slot.columns],
            Form::Vector => vec![self.slot.rows],
            Form::Table => vec![self.slot.columns, self.slot.rows],
        }
    }

    /// The numbers of PyTorch's tensor, row after row, from ours.
    pub fn to_pytorch<T: Copy>(&self, numbers: &[T]) -> Vec<T> {
        (0..numbers.len()).map(|element| numbers[self.place(element)]).collect()
    }

    /// Fills our numbers from those of PyTorch's tensor, row after row.
    ///
    /// # Panics
    /// If there are not as many.
    #[track_caller]
    pub fn fill_from_pytorch<T: Copy>(&self, tensor: &[T], numbers: &mut [T]) {
        let (given, wanted) = (tensor.len(), numbers.len());
        assert!(given == wanted, "`{}` has {wanted} numbers; {given} were given", self.name);
        for (element, &number) in tensor.iter().enumerate() {
            numbers[self.place(element)] = number;
        }
    }

    /// Where an element of PyTorch's tensor, counted row after row, lies here.
    fn place(&self, element: usize) -> usize {
        let Slot { rows, columns, .. } = self.slot;
        match self.form {
            Form::Matrix => element % columns * rows + element / columns,
            Form::Vector | Form::Table => element,
        }
    }
}

/// The table of a model's parameters, in their one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    len: usize,
}

impl Layout {
    /// An empty table.
    pub fn new() -> Self {
        Layout::default()
    }

    /// Adds a parameter of `rows` x `columns` numbers and says where it lies.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn add(&mut self, name: String, form: Form, rows: usize, columns: usize) -> Slot {
        assert!(
            self.entries.iter().all(|entry| entry.name != name),
            "two parameters are named `{name}`"
        );
        assert!(form != Form::Vector || columns == 1, "the vector `{name}` has {columns} columns");
        let slot = Slot { offset: self.len, rows, columns };
        self.len += slot.len().next_multiple_of(ALIGNMENT);
        self.entries.push(Entry { name, form, slot });
        slot
    }

    /// The lines of the table, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many numbers the parameters are, gaps not counted.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|entry| entry.slot.len()).sum()
    }
}

/// Numbers for every line of a [`Layout`]: parameters, gradients, or an optimiser's moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<T> {
    layout: Arc<Layout>,
    data: Vec<T>,
}

impl<T: Real> Parameters<T> {
    /// Zeros for every line of `layout`.
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let data = vec![T::ZERO; layout.len];
        Parameters { layout, data }
    }

    /// Zeros of the same layout.
    pub fn zeros_like(&self) -> Self {
        Parameters::zeros(Arc::clone(&self.layout))
    }

    /// The table.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Whoever knows slots of `layout` asks here whether these are numbers for it.
    ///
    /// # Panics
    /// If they are for another layout.
    #[track_caller]
    pub fn assert_layout(&self, layout: &Arc<Layout>) {
        assert!(
            Arc::ptr_eq(&self.layout, layout) || self.layout == *layout,
            "parameters of another model: {} numbers in {} blocks; {} in {} are needed",
            self.layout.count(),
            self.layout.entries.len(),
            layout.count(),
            layout.entries.len()
        );
    }

    /// One parameter.
    #[track_caller]
    pub fn get(&self, slot: Slot) -> Columns<'_, T> {
        Columns::new(self.slice(slot), slot.rows, slot.columns)
    }

    /// One parameter, writable.
    #[track_caller]
    pub fn get_mut(&mut self, slot: Slot) -> ColumnsMut<'_, T> {
        ColumnsMut::new(self.slice_mut(slot), slot.rows, slot.columns)
    }

    /// One parameter's numbers, column after column.
    #[track_caller]
    pub fn slice(&self, slot: Slot) -> &[T] {
        &self.data[slot.offset..slot.offset + slot.len()]
    }

    /// One parameter's numbers, column after column, writable.
    #[track_caller]
    pub fn slice_mut(&mut self, slot: Slot) -> &mut [T] {
        &mut self.data[slot.offset..slot.offset + slot.len()]
    }

    /// All numbers, with the zero gaps between parameters.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// All numbers, with the gaps between parameters. Whoever writes must leave the gaps zero.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Calls `f` with every parameter's line and numbers, in order.
    pub fn visit(&self, mut f: impl FnMut(&Entry, &[T])) {
        for entry in &self.layout.entries {
            f(entry, self.slice(entry.slot));
        }
    }

    /// Calls `f` with every parameter's line and numbers, in order, writable.
    pub fn visit_mut(&mut self, mut f: impl FnMut(&Entry, &mut [T])) {
        let layout = Arc::clone(&self.layout);
        for entry in &layout.entries {
            f(entry, self.slice_mut(entry.slot));
        }
    }

    /// The first parameter that holds a number which is infinite or NaN.
    pub fn first_non_finite(&self) -> Option<&str> {
        self.layout
            .entries
            .iter()
            .find(|entry| self.slice(entry.slot).iter().any(|x| !x.is_finite()))
            .map(|entry| entry.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_visit_keeps_the_order() {
        let mut layout = Layout::new();
        let a = layout.add("a".into(), Form::Matrix, 3, 5);
        let b = layout.add("b".into(), Form::Vector, 7, 1);
        let mut parameters = Parameters::<f32>::zeros(Arc::new(layout));
        parameters.slice_mut(a).fill(1.0);
        parameters.slice_mut(b).fill(2.0);
        assert_eq!(parameters.as_slice().iter().sum::<f32>(), 15.0 + 14.0);
        let mut seen = Vec::new();
        parameters.visit(|entry, data| seen.push((entry.name.clone(), data.len())));
        assert_eq!(seen, [("a".to_string(), 15), ("b".to_string(), 7)]);
        assert_eq!(parameters.layout().count(), 22);
    }

    #[test]
    #[should_panic(expected = "two parameters are named `a`")]
    fn a_name_is_taken_once() {
        let mut layout = Layout::new();
        layout.add("a".into(), Form::Vector, 1, 1);
        layout.add("a".into(), Form::Vector, 1, 1);
    }
}
