//! How a state depends on the state some steps before it, exactly.

use recurrent_cells::{Cell, Parameters};
use recurrent_kernels::{Columns, Compute, Matrix, Real};

use crate::by_cell::ByCell;
use crate::singular_value::largest_singular_value;
use crate::{Direction, Input, InputGradient, Lengths, Observation, Probe, Stack, State, Tape};

/// Unit gradients that go back together: enough for a processor to work on at once, and no more,
/// because the tape holds every step of each.
const TOGETHER: usize = 16;

/// The derivative of a cell's state after the last step of a sequence with respect to its state some
/// steps before: the product of the Jacobians of these steps,
///
/// ```text
/// ds_t/ds_{t-k} = J_t J_{t-1} ... J_{t-k+1}        s = h, in a cell with c s = (h, c)
/// ```
///
/// What the cell reads is held fixed, and so is, in a layer above others, what these give it. It does
/// not depend on any loss. Its largest singular value says by how much k steps can stretch a gradient
/// at most: below 1 for growing k it vanishes whatever the loss is, above it can explode (Pascanu,
/// Mikolov and Bengio 2013).
#[derive(Debug)]
pub struct StateJacobian {
    lags: Vec<usize>,
    products: Vec<Matrix<f64>>,
}

impl StateJacobian {
    /// Measures one cell of a stack over one sequence `x` (`input_size` x steps) from the state
    /// `initial` (of one sequence), at these lags. A lag of k looks at the state k steps before the
    /// last one that the direction takes, so it is at most the number of steps less 1.
    ///
    /// One backward pass gives one row of all products; the rows are those of unit gradients. So it
    /// costs as much as training on n copies of the sequence, n numbers in the state, of which 16 at
    /// a time are in memory. With f64 as the number type no product is lost before 1e-300.
    ///
    /// # Panics
    /// If the shapes do not fit, there is no such layer, or a lag is too long.
    #[track_caller]
    pub fn measure<T: Real, C: Cell>(
        stack: &Stack<C>,
        compute: &Compute,
        parameters: &Parameters<T>,
        x: Columns<'_, T>,
        initial: &State<T>,
        (layer, direction): (usize, Direction),
        lags: &[usize],
    ) -> StateJacobian {
        let steps = x.columns();
        if let Some(lag) = lags.iter().find(|&&lag| lag >= steps) {
            panic!("a lag of {lag} in a sequence of {steps} steps");
        }
        let Some(at) = stack.place(layer, direction) else {
            panic!("there is no layer {layer} that reads {direction:?}");
        };
        let size = initial.layers[at].h.rows() + initial.layers[at].c.rows();
        let mut products = vec![Matrix::zeros(size, size); lags.len()];
        let (mut tape, mut copies) = (Tape::new(), Matrix::zeros(0, 0));
        let mut gradients = parameters.zeros_like();
        for first in (0..size).step_by(TOGETHER) {
            let units = first..size.min(first + TOGETHER);
            let lengths = Lengths::equal(units.len(), steps);
            copies.resize(x.rows(), lengths.columns());
            for j in 0..lengths.columns() {
                copies.as_mut().column(j).copy_from_slice(x.column(j / units.len()));
            }
            let initial = initial.select_columns(&vec![0; units.len()]);
            let input = Input::Columns(copies.as_ref());
            let run = stack.run(compute, parameters, input, &initial, &lengths, None, &mut tape);
            let mut turned = run.turn();
            turned.output_and_gradient().1.fill(T::ZERO);
            let mut unit: State<T> = stack.zero_state(units.len());
            for (j, row) in units.clone().enumerate() {
                let state = &mut unit.layers[at];
                match row.checked_sub(state.h.rows()) {
                    None => state.h.as_mut().column(j)[row] = T::ONE,
                    Some(row) => state.c.as_mut().column(j)[row] = T::ONE,
                }
            }
            turned.add_final_state_gradient(&unit);
            let seen = Rows { steps, lags, cells: ByCell::default() };
            let input = InputGradient::Columns { x: copies.as_ref(), d_x: None };
            let _ = stack.run_backward(turned, compute, parameters, input, &mut gradients, &seen);
            seen.cells.map(|own_layer, own_direction, rows| {
                if (own_layer, own_direction) == (layer, direction) {
                    for (at, place, numbers) in rows {
                        for (column, number) in numbers.iter().enumerate() {
                            products[*at].as_mut().column(column)[first + place] = *number;
                        }
                    }
                }
            });
        }
        StateJacobian { lags: lags.to_vec(), products }
    }

    /// The lags that were asked for.
    pub fn lags(&self) -> &[usize] {
        &self.lags
    }

    /// The products, one for each lag: a row for each number of the state after the last step, a
    /// column for each of the state before. h stands before c.
    pub fn products(&self) -> &[Matrix<f64>] {
        &self.products
    }

    /// The largest singular value of each product, one for each lag.
    pub fn largest_singular_values(&self) -> Vec<f64> {
        self.products.iter().map(largest_singular_value).collect()
    }
}

/// The gradients of states at some lags: which lag, which sequence, the numbers.
type Found = Vec<(usize, usize, Vec<f64>)>;

/// The probe that collects the products' rows.
struct Rows<'a> {
    steps: usize,
    lags: &'a [usize],
    cells: ByCell<Found>,
}

impl<T: Real> Probe<T> for Rows<'_> {
    fn observe(&self, seen: Observation<'_, T>) {
        let lag = match seen.direction {
            Direction::Forward => self.steps - 1 - seen.t,
            Direction::Reverse => seen.t,
        };
        for (at, _) in self.lags.iter().enumerate().filter(|(_, own)| **own == lag) {
            let row = |j: usize| {
                let (h, c) = (seen.d_h.column(j), seen.d_c.column(j));
                h.iter().chain(c).map(|number| number.to_f64()).collect::<Vec<f64>>()
            };
            let rows: Found =
                seen.sequences.clone().enumerate().map(|(j, place)| (at, place, row(j))).collect();
            self.cells.change(seen.layer, seen.direction, |all| all.extend(rows));
        }
    }
}
