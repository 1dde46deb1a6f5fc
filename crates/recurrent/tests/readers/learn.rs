//! The data of every task: read, divided, counted, and learnt from for a step.

use recurrent::options::Options;
use recurrent::tasks::{Task, Training};
use recurrent_kernels::Compute;

use super::{assert_names, choice, put, seed, small};

thread_local! {
    static MODELS: Vec<small::Small> = small::models();
}

/// The number of a model, and behind it its data.
pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    MODELS.with(|models| (models[usize::from(choice) % models.len()].learn)(bytes));
}

/// Learns from these bytes.
pub(super) fn learn<T: Task>(options: &Options, settings: &T::Settings, bytes: &[u8]) {
    let own = options.data.as_ref().and_then(|path| path.file_name()?.to_str());
    let path = put(&format!("a-{}", own.expect("our own names are UTF-8")), bytes);
    let options = Options { data: Some(path.clone()), ..options.clone() };
    let data = match T::read(&options, settings, None) {
        Ok(data) => data,
        Err(error) => {
            // A path that stands in the data may be named alone.
            if !matches!(T::NAME, "caption" | "vqa") {
                assert_names(&error, &path);
            }
            return;
        }
    };
    let codec = serde_json::to_string(&data.codec).expect("a codec is JSON");
    let again: T::Codec =
        serde_json::from_str(&codec).unwrap_or_else(|error| panic!("{error}: {codec}"));
    assert_eq!(serde_json::to_string(&again).ok().as_ref(), Some(&codec));
    let read = T::read(&options, settings, Some(again)).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(T::fingerprint(&read), T::fingerprint(&data));
    let training = Training::<T>::new(settings.clone(), Compute::sequential(), &data);
    let mut training = training.unwrap_or_else(|error| panic!("{error}: {codec}"));
    assert!(!training.task.describe(&data).is_empty());
    // What is not finite ends a training with an error.
    if training.step(&data.train, None).is_ok() {
        let parameters = training.trainer.parameters();
        let _ = training.task.evaluate(&Compute::sequential(), parameters, &data.held_out);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![];
    for (number, model) in (0..).zip(small::models()) {
        if model.kind == "recurrent.forecast" {
            // Finite numbers whose squares are not: a model of these could not be read again.
            let large = String::from_utf8_lossy(&model.data).replace("\n3,", "\n3e200,");
            seeds.push(seed(number, large));
        }
        seeds.push(seed(number, model.data));
    }
    seeds
}
