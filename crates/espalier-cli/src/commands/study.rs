use super::only_ours;
use super::training::{losses, open_teacher, open_text_teacher, quoted};
use crate::backbone;
use crate::interrupt::{Interrupted, Stop};
use crate::output;
use crate::progress::Progress;
use anyhow::Context;
use espalier_encoder::{Backbone, Compute, files};
use espalier_study::grid::{
    self, CellPlan, ModelSource, Plan, Record, Results, Shard, StudyConfig, StudyError, StudyEvent,
    Summary, Teachers,
};
use espalier_study::report::{study_csv, study_html, study_markdown};
use espalier_train::PrefinetuneConfig;
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Compare strategies of pre-finetuning over backbones, tasks, label fractions and seeds
///
/// STUDY.toml names what is compared (docs/study.md). Every strategy is pre-finetuned once per
/// seed, then an adapter is trained for every task, fraction and seed, and scored on test. Each
/// result is a line of DIR/results.jsonl. What is there is not computed again: a study that was
/// stopped goes on, one that was extended computes what is new, and several machines can share the
/// work.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Example: espalier study study.toml --out study --dry-run
         espalier study study.toml --out study
         espalier study study.toml --out study --resume
         espalier study report study
On several machines: espalier study study.toml --out study-2 --shard 2/5
         espalier study merge study-1 study-2 study-3 study-4 study-5 --out study"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// File of the study
    #[arg(required = true)]
    study: Option<PathBuf>,
    /// Directory for the results and the pre-finetuned encoders
    #[arg(long, required = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the study in DIR, or start it if there is none
    #[arg(long)]
    resume: bool,
    /// Compute only the I-th of N parts
    #[arg(long, default_value = "1/1", value_name = "I/N")]
    shard: Shard,
    /// List what would be computed, and estimate the time from the results so far
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run, print JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    Merge(Merge),
    Report(Report),
}

