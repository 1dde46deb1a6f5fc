//! A process killed at a random moment of its save.

// Moments are measured with the clock.
#![allow(clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::{BEGUN, Workplace, checkpoint};

/// Kills `kills` children, each after a delay uniform in 0 to 1.2 of the time of a save.
fn kill_at_random_moments(kills: u32) {
    let bytes = 1 << 20;
    let workplace = Workplace::new(bytes);
    let path = workplace.path();
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let start = Instant::now();
            checkpoint(bytes, 1).save(&path).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    workplace.restore();
    let longest_delay = times[times.len() / 2].mul_f64(1.2);

    let (mut renamed, mut unfinished) = (0, 0);
    for kill in 0..kills {
        let mut child = workplace.command(&[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), BEGUN);
        // Multiples of the golden ratio fill the range evenly, and in no order.
        sleep(longest_delay.mul_f64((f64::from(kill) * 0.618_033_988_749_895).fract()));
        child.kill().unwrap();
        child.wait().unwrap();

        let left = workplace.left();
        assert!(left == workplace.old || left == workplace.new, "kill {kill}: a torn file");
        renamed += u32::from(left == workplace.new);
        unfinished += u32::from(path.with_file_name("last.ckpt.saving").exists());
        workplace.restore();
    }
    // Otherwise the kills came too early or too late to prove anything.
    assert!(renamed > 0 && unfinished > 0, "{renamed} renamed, {unfinished} unfinished");
}

#[test]
fn a_process_killed_at_random_leaves_the_old_file_or_the_new() {
    kill_at_random_moments(200);
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn a_process_killed_at_random_leaves_the_old_file_or_the_new_long() {
    kill_at_random_moments(3_000);
}
