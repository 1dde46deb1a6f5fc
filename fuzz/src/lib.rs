//! What the fuzzing programs share: the targets, which are those of `recurrent`'s own tests, and
//! the files that a search begins from.

#![forbid(unsafe_code)]

#[path = "../../crates/recurrent/tests/readers/targets.rs"]
mod targets;

use std::{env, fs, panic, path::Path};

/// Prepares the program of a target. If its command line ends in `--seeds`, the target's examples
/// are written into the first folder that it names.
///
/// # Panics
/// If the folder cannot be written.
pub fn begin(name: &str) {
    // libfuzzer-sys ends the program at every panic, also at one that a reader catches. A panic
    // that nobody catches ends it all the same, after its message.
    let default = {
        drop(panic::take_hook());
        panic::take_hook()
    };
    panic::set_hook(Box::new(move |info| {
        // The reader of images catches those of its decoder.
        if !info.location().is_some_and(|place| place.file().contains("zune-jpeg")) {
            default(info);
        }
    }));
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.last().is_none_or(|last| last != "--seeds") {
        return;
    }
    let Some(folder) = arguments.iter().find(|argument| !argument.starts_with('-')) else { return };
    for (number, seed) in (targets::find(name).seeds)().into_iter().enumerate() {
        let path = Path::new(folder).join(format!("seed-{number}"));
        fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Gives bytes to a target.
pub fn run(name: &str, bytes: &[u8]) {
    (targets::find(name).run)(bytes);
}

/// The program of a target.
#[macro_export]
macro_rules! program {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(
            init: $crate::begin($name),
            |bytes: &[u8]| $crate::run($name, bytes)
        );
    };
}
