//! The JSON in a checkpoint's metadata: settings and codec of every task, and the model that is
//! made of them.

use recurrent::tasks::Task;
use recurrent::tasks::checkpoint::{kind, load_model, read_head};
use recurrent_checkpoint::Checkpoint;
use recurrent_kernels::random::Generator;
use serde_json::Value;

use super::{choice, seed, small};

/// Larger models are not made: they are slow, and no other than small ones.
const MOST_PARAMETERS: usize = 4_000;

thread_local! {
    static LOAD: Vec<fn(&str, &str)> = small::models().iter().map(|model| model.load).collect();
}

/// The number of a model, and behind it settings, a zero byte and the codec.
pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (settings, codec) = text.split_once('\0').unwrap_or((text, ""));
    LOAD.with(|load| load[usize::from(choice) % load.len()](settings, codec));
}

/// Loads a model of these settings and this codec, and uses it.
pub(super) fn load<T: Task>(settings: &str, codec: &str) {
    let mut checkpoint = Checkpoint::new(kind::<T>());
    checkpoint.metadata_mut().insert("settings".into(), settings.to_owned());
    checkpoint.metadata_mut().insert("vocabulary".into(), codec.to_owned());
    assert!(load_model::<T>(&checkpoint).is_err(), "a model without parameters");
    let Ok(head) = read_head::<T>(&checkpoint) else { return };
    let again = serde_json::to_string(&head.settings).expect("settings are JSON");
    let again: T::Settings = serde_json::from_str(&again)
        .unwrap_or_else(|error| panic!("{error}: {:?} as {again}", head.settings));
    assert_eq!(again, head.settings);
    let codec_again = serde_json::to_string(&head.codec).expect("a codec is JSON");
    assert!(serde_json::from_str::<T::Codec>(&codec_again).is_ok(), "{codec_again}");

    let longest =
        serde_json::from_str::<Value>(codec).ok().and_then(|codec| codec["longest"].as_u64());
    let Ok(model) = T::build(&head.settings, &head.codec) else { return };
    let task = T::new(head.settings, head.codec, model);
    if task.layout().count() > MOST_PARAMETERS {
        return;
    }
    let Ok(mut parameters) = task.initialize(&mut Generator::new(1, 1)) else { return };
    parameters.visit_mut(|entry, data| {
        let (name, shape) =
            (format!("parameters/{}", entry.name), [entry.slot.columns(), entry.slot.rows()]);
        checkpoint.insert(name, &shape, data.to_vec());
    });
    let Ok((task, loaded)) = load_model::<T>(&checkpoint) else {
        panic!("{settings} and {codec} make a model once, but not twice");
    };
    assert!(loaded == parameters);
    for line in
        ["a cat", "1,2 3,4", "x,y\n1,2\n3,4\n5,6\n", "0.5 1\tis it a cat", "a.png\tis it", "good"]
    {
        small::use_it(&task, &loaded, line.as_bytes());
    }
    // As long as they say the longest text is, untrained models write.
    if longest.is_none_or(|longest| longest < 20) {
        small::evaluate(&task, &loaded);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let numbered = (0..).zip(small::models());
    numbered
        .map(|(number, model)| seed(number, format!("{}\0{}", model.settings, model.codec)))
        .collect()
}

/// What in a checkpoint's JSON is changed into what, and what is said then. Each made a model once,
/// which panicked, hung or gave numbers without sense when it was used.
const MISFITS: [(&str, &str, &str); 15] = [
    ("\"sequence_length\":2", "\"sequence_length\":0", "sequence length must be at least 1"),
    ("\"batch_size\":2", "\"batch_size\":0", "batch size must be at least 1"),
    ("\"num_layers\":1", "\"num_layers\":5000", "number of layers must be at most"),
    ("\"window\":3", "\"window\":0", "--window must be at least 1"),
    ("\"season\":2", "\"season\":0", "--season must be at least 1"),
    ("\"ratio\":1.0", "\"ratio\":1.5", "must be between 0 and 1"),
    ("\"usual\":[0", "\"usual\":[0,0", MISFIT),
    ("\"usual\":[0", "\"usual\":[9", MISFIT),
    ("\"usual_of_all\":", "\"usual_of_all\":9", MISFIT),
    ("\"lags\":3", "\"lags\":2", MISFIT),
    ("\"maps\":[", "\"maps\":[[1.0],", MISFIT),
    ("\"mean\":[", "\"mean\":[0.5,", MISFIT),
    ("\"deviation\":[", "\"deviation\":[-", MISFIT),
    ("\"height\":4,", "\"height\":4294967296,", MISFIT),
    (
        "\"shape\":{\"features\":{\"size\":2}",
        "\"shape\":{\"image\":{\"height\":4,\"width\":4}",
        MISFIT,
    ),
];
const MISFIT: &str = "what the training part taught does not fit together";

/// Fails unless every checkpoint whose parts do not fit together is refused with a reason.
pub(crate) fn assert_misfits_are_refused() {
    let models = small::models();
    for (from, to, message) in MISFITS {
        let mut tried = 0;
        for model in &models {
            let [settings, codec] =
                [&model.settings, &model.codec].map(|text| text.replacen(from, to, 1));
            if (&settings, &codec) == (&model.settings, &model.codec) {
                continue;
            }
            tried += 1;
            let mut checkpoint = Checkpoint::new(model.kind.clone());
            checkpoint.metadata_mut().insert("settings".into(), settings);
            checkpoint.metadata_mut().insert("vocabulary".into(), codec);
            let said = (model.head)(&checkpoint).expect_err(to);
            // Three means of pixels are an array, which serde counts itself.
            let counted = to.starts_with("\"mean") && said.contains("cannot be read");
            assert!(counted || said.contains(message), "{}: {to}: {said}", model.kind);
        }
        assert!(tried > 0, "no model has {from}");
    }
}
