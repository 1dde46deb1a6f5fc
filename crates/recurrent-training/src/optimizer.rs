//! Optimisers: from gradients to parameters. Every one follows PyTorch's arithmetic.

use std::sync::Arc;

use recurrent_cells::{Layout, Parameters};
use recurrent_kernels::{Compute, Real};
use serde::{Deserialize, Serialize};

mod adam;
mod piece;
mod rms_prop;
mod sgd;

use adam::Adam;
use piece::{MOST_KEPT, Piece};
use rms_prop::RmsProp;
use sgd::{AveragedSgd, Sgd};

/// Which optimiser, with its constants.
///
/// `weight_decay` is coupled everywhere but in [`AdamW`](OptimizerConfig::AdamW): it adds
/// `weight_decay p` to the gradient, after clipping. It is finite and at least 0, and acts on every
/// parameter, biases included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent, with momentum (Sutskever, Martens, Dahl and Hinton 2013, in
    /// PyTorch's form, in which the rate does not enter the momentum).
    Sgd {
        /// How much of the last step's direction is kept; in [0, 1).
        #[serde(default)]
        momentum: f64,
        /// The share of a gradient that does not enter the momentum; in [0, 1), and 0 without
        /// momentum. As in PyTorch the first gradient enters whole.
        #[serde(default)]
        dampening: f64,
        /// Looks ahead along the momentum; needs momentum and no dampening.
        #[serde(default)]
        nesterov: bool,
        /// See [`OptimizerConfig`].
        #[serde(default)]
        weight_decay: f64,
    },
    /// RMSprop: Tieleman and Hinton 2012, in PyTorch's form, with epsilon outside the root.
    #[serde(rename = "rmsprop")]
    RmsProp {
        /// Memory of the mean square; in [0, 1).
        alpha: f64,
        /// Keeps the division finite; above 0.
        epsilon: f64,
        /// How much of the last step's direction is kept; in [0, 1).
        momentum: f64,
        /// Divides by the deviation from the mean gradient: Graves 2013.
        centered: bool,
        /// See [`OptimizerConfig`].
        weight_decay: f64,
    },
    /// Adam: Kingma and Ba 2015.
    Adam {
        /// Memory of the first moment; in [0, 1).
        beta1: f64,
        /// Memory of the second moment; in [0, 1).
        beta2: f64,
        /// Keeps the division finite; above 0.
        epsilon: f64,
        /// See [`OptimizerConfig`].
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam whose weight decay is decoupled: Loshchilov and Hutter 2019. Each step shrinks the
    /// parameters by `learning_rate weight_decay`, whatever the gradient.
    #[serde(rename = "adamw")]
    AdamW {
        /// Memory of the first moment; in [0, 1).
        beta1: f64,
        /// Memory of the second moment; in [0, 1).
        beta2: f64,
        /// Keeps the division finite; above 0.
        epsilon: f64,
        /// At least 0; times the learning rate at most 1.
        weight_decay: f64,
    },
    /// Non-monotonically triggered averaged SGD: Merity, Keskar and Socher 2018. Plain SGD until
    /// the held-out loss stops falling; from there on the mean of all parameters that follow is
    /// what is evaluated and used. [`observe_held_out`](crate::Trainer::observe_held_out) says
    /// when.
    NtAsgd {
        /// How many of the last held-out losses a new one need not be better than: averaging
        /// begins at a loss that is worse than the best of all but the last so many. The paper's n.
        average_after: u64,
        /// See [`OptimizerConfig`].
        weight_decay: f64,
    },
}

impl OptimizerConfig {
    /// Plain stochastic gradient descent.
    pub const SGD: OptimizerConfig =
        OptimizerConfig::Sgd { momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };

    /// RMSprop with PyTorch's constants: alpha 0.99, epsilon 1e-8, nothing else.
    pub const RMS_PROP: OptimizerConfig = OptimizerConfig::RmsProp {
        alpha: 0.99,
        epsilon: 1e-8,
        momentum: 0.0,
        centered: false,
        weight_decay: 0.0,
    };

