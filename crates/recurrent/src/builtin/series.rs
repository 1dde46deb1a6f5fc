//! Temperature and the power that it takes, hour by hour: a series with more than lines in it.

use super::{Chance, Part};

/// Hours of the three parts, one after another: 200 days, 40 days, 40 days.
const HOURS: [usize; 3] = [4_800, 960, 960];

/// Two columns, `temperature` in degrees Celsius and `power` in megawatts, and a row an hour:
/// 4,800 rows to train, then 960 to validate, then 960 to test, all of one series.
///
/// The temperature rises and falls with the day, and with a weather that grows warmer hour by
/// hour until a storm cools it. The power follows the temperature of the hour before, more the
/// farther that is from a comfortable 16 degrees, either way. No linear map of past rows knows a
/// threshold or an absolute value, so a linear autoregression errs more than it must.
pub fn series(seed: u64, part: Part) -> (Vec<String>, Vec<Vec<f64>>) {
    let chance = &mut Chance::of_part(seed, "series", Part::Train);
    let (skipped, rows) =
        part.of([(0, HOURS[0]), (HOURS[0], HOURS[1]), (HOURS[0] + HOURS[1], HOURS[2])]);
    let mut hour = Hour::first();
    let mut values = Vec::with_capacity(rows);
    for index in 0..skipped + rows {
        if index >= skipped {
            values.push(vec![hundredths(hour.temperature), hundredths(hour.power)]);
        }
        hour = hour.next(chance);
    }
    (vec!["temperature".to_owned(), "power".to_owned()], values)
}

/// What an hour leaves to the next.
struct Hour {
    /// The sun's place: cosine and sine of the time of day.
    sun: [f64; 2],
    /// How much warmer it is than the time of day says.
    weather: f64,
    /// What is used beside heating and cooling, less its mean.
    habit: f64,
    temperature: f64,
    power: f64,
}

impl Hour {
    fn first() -> Hour {
        Hour { sun: [1.0, 0.0], weather: 0.0, habit: 0.0, temperature: 16.0, power: 30.0 }
    }

    /// The next hour:
    ///
    /// ```text
    /// sun         = sun turned by a 24th of a circle
    /// weather     = weather' + 0.4 + 0.3 normal   if weather' <= 3
    ///               weather' - 6   + 0.3 normal   otherwise: a storm
    /// habit       = 0.8 habit' + 0.8 normal
    /// temperature = 16 + 6 sine of the sun + weather
    /// power       = 30 + 3 |temperature' - 16| + 3 cosine of the sun + habit
    /// ```
    ///
    /// with ' for the hour before.
    fn next(&self, chance: &mut Chance) -> Hour {
        // Cosine and sine of 2 pi / 24.
        const TURN: [f64; 2] = [0.965_925_826_289_068_3, 0.258_819_045_102_520_8];
        let [cosine, sine] = self.sun;
        let sun = [TURN[0] * cosine - TURN[1] * sine, TURN[1] * cosine + TURN[0] * sine];
        let change = if self.weather <= 3.0 { 0.4 } else { -6.0 };
        let weather = self.weather + change + 0.3 * chance.normal();
        let habit = 0.8 * self.habit + 0.8 * chance.normal();
        Hour {
            sun,
            weather,
            habit,
            temperature: 16.0 + 6.0 * sun[1] + weather,
            power: 30.0 + 3.0 * (self.temperature - 16.0).abs() + 3.0 * sun[0] + habit,
        }
    }
}

/// To two places after the point, as in a file.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
