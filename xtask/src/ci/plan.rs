//! The steps of `cargo xtask ci`, in order.

use crate::{
    ci::Scope,
    invocation::Invocation,
    steps::{Action, Step, Tool},
    workspace::Package,
};

const RUSTFMT: Tool = Tool {
    name: "rustfmt",
    probe: &["cargo", "fmt", "--version"],
    install: "rustup component add rustfmt",
    required: true,
};

const CLIPPY: Tool = Tool {
    name: "clippy",
    probe: &["cargo", "clippy", "--version"],
    install: "rustup component add clippy",
    required: true,
};

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    probe: &["cargo", "deny", "--version"],
    install: "cargo install cargo-deny",
    required: false,
};

/// The steps in order: the fastest first, so that a slip is seen at once.
///
/// `dirty` says that there are uncommitted changes, which `cargo package` otherwise refuses.
/// `packing` is a folder to compile packages in, for [`package`].
pub(super) fn steps(scope: Scope, packages: &[Package], dirty: bool, packing: &str) -> Vec<Step> {
    let step = |name, action, tool| Step { name, action, tool };
    let cargo = |arguments: &[&str]| Action::Commands(vec![Invocation::cargo(arguments)]);

    let clippy = "clippy --workspace --all-targets --all-features -- -D warnings";
    // `--tests` is every test but the doc tests, which have a step of their own.
    let tests = "test --workspace --all-features --tests --no-fail-fast";
    let doc_tests = "test --workspace --all-features --doc --no-fail-fast";
    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();

    let mut steps = vec![
        step("fmt", cargo(&["fmt", "--all", "--check"]), Some(RUSTFMT)),
        step("tidy", Action::Tidy, None),
        step("clippy", cargo(&words(clippy)), Some(CLIPPY)),
        step("tests", cargo(&words(tests)), None),
        step("doc tests", cargo(&words(doc_tests)), None),
    ];
    if scope == Scope::Whole {
        let docs = Invocation::cargo(&words("doc --workspace --no-deps --all-features"))
            .with_environment("RUSTDOCFLAGS", "-D warnings");
        let deny = cargo(&words("deny --offline check bans licenses sources"));
        steps.extend([
            step("docs", Action::Commands(vec![docs]), None),
            step("features", Action::Commands(feature_matrix(packages)), Some(CLIPPY)),
            step("package", Action::Commands(vec![package(packages, dirty, packing)]), None),
            step("dependencies", deny, Some(CARGO_DENY)),
        ]);
    }
    steps
}

/// Each crate alone, with no features, its default ones, and all of them: together, crates lend
/// each other features of what they share.
///
/// Clippy does all that `cargo check` does, and makes warnings errors without the flags that would
/// recompile every dependency.
fn feature_matrix(packages: &[Package]) -> Vec<Invocation> {
    let mut commands = Vec::new();
    for package in packages {
        let sets: &[&[&str]] = if package.features.is_empty() {
            &[&[]]
        } else {
            &[&["--no-default-features"], &[], &["--all-features"]]
        };
        for set in sets {
            let alone = ["clippy", "--quiet", "--no-deps", "--package", &package.name];
            commands.push(Invocation::cargo(&[&alone, *set, &["--", "-D", "warnings"]].concat()));
        }
    }
    commands
}

/// Packs every crate that may be published and compiles it from its package, against the packages
/// of the others, in the new folder `packing`.
///
/// Cargo takes two packages of one name and version for the same and does not look whether the
/// second has other files. It keeps what it unpacked, by the folder that was packed in, among the
/// sources of its home folder: where a folder of the same path was packed in before, even by a
/// clone since removed, it would compile the packages of that time.
fn package(packages: &[Package], dirty: bool, packing: &str) -> Invocation {
    let mut arguments = vec!["package", "--workspace"];
    for package in packages.iter().filter(|package| !package.is_public()) {
        arguments.extend(["--exclude", package.name.as_str()]);
    }
    if dirty {
        arguments.push("--allow-dirty");
    }
    arguments.extend(["--target-dir", packing]);
    Invocation::cargo(&arguments)
}

#[cfg(test)]
mod tests {
    use super::{CLIPPY, RUSTFMT, feature_matrix, package, steps};
    use crate::{
        ci::Scope,
        steps::{Action, tools},
        workspace::{
            Package,
            planted::{self, private_package},
        },
    };

    #[test]
    fn both_scopes_are_tidy() {
        for scope in [Scope::Quick, Scope::Whole] {
            assert!(steps(scope, &[], false, "new").iter().any(|step| step.action == Action::Tidy));
        }
    }

    #[test]
    fn quick_is_the_beginning_of_the_whole() {
        let quick = steps(Scope::Quick, &[], false, "new");
        assert!(steps(Scope::Whole, &[], false, "new").starts_with(&quick));
        assert_eq!(tools(&quick), [RUSTFMT, CLIPPY]);
    }

    #[test]
    fn a_missing_tool_comes_with_its_remedy() {
        assert_eq!(CLIPPY.advice(), "clippy is not installed (rustup component add clippy)");
    }

    #[test]
    fn the_matrix_has_three_rows_where_there_are_features() {
        let mut features = Package { name: "a".to_owned(), ..Package::default() };
        assert_eq!(feature_matrix(std::slice::from_ref(&features)).len(), 1);
        features.features.insert("cli".to_owned(), Vec::new());
        let commands: Vec<String> =
            feature_matrix(&[features]).iter().map(ToString::to_string).collect();
        let start = "cargo clippy --quiet --no-deps --package a";
        assert_eq!(
            commands,
            [
                format!("{start} --no-default-features -- -D warnings"),
                format!("{start} -- -D warnings"),
                format!("{start} --all-features -- -D warnings"),
            ]
        );
    }

    #[test]
    fn private_crates_are_not_packaged() {
        let packages = [planted::package("recurrent"), private_package("xtask")];
        let command = |dirty| package(&packages, dirty, "new").to_string();
        let plain = "cargo package --workspace --exclude xtask";
        assert_eq!(command(false), format!("{plain} --target-dir new"));
        assert_eq!(command(true), format!("{plain} --allow-dirty --target-dir new"));
    }
}
