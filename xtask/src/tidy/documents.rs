//! Documents: their links lead somewhere, and the map shows the country as it is.

use super::{Finding, contains_word, find};
use crate::workspace::{self, File, Package};

const ARCHITECTURE: &str = "docs/architecture.md";

/// Every link from a Markdown file to a place in the repository leads to a file or folder.
pub(super) fn links(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut in_code = false;
        for (number, line) in file.lines() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in link_targets(line) {
                if resolve(&file.path, target).is_none_or(|path| !exists(files, &path)) {
                    let advice = format!("the link to `{target}` leads nowhere: correct it");
                    findings.push(Finding::new(&file.path, number, advice));
                }
            }
        }
    }
    findings
}

/// The targets of a line's links that point into the repository, without anchors and titles.
fn link_targets(line: &str) -> Vec<&str> {
    // Text between backticks is code, where brackets mean something else.
    let prose = line.split('`').step_by(2);
    let inline = prose.flat_map(|text| {
        let ends = text.split("](").skip(1);
        ends.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
    });
    let reference = line.split_once("]: ").filter(|_| line.starts_with('['));
    inline
        .chain(reference.map(|(_, target)| target))
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_start_matches('<').trim_end_matches('>'))
        .map(|target| target.split('#').next().unwrap_or_default())
        // Addresses have a scheme; rustdoc's links are paths of items.
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .collect()
}

/// The path that a link in the file `from` means; `None` if it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn exists(files: &[File], path: &str) -> bool {
    let inside = |file: &File| {
        file.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    path.is_empty() || files.iter().any(inside)
}

/// The map names every crate, and no place that is not there.
pub(super) fn architecture(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let Some(map) = find(files, ARCHITECTURE) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let text = map.text().unwrap_or_default();
    for package in packages {
        let folder = package.manifest_path.parent().map(workspace::slashes).unwrap_or_default();
        if !contains_word(text, &format!("`{}`", package.name)) && !contains_word(text, &folder) {
            let advice = format!("the map does not show {}: say what it is about", package.name);
            findings.push(Finding::new(ARCHITECTURE, 1, advice));
        }
    }
    for (number, line) in map.lines() {
        for path in paths_named(line).filter(|path| !exists(files, path)) {
            let advice = format!("`{path}` does not exist: correct the map");
            findings.push(Finding::new(ARCHITECTURE, number, advice));
        }
    }
    findings
}

/// The paths below `crates/` that a line of prose names.
fn paths_named(line: &str) -> impl Iterator<Item = &str> {
    let belongs = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    line.match_indices("crates/").filter_map(move |(start, _)| {
        let path = &line[start..];
        let path = &path[..path.find(|c| !belongs(c)).unwrap_or(path.len())];
        let begins = !line[..start].ends_with(belongs) || line[..start].ends_with("../");
        begins.then(|| path.trim_end_matches(['.', '/']))
    })
}

#[cfg(test)]
mod tests {
    use super::{architecture, links};
    use crate::workspace::planted::{file, package};

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "\
[map](architecture.md#code-map) and [home](../README.md \"home\"), [crates](../crates)\n\
[web](https://example.org/a.md), [here](#top), [type](crate::Lstm), `[code](nowhere.md)`\n\
```text\n[code](nowhere.md)\n```\n\
[page]: <../README.md>\n";
        let files = [
            file("docs/notation.md", text),
            file("docs/architecture.md", ""),
            file("README.md", "[docs](docs/) [itself](/README.md)"),
            file("crates/recurrent/src/lib.rs", "//! [gone](gone.md)"),
        ];
        assert_eq!(links(&files), []);
    }

    #[test]
    fn links_that_lead_nowhere_are_caught() {
        for target in ["gone.md", "../gone.md", "../../README.md", "architecture", "gone.md#a"] {
            for link in [format!("see\n[a](b.md), [it]({target})"), format!("a\n[it]: {target}")] {
                let files =
                    [file("docs/a.md", &link), file("docs/b.md", ""), file("README.md", "")];
                let findings = links(&files);
                assert_eq!((findings.len(), findings[0].line), (1, 2), "{link}");
            }
        }
    }

    #[test]
    fn a_map_that_drifts_is_caught() {
        let packages = [package("recurrent"), package("recurrent-cells")];
        let check = |map: &str| {
            let cell = file("crates/recurrent-cells/src/lstm.rs", "");
            architecture(&packages, &[file("docs/architecture.md", map), cell])
        };
        let good = "`recurrent` is for people,\ncrates/recurrent-cells/src/lstm.rs is a step.\n";
        assert_eq!(check(good), []);
        assert_eq!(architecture(&packages, &[]), []);
        let hidden = check("recurrent networks, crates/recurrent-cells\n");
        assert!(hidden.len() == 1 && hidden[0].advice.contains("does not show recurrent:"));
        let stale = check(&format!("{good}See (crates/recurrent-cells/src/gru.rs).\n"));
        assert_eq!((stale.len(), stale[0].line), (1, 3));
    }
}
