//! Charts of lines, drawn by `plotters` and dressed by the page's style.
//!
//! plotters writes fixed colours. Here each tone has a colour that nothing else has, and in what was
//! drawn that colour becomes a class of the page, so that a chart follows light and dark. Each chart
//! is drawn twice, for a page and for a phone, and the style shows the one that fits: text of a chart
//! that is shrunk cannot be read.

use std::ops::Range;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::html::{Html, note, tag};
use super::numbers::{log_ticks, ticks};

/// Backend coordinates are whole numbers; so many of them are a pixel of the page.
const SCALE: i32 = 4;
/// Of chart text, in pixels.
const FONT: f64 = 13.0;
/// What a character of it takes, at most on average.
const CHARACTER: f64 = 6.9;

/// Colours that people with any kind of colour vision tell apart, and two greys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Of axes and of what is true.
    Ink,
    /// Of what stands behind.
    Muted,
    /// Of lines across the chart.
    Grid,
    /// The first.
    Blue,
    /// The second.
    Orange,
    /// The third.
    Green,
    /// The fourth.
    Purple,
}

impl Tone {
    const ALL: [Tone; 7] =
        [Tone::Ink, Tone::Muted, Tone::Grid, Tone::Blue, Tone::Orange, Tone::Green, Tone::Purple];

    /// The tones of lines that stand side by side, in their order.
    pub const SERIES: [Tone; 4] = [Tone::Blue, Tone::Orange, Tone::Green, Tone::Purple];

    /// The class of the page.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Ink => "ink",
            Tone::Muted => "muted",
            Tone::Grid => "grid",
            Tone::Blue => "blue",
            Tone::Orange => "orange",
            Tone::Green => "green",
            Tone::Purple => "purple",
        }
    }

    /// The colour that stands for it until the chart is drawn.
    fn mark(self, stroke: Stroke) -> RGBColor {
        RGBColor(0xFE, stroke as u8, self as u8)
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// Two pixels wide.
    Solid,
    /// One pixel wide.
    Thin,
    /// Broken.
    Dashed,
    /// Not at all: its points are dots.
    Dots,
}

impl Stroke {
    const ALL: [Stroke; 4] = [Stroke::Solid, Stroke::Thin, Stroke::Dashed, Stroke::Dots];

    fn width(self) -> u32 {
        SCALE as u32 * if self == Stroke::Solid { 2 } else { 1 }
    }
}

/// Points in the order of x.
#[derive(Clone, Debug)]
pub struct Line {
    /// Stands at its right end; empty for a line without a name.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// How it is drawn.
    pub stroke: Stroke,
    /// x and y. A point that is no finite number is a gap.
    pub points: Vec<(f64, f64)>,
}

/// What an axis measures.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// With its unit.
    pub name: String,
    /// Of powers of ten. Numbers that are not above 0 have no place there.
    pub log: bool,
    /// Is in the chart at any rate.
    pub includes: Option<f64>,
    /// Has whole numbers only.
    pub whole: bool,
}

impl Axis {
    /// An axis of plain numbers.
    pub fn of(name: impl Into<String>) -> Axis {
        Axis { name: name.into(), ..Axis::default() }
    }

    /// An axis of powers of ten.
    pub fn log(name: impl Into<String>) -> Axis {
        Axis { log: true, ..Axis::of(name) }
    }

    /// The same with whole numbers only.
    pub fn counted(self) -> Axis {
        Axis { whole: true, ..self }
    }

    fn place(&self, number: f64) -> Option<f64> {
        let place = if self.log { libm::log10(number) } else { number };
        place.is_finite().then_some(place)
    }

    fn ticks(&self, range: &Range<f64>, most: usize) -> Vec<(f64, String)> {
        let found = match self.log {
            true => log_ticks(range.start, range.end, most),
            false => ticks(range.start, range.end, most),
        };
        let keep = |at: f64| !self.whole || (at - at.round()).abs() < 1e-9;
        found.into_iter().filter(|&(at, _)| keep(at)).collect()
    }

