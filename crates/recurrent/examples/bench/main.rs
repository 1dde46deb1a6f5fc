//! How fast recurrent layers are on this machine, and beside PyTorch and ONNX Runtime if asked.
//!
//! ```text
//! cargo xtask bench [--threads N] [--json] [--quick] [--model] [--filter TEXT] [--peers PYTHON]
//!                   [--processor-time]
//! cargo xtask bench --stream
//! cargo xtask bench --roofline
//! cargo xtask bench --cost FILE.svg [--threads N]
//! ```
//!
//! Each row is one layer of one cell: batch, steps, input and hidden size, forward alone (`infer`)
//! or forward and backward with the gradients of parameters, input and initial state (`train`),
//! from a state of zeros that every program is given. Times are medians
//! of samples; with peers, the samples of all programs take turns, so that a machine that gets
//! slower does so for everybody. A rate counts the multiply-adds of the products alone: twice
//! steps x batch x gates x hidden x (input + hidden), three times that in training. Its share is of
//! the rate of a product of 512 x 512 x 512, which takes turns with them too. A ratio is a peer's
//! time divided by ours: above 1 we are faster.
//!
//! With `--model` each row is a language model of 65 characters, one layer of the cell between an
//! embedding of the input size and a readout: an update of it (`learn`: loss, gradients, clipping,
//! Adam), or so many characters written one by one (`write`, each drawn from the distribution).
//!
//! With `--processor-time` (one thread, on Linux) the time in which others use the processor does
//! not count, in no program.
//!
//! `--stream` times every single step of a stream and says how long it takes at worst. `--roofline`
//! measures what the processor allows one thread, and how near to it layers come. `--cost` draws
//! what a training pass costs by the real tokens of its batch.
//!
//! All programs read the same sizes from memory of their own and get the gradient of the output
//! given. In inference the weights may be prepared beforehand, as ONNX Runtime does; in training
//! they change between two passes, so preparing them counts.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a benchmark prints what it measured

mod clock;
mod cost;
mod grid;
mod layer;
mod model;
mod peers;
mod roofline;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;

/// What was asked for.
pub(crate) struct Arguments {
    /// How many threads to use; one and two where none are named.
    threads: Vec<usize>,
    json: bool,
    quick: bool,
    /// Whole models instead of layers.
    model: bool,
    /// Single steps instead of rows.
    stream: bool,
    /// What the processor allows, instead of rows.
    roofline: bool,
    /// A picture instead of rows: where it goes.
    cost: Option<PathBuf>,
    /// Only rows whose names hold this.
    filter: String,
    /// The interpreter whose environment has PyTorch and ONNX Runtime.
    peers: Option<String>,
    /// Measure the processor's time instead of time on the clock.
    processor_time: bool,
}

const USAGE: &str = "usage: bench [--threads N] [--json] [--quick] [--model] [--filter TEXT] \
    [--peers PYTHON] [--processor-time]\n       bench --stream\n       bench --roofline\n       bench --cost FILE.svg [--threads N]";

fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments {
        threads: vec![1, 2],
        json: false,
        quick: false,
        model: false,
        stream: false,
        roofline: false,
        cost: None,
        filter: String::new(),
        peers: None,
        processor_time: false,
    };
    let mut given = Vec::new();
    let mut arguments = arguments.iter().cloned();
    while let Some(argument) = arguments.next() {
        given.push(argument.clone());
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--threads" => {
                let text = value()?;
                let count = text.parse().ok().filter(|&count| count > 0);
                parsed.threads =
                    vec![count.ok_or(format!("--threads {text}: no count of threads"))?];
            }
            "--json" => parsed.json = true,
            "--processor-time" => parsed.processor_time = true,
            "--quick" => parsed.quick = true,
            "--model" => parsed.model = true,
            "--stream" => parsed.stream = true,
            "--roofline" => parsed.roofline = true,
            "--cost" => parsed.cost = Some(value()?.into()),
            "--filter" => parsed.filter = value()?,
            "--peers" => parsed.peers = Some(value()?),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    if parsed.processor_time && parsed.threads != [1] {
        return Err("--processor-time is that of one thread: it needs --threads 1".to_owned());
    }
    for (alone, with) in [("--stream", &[][..]), ("--roofline", &[]), ("--cost", &["--threads"])] {
        let other = |it: &&String| *it != alone && !with.contains(&it.as_str());
        if given.iter().any(|it| it == alone)
            && let Some(other) = given.iter().find(other)
        {
            return Err(format!("{other} does not go together with {alone}"));
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match parse(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let result = match &arguments.cost {
        Some(file) => cost::run(file, arguments.threads[0]),
        None if arguments.stream => stream::run(),
        None if arguments.roofline => {
            roofline::run();
            Ok(())
        }
        None => grid::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
