//! The command line's help: every task shows the options that it takes, under headings and with its
//! own defaults.

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory};

use super::Arguments;
use crate::options::groups;
use crate::tasks::TaskName;

/// The command line.
pub(super) fn command() -> Command {
    let command = Arguments::command().mut_subcommand("long-lag", super::long_lag::with_help);
    command.mut_subcommand("train", |train| {
        TaskName::ALL.into_iter().fold(train, |train, task| {
            train.mut_subcommand(task.name(), |command| of_task(command, task))
        })
    })
}

fn of_task(command: Command, task: TaskName) -> Command {
    let defaults = task.defaults().table().unwrap_or_default();
    command.mut_args(|argument| {
        let id = argument.get_id().as_str().replace('_', "-");
        let own = ["out", "config", "force", "help"].contains(&id.as_str());
        let argument = argument.help_heading(groups::heading(&id));
        match defaults.get(&id) {
            _ if !own && !task.takes(&id) => argument.hide(true),
            Some(value) => with_default(argument, value),
            None => argument,
        }
    })
}

/// Adds a task's default to the help of an option.
fn with_default(argument: Arg, value: &toml::Value) -> Arg {
    let value = match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    // The task's default in the place of the one that tasks have in general.
    let what = help.split(" [default: ").next().unwrap_or_default();
    argument.help(format!("{what} [default: {value}]"))
}

/// What to say if the error is a task that there is not.
pub(super) fn unknown_task(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return None };
    let known = TaskName::ALL.map(TaskName::name).join(", ");
    usage
        .to_string()
        .contains("recurrent train")
        .then(|| format!("train {name}: there is no such task; there are: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_has_two_defaults() {
        for mut train in command().find_subcommand("train").unwrap().get_subcommands().cloned() {
            let help = train.render_long_help().to_string();
            let paragraphs = help.split("\n\n").map(|paragraph| paragraph.matches("[default: "));
            assert!(paragraphs.into_iter().all(|found| found.count() < 2), "{help}");
        }
    }
}
