//! A model in training, to and from a checkpoint.
//!
//! A checkpoint holds everything that the next step depends on, and nothing that does not decide
//! a bit: no time, no thread count, no path. So two runs with the same seed write the same bytes.

use anyhow::{Context, Error, anyhow, bail, ensure};
use recurrent_cells::Parameters;
use recurrent_checkpoint::Checkpoint;
use recurrent_kernels::Compute;
use recurrent_training::{HeldOutLoss, Loss};
use serde_json::Value;

use super::training::{build, zeros};
use super::{Data, Task, TaskSettings, Training};

const HELD_OUT_STEPS: &str = "held_out/steps";
const HELD_OUT_LOSSES: &str = "held_out/losses";
/// What a task's checkpoints are called inside begins with this; its name follows.
const KIND: &str = "recurrent.";
/// The metadata with a task's codec. Language models, the first task, have a vocabulary there.
const CODEC: &str = "vocabulary";

/// What the checkpoints of a task are called inside.
pub fn kind<T: Task>() -> String {
    format!("{KIND}{}", T::NAME)
}

/// Fills a checkpoint; `metrics_length` is that of `metrics.jsonl`, `fingerprint` the data's.
///
/// # Errors
/// Only if settings or codec cannot be written as text, which would be a fault of ours.
pub fn save<T: Task>(
    training: &Training<T>,
    metrics_length: u64,
    fingerprint: u64,
) -> anyhow::Result<Checkpoint<'static>> {
    let mut checkpoint = Checkpoint::new(kind::<T>());
    let metadata = checkpoint.metadata_mut();
    metadata.insert("settings".into(), serde_json::to_string(training.task.current())?);
    metadata.insert(CODEC.into(), serde_json::to_string(training.task.codec())?);
    let counters = [training.trainer.steps(), metrics_length, fingerprint];
    checkpoint.insert("counters", &[counters.len()], counters.to_vec());
    let Loss { sum, count } = training.epoch_loss;
    checkpoint.insert("losses", &[3], vec![sum, count as f64, training.best]);
    let held_out = training.trainer.held_out_losses();
    let steps: Vec<u64> = held_out.iter().map(|at| at.step).collect();
    let losses: Vec<f64> = held_out.iter().map(|at| at.loss).collect();
    checkpoint.insert(HELD_OUT_STEPS, &[steps.len()], steps);
    checkpoint.insert(HELD_OUT_LOSSES, &[losses.len()], losses);
    training.trainer.visit(|name, shape, data| checkpoint.insert(name, shape, data.to_vec()));
    Ok(checkpoint)
}

/// What a checkpoint says of the model in it.
pub struct Head<T: Task> {
    /// What decided the bits of the run.
    pub settings: T::Settings,
    /// What turns data into numbers and back.
    pub codec: T::Codec,
}

/// Reads settings and codec.
///
/// # Errors
/// If the checkpoint is not of this task, or they make no model.
pub fn read_head<T: Task>(checkpoint: &Checkpoint<'_>) -> anyhow::Result<Head<T>> {
    checkpoint.require_kind(&kind::<T>())?;
    let text = checkpoint.require_metadata("settings")?;
    let settings: T::Settings =
        serde_json::from_str(text).context("its settings cannot be read")?;
    require_known(text, &settings)?;
    let codec = checkpoint.require_metadata(CODEC)?;
    let codec =
        serde_json::from_str(codec).with_context(|| format!("its {CODEC} cannot be read"))?;
    // A file may hold anything: what is read makes a model, or is refused here.
    settings.network().check().map_err(Error::msg)?;
    settings.learning().check().map_err(Error::msg)?;
    T::build(&settings, &codec)?;
    Ok(Head { settings, codec })
}

/// A setting that this version does not know would decide bits and be lost.
fn require_known(text: &str, settings: &impl serde::Serialize) -> anyhow::Result<()> {
    let (Value::Object(written), Value::Object(known)) =
        (serde_json::from_str(text)?, serde_json::to_value(settings)?)
    else {
        bail!("its settings are no object");
    };
    match written.iter().find(|(name, value)| !value.is_null() && !known.contains_key(*name)) {
        None => Ok(()),
        Some((name, _)) => {
            bail!("its setting `{name}` is unknown to this version; a newer one wrote it")
        }
    }
}

/// The fingerprint of the data that a checkpoint's training reads.
///
/// # Errors
/// If the file is no checkpoint of a training.
pub fn fingerprint(checkpoint: &Checkpoint<'_>) -> anyhow::Result<u64> {
    Ok(checkpoint.values::<u64>("counters", &[3])?[2])
}

/// How many bytes of `metrics.jsonl` a checkpoint of a training counts on.
///
/// # Errors
/// If the file is no checkpoint of a training.
pub fn metrics_length(checkpoint: &Checkpoint<'_>) -> anyhow::Result<u64> {
    Ok(checkpoint.values::<u64>("counters", &[3])?[1])
}

