//! `report`: a run on one page, to be opened in a browser.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use recurrent_checkpoint::write_atomically;

use super::evaluate::load_model;
use super::resume::{run_data, run_task};
use super::{Options, Outcome, RunArgument, print_line, warn, with_task};
use crate::options::compute;
use crate::report::{BEGINNING, Chosen, Exhibits, History, Material, page, svg};
use crate::run::RunFolder;
use crate::run::folder::FolderError;
use crate::tasks::{Data, checkpoint};

/// What a file is, what it begins with, and the option that names its place.
type Kind = (&'static str, &'static str, &'static str);
const REPORT: Kind = ("a report", BEGINNING, "--out");
const CHART: Kind = ("a chart", svg::BEGINNING, "--svg");

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArgument,
    /// Where to write the page; a report that is there is replaced, anything else is not
    /// [default: report.html in the folder of the run]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Writes the charts as SVG files into this folder as well; it is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Threads; they change the speed and no bit [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let folder = RunFolder::open(&arguments.run.run)?;
    let options = Options::read(&folder.config())?;
    let out = arguments.out.unwrap_or_else(|| folder.report());
    // Before any work is done.
    require_room(&out, REPORT)?;
    if let Some(svg) = &arguments.svg
        && svg.exists()
        && !svg.is_dir()
    {
        bail!("{}: is a file; --svg names a folder", svg.display());
    }
    let threads = arguments.threads;
    let page =
        with_task!(run_task(&folder, &options)?, T => report::<T>(&folder, &options, threads))?;
    if let Some(svg) = &arguments.svg {
        write_charts(svg, &page)?;
    }
    write_atomically(&out, page)?;
    print_line(out.display())?;
    Ok(Outcome::Done)
}

/// Each chart of the page as a file; nothing but charts is replaced.
fn write_charts(folder: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be made", folder.display()))?;
    let charts = svg::charts(page);
    let files: Vec<PathBuf> = charts.iter().map(|(name, _)| folder.join(name)).collect();
    files.iter().try_for_each(|file| require_room(file, CHART))?;
    for (file, (_, chart)) in files.iter().zip(charts) {
        write_atomically(file, chart)?;
    }
    Ok(())
}

fn report<T: Exhibits>(
    folder: &RunFolder,
    options: &Options,
    threads: Option<usize>,
) -> anyhow::Result<String> {
    let compute = compute(threads)?;
    let history = History::read(&folder.metrics());
    let model = match chosen::<T>(folder) {
        Ok((model, fingerprint)) => Some((model, fingerprint)),
        // What a run measured before it saved anything is worth a page.
        Err(error) if is_nothing_saved(&error) && !history.is_empty() => None,
        Err(error) => return Err(error),
    };
    let data = match &model {
        None => Err("no checkpoint says how they are read".into()),
        Some((model, fingerprint)) => {
            let data = data(folder, options, &model.task, *fingerprint);
            data.map_err(|error| format!("{error:#}"))
        }
    };
    if let (Err(reason), Some(_)) = (&data, &model) {
        warn(format!("nothing is shown that needs the run's data: {reason}"));
    }
    let model = model.map(|(model, _)| model);
    let material = Material { options, history: &history, model, data, compute: &compute };
    page(&material)
}

/// The model to use, and the fingerprint of its data.
fn chosen<T: Exhibits>(folder: &RunFolder) -> anyhow::Result<(Chosen<T>, u64)> {
    let (found, task, parameters) = load_model::<T>(folder)?;
    let of_file = || found.path.display().to_string();
    let fingerprint = checkpoint::fingerprint(&found.checkpoint).with_context(of_file)?;
    let newest = folder.newest()?;
    let kept = checkpoint::held_out_losses(&newest.checkpoint)
        .with_context(|| newest.path.display().to_string())?;
    let (is_best, step) = (found.path == folder.store().best_path(), found.step);
    let newest = newest.step;
    Ok((Chosen { task, parameters, is_best, step, newest, kept }, fingerprint))
}

fn is_nothing_saved(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(FolderError::NothingSaved { .. }))
}

/// The run's data, which must be those that it was trained on: others are split elsewhere, and what
/// is held out now may have been learnt from.
fn data<T: Exhibits>(
    folder: &RunFolder,
    options: &Options,
    task: &T,
    fingerprint: u64,
) -> anyhow::Result<Data<T>> {
    let data = run_data::<T>(folder, options, task.current(), task.codec().clone())?;
    if T::fingerprint(&data) != fingerprint {
        bail!("they are not those that the run was trained on");
    }
    Ok(data)
}

/// Only a file of our own is replaced: whoever mistypes a name loses nothing.
fn require_room(out: &Path, (kind, begins, option): Kind) -> anyhow::Result<()> {
    let place = out.display();
    let metadata = match std::fs::metadata(out) {
        Ok(metadata) => metadata,
        Err(_) => {
            let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                bail!("{place}: there is no such folder; create it, or choose another {option}");
            }
            return Ok(());
        }
    };
    if metadata.is_dir() {
        bail!("{place}: is a folder, where the file to write has its place ({option})");
    }
    if !metadata.is_file() {
        bail!("{place}: is no regular file; choose another {option}");
    }
    let mut beginning = vec![];
    std::fs::File::open(out)
        .and_then(|file| file.take(begins.len() as u64).read_to_end(&mut beginning))
        .with_context(|| format!("{place}: cannot be read"))?;
    if beginning != begins.as_bytes() && !beginning.is_empty() {
        bail!("{place}: is something else than {kind}, so it stays; choose another {option}");
    }
    Ok(())
}
