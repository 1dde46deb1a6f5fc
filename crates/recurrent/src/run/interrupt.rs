//! Ctrl-C: the first press asks the run to save and stop, the second stops it at once. On Unix
//! SIGTERM, by which the system and whoever plans its work end a program, asks for the same.

use std::{
    io::{self, Write},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The exit code of an interrupted run.
pub const EXIT_CODE: i32 = 130;

/// Whether the run was asked to stop. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    /// By Ctrl-C.
    requested: Arc<AtomicBool>,
    /// By SIGTERM: whoever presses Ctrl-C then presses for the first time.
    terminated: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over Ctrl-C, and SIGTERM, for the rest of the process. After the first press, or a
    /// SIGTERM, [`is_requested`](Interrupt::is_requested) is true and the run should save and exit
    /// with [`EXIT_CODE`]; the second press exits with it at once, without saving.
    ///
    /// SIGHUP keeps its meaning: a program cannot tell whether `nohup` had it ignored.
    ///
    /// # Errors
    /// When the system refuses, or Ctrl-C is taken over already.
    pub fn install() -> Result<Interrupt, ctrlc::Error> {
        let interrupt = Interrupt::default();
        let requested = Arc::clone(&interrupt.requested);
        ctrlc::set_handler(move || {
            if requested.swap(true, Ordering::Relaxed) {
                process::exit(EXIT_CODE);
            }
            // The line may begin behind a progress bar; a closed standard error stops nothing.
            let _ = writeln!(
                io::stderr(),
                "\nfinishing the step, then saving; press again to stop at once"
            );
        })?;
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&interrupt.requested))
            .map_err(ctrlc::Error::System)?;
        Ok(interrupt)
    }

    /// Whether the run was asked to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed) || self.terminated.load(Ordering::Relaxed)
    }
}
