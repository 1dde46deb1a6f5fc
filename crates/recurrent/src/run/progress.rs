//! Progress on standard error: a bar on a terminal, plain lines elsewhere, or nothing.

use super::meter::Meter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    env,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// What a line begins with that says what went wrong and ends nothing.
pub const WARNING: &str = "warning: ";
/// How often a plain line appears between messages.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Reports how far a run is. Failing to write (a closed pipe) is no reason to stop training, so it
/// is ignored.
pub struct Progress {
    output: Output,
    meter: Meter,
    total_steps: u64,
    started: Instant,
    /// When the bar was last drawn or a line written.
    shown: Instant,
}

enum Output {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
    Quiet,
}

impl Progress {
    /// On standard error: a bar if it is a terminal that can draw one, plain lines if not, and
    /// nothing at all with `quiet`. The bar has colour unless `NO_COLOR` is set to anything.
    pub fn new(quiet: bool) -> Progress {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let output = if quiet {
            Output::Quiet
        } else if io::stderr().is_terminal() && !dumb {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
            let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            bar.set_style(style(colour));
            Output::Bar(bar)
        } else {
            Output::Lines(Box::new(io::stderr()))
        };
        Progress::with_output(output)
    }

    /// Plain lines to `writer`.
    pub fn lines_to(writer: impl Write + Send + 'static) -> Progress {
        Progress::with_output(Output::Lines(Box::new(writer)))
    }

    fn with_output(output: Output) -> Progress {
        let now = Instant::now();
        Progress { output, meter: Meter::new(0, 0, ""), total_steps: 0, started: now, shown: now }
    }

    /// Begins a run of `total_steps`, of which `done` were made before; `unit` is what its speed
    /// counts, in the plural.
    pub fn start(&mut self, total_steps: u64, done: u64, unit: &'static str) {
        self.meter = Meter::new(total_steps, done, unit);
        self.total_steps = total_steps;
        self.started = Instant::now();
        self.shown = self.started;
        if let Output::Bar(bar) = &self.output {
            bar.set_length(total_steps);
            bar.set_position(done);
            // Hidden until now, so that an error before the first step finds a clean terminal.
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Counts one step: its loss, and how many units that is the mean of.
    pub fn step(&mut self, loss: f64, units: usize) {
        self.meter.step(loss, units);
        self.show_now_and_then();
    }

    fn show_now_and_then(&mut self) {
        let now = Instant::now();
        let every = if let Output::Bar(_) = self.output { DRAW_EVERY } else { LINE_EVERY };
        if now - self.shown >= every {
            self.show(now);
        }
    }

    /// Counts one step that has no loss.
    pub fn count(&mut self, units: usize) {
        self.meter.count(units);
        self.show_now_and_then();
    }

    /// Writes a line of its own, above the bar: the result of an epoch, a warning.
    pub fn message(&mut self, text: &str) {
        match &mut self.output {
            Output::Bar(bar) if bar.is_hidden() => drop(writeln!(io::stderr(), "{text}")),
            Output::Bar(bar) => bar.println(text),
            Output::Lines(writer) => drop(writeln!(writer, "{text}")),
            Output::Quiet => {}
        }
    }

    /// Writes a line that is worth a person's attention even with `quiet`: what went wrong, and
    /// ends nothing.
    pub fn warn(&mut self, text: &str) {
        match self.output {
            Output::Quiet => drop(writeln!(io::stderr(), "{WARNING}{text}")),
            _ => self.message(&format!("{WARNING}{text}")),
        }
    }

    /// Ends the run: the bar gives way to a last plain line.
    pub fn finish(&mut self) {
        if let Output::Bar(bar) = &self.output {
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
            if let Some(line) = self.line(Instant::now()) {
                let _ = writeln!(io::stderr(), "{line}");
            }
        } else {
            self.show(Instant::now());
        }
    }

    fn show(&mut self, now: Instant) {
        self.shown = now;
        let line = self.line(now);
        match &mut self.output {
            Output::Bar(bar) => {
                bar.set_message(self.meter.line(now - self.started));
                bar.set_position(self.meter.done());
            }
            Output::Lines(writer) => drop(line.map(|line| writeln!(writer, "{line}"))),
            Output::Quiet => {}
        }
    }

    /// A plain line; none before the first step.
    fn line(&self, now: Instant) -> Option<String> {
        let line = self.meter.line(now - self.started);
        let (done, total) = (self.meter.done(), self.total_steps);
        (!line.is_empty()).then(|| format!("step {done}/{total}: {line}"))
    }
}

fn style(colour: bool) -> ProgressStyle {
    ProgressStyle::with_template(template(colour)).expect("the template is well formed")
}

fn template(colour: bool) -> &'static str {
    if colour { "{bar:24.cyan/blue} {pos}/{len} {msg}" } else { "{bar:24} {pos}/{len} {msg}" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_are_well_formed_and_one_has_no_colour() {
        style(true);
        style(false);
        assert!(!template(false).contains('.'), "a dot in a template names a colour");
    }
}
