//! Which options belong together: how the help shows them, and which tasks take them.

/// Where the data are.
pub const DATA: &[&str] = &["data", "valid"];
/// Where in a file the data are.
pub const TABLE: &[&str] = &["columns", "no-header"];
/// What a token is.
pub const TOKENS: &[&str] =
    &["tokens", "min-count", "embedding-size", "one-hot", "embedding-dropout"];
/// How a text that is one long sequence is read.
pub const TEXT: &[&str] = &["document-end", "stream"];
/// Where backpropagation through a long sequence is cut.
pub const TRUNCATION: &[&str] = &["sequence-length", "backward-steps"];
/// What a model is made of.
pub const NETWORK: &[&str] = &[
    "cell",
    "hidden-size",
    "num-layers",
    "dropout",
    "input-dropout",
    "output-dropout",
    "variational",
    "weight-dropout",
    "zoneout",
    "zoneout-cell",
    "regularize-gradients",
    "init",
    "forget-bias",
];
/// How it learns.
pub const LEARNING: &[&str] = &[
    "epochs",
    "steps",
    "batch-size",
    "learning-rate",
    "optimizer",
    "momentum",
    "nesterov",
    "weight-decay",
    "average-after",
    "schedule",
    "warm-up",
    "decay",
    "decay-every",
    "plateau-patience",
    "patience",
    "clip-value",
    "clip-norm",
    "seed",
];
/// How the program works.
pub const RUN: &[&str] = &["threads", "checkpoint-every", "keep-last", "watch-gradients"];

/// What a decoder reads while it learns.
pub const FEEDING: &[&str] = &["feed", "teacher-forcing", "forcing-schedule", "forcing-steps"];

/// What every task takes.
pub const COMMON: &[&[&str]] = &[DATA, NETWORK, LEARNING, RUN];

/// The heading of an option in the help: those of the model are all that no other group has.
pub fn heading(name: &str) -> &'static str {
    let is_in = |groups: &[&[&str]]| groups.iter().any(|group| group.contains(&name));
    if name == "embedding-dropout" {
        "Model"
    } else if is_in(&[
        DATA,
        TABLE,
        TOKENS,
        TEXT,
        &["max-length", "embeddings", "horizon", "window", "season"],
    ]) {
        "Data"
    } else if is_in(&[LEARNING, FEEDING, TRUNCATION]) {
        "Learning"
    } else if is_in(&[RUN, &["out", "force", "config", "quiet", "help"]]) {
        "Run"
    } else {
        "Model"
    }
}
