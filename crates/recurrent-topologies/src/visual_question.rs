//! A question about an image: what the image shows, as a vector, and the question, read into one,
//! are fused and answered (Antol et al. 2015, "VQA: Visual Question Answering").

use std::sync::Arc;

use recurrent_cells::initialize::{self, Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Linear, PackedLinear, Parameters};
use recurrent_kernels::activation::{relu, relu_slope};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::config::{at_least_one, countable};
use crate::{
    ConfigError, Fusion, FusionLayer, FusionTape, InputConfig, Lengths, Noise, Pool, Probe,
    Reading, SequenceEncoder, SequenceEncoderRecorded, SequenceEncoderTape, Stack, StackConfig,
};

/// What a [`VisualQuestion`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisualQuestionConfig {
    /// Numbers in the vector of an image's features; at least 1.
    pub image_size: usize,
    /// What is read at every step of a question.
    pub question: InputConfig,
    /// The layers that read the question; its last state is fused with the image. They may read
    /// both ways.
    pub stack: StackConfig,
    /// How image and question become one vector.
    pub fusion: Fusion,
    /// Numbers that image and question each have when they are fused ([`FusionLayer`]); at least 1.
    pub fused_size: usize,
    /// Numbers in a hidden layer with relu between what is fused and the readout, at least 1; None:
    /// the readout reads what is fused.
    pub hidden_layer: Option<usize>,
    /// Different answers; at least 1.
    pub classes: usize,
}

impl VisualQuestionConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range.
    pub fn build(&self) -> Result<VisualQuestion, ConfigError> {
        self.build_upon(Layout::new())
    }

    /// As [`build`](Self::build), with the parameters after those that are in `layout` already, such
    /// as those of what turns pixels into features: one set of parameters for both.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_upon(&self, mut layout: Layout) -> Result<VisualQuestion, ConfigError> {
        let VisualQuestionConfig { image_size, question, stack, fusion, fused_size, .. } = self;
        let VisualQuestionConfig { hidden_layer, classes, .. } = self;
        at_least_one("number of image features", *image_size)?;
        at_least_one("fused size", *fused_size)?;
        hidden_layer.map_or(Ok(()), |size| at_least_one("size of the hidden layer", size))?;
        at_least_one("number of classes", *classes)?;
        let question =
            SequenceEncoder::add(&mut layout, "question.", *question, *stack, Pool::Last)?;
        let inputs = *image_size as f64 + question.output_size() as f64;
        let (fused, classes) = (*fused_size as f64, *classes as f64);
        let hidden = hidden_layer.unwrap_or_default() as f64;
        // No fusion gives more than twice the size.
        let others = fused * inputs + 2.0 * fused * (hidden + classes) + hidden * classes;
        countable(layout.count() as f64 + others)?;

        let inputs = [("fusion.image", *image_size), ("fusion.question", question.output_size())];
        let fusion = FusionLayer::add(&mut layout, *fusion, inputs, *fused_size);
        let fused = fusion.output_size();
        let hidden = hidden_layer.map(|size| Linear::add(&mut layout, "hidden", fused, size));
        let read = hidden_layer.unwrap_or(fused);
        let readout = Linear::add(&mut layout, "readout", read, self.classes);
        let (config, layout) = (self.clone(), Arc::new(layout));
        Ok(VisualQuestion { config, layout, question, fusion, hidden, readout })
    }
}

/// An encoder for questions, a fusion with an image's features, a hidden layer with relu if there is
/// to be one, and a linear readout.
///
/// Without a hidden layer the logits of a fusion by sum or concatenation are what the image says plus
/// what the question says, and whether an image shows what is asked for cannot be said that way. A
/// product asks both at once, and needs none.
#[derive(Clone, Debug)]
pub struct VisualQuestion {
    config: VisualQuestionConfig,
    layout: Arc<Layout>,
    question: SequenceEncoder,
    fusion: FusionLayer,
    hidden: Option<Linear>,
    readout: Linear,
}

/// The buffers of a [`VisualQuestion`], reused from batch to batch.
pub struct VisualQuestionTape<T> {
    question: SequenceEncoderTape<T>,
    answer: AnswerTape<T>,
}

/// What comes after the question was read.
struct AnswerTape<T> {
    fusion: FusionTape<T>,
    fused: Matrix<T>,
    packed_hidden: PackedLinear<T>,
    /// The hidden layer after relu.
    hidden: Matrix<T>,
    packed_readout: PackedLinear<T>,
    logits: Matrix<T>,
    d_hidden: Matrix<T>,
    d_fused: Matrix<T>,
    d_question: Matrix<T>,
}

impl<T: Real> Default for VisualQuestionTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        let answer = AnswerTape {
            fusion: FusionTape::default(),
            fused: empty(),
            packed_hidden: PackedLinear::default(),
            hidden: empty(),
            packed_readout: PackedLinear::default(),
            logits: empty(),
            d_hidden: empty(),
            d_fused: empty(),
            d_question: empty(),
        };
        VisualQuestionTape { question: SequenceEncoderTape::default(), answer }
    }
}