/// The loss that the training measured last on held-out data: in a best checkpoint its own.
///
/// # Errors
/// If the file is no checkpoint of a training.
pub fn held_out_loss(checkpoint: &Checkpoint<'_>) -> anyhow::Result<f64> {
    let best = best_loss(checkpoint)?;
    let Some(losses) = checkpoint.get(HELD_OUT_LOSSES) else { return Ok(best) };
    Ok(losses.values::<f64>()?.last().copied().unwrap_or(best))
}

/// The lowest loss of the training on held-out data, infinite before there is one.
///
/// # Errors
/// If the file is no checkpoint of a training.
pub fn best_loss(checkpoint: &Checkpoint<'_>) -> anyhow::Result<f64> {
    Ok(checkpoint.values::<f64>("losses", &[3])?[2])
}

/// The losses that the training measured on held-out data so far.
///
/// # Errors
/// If the file is no checkpoint of a training.
pub fn held_out_losses(checkpoint: &Checkpoint<'_>) -> anyhow::Result<Vec<HeldOutLoss>> {
    let steps = checkpoint.values::<u64>("counters", &[3])?[0];
    held_out(checkpoint, steps, best_loss(checkpoint)?)
}

/// A training that goes on, and what belongs to the run around it.
pub struct Resumed<T: Task> {
    /// The training.
    pub training: Training<T>,
    /// The length that `metrics.jsonl` had.
    pub metrics_length: u64,
    /// The fingerprint that the data had.
    pub fingerprint: u64,
}

/// A training as it was when `checkpoint` was written, under `settings`.
///
/// # Errors
/// If a block is missing or has another shape.
pub fn resume<T: Task>(
    checkpoint: &Checkpoint<'_>,
    settings: T::Settings,
    compute: Compute,
    data: &Data<T>,
) -> anyhow::Result<Resumed<T>> {
    let mut training =
        Training::<T>::new(settings, compute, data).map_err(|error| anyhow!(error))?;
    let [steps, metrics_length, fingerprint] = *checkpoint.values::<u64>("counters", &[3])? else {
        unreachable!("a block of three numbers has three numbers")
    };
    let [sum, count, best] = *checkpoint.values::<f64>("losses", &[3])? else {
        unreachable!("a block of three numbers has three numbers")
    };
    let held_out = held_out(checkpoint, steps, best)?;
    training.trainer.restore(steps, &held_out, |name, shape, data| {
        data.copy_from_slice(checkpoint.values::<f32>(name, shape)?);
        Ok::<_, anyhow::Error>(())
    })?;
    training.epoch_loss = Loss { sum, count: count as usize };
    training.best = best;
    Ok(Resumed { training, metrics_length, fingerprint })
}

/// The held-out losses of a training that took `steps` steps.
fn held_out(
    checkpoint: &Checkpoint<'_>,
    steps: u64,
    best: f64,
) -> anyhow::Result<Vec<HeldOutLoss>> {
    let Some(section) = checkpoint.get(HELD_OUT_LOSSES) else {
        // Older checkpoints have the best one only.
        return Ok([HeldOutLoss { step: steps, loss: best }]
            .into_iter()
            .filter(|at| at.loss.is_finite())
            .collect());
    };
    let losses = section.values::<f64>()?;
    let at = checkpoint.values::<u64>(HELD_OUT_STEPS, &[losses.len()])?;
    ensure!(
        at.is_sorted() && at.iter().all(|&at| at <= steps),
        "its held-out losses are not in the order of {steps} steps"
    );
    Ok(at.iter().zip(losses).map(|(&step, &loss)| HeldOutLoss { step, loss }).collect())
}

