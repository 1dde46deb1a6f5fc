//! The loss of a model that answers questions about images.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, Real, loss};
use recurrent_topologies::{ImageAnswerer, ImageAnswererTape, Noise, Probe};

use super::{Labelled, first_time_step, predictions};
use crate::{Loss, Objective};

/// Images, with a question about each and its answer.
#[derive(Clone, Debug)]
pub struct AnswerBatch<T> {
    /// One image after the other, in the questions' order as they were given: their pixels, or a
    /// column of features each.
    pub images: Matrix<T>,
    /// The questions, and the number of each one's answer.
    pub questions: Labelled<T>,
}

/// Cross-entropy of the answers of an [`ImageAnswerer`].
pub struct ImageAnswererObjective<T> {
    model: ImageAnswerer,
    seed: u64,
    tape: ImageAnswererTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> ImageAnswererObjective<T> {
    /// `seed` decides the dropout masks.
    pub fn new(model: ImageAnswerer, seed: u64) -> Self {
        ImageAnswererObjective { model, seed, tape: ImageAnswererTape::default(), losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &ImageAnswerer {
        &self.model
    }
}

impl<T: Real> Objective<T> for ImageAnswererObjective<T> {
    type Batch = AnswerBatch<T>;

    /// # Panics
    /// If the batch does not fit the model, or a question has more than 2^24 steps, which would
    /// share dropout masks with the next batch.
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &AnswerBatch<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let ImageAnswererObjective { model, seed, tape, losses } = self;
        let AnswerBatch { images, questions: Labelled { inputs, lengths, labels } } = batch;
        let first_step = first_time_step(step, lengths.steps());
        let noise = Some(Noise { seed: *seed, first_step });
        let (images, reading) = (images.as_ref(), inputs.reading());
        let mut recorded =
            model.forward(compute, parameters, images, reading, lengths, noise, tape);

        // The gradient of the mean: forward turns round here.
        let count = predictions(labels);
        let scale = T::from_f64(1.0 / count as f64);
        losses.resize(labels.len(), 0.0);
        loss::softmax_cross_entropy(compute, recorded.outputs_mut(), labels, scale, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        Loss { sum: losses.iter().sum(), count }
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &AnswerBatch<T>,
    ) -> Loss {
        let ImageAnswererObjective { model, tape, losses, .. } = self;
        let AnswerBatch { images, questions: Labelled { inputs, lengths, labels } } = batch;
        let (images, reading) = (images.as_ref(), inputs.reading());
        let recorded = model.forward(compute, parameters, images, reading, lengths, None, tape);
        losses.resize(labels.len(), 0.0);
        loss::cross_entropy(compute, recorded.outputs(), labels, losses);
        Loss { sum: losses.iter().sum(), count: predictions(labels) }
    }
}
