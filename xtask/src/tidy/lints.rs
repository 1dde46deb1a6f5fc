//! The clippy.toml files: clippy reads one per crate, so what is shared is written several times.

use super::{Finding, find};
use crate::workspace::File;

/// Its list of methods that arithmetic never calls is the one that the others repeat.
const FIRST: &str = "crates/recurrent-kernels/clippy.toml";

const REPEATED: [&str; 3] = [
    "crates/recurrent-cells/clippy.toml",
    "crates/recurrent-topologies/clippy.toml",
    "crates/recurrent-training/clippy.toml",
];

/// The crates between the kernels and the files ban all that the kernels ban.
pub(super) fn disallowed_methods(files: &[File]) -> Vec<Finding> {
    let banned = |file: &File| -> Vec<String> {
        let lines = file.lines().map(|(_, line)| line.trim());
        lines.filter(|line| line.starts_with("{ path =")).map(str::to_owned).collect()
    };
    let first = find(files, FIRST).map(banned).unwrap_or_default();
    if first.is_empty() {
        return vec![Finding::new(FIRST, 1, "bans no method: list what the kernels never call")];
    }
    let mut findings = Vec::new();
    for path in REPEATED {
        let here = find(files, path).map(banned).unwrap_or_default();
        for line in first.iter().filter(|line| !here.contains(line)) {
            findings.push(Finding::new(path, 1, format!("differs from {FIRST}: add `{line}`")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{FIRST, REPEATED, disallowed_methods};
    use crate::workspace::{File, planted::file};

    #[test]
    fn a_list_that_drifts_is_caught() {
        let list = "disallowed-methods = [\n  { path = \"f32::exp\" },\n]\n";
        let mut files: Vec<File> = REPEATED.iter().map(|path| file(path, list)).collect();
        assert_eq!(disallowed_methods(&files).len(), 1);
        files.push(file(FIRST, list));
        assert_eq!(disallowed_methods(&files), []);
        files[1] = file(REPEATED[1], "disallowed-methods = [\n]\n");
        assert_eq!(disallowed_methods(&files)[0].path, REPEATED[1]);
    }
}
