//! Other programs in the same row: each a process that is asked for one sample at a time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::layer::Shape;

/// What runs the layers of PyTorch and ONNX Runtime: see its head.
const SCRIPT: &str = include_str!("peers.py");

/// A process with one of the others.
pub(crate) struct Peer {
    name: &'static str,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts those that the interpreter's environment has.
    pub(crate) fn start_all(
        python: &str,
        threads: usize,
        processor_time: bool,
    ) -> Result<Vec<Peer>> {
        let clock = if processor_time { "process_time" } else { "perf_counter" };
        let mut peers = vec![];
        for (name, module) in [("PyTorch", "torch"), ("ONNX Runtime", "onnxruntime")] {
            let mut child = Command::new(python)
                .args(["-c", SCRIPT, module, &threads.to_string(), clock])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot start {python}"))?;
            let requests = child.stdin.take().context("the peer has no input")?;
            let answers = BufReader::new(child.stdout.take().context("the peer has no output")?);
            let mut peer = Peer { name, child, requests, answers };
            match peer.answer() {
                Ok(version) => {
                    eprintln!("{name} {version}, {threads} thread(s)");
                    peers.push(peer);
                }
                Err(_) => eprintln!("{name}: not in the environment of {python}; left out"),
            }
        }
        if peers.is_empty() {
            bail!("{python} has neither PyTorch (torch) nor ONNX Runtime (onnxruntime, onnx)");
        }
        Ok(peers)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Builds a layer; whether the peer can.
    pub(crate) fn prepare(&mut self, shape: &Shape) -> Result<bool> {
        self.ask(&format!("prepare {}", serde_json::to_string(shape)?)).map(|it| it == "ready")
    }

    /// Seconds of one pass, in the mean of so many.
    pub(crate) fn sample(&mut self, passes: u32) -> Result<f64> {
        let answer = self.ask(&format!("sample {passes}"))?;
        let seconds: f64 = answer.parse().with_context(|| format!("{}: {answer}", self.name))?;
        Ok(seconds / f64::from(passes))
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        writeln!(self.requests, "{request}").and_then(|()| self.requests.flush())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("{} has ended", self.name);
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It waits for requests and holds nothing that could be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
