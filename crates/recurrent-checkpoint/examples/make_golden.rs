//! Writes the golden file of the current format version:
//! `cargo run -p recurrent-checkpoint --example make_golden`.
//!
//! A golden file is made once, when its format version is released, and never again: the files of
//! released versions must stay readable, and `tests/golden.rs` holds this build against them.

use std::path::Path;

use recurrent_checkpoint::SaveError;

#[path = "../tests/golden/content.rs"]
mod content;

fn main() -> Result<(), SaveError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    content::golden_checkpoint().save(folder.join("version-1.0.ckpt"))
}
