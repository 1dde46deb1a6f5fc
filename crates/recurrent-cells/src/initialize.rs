//! Initial values of parameters.

use std::ops::Range;

use recurrent_kernels::Real;
use recurrent_kernels::random::Generator;
use serde::{Deserialize, Serialize};

use crate::cell::{Biases, Cell, CellShape};
use crate::{AnyCell, CellSlots, Conv2d, Embedding, LayerNorm, Linear, Lstm, Parameters, Slot};

/// How the parameters of a recurrent cell begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Initialization {
    /// [`recurrent`]: PyTorch's default.
    #[default]
    Uniform,
    /// [`xavier`].
    Xavier,
    /// [`orthogonal`].
    Orthogonal,
    /// [`identity`], for an RNN.
    Identity,
    /// [`chrono`], for an LSTM or a GRU.
    Chrono {
        /// The longest time, in steps, over which the cell is to remember; at least 3.
        steps: u64,
    },
}

/// Why a cell cannot begin like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitializationError {
    /// The initial values have no meaning for this cell.
    #[error("{what} is for {cells}")]
    Cell {
        /// Which initial values.
        what: &'static str,
        /// The cells that it is for.
        cells: &'static str,
    },
    /// The initial values are those of a bias, and the cell has none.
    #[error("{what} sets a bias, and the cell has none")]
    NoBias {
        /// Which initial values.
        what: &'static str,
    },
    /// The time to remember is too short to draw from.
    #[error("chrono needs at least 3 steps to remember, not {steps}")]
    Steps {
        /// What was given.
        steps: u64,
    },
}

impl Initialization {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Initialization::Uniform => "uniform",
            Initialization::Xavier => "xavier",
            Initialization::Orthogonal => "orthogonal",
            Initialization::Identity => "identity",
            Initialization::Chrono { .. } => "chrono",
        }
    }

    /// Whether such a cell can begin like this.
    ///
    /// # Errors
    /// [`InitializationError`] says why not.
    pub fn check(self, cell: &AnyCell) -> Result<(), InitializationError> {
        let what = self.name();
        match (self, cell) {
            (Initialization::Identity, AnyCell::Lstm(_) | AnyCell::Gru(_)) => {
                let cells = "rnn-tanh, rnn-relu and rnn-identity";
                Err(InitializationError::Cell { what, cells })
            }
            (Initialization::Chrono { .. }, AnyCell::Rnn(_)) => {
                Err(InitializationError::Cell { what, cells: "lstm, layer-norm-lstm and gru" })
            }
            (Initialization::Chrono { .. }, cell) if cell.shape().biases == Biases::None => {
                Err(InitializationError::NoBias { what })
            }
            (Initialization::Chrono { steps }, _) if steps < 3 => {
                Err(InitializationError::Steps { steps })
            }
            _ => Ok(()),
        }
    }

    /// Fills the parameters of one cell.
    ///
    /// # Errors
    /// As [`check`](Self::check); nothing is written then.
    pub fn fill<T: Real>(
        self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        cell: &AnyCell,
        slots: &CellSlots,
    ) -> Result<(), InitializationError> {
        self.check(cell)?;
        match self {
            Initialization::Uniform => recurrent(generator, parameters, cell, slots),
            Initialization::Xavier => xavier(generator, parameters, cell, slots),
            Initialization::Orthogonal => orthogonal(generator, parameters, cell, slots),
            Initialization::Identity => identity(generator, parameters, slots),
            Initialization::Chrono { steps } => {
                chrono(generator, parameters, cell, slots, steps)?;
            }
        }
        Ok(())
    }
}

/// Uniform between `-bound` and `bound`.
pub fn uniform<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    slot: Slot,
    bound: f64,
) {
    for value in parameters.slice_mut(slot) {
        *value = T::from_f64(generator.uniform_between(-bound, bound));
    }
}

/// Numbers of a gate: PyTorch's `hidden_size`, of which h may be a projection.
fn units(shape: CellShape) -> usize {
    if shape.projects { shape.inner_size } else { shape.hidden_size }
}

/// PyTorch's default of `nn.RNN`, `nn.LSTM` and `nn.GRU`: everything uniform between
/// `-1 / sqrt(hidden_size)` and `1 / sqrt(hidden_size)`; but gains and shifts by [`unit_norm`].
pub fn recurrent<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    cell: &impl Cell,
    slots: &CellSlots,
) {
    let bound = 1.0 / (units(cell.shape()) as f64).sqrt();
    for slot in slots.all() {
        uniform(generator, parameters, slot, bound);
    }
    unit_norm(parameters, cell.shape(), slots);
}

