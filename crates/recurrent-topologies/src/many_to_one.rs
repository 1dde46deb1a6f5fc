//! Many-to-one: a sequence in, one answer out. With classes it tells what a text is about, with
//! numbers what comes after a series.

use std::sync::Arc;

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::config::{at_least_one, countable};
use crate::{
    ConfigError, InputConfig, Lengths, Noise, Pool, Probe, Reading, SequenceEncoder,
    SequenceEncoderRecorded, SequenceEncoderTape, Stack, StackConfig,
};

/// What a [`ManyToOne`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManyToOneConfig {
    /// What it reads at every step.
    pub input: InputConfig,
    /// Its layers. They may read both ways.
    pub stack: StackConfig,
    /// How the steps of a sequence become one vector.
    pub pool: Pool,
    /// Numbers that it says of a sequence, at least 1: a logit for each class, or the numbers to be
    /// estimated.
    pub output_size: usize,
}

impl ManyToOneConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<ManyToOne, ConfigError> {
        let ManyToOneConfig { input, stack, pool, output_size } = self;
        at_least_one("output size", *output_size)?;
        let mut layout = Layout::new();
        let encoder = SequenceEncoder::add(&mut layout, "", *input, *stack, *pool)?;
        let readout = *output_size as f64 * encoder.output_size() as f64;
        countable(layout.count() as f64 + readout)?;
        let readout = Linear::add(&mut layout, "readout", encoder.output_size(), *output_size);
        Ok(ManyToOne { config: self.clone(), layout: Arc::new(layout), encoder, readout })
    }
}

/// An input, a stack of cells, a pool over the steps, and a linear readout.
#[derive(Clone, Debug)]
pub struct ManyToOne {
    config: ManyToOneConfig,
    layout: Arc<Layout>,
    encoder: SequenceEncoder,
    readout: Linear,
}

/// The buffers of a [`ManyToOne`], reused from batch to batch.
pub struct ManyToOneTape<T> {
    encoder: SequenceEncoderTape<T>,
    readout: PackedLinear<T>,
    outputs: Matrix<T>,
    d_pooled: Matrix<T>,
}

impl<T: Real> Default for ManyToOneTape<T> {
    fn default() -> Self {
        ManyToOneTape {
            encoder: SequenceEncoderTape::default(),
            readout: PackedLinear::default(),
            outputs: Matrix::zeros(0, 0),
            d_pooled: Matrix::zeros(0, 0),
        }
    }
}

/// A forward pass of a [`ManyToOne`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct ManyToOneRecorded<'t, T> {
    encoder: SequenceEncoderRecorded<'t, T>,
    outputs: &'t mut Matrix<T>,
    d_pooled: &'t mut Matrix<T>,
}

impl<T: Real> ManyToOneRecorded<'_, T> {
    /// What is said of every sequence, such as logits: `output_size` x batch, in the caller's order.
    pub fn outputs(&self) -> Columns<'_, T> {
        self.outputs.as_ref()
    }

    /// The outputs, for a loss to turn into their own gradient in place.
    pub fn outputs_mut(&mut self) -> ColumnsMut<'_, T> {
        self.outputs.as_mut()
    }
}

impl ManyToOne {
    /// What the model is made of.
    pub fn config(&self) -> &ManyToOneConfig {
        &self.config
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Its layers.
    pub fn stack(&self) -> &Stack<AnyCell> {
        self.encoder.stack()
    }

    /// What the first layer reads, as columns, for who runs the [`stack`](Self::stack) alone: the
    /// vectors of tokens, or what is given.
    ///
    /// # Panics
    /// If the parameters are another model's, or `reading` is not what the model reads.
    #[track_caller]
    pub fn input_vectors<T: Real>(
        &self,
        parameters: &Parameters<T>,
        reading: Reading<'_, T>,
    ) -> Matrix<T> {
        parameters.assert_layout(&self.layout);
        self.encoder.input_vectors(parameters, reading)
    }

    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given
    /// ([`initialize::forget_bias`]), the rest by PyTorch's defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        self.encoder.initialize(generator, &mut parameters, initialization, forget_bias)?;
        initialize::linear(generator, &mut parameters, &self.readout);
        Ok(parameters)
    }

    /// Runs a batch from a state of zeros. It is read in the order of columns
    /// ([`Lengths::arrange`]); `noise` is given in training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, or a token is outside the
    /// vocabulary.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        reading: Reading<'t, T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut ManyToOneTape<T>,
    ) -> ManyToOneRecorded<'t, T> {
        parameters.assert_layout(&self.layout);
        let ManyToOneTape { encoder, readout, outputs, d_pooled } = tape;
        let encoder = self.encoder.forward(compute, parameters, reading, lengths, noise, encoder);

        readout.pack(compute, &self.readout, parameters);
        outputs.resize(self.config.output_size, lengths.batch());
        readout.forward(compute, encoder.output(), outputs.as_mut());
        ManyToOneRecorded { encoder, outputs, d_pooled }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// outputs must have been turned into their gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: ManyToOneRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let ManyToOneRecorded { encoder, outputs, d_pooled } = recorded;
        let (pooled, d_outputs) = (encoder.output(), outputs.as_ref());
        d_pooled.reset(pooled.rows(), pooled.columns());
        let d_x = d_pooled.as_mut();
        self.readout.backward(compute, parameters, pooled, d_outputs, gradients, d_x);

        let d_pooled = d_pooled.as_ref();
        self.encoder.backward(encoder, compute, parameters, d_pooled, gradients, probe);
    }
}
