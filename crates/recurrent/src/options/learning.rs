//! The options that say how parameters move: optimiser, schedule, limits. What has no meaning
//! together is refused with a reason, whether it was typed or read from a file.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use recurrent_training::OptimizerConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Options, usage};
use crate::tasks::settings::{Learning, RunSchedule};

/// How the parameters move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent.
    Sgd,
    /// RMSprop with a memory of 0.99 and 1e-8.
    Rmsprop,
    /// Adam with 0.9, 0.999 and 1e-8.
    #[default]
    Adam,
    /// Adam with weight decay that is not part of the gradient.
    Adamw,
    /// Gradient descent that averages the parameters once held-out losses stop falling.
    NtAsgd,
}

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// It does not.
    #[default]
    Constant,
    /// It is multiplied by --decay after every --decay-every epochs.
    Step,
    /// It falls with every step, in an epoch to --decay of what it was.
    Exponential,
    /// It falls along half a cosine to zero at the end of the run.
    Cosine,
    /// It is multiplied by --decay when more than --plateau-patience epochs brought no better loss.
    Plateau,
}

/// A limit that can be taken away: a number, or `none`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// There is no limit.
    None,
    /// The most.
    Most(f64),
}

impl Limit {
    fn most(self) -> Option<f64> {
        match self {
            Limit::None => None,
            Limit::Most(most) => Some(most),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        match text {
            "none" => Ok(Limit::None),
            _ => text.parse().map(Limit::Most).map_err(|_| LIMIT.to_owned()),
        }
    }
}

/// What a limit has to be.
const LIMIT: &str = "expected a number or none";

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Limit::None => serializer.serialize_str("none"),
            Limit::Most(most) => serializer.serialize_f64(*most),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Limit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or \"none\"")
            }
            fn visit_f64<E>(self, most: f64) -> Result<Limit, E> {
                Ok(Limit::Most(most))
            }
            fn visit_i64<E>(self, most: i64) -> Result<Limit, E> {
                Ok(Limit::Most(most as f64))
            }
            fn visit_u64<E>(self, most: u64) -> Result<Limit, E> {
                Ok(Limit::Most(most as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit, E> {
                match text {
                    "none" => Ok(Limit::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The name of a value, as it is typed.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Refuses `option` if it was given and `has` no meaning.
fn require(given: bool, option: &str, has: bool, reason: impl fmt::Display) -> anyhow::Result<()> {
    if given && !has {
        return Err(usage(format!("--{option}: {reason}")));
    }
    Ok(())
}

impl Options {
    /// How to learn.
    ///
    /// # Errors
    /// Wrong usage if options do not go together, or a number is out of range.
    pub fn learning(&self) -> anyhow::Result<Learning> {
        let learning = Learning {
            epochs: self.epochs.unwrap_or(5),
            steps: self.steps,
            batch_size: self.batch_size.unwrap_or(32),
            learning_rate: self.learning_rate.unwrap_or(if self.descends() { 1.0 } else { 0.002 }),
            optimizer: optimizer(self)?,
            schedule: schedule(self)?,
            warm_up: self.warm_up.unwrap_or(0),
            clip_value: self.clip_value.and_then(Limit::most),
            clip_norm: self.clip_norm.unwrap_or(Limit::Most(5.0)).most(),
            patience: self.patience,
            seed: self.seed.unwrap_or(1),
        };
        if self.checkpoint_every == Some(0) {
            return Err(usage("--checkpoint-every must be at least 1"));
        }
        if self.watch_gradients == Some(0) {
            return Err(usage("--watch-gradients must be at least 1"));
        }
        if self.keep_last == Some(0) {
            return Err(usage(
                "--keep-last must be at least 1: without a checkpoint no run goes on",
            ));
        }
        learning.check().map_err(usage)?;
        Ok(learning)
    }

    /// Steps are as long as the rate times the gradient, and not, as Adam's and RMSprop's, as the
    /// rate: a task's default rate is for the latter.
    pub(super) fn descends(&self) -> bool {
        matches!(self.optimizer, Some(OptimizerKind::Sgd | OptimizerKind::NtAsgd))
    }
}

/// The optimiser that these options and the defaults make.
///
/// # Errors
/// Wrong usage if an option has no meaning for it.
fn optimizer(options: &Options) -> anyhow::Result<OptimizerConfig> {
    use OptimizerKind::{Adam, Adamw, NtAsgd, Rmsprop, Sgd};
    let kind = options.optimizer.unwrap_or_default();
    let called = name(kind);
    let reason = match kind {
        Adam | Adamw => format!("{called} has a momentum of its own; drop it, or use sgd, rmsprop"),
        _ => format!("{called} has none; drop it, or use --optimizer sgd or rmsprop"),
    };
    require(options.momentum.is_some(), "momentum", matches!(kind, Sgd | Rmsprop), reason)?;
    let reason = format!("only sgd has it, not {called}");
    require(options.nesterov, "nesterov", kind == Sgd, reason)?;
    let moves = options.momentum.is_some_and(|momentum| momentum != 0.0);
    let reason = "it looks ahead along the momentum; give that too, such as --momentum 0.9";
    require(options.nesterov, "nesterov", moves, reason)?;
    let reason = format!("{called} does not average; drop it, or use --optimizer nt-asgd");
    require(options.average_after.is_some(), "average-after", kind == NtAsgd, reason)?;

    let momentum = options.momentum.unwrap_or(0.0);
    let decay = options.weight_decay;
    Ok(match kind {
        Sgd => OptimizerConfig::Sgd {
            momentum,
            dampening: 0.0,
            nesterov: options.nesterov,
            weight_decay: decay.unwrap_or(0.0),
        },
        Rmsprop => OptimizerConfig::RmsProp {
            alpha: 0.99,
            epsilon: 1e-8,
            momentum,
            centered: false,
            weight_decay: decay.unwrap_or(0.0),
        },
        Adam => OptimizerConfig::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: decay.unwrap_or(0.0),
        },
        Adamw => OptimizerConfig::AdamW {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: decay.unwrap_or(0.01),
        },
        NtAsgd => OptimizerConfig::NtAsgd {
            average_after: options.average_after.unwrap_or(5),
            weight_decay: decay.unwrap_or(0.0),
        },
    })
}

/// The schedule that these options and the defaults make.
///
/// # Errors
/// Wrong usage if an option has no meaning for it.
fn schedule(options: &Options) -> anyhow::Result<RunSchedule> {
    use ScheduleKind::{Constant, Cosine, Exponential, Plateau, Step};
    let kind = options.schedule.unwrap_or_default();
    let called = name(kind);
    let has = matches!(kind, Step | Exponential | Plateau);
    let reason = format!(
        "a {called} learning rate has no factor; drop it, or use --schedule step, exponential or \
         plateau"
    );
    require(options.decay.is_some(), "decay", has, reason)?;
    let reason = format!("only --schedule step has it, not {called}");
    require(options.decay_every.is_some(), "decay-every", kind == Step, reason)?;
    let reason = "it must be at least 1";
    require(options.decay_every == Some(0), "decay-every", false, reason)?;
    let reason = format!("only --schedule plateau has it, not {called}");
    require(options.plateau_patience.is_some(), "plateau-patience", kind == Plateau, reason)?;

    let factor = options.decay.unwrap_or(if kind == Exponential { 0.9 } else { 0.5 });
    Ok(match kind {
        Constant => RunSchedule::Constant,
        Cosine => RunSchedule::Cosine,
        Step => RunSchedule::Step { factor, epochs: options.decay_every.unwrap_or(1) },
        Exponential => RunSchedule::Exponential { factor },
        Plateau => RunSchedule::Plateau { factor, patience: options.plateau_patience.unwrap_or(1) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Options {
        Options::parse(text).unwrap()
    }

    #[test]
    fn limits_are_numbers_or_none_in_files_and_in_words() {
        for (file, word, limit) in [
            ("clip-norm = 5", "5", Limit::Most(5.0)),
            ("clip-norm = 0.25", "0.25", Limit::Most(0.25)),
            ("clip-norm = \"none\"", "none", Limit::None),
        ] {
            let options = parse(file);
            assert_eq!(options.clip_norm, Some(limit));
            assert_eq!(parse(&toml::to_string(&options).unwrap()), options);
            assert_eq!(word.parse(), Ok(limit));
            assert_eq!(options.learning().unwrap().clip_norm, limit.most());
        }
        assert_eq!("off".parse::<Limit>(), Err("expected a number or none".to_owned()));
        let message = Options::parse("clip-value = \"off\"").unwrap_err().to_string();
        assert_eq!(message, "line 1: invalid value: string \"off\", expected a number or \"none\"");
        let message = Options::parse("clip-value = true").unwrap_err().to_string();
        assert!(message.ends_with("invalid type: boolean `true`, expected a number or \"none\""));
    }

    #[test]
    fn options_become_settings() {
        let settings = |text: &str| parse(text).learning().unwrap();
        assert_eq!(settings("").optimizer, OptimizerConfig::ADAM);
        assert_eq!(settings("optimizer = \"sgd\"").optimizer, OptimizerConfig::SGD);
        assert_eq!(settings("optimizer = \"rmsprop\"").optimizer, OptimizerConfig::RMS_PROP);
        assert_eq!(settings("optimizer = \"adamw\"").optimizer, OptimizerConfig::ADAM_W);
        assert_eq!(settings("optimizer = \"nt-asgd\"").optimizer, OptimizerConfig::NT_ASGD);
        assert_eq!(settings("optimizer = \"nt-asgd\"").learning_rate, 1.0);
        assert_eq!(settings("optimizer = \"adamw\"").learning_rate, 0.002);
        assert_eq!(settings("optimizer = \"sgd\"\nlearning-rate = 3").learning_rate, 3.0);
        let text = "optimizer = \"sgd\"\nmomentum = 0.9\nnesterov = true\nweight-decay = 0.1";
        let sgd = OptimizerConfig::Sgd {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: true,
            weight_decay: 0.1,
        };
        assert_eq!(settings(text).optimizer, sgd);
        let text = "optimizer = \"nt-asgd\"\naverage-after = 2\nweight-decay = 0.1";
        let nt_asgd = OptimizerConfig::NtAsgd { average_after: 2, weight_decay: 0.1 };
        assert_eq!(settings(text).optimizer, nt_asgd);

        assert_eq!(settings("").schedule, RunSchedule::Constant);
        let schedule = |text: &str| settings(&format!("schedule = {text}")).schedule;
        assert_eq!(schedule("\"step\""), RunSchedule::Step { factor: 0.5, epochs: 1 });
        let step = schedule("\"step\"\ndecay = 0.1\ndecay-every = 3");
        assert_eq!(step, RunSchedule::Step { factor: 0.1, epochs: 3 });
        assert_eq!(schedule("\"exponential\""), RunSchedule::Exponential { factor: 0.9 });
        assert_eq!(schedule("\"plateau\""), RunSchedule::Plateau { factor: 0.5, patience: 1 });
        let plateau = schedule("\"plateau\"\ndecay = 0.1\nplateau-patience = 0");
        assert_eq!(plateau, RunSchedule::Plateau { factor: 0.1, patience: 0 });
        let text = "warm-up = 100\nclip-value = 1\npatience = 3";
        let settings = settings(text);
        assert_eq!((settings.warm_up, settings.clip_value), (100, Some(1.0)));
        assert_eq!((settings.clip_norm, settings.patience), (Some(5.0), Some(3)));
    }
}