    /// Adam with the paper's constants, which are PyTorch's: 0.9, 0.999, 1e-8.
    pub const ADAM: OptimizerConfig =
        OptimizerConfig::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };

    /// AdamW with PyTorch's constants: Adam's, and a weight decay of 0.01.
    pub const ADAM_W: OptimizerConfig =
        OptimizerConfig::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

    /// NT-ASGD with the paper's n of 5.
    pub const NT_ASGD: OptimizerConfig =
        OptimizerConfig::NtAsgd { average_after: 5, weight_decay: 0.0 };

    /// How many numbers it keeps beside each parameter, once it keeps all.
    pub fn kept(&self) -> usize {
        self.moments().len() + usize::from(matches!(self, OptimizerConfig::NtAsgd { .. }))
    }

    /// The weight decay that is added to the gradients.
    pub(crate) fn coupled_decay(&self) -> f64 {
        match *self {
            OptimizerConfig::Sgd { weight_decay, .. }
            | OptimizerConfig::RmsProp { weight_decay, .. }
            | OptimizerConfig::Adam { weight_decay, .. }
            | OptimizerConfig::NtAsgd { weight_decay, .. } => weight_decay,
            OptimizerConfig::AdamW { .. } => 0.0,
        }
    }

    /// The names of the moments it keeps.
    fn moments(&self) -> &'static [&'static str] {
        match *self {
            OptimizerConfig::Sgd { momentum, .. } if momentum > 0.0 => &["momentum"],
            OptimizerConfig::Sgd { .. } | OptimizerConfig::NtAsgd { .. } => &[],
            OptimizerConfig::RmsProp { centered, momentum, .. } => {
                match (centered, momentum > 0.0) {
                    (false, false) => &["square_average"],
                    (false, true) => &["square_average", "momentum"],
                    (true, false) => &["square_average", "gradient_average"],
                    (true, true) => &["square_average", "gradient_average", "momentum"],
                }
            }
            OptimizerConfig::Adam { .. } | OptimizerConfig::AdamW { .. } => {
                &["first_moment", "second_moment"]
            }
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
    average: Option<Average<T>>,
}

/// The mean of the parameters after step `since` and after every step that followed.
#[derive(Clone, Debug)]
struct Average<T> {
    since: u64,
    mean: Parameters<T>,
}

impl<T: Real> Optimizer<T> {
    /// An optimiser for parameters of this layout, its moments at zero.
    pub fn new(config: OptimizerConfig, parameters: &Parameters<T>) -> Self {
        let moments =
            config.moments().iter().map(|&name| (name, parameters.zeros_like())).collect();
        let layout = Arc::clone(parameters.layout());
        Optimizer { config, layout, moments, average: None }
    }

    /// Each moment's name and numbers.
    pub fn moments(&self) -> &[(&'static str, Parameters<T>)] {
        &self.moments
    }

    /// Each moment's name and numbers, writable.
    pub fn moments_mut(&mut self) -> &mut [(&'static str, Parameters<T>)] {
        &mut self.moments
    }

    /// NT-ASGD's mean of the parameters, once [`begin_average`](Self::begin_average) was called.
    pub fn average(&self) -> Option<&Parameters<T>> {
        self.average.as_ref().map(|average| &average.mean)
    }

    /// The mean of the parameters, writable.
    pub fn average_mut(&mut self) -> Option<&mut Parameters<T>> {
        self.average.as_mut().map(|average| &mut average.mean)
    }

    /// From here on keeps the mean of the parameters: of these, which are those after `step`, and
    /// of what every later step makes of them.
    ///
    /// # Panics
    /// If this is not NT-ASGD, or the parameters have another layout than those that this
    /// optimiser was made for.
    #[track_caller]
    pub fn begin_average(&mut self, parameters: &Parameters<T>, step: u64) {
        let averages = matches!(self.config, OptimizerConfig::NtAsgd { .. });
        assert!(averages, "only NT-ASGD averages parameters, not {:?}", self.config);
        self.require_layout("parameters", parameters);
        self.average = Some(Average { since: step, mean: parameters.clone() });
    }

    /// Makes room for an average that began at step `since`, to be filled, or for none. An average
    /// that is there stays.
    pub(crate) fn restore_average(&mut self, since: Option<u64>) {
        let old = self.average.take().map(|average| average.mean);
        self.average = since.map(|since| {
            let mean = old.unwrap_or_else(|| Parameters::zeros(Arc::clone(&self.layout)));
            Average { since, mean }
        });
    }

    #[track_caller]
    fn require_layout(&self, what: &str, parameters: &Parameters<T>) {
        let layout = parameters.layout();
        if !Arc::ptr_eq(layout, &self.layout) && *layout != self.layout {
            bad_layout(what, layout, &self.layout);
        }
    }

    /// Takes one step; `step` counts from 1.
    ///
    /// # Panics
    /// If parameters and gradients have another layout than those that this optimiser was made
    /// for, if `step` is 0, or if averaging began at this step or later.
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
        self.require_layout("parameters", parameters);
        self.require_layout("gradients", gradients);
        let mut kept: [&mut [T]; MOST_KEPT] = Default::default();
        for (slot, (_, moment)) in kept.iter_mut().zip(&mut self.moments) {
            *slot = moment.as_mut_slice();
        }
        let mut share = 0.0;
        if let Some(Average { since, mean }) = &mut self.average {
            assert!(*since < step, "step {step} of an average that began at step {since}");
            share = 1.0 / (step - *since + 1) as f64;
            kept[0] = mean.as_mut_slice();
        }
        let piece = Piece { p: parameters.as_mut_slice(), g: gradients.as_slice(), kept };
        let (rate, decay) = (T::from_f64(learning_rate), T::from_f64(self.config.coupled_decay()));
        match self.config {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, .. } => {
                // The first gradient enters whole, as in PyTorch.
                let fresh = if step == 1 { 1.0 } else { 1.0 - dampening };
                let (momentum, fresh) = (T::from_f64(momentum), T::from_f64(fresh));
                piece::run(compute, &Sgd { rate, decay, momentum, fresh, nesterov }, piece);
            }
            OptimizerConfig::NtAsgd { .. } => {
                let share = T::from_f64(share);
                piece::run(compute, &AveragedSgd { rate, decay, share }, piece);
            }
            OptimizerConfig::RmsProp { alpha, epsilon, momentum, centered, .. } => {
                let rest = T::from_f64(1.0 - alpha);
                let [alpha, epsilon, momentum] = [alpha, epsilon, momentum].map(T::from_f64);
                let rule = RmsProp { rate, decay, alpha, rest, epsilon, momentum, centered };
                piece::run(compute, &rule, piece);
            }
            OptimizerConfig::Adam { beta1, beta2, epsilon, .. } => {
                let adam = Adam::new([beta1, beta2, epsilon], learning_rate, step);
                piece::run(compute, &adam.coupled(decay), piece);
            }
            OptimizerConfig::AdamW { beta1, beta2, epsilon, weight_decay } => {
                let adam = Adam::new([beta1, beta2, epsilon], learning_rate, step);
                let keep = T::from_f64(1.0 - learning_rate * weight_decay);
                piece::run(compute, &adam.decoupled(keep), piece);
            }
        }
    }
}