/// Add the results of other directories to one
#[derive(clap::Args)]
struct Merge {
    /// Directories of studies
    #[arg(required = true, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Directory to add the results to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Write report.html, report.md, report.csv and report.json from the results of a study
#[derive(clap::Args)]
struct Report {
    /// Directory of the study
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// The study's file and that of pre-finetuning, as they were when it ran last.
const SETTINGS: [&str; 2] = ["study.toml", "prefinetune.toml"];
/// What a study's directory has in it.
const FILES: [&str; 9] = [
    "results.jsonl",
    "encoders",
    "tuning",
    "report.html",
    "report.md",
    "report.csv",
    "report.json",
    SETTINGS[0],
    SETTINGS[1],
];

pub fn run(args: Args) -> anyhow::Result<()> {
    match (&args.command, &args.study, &args.out) {
        (Some(Command::Merge(merge)), ..) => merge_results(merge),
        (Some(Command::Report(report)), ..) => write_report(report),
        (None, Some(study), Some(out)) => compute(study, out, &args),
        (None, ..) => anyhow::bail!("give the file of a study, and --out DIR"),
    }
}

fn compute(path: &Path, out: &Path, args: &Args) -> anyhow::Result<()> {
    let study = StudyConfig::read(path)?;
    if args.dry_run {
        return estimate(&study, out, args);
    }
    only_ours(out, &FILES, &FILES, "a study")?;
    anyhow::ensure!(
        args.resume || !out.join("results.jsonl").exists(),
        "{} already holds results; continue with --resume, or give another directory",
        out.display()
    );
    for (name, path) in SETTINGS.into_iter().zip([path, &study.prefinetune]) {
        if !path.as_os_str().is_empty() {
            let content = std::fs::read(path).with_context(|| path.display().to_string())?;
            files::write_atomic(&out.join(name), &content)?;
        }
    }
    let stop = Stop::on_signals()?;
    let mut shown = Shown::default();
    let outcome = grid::run(&study, out, args.shard, &Models, &mut |event| {
        shown.event(event);
        if stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match outcome {
        Ok(()) => {
            shown.finish("done");
            note!("next: espalier study report {}", quoted(out));
            say!("{}", out.join("results.jsonl").display())?;
            Ok(())
        }
        Err(StudyError::Interrupted) => {
            shown.finish("interrupted");
            let (path, out) = (quoted(path), quoted(out));
            let shard = match args.shard {
                Shard::WHOLE => String::new(),
                Shard { part, parts } => format!(" --shard {part}/{parts}"),
            };
            let resume = format!("espalier study {path} --out {out}{shard} --resume");
            Err(Interrupted { resume }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Backbones and teachers by their names.
struct Models;

impl ModelSource for Models {
    fn backbone(&self, name: &str) -> Result<Backbone, Box<dyn Error + Send + Sync>> {
        Ok(backbone::open_trainable(name, Compute::F32)?)
    }

    fn teachers(
        &self,
        config: &PrefinetuneConfig,
    ) -> Result<Teachers, Box<dyn Error + Send + Sync>> {
        Ok(Teachers { ner: open_teacher(config)?, tc: open_text_teacher(config)? })
    }
}

/// The progress of a study: of its cells, or of the encoder that is pre-finetuned first.
#[derive(Default)]
struct Shown {
    cells: Option<Progress>,
    encoder: Option<Progress>,
    done: usize,
    missing: usize,
}

impl Shown {
    fn event(&mut self, event: StudyEvent) {
        match event {
            StudyEvent::Start { missing, cells } => {
                note!("{missing} of {cells} cells to compute");
                self.missing = missing;
            }
            StudyEvent::Prefinetune(plan, step) => {
                let title = || format!("{}, seed {}: pre-finetuning", plan.row.name, plan.seed);
                self.encoder.get_or_insert_with(|| Progress::new(&title(), step.steps)).step(
                    step.step,
                    step.steps,
                    || losses(step),
                );
                if step.step == step.steps {
                    self.encoder.take().into_iter().for_each(|bar| bar.finish(&losses(step)));
                }
            }
            StudyEvent::Tuning(tuning) => {
                let (candidate, mean) = (tuning.candidate.join(", "), 100.0 * tuning.mean);
                note!("{}: {candidate}: {mean:.1} on dev", tuning.row);
            }
            StudyEvent::Cell(cell) => {
                self.done += 1;
                let missing = self.missing;
                let score = 100.0 * cell.score;
                let (row, task, seed) = (&cell.row, &cell.task, cell.seed);
                self.cells.get_or_insert_with(|| Progress::new("cells", missing)).step(
                    self.done,
                    missing,
                    || format!("{row}: {task}, {} examples, seed {seed}: {score:.1}", cell.train),
                );
            }
            _ => {}
        }
    }

    fn finish(&mut self, message: &str) {
        let done = self.done;
        if let Some(progress) = self.cells.take() {
            progress.finish(&format!("{done} cells, {message}"));
        }
    }
}

/// Prints what a run would compute, and about how long it would take.
fn estimate(study: &StudyConfig, out: &Path, args: &Args) -> anyhow::Result<()> {
    let (plan, known) = (study.plan()?, Results::of(out).read()?);
    let cells = plan.shard(args.shard);
    let missing: Vec<&CellPlan> =
        cells.iter().copied().filter(|cell| !known.contains_key(&cell.address)).collect();
    let encoders = missing_encoders(&plan, &missing, &known);
    let hours = hours(&plan, &missing, &encoders, &known);
    if args.json {
        return output::json(&json!({
            "cells": cells.len(),
            "missing": missing.len(),
            "encoders": plan.encoders.len(),
            "missing_encoders": encoders.len(),
            "hours": hours,
        }));
    }
    let mut by_row: BTreeMap<(&str, &str), [usize; 2]> = BTreeMap::new();
    for cell in &cells {
        let encoder = &plan.encoders[cell.encoder];
        let counts = by_row.entry((&encoder.backbone.name, &encoder.row.name)).or_default();
        counts[0] += 1;
        counts[1] += usize::from(known.contains_key(&cell.address));
    }
    for ((backbone, row), [all, done]) in by_row {
        say!("{backbone}: {row}: {all} cells, {done} done")?;
    }
    say!(
        "{} cells and {} encoders to compute, {}",
        missing.len(),
        encoders.len(),
        match hours {
            Some(hours) => format!("about {hours:.1} hours by the results so far"),
            None => "the time is unknown before a few results are there".into(),
        }
    )?;
    Ok(())
}

/// The encoders that the missing cells need and that have not been pre-finetuned.
fn missing_encoders(
    plan: &Plan,
    missing: &[&CellPlan],
    known: &BTreeMap<String, Record>,
) -> Vec<usize> {
    let mut needed: Vec<usize> = missing.iter().map(|cell| cell.encoder).collect();
    needed.dedup();
    needed.retain(|&index| {
        let encoder = &plan.encoders[index];
        !encoder.config.strategy.objectives.is_empty() && !known.contains_key(&encoder.address)
    });
    needed
}

/// The hours that remain, by the means of what was measured on the same backbones; `None` if
/// nothing was.
fn hours(
    plan: &Plan,
    missing: &[&CellPlan],
    encoders: &[usize],
    known: &BTreeMap<String, Record>,
) -> Option<f64> {
    let mean = |seconds: Vec<f64>| {
        (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
    };
    let cell_time = |backbone: &str, fraction: f64| {
        mean(
            known
                .values()
                .filter_map(|record| match record {
                    Record::Cell(cell) => Some(cell),
                    _ => None,
                })
                .filter(|cell| cell.backbone == backbone && cell.fraction == fraction)
                .map(|cell| cell.seconds)
                .collect(),
        )
    };
    let step_time = |backbone: &str| {
        mean(
            known
                .values()
                .filter_map(|record| match record {
                    Record::Encoder(encoder) if encoder.backbone == backbone => {
                        Some(encoder.seconds / encoder.steps.max(1) as f64)
                    }
                    _ => None,
                })
                .collect(),
        )
    };
    let mut seconds = 0.0;
    let mut measured: BTreeMap<(usize, u64), Option<f64>> = BTreeMap::new();
    for cell in missing {
        let key = (cell.encoder, cell.fraction.to_bits());
        let name = &plan.encoders[cell.encoder].backbone.name;
        seconds += (*measured.entry(key).or_insert_with(|| cell_time(name, cell.fraction)))?;
    }
    for &index in encoders {
        let encoder = &plan.encoders[index];
        seconds += step_time(&encoder.backbone.name)? * encoder.config.train.steps as f64;
    }
    Some(seconds / 3600.0)
}

fn merge_results(args: &Merge) -> anyhow::Result<()> {
    only_ours(&args.out, &FILES, &FILES, "a study")?;
    let added = grid::merge(&args.from, &args.out)?;
    for name in SETTINGS {
        let settings = args.from.iter().map(|directory| directory.join(name));
        if let Some(path) = settings.into_iter().find(|path| path.exists())
            && !args.out.join(name).exists()
        {
            files::write_atomic(&args.out.join(name), &std::fs::read(path)?)?;
        }
    }
    note!("{added} results added; next: espalier study report {}", quoted(&args.out));
    say!("{}", args.out.join("results.jsonl").display())?;
    Ok(())
}

fn write_report(args: &Report) -> anyhow::Result<()> {
    let directory = &args.directory;
    let records: Vec<Record> = Results::of(directory).read()?.into_values().collect();
    anyhow::ensure!(
        !records.is_empty(),
        "{}: no results.jsonl with results; espalier study STUDY.toml --out {} makes them",
        directory.display(),
        quoted(directory)
    );
    let settings = SETTINGS.iter().filter_map(|name| {
        let text = std::fs::read_to_string(directory.join(name)).ok()?;
        Some((name.to_string(), text))
    });
    let settings: Vec<(String, String)> = settings.collect();
    let study = settings.first().and_then(|(_, text)| StudyConfig::parse(text).ok());
    let order: Vec<String> = study
        .iter()
        .flat_map(|study| study.strategies.iter().map(|row| row.name.clone()))
        .collect();
    let close = study.map(|study| study.close_tasks).unwrap_or_default();
    let summary = Summary::new(&records, &order, &close);
    let (html, markdown) = (study_html(&summary, &settings), study_markdown(&summary));
    files::write_atomic(&directory.join("report.html"), html.as_bytes())?;
    files::write_atomic(&directory.join("report.md"), markdown.as_bytes())?;
    files::write_atomic(&directory.join("report.csv"), study_csv(&records).as_bytes())?;
    files::write_json(&directory.join("report.json"), &summary)?;
    match args.json {
        true => output::json(&summary)?,
        false => output::lines(&markdown)?,
    }
    note!("the report: {}", directory.join("report.html").display());
    Ok(())
}
