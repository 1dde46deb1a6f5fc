//! What training does beside following the loss, so that a network does not learn its examples by
//! heart, and that its gradients stay of one size.
//!
//! | field | what happens in training | paper |
//! |---|---|---|
//! | `input_dropout` | numbers of what the first layer reads become 0 | Zaremba, Sutskever, Vinyals 2014 |
//! | `output_dropout` | numbers of what the last layer gives become 0 | the same |
//! | `variational` | one mask for all steps of a sequence, there and between layers | Gal, Ghahramani 2016 |
//! | `embedding_dropout` | a word's whole vector becomes 0, wherever a sequence has it | Gal, Ghahramani 2016 |
//! | `weight_dropout` | numbers of `weight_hh` become 0, the same at all steps and sequences | Merity, Keskar, Socher 2018 |
//! | `zoneout`, `zoneout_cell` | numbers of h and c stay as they were a step before | Krueger et al. 2017 |
//! | `regularize_gradients` | gradients that grow or shrink from step to step cost | Pascanu, Mikolov, Bengio 2013 |
//!
//! What is not dropped is divided by the share that is kept, so nothing is left to do in evaluation;
//! zoneout takes its expectation there. Every mask has an address: the seed, the place in the model,
//! the training step, the sequence by the caller's number, and the row; so threads and the batch's
//! order change nothing.

use std::ops::Range;

use recurrent_kernels::random::Dropout;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Real};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, InputConfig, Lengths, Noise, TokenEncoding};

/// What training does beside following the loss, and beside the dropout between layers. Every share
/// is in [0, 1); the default is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Regularization {
    /// The share of the numbers that the first layer reads: of a token's embedding, of a row, and of
    /// what a decoder reads beside its tokens. Not for one-hot tokens.
    pub input_dropout: f64,
    /// The share of the words of a sequence whose whole vectors are dropped: the mask belongs to the
    /// word, so that all its places in the sequence are dropped together (Gal and Ghahramani 2016,
    /// "A theoretically grounded application of dropout in recurrent neural networks", section 4.2;
    /// in Merity, Keskar, Socher 2018, "embedding dropout"). For embedded tokens only.
    pub embedding_dropout: f64,
    /// The share of the last layer's h on its way to a readout, a pool, or attention; the state
    /// that is carried on stays whole. A pool over steps takes one mask for all steps.
    pub output_dropout: f64,
    /// Dropout of numbers, between layers as well, has one mask for all steps of a sequence, not one
    /// for each (variational dropout: Gal and Ghahramani 2016; "locked": Merity, Keskar, Socher 2018,
    /// "Regularizing and optimizing LSTM language models").
    pub variational: bool,
    /// The share of the numbers of every `weight_hh` (not of its bias) that is dropped, drawn once for
    /// a training step and the same for all its time steps and sequences: weight-drop of Merity,
    /// Keskar, Socher 2018, which is DropConnect (Wan et al. 2013) on the recurrence.
    pub weight_dropout: f64,
    /// The share of h that stays what it was at the step before (Krueger et al. 2017, "Zoneout").
    pub zoneout: f64,
    /// The same of c; for cells that have one.
    pub zoneout_cell: f64,
    /// The weight of a penalty, at least 0, for gradients that grow or shrink from step to step
    /// (Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks",
    /// equations 9 and 10): `(|d_a_t back to a_{t-1}| / |d_a_t| - 1)^2`, summed over the steps, in
    /// the mean over the batch. For [`Rnn`](recurrent_cells::Rnn) alone, without zoneout. Only `weight_hh`
    /// has a gradient of it; the loss that is reported does not contain it.
    pub regularize_gradients: f64,
}

/// The site of the masks of words, and the first of those of weights: far from those of layers.
const WORDS: u32 = 1 << 31;
const WEIGHTS: u32 = 1 << 30;

impl Default for Regularization {
    fn default() -> Self {
        Regularization::NONE
    }
}

impl Regularization {
    /// Nothing is left to chance.
    pub const NONE: Regularization = Regularization {
        input_dropout: 0.0,
        embedding_dropout: 0.0,
        output_dropout: 0.0,
        variational: false,
        weight_dropout: 0.0,
        zoneout: 0.0,
        zoneout_cell: 0.0,
        regularize_gradients: 0.0,
    };

    /// Nothing is left to chance.
    pub fn is_none(&self) -> bool {
        *self == Regularization::NONE
    }

    /// Refuses what drops from vectors of tokens where the input has none.
    pub(crate) fn check_input(&self, input: &InputConfig) -> Result<(), ConfigError> {
        let drops_words = self.embedding_dropout > 0.0;
        match input {
            InputConfig::Vectors { .. } if drops_words => Err(ConfigError::NoWords),
            InputConfig::Tokens { encoding: TokenEncoding::OneHot, .. } => {
                let shares = [
                    ("input dropout", self.input_dropout),
                    ("embedding dropout", self.embedding_dropout),
                ];
                match shares.into_iter().find(|&(_, share)| share > 0.0) {
                    None => Ok(()),
                    Some((what, _)) => Err(ConfigError::OneHotDropout { what }),
                }
            }
            _ => Ok(()),
        }
    }

    /// In training the vectors of tokens do not enter as they are.
    pub(crate) fn changes_vectors(&self) -> bool {
        self.input_dropout > 0.0 || self.embedding_dropout > 0.0
    }

