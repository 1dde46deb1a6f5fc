//! Forecasts beside what came, and beside lines that know little.

use super::Section;
use super::chart::{Axis, Chart, Line, Stroke, Tone};
use super::html::{Html, figure, paragraph, tag};
use super::numbers::{count, percent};

/// One forecast of one column.
pub(crate) struct Outlook {
    /// The row that it begins with, counted from 1 in the held-out part.
    pub(crate) row: usize,
    /// The last rows that were known.
    pub(crate) known: Vec<f64>,
    /// The rows that came.
    pub(crate) truth: Vec<f64>,
    /// What each forecaster said of them, in the order of [`Forecasts::by_step`].
    pub(crate) said: Vec<Vec<f64>>,
}

/// What is shown of a model that forecasts.
pub(crate) struct Forecasts {
    /// Some columns by name, with some forecasts of each.
    pub(crate) outlooks: Vec<(String, Vec<Outlook>)>,
    /// The first forecast row of neighbours: by column what came and what the model had said.
    pub(crate) stretch: Vec<(String, Vec<[f64; 2]>)>,
    /// By forecaster, the model first: its name and the root mean squared error of each step ahead.
    pub(crate) by_step: Vec<(&'static str, Vec<f64>)>,
    /// What those errors are measured in.
    pub(crate) unit: &'static str,
    /// How many forecasts were measured.
    pub(crate) examples: usize,
}

impl Forecasts {
    /// The section.
    pub(crate) fn section(&self) -> Section {
        let horizon = self.by_step.first().map_or(0, |(_, errors)| errors.len());
        let mut body = Html::new();
        if horizon > 1 {
            body.push(self.errors());
        }
        match horizon {
            // One or two rows are no curve: the first rows of many forecasts are.
            ..=2 => body.push(self.stretches()),
            _ => self.outlooks.iter().for_each(|of_column| body.push(self.windows(of_column))),
        }
        Section::new("forecasts", "Forecasts beside what came").lead(self.lead()).body(body)
    }

    fn lead(&self) -> Html {
        let whole = |errors: &[f64]| {
            let squares = errors.iter().map(|error| error * error);
            (squares.sum::<f64>() / errors.len() as f64).sqrt()
        };
        let mut errors = self.by_step.iter().map(|(name, errors)| (*name, whole(errors)));
        let Some((_, model)) = errors.next() else { return Html::new() };
        let best = errors.min_by(|a, b| a.1.total_cmp(&b.1));
        let said = best.map(|(name, naive)| match model < naive {
            true => format!(
                "Its error is {} below that of the best naive line, {name}.",
                percent(1.0 - model / naive)
            ),
            false => format!("It is no better than {name}."),
        });
        paragraph(said.unwrap_or_default())
    }

    /// Errors by step ahead.
    fn errors(&self) -> Html {
        let line = |(at, (name, errors)): (usize, &(&'static str, Vec<f64>))| Line {
            name: (*name).to_owned(),
            tone: tone(at),
            stroke: if at == 0 { Stroke::Solid } else { Stroke::Dashed },
            points: errors.iter().enumerate().map(|(t, &error)| ((t + 1) as f64, error)).collect(),
        };
        let chart = Chart {
            title: "Error by step ahead".into(),
            x: Axis::of("steps ahead").counted(),
            y: Axis {
                includes: Some(0.0),
                ..Axis::of(format!("root mean squared error, {}", self.unit))
            },
            lines: self.by_step.iter().enumerate().map(line).collect(),
            rules: vec![],
            height: 260,
        };
        let caption = format!("Over {} of the held-out part.", count(self.examples, "forecast"));
        figure(chart.html(), caption)
    }

    /// Some forecasts of a column.
    fn windows(&self, (column, outlooks): &(String, Vec<Outlook>)) -> Html {
        let mut html = tag("h3", "", column.as_str());
        for Outlook { row, known, truth, said } in outlooks {
            let from = |first: f64, values: &[f64]| -> Vec<(f64, f64)> {
                values.iter().enumerate().map(|(t, &y)| (first + t as f64, y)).collect()
            };
            let last = known.last().copied();
            let (before, after) = (known.len() as f64 - 1.0, 1.0);
            // Every line sets out from the last row that was known.
            let on = |values: &[f64]| {
                let mut points: Vec<(f64, f64)> =
                    last.map(|last| (0.0, last)).into_iter().collect();
                points.extend(from(after, values));
                points
            };
            let line =
                |name: &str, tone, stroke, points| Line { name: name.into(), tone, stroke, points };
            let naive = self.by_step.iter().zip(said).enumerate().skip(1);
            let mut lines: Vec<Line> = naive
                .map(|(at, ((name, _), values))| line(name, tone(at), Stroke::Dashed, on(values)))
                .collect();
            lines.push(line("", Tone::Ink, Stroke::Solid, from(-before, known)));
            lines.push(line("what came", Tone::Ink, Stroke::Solid, on(truth)));
            lines.extend(
                said.first().map(|values| line("model", Tone::Blue, Stroke::Solid, on(values))),
            );
            let chart = Chart {
                title: format!("A forecast of {column}"),
                x: Axis::of("rows after the last known").counted(),
                y: Axis::of(column.as_str()),
                lines,
                rules: vec![],
                height: 230,
            };
            let caption =
                format!("From row {} of the held-out part on.", crate::run::thousands(*row));
            html.push(figure(chart.html(), caption));
        }
        html
    }

    /// The first rows of neighbouring forecasts.
    fn stretches(&self) -> Html {
        let chart = |(column, rows): &(String, Vec<[f64; 2]>)| {
            let points = |which: usize| -> Vec<(f64, f64)> {
                rows.iter().enumerate().map(|(t, row)| ((t + 1) as f64, row[which])).collect()
            };
            let line = |name: &str, tone, which| Line {
                name: name.into(),
                tone,
                stroke: Stroke::Solid,
                points: points(which),
            };
            let chart = Chart {
                title: format!("{column}, forecast one row ahead"),
                x: Axis::of("row of the held-out part").counted(),
                y: Axis::of(column.as_str()),
                lines: vec![line("what came", Tone::Ink, 0), line("model", Tone::Blue, 1)],
                rules: vec![],
                height: 230,
            };
            figure(chart.html(), "Each row was forecast from those before it, one row ahead.")
        };
        self.stretch.iter().map(chart).collect()
    }
}

/// The model is blue in every chart.
fn tone(forecaster: usize) -> Tone {
    Tone::SERIES[forecaster % Tone::SERIES.len()]
}
