//! `inspect`: what is in a checkpoint or a run, and whether it is whole.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use recurrent_checkpoint::{LoadError, SectionSummary, Summary, inspect};
use serde_json::json;

use super::{Options, Outcome, print_line, thousands};
use crate::run::{MetricsLog, RunFolder, metrics::Extent};
use crate::tasks::checkpoint;

#[derive(Args)]
pub(super) struct Arguments {
    /// A checkpoint, or the folder of a run.
    #[arg(value_name = "FILE-OR-RUN")]
    path: PathBuf,
    /// Prints one JSON object a file.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let Arguments { path, json } = arguments;
    // One file that cannot be read does not hide the others.
    let faults = match path.is_dir() {
        true => inspect_run(&RunFolder::open(&path)?, json)?,
        false => show_file(&path, inspect(&path), json, true)?.into_iter().collect(),
    };
    if !faults.is_empty() {
        bail!(faults.join("; "));
    }
    Ok(Outcome::Done)
}

/// Shows a run: the newest checkpoint in full, of the others that they are whole, and what belongs
/// to them. Gives what is wrong.
fn inspect_run(folder: &RunFolder, json: bool) -> anyhow::Result<Vec<String>> {
    let store = folder.store();
    // Looked for first: a run that is under way saves newer ones meanwhile, and removes the oldest.
    let newest = folder.newest().ok();
    let files = store.files()?;
    if files.is_empty() {
        bail!("{}: nothing has been saved yet", folder.path().display());
    }
    let mut faults = Vec::new();
    for file in &files {
        let in_full = newest.as_ref().is_none_or(|newest| newest.path == *file);
        if let Some(summary) = store.inspect(file).transpose() {
            faults.extend(show_file(file, summary, json, in_full)?);
        }
    }
    if let Err(error) = Options::read(&folder.config()) {
        faults.push(format!("{error:#}"));
    }
    let Some(newest) = newest else { return Ok(faults) };
    let best = checkpoint::best_loss(&newest.checkpoint).unwrap_or(f64::INFINITY);
    if best.is_finite() && !store.best_path().exists() {
        faults.push(format!("{}: is not there any more", store.best_path().display()));
    }
    if let Ok(needed) = checkpoint::metrics_length(&newest.checkpoint) {
        faults.extend(inspect_metrics(folder, needed, newest.step, json)?);
    }
    Ok(faults)
}

/// Shows a checkpoint; gives what is wrong with it.
fn show_file(
    file: &Path,
    summary: Result<Summary, LoadError>,
    json: bool,
    in_full: bool,
) -> anyhow::Result<Option<String>> {
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => {
            let error = error.to_string();
            if json {
                let file = file.display().to_string();
                print_line(json!({ "file": file, "intact": false, "error": error }))?;
            }
            return Ok(Some(error));
        }
    };
    if json {
        print_json(file, &summary)?
    } else {
        print_text(file, &summary, in_full)?
    }
    let damaged = summary.sections.iter().find(|section| !section.intact);
    Ok(damaged.map(|section| format!("{}: damaged: section `{}`", file.display(), section.name)))
}

/// Shows the metrics, of which the newest checkpoint, of `step`, needs the first `needed` bytes;
/// gives what is wrong.
fn inspect_metrics(
    folder: &RunFolder,
    needed: u64,
    step: u64,
    json: bool,
) -> anyhow::Result<Option<String>> {
    let file = folder.metrics();
    let looked_at = MetricsLog::extent(&file)
        .and_then(|extent| Ok((extent, MetricsLog::kept(&file, needed, step)?)));
    let (Extent { lines, whole_bytes, bytes }, kept) = match looked_at {
        Ok(looked_at) => looked_at,
        Err(error) => return Ok(Some(format!("{error}: {}", error.source))),
    };
    if json {
        print_line(json!({
            "file": file.display().to_string(),
            "kind": "metrics",
            "lines": lines,
            "bytes": bytes,
            "whole_bytes": whole_bytes,
            "needed_bytes": needed,
            "intact": kept == needed,
        }))?;
    } else {
        let ahead = match bytes.checked_sub(needed) {
            None | Some(0) => String::new(),
            Some(ahead) => format!(
                "; {} of them are of steps after the newest checkpoint, which `resume` makes again",
                thousands(ahead as usize)
            ),
        };
        let (lines, bytes) = (thousands(lines), thousands(bytes as usize));
        print_line(format!("{}: {lines} lines, {bytes} bytes{ahead}", file.display()))?;
    }
    Ok((kept < needed).then(|| {
        format!(
            "{}: the newest checkpoint counts on {needed} bytes, of which {kept} are there, with no \
             line of a later step among them; `resume` goes on without the others",
            file.display()
        )
    }))
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

fn print_text(file: &Path, summary: &Summary, in_full: bool) -> anyhow::Result<()> {
    let bytes = thousands(summary.file_bytes as usize);
    let state = if summary.is_intact() { "whole" } else { "DAMAGED" };
    // What a file says is escaped: a hostile one forges no line and steers no terminal.
    let kind = summary.kind.escape_debug();
    print_line(format!("{}: {kind}, {bytes} bytes, {state}", file.display()))?;
    if !in_full && summary.is_intact() {
        return Ok(());
    }
    for (name, value) in &summary.metadata {
        let (shown, rest) = value.split_at(value.floor_char_boundary(240));
        let more = if rest.is_empty() { "" } else { " ..." };
        let (name, shown) = (name.escape_debug(), shown.replace(char::is_control, "."));
        print_line(format!("  {name}: {shown}{more}"))?;
    }
    let name = |section: &SectionSummary| section.name.escape_debug().to_string();
    let width = summary.sections.iter().map(|section| name(section).len()).max().unwrap_or(0);
    for section in &summary.sections {
        let shape: Vec<String> = section.shape.iter().map(ToString::to_string).collect();
        let state = if section.intact { "" } else { "  DAMAGED" };
        let (name, kind) = (name(section), section.element_type.to_string());
        print_line(format!("  {name:width$}  {kind:4} {}{state}", shape.join(" x ")))?;
    }
    Ok(())
}
