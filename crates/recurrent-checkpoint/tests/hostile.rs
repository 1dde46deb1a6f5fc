//! Hostile files of at most 1 KiB: an error, with little memory and in little time.
//!
//! The one test of this program, because it counts the memory of the whole process.

use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use recurrent_checkpoint::{Checkpoint, inspect};

#[path = "hostile/bytes.rs"]
mod bytes;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What `run` gives, the memory that it took at most, and its time.
#[allow(clippy::disallowed_methods)] // time is what is tested
fn measure<T>(run: impl FnOnce() -> T) -> (T, usize, Duration) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let start = Instant::now();
    let result = run();
    (result, ALLOCATOR.peak_usage() - before, start.elapsed())
}

#[test]
fn hostile_files_are_refused_with_little_memory_and_in_little_time() {
    for (what, bytes) in bytes::right_files() {
        assert!(Checkpoint::from_bytes(&bytes).is_ok(), "{what}");
    }
    let files = bytes::hostile_files();
    assert!(files.len() > 300, "{}", files.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.ckpt");
    for (what, bytes) in files {
        std::fs::write(&path, &bytes).unwrap();
        let readers: [(&str, &dyn Fn() -> bool); 3] = [
            ("from_bytes", &|| Checkpoint::from_bytes(&bytes).is_ok()),
            ("load", &|| Checkpoint::load(&path).is_ok()),
            ("inspect", &|| inspect(&path).is_ok_and(|summary| summary.is_intact())),
        ];
        for (reader, read) in readers {
            // The fastest of three, because the system may be busy with something else.
            let runs = [(); 3].map(|()| measure(read));
            for (is_accepted, memory, _) in runs {
                assert!(!is_accepted, "{reader} accepted {what}");
                assert!(memory < 1 << 20, "{reader} took {memory} bytes for {what}");
            }
            let time = runs.map(|(_, _, time)| time).into_iter().min().unwrap();
            assert!(time < Duration::from_millis(10), "{reader} took {time:?} for {what}");
        }
    }

    // The largest header that is allowed, with as many entries as are allowed: what the page says.
    let mut largest = Checkpoint::new("largest");
    for entry in 0..16_384 {
        largest.metadata_mut().insert(format!("{entry:05}"), "v".repeat(900));
        largest.insert(format!("{entry:05}"), &[0], Vec::<u8>::new());
    }
    let bytes = largest.to_bytes().unwrap();
    assert!(bytes.len() > 15 << 20);
    let (result, memory, _) = measure(|| Checkpoint::from_bytes(&bytes));
    assert!(result.is_ok());
    assert!(memory < bytes.len() + (24 << 20), "{memory} bytes for a file of {}", bytes.len());
}
