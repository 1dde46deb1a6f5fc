//! A stack that runs step by step without a tape: for streaming and for decoding.

use recurrent_cells::{Cell, PackedCell, Parameters, StateRef};
use recurrent_kernels::{Columns, Compute, Matrix, Real};

use crate::layer::input_product;
use crate::zoneout::Zoneout;
use crate::{Input, Stack, State};

/// A stack with weights packed once, and a state that moves on with every step. A step allocates
/// nothing; its bits are those of [`Stack::run`] over the whole sequence. Under a deadline, as in
/// audio, give it a [`Compute`] of one thread: a step then takes no lock and waits for nobody.
/// Several threads divide large weights among them.
///
/// It owns its copy of the weights: parameters that change later do not reach it.
pub struct StackStream<T, C> {
    compute: Compute,
    layers: Vec<StreamLayer<T, C>>,
    state: State<T>,
    next: State<T>,
    zoneout: Option<Zoneout>,
}

struct StreamLayer<T, C> {
    cell: C,
    packed: PackedCell<T>,
    gates: Matrix<T>,
}

impl<T: Real, C: Cell> StackStream<T, C> {
    /// Packs the weights of `stack`; the state is that which sequences begin from, for `batch` of
    /// them.
    ///
    /// # Panics
    /// If the stack reads in reverse: it begins at the last step.
    #[track_caller]
    pub fn new(
        compute: &Compute,
        stack: &Stack<C>,
        parameters: &Parameters<T>,
        batch: usize,
    ) -> Self {
        stack.require_forward();
        let layers = stack
            .cells()
            .map(|(cell, slots)| {
                let mut packed = PackedCell::new(cell);
                packed.pack(compute, slots, parameters);
                packed.pack_input(compute, slots, parameters);
                let gates = Matrix::zeros(cell.shape().tape_rows, batch);
                StreamLayer { cell: cell.clone(), packed, gates }
            })
            .collect();
        let state = stack.initial_state(parameters, batch);
        let (compute, zoneout) = (compute.clone(), stack.zoneout(0, None));
        StackStream { compute, layers, next: state.clone(), state, zoneout }
    }

    /// The state after the last step.
    pub fn state(&self) -> &State<T> {
        &self.state
    }

    /// The state that the next step starts from, to be set. Its shape must stay.
    pub fn state_mut(&mut self) -> &mut State<T> {
        &mut self.state
    }

    /// How many sequences run side by side.
    pub fn batch(&self) -> usize {
        self.next.batch()
    }

    /// Sequence j becomes what sequence `columns[j]` is now. There may be fewer than before, or
    /// more, and one may become several; what each says from here on has the same bits as before.
    ///
    /// # Panics
    /// If a sequence does not exist, or the state was set to one of another shape.
    #[track_caller]
    pub fn select(&mut self, columns: &[usize]) {
        self.assert_state();
        let batch = self.batch();
        assert!(
            columns.iter().all(|&column| column < batch),
            "sequences {columns:?} cannot be selected from a stream of {batch}"
        );
        self.state.select_columns_into(columns, &mut self.next);
        std::mem::swap(&mut self.state, &mut self.next);
        self.next.resize(columns.len());
        for StreamLayer { gates, .. } in &mut self.layers {
            gates.resize(gates.rows(), columns.len());
        }
    }

    #[track_caller]
    fn assert_state(&self) {
        let shapes = self.layers.iter().map(|layer| layer.cell.shape());
        self.state.assert_shapes(shapes, self.batch());
    }

    /// h of the last layer after the last step, `hidden_size` x batch.
    pub fn output(&self) -> Columns<'_, T> {
        self.state.layers.last().expect("a stack has at least one layer").h.as_ref()
    }

    /// Takes one step of every sequence and gives the last layer's h, `hidden_size` x batch.
    ///
    /// # Panics
    /// If the input's shape does not fit, or the state was set to one of another shape.
    #[track_caller]
    pub fn step(&mut self, input: Input<'_, T>) -> Columns<'_, T> {
        self.assert_state();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let (below, next) = self.next.layers.split_at_mut(index);
            let input = below.last().map_or(input, |below| Input::Columns(below.h.as_ref()));
            let (gates, now) = (&mut layer.gates, &self.state.layers[index]);
            input_product(&layer.packed, &self.compute, gates.as_mut(), input, 0);
            let previous = StateRef { h: now.h.as_ref(), c: now.c.as_ref() };
            let (h, c) = (next[0].h.as_mut(), next[0].c.as_mut());
            let (mut h, mut c) = (h, c);
            let cell = &layer.cell;
            layer.packed.forward(
                &self.compute,
                cell,
                gates.as_mut(),
                previous,
                h.reborrow(),
                c.reborrow(),
            );
            if let Some(zoneout) = self.zoneout {
                zoneout.expect(previous, h, c);
            }
        }
        std::mem::swap(&mut self.state, &mut self.next);
        self.output()
    }
}
