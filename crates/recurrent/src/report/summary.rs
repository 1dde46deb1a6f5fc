//! What a reader wants to know first: which model, how good it is, and how to have it again.

use serde_json::Value;

use super::html::{Html, capital, note, paragraph, table, tag};
use super::numbers::{count, short};
use super::{Chosen, Material, Section, loss_unit};
use crate::options::Options;
use crate::run::thousands;
use crate::tasks::settings::{Learning, Network};
use crate::tasks::{Report, Task, TaskSettings};

/// The title of the page, and what stands at its top.
pub(super) fn head<T: Task>(
    material: &Material<'_, T>,
    report: Option<&T::Report>,
) -> (String, Html) {
    let Material { options, history, model, data, .. } = material;
    let settings = material.settings();
    let what =
        settings.map_or_else(|| T::NAME.to_owned(), |settings| described(settings.network()));
    let on = options.data.as_ref().map_or(String::new(), |data| {
        // The whole path is among the options below.
        let name = data.file_name().unwrap_or(data.as_os_str()).to_string_lossy();
        format!(" on {name}")
    });
    let title = format!("{}: {what}{on}", T::NAME);
    let mut head = tag("p", "kind", format!("recurrent report · {}", T::NAME));
    head.push(tag("h1", "", format!("{what}{on}")));
    head.push(tag("dl", "facts", facts(material, report)));
    match data {
        Ok(data) => {
            if let Some(Chosen { task, .. }) = model {
                head.push(note(format!("{}.", capital(&task.describe(data)))));
            }
        }
        Err(reason) => head.push(tag(
            "p",
            "note alarm",
            format!(
                "Nothing is shown that needs the run's data: {reason}. What was measured while it \
                 trained is below."
            ),
        )),
    }
    if model.is_none() {
        let missing = match &history.failure {
            Some(failure) => format!(
                "The run ended at step {} before a checkpoint was saved, so only what was measured is \
                 shown.",
                thousands(failure.step as usize)
            ),
            None => {
                "No checkpoint has been saved yet, so only what was measured is shown.".to_owned()
            }
        };
        head.push(tag("p", "note alarm", missing));
    }
    (title, head)
}

/// "LSTM, 2 layers of 128 units".
fn described(network: &Network) -> String {
    let &Network { cell, hidden_size, num_layers, bidirectional, .. } = network;
    let cell = match cell.name() {
        "lstm" => "LSTM".to_owned(),
        "gru" => "GRU".to_owned(),
        other => other.replacen("rnn", "RNN", 1),
    };
    let layers = match num_layers {
        1 => format!("one layer of {}", thousands(hidden_size)),
        _ => format!("{num_layers} layers of {}", thousands(hidden_size)),
    };
    let both = if bidirectional { ", both ways" } else { "" };
    format!("{cell}, {layers} units{both}")
}

fn facts<T: Task>(material: &Material<'_, T>, report: Option<&T::Report>) -> Html {
    let Material { history, model, data, .. } = material;
    let fact = |name: &str, value: String| tag("div", "", pair(name, value));
    let mut facts = Html::new();
    if let Some(report) = report {
        // "perplexity 5.31": the figure is the last word but units of one sign.
        let content = pair("on data it has not learnt from", report.headline());
        facts.push(tag("div", "headline", content));
        let loss = format!(
            "{} {}",
            short(report.loss()),
            model.as_ref().map_or("", |model| loss_unit(&model.task))
        );
        facts.push(fact("held-out loss", loss));
    } else if let Some(best) = history.best() {
        facts.push(fact("lowest held-out loss", short(best.held_out_loss)));
    }
    let Some(Chosen { task, step, newest, is_best, .. }) = model else { return facts };
    let learning = task.learning();
    let epoch = history.epochs.iter().find(|line| line.step == *step).map(|line| line.epoch);
    let epoch = epoch.map_or(String::new(), |epoch| format!(", after epoch {epoch}"));
    let which = if *is_best { "best model" } else { "newest model" };
    facts.push(fact(which, format!("step {}{epoch}", thousands(*step as usize))));
    facts.push(fact("trained", trained(data.as_ref().ok(), task, *newest)));
    facts.push(fact("parameters", thousands(task.layout().count())));
    facts.push(fact("optimiser", optimiser(learning)));
    facts.push(fact("batch", thousands(learning.batch_size)));
    facts.push(fact("seed", learning.seed.to_string()));
    facts
}

fn pair(name: &str, value: String) -> Html {
    tag("dt", "", name).with(tag("dd", "", value))
}

