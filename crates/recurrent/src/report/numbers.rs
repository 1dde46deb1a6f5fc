//! Numbers as people read them: a few digits, thousands apart, powers of ten where they are needed,
//! and the places of an axis that get one.

use crate::run::thousands;

/// A number with four digits: `1.672`, `12,480`, `3.1 × 10⁻⁵`.
pub fn short(number: f64) -> String {
    let size = number.abs();
    match number {
        _ if !number.is_finite() => "not a number".into(),
        0.0 => "0".into(),
        _ if !(1e-3..1e7).contains(&size) => {
            let exponent = exponent(size);
            let power = power_of_ten(exponent);
            format!("{:.1} × {power}", number / libm::pow(10.0, f64::from(exponent)))
        }
        _ if size >= 1000.0 => whole(number),
        _ => format!("{number:.*}", (3 - exponent(size)).clamp(0, 4) as usize),
    }
}

/// A whole number with thousands apart.
pub fn whole(number: f64) -> String {
    let digits = thousands(number.abs().round() as usize);
    if number.round() < 0.0 { format!("−{digits}") } else { digits }
}

/// A share: `93.1 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", 100.0 * share) } else { "not a number".into() }
}

/// `one step`, `12 steps`.
pub fn count(number: usize, singular: &str) -> String {
    match number {
        1 => format!("one {singular}"),
        _ => format!("{} {singular}s", thousands(number)),
    }
}

/// Where a number above 0 lies among the powers of ten: 2 for 100 to 999.
fn exponent(size: f64) -> i32 {
    libm::floor(libm::log10(size)) as i32
}

fn power_of_ten(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = exponent.abs().to_string();
    let digits: String = digits.bytes().map(|digit| DIGITS[(digit - b'0') as usize]).collect();
    format!("10{}{digits}", if exponent < 0 { "⁻" } else { "" })
}

/// Places of an axis from `low` to `high` that get a number, at most `most` of them, with the
/// numbers: multiples of 1, 2 or 5 times a power of ten.
pub fn ticks(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || most == 0 {
        return vec![];
    }
    let rough = span / most as f64;
    let base = libm::pow(10.0, f64::from(exponent(rough)));
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * base);
    let step = step.into_iter().find(|&step| step >= rough).unwrap_or(10.0 * base);
    let decimals = (-exponent(step * 1.000_001)).max(0) as usize;
    let first = libm::ceil(low / step - 1e-9);
    let places = (0..=most).map(|k| (first + k as f64) * step);
    let label = |place: f64| match decimals {
        _ if place.abs() < 1e-9 * step => "0".into(),
        _ if place.abs() >= 1e7 || decimals > 5 => short(place),
        0 => whole(place),
        _ => format!("{place:.decimals$}").replace('-', "−"),
    };
    places.take_while(|&place| place <= high + 1e-9 * span).map(|at| (at, label(at))).collect()
}

/// The same for an axis of logarithms: `low` and `high` are exponents of ten.
pub fn log_ticks(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let decades: Vec<i32> = (libm::ceil(low) as i32..=libm::floor(high) as i32).collect();
    if decades.len() < 2 {
        // Within a decade the numbers between get their place.
        let first = libm::floor(low) as i32;
        let between = [first, first + 1].into_iter();
        let between = between.flat_map(|at| [1.0, 2.0, 5.0].map(|factor| factor * power(at)));
        let inside = between.map(|number| (libm::log10(number), short_plain(number)));
        let inside: Vec<(f64, String)> =
            inside.filter(|(at, _)| (low..=high).contains(at)).collect();
        if inside.len() < 2 {
            // So near to one another as on an axis that is no logarithm.
            let even = ticks(libm::pow(10.0, low), libm::pow(10.0, high), most);
            let even = even.into_iter().filter(|(number, _)| *number > 0.0);
            return even.map(|(number, label)| (libm::log10(number), label)).collect();
        }
        return inside;
    }
    let every = decades.len().div_ceil(most.max(1));
    let shown = decades.into_iter().filter(|at| at.rem_euclid(every as i32) == 0);
    let shown: Vec<i32> = shown.collect();
    // One axis has one way of writing.
    let plain = shown.iter().all(|at| (-3..=4).contains(at));
    let label = |exponent: i32| match plain {
        true if exponent < 0 => {
            format!("{:.*}", exponent.unsigned_abs() as usize, power(exponent))
        }
        true => whole(power(exponent)),
        false if exponent == 0 => "1".into(),
        false => power_of_ten(exponent),
    };
    shown.iter().map(|&at| (f64::from(at), label(at))).collect()
}

fn power(exponent: i32) -> f64 {
    libm::pow(10.0, f64::from(exponent))
}

/// A number of one digit.
fn short_plain(number: f64) -> String {
    let decimals = (-exponent(number * 1.000_001)).max(0) as usize;
    match decimals {
        0 if number < 1e7 => whole(number),
        1..=4 => format!("{number:.decimals$}"),
        _ => short(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_few_digits() {
        let shown = [1.67234, 12480.4, 0.031, 0.0000312, 0.0, -2.5, f64::NAN, 250.0, 3.2e9];
        let expected = [
            "1.672",
            "12,480",
            "0.0310",
            "3.1 × 10⁻⁵",
            "0",
            "-2.500",
            "not a number",
            "250.0",
            "3.2 × 10⁹",
        ];
        assert_eq!(shown.map(short), expected);
    }

    fn labels(ticks: Vec<(f64, String)>) -> Vec<String> {
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn an_axis_has_round_numbers() {
        assert_eq!(labels(ticks(0.0, 1250.0, 5)), ["0", "500", "1,000"]);
        assert_eq!(labels(ticks(1.62, 2.31, 4)), ["1.8", "2.0", "2.2"]);
        assert_eq!(labels(ticks(-0.2, 0.21, 5)), ["−0.2", "−0.1", "0", "0.1", "0.2"]);
        assert!(ticks(1.0, 1.0, 5).is_empty() && ticks(f64::NAN, 1.0, 5).is_empty());
        for (low, high) in [(0.0, 1.0), (3.0, 1e6), (-7.7, 12.0), (1e-8, 2e-8)] {
            let ticks = ticks(low, high, 5);
            assert!((2..=6).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|&(at, _)| at >= low - 1e-9 && at <= high + 1e-9));
        }
    }

    #[test]
    fn an_axis_of_logarithms_has_powers_of_ten() {
        assert_eq!(labels(log_ticks(-2.3, 1.2, 5)), ["0.01", "0.1", "1", "10"]);
        assert_eq!(labels(log_ticks(-9.5, 0.5, 5)), ["10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "1"]);
        assert_eq!(labels(log_ticks(0.1, 0.9, 5)), ["2", "5"]);
        assert_eq!(labels(log_ticks(2.1f64.log10(), 4.9f64.log10(), 5)), ["3", "4"]);
    }
}