/// Xavier: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
/// neural networks", equation 16. The weights of each gate are uniform within
/// `sqrt(6 / (inputs + outputs))`; peepholes too, with one input and one output; biases are zero, gains
/// and shifts by [`unit_norm`].
pub fn xavier<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    cell: &impl Cell,
    slots: &CellSlots,
) {
    let units = units(cell.shape());
    let bound = |inputs: usize, outputs: usize| (6.0 / (inputs + outputs) as f64).sqrt();
    for slot in [slots.weight_ih, slots.weight_hh] {
        uniform(generator, parameters, slot, bound(slot.columns(), units));
    }
    if let Some(weight_hr) = slots.weight_hr {
        uniform(generator, parameters, weight_hr, bound(weight_hr.columns(), weight_hr.rows()));
    }
    if let Some(peephole) = slots.weight_peephole {
        uniform(generator, parameters, peephole, bound(1, 1));
    }
    zero_biases(parameters, slots);
    unit_norm(parameters, cell.shape(), slots);
}

/// Gains of 1 and shifts of 0, of which there is one for every number of c: a cell that normalises
/// begins with nothing else.
pub fn unit_norm<T: Real>(parameters: &mut Parameters<T>, shape: CellShape, slots: &CellSlots) {
    if let Some(slot) = slots.weight_norm {
        let (gains, shifts) =
            parameters.slice_mut(slot).split_at_mut(shape.norm_size - shape.cell_size);
        gains.fill(T::ONE);
        shifts.fill(T::ZERO);
    }
}

fn zero_biases<T: Real>(parameters: &mut Parameters<T>, slots: &CellSlots) {
    for bias in [slots.bias_ih, slots.bias_hh].into_iter().flatten() {
        parameters.slice_mut(bias).fill(T::ZERO);
    }
}

/// Orthogonal recurrent weights: Saxe, McClelland and Ganguli 2014, "Exact solutions to the
/// nonlinear dynamics of learning in deep linear neural networks". The block of each gate in
/// `weight_hh`, and `weight_hr`, are drawn evenly from all orthogonal matrices (where they are not
/// square, from those with orthonormal rows or columns), so that a step neither stretches nor
/// shrinks; all else is as with [`xavier`]. With the identity as activation gradients then keep
/// their length over any number of steps.
pub fn orthogonal<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    cell: &impl Cell,
    slots: &CellSlots,
) {
    xavier(generator, parameters, cell, slots);
    let units = units(cell.shape());
    for first in (0..slots.weight_hh.rows()).step_by(units) {
        orthogonal_block(generator, parameters, slots.weight_hh, first..first + units);
    }
    if let Some(weight_hr) = slots.weight_hr {
        orthogonal_block(generator, parameters, weight_hr, 0..weight_hr.rows());
    }
}

/// Fills some rows of a weight with orthonormal columns, or rows if there are fewer of them.
fn orthogonal_block<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    slot: Slot,
    rows: Range<usize>,
) {
    let (height, width) = (rows.len(), slot.columns());
    // `count` vectors of `length` numbers: the columns of a tall block, the rows of a wide one.
    let (length, count) = (height.max(width), height.min(width));
    let mut vectors: Vec<Vec<f64>> =
        (0..count).map(|_| (0..length).map(|_| generator.normal()).collect()).collect();
    for k in 0..count {
        let (before, rest) = vectors.split_at_mut(k);
        let vector = &mut rest[0];
        // Gram and Schmidt, twice: once is not enough in floating point (Giraud et al. 2005).
        for _ in 0..2 {
            for other in before.iter() {
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
    }
    let mut weight = parameters.get_mut(slot);
    for j in 0..width {
        for (r, value) in weight.column(j)[rows.clone()].iter_mut().enumerate() {
            *value = T::from_f64(if height >= width { vectors[j][r] } else { vectors[r][j] });
        }
    }
}

/// The RNN that starts as a memory: Le, Jaitly and Hinton 2015, "A simple way to initialize
/// recurrent networks of rectified linear units". `weight_hh` is the identity, `weight_ih` normal
/// with standard deviation 0.001, biases are zero: without input, h stays.
///
/// # Panics
/// If `weight_hh` is not square: this is for an [`Rnn`](crate::Rnn).
#[track_caller]
pub fn identity<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    slots: &CellSlots,
) {
    let (rows, columns) = (slots.weight_hh.rows(), slots.weight_hh.columns());
    assert!(rows == columns, "a weight_hh of {rows} x {columns} cannot be the identity");
    for value in parameters.slice_mut(slots.weight_ih) {
        *value = T::from_f64(0.001 * generator.normal::<f64>());
    }
    let mut weight_hh = parameters.get_mut(slots.weight_hh);
    weight_hh.fill(T::ZERO);
    for k in 0..columns {
        weight_hh.column(k)[k] = T::ONE;
    }
    zero_biases(parameters, slots);
}

/// Gates that forget slowly, over times up to `steps`: Tallec and Ollivier 2018, "Can recurrent
/// neural networks warp time?", equation 16. The rest is [`recurrent`].
///
/// ```text
/// LSTM: b_f = ln u, b_i = -b_f         u uniform between 1 and steps - 1
/// coupled LSTM: b_i = -ln u            GRU: b_z = ln u, since z is the share that stays
/// ```
/// The whole value goes to `bias_ih`; the same rows of `bias_hh` become 0.
///
/// # Errors
/// [`InitializationError`] if the cell has no such gate or no bias, or `steps` is below 3.
pub fn chrono<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    cell: &AnyCell,
    slots: &CellSlots,
    steps: u64,
) -> Result<(), InitializationError> {
    Initialization::Chrono { steps }.check(cell)?;
    // Rows of the gates, and the sign of ln u in each.
    let gates = match cell {
        AnyCell::Lstm(lstm) => {
            [lstm.forget_rows().map(|rows| (rows, 1.0)), Some((lstm.input_rows(), -1.0))]
        }
        AnyCell::Gru(gru) => [Some((gru.update_rows(), 1.0)), None],
        AnyCell::Rnn(_) => unreachable!("refused above"),
    };
    let bias_ih = slots.bias_ih.expect("a cell with biases");
    recurrent(generator, parameters, cell, slots);
    let logarithms: Vec<f64> = (0..units(cell.shape()))
        .map(|_| libm::log(generator.uniform_between(1.0, (steps - 1) as f64)))
        .collect();
    for (rows, sign) in gates.into_iter().flatten() {
        for (value, logarithm) in
            parameters.slice_mut(bias_ih)[rows.clone()].iter_mut().zip(&logarithms)
        {
            *value = T::from_f64(sign * logarithm);
        }
        if let Some(bias_hh) = slots.bias_hh {
            parameters.slice_mut(bias_hh)[rows].fill(T::ZERO);
        }
    }
    Ok(())
}

