//! The options that say what is left to chance in training.

use recurrent_topologies::Regularization;

use super::{Options, usage};

/// What these options leave to chance, beside the dropout between layers. Shares out of range are
/// the model's matter, and so is what an input does not have.
pub(super) fn regularization(options: &Options) -> anyhow::Result<Regularization> {
    let share = |given: Option<f64>| given.unwrap_or(0.0);
    let regularization = Regularization {
        input_dropout: share(options.input_dropout),
        embedding_dropout: share(options.embedding_dropout),
        output_dropout: share(options.output_dropout),
        variational: options.variational,
        weight_dropout: share(options.weight_dropout),
        zoneout: share(options.zoneout),
        zoneout_cell: share(options.zoneout_cell),
        regularize_gradients: share(options.regularize_gradients),
    };
    let Regularization { input_dropout, output_dropout, variational, .. } = regularization;
    let has_between = options.num_layers.unwrap_or(1) > 1;
    let between_layers = if has_between { share(options.dropout) } else { 0.0 };
    let drops = [between_layers, input_dropout, output_dropout];
    if variational && drops.iter().all(|&share| share == 0.0) {
        return Err(usage(
            "--variational: nothing is dropped, so there are no masks to keep; give --dropout (which \
             acts between layers), --input-dropout or --output-dropout",
        ));
    }
    Ok(regularization)
}