    /// From the least to the greatest place, with some room around; `None` if there is no place.
    fn range(&self, places: impl Iterator<Item = f64>, room: f64) -> Option<Range<f64>> {
        let included = self.includes.and_then(|number| self.place(number));
        let (low, high) = places
            .chain(included)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high): (f64, f64), place| {
                (low.min(place), high.max(place))
            });
        if !low.is_finite() || !(high - low).is_finite() {
            return None;
        }
        let span = high - low;
        // A single number stands in the middle.
        let around = match span > 1e-12 * high.abs().max(1e-300) {
            true => room * span,
            false => high.abs().max(if self.log { 1.0 } else { 1e-9 }) * 0.5,
        };
        let range = low - around..high + around;
        (range.end - range.start).is_finite().then_some(range)
    }
}

/// Lines over two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What a screen reader says.
    pub title: String,
    /// Under it.
    pub x: Axis,
    /// Left of it; its name stands above.
    pub y: Axis,
    /// Drawn in this order.
    pub lines: Vec<Line>,
    /// Lines across the chart at a y, with their names.
    pub rules: Vec<(f64, String)>,
    /// Pixels from top to bottom.
    pub height: i32,
}

impl Chart {
    /// The chart for a page and for a phone.
    pub fn html(&self) -> Html {
        let drawn = |class, width| {
            // Nothing but memory is written.
            let svg = self.draw(width).unwrap_or_else(|error| note(format!("no chart: {error}")));
            tag("div", class, svg)
        };
        match self.ranges() {
            None => note("There is no finite number to draw."),
            Some(_) => drawn("chart wide", 880).with(drawn("chart narrow", 350)),
        }
    }

    /// The places of a line's points, in runs without gaps.
    fn runs(&self, line: &Line) -> Vec<Vec<(f64, f64)>> {
        let mut runs = vec![vec![]];
        for &(x, y) in &line.points {
            match self.x.place(x).zip(self.y.place(y)) {
                Some(place) => runs.last_mut().expect("there is one").push(place),
                None => runs.push(vec![]),
            }
        }
        runs.retain(|run| !run.is_empty());
        runs
    }

    fn ranges(&self) -> Option<(Range<f64>, Range<f64>)> {
        let places: Vec<(f64, f64)> =
            self.lines.iter().flat_map(|line| self.runs(line)).flatten().collect();
        let rules = self.rules.iter().filter_map(|&(y, _)| self.y.place(y));
        let x = self.x.range(places.iter().map(|place| place.0), 0.0)?;
        let y = self.y.range(places.iter().map(|place| place.1).chain(rules), 0.06)?;
        Some((x, y))
    }

    /// Draws a chart of so many pixels from left to right.
    fn draw(&self, width: i32) -> anyhow::Result<Html> {
        let (x, y) = self.ranges().ok_or_else(|| anyhow!("there are no numbers"))?;
        let height = if width < 500 { self.height.min(width * 7 / 10) } else { self.height };
        let mut svg = String::new();
        {
            let size = ((width * SCALE) as u32, (height * SCALE) as u32);
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw_on(&root, width, x, y).map_err(|error| anyhow!("{error}"))?;
            root.present().map_err(|error| anyhow!("{error}"))?;
        }
        Ok(Html::of_our_own(self.dressed(&svg)))
    }

    fn draw_on(
        &self,
        root: &DrawingArea<SVGBackend<'_>, Shift>,
        width: i32,
        x: Range<f64>,
        y: Range<f64>,
    ) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let narrow = width < 500;
        let y_ticks = self.y.ticks(&y, if narrow { 4 } else { 5 });
        let x_ticks = self.x.ticks(&x, if narrow { 4 } else { 8 });
        let longest = |names: &mut dyn Iterator<Item = &String>| {
            let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
            (longest as f64 * CHARACTER) as i32
        };
        let left = longest(&mut y_ticks.iter().map(|(_, label)| label)) + 12;
        let names = longest(&mut self.lines.iter().map(|line| &line.name));
        let right = if names == 0 { 16 } else { names + 12 };
        let mut chart = ChartBuilder::on(root)
            .margin_left(left * SCALE)
            .margin_right(right * SCALE)
            .margin_top(if self.rules.is_empty() { 26 } else { 38 } * SCALE)
            .margin_bottom(40 * SCALE)
            .build_cartesian_2d(x.clone(), y.clone())?;

