//! Optimisers: from gradients to parameters.

use std::ops::Range;
use std::sync::Arc;

use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::{Compute, Real, Vectorized};
use serde::{Deserialize, Serialize};

/// Which optimiser, with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd,
    /// Adam: Kingma and Ba 2015.
    Adam {
        /// Memory of the first moment; in [0, 1).
        beta1: f64,
        /// Memory of the second moment; in [0, 1).
        beta2: f64,
        /// Keeps the division finite; above 0.
        epsilon: f64,
    },
}

impl OptimizerConfig {
    /// Adam with the paper's constants, which are PyTorch's: 0.9, 0.999, 1e-8.
    pub const ADAM: OptimizerConfig =
        OptimizerConfig::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// The names of the moments it keeps.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            OptimizerConfig::Sgd => &[],
            OptimizerConfig::Adam { .. } => &["first_moment", "second_moment"],
        }
    }
}

#[cold]
#[track_caller]
fn bad_layout(what: &str, layout: &Layout, own: &Layout) -> ! {
    let shapes = |layout: &Layout| {
        let entries = layout.entries().iter();
        entries.map(|e| (e.name.clone(), e.slot.rows(), e.slot.columns())).collect::<Vec<_>>()
    };
    panic!("{what} of {:?} do not fit an optimiser for {:?}", shapes(layout), shapes(own));
}

/// An optimiser and the moments it keeps.
#[derive(Clone, Debug)]
pub struct Optimizer<T> {
    config: OptimizerConfig,
    layout: Arc<Layout>,
    moments: Vec<(&'static str, Parameters<T>)>,
}

/// Fewer numbers than this are not worth a thread of their own.
const LEAST_NUMBERS: usize = 1 << 14;

impl<T: Real> Optimizer<T> {
    /// An optimiser for parameters of this layout, its moments at zero.
    pub fn new(config: OptimizerConfig, parameters: &Parameters<T>) -> Self {
        let moments =
            config.moments().iter().map(|&name| (name, parameters.zeros_like())).collect();
        Optimizer { config, layout: Arc::clone(parameters.layout()), moments }
    }

    /// Each moment's name and numbers.
    pub fn moments(&self) -> &[(&'static str, Parameters<T>)] {
        &self.moments
    }

    /// Each moment's name and numbers, writable.
    pub fn moments_mut(&mut self) -> &mut [(&'static str, Parameters<T>)] {
        &mut self.moments
    }

    /// Takes one step; `step` counts from 1.
    ///
    /// # Panics
    /// If parameters and gradients have another layout than those that this optimiser was made
    /// for, or if `step` is 0.
    #[track_caller]
    pub fn step(
        &mut self,
        compute: &Compute,
        parameters: &mut Parameters<T>,
        gradients: &Parameters<T>,
        learning_rate: f64,
        step: u64,
    ) {
        assert!(step >= 1, "an optimiser's steps count from 1, not from {step}");
        for (what, layout) in
            [("parameters", parameters.layout()), ("gradients", gradients.layout())]
        {
            if !Arc::ptr_eq(layout, &self.layout) && *layout != self.layout {
                bad_layout(what, layout, &self.layout);
            }
        }
        let (g, level) = (gradients.as_slice(), compute.level());
        let p = parameters.as_mut_slice();
        match (&self.config, self.moments.as_mut_slice()) {
            (OptimizerConfig::Adam { beta1, beta2, epsilon }, [(_, m), (_, v)]) => {
                let correction = |beta: f64| 1.0 - libm::pow(beta, step as f64);
                let adam = Adam {
                    beta1: T::from_f64(*beta1),
                    beta2: T::from_f64(*beta2),
                    rest1: T::from_f64(1.0 - beta1),
                    rest2: T::from_f64(1.0 - beta2),
                    rate: T::from_f64(learning_rate / correction(*beta1)),
                    inverse_root: T::from_f64(1.0 / correction(*beta2).sqrt()),
                    epsilon: T::from_f64(*epsilon),
                };
                let all = (p, m.as_mut_slice(), v.as_mut_slice(), 0..g.len());
                compute.split(all, LEAST_NUMBERS, &|(p, m, v, own): AdamPart<'_, T>| {
                    level.run(AdamStep { adam: &adam, p, m, v, g: &g[own] });
                });
            }
            _ => {
                let rate = T::from_f64(learning_rate);
                compute.split((p, 0..g.len()), LEAST_NUMBERS, &|(p, own): SgdPart<'_, T>| {
                    level.run(SgdStep { rate, p, g: &g[own] });
                });
            }
        }
    }
}

type AdamPart<'a, T> = (&'a mut [T], &'a mut [T], &'a mut [T], Range<usize>);
type SgdPart<'a, T> = (&'a mut [T], Range<usize>);

struct SgdStep<'a, T> {
    rate: T,
    p: &'a mut [T],
    g: &'a [T],
}

impl<T: Real> Vectorized for SgdStep<'_, T> {
    type Output = ();
    /// `p <- p - rate g`
    #[inline(always)]
    fn run(self) {
        for (p, &g) in self.p.iter_mut().zip(self.g) {
            *p -= self.rate * g;
        }
    }
}

/// Adam's constants at one step.
struct Adam<T> {
    beta1: T,
    beta2: T,
    rest1: T,
    rest2: T,
    rate: T,
    inverse_root: T,
    epsilon: T,
}

struct AdamStep<'a, T> {
    adam: &'a Adam<T>,
    p: &'a mut [T],
    m: &'a mut [T],
    v: &'a mut [T],
    g: &'a [T],
}

impl<T: Real> Vectorized for AdamStep<'_, T> {
    type Output = ();
    /// ```text
    /// m <- beta1 m + (1 - beta1) g            v <- beta2 v + (1 - beta2) g^2
    /// p <- p - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
    /// ```
    #[inline(always)]
    fn run(self) {
        let AdamStep { adam, p, m, v, g } = self;
        let size = g.len();
        let (p, m, v) = (&mut p[..size], &mut m[..size], &mut v[..size]);
        for k in 0..size {
            m[k] = adam.beta1 * m[k] + adam.rest1 * g[k];
            v[k] = adam.beta2 * v[k] + adam.rest2 * g[k] * g[k];
            p[k] -= adam.rate * m[k] / (v[k].sqrt() * adam.inverse_root + adam.epsilon);
        }
    }
}
