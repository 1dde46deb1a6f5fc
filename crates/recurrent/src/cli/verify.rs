//! `resume --verify`: the last steps again, from a checkpoint before them, and every bit compared.

use std::collections::VecDeque;
use std::fs;

use anyhow::{Context, anyhow, bail};
use recurrent_checkpoint::{Checkpoint, Data as Values, Found, StoreError};
use recurrent_kernels::Compute;

use super::advance::Work;
use super::{Options, Task, print_line, thousands, usage, warn};
use crate::run::{MetricsLog, RunFolder};
use crate::tasks::checkpoint::{self, Head};
use crate::tasks::{Data, Training};

/// Replays the last `steps` steps up to `newest` and compares the state and the metrics with what
/// was saved; gives the data back.
///
/// # Errors
/// If a bit differs, or there is no checkpoint to begin from.
pub(super) fn verify<T: Task>(
    folder: &RunFolder,
    newest: &Found,
    steps: u64,
    (compute, options): (&Compute, &Options),
    data: Data<T>,
) -> anyhow::Result<Data<T>> {
    let end = newest.step;
    let named = || newest.path.display().to_string();
    let Some(latest) = end.checked_sub(steps) else {
        bail!(usage(format!(
            "--verify: the newest checkpoint is of step {end}; {steps} steps are more than there are \
             to replay"
        )));
    };
    let head = checkpoint::read_head::<T>(&newest.checkpoint).with_context(named)?;
    let Start { from, training, is_changed } =
        begin::<T>(folder, latest, end, head, compute, &data)?;
    let mut work = Work {
        data,
        training,
        metrics: MetricsLog::in_memory(),
        compute: compute.clone(),
        best_kept: f64::INFINITY,
        watch_gradients: options.watch_gradients,
        last_steps: VecDeque::new(),
    };
    while work.training.trainer.steps() < end {
        work.advance().with_context(|| format!("replayed from {}", name_step(from)))?;
    }
    // How many bytes of metrics there are depends on what became of that file as well; it follows.
    let length = checkpoint::metrics_length(&newest.checkpoint).with_context(named)?;
    let again = work.snapshot(length)?;
    if let Some(difference) = first_difference(&newest.checkpoint, &again) {
        let cause = match is_changed {
            true => "the run's epochs or steps were changed on the way, or this",
            false => "this",
        };
        bail!(
            "{}: replayed from {}, step {end} is another: {difference}; {cause} program or this \
             machine computes other bits than those that the run was made with; nothing was changed",
            named(),
            name_step(from),
        );
    }
    if let Some(fault) = fault_of_metrics(folder, length, &work.metrics.waiting()) {
        bail!(
            "{}: replayed from {}, its lines up to step {end} {fault}; the state itself is the same \
             in every bit; nothing was changed",
            folder.metrics().display(),
            name_step(from),
        );
    }
    print_line(format!(
        "verified: step {}, replayed from {}, has the same bits: {} sections and {} bytes of \
         metrics",
        thousands(end as usize),
        name_step(from),
        again.sections().len(),
        thousands(work.metrics.length() as usize),
    ))?;
    Ok(work.data)
}

/// What is wrong with the first `length` bytes of the metrics, if they do not end with the lines
/// that were made `again`.
fn fault_of_metrics(folder: &RunFolder, length: u64, again: &[u8]) -> Option<&'static str> {
    let log = fs::read(folder.metrics()).unwrap_or_default();
    let lines = usize::try_from(length).ok().and_then(|length| log.get(..length));
    match lines {
        Some(lines) if lines.ends_with(again) => None,
        Some(lines) if lines.len() >= again.len() => Some("are others: lines were lost or changed"),
        _ => Some("are not all there"),
    }
}

/// What a replay begins from.
struct Start<T: Task> {
    /// The step; 0 is the beginning.
    from: u64,
    training: Training<T>,
    /// The settings that it had may have been others.
    is_changed: bool,
}

