//! A run's `config.toml`, and what follows from it: defaults and the settings of every task.

use recurrent::options::Options;
use recurrent::tasks::{
    Caption, Classify, ConditionalText, Forecast, LanguageModel, Tag, Task, TaskName, Translate,
    Vqa,
};

use super::{assert_names, put};

pub(super) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        let path = put("config.toml", bytes);
        assert_names(&Options::read(&path).unwrap_err(), &path);
        return;
    };
    let options = match Options::parse(text) {
        Ok(options) => options,
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("line ") && !message.contains('\n'), "{message}");
            assert!(message.len() < 3_000, "{message}");
            return;
        }
    };
    let table = match options.table() {
        Ok(table) => table,
        Err(error) => return assert!(error.to_string().starts_with("--"), "{error}"),
    };
    // NaN does not equal itself, so texts are compared.
    let written = toml::to_string(&table).unwrap();
    let again = Options::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(toml::to_string(&again.table().unwrap()).unwrap(), written);
    settings::<LanguageModel>(&options);
    settings::<Classify>(&options);
    settings::<Tag>(&options);
    settings::<Translate>(&options);
    settings::<Forecast>(&options);
    settings::<ConditionalText>(&options);
    settings::<Caption>(&options);
    settings::<Vqa>(&options);
}

fn settings<T: Task>(options: &Options) {
    let task = TaskName::from_name(T::NAME).expect("it is a task");
    if let Err(error) = options.require_known(T::NAME, |option| task.takes(option)) {
        assert!(error.to_string().starts_with("--"), "{error}");
    }
    let options = options.clone().or_default(T::defaults()).expect("paths from TOML are UTF-8");
    if let Ok(settings) = T::settings(&options) {
        let text = serde_json::to_string(&settings).expect("settings are JSON");
        let again: T::Settings = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {settings:?} as {text}"));
        assert_eq!(again, settings, "{text}");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = TaskName::ALL
        .iter()
        .map(|task| {
            let options = Options { task: Some(task.name().to_owned()), ..task.defaults() };
            toml::to_string(&options.table().unwrap()).unwrap().into_bytes()
        })
        .collect();
    let more = [
        "cell = \"gru\"\nhidden-size = 3\nnum-layers = 2\nbidirectional = true\ndropout = 0.5\n",
        "optimizer = \"sgd\"\nmomentum = 0.9\nnesterov = true\nweight-decay = 1e-4\n",
        "optimizer = \"nt-asgd\"\naverage-after = 5\nclip-norm = \"none\"\nclip-value = 2\n",
        "schedule = \"step\"\ndecay = 0.5\ndecay-every = 3\nwarm-up = 9\npatience = 4\n",
        "schedule = \"plateau\"\nplateau-patience = 2\ninit = \"orthogonal\"\nforget-bias = 1.0\n",
        "tokens = \"word\"\nmin-count = 2\nmax-length = 9\nembedding-size = 4\ncolumns = [\"a\", \"2\"]\n",
        "feed = \"truth\"\nteacher-forcing = 0.3\nforcing-schedule = \"linear\"\nforcing-steps = 9\n",
        "forcing-schedule = \"inverse-sigmoid\"\nforcing-steps = 9\nattention = \"dot\"\n",
        "topology = \"encoder-decoder\"\nhorizon = 2\nwindow = 3\nseason = 4\nfeed = \"output\"\n",
        "cell = \"\"\"u\nv\"\"\"\n",
        "init = \"chrono\"\nsequence-length = 9\none-hot = true\nno-header = true\nseed = 1\n",
    ];
    seeds.extend(more.map(|text| text.as_bytes().to_vec()));
    seeds
}
