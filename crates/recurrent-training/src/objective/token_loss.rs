//! Cross-entropy at every step of what a decoder writes.

use recurrent_kernels::{Columns, ColumnsMut, Compute, Real, loss};

use super::predictions;
use crate::{Loss, Targets};

/// The loss of `logits`, arranged as `targets` are. `losses` is room for that of each token.
///
/// # Panics
/// If there are not as many columns as tokens, or a target is not a row.
#[track_caller]
pub fn token_loss<T: Real>(
    compute: &Compute,
    logits: Columns<'_, T>,
    targets: &Targets,
    losses: &mut Vec<f64>,
) -> Loss {
    losses.resize(targets.tokens.len(), 0.0);
    loss::cross_entropy(compute, logits, &targets.tokens, losses);
    Loss { sum: losses.iter().sum(), count: predictions(&targets.tokens) }
}

/// As [`token_loss`]; the logits become the gradient of the loss's mean.
///
/// # Panics
/// As [`token_loss`].
#[track_caller]
pub fn token_loss_gradient<T: Real>(
    compute: &Compute,
    logits: ColumnsMut<'_, T>,
    targets: &Targets,
    losses: &mut Vec<f64>,
) -> Loss {
    losses.resize(targets.tokens.len(), 0.0);
    let count = predictions(&targets.tokens);
    let scale = T::from_f64(1.0 / count as f64);
    loss::softmax_cross_entropy(compute, logits, &targets.tokens, scale, losses);
    Loss { sum: losses.iter().sum(), count }
}
