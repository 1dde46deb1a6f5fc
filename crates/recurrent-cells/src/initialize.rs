//! Initial values of parameters.

use recurrent_kernels::Real;
use recurrent_kernels::random::Generator;

use crate::{CellSlots, Embedding, Linear, Lstm, Parameters, Slot};

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

/// PyTorch's default of `nn.RNN`, `nn.LSTM` and `nn.GRU`: weights and biases uniform between
/// `-1 / sqrt(hidden_size)` and `1 / sqrt(hidden_size)`.
pub fn recurrent<T: Real>(
    generator: &mut Generator,
    parameters: &mut Parameters<T>,
    slots: &CellSlots,
) {
    let bound = 1.0 / (slots.weight_hh.columns() as f64).sqrt();
    for slot in [slots.weight_ih, slots.weight_hh, slots.bias_ih, slots.bias_hh] {
        uniform(generator, parameters, slot, bound);
    }
}

/// PyTorch's default of `nn.Linear`: weight and bias uniform between `-1 / sqrt(input_size)` and
/// `1 / sqrt(input_size)`.
pub fn linear<T: Real>(generator: &mut Generator, parameters: &mut Parameters<T>, linear: &Linear) {
    let bound = 1.0 / (linear.weight.columns() as f64).sqrt();
    uniform(generator, parameters, linear.weight, bound);
    uniform(generator, parameters, linear.bias, bound);
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
pub fn forget_bias<T: Real>(
    parameters: &mut Parameters<T>,
    cell: &Lstm,
    slots: &CellSlots,
    value: f64,
) {
    parameters.slice_mut(slots.bias_ih)[cell.forget_rows()].fill(T::from_f64(value));
    parameters.slice_mut(slots.bias_hh)[cell.forget_rows()].fill(T::ZERO);
}
