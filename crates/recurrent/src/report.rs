//! `report.html`: what is known of a run, on one page that needs nothing beside it.
//!
//! The page is whole without a network and without scripts, follows the reader's choice of light or
//! dark, and holds no time and no path of this machine but those that the run's options name: equal
//! runs give equal bytes.
//!
//! Each section is a file. What follows from `metrics.jsonl` alone is in `from_metrics`; what a
//! task shows of its model is in its `exhibits.rs` beside the task, through [`Exhibits`].

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_training::HeldOutLoss;

use crate::options::Options;
use crate::tasks::{Data, Task, TaskSettings};

pub mod chart;
pub mod html;
pub mod numbers;
pub mod png;
pub mod svg;

pub mod history;
pub use history::History;

mod attention;
pub(crate) use attention::{Alignment, alignments};

mod confusion;
pub(crate) use confusion::Confusion;

mod failure;
mod forecasts;
pub(crate) use forecasts::{Forecasts, Outlook};

mod inside;
pub(crate) use inside::{Inside, Watch};

mod gates;
mod lag;
pub(crate) use lag::section as lag;
mod loss;
mod pictures;
pub(crate) use pictures::{Card, cards};
mod steps;
mod summary;
mod texts;
pub(crate) use texts::{Compared, TaggedSentence, compared, tagged, written};
mod units;
mod watched;

use html::{Html, note, tag};

/// What a report begins with, so that one is known as such before it is replaced.
pub const BEGINNING: &str = "<!DOCTYPE html>\n<!-- recurrent report -->\n";

/// A part of the page.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its address within the page.
    id: &'static str,
    title: &'static str,
    /// What it says, in a sentence or two.
    lead: Html,
    body: Html,
}

impl Section {
    /// An empty one.
    pub fn new(id: &'static str, title: &'static str) -> Section {
        Section { id, title, lead: Html::new(), body: Html::new() }
    }

    /// The same with what it says.
    pub fn lead(self, lead: impl Into<Html>) -> Section {
        Section { lead: lead.into(), ..self }
    }

    /// The same with what it shows.
    pub fn body(self, body: impl Into<Html>) -> Section {
        Section { body: body.into(), ..self }
    }

    /// The section, or one that says why there is none: a model whose numbers are of no use is a
    /// reason to read the rest.
    pub fn or_note(
        id: &'static str,
        title: &'static str,
        section: anyhow::Result<Section>,
    ) -> Section {
        section.unwrap_or_else(|error| {
            Section::new(id, title).body(note(format!("Cannot be shown: {error:#}.")))
        })
    }

    fn html(self) -> Html {
        let Section { id, title, lead, body } = self;
        Html::element("section", &[("id", id)], tag("h2", "", title).with(lead).with(body))
    }
}

/// A task that shows more of its model than figures.
pub trait Exhibits: Task {
    /// The sections that this task has, from data that the model has not learnt from.
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Self::Examples,
    ) -> Vec<Section>;
}

/// Everything that a page is made of.
pub struct Material<'a, T: Task> {
    /// Those of the run's `config.toml`.
    pub options: &'a Options,
    /// What was measured.
    pub history: &'a History,
    /// The model that is used, and what its checkpoint says; none where nothing was saved yet.
    pub model: Option<Chosen<T>>,
    /// The run's data, or why there are none.
    pub data: Result<Data<T>, String>,
    /// What works on them.
    pub compute: &'a Compute,
}

impl<T: Task> Material<'_, T> {
    /// What decides the bits of the run: by its checkpoint, or else by its options.
    fn settings(&self) -> Option<T::Settings> {
        match &self.model {
            Some(model) => Some(model.task.current().clone()),
            None => T::settings(self.options).ok(),
        }
    }
}

/// The model that is used: the best, or the newest where no epoch has ended.
pub struct Chosen<T> {
    /// The model.
    pub task: T,
    /// Its parameters.
    pub parameters: Parameters<f32>,
    /// Whether it is the best, or the newest in its place.
    pub is_best: bool,
    /// Steps that it was trained for.
    pub step: u64,
    /// Steps of the newest checkpoint.
    pub newest: u64,
    /// The held-out losses that the newest checkpoint keeps.
    pub kept: Vec<HeldOutLoss>,
}

/// A section that follows from what was measured.
type FromMetrics<T> = fn(&Material<'_, T>) -> Option<Section>;

/// The sections that follow from `metrics.jsonl`, in their order. To add one, for lines of another
/// event too ([`History::others`]): a file, and its function here.
fn from_metrics<T: Task>() -> [FromMetrics<T>; 4] {
    [
        |material| {
            failure::section(material.history, material.model.as_ref().map(|model| model.newest))
        },
        |material| {
            let kept = material.model.as_ref().map_or(&[][..], |model| &model.kept);
            let unit = material.model.as_ref().map_or("", |model| loss_unit(&model.task));
            Some(loss::section(material.history, kept, unit))
        },
        |material| {
            let settings = material.settings();
            let learning = settings.as_ref().map(|settings| settings.learning());
            steps::section(material.history, learning)
        },
        |material| watched::section(material.history),
    ]
}

/// What a loss is measured in.
fn loss_unit<T: Task>(task: &T) -> &'static str {
    match (T::NAME, task.unit()) {
        ("forecast", _) => "squared standard deviations",
        (_, "characters") => "nats per character",
        (_, "words") => "nats per word",
        (_, "bytes") => "nats per byte",
        _ => "nats",
    }
}

/// The page.
///
/// # Errors
/// If the model cannot be evaluated.
pub fn page<T: Exhibits>(material: &Material<'_, T>) -> anyhow::Result<String> {
    let report = match (&material.model, &material.data) {
        (Some(Chosen { task, parameters, .. }), Ok(data)) => {
            Some(task.evaluate(material.compute, parameters, &data.held_out))
        }
        _ => None,
    };
    let (figures, fault) = match report {
        None => (None, None),
        Some(Ok(report)) => (Some(report), None),
        // A model of numbers that are none cannot write: the rest of the page says why.
        Some(Err(error)) => (None, Some(format!("{error:#}"))),
    };
    let mut sections: Vec<Section> = vec![];
    if let Some(report) = &figures {
        sections.push(summary::figures::<T>(report));
    }
    sections.extend(from_metrics::<T>().iter().filter_map(|section| section(material)));
    if let (Some(Chosen { task, parameters, .. }), Ok(data)) = (&material.model, &material.data) {
        sections.extend(task.exhibits(material.compute, parameters, &data.held_out));
    }
    sections.push(summary::again::<T>(material));

    let (title, mut head) = summary::head(material, figures.as_ref());
    if let Some(fault) = fault {
        head.push(tag("p", "note alarm", format!("The model cannot be evaluated: {fault}.")));
    }
    let links = sections
        .iter()
        .map(|section| Html::element("a", &[("href", &format!("#{}", section.id))], section.title));
    head.push(tag("nav", "", links.collect::<Html>()));
    let main =
        tag("header", "", head).with(sections.into_iter().map(Section::html).collect::<Html>());
    let meta = |attributes: &[(&str, &str)]| Html::element("meta", attributes, "");
    let top = meta(&[("charset", "utf-8")])
        .with(meta(&[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]))
        .with(meta(&[("name", "color-scheme"), ("content", "light dark")]))
        .with(tag("title", "", title))
        .with(Html::element("style", &[], Html::of_our_own(include_str!("report/style.css"))));
    let body = tag("head", "", top).with(tag("body", "", tag("main", "", main)));
    let html = Html::element("html", &[("lang", "en")], body);
    Ok(format!("{BEGINNING}{}\n", html.as_str()))
}
