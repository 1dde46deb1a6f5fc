//! `cargo xtask fuzz`: libFuzzer searches for bytes that a reader does not stand.
//!
//! The programs are in `fuzz/`, a workspace of its own, and need a C++ compiler. Their targets, and
//! the examples that a search begins from, are those of the tests in
//! `crates/recurrent/tests/readers`. What a search finds interesting stays in `fuzz/corpus` for the
//! next one, what it finds wrong in `fuzz/artifacts`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{invocation::cargo, workspace};

/// Seconds for each target where nothing else is said.
const SECONDS: u64 = 60;

/// No reader may take more memory; the search itself needs some of it.
const MOST_MEGABYTES: u64 = 256;

/// No input may take longer.
const MOST_SECONDS: u64 = 10;

/// What rustc is told so that libFuzzer sees which way the code went: as cargo-fuzz does it, but for
/// sanitizers, which need another compiler. `cfg(fuzzing)` is for decoders that then skip checksums.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// How many of a hundred executions a target gets when all are run; the others share what is left.
/// Those that make models are slow.
const SHARES: [(&str, u64); 4] = [("checkpoint", 30), ("learn", 4), ("model", 6), ("predict", 6)];

/// What to search, and for how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Search {
    /// One target, or all.
    target: Option<String>,
    /// Executions of all targets together.
    executions: Option<u64>,
    /// Seconds of each target.
    seconds: Option<u64>,
}

/// Reads the arguments behind `fuzz`.
///
/// # Errors
/// A line that says what is wrong with them.
pub(crate) fn parse(arguments: &[&str]) -> Result<Search, String> {
    let mut search = Search::default();
    let mut arguments = arguments.iter();
    while let Some(&argument) = arguments.next() {
        let place = match argument {
            "--executions" => &mut search.executions,
            "--seconds" => &mut search.seconds,
            _ if argument.starts_with('-') => return Err(format!("unknown option: {argument}")),
            _ if search.target.is_some() => return Err(format!("unexpected argument: {argument}")),
            _ => {
                search.target = Some(argument.to_owned());
                continue;
            }
        };
        let number = arguments.next().and_then(|number| number.parse().ok());
        let number = number.filter(|&number| number > 0);
        *place = Some(number.ok_or_else(|| format!("{argument} takes a number above 0"))?);
    }
    Ok(search)
}

/// Builds the programs, runs them one after the other and prints what each did.
///
/// # Errors
/// When there is a finding, and when a program cannot be built or run.
pub(crate) fn run(search: &Search) -> Result<()> {
    let folder = workspace::root()?.join("fuzz");
    let known = targets(&folder)?;
    let chosen: Vec<&String> = match &search.target {
        None => known.iter().collect(),
        Some(name) => known.iter().filter(|known| *known == name).collect(),
    };
    ensure!(!chosen.is_empty(), "no such target; there are: {}", known.join(", "));
    let programs = build(&folder)?;
    println!("{:12} {:>12} {:>9} {:>10}  finding", "target", "executions", "seconds", "a second");
    let mut findings = Vec::new();
    for &name in &chosen {
        let share = search.executions.map(|all| executions(all, name, &chosen));
        let outcome = run_target(&folder, &programs.join(name), name, share, search.seconds)?;
        println!("{}", outcome.line(name));
        findings.extend(outcome.finding);
    }
    match findings.len() {
        0 => Ok(()),
        _ => bail!("bytes that a reader does not stand: {}", findings.join(", ")),
    }
}

/// The names of all targets: those of their programs' files.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// How many of `all` executions a target gets, of those that are run.
fn executions(all: u64, name: &str, chosen: &[&String]) -> u64 {
    let fixed =
        |name: &str| SHARES.iter().find(|(known, _)| *known == name).map(|&(_, share)| share);
    let fixed_shares = chosen.iter().filter_map(|name| fixed(name));
    let left = 100 - fixed_shares.clone().sum::<u64>();
    let others = (chosen.len() - fixed_shares.count()) as u64;
    let part = match (fixed(name), others) {
        _ if chosen.len() == 1 => return all,
        // Of a hundred, rounded up.
        (Some(share), _) => all * share,
        (None, others) => all * left / others,
    };
    part.div_ceil(100)
}

/// Compiles the programs, and says in which folder they are.
fn build(folder: &Path) -> Result<PathBuf> {
    let host = host()?;
    let mut command = Command::new(cargo());
    // With a named target, instructions for libFuzzer do not go into build scripts and macros.
    command.args(["build", "--quiet", "--release", "--bins", "--target", &host]);
    command.current_dir(folder).env("RUSTFLAGS", INSTRUMENTATION).stdin(Stdio::null());
    let status = command.status().context("could not start cargo")?;
    ensure!(status.success(), "the programs in {} could not be built", folder.display());
    Ok(folder.join("target").join(host).join("release"))
}

