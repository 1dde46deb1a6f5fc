//! A real process that saves: stopped at any moment, and obstructed by its system. What it leaves
//! must be exactly the old file or the new one.

#![cfg(target_os = "linux")]

#[path = "process/child.rs"]
mod child;
#[path = "process/killed.rs"]
mod killed;
#[path = "process/limited.rs"]
mod limited;
#[path = "process/traced.rs"]
mod traced;

/// No test of its own: the process that the others start. See [`child::save_as_asked`].
#[test]
fn child_saves() {
    child::save_as_asked();
}
