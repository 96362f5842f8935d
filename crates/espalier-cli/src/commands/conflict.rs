use super::training::{open_teacher, open_text_teacher};
use crate::output;
use crate::progress::Progress;
use anyhow::Context;
use espalier_encoder::files;
use espalier_study::conflict::{ConflictReport, Summary};
use espalier_study::report::{conflict_figures, conflict_html};
use espalier_study::statistics::Mean;
use espalier_train::PrefinetuneConfig;
use espalier_train::run::RunDirectory;
use espalier_train::trainer::{Conflict, Encoders, Part, measure_conflict};
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Measure, layer by layer, where the gradients of the two families conflict
///
/// Computes the gradients of named entities (ner) and of text classification (tc) on several
/// batches, without training, or reads what a run with conflict.every above 0 recorded. Prints the
/// mean cosine of the two gradients for each layer with its 95 % confidence interval, and suggests
/// on how many of the last layers the families should have adapters of their own.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier conflict examples/prefinetune.toml --set strategy=joint --out conflict
         espalier conflict --run run")]
pub struct Args {
    /// Configuration file of a pre-finetuning run, TOML
    #[arg(required_unless_present = "run")]
    config: Option<PathBuf>,
    /// Override a setting of the file, such as tc.batch=16 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Number of batches of each family
    #[arg(long, default_value_t = 16, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(2..))]
    batches: u32,
    /// Read the measurements that this run recorded
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "overrides", "batches"])]
    run: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a report, DIR/conflict.html, its figures layers.svg and measurements.svg, and
    /// DIR/conflict.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let report = match (&args.run, &args.config) {
        (Some(run), _) => of_run(run)?,
        (None, Some(config)) => measured(config, &args.overrides, args.batches as usize)?,
        (None, None) => anyhow::bail!("give a configuration or --run DIR"),
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::lines(table(&report))?;
    }
    if let Some(out) = &args.out {
        files::write_json(&out.join("conflict.json"), &report)?;
        files::write_atomic(&out.join("conflict.html"), conflict_html(&report).as_bytes())?;
        for (name, svg) in conflict_figures(&report) {
            files::write_atomic(&out.join(name), svg.as_bytes())?;
        }
        note!("figures: {}", out.join("conflict.html").display());
    }
    Ok(())
}

fn measured(path: &Path, overrides: &[String], batches: usize) -> anyhow::Result<ConflictReport> {
    let config = PrefinetuneConfig::read(path, overrides)?;
    config.check()?;
    let backbone = super::training::open(&config)?;
    let (teacher, text_teacher) = (open_teacher(&config)?, open_text_teacher(&config)?);
    let encoders = Encoders::from(&backbone).with_teacher(teacher.as_ref());
    let encoders = encoders.with_text_teacher(text_teacher.as_ref());
    let mut progress = Progress::new(&format!("measuring ({})", config.strategy), batches);
    let mut measurements = Vec::new();
    measure_conflict(encoders, &config, batches, |number, conflict| {
        progress.step(number, batches, String::new);
        measurements.push((number, conflict));
    })?;
    progress.finish("done");
    Ok(ConflictReport::new(&config.backbone, config.strategy, measurements))
}

/// The fields of a line of `metrics.jsonl` that are read here.
#[derive(Deserialize)]
struct Line {
    step: usize,
    conflict: Option<Conflict>,
}

fn of_run(directory: &Path) -> anyhow::Result<ConflictReport> {
    RunDirectory::new(directory).check_files()?;
    let config = PrefinetuneConfig::read(&directory.join("config.toml"), &[])?;
    let path = directory.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut measurements = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("{}:{}", path.display(), index + 1))?;
        measurements.extend(line.conflict.map(|conflict| (line.step, conflict)));
    }
    anyhow::ensure!(
        !measurements.is_empty(),
        "{} has no measurements; train with --set conflict.every=10, or measure without training: \
         espalier conflict {}",
        path.display(),
        directory.join("config.toml").display()
    );
    Ok(ConflictReport::new(&config.backbone, config.strategy, measurements))
}

fn table(report: &ConflictReport) -> String {
    let mut out = format!("{:<12}{:>18}{:>12}", "", "cosine", "|ner|/|tc|");
    for part in &Part::ALL[1..] {
        let _ = write!(out, "{:>14}", part.name());
    }
    out.push('\n');
    let layers =
        report.layers.iter().enumerate().map(|(i, summary)| (format!("layer {}", i + 1), summary));
    for (name, summary) in
        report.embeddings.iter().map(|summary| ("embeddings".into(), summary)).chain(layers)
    {
        row(&mut out, &name, summary);
    }
    let _ = writeln!(
        out,
        "\nMean cosine of the NER and the TC gradient; measurements: {}.",
        report.measurements.len()
    );
    let (k, reason) = (report.suggestion.layers, report.suggestion.reason());
    let _ = writeln!(out, "Suggested: --set adapter.layers={k} ({reason}).");
    out
}

fn row(out: &mut String, name: &str, summary: &Summary) {
    let _ = write!(out, "{name:<12}{:>18}{:>12.3}", interval(&summary.cosine), summary.norm_ratio);
    for part in &Part::ALL[1..] {
        let shown =
            summary.parts.get(part).map_or(String::new(), |mean| format!("{:.3}", mean.mean));
        let _ = write!(out, "{shown:>14}");
    }
    out.truncate(out.trim_end().len());
    out.push_str(if summary.conflicts() { "  conflict\n" } else { "\n" });
}

fn interval(mean: &Mean) -> String {
    match mean.half_width {
        Some(half_width) => format!("{:.3} ± {half_width:.3}", mean.mean),
        None => format!("{:.3}", mean.mean),
    }
}