/// The training at a checkpoint of step `latest` or before it, or at its beginning, step 0.
fn begin<T: Task>(
    folder: &RunFolder,
    latest: u64,
    end: u64,
    head: Head<T>,
    compute: &Compute,
    data: &Data<T>,
) -> anyhow::Result<Start<T>> {
    if latest == 0 {
        let training = Training::<T>::new(head.settings, compute.clone(), data)
            .map_err(|error| anyhow!(error))?;
        return Ok(Start { from: 0, training, is_changed: true });
    }
    let mut found = match folder.store().at_most(latest) {
        Err(StoreError::Empty { .. }) => bail!(usage(format!(
            "--verify: no checkpoint is kept of step {latest} or before; {}",
            what_can_be_replayed(folder, latest, end)?
        ))),
        Err(StoreError::NothingWhole { skipped, .. }) => {
            skipped.into_iter().for_each(warn);
            bail!(usage(format!(
                "--verify: no checkpoint of step {latest} or before is whole; {}",
                what_can_be_replayed(folder, latest, end)?
            )))
        }
        found => found?,
    };
    let (file, from) = (found.path.display().to_string(), found.step);
    found.skipped.drain(..).for_each(warn);
    let before = checkpoint::read_head::<T>(&found.checkpoint).with_context(|| file.clone())?;
    let is_changed = before.settings != head.settings;
    let resumed = checkpoint::resume::<T>(&found.checkpoint, head.settings, compute.clone(), data)
        .with_context(|| file)?;
    Ok(Start { from, training: resumed.training, is_changed })
}

/// Which replays begin behind step `after`, or at the beginning.
fn what_can_be_replayed(folder: &RunFolder, after: u64, end: u64) -> anyhow::Result<String> {
    let next = folder.store().steps()?.into_iter().find(|&step| step > after && step < end);
    let most =
        next.map(|step| format!("at most {} with the checkpoints that are kept, or ", end - step));
    Ok(format!(
        "give {}{end} to replay the whole run (--keep-last keeps more checkpoints)",
        most.unwrap_or_default()
    ))
}

fn name_step(step: u64) -> String {
    match step {
        0 => "the beginning".into(),
        step => format!("step {}", thousands(step as usize)),
    }
}

/// The first difference between what was saved and what was computed again, in words.
fn first_difference(saved: &Checkpoint<'_>, again: &Checkpoint<'_>) -> Option<String> {
    let names = |checkpoint: &Checkpoint<'_>| -> Vec<String> {
        checkpoint.sections().map(|section| section.name().to_owned()).collect()
    };
    if names(saved) != names(again) {
        return Some("it has other sections".into());
    }
    // What the store adds is not compared: the step is that of the name.
    for (key, value) in again.metadata() {
        if saved.metadata().get(key) != Some(value) {
            return Some(format!("its {key} differ"));
        }
    }
    for (saved, again) in saved.sections().zip(again.sections()) {
        let name = saved.name();
        if saved.shape() != again.shape() {
            return Some(format!("section `{name}` has another shape"));
        }
        if let Some(difference) = differing(saved.data(), again.data()) {
            return Some(format!("section `{name}`, {difference}"));
        }
    }
    None
}

/// Where two lists of numbers differ in a bit, and how.
fn differing(saved: &Values<'_>, again: &Values<'_>) -> Option<String> {
    macro_rules! compare {
        ($left:expr, $right:expr, $bits:expr) => {
            $left.iter().zip($right.iter()).position(|(a, b)| $bits(a) != $bits(b)).map(|place| {
                format!("number {place}: {:?} saved, {:?} now", $left[place], $right[place])
            })
        };
    }
    match (saved, again) {
        (Values::F32(a), Values::F32(b)) => compare!(a, b, |value: &f32| value.to_bits()),
        (Values::F64(a), Values::F64(b)) => compare!(a, b, |value: &f64| value.to_bits()),
        (Values::U32(a), Values::U32(b)) => compare!(a, b, |value: &u32| *value),
        (Values::U64(a), Values::U64(b)) => compare!(a, b, |value: &u64| *value),
        (Values::Bytes(a), Values::Bytes(b)) => compare!(a, b, |value: &u8| *value),
        _ => Some("other types of numbers".into()),
    }
}