        let write = |text: &str, (x, y): (i32, i32), tone: Tone, at: (HPos, VPos)| {
            let colour = tone.mark(Stroke::Solid);
            let font = ("sans-serif", 1.24 * FONT * f64::from(SCALE)).into_font();
            let style = font.color(&colour).pos(Pos::new(at.0, at.1));
            root.draw(&Text::new(text.to_owned(), (x, y), style))
        };
        // The axes: a light line at each number of y, the numbers, and the names.
        for (place, label) in &y_ticks {
            let across = vec![(x.start, *place), (x.end, *place)];
            let style = Tone::Grid.mark(Stroke::Thin).stroke_width(Stroke::Thin.width());
            chart.draw_series([PathElement::new(across, style)])?;
            let (x, y) = chart.backend_coord(&(x.start, *place));
            write(label, (x - 6 * SCALE, y), Tone::Muted, (HPos::Right, VPos::Center))?;
        }
        for (place, label) in &x_ticks {
            let (x, y) = chart.backend_coord(&(*place, y.start));
            write(label, (x, y + 7 * SCALE), Tone::Muted, (HPos::Center, VPos::Top))?;
        }
        write(&self.y.name, (2 * SCALE, 4 * SCALE), Tone::Muted, (HPos::Left, VPos::Top))?;
        let (end, bottom) = chart.backend_coord(&(x.end, y.start));
        let under = (end, bottom + 23 * SCALE);
        write(&self.x.name, under, Tone::Muted, (HPos::Right, VPos::Top))?;

        for (height, name) in &self.rules {
            let Some(place) = self.y.place(*height) else { continue };
            let style = Tone::Ink.mark(Stroke::Dashed).stroke_width(Stroke::Dashed.width());
            chart.draw_series([PathElement::new(vec![(x.start, place), (x.end, place)], style)])?;
            let (x, y) = chart.backend_coord(&(x.start, place));
            write(name, (x + 4 * SCALE, y - 3 * SCALE), Tone::Ink, (HPos::Left, VPos::Bottom))?;
        }
        let mut ends: Vec<(i32, i32, &Line)> = vec![];
        for line in &self.lines {
            let (colour, width) = (line.tone.mark(line.stroke), line.stroke.width());
            for run in self.runs(line) {
                // A point alone would be a line without length.
                if line.stroke == Stroke::Dots || run.len() == 1 {
                    let radius = 3 * SCALE;
                    chart.draw_series(
                        run.iter().map(|&place| Circle::new(place, radius, colour.filled())),
                    )?;
                } else {
                    let style = colour.stroke_width(width);
                    chart.draw_series([PathElement::new(run.clone(), style)])?;
                }
            }
            let last = self.runs(line).last().and_then(|run| run.last().copied());
            if let Some(place) = last.filter(|_| !line.name.is_empty()) {
                let (_, height) = chart.backend_coord(&place);
                ends.push((chart.backend_coord(&(x.end, y.start)).0, height, line));
            }
        }
        spread(&mut ends, 15 * SCALE, chart.backend_coord(&(x.end, y.start)).1);
        for (x, y, line) in ends {
            write(&line.name, (x + 6 * SCALE, y), line.tone, (HPos::Left, VPos::Center))?;
        }
        Ok(())
    }

    /// What plotters drew, with classes where the colours of tones stand.
    fn dressed(&self, svg: &str) -> String {
        let mut svg = svg.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "");
        for tone in Tone::ALL {
            for stroke in Stroke::ALL {
                let RGBColor(r, g, b) = tone.mark(stroke);
                let colour = format!("#{r:02X}{g:02X}{b:02X}");
                let name = tone.class();
                let dash = if stroke == Stroke::Dashed { " dash" } else { "" };
                svg = svg
                    .replace(&format!("stroke=\"{colour}\""), &format!("class=\"s-{name}{dash}\""))
                    .replace(&format!("fill=\"{colour}\""), &format!("class=\"f-{name}\""));
            }
        }
        // The head names a size in pixels and, as a file of its own would, its language.
        let head = svg.find("viewBox").unwrap_or_default();
        let view: String = svg[head..].split(" xmlns").next().unwrap_or_default().to_owned();
        let body = svg.find('>').map_or("", |at| &svg[at + 1..]);
        let title = Html::from(self.title.as_str());
        format!("<svg role=\"img\" aria-label=\"{}\" {view}>{body}", title.as_str())
    }
}