/// The name of this machine's kind, as rustc has it.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("could not start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// What a program did.
#[derive(Debug, PartialEq)]
struct Outcome {
    executions: u64,
    seconds: f64,
    /// The file with the bytes, or what else went wrong.
    finding: Option<String>,
}

impl Outcome {
    fn line(&self, name: &str) -> String {
        let Outcome { executions, seconds, finding } = self;
        let speed = *executions as f64 / seconds.max(0.001);
        let finding = finding.as_deref().unwrap_or("none");
        format!("{name:12} {executions:>12} {seconds:>9.1} {speed:>10.0}  {finding}")
    }
}

/// Runs a program until it has done so much or found something.
fn run_target(
    folder: &Path,
    program: &Path,
    name: &str,
    executions: Option<u64>,
    seconds: Option<u64>,
) -> Result<Outcome> {
    let [corpus, artifacts] = ["corpus", "artifacts"].map(|part| folder.join(part).join(name));
    // Thousands of small files a second: in memory, where the system has a folder for that.
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { memory.to_owned() } else { folder.join("target") };
    let scratch = scratch.join(format!("recurrent-fuzz-{}", std::process::id()));
    for folder in [&corpus, &artifacts, &scratch] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let log_path = artifacts.join("log");
    let log = File::create(&log_path).with_context(|| log_path.display().to_string())?;
    let mut command = Command::new(program);
    command.arg(&corpus).arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-rss_limit_mb={MOST_MEGABYTES}"));
    command.arg(format!("-timeout={MOST_SECONDS}"));
    if let Some(executions) = executions {
        command.arg(format!("-runs={executions}"));
    }
    // As long as it takes, if only executions are said.
    if let Some(seconds) = seconds.or(executions.is_none().then_some(SECONDS)) {
        command.arg(format!("-max_total_time={seconds}"));
    }
    command.args(["-print_final_stats=1", "-ignore_remaining_args=1", "--seeds"]);
    command.current_dir(folder).env("TMPDIR", &scratch).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(log);
    let start = Instant::now();
    let status = command.status().with_context(|| program.display().to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    // The program ends without cleaning up.
    let _ = fs::remove_dir_all(&scratch);
    let log = String::from_utf8_lossy(&fs::read(&log_path)?).into_owned();
    let finding = (!status.success()).then(|| match artifact(&log) {
        Some(path) => path.to_owned(),
        None => format!("{status}, see {}", log_path.display()),
    });
    Ok(Outcome { executions: executed(&log).unwrap_or(0), seconds, finding })
}

/// How many executions libFuzzer reports at its end.
fn executed(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    line?.trim().parse().ok()
}

/// The file into which libFuzzer says that it wrote a finding.
fn artifact(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| line.contains("Test unit written to "))?;
    line.split("Test unit written to ").nth(1).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{Search, artifact, executed, executions, parse, targets};
    use crate::workspace;

    #[test]
    fn arguments_in_any_order() {
        assert_eq!(parse(&[]), Ok(Search::default()));
        let all = Search { target: Some("text".to_owned()), executions: Some(5), seconds: Some(7) };
        assert_eq!(parse(&["text", "--executions", "5", "--seconds", "7"]), Ok(all.clone()));
        assert_eq!(parse(&["--seconds", "7", "text", "--executions", "5"]), Ok(all));
        for wrong in [
            &["--executions"][..],
            &["--seconds", "0"],
            &["--seconds", "-1"],
            &["--fast"],
            &["text", "table"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn all_executions_are_shared() {
        let names: Vec<String> = targets(&workspace::root().unwrap().join("fuzz")).unwrap();
        let names: Vec<&String> = names.iter().collect();
        let shares = names.iter().map(|name| executions(10_000_000, name, &names));
        let sum: u64 = shares.sum();
        assert!((10_000_000..10_000_100).contains(&sum), "{sum}");
        assert_eq!(executions(10_000_000, "checkpoint", &names), 3_000_000);
        assert_eq!(executions(7, "text", &names[..1]), 7);
    }

    #[test]
    fn reports_of_libfuzzer_are_read() {
        let log = "#7 DONE\nstat::number_of_executed_units: 100000\nstat::peak_rss_mb: 27\n";
        assert_eq!((executed(log), artifact(log)), (Some(100_000), None));
        let log = "==1== ERROR: libFuzzer: deadly signal\nartifact_prefix='a/'; \
                   Test unit written to a/crash-0123\nBase64: AA==\n";
        assert_eq!((executed(log), artifact(log)), (None, Some("a/crash-0123")));
    }
}
