//! The memory that a text on disk takes does not depend on its length.
//!
//! The one test of this program, because it counts the memory of the whole process.

use std::fmt::Write;

use peak_alloc::PeakAlloc;
use recurrent::data::{StreamedCorpus, TokenKind, source};
use recurrent_training::Windows;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A piece of a pass as bytes, text and tokens, and eight streams' own, with what they read ahead.
const MOST: usize = 3 << 20;

#[test]
fn a_text_on_disk_takes_the_memory_of_its_streams() {
    let mut text = String::new();
    for number in 0..800_000 {
        write!(text, "line {number}\r\n").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    std::fs::write(&path, &text).unwrap();
    let length = text.len();
    drop(text);
    assert!(length > 3 * MOST);

    let source = source::open(&path).unwrap();
    for kind in [TokenKind::Char, TokenKind::Byte] {
        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        let corpus = StreamedCorpus::load(&source, None, kind, 1, None).unwrap();
        let windows = Windows::of(&corpus.train, 8, 256).with_backward_steps(300);
        let mut predicted = 0;
        for index in 0..windows.count() {
            let window = windows.read(index).unwrap();
            predicted += window.targets.iter().filter(|&&target| target != u32::MAX).count();
        }
        assert_eq!(predicted, windows.predictions());
        let taken = ALLOCATOR.peak_usage() - before;
        assert!(taken < MOST, "{kind}: {taken} bytes for a text of {length}");
    }
}
