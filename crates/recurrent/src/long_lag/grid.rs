//! Many runs side by side, one thread each. A run computes on its own thread alone, so its figures do
//! not depend on how many there are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::{Outcome, RunConfig, RunError, run};

/// Makes all runs on `threads` threads and hands each result to `done`, with its place in `runs`, as it
/// comes. Ends early, without the results of what was under way, when `stop` says so.
///
/// # Errors
/// The first error of a run, or of `done`; what was under way then ends.
pub fn run_all<E: From<RunError>>(
    runs: &[RunConfig],
    threads: usize,
    stop: &(impl Fn() -> bool + Sync),
    mut done: impl FnMut(usize, Outcome) -> Result<(), E>,
) -> Result<(), E> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stop = || failed.load(Ordering::Relaxed) || stop();
    let work = |results: mpsc::Sender<(usize, Result<Outcome, RunError>)>| {
        while !stop() {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(config) = runs.get(place) else { break };
            let Some(result) = run(config, &stop).transpose() else { break };
            if results.send((place, result)).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..threads.min(runs.len()) {
            let (work, sender) = (&work, sender.clone());
            scope.spawn(move || work(sender));
        }
        drop(sender);
        let all = results.iter().try_for_each(|(place, result)| done(place, result?));
        failed.store(all.is_err(), Ordering::Relaxed);
        all
    })
}
