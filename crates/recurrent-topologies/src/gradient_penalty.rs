//! Gradients that should neither vanish nor explode on their way back: Pascanu, Mikolov, Bengio 2013,
//! "On the difficulty of training recurrent neural networks", equations 9 and 10.
//!
//! With a_t for the pre-activation of step t, `h_t = f(a_t)`, and d_a_t for its gradient:
//!
//! ```text
//! v_t   = f'(a_{t-1}) W_hh^T d_a_t                     what of d_a_t reaches a_{t-1}
//! Omega = sum over t of (|v_t| / |d_a_t| - 1)^2
//! ```
//! As in the paper h and d_a count as constants, so that nothing but W_hh has a gradient:
//!
//! ```text
//! u_t = 2 (|v_t| / |d_a_t| - 1) / |d_a_t|  f'(a_{t-1}) v_t / |v_t|
//! d_W_hh += lambda sum over t of d_a_t u_t^T
//! ```
//! The sum is over the steps of a sequence that have one before them (in a window that reads steps
//! again, all steps that its gradients go back through), and the mean over the sequences of a batch,
//! like that of a loss. A step whose |d_a_t| is below 1e-30 is left out: 0 has no direction, and of
//! less than that f32 does not hold the inverse and what W_hh makes of it.

use recurrent_cells::Cell;
use recurrent_kernels::{Columns, Matrix, Real};

use crate::direction::Before;
use crate::layer::Pass;
use crate::tape::DirectionTape;

/// The smallest |d_a_t| of a step that is not left out.
const LEAST: f64 = 1e-30;

impl<T: Real> DirectionTape<T> {
    /// Fills `u` with lambda u_t for every column, and gives lambda Omega. `h` is this direction's,
    /// after each step; the gates are their gradients.
    pub(crate) fn gradient_penalty<C: Cell>(
        &self,
        pass: Pass<'_, T, C>,
        h: Columns<'_, T>,
        weight: f64,
        u: &mut Matrix<T>,
    ) -> f64 {
        let Pass { compute, cell, lengths, direction, .. } = pass;
        let gates = self.gates.as_ref();
        u.resize(h.rows(), lengths.columns());
        self.packed_backward.hidden_product(compute, u.as_mut(), gates);
        let (offsets, weight) = (lengths.offsets(), weight / lengths.batch() as f64);
        let (mut u, mut omega) = (u.as_mut(), 0.0);
        for t in 0..lengths.steps() {
            direction.for_segments(lengths, t, 0..lengths.width(t), |places, before| {
                for place in places {
                    let column = offsets[t] + place;
                    let u = u.column(column);
                    let Before::Panel(panel) = before else {
                        u.fill(T::ZERO);
                        continue;
                    };
                    let h = h.column(offsets[panel] + place);
                    let slope = |r: usize| cell.hidden_slope(h[r]).expect("checked by the stack");
                    for r in 0..u.len() {
                        u[r] *= slope(r);
                    }
                    let (reached, came) = (norm(u), norm(gates.column(column)));
                    if came < LEAST {
                        u.fill(T::ZERO);
                        continue;
                    }
                    let excess = reached / came - 1.0;
                    omega += weight * excess * excess;
                    // In f64: the square of what f32 can hold is no f32.
                    let factor = weight * 2.0 * excess / came;
                    let direction = |v: T| if reached > 0.0 { v.to_f64() / reached } else { 0.0 };
                    for r in 0..u.len() {
                        u[r] = T::from_f64(factor * slope(r).to_f64() * direction(u[r]));
                    }
                }
            });
        }
        omega
    }
}

/// The Euclidean norm, summed from the first number to the last.
fn norm<T: Real>(column: &[T]) -> f64 {
    column.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>().sqrt()
}