/// A trained model, for whoever only wants to use it. Where there is an average of the parameters,
/// it is the model.
///
/// # Errors
/// If the checkpoint is not of this task, or does not hold what its settings ask for.
pub fn load_model<T: Task>(checkpoint: &Checkpoint<'_>) -> anyhow::Result<(T, Parameters<f32>)> {
    let Head { settings, codec } = read_head::<T>(checkpoint)?;
    let task = build::<T>(settings, codec).map_err(|error| anyhow!(error))?;
    let averages = checkpoint.sections().any(|section| section.name().starts_with("average/"));
    let group = if averages { "average" } else { "parameters" };
    // All are looked at before memory is taken: settings may promise more than the file holds.
    let entries = task.layout().entries().iter().map(|entry| {
        let shape = [entry.slot.columns(), entry.slot.rows()];
        checkpoint.values::<f32>(&format!("{group}/{}", entry.name), &shape)
    });
    let mut values = entries.collect::<Result<Vec<&[f32]>, _>>()?.into_iter();
    let mut parameters = zeros(&task);
    parameters.visit_mut(|_, data| data.copy_from_slice(values.next().unwrap_or_default()));
    Ok((task, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{TokenKind, Vocabulary};
    use crate::tasks::language_model::{LanguageModel, Settings};
    use crate::tasks::settings::RunSchedule;
    use recurrent_training::OptimizerConfig;

    /// What the first version wrote.
    const OLD_SETTINGS: &str = r#"{"tokens":"char","min_count":1,"cell":"lstm","hidden_size":8,
        "num_layers":1,"encoding":{"embedding":8},"dropout":0.0,"forget_bias":null,"epochs":2,
        "steps":null,"batch_size":4,"sequence_length":8,"learning_rate":0.002,
        "optimizer":OPTIMIZER,"schedule":"SCHEDULE","clip_norm":5.0,"seed":1}"#;

    fn old_settings(optimizer: &str, schedule: &str) -> String {
        OLD_SETTINGS.replace("OPTIMIZER", optimizer).replace("SCHEDULE", schedule)
    }

    #[test]
    fn settings_of_the_first_version_are_read() {
        let read = |optimizer, schedule| -> Settings {
            serde_json::from_str(&old_settings(optimizer, schedule)).unwrap()
        };
        let sgd = read(r#"{"name":"sgd"}"#, "constant");
        assert_eq!(sgd.learning.optimizer, OptimizerConfig::SGD);
        assert_eq!(sgd.learning.schedule, RunSchedule::Constant);
        assert_eq!((sgd.learning.clip_norm, sgd.learning.clip_value), (Some(5.0), None));
        assert_eq!((sgd.learning.warm_up, sgd.learning.patience), (0, None));
        let adam = read(r#"{"name":"adam","beta1":0.9,"beta2":0.999,"epsilon":1e-8}"#, "cosine");
        assert_eq!(adam.learning.optimizer, OptimizerConfig::ADAM);
        assert_eq!(adam.learning.schedule, RunSchedule::Cosine);
        let again = serde_json::to_string(&adam).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&again).unwrap(), adam);
    }

    #[test]
    fn a_checkpoint_of_the_first_version_goes_on_and_has_its_best_loss() {
        let text = "a text of some length, to be read again. ".repeat(10);
        let vocabulary = Vocabulary::learn(TokenKind::Char, &text, 1);
        let tokens = vocabulary.encode(&text).unwrap();
        let settings = old_settings(r#"{"name":"sgd"}"#, "constant");
        let (train, held_out) = (tokens.clone().into(), tokens.into());
        let data = Data { codec: vocabulary, train, held_out, left_out: None };
        let begin = |settings: &str| {
            let settings = serde_json::from_str(settings).unwrap();
            let compute = Compute::sequential();
            let mut training = Training::<LanguageModel>::new(settings, compute, &data).unwrap();
            (0..5).for_each(|_| assert!(training.step(&data.train, None).is_ok()));
            training.best = 1.5;
            training
        };
        let mut whole = begin(&settings);
        let new = save(&whole, 0, 7).unwrap();
        // Without what the first version did not know.
        let mut old = Checkpoint::new(kind::<LanguageModel>());
        old.metadata_mut().insert("settings".into(), settings);
        let words = new.require_metadata("vocabulary").unwrap();
        old.metadata_mut().insert("vocabulary".into(), words.into());
        for section in new.sections().filter(|section| !section.name().starts_with("held_out/")) {
            old.insert(section.name(), section.shape(), section.data().clone());
        }

        let checkpoint = Checkpoint::from_bytes(&old.to_bytes().unwrap()).unwrap();
        let Head { mut settings, codec } = read_head::<LanguageModel>(&checkpoint).unwrap();
        assert_eq!(codec, data.codec);
        settings.learning.patience = Some(1);
        let resumed =
            resume::<LanguageModel>(&checkpoint, settings, Compute::sequential(), &data).unwrap();
        let mut training = resumed.training;
        assert_eq!(
            training.step(&data.train, None).unwrap(),
            whole.step(&data.train, None).unwrap()
        );
        assert_eq!(training.trainer.parameters(), whole.trainer.parameters());
        // A loss above the best one is not taken for the first and so for the best.
        assert!(training.trainer.observe_held_out(1.6).out_of_patience);
    }

    #[test]
    fn a_setting_of_a_newer_version_is_not_lost() {
        let text = old_settings(r#"{"name":"sgd"}"#, "constant");
        let settings: Settings = serde_json::from_str(&text).unwrap();
        assert!(require_known(&text, &settings).is_ok());
        let newer = text.replacen('{', r#"{"zone_out":0.1,"#, 1);
        let message = require_known(&newer, &settings).unwrap_err().to_string();
        assert!(message.starts_with("its setting `zone_out` is unknown"), "{message}");
    }

    #[test]
    fn held_out_losses_that_do_not_fit_are_refused() {
        let mut checkpoint = Checkpoint::new(kind::<LanguageModel>());
        checkpoint.insert(HELD_OUT_LOSSES, &[2], vec![1.0, f64::NAN]);
        assert!(held_out(&checkpoint, 9, 1.0).is_err(), "no steps");
        for (steps, taken, fits) in
            [([3u64, 6], 6, true), ([3, 6], 5, false), ([6, 3], 9, false), ([6, 6], 9, true)]
        {
            let mut checkpoint = checkpoint.clone();
            checkpoint.insert(HELD_OUT_STEPS, &[2], steps.to_vec());
            assert_eq!(held_out(&checkpoint, taken, 1.0).is_ok(), fits, "{steps:?} of {taken}");
        }
    }
}
