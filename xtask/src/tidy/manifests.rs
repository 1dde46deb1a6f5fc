//! What a person who finds a crate in a registry needs: metadata, and an example that compiles.

use super::{Finding, beside_manifest, find, manifest};
use crate::workspace::{self, File, Package};

/// The registry refuses more, and longer ones.
const MOST_KEYWORDS: usize = 5;
const LONGEST_KEYWORD: usize = 20;

fn public(packages: &[Package]) -> impl Iterator<Item = &Package> {
    packages.iter().filter(|package| package.is_public())
}

/// Every published crate describes itself.
pub(super) fn metadata(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in public(packages) {
        let path = manifest(package);
        let fields = [
            ("description", package.description.is_some()),
            ("license", package.license.is_some()),
            ("readme", package.readme.is_some()),
            ("documentation", package.documentation.is_some()),
            ("keywords", !package.keywords.is_empty()),
            ("categories", !package.categories.is_empty()),
        ];
        for (field, _) in fields.into_iter().filter(|(_, present)| !present) {
            findings.push(Finding::new(&path, 1, format!("[package] has no `{field}`: add it")));
        }
        let keywords = &package.keywords;
        if keywords.len() > MOST_KEYWORDS || keywords.iter().any(|k| k.len() > LONGEST_KEYWORD) {
            let keywords = find(files, &path)
                .and_then(|file| file.lines().find(|(_, line)| line.starts_with("keywords")));
            let line = keywords.map_or(1, |(number, _)| number);
            let advice =
                format!("at most {MOST_KEYWORDS} keywords of at most {LONGEST_KEYWORD} letters");
            findings.push(Finding::new(path, line, advice));
        }
    }
    findings
}

/// Every published crate's README has an example in Rust, and doc tests compile it.
pub(super) fn readme_examples(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in public(packages) {
        let path = beside_manifest(package, "README.md");
        let Some(readme) = find(files, &path) else {
            findings.push(Finding::new(path, 1, "the crate has no README.md: write one"));
            continue;
        };
        let compiled = ["```rust", "```rust,no_run"];
        if !readme.lines().any(|(_, line)| compiled.contains(&line.trim())) {
            let advice = "no ```rust block: show the crate at work";
            findings.push(Finding::new(path, 1, advice));
        }
        let library = package.targets.iter().find(|target| target.is_library());
        let Some(library) = library.map(|target| workspace::slashes(&target.src_path)) else {
            continue;
        };
        let includes = |(_, line): (usize, &str)| {
            line.contains("include_str!(\"../README.md\")") && !line.trim_start().starts_with("//")
        };
        if !find(files, &library).is_some_and(|file| file.lines().any(includes)) {
            let advice = "the README's example is not compiled: add `#[cfg(doctest)] \
                          #[doc = include_str!(\"../README.md\")] struct ReadmeExamples;`";
            findings.push(Finding::new(library, 1, advice));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{metadata, readme_examples};
    use crate::workspace::{
        Package,
        planted::{file, package, private_package},
    };

    #[test]
    fn missing_metadata_is_caught() {
        let bare = |name: &str| Package {
            name: name.to_owned(),
            targets: Vec::new(),
            manifest_path: "crates/a/Cargo.toml".into(),
            ..Package::default()
        };
        assert_eq!(metadata(&[package("recurrent"), private_package("xtask")], &[]), []);
        assert_eq!(metadata(&[bare("recurrent")], &[]).len(), 6);
        let silent = Package { documentation: None, ..package("recurrent") };
        let findings = metadata(&[silent], &[]);
        assert!(findings.len() == 1 && findings[0].advice.contains("documentation"));
    }

    #[test]
    fn too_many_keywords_are_caught() {
        let manifest = file("crates/recurrent/Cargo.toml", "[package]\nkeywords = []\n");
        let many = vec!["rnn".to_owned(); 6];
        let long = vec!["recurrent-neural-network".to_owned()];
        for keywords in [many, long] {
            let package = Package { keywords, ..package("recurrent") };
            let findings = metadata(&[package], std::slice::from_ref(&manifest));
            assert_eq!((findings.len(), findings[0].line), (1, 2));
        }
    }

    #[test]
    fn a_readme_without_a_compiled_example_is_caught() {
        let check = |readme: &str, library: &str| {
            let readme = file("crates/recurrent/README.md", readme);
            let library = file("crates/recurrent/src/lib.rs", library);
            readme_examples(&[package("recurrent")], &[readme, library]).len()
        };
        let included = "//! A.\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;\n";
        assert_eq!(check("# A\n```rust\nlet x = 1;\n```\n", included), 0);
        assert_eq!(check("# A\n```rust,ignore\nlet x = 1;\n```\n", included), 1);
        assert_eq!(check("# A\n", included), 1);
        assert_eq!(check("# A\n```rust\nlet x = 1;\n```\n", "//! A.\n"), 1);
        assert_eq!(readme_examples(&[package("recurrent")], &[]).len(), 1);
        assert_eq!(readme_examples(&[private_package("xtask")], &[]), []);
    }
}
