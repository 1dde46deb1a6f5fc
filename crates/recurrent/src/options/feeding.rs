//! The options that say what a decoder reads while it learns.

use clap::ValueEnum;
use recurrent_training::{Feed, TeacherForcing};
use serde::{Deserialize, Serialize};

use super::{Options, usage};

/// What a decoder reads while it learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedKind {
    /// The start token at every step: it must remember what it wrote.
    Dummy,
    /// What it found most likely at the step before.
    Output,
    /// What was true at the step before (teacher forcing).
    #[default]
    Truth,
}

/// How the share of true tokens changes over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForcingKind {
    /// It does not.
    #[default]
    Constant,
    /// It falls evenly from 1 to --teacher-forcing.
    Linear,
    /// It falls as k / (k + e^(step / k)), to 0.
    InverseSigmoid,
}

impl Options {
    /// What the decoder reads while it learns.
    ///
    /// # Errors
    /// Wrong usage if options do not go together, or a number is out of range.
    pub fn decoder_feed(&self) -> anyhow::Result<Feed> {
        let kind = self.feed.unwrap_or_default();
        let schedule = self.forcing_schedule.unwrap_or_default();
        let given = [
            ("teacher-forcing", self.teacher_forcing.is_some()),
            ("forcing-schedule", self.forcing_schedule.is_some()),
            ("forcing-steps", self.forcing_steps.is_some()),
        ];
        if kind != FeedKind::Truth
            && let Some((name, _)) = given.into_iter().find(|&(_, given)| given)
        {
            return Err(usage(format!("--{name}: only --feed truth reads true tokens; drop it")));
        }
        let steps = || {
            self.forcing_steps.filter(|&steps| steps > 0).ok_or_else(|| {
                usage("--forcing-schedule: how fast it falls is missing; give --forcing-steps")
            })
        };
        let ratio = self.teacher_forcing;
        let teacher_forcing = match schedule {
            ForcingKind::Constant if self.forcing_steps.is_some() => {
                let reason = "a constant share does not fall; give a --forcing-schedule too";
                return Err(usage(format!("--forcing-steps: {reason}")));
            }
            ForcingKind::InverseSigmoid if ratio.is_some() => {
                let reason = "an inverse sigmoid falls to 0; drop it";
                return Err(usage(format!("--teacher-forcing: {reason}")));
            }
            ForcingKind::Constant => TeacherForcing::Constant { ratio: ratio.unwrap_or(1.0) },
            ForcingKind::Linear => {
                TeacherForcing::Linear { floor: ratio.unwrap_or(0.0), steps: steps()? }
            }
            ForcingKind::InverseSigmoid => TeacherForcing::InverseSigmoid { k: steps()? as f64 },
        };
        let feed = match kind {
            FeedKind::Dummy => Feed::Dummy,
            FeedKind::Output => Feed::Output,
            FeedKind::Truth => Feed::Truth { teacher_forcing },
        };
        feed.check().map_err(|error| usage(format!("--teacher-forcing: {error}")))?;
        Ok(feed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_a_feed_or_are_refused_with_a_reason() {
        let feed = |text: &str| Options::parse(text).unwrap().decoder_feed();
        assert_eq!(feed("").unwrap(), Feed::TRUTH);
        assert_eq!(feed("feed = \"dummy\"").unwrap(), Feed::Dummy);
        let linear =
            feed("teacher-forcing = 0.3\nforcing-schedule = \"linear\"\nforcing-steps = 9");
        let teacher_forcing = TeacherForcing::Linear { floor: 0.3, steps: 9 };
        assert_eq!(linear.unwrap(), Feed::Truth { teacher_forcing });
        let refused = |text: &str| feed(text).unwrap_err().to_string();
        let message = refused("feed = \"output\"\nteacher-forcing = 0.5");
        assert_eq!(message, "--teacher-forcing: only --feed truth reads true tokens; drop it");
        let message = refused("forcing-schedule = \"linear\"");
        assert!(message.ends_with("give --forcing-steps"), "{message}");
        assert!(refused("forcing-steps = 3").starts_with("--forcing-steps: a constant share"));
        let message = refused("teacher-forcing = 1.5");
        assert!(message.contains("must be between 0 and 1"), "{message}");
    }
}