/// How far the training is.
fn trained<T: Task>(data: Option<&crate::tasks::Data<T>>, task: &T, newest: u64) -> String {
    let learning = task.learning();
    let steps = thousands(newest as usize);
    let Some(data) = data else { return format!("{steps} steps") };
    let batch = if T::IN_ORDER { 1 } else { learning.batch_size };
    let of_epoch = task.units(&data.train).div_ceil(batch).max(1) as u64;
    let total = learning.total_steps(of_epoch);
    match (newest >= total, newest % of_epoch) {
        (true, 0) => format!("{steps} steps, {}", count((newest / of_epoch) as usize, "epoch")),
        (true, _) => format!("{steps} steps"),
        (false, _) => format!("{steps} of {} steps", thousands(total as usize)),
    }
}

fn optimiser(learning: &Learning) -> String {
    let name = serde_json::to_value(learning.optimizer).unwrap_or_default();
    let name = name["name"].as_str().unwrap_or("optimiser").to_owned();
    let schedule = match serde_json::to_value(learning.schedule).unwrap_or_default() {
        Value::String(name) if name == "constant" => String::new(),
        Value::String(name) => format!(", {name}"),
        Value::Object(of) => of.keys().next().map_or(String::new(), |name| format!(", {name}")),
        _ => String::new(),
    };
    format!("{name}, rate {}{schedule}", learning.learning_rate)
}

/// Every figure of the evaluation, the naive lines beside.
pub(super) fn figures<T: Task>(report: &T::Report) -> Section {
    let (remarks, lines): (Vec<_>, Vec<_>) =
        report.lines().into_iter().partition(|(name, _)| *name == "remark");
    // What takes several lines in a terminal has a section of its own here.
    let rows = lines.into_iter().filter(|(_, figure)| !figure.contains('\n'));
    let rows = rows.map(|(name, figure)| vec![Html::from(name), Html::from(figure)]);
    let mut body = table(&["", "on held-out data"], &[], rows);
    for (_, remark) in remarks {
        body.push(tag("p", "note alarm", format!("{}.", capital(&remark))));
    }
    let lead =
        paragraph("As recurrent evaluate measures them, naive lines beside where there are any.");
    Section::new("figures", "Figures").lead(lead).body(body)
}

/// How to have the same model again: the same seed gives the same bits.
pub(super) fn again<T: Task>(material: &Material<'_, T>) -> Section {
    let lead = paragraph(
        "The same options, data and version give the same bits, on any number of threads.",
    );
    let options = |all: bool| command::<T>(material.options, all);
    let body = tag("pre", "", options(false))
        .with(note("Options that are a task's own defaults are left out. With all of them:"))
        .with(tag("pre", "", options(true)));
    Section::new("again", "To have it again").lead(lead).body(body)
}

/// The command that trains the same run.
fn command<T: Task>(options: &Options, all: bool) -> String {
    let defaults = T::defaults().table().unwrap_or_default();
    let given = options.table().unwrap_or_default();
    let mut command = format!("recurrent train {} --out RUN", T::NAME);
    for (name, value) in &given {
        // These change no bit.
        let free = ["task", "threads", "checkpoint-every", "keep-last"].contains(&name.as_str());
        if free || (!all && defaults.get(name) == Some(value)) {
            continue;
        }
        let value = match value {
            toml::Value::Boolean(true) => None,
            toml::Value::Boolean(false) => continue,
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Array(items) => {
                let text =
                    |item: &toml::Value| item.as_str().map_or(item.to_string(), str::to_owned);
                Some(items.iter().map(text).collect::<Vec<_>>().join(","))
            }
            other => Some(other.to_string()),
        };
        command.push_str(&format!(" \\\n  --{name}"));
        if let Some(value) = value {
            command.push_str(&format!(" {}", quoted(&value)));
        }
    }
    command
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Forecast;

    #[test]
    fn the_command_names_what_is_no_default() {
        let options = Options {
            data: Some("it's mine.csv".into()),
            window: Some(32),
            horizon: Some(12),
            columns: Some(vec!["a".into(), "b c".into()]),
            threads: Some(2),
            ..Options::default()
        };
        let expected = "recurrent train forecast --out RUN \\\n  --columns 'a,b c' \\\n  --data \
                        'it'\\''s mine.csv' \\\n  --horizon 12";
        assert_eq!(command::<Forecast>(&options, false), expected);
        let all = command::<Forecast>(&options, true);
        assert!(all.ends_with("--window 32") && !all.contains("threads"), "{all}");
    }
}