/// PyTorch's default of `nn.Linear`: weight and bias uniform between `-1 / sqrt(input_size)` and
/// `1 / sqrt(input_size)`.
pub fn linear<T: Real>(generator: &mut Generator, parameters: &mut Parameters<T>, linear: &Linear) {
    let bound = 1.0 / (linear.weight.columns() as f64).sqrt();
    uniform(generator, parameters, linear.weight, bound);
    uniform(generator, parameters, linear.bias, bound);
}

/// For a convolution with relu behind it: He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers",
/// equation 10; PyTorch's `kaiming_normal_`. Weights are normal with variance `2 / fan_in`, fan_in being
/// the numbers of a patch, so that what passes relu is as large as what was read; the bias is 0.
///
/// PyTorch's default has the variance `1 / (3 fan_in)`: three convolutions make what they are shown
/// about fifteen times smaller, and what they say of it is heard late.
pub fn conv2d<T: Real>(generator: &mut Generator, parameters: &mut Parameters<T>, conv: &Conv2d) {
    kaiming_normal(generator, parameters, &conv.linear());
}

/// As [`conv2d`], for a linear map.
pub fn kaiming_normal<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    linear: &Linear,
) {
    let deviation = (2.0 / linear.weight.columns() as f64).sqrt();
    for value in parameters.slice_mut(linear.weight) {
        *value = T::from_f64(deviation * generator.normal::<f64>());
    }
    parameters.slice_mut(linear.bias).fill(T::ZERO);
}

/// PyTorch's default of `nn.LayerNorm`: a gain of 1 and a bias of 0.
pub fn layer_norm<T: Real>(parameters: &mut Parameters<T>, norm: &LayerNorm) {
    parameters.slice_mut(norm.weight).fill(T::ONE);
    parameters.slice_mut(norm.bias).fill(T::ZERO);
}

/// PyTorch's default of `nn.Embedding`: normal with mean 0 and standard deviation 1.
pub fn embedding<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    embedding: &Embedding,
) {
    for value in parameters.slice_mut(embedding.weight) {
        *value = T::from_f64(generator.normal());
    }
}

/// Sets an LSTM's forget-gate bias to `value`, so that it remembers from the start: Gers,
/// Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015 recommend 1. The whole
/// value goes to `bias_ih`; the forget rows of `bias_hh` become 0.
///
/// # Errors
/// [`InitializationError`] if the forget gate is coupled, or there is no bias.
pub fn forget_bias<T: Real>(
    parameters: &mut Parameters<T>,
    cell: &Lstm,
    slots: &CellSlots,
    value: f64,
) -> Result<(), InitializationError> {
    let what = "a forget bias";
    let Some(rows) = cell.forget_rows() else {
        let cells = "an LSTM whose forget gate is not coupled";
        return Err(InitializationError::Cell { what, cells });
    };
    let Some(bias_ih) = slots.bias_ih else {
        return Err(InitializationError::NoBias { what });
    };
    parameters.slice_mut(bias_ih)[rows.clone()].fill(T::from_f64(value));
    if let Some(bias_hh) = slots.bias_hh {
        parameters.slice_mut(bias_hh)[rows].fill(T::ZERO);
    }
    Ok(())
}
