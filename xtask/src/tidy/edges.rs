//! Which crate may depend on which.

use super::{Finding, contains_word, find, manifest};
use crate::workspace::{Dependency, File, Package, STACK, TESTKIT, XTASK};

/// What the testkit may build its oracles on.
const BELOW_TESTKIT: [&str; 3] = ["recurrent-topologies", "recurrent-cells", "recurrent-kernels"];

/// Dependencies that only some crates may hand to their users.
const EXCLUSIVE: [(&[&str], &[&str]); 4] = [
    (&["anyhow", "clap", "indicatif", "ctrlc"], &["recurrent", XTASK]),
    (&["png", "zune-jpeg"], &["recurrent"]),
    (&["faer", "pulp", "private-gemm-x86"], &["recurrent-kernels"]),
    (&["bincode"], &["recurrent-checkpoint"]),
];

/// The strict order of the stack, the testkit that serves tests only, xtask that stands apart.
pub(super) fn order(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        if rank(&package.name).is_none() && ![TESTKIT, XTASK].contains(&package.name.as_str()) {
            let advice = format!("{} has no place in the stack's order: give it one", package.name);
            findings.push(Finding::new(manifest(package), 1, advice));
        }
        for dependency in &package.dependencies {
            if let Some(advice) = order_broken(package, dependency) {
                findings.push(at(package, dependency, files, advice));
            }
        }
    }
    findings
}

/// What is wrong with an edge, if anything.
fn order_broken(package: &Package, dependency: &Dependency) -> Option<String> {
    let (from, to) = (package.name.as_str(), dependency.name.as_str());
    let has_version = dependency.requirement != "*";
    if to == TESTKIT {
        if from == XTASK || !dependency.is_dev() {
            return Some(format!("{TESTKIT} serves tests: make it a dev-dependency of the stack"));
        }
        return has_version.then(|| {
            format!("{TESTKIT} must have no version, or packaging has a cycle: give its path alone")
        });
    }
    if to == XTASK {
        return Some(format!("{XTASK} stands apart: depend on it nowhere"));
    }
    let to_rank = rank(to)?;
    if from == XTASK {
        return Some(format!("{XTASK} must build without the stack: do not use {to}"));
    }
    if from == TESTKIT {
        let allowed = BELOW_TESTKIT.contains(&to);
        return (!allowed)
            .then(|| format!("{TESTKIT} may use {} only, not {to}", BELOW_TESTKIT.join(", ")));
    }
    if rank(from).is_none_or(|from_rank| to_rank > from_rank) {
        return None;
    }
    if dependency.is_dev() {
        return has_version.then(|| {
            format!("a dev-dependency from {from} up to {to} must have no version, or packaging has a cycle")
        });
    }
    Some(format!("{from} may use only what is below it ({to} is not): move the code up or down"))
}

/// Dependencies that belong to one crate, because it wraps them for all others.
pub(super) fn exclusive(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        // Tests, examples and benchmarks may use anything: no user of the crate gets it.
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_dev()) {
            for (names, owners) in EXCLUSIVE {
                let (from, to) = (package.name.as_str(), dependency.name.as_str());
                if names.contains(&to) && !owners.contains(&from) {
                    let advice = format!("only {} may depend on {to}", owners.join(" and "));
                    findings.push(at(package, dependency, files, advice));
                }
            }
        }
    }
    findings
}

/// The position in the stack: 0 for the topmost crate.
fn rank(name: &str) -> Option<usize> {
    STACK.iter().position(|&crate_name| crate_name == name)
}

/// A finding at the line of the manifest that names the dependency.
fn at(package: &Package, dependency: &Dependency, files: &[File], advice: String) -> Finding {
    let path = manifest(package);
    let line = find(files, &path).and_then(|file| {
        let mut lines = file.lines().skip_while(|(_, line)| !line.contains("dependencies"));
        lines.find(|(_, line)| contains_word(line, &dependency.name)).map(|(number, _)| number)
    });
    Finding::new(path, line.unwrap_or(1), advice)
}

#[cfg(test)]
mod tests {
    use super::{exclusive, order};
    use crate::workspace::{
        Package,
        planted::{dependency, file, package},
    };

    fn edge(from: &str, to: &str, kind: &str, requirement: &str) -> [Package; 1] {
        [Package { dependencies: vec![dependency(to, kind, requirement)], ..package(from) }]
    }

    #[test]
    fn edges_downwards_pass() {
        for (from, to) in [
            ("recurrent", "recurrent-checkpoint"),
            ("recurrent", "recurrent-kernels"),
            ("recurrent-training", "recurrent-cells"),
            ("recurrent-testkit", "recurrent-topologies"),
        ] {
            assert_eq!(order(&edge(from, to, "", "^0.1.0"), &[]), [], "{from} to {to}");
        }
        assert_eq!(order(&edge("recurrent-kernels", "recurrent-testkit", "dev", "*"), &[]), []);
        assert_eq!(order(&edge("recurrent-kernels", "recurrent-cells", "dev", "*"), &[]), []);
    }

    #[test]
    fn other_edges_are_caught() {
        for (from, to, kind, requirement) in [
            ("recurrent-cells", "recurrent-topologies", "", "^0.1.0"),
            ("recurrent-kernels", "recurrent", "build", "^0.1.0"),
            ("recurrent-kernels", "recurrent-cells", "dev", "^0.1.0"),
            ("recurrent-cells", "recurrent-testkit", "", "*"),
            ("recurrent-cells", "recurrent-testkit", "dev", "^0.1.0"),
            ("recurrent-testkit", "recurrent-training", "", "^0.1.0"),
            ("xtask", "recurrent-kernels", "", "^0.1.0"),
            ("xtask", "recurrent-testkit", "dev", "*"),
            ("recurrent", "xtask", "dev", "*"),
        ] {
            let findings = order(&edge(from, to, kind, requirement), &[]);
            assert_eq!(findings.len(), 1, "{from} to {to} as {kind:?}: {findings:?}");
        }
    }

    #[test]
    fn a_crate_without_a_place_is_caught() {
        assert_eq!(order(&[package("recurrent-extras")], &[]).len(), 1);
    }

    #[test]
    fn the_line_is_the_dependency_s() {
        let text = "[package]\nname = \"recurrent-cells\"\nkeywords = [\"recurrent\"]\n\n[dependencies]\nserde = \"1\"\nrecurrent = \"0.1\"\n";
        let manifest = file("crates/recurrent-cells/Cargo.toml", text);
        let findings = order(&edge("recurrent-cells", "recurrent", "", "^0.1"), &[manifest]);
        assert_eq!(
            (findings[0].path.as_str(), findings[0].line),
            ("crates/recurrent-cells/Cargo.toml", 7)
        );
    }

    #[test]
    fn exclusive_dependencies_are_caught_elsewhere() {
        for (from, to) in
            [("recurrent-training", "anyhow"), ("recurrent", "faer"), ("recurrent", "bincode")]
        {
            assert_eq!(exclusive(&edge(from, to, "", "^1"), &[]).len(), 1, "{from} to {to}");
            assert_eq!(exclusive(&edge(from, to, "dev", "^1"), &[]), []);
        }
        for (from, to) in [
            ("xtask", "anyhow"),
            ("recurrent", "clap"),
            ("recurrent-kernels", "pulp"),
            ("recurrent-checkpoint", "bincode"),
        ] {
            assert_eq!(exclusive(&edge(from, to, "", "^1"), &[]), [], "{from} to {to}");
        }
    }
}
