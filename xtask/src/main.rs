//! The project's chores, in plain Rust: `cargo xtask --help` lists them.
//!
//! One file per command. Nothing here reads the standard input.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

mod bench;
mod ci;
mod fuzz;
mod invocation;
mod steps;
mod tidy;
mod torture;
mod ulp;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  ci           everything that has to hold before a change is merged: formatting, tidy, clippy,
               tests, doc tests, docs, every crate alone with each set of features, packaging
  ci --quick   the part that takes seconds when warm: formatting, tidy, clippy, tests, doc tests
  tidy         the house rules that neither rustc nor clippy knows
  torture      the long forms of tests, which ci leaves out (takes many minutes)
  fuzz [TARGET] [--executions N] [--seconds N]
               searches for files that a reader does not stand, with libFuzzer: all readers for 60
               seconds each, or for so many executions in all (needs a C++ compiler)
  ulp          the error of every activation over all 2^32 inputs (takes minutes)
  bench [--threads N] [--json] [--quick] [--model] [--filter TEXT] [--peers PYTHON]
        [--processor-time]
               how fast the layers are here, and beside PyTorch and ONNX Runtime where PYTHON is an
               interpreter that has them
  bench --stream
               how long a single step takes, and how long at worst
  bench --roofline
               what the processor allows one thread, and how near to it the layers come
  bench --cost FILE.svg [--threads N]
               draws what a training pass costs by the real tokens of its batch
  help         this text

Exit status: 0 when everything holds, 1 when something does not, 2 for a usage error.
";

/// What the user asked for.
#[derive(Debug, PartialEq)]
enum Request {
    Bench(Vec<String>),
    Ci(ci::Scope),
    Fuzz(fuzz::Search),
    Tidy,
    Torture,
    Ulp,
    Help,
}

fn parse(arguments: &[&str]) -> Result<Request, String> {
    match arguments {
        ["--help" | "-h" | "help"] | [_, "--help" | "-h"] => Ok(Request::Help),
        // The benchmark reads its own arguments.
        ["bench", rest @ ..] => {
            Ok(Request::Bench(rest.iter().map(|&argument| argument.to_owned()).collect()))
        }
        ["ci"] => Ok(Request::Ci(ci::Scope::Whole)),
        ["ci", "--quick"] => Ok(Request::Ci(ci::Scope::Quick)),
        ["fuzz", rest @ ..] => fuzz::parse(rest).map(Request::Fuzz),
        ["tidy"] => Ok(Request::Tidy),
        ["torture"] => Ok(Request::Torture),
        ["ulp"] => Ok(Request::Ulp),
        [] => Err("a command is missing".to_owned()),
        ["ci" | "tidy" | "torture" | "ulp" | "help", rest @ ..] => {
            Err(format!("unexpected argument: {}", rest.join(" ")))
        }
        [command, ..] => Err(format!("unknown command: {command}")),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let request = match parse(&arguments) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("error: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let outcome = match request {
        Request::Bench(arguments) => bench::run(&arguments),
        Request::Ci(scope) => ci::run(scope),
        Request::Fuzz(search) => fuzz::run(&search),
        Request::Tidy => tidy::run(),
        Request::Torture => torture::run(),
        Request::Ulp => ulp::run(),
        Request::Help => {
            print!("{USAGE}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, ci::Scope, parse};

    #[test]
    fn commands_are_recognised() {
        assert_eq!(parse(&["ci"]), Ok(Request::Ci(Scope::Whole)));
        assert_eq!(parse(&["ci", "--quick"]), Ok(Request::Ci(Scope::Quick)));
        assert_eq!(parse(&["tidy"]), Ok(Request::Tidy));
        assert_eq!(parse(&["torture"]), Ok(Request::Torture));
        assert_eq!(parse(&["ulp"]), Ok(Request::Ulp));
        assert_eq!(parse(&["fuzz"]), Ok(Request::Fuzz(super::fuzz::Search::default())));
        assert_eq!(parse(&["ci", "--help"]), Ok(Request::Help));
        let arguments = ["--threads", "1"].map(str::to_owned).to_vec();
        assert_eq!(parse(&["bench", "--threads", "1"]), Ok(Request::Bench(arguments)));
    }

    #[test]
    fn what_is_no_command_is_a_usage_error() {
        for arguments in [
            &[][..],
            &["tidi"],
            &["--quick"],
            &["ci", "--fast"],
            &["tidy", "now"],
            &["torture", "me"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
