//! A small untrained model of every task and kind of data, for what models read.

use std::path::Path;

use recurrent::data::TokenKind;
use recurrent::options::{Options, TopologyKind};
use recurrent::tasks::checkpoint::read_head;
use recurrent::tasks::pictures::ImageSettings;
use recurrent::tasks::{
    Caption, Classify, ConditionalText, Forecast, Generate, Input, LanguageModel, Predict, Tag,
    Task, Translate, Vqa,
};
use recurrent_cells::Parameters;
use recurrent_checkpoint::Checkpoint;
use recurrent_kernels::{Compute, random::Generator};
use recurrent_topologies::Sampling;

use super::{folder, images::png, put};

/// What is done with bytes.
type Use = Box<dyn Fn(&[u8])>;

/// A model without its type.
pub(super) struct Small {
    /// What its checkpoints are called inside.
    pub(super) kind: String,
    /// Its settings and its codec, as JSON.
    pub(super) settings: String,
    pub(super) codec: String,
    /// Reads settings and codec of a checkpoint; the message is a person's.
    pub(super) head: fn(&Checkpoint<'_>) -> Result<(), String>,
    /// Uses the model on input of these bytes.
    pub(super) use_it: Use,
    /// Loads a model with this kind of data from a checkpoint with these settings and this codec.
    pub(super) load: fn(settings: &str, codec: &str),
    /// Learns from data of these bytes.
    pub(super) learn: Use,
    /// Its own data.
    pub(super) data: Vec<u8>,
    /// A line that it reads.
    pub(super) line: &'static str,
}

/// All of them.
pub(super) fn models() -> Vec<Small> {
    put("a.png", &png(4, 4, png::ColorType::Grayscale, &[7; 16]));
    put("b.png", &png(4, 4, png::ColorType::Rgb, &[200; 48]));
    put("c.png", &png(4, 4, png::ColorType::Grayscale, &[90; 16]));
    put("d.png", &png(4, 4, png::ColorType::Grayscale, &[50; 16]));
    let words = Options { tokens: Some(TokenKind::Word), ..Options::default() };
    let bytes = Options { tokens: Some(TokenKind::Byte), one_hot: true, ..Options::default() };
    let both = Options { bidirectional: true, ..words.clone() };
    let decoder = Options { topology: Some(TopologyKind::EncoderDecoder), ..Options::default() };
    let seasonal = Options { horizon: Some(2), season: Some(2), ..Options::default() };
    vec![
        small::<LanguageModel>(Options::default(), "a cat"),
        small::<LanguageModel>(words.clone(), "a cat"),
        small::<LanguageModel>(bytes.clone(), "a cat"),
        small::<Classify>(both, "a cat"),
        small::<Classify>(with_data("steps.csv", Options::default()), "1,2 3,4"),
        small::<Tag>(Options::default(), "a cat"),
        small::<Translate>(Options::default(), "a cat"),
        small::<Translate>(words.clone(), "a cat"),
        small::<Forecast>(seasonal, "x,y\n1,2\n3,4\n5,6"),
        small::<Forecast>(decoder, "x\ty\n1\t2\n3\t4\n5\t6"),
        small::<ConditionalText>(words.clone(), "good"),
        small::<Caption>(words.clone(), "0.5 1"),
        small::<Vqa>(words.clone(), "0.5 1\tis it a cat"),
        small::<Caption>(with_data("drawn.tsv", words.clone()), "a.png"),
        small::<Vqa>(with_data("drawn.tsv", words), "a.png\tis it a cat"),
    ]
}

fn with_data(name: &str, options: Options) -> Options {
    Options { data: Some(folder().join(name)), ..options }
}

/// Files that the tasks read, all in one folder.
fn data<T: Task>() -> &'static str {
    let series: String = (0..60).map(|at| format!("{},{}\n", at % 7, at * at % 5)).collect();
    put("series.csv", format!("x,y\n{series}").as_bytes());
    put("steps.csv", b"series,label,x,y\na,up,1,2\na,up,2,3\nb,down,3,1\nc,up,1,4\nc,up,2,2\n");
    put("text.txt", "a cat sat on the mat, and a dog.\n".repeat(9).as_bytes());
    put("tags.conll", b"a\tD\ncat\tN\n\nthe\tD\ndog\tN\n\ndog\tN\na\tD\n");
    put("pairs.tsv", b"source\ttarget\na cat\tun chat\na dog\tun chien\nthe mat\tle tapis\n");
    put("texts.tsv", b"text\tlabel\na cat\tgood\na dog\tbad\nthe mat\tgood\na mat\tbad\n");
    let row = |image: &str, at: usize| format!("{image}\ta cat {at}\tis it a cat\tyes {at}\n");
    let header = "image\tcaption\tquestion\tanswer\n";
    let features: String = (0..4).map(|at| row(&format!("{at} 0.5"), at % 2)).collect();
    put("features.tsv", (header.to_owned() + &features).as_bytes());
    let drawn: String = ["a.png", "b.png", "c.png", "d.png"]
        .into_iter()
        .zip(0..)
        .map(|(image, at)| row(image, at % 2))
        .collect();
    put("drawn.tsv", (header.to_owned() + &drawn).as_bytes());
    match T::NAME {
        "language-model" => "text.txt",
        "tag" => "tags.conll",
        "translate" => "pairs.tsv",
        "forecast" => "series.csv",
        "caption" | "vqa" => "features.tsv",
        _ => "texts.tsv",
    }
}

