//! The whole suite over every cell with every option, as a table: what ran, how long it took, and how
//! many elements of gradients had a kink beside them.
//!
//! ```text
//! cargo run --release -p recurrent-testkit --example suite_table [SEED]
//! ```
//!
//! Without a seed the cases are those of the tests.

#![allow(clippy::print_stdout, clippy::disallowed_methods)] // a table, with times

use std::time::Instant;

use recurrent_testkit::gradient::Comparison;
use recurrent_testkit::{subjects, suite};

fn main() {
    let seed: u64 = std::env::args().nth(1).map_or(0, |word| word.parse().expect("a seed"));
    let checks = suite::checks();
    println!("Milliseconds for each check; a check that fails stops with its smallest case.\n");
    for (number, (name, _)) in checks.iter().enumerate() {
        println!("{:2}: {name}", number + 1);
    }
    let columns: String = (1..=checks.len()).map(|number| format!(" {number} |")).collect();
    println!("\n| cell |{columns} gradients compared | kinks skipped |");
    println!("|---|{}", "---:|".repeat(checks.len() + 2));
    let (start, mut all, mut cases) = (Instant::now(), Comparison::default(), 0);
    for mut subject in subjects::all() {
        subject.seed = seed;
        let mut row = String::new();
        let mut found = Comparison::default();
        for (_, check) in &checks {
            let start = Instant::now();
            let seen = check(&subject);
            row += &format!(" {} |", start.elapsed().as_millis());
            found.add(seen.comparison);
            cases += seen.cases;
        }
        let Comparison { pairs, skipped, .. } = found;
        let share = 100.0 * skipped as f64 / pairs as f64;
        println!("| {} |{row} {pairs} | {skipped} ({share:.3} %) |", subject.name);
        all.add(found);
    }
    let Comparison { pairs, skipped, worst, place } = all;
    println!(
        "\n{cases} cases, {pairs} elements of gradients, {skipped} skipped for a kink ({:.4} %), in \
         {:.1} s.\nThe largest distance was {worst:.3} tolerances: {place}.",
        100.0 * skipped as f64 / pairs as f64,
        start.elapsed().as_secs_f64()
    );
}
