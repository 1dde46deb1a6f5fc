//! The project's chores: `cargo xtask ci`, `tidy`, `ulp`.

fn main() {}
