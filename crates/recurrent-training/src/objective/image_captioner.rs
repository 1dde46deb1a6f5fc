//! The loss of a model that writes captions.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_topologies::{ImageCaptioner, ImageCaptionerTape, Noise, Probe};

use super::{first_time_step, token_loss, token_loss_gradient};
use crate::{Feed, Loss, Objective, Targets};

/// Images, and what is to be written about each.
#[derive(Clone, Debug)]
pub struct CaptionBatch<T> {
    /// One image after the other, in the targets' order: their pixels, or a column of features each.
    pub images: Matrix<T>,
    /// What is to be written.
    pub targets: Targets,
}

/// Cross-entropy at every step of an [`ImageCaptioner`].
pub struct ImageCaptionerObjective<T> {
    model: ImageCaptioner,
    feed: Feed,
    seed: u64,
    tape: ImageCaptionerTape<T>,
    losses: Vec<f64>,
}

impl<T: Real> ImageCaptionerObjective<T> {
    /// The model learns from what `feed` gives it to read; `seed` decides the dropout masks, and
    /// where it reads the truth.
    pub fn new(model: ImageCaptioner, feed: Feed, seed: u64) -> Self {
        let tape = ImageCaptionerTape::default();
        ImageCaptionerObjective { model, feed, seed, tape, losses: vec![] }
    }

    /// The model.
    pub fn model(&self) -> &ImageCaptioner {
        &self.model
    }
}

impl<T: Real> Objective<T> for ImageCaptionerObjective<T> {
    type Batch = CaptionBatch<T>;

    /// # Panics
    /// If the batch does not fit the model, or has so many time steps that it would share dropout
    /// masks with the next (2^24).
    fn gradients(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &CaptionBatch<T>,
        step: u64,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) -> Loss {
        let ImageCaptionerObjective { model, feed, seed, tape, losses } = self;
        let CaptionBatch { images, targets } = batch;
        let (images, lengths) = (images.as_ref(), &targets.lengths);
        // The image may take a step of its own.
        let first_step = first_time_step(step, lengths.steps() + 1);
        let noise = Some(Noise { seed: *seed, first_step });
        let tokens = feed
            .inputs(targets, (*seed, step), || model.stream(compute, parameters.clone(), images));
        let mut recorded =
            model.forward(compute, parameters, images, &tokens, lengths, noise, tape);
        // Forward turns round here.
        let loss = token_loss_gradient(compute, recorded.logits_mut(), targets, losses);
        model.backward(recorded, compute, parameters, gradients, probe);
        loss
    }

    fn evaluate(
        &mut self,
        compute: &Compute,
        parameters: &Parameters<T>,
        batch: &CaptionBatch<T>,
    ) -> Loss {
        let ImageCaptionerObjective { model, feed, tape, losses, .. } = self;
        let CaptionBatch { images, targets } = batch;
        let (images, lengths) = (images.as_ref(), &targets.lengths);
        let tokens =
            feed.evaluation_inputs(targets, || model.stream(compute, parameters.clone(), images));
        let recorded = model.forward(compute, parameters, images, &tokens, lengths, None, tape);
        token_loss(compute, recorded.logits(), targets, losses)
    }
}
