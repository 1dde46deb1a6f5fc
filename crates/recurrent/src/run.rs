//! A run in order: its metrics file, and on the command line its progress and Ctrl-C.

pub mod folder;
pub use folder::RunFolder;

pub mod metrics;
pub use metrics::MetricsLog;

pub mod saver;
pub use saver::Saver;

pub mod meter;

#[cfg(feature = "cli")]
pub mod progress;
#[cfg(feature = "cli")]
pub use progress::Progress;

#[cfg(feature = "cli")]
pub mod interrupt;
#[cfg(feature = "cli")]
pub use interrupt::Interrupt;

/// `1003854` as `1,003,854`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_003_854), "1,003,854");
    }
}
