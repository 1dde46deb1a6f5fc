//! Cells as scalar loops, one number at a time, straight from their papers and in f64: slow, and
//! with nothing to get wrong. Weights are functions of (row, column), vectors are slices.

use recurrent_cells::{GruOptions, LstmOptions, Nonlinearity, Reset, RnnOptions};

/// A cell's parameters in PyTorch's row order. A cell reads those that it has.
pub struct Weights<'a> {
    /// `weight_ih(row, column)`.
    pub ih: &'a dyn Fn(usize, usize) -> f64,
    /// `weight_hh(row, column)`.
    pub hh: &'a dyn Fn(usize, usize) -> f64,
    /// `bias_ih`; empty without one.
    pub bias_ih: &'a [f64],
    /// `bias_hh`; empty without one.
    pub bias_hh: &'a [f64],
    /// `weight_hr(row, column)`.
    pub hr: &'a dyn Fn(usize, usize) -> f64,
    /// `weight_peephole`; empty without one.
    pub peephole: &'a [f64],
    /// `weight_norm`; empty without one.
    pub norm: &'a [f64],
}

impl Weights<'_> {
    /// `W_ih x + b_ih`, one row.
    fn input(&self, row: usize, x: &[f64]) -> f64 {
        let product: f64 = (0..x.len()).map(|k| (self.ih)(row, k) * x[k]).sum();
        product + self.bias_ih.get(row).unwrap_or(&0.0)
    }
    /// `W_hh h + b_hh`, one row.
    fn recurrent(&self, row: usize, h: &[f64]) -> f64 {
        let product: f64 = (0..h.len()).map(|k| (self.hh)(row, k) * h[k]).sum();
        product + self.bias_hh.get(row).unwrap_or(&0.0)
    }
    /// Both.
    fn both(&self, row: usize, x: &[f64], h: &[f64]) -> f64 {
        self.input(row, x) + self.recurrent(row, h)
    }
}

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

fn clamp(a: f64, clip: Option<f64>) -> f64 {
    clip.map_or(a, |limit| a.clamp(-limit, limit))
}

/// h and c after a step.
pub type Next = (Vec<f64>, Vec<f64>);

/// One step of a vanilla network: Elman 1990.
pub fn rnn_step(
    nonlinearity: Nonlinearity,
    options: RnnOptions,
    weights: &Weights<'_>,
    x: &[f64],
    h: &[f64],
) -> Next {
    let next = (0..h.len()).map(|k| {
        let a = clamp(weights.both(k, x, h), options.clip);
        match nonlinearity {
            Nonlinearity::Tanh => a.tanh(),
            Nonlinearity::Relu => a.max(0.0),
            Nonlinearity::Identity => a,
        }
    });
    (next.collect(), Vec::new())
}

/// One step of an LSTM: rows i, f, g, o, or i, g, o where the gates are coupled.
pub fn lstm_step(
    options: LstmOptions,
    weights: &Weights<'_>,
    x: &[f64],
    h: &[f64],
    c: &[f64],
) -> Next {
    if options.layer_norm {
        return layer_norm_lstm_step(weights, x, h, c);
    }
    let size = c.len();
    // Rows of weights, and of peepholes, of each gate.
    let (g_row, o_row, o_peephole) = if options.coupled { (1, 2, 1) } else { (2, 3, 2) };
    let pre = |block: usize, k: usize, peephole: f64| {
        clamp(weights.both(block * size + k, x, h) + peephole, options.clip)
    };
    let peephole = |block: usize, k: usize, c: f64| match options.peephole {
        true => weights.peephole[block * size + k] * c,
        false => 0.0,
    };
    let mut c_next = Vec::new();
    let mut shown = Vec::new();
    for k in 0..size {
        let i = sigmoid(pre(0, k, peephole(0, k, c[k])));
        let f = match options.coupled {
            true => 1.0 - i,
            false => sigmoid(pre(1, k, peephole(1, k, c[k]))),
        };
        let g = pre(g_row, k, 0.0).tanh();
        c_next.push(f * c[k] + i * g);
        let o = sigmoid(pre(o_row, k, peephole(o_peephole, k, c_next[k])));
        shown.push(o * c_next[k].tanh());
    }
    let h_next = match options.proj_size {
        None => shown,
        Some(rows) => {
            let row = |r: usize| (0..size).map(|k| (weights.hr)(r, k) * shown[k]).sum();
            (0..rows).map(row).collect()
        }
    };
    (h_next, c_next)
}

/// One step of an LSTM with layer normalisation: Ba, Kiros and Hinton 2016, equations 20 to 22.
fn layer_norm_lstm_step(weights: &Weights<'_>, x: &[f64], h: &[f64], c: &[f64]) -> Next {
    let size = c.len();
    let normalized = |values: Vec<f64>| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt()).collect()
    };
    let bias = |bias: &[f64], row: usize| *bias.get(row).unwrap_or(&0.0);
    let product = |weight: &dyn Fn(usize, usize) -> f64, x: &[f64]| -> Vec<f64> {
        let row = |row: usize| (0..x.len()).map(|k| weight(row, k) * x[k]).sum();
        (0..4 * size).map(row).collect()
    };
    let (of_h, of_x) = (normalized(product(weights.hh, h)), normalized(product(weights.ih, x)));
    let a = |gate: usize, k: usize| {
        let row = gate * size + k;
        weights.norm[row] * of_h[row]
            + weights.norm[4 * size + row] * of_x[row]
            + bias(weights.bias_ih, row)
            + bias(weights.bias_hh, row)
    };
    let c_next: Vec<f64> =
        (0..size).map(|k| sigmoid(a(1, k)) * c[k] + sigmoid(a(0, k)) * a(2, k).tanh()).collect();
    let of_c = normalized(c_next.clone());
    let shown = |k: usize| {
        let (gain, shift) = (weights.norm[8 * size + k], weights.norm[9 * size + k]);
        sigmoid(a(3, k)) * (gain * of_c[k] + shift).tanh()
    };
    ((0..size).map(shown).collect(), c_next)
}

/// One step of a GRU: rows r, z, n.
pub fn gru_step(options: GruOptions, weights: &Weights<'_>, x: &[f64], h: &[f64]) -> Next {
    let size = h.len();
    let gate = |row: usize| sigmoid(clamp(weights.both(row, x, h), options.clip));
    let r: Vec<f64> = (0..size).map(gate).collect();
    let reset: Vec<f64> = r.iter().zip(h).map(|(r, h)| r * h).collect();
    let next = (0..size).map(|k| {
        let row = 2 * size + k;
        let a = match options.reset {
            Reset::After => weights.input(row, x) + r[k] * weights.recurrent(row, h),
            Reset::Before => weights.both(row, x, &reset),
        };
        let (z, n) = (gate(size + k), clamp(a, options.clip).tanh());
        (1.0 - z) * n + z * h[k]
    });
    (next.collect(), Vec::new())
}