    /// Refuses shares that are none, and a weight that is none.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let shares = [
            ("input dropout", self.input_dropout),
            ("embedding dropout", self.embedding_dropout),
            ("output dropout", self.output_dropout),
            ("weight dropout", self.weight_dropout),
            ("zoneout", self.zoneout),
            ("zoneout of c", self.zoneout_cell),
        ];
        if let Some((what, value)) =
            shares.into_iter().find(|(_, share)| !(0.0..1.0).contains(share))
        {
            return Err(ConfigError::Share { what, value });
        }
        let weight = self.regularize_gradients;
        if !(weight >= 0.0 && weight.is_finite()) {
            return Err(ConfigError::PenaltyWeight { value: weight });
        }
        if weight > 0.0 && self.zoneout > 0.0 {
            return Err(ConfigError::PenaltyWithZoneout);
        }
        Ok(())
    }

    /// The weight of the penalty of gradients, in training.
    pub(crate) fn gradient_penalty(&self, noise: Option<Noise>) -> Option<f64> {
        let weight = self.regularize_gradients;
        (noise.is_some() && weight > 0.0).then_some(weight)
    }

    /// The masks of `weight_hh` of the stack's cell of this index, if there are any.
    pub(crate) fn weight_masks(&self, noise: Option<Noise>, index: usize) -> Option<WeightMasks> {
        let noise = noise.filter(|_| self.weight_dropout > 0.0)?;
        let dropout = Dropout::new(self.weight_dropout, noise.seed);
        Some(WeightMasks { dropout, step: noise.first_step, site: WEIGHTS + index as u32 })
    }

    /// Drops words: multiplies the vectors of `tokens`, arranged by `lengths`, by 0 or by
    /// `1 / (1 - embedding_dropout)`. Gradients take the same way.
    pub(crate) fn drop_words<T: Real>(
        &self,
        lengths: &Lengths,
        noise: Option<Noise>,
        tokens: &[u32],
        mut x: ColumnsMut<'_, T>,
    ) {
        let Some(noise) = noise.filter(|_| self.embedding_dropout > 0.0) else { return };
        let dropout = Dropout::new(self.embedding_dropout, noise.seed);
        for t in 0..lengths.steps() {
            let first = lengths.offsets()[t];
            for (place, &sequence) in lengths.order()[..lengths.width(t)].iter().enumerate() {
                let token = tokens[first + place];
                let factor: T = dropout.factor(WORDS, noise.first_step, sequence as u64, token);
                x.column(first + place).iter_mut().for_each(|x| *x *= factor);
            }
        }
    }
}

/// The masks of a weight, in one pass.
#[derive(Clone, Copy)]
pub(crate) struct WeightMasks {
    dropout: Dropout,
    step: u64,
    site: u32,
}

impl WeightMasks {
    /// Drops from a weight, or from its gradient: column by column, at the address of a sequence.
    pub(crate) fn apply<T: Real>(&self, mut weight: ColumnsMut<'_, T>) {
        for j in 0..weight.columns() {
            self.dropout.apply(self.site, self.step, j as u64, weight.column(j));
        }
    }
}

/// The masks of one place in a stack, in one pass.
#[derive(Clone, Copy)]
pub(crate) struct Masks {
    dropout: Dropout,
    noise: Noise,
    /// The place: 0 below the first layer, k between layers k - 1 and k, above the last layer their
    /// number.
    site: u32,
    /// All steps have the mask of the first.
    locked: bool,
}

impl Masks {
    /// The masks, if anything is dropped.
    pub(crate) fn new(
        share: f64,
        noise: Option<Noise>,
        site: usize,
        locked: bool,
    ) -> Option<Masks> {
        let noise = noise.filter(|_| share > 0.0)?;
        let (dropout, site) = (Dropout::new(share, noise.seed), site as u32);
        Some(Masks { dropout, noise, site, locked })
    }

    /// Writes what is left of `source`, the columns of `steps`, to `target`.
    pub(crate) fn copy<T: Real>(
        &self,
        compute: &Compute,
        lengths: &Lengths,
        steps: Range<usize>,
        source: Columns<'_, T>,
        target: ColumnsMut<'_, T>,
    ) {
        self.for_columns(compute, lengths, steps, target, |column, at| {
            column.copy_from_slice(source.column(at));
        });
    }

    /// Drops from `x`, the columns of `steps`, in place.
    pub(crate) fn apply<T: Real>(
        &self,
        compute: &Compute,
        lengths: &Lengths,
        steps: Range<usize>,
        x: ColumnsMut<'_, T>,
    ) {
        self.for_columns(compute, lengths, steps, x, |_, _| {});
    }

    /// Calls `before` with each column and its number within `steps`, then drops from it.
    fn for_columns<T: Real>(
        &self,
        compute: &Compute,
        lengths: &Lengths,
        steps: Range<usize>,
        mut x: ColumnsMut<'_, T>,
        before: impl Fn(&mut [T], usize) + Sync,
    ) {
        let Masks { dropout, noise, site, locked } = *self;
        let (order, start) = (lengths.order(), lengths.offsets()[steps.start]);
        for t in steps {
            let step = if locked { noise.first_step } else { noise.first_step + t as u64 };
            let first = lengths.offsets()[t] - start;
            let width = lengths.width(t);
            let x = x.reborrow().columns_range(first..first + width);
            compute.split((x, 0..width), 16, &|(mut x, places): (
                ColumnsMut<'_, T>,
                Range<usize>,
            )| {
                for (j, place) in places.enumerate() {
                    let column = x.column(j);
                    before(column, first + place);
                    dropout.apply(site, step, order[place] as u64, column);
                }
            });
        }
    }
}
