//! Cells as scalar loops, one number at a time, straight from their papers and in f64: slow, and
//! with nothing to get wrong. Weights are functions of (row, column), vectors are slices.

/// A cell's parameters in PyTorch's row order: `weight(row, column)` and one bias each.
pub struct Weights<'a> {
    /// `weight_ih`.
    pub ih: &'a dyn Fn(usize, usize) -> f64,
    /// `weight_hh`.
    pub hh: &'a dyn Fn(usize, usize) -> f64,
    /// `bias_ih`.
    pub bias_ih: &'a [f64],
    /// `bias_hh`.
    pub bias_hh: &'a [f64],
}

impl Weights<'_> {
    fn input(&self, row: usize, x: &[f64]) -> f64 {
        (0..x.len()).map(|k| (self.ih)(row, k) * x[k]).sum::<f64>() + self.bias_ih[row]
    }
    fn recurrent(&self, row: usize, h: &[f64]) -> f64 {
        (0..h.len()).map(|k| (self.hh)(row, k) * h[k]).sum::<f64>() + self.bias_hh[row]
    }
}

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// One step of an LSTM (rows i, f, g, o): gives h and c after x.
pub fn lstm_step(weights: &Weights<'_>, x: &[f64], h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let size = h.len();
    let gate = |block: usize, r: usize| {
        weights.input(block * size + r, x) + weights.recurrent(block * size + r, h)
    };
    let c_next: Vec<f64> = (0..size)
        .map(|r| sigmoid(gate(1, r)) * c[r] + sigmoid(gate(0, r)) * gate(2, r).tanh())
        .collect();
    let h_next = (0..size).map(|r| sigmoid(gate(3, r)) * c_next[r].tanh()).collect();
    (h_next, c_next)
}

/// One step of a GRU with the reset after the product (rows r, z, n): gives h after x.
pub fn gru_step(weights: &Weights<'_>, x: &[f64], h: &[f64]) -> Vec<f64> {
    let size = h.len();
    let both = |row: usize| weights.input(row, x) + weights.recurrent(row, h);
    (0..size)
        .map(|k| {
            let (r, z) = (sigmoid(both(k)), sigmoid(both(size + k)));
            let row = 2 * size + k;
            let n = (weights.input(row, x) + r * weights.recurrent(row, h)).tanh();
            (1.0 - z) * n + z * h[k]
        })
        .collect()
}
