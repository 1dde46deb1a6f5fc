//! `resume --verify`: the last steps again, from a checkpoint before them, and every bit compared.

use std::fs;

use anyhow::{Context, anyhow, bail};
use recurrent_checkpoint::{Checkpoint, Data as Values, Found, StoreError};
use recurrent_kernels::Compute;

use super::advance::Work;
use super::{Task, print_line, thousands, usage};
use crate::run::{MetricsLog, RunFolder};
use crate::tasks::checkpoint::{self, Head, Resumed};
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
    compute: &Compute,
    data: Data<T>,
) -> anyhow::Result<Data<T>> {
    let end = newest.step;
    let named = || newest.path.display().to_string();
    let Some(latest) = end.checked_sub(steps) else {
        bail!(usage(format!(
            "--verify: the newest checkpoint is of step {end}, so there are no {steps} steps to replay"
        )));
    };
    let head = checkpoint::read_head::<T>(&newest.checkpoint).with_context(named)?;
    let (from, start) = begin::<T>(folder, latest, end, head, compute, &data)?;
    let Resumed { training, metrics_length, .. } = start;
    let mut work =
        Work { data, training, metrics: MetricsLog::in_memory(), compute: compute.clone() };
    while work.training.trainer.steps() < end {
        work.advance().with_context(|| format!("replayed from {from}"))?;
    }
    let length = metrics_length + work.metrics.length();
    let again = work.snapshot(length)?;
    if let Some(difference) = first_difference(&newest.checkpoint, &again) {
        bail!(
            "{}: replayed from {from}, step {end} is another: {difference}; this program or this \
             machine computes other bits than those that the run was made with; nothing was changed",
            named()
        );
    }
    let log = fs::read(folder.metrics()).unwrap_or_default();
    let replayed = work.metrics.waiting();
    if log.get(metrics_length as usize..length as usize) != Some(&replayed) {
        bail!(
            "{}: replayed from {from}, its lines up to step {end} are others; it was changed by \
             hand or lost lines; nothing was changed",
            folder.metrics().display()
        );
    }
    print_line(format!(
        "verified: step {}, replayed from {from}, has the same bits: {} sections and {} bytes of \
         metrics",
        thousands(end as usize),
        again.sections().len(),
        thousands(replayed.len()),
    ))?;
    Ok(work.data)
}

/// The training at a checkpoint of step `latest` or before it, or at its beginning.
fn begin<T: Task>(
    folder: &RunFolder,
    latest: u64,
    end: u64,
    head: Head<T>,
    compute: &Compute,
    data: &Data<T>,
) -> anyhow::Result<(String, Resumed<T>)> {
    if latest == 0 {
        let training = Training::<T>::new(head.settings, compute.clone(), data)
            .map_err(|error| anyhow!(error))?;
        let fingerprint = T::fingerprint(data);
        return Ok(("the beginning".into(), Resumed { training, metrics_length: 0, fingerprint }));
    }
    let found = match folder.store().at_most(latest) {
        Err(StoreError::Empty { .. }) => {
            let kept = folder.store().steps()?.into_iter().find(|&step| step < end);
            let most = kept.map(|step| {
                format!("at most {} with the checkpoints that are kept, or ", end - step)
            });
            bail!(usage(format!(
                "--verify: no checkpoint is kept of step {latest} or before; give {}{end} to replay \
                 the whole run (--keep-last keeps more)",
                most.unwrap_or_default()
            )));
        }
        found => found?,
    };
    let before = checkpoint::read_head::<T>(&found.checkpoint)
        .with_context(|| found.path.display().to_string())?;
    if before.settings != head.settings {
        bail!(
            "{}: was saved under other settings than step {end} (epochs or patience were changed \
             in between), so a replay would be another run; give fewer steps to --verify",
            found.path.display()
        );
    }
    let resumed = checkpoint::resume::<T>(&found.checkpoint, head.settings, compute.clone(), data)
        .with_context(|| found.path.display().to_string())?;
    Ok((format!("step {}", thousands(found.step as usize)), resumed))
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