fn small<T: Task>(options: Options, line: &'static str) -> Small
where
    T::Settings: Shrink,
{
    let data = data::<T>();
    let mut options = Options {
        hidden_size: Some(2),
        batch_size: Some(2),
        window: Some(3),
        sequence_length: Some(2),
        min_count: None,
        ..options
    };
    options.data.get_or_insert_with(|| folder().join(data));
    let options = options.or_default(T::defaults()).expect("our own paths are UTF-8");
    let mut settings = T::settings(&options).expect("our own options go together");
    settings.shrink();
    let own_data = options.data.clone().expect("it was given");
    let learn = {
        let (options, settings) = (options.clone(), settings.clone());
        move |bytes: &[u8]| super::learn::learn::<T>(&options, &settings, bytes)
    };
    let read = T::read(&options, &settings, None);
    let codec = read.unwrap_or_else(|error| panic!("{}: {error:#}", T::NAME)).codec;
    let json = |value: Result<String, _>| -> String {
        value.unwrap_or_else(|error: serde_json::Error| panic!("{error}"))
    };
    let (own, learnt) =
        (json(serde_json::to_string(&settings)), json(serde_json::to_string(&codec)));
    let model = T::build(&settings, &codec).expect("our own settings make a model");
    let task = T::new(settings, codec, model);
    let parameters = task.initialize(&mut Generator::new(1, 1)).expect("uniform is for all");
    Small {
        kind: recurrent::tasks::checkpoint::kind::<T>(),
        settings: own,
        codec: learnt,
        use_it: Box::new(move |bytes| use_it(&task, &parameters, bytes)),
        load: super::model::load::<T>,
        head: |checkpoint| match read_head::<T>(checkpoint) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        },
        learn: Box::new(learn),
        data: std::fs::read(own_data).expect("it was written"),
        line,
    }
}

/// Makes smaller what no option does.
trait Shrink {
    fn shrink(&mut self) {}
}

macro_rules! shrink {
    ($($task:ident),* ; $($with_image:ident),*) => {
        $(impl Shrink for recurrent::tasks::$task::Settings {})*
        $(impl Shrink for recurrent::tasks::$with_image::Settings {
            fn shrink(&mut self) {
                self.image = ImageSettings { convolutions: vec![2], features: 3 };
            }
        })*
    };
}
shrink!(language_model, classify, tag, translate, forecast, conditional_text ; caption, vqa);

/// Predicts from these bytes and writes from them: a result or an error, and no panic.
pub(super) fn use_it<T: Task>(task: &T, parameters: &Parameters<f32>, bytes: &[u8]) {
    let (folder, compute) = (folder(), Compute::sequential());
    let folder: &Path = &folder;
    let input = Input { reader: Box::new(bytes), name: "a.txt".into(), folder };
    let mut check = |prediction: recurrent::tasks::Prediction| {
        assert!(prediction.json.is_object());
        Ok(())
    };
    let how = Predict { max_length: writes::<T>().then_some(4), ..Predict::default() };
    // What is said depends on the input: only that it is said matters.
    let _ = task.predict(&compute, parameters.clone(), input, &how, &mut check);
    let text = str::from_utf8(bytes).ok();
    let label = text.filter(|_| T::NAME == "conditional-text").map(str::to_owned);
    let how = Generate {
        prompt: text.filter(|_| T::NAME == "language-model").map(str::to_owned),
        label,
        length: Some(4),
        count: 1,
        sampling: Sampling { temperature: 1.0, top_k: None, top_p: None },
        beam: None,
        seed: 1,
    };
    let _ = task.generate(&compute, parameters.clone(), &how, &mut check);
}

fn writes<T: Task>() -> bool {
    ["translate", "caption"].contains(&T::NAME)
}

/// Judges a model on the data of its task.
pub(super) fn evaluate<T: Task>(task: &T, parameters: &Parameters<f32>) {
    let folder = folder();
    for name in [data::<T>(), "drawn.tsv", "steps.csv"] {
        if let Ok(examples) = task.read_held_out(&folder.join(name), &Options::default()) {
            let _ = task.evaluate(&Compute::sequential(), parameters, &examples);
        }
    }
}
