//! What a run measured, read from its `metrics.jsonl`.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// A line of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLine {
    /// Counted from 1.
    pub step: u64,
    /// Counted from 1.
    pub epoch: u64,
    /// Of the batch. NaN where the line has `null`: it was no finite number.
    pub loss: f64,
    /// Of the step.
    pub learning_rate: f64,
    /// Before clipping.
    pub gradient_norm: f64,
    /// Whether a limit changed the gradients.
    pub clipped: bool,
}

/// A line of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochLine {
    /// Steps taken.
    pub step: u64,
    /// The epoch that ended.
    pub epoch: u64,
    /// The mean over its steps.
    pub train_loss: f64,
    /// On held-out data.
    pub held_out_loss: f64,
}

/// A line of a clipped step; each has one while gradients are watched.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipLine {
    /// Counted from 1.
    pub step: u64,
    /// Counted from 1.
    pub epoch: u64,
    /// Before clipping.
    pub gradient_norm: f64,
}

/// A step that ended the run, and those before it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Failure {
    /// Counted from 1.
    pub step: u64,
    /// Counted from 1.
    pub epoch: u64,
    /// What was wrong, in a sentence.
    pub reason: String,
    /// Of the step, where it is known and a number.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Of the step, before clipping, where it is known and a number.
    #[serde(default)]
    pub gradient_norm: Option<f64>,
    /// The first parameter whose gradient was no number.
    #[serde(default)]
    pub parameter: Option<String>,
    /// Every one of the last steps before it.
    pub before: Vec<LastStep>,
}

/// One of the last steps before one that ended the run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LastStep {
    /// Counted from 1.
    pub step: u64,
    /// Of the batch.
    pub loss: f64,
    /// Before clipping.
    pub gradient_norm: f64,
    /// Whether a limit changed the gradients.
    pub clipped: bool,
}

/// Everything of the file that this version knows, and the rest as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In the order of the file.
    pub steps: Vec<StepLine>,
    /// In the order of the file.
    pub epochs: Vec<EpochLine>,
    /// In the order of the file.
    pub clips: Vec<ClipLine>,
    /// Why the run ended in the middle, if it did so by itself.
    pub failure: Option<Failure>,
    /// Lines of other events, for the sections that know them.
    pub others: Vec<Value>,
    /// Lines that are no objects with an event: a torn last one, or another program's.
    pub unreadable: usize,
    /// Why there is no file to read, if there is none.
    pub missing: Option<String>,
}

impl History {
    /// Reads a file. What is wrong with it is told by the history: a page without curves is better
    /// than none.
    pub fn read(path: &Path) -> History {
        // A pipe at the place would wait for its other end.
        let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        let file = match std::fs::File::open(path) {
            _ if !is_file && path.exists() => Err("is not a regular file".into()),
            Ok(file) => Ok(file),
            Err(error) => Err(error.to_string()),
        };
        match file {
            Ok(file) => History::of(BufReader::new(file)),
            Err(reason) => History { missing: Some(reason), ..History::default() },
        }
    }

    /// Reads lines.
    pub fn of(mut lines: impl BufRead) -> History {
        let (mut history, mut line) = (History::default(), Vec::new());
        loop {
            line.clear();
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => return history,
                Ok(_) => history.take(&line),
                Err(error) => {
                    history.missing = Some(error.to_string());
                    return history;
                }
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            self.unreadable += 1;
            return;
        };
        let whole = |name: &str| value[name].as_u64();
        let number = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
        match (value["event"].as_str(), whole("step"), whole("epoch")) {
            (Some("step"), Some(step), Some(epoch)) => self.steps.push(StepLine {
                step,
                epoch,
                loss: number("loss"),
                learning_rate: number("learning_rate"),
                gradient_norm: number("gradient_norm"),
                clipped: value["clipped"].as_bool().unwrap_or(false),
            }),
            (Some("epoch"), Some(step), Some(epoch)) => self.epochs.push(EpochLine {
                step,
                epoch,
                train_loss: number("train_loss"),
                held_out_loss: value["held_out"]["loss"].as_f64().unwrap_or(f64::NAN),
            }),
            (Some("clip"), Some(step), Some(epoch)) => {
                self.clips.push(ClipLine { step, epoch, gradient_norm: number("gradient_norm") });
            }
            (Some("failure"), Some(_), _) => match Failure::deserialize(&value) {
                Ok(failure) => self.failure = Some(failure),
                Err(_) => self.others.push(value),
            },
            (Some(_), _, _) => self.others.push(value),
            (None, _, _) => self.unreadable += 1,
        }
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        let lines = self.steps.len() + self.epochs.len() + self.clips.len() + self.others.len();
        lines == 0 && self.failure.is_none()
    }

    /// Steps from one line to the next.
    pub fn every(&self) -> u64 {
        let neighbours = self.steps.windows(2).map(|pair| pair[1].step.abs_diff(pair[0].step));
        neighbours.min().or(self.steps.first().map(|line| line.step)).unwrap_or(1)
    }

    /// The last step of which something was measured.
    pub fn last_step(&self) -> u64 {
        let steps = self.steps.iter().map(|line| line.step);
        steps.chain(self.epochs.iter().map(|line| line.step)).max().unwrap_or(0)
    }

    /// The epoch with the lowest held-out loss.
    pub fn best(&self) -> Option<&EpochLine> {
        let numbers = self.epochs.iter().filter(|line| !line.held_out_loss.is_nan());
        numbers.min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_and_the_rest_kept() {
        let text = concat!(
            "{\"event\":\"step\",\"step\":50,\"epoch\":1,\"loss\":2.5,\"learning_rate\":0.1,",
            "\"gradient_norm\":null,\"clipped\":true}\n",
            "{\"event\":\"epoch\",\"step\":60,\"epoch\":1,\"train_loss\":2.0,",
            "\"held_out\":{\"loss\":1.5},\"averaged\":false}\n",
            "{\"event\":\"epoch\",\"step\":120,\"epoch\":2,\"train_loss\":2.0,",
            "\"held_out\":{\"loss\":null},\"averaged\":false}\n",
            "{\"event\":\"gradients\",\"step\":100}\n",
            "{\"event\":\"clip\",\"step\":70,\"epoch\":1,\"gradient_norm\":9.5,\"clipped_norm\":5.0}\n",
            "\u{FFFD} nothing\n[1]\n{\"event\":\"st",
        );
        let history = History::of(text.as_bytes());
        let [step] = &history.steps[..] else { panic!("{history:?}") };
        assert_eq!((step.step, step.loss, step.clipped), (50, 2.5, true));
        assert!(step.gradient_norm.is_nan());
        assert_eq!(history.epochs.len(), 2);
        assert_eq!(history.best().unwrap().held_out_loss, 1.5);
        assert_eq!(history.others[0]["event"], "gradients");
        assert_eq!(history.clips, [ClipLine { step: 70, epoch: 1, gradient_norm: 9.5 }]);
        assert_eq!((history.unreadable, history.last_step()), (3, 120));
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let history = History::read(Path::new("/nowhere/metrics.jsonl"));
        assert!(history.is_empty() && history.missing.is_some());
        assert!(History::read(Path::new("/")).missing.unwrap().contains("regular file"));
    }
}