/// A forward pass of a [`VisualQuestion`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct VisualQuestionRecorded<'t, T> {
    question: SequenceEncoderRecorded<'t, T>,
    answer: &'t mut AnswerTape<T>,
    image: Columns<'t, T>,
}

impl<T: Real> VisualQuestionRecorded<'_, T> {
    /// A logit for every answer: classes x batch, in the caller's order.
    pub fn outputs(&self) -> Columns<'_, T> {
        self.answer.logits.as_ref()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn outputs_mut(&mut self) -> ColumnsMut<'_, T> {
        self.answer.logits.as_mut()
    }
}

impl VisualQuestion {
    /// What the model is made of.
    pub fn config(&self) -> &VisualQuestionConfig {
        &self.config
    }

    /// The table of its parameters, after those of the layout that it was built upon.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The layers that read the question.
    pub fn stack(&self) -> &Stack<AnyCell> {
        self.question.stack()
    }

    /// Fresh values for the parameters of this model, and of nothing else in its layout: cells by
    /// `initialization`, then with this forget bias if one is given
    /// ([`initialize::forget_bias`]), the rest by PyTorch's defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    ///
    /// # Panics
    /// If the parameters are another model's.
    #[track_caller]
    pub fn fill<T: Real>(
        &self,
        generator: &mut Generator,
        parameters: &mut Parameters<T>,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<(), InitializationError> {
        parameters.assert_layout(&self.layout);
        self.question.initialize(generator, parameters, initialization, forget_bias)?;
        self.fusion.initialize(generator, parameters);
        if let Some(hidden) = &self.hidden {
            initialize::linear(generator, parameters, hidden);
        }
        initialize::linear(generator, parameters, &self.readout);
        Ok(())
    }

    /// Fresh parameters ([`fill`](Self::fill)); zeros for what is not of this model.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        self.fill(generator, &mut parameters, initialization, forget_bias)?;
        Ok(parameters)
    }

    /// Answers a batch: `image` holds the features of an image for each question, `image_size` x
    /// batch in the caller's order; questions are read in the order of columns
    /// ([`Lengths::arrange`]). `noise` is given in training and left out elsewhere.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, or a token is outside the
    /// vocabulary.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        image: Columns<'t, T>,
        question: Reading<'t, T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut VisualQuestionTape<T>,
    ) -> VisualQuestionRecorded<'t, T> {
        parameters.assert_layout(&self.layout);
        let batch = lengths.batch();
        let VisualQuestionTape { question: encoder, answer } = tape;
        let question =
            self.question.forward(compute, parameters, question, lengths, noise, encoder);

        let AnswerTape { fusion, fused, packed_hidden, hidden, packed_readout, logits, .. } =
            answer;
        fused.resize(self.fusion.output_size(), batch);
        let inputs = [image, question.output()];
        self.fusion.forward(compute, parameters, inputs, fused.as_mut(), fusion);

        let mut read = fused.as_ref();
        if let Some(layer) = &self.hidden {
            packed_hidden.pack(compute, layer, parameters);
            hidden.resize(layer.weight.rows(), batch);
            packed_hidden.forward(compute, read, hidden.as_mut());
            hidden.as_mut_slice().iter_mut().for_each(|x| *x = relu(*x));
            read = hidden.as_ref();
        }

        packed_readout.pack(compute, &self.readout, parameters);
        logits.resize(self.config.classes, batch);
        packed_readout.forward(compute, read, logits.as_mut());
        VisualQuestionRecorded { question, answer, image }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters and of the image's
    /// features, `d_image`: `image_size` x batch. The recorded logits must have been turned into their
    /// gradient.
    ///
    /// # Panics
    /// If parameters or gradients are another model's, or `d_image` has another shape.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: VisualQuestionRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        d_image: ColumnsMut<'_, T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let VisualQuestionRecorded { question, answer, image } = recorded;
        let AnswerTape { fusion, fused, hidden, logits, d_hidden, d_fused, d_question, .. } =
            answer;
        let batch = logits.columns();
        d_fused.reset(fused.rows(), batch);
        d_question.reset(question.output().rows(), batch);

        let d_y = logits.as_ref();
        match &self.hidden {
            None => {
                let (x, d_x) = (fused.as_ref(), d_fused.as_mut());
                self.readout.backward(compute, parameters, x, d_y, gradients, d_x);
            }
            Some(layer) => {
                d_hidden.reset(hidden.rows(), batch);
                let (x, d_x) = (hidden.as_ref(), d_hidden.as_mut());
                self.readout.backward(compute, parameters, x, d_y, gradients, d_x);
                for (d, &y) in d_hidden.as_mut_slice().iter_mut().zip(hidden.as_slice()) {
                    *d *= relu_slope(y);
                }
                let (x, d_y, d_x) = (fused.as_ref(), d_hidden.as_ref(), d_fused.as_mut());
                layer.backward(compute, parameters, x, d_y, gradients, d_x);
            }
        }

        let inputs = [image, question.output()];
        let d_inputs = [d_image, d_question.as_mut()];
        let d_fused = d_fused.as_ref();
        self.fusion.backward(compute, parameters, inputs, d_fused, fusion, gradients, d_inputs);
        let d_question = d_question.as_ref();
        self.question.backward(question, compute, parameters, d_question, gradients, probe);
    }
}
