//! `inspect`: what is in a checkpoint or a run, and whether it is whole.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use recurrent_checkpoint::{Summary, inspect};
use serde_json::json;

use super::{Outcome, print_line, thousands};
use crate::run::RunFolder;

#[derive(Args)]
pub(super) struct Arguments {
    /// A checkpoint, or the folder of a run.
    #[arg(value_name = "FILE-OR-RUN")]
    path: PathBuf,
    /// Prints one JSON object a checkpoint.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let Arguments { path, json } = arguments;
    let files = if path.is_dir() {
        let folder = RunFolder::open(&path)?;
        let files: Vec<PathBuf> =
            [folder.last(), folder.best()].into_iter().filter(|file| file.is_file()).collect();
        if files.is_empty() {
            bail!("{}: nothing has been saved yet", path.display());
        }
        files
    } else {
        vec![path]
    };
    // One that cannot be read does not hide the other.
    let mut faults = Vec::new();
    for file in &files {
        let summary = match inspect(file) {
            Ok(summary) => summary,
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        if json {
            print_json(file, &summary)?
        } else {
            print_text(file, &summary)?
        }
        if let Some(section) = summary.sections.iter().find(|section| !section.intact) {
            faults.push(format!("{}: damaged: section `{}`", file.display(), section.name));
        }
    }
    if !faults.is_empty() {
        bail!(faults.join("; "));
    }
    Ok(Outcome::Done)
}

fn print_json(file: &Path, summary: &Summary) -> anyhow::Result<()> {
    let sections: Vec<_> = summary
        .sections
        .iter()
        .map(|section| {
            json!({
                "name": section.name,
                "type": section.element_type.to_string(),
                "shape": section.shape,
                "bytes": section.bytes,
                "intact": section.intact,
            })
        })
        .collect();
    print_line(json!({
        "file": file.display().to_string(),
        "format": summary.version.to_string(),
        "bytes": summary.file_bytes,
        "kind": summary.kind,
        "metadata": summary.metadata,
        "sections": sections,
        "intact": summary.is_intact(),
    }))
}

fn print_text(file: &Path, summary: &Summary) -> anyhow::Result<()> {
    let bytes = thousands(summary.file_bytes as usize);
    print_line(format!("{}: {}, {bytes} bytes", file.display(), summary.kind))?;
    for (name, value) in &summary.metadata {
        let (shown, rest) = value.split_at(value.floor_char_boundary(240));
        let more = if rest.is_empty() { "" } else { " ..." };
        print_line(format!("  {name}: {shown}{more}"))?;
    }
    let width = summary.sections.iter().map(|section| section.name.len()).max().unwrap_or(0);
    for section in &summary.sections {
        let shape: Vec<String> = section.shape.iter().map(ToString::to_string).collect();
        let state = if section.intact { "" } else { "  DAMAGED" };
        let (name, kind) = (&section.name, section.element_type.to_string());
        print_line(format!("  {name:width$}  {kind:4} {}{state}", shape.join(" x ")))?;
    }
    Ok(())
}