/// Moves names of lines apart that would stand on each other, the least possible from the top down,
/// and up again where the lowest leaves the chart.
fn spread(ends: &mut [(i32, i32, &Line)], apart: i32, bottom: i32) {
    ends.sort_by_key(|&(_, y, _)| y);
    for at in 1..ends.len() {
        ends[at].1 = ends[at].1.max(ends[at - 1].1 + apart);
    }
    let mut most = bottom;
    for end in ends.iter_mut().rev() {
        end.1 = end.1.min(most);
        most = end.1 - apart;
    }
}

/// At most `most` points instead of all: `join` makes one y of neighbours, x is that of their last.
pub fn thinned(
    points: &[(f64, f64)],
    most: usize,
    join: impl Fn(&[(f64, f64)]) -> f64,
) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(most.max(1)).max(1);
    if size == 1 {
        return points.to_vec();
    }
    let joined = points.chunks(size).map(|chunk| (chunk[chunk.len() - 1].0, join(chunk)));
    joined.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let line = |name: &str, tone, stroke| Line {
            name: name.into(),
            tone,
            stroke,
            points: points.clone(),
        };
        Chart {
            title: "a \"title\"".into(),
            x: Axis::of("step"),
            y: Axis::log("norm"),
            lines: vec![
                line("<b>x</b>", Tone::Blue, Stroke::Solid),
                line("y", Tone::Orange, Stroke::Dashed),
                line("", Tone::Green, Stroke::Dots),
            ],
            rules: vec![(5.0, "limit".into())],
            height: 240,
        }
    }

    #[test]
    fn a_chart_has_classes_instead_of_colours_and_no_address() {
        let html = chart(vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, 0.5), (4.0, 70.0)]).html();
        let html = html.as_str();
        assert!(!html.contains('#') && !html.contains("http"), "{html}");
        for class in ["s-blue", "f-blue", "s-orange dash", "f-green", "s-grid", "f-muted"] {
            assert!(html.contains(&format!("class=\"{class}\"")), "{class}: {html}");
        }
        assert!(html.contains("&lt;b&gt;x&lt;/b&gt;") && !html.contains("<b>"), "{html}");
        assert!(html.contains("aria-label=\"a &quot;title&quot;\" viewBox=\"0 0 3520 960\""));
    }

    #[test]
    fn numbers_that_cannot_be_drawn_are_no_panic() {
        let strange = [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MAX, f64::MIN_POSITIVE, 1.0];
        for a in strange {
            for b in strange {
                let mut chart = chart(vec![(a, b), (b, a)]);
                assert!(!chart.html().is_empty());
                chart.y.log = false;
                assert!(!chart.html().is_empty());
            }
        }
        assert!(chart(vec![]).html().as_str().contains("no finite number"));
    }

    #[test]
    fn names_stand_apart_and_inside() {
        let line = &chart(vec![]).lines[0];
        let mut ends = vec![(0, 10, line), (0, 12, line), (0, 98, line), (0, 99, line)];
        spread(&mut ends, 15, 100);
        assert_eq!(ends.iter().map(|end| end.1).collect::<Vec<_>>(), [10, 25, 85, 100]);
    }

    #[test]
    fn thinning_keeps_the_number_of_points_small_and_the_last_x() {
        let points: Vec<(f64, f64)> = (0..1001).map(|at| (f64::from(at), 1.0)).collect();
        let thin = thinned(&points, 100, |chunk| chunk.len() as f64);
        assert!(thin.len() <= 100);
        assert_eq!(thin.last().unwrap().0, 1000.0);
        assert_eq!(thin.iter().map(|point| point.1).sum::<f64>(), 1001.0);
        assert_eq!(thinned(&points[..50], 100, |_| 0.0), points[..50]);
    }
}
