//! How far a run is: smoothed loss, speed, time left. It asks no clock, it is told.

use std::time::Duration;

use super::thousands;

/// The share of the old mean that a step leaves: the loss shown is that of about 50 steps.
const KEEP: f64 = 0.98;

/// What a progress line says.
#[derive(Clone, Debug)]
pub struct Meter {
    total_steps: u64,
    done: u64,
    first: u64,
    loss: f64,
    weight: f64,
    units: usize,
    unit: &'static str,
}

impl Meter {
    /// A run of `total_steps` of which `done` were made before (by the run that is resumed); its
    /// speed is in `unit`, such as "characters", a second.
    pub fn new(total_steps: u64, done: u64, unit: &'static str) -> Meter {
        Meter { total_steps, done, first: done, loss: 0.0, weight: 0.0, units: 0, unit }
    }

    /// Counts one step: its loss, and how many units that is the mean of.
    pub fn step(&mut self, loss: f64, units: usize) {
        self.done += 1;
        self.units += units;
        self.loss = KEEP * self.loss + (1.0 - KEEP) * loss;
        self.weight = KEEP * self.weight + (1.0 - KEEP);
    }

    /// Counts one step that has no loss.
    pub fn count(&mut self, units: usize) {
        self.done += 1;
        self.units += units;
    }

    /// How many steps are made, those before this start included.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Loss, speed and time left (if anything is left), when `elapsed` has passed since the start;
    /// empty before the first step.
    pub fn line(&self, elapsed: Duration) -> String {
        let made = self.done - self.first;
        if made == 0 {
            return String::new();
        }
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let speed = thousands((self.units as f64 / seconds).round() as usize);
        let mut line = format!("{speed} {}/s", self.unit);
        if self.weight > 0.0 {
            line = format!("loss {:.4}, {line}", self.loss / self.weight);
        }
        if self.done < self.total_steps {
            let left = (self.total_steps - self.done) as f64 * seconds / made as f64;
            line.push_str(&format!(", {} left", duration(left.round() as u64)));
        }
        line
    }
}

/// Seconds as `42s`, `3m 05s` or `2h 07m`.
fn duration(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {:02}s", seconds % 60),
        _ => format!("{hours}h {minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_count_only_what_this_start_made() {
        let mut meter = Meter::new(110, 10, "tokens");
        assert_eq!(meter.line(Duration::ZERO), "");
        (0..20).for_each(|_| meter.step(2.0, 50_000));
        let line = meter.line(Duration::from_secs(20));
        assert_eq!(line, "loss 2.0000, 50,000 tokens/s, 1m 20s left");
        assert_eq!(meter.done(), 30);
        (0..80).for_each(|_| meter.step(2.0, 50_000));
        assert_eq!(meter.line(Duration::from_secs(100)), "loss 2.0000, 50,000 tokens/s");
    }

    #[test]
    fn the_first_loss_is_shown_unbiased_and_later_ones_move_it() {
        let mut meter = Meter::new(1000, 0, "tokens");
        meter.step(4.0, 1);
        assert!(meter.line(Duration::from_secs(1)).starts_with("loss 4.0000,"));
        (0..400).for_each(|_| meter.step(1.0, 1));
        assert!(meter.line(Duration::from_secs(1)).starts_with("loss 1.0"));
    }

    #[test]
    fn a_loss_is_shown_where_there_is_one() {
        let mut meter = Meter::new(3, 0, "tokens");
        meter.count(10);
        assert_eq!(meter.line(Duration::from_secs(1)), "10 tokens/s, 2s left");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([59, 60, 3599, 7620].map(duration), ["59s", "1m 00s", "59m 59s", "2h 07m"]);
    }
}
