use crate::backbone;
use crate::output;
use anyhow::{Context, bail, ensure};
use espalier_data::Task;
use espalier_encoder::{Adapter, Backbone, Compute};
use espalier_study::quantize::{Budget, Grade, Quantized, Stage, Subject, quantize};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Pack a backbone in int8, provided that its adapters keep their scores
///
/// Scores every adapter on its task, in f32 and with the packed file. If an adapter loses more than
/// --max-drop points, the matrices that cost the most stay in bf16, as few as necessary. If that is
/// not enough, no file is written, and the error names the adapters that lose too much.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier quantize --backbone run/backbone --adapters banking wikigold \\
             --tasks samples/tasks/banking77 samples/tasks/wikigold --max-drop 0.5 \\
             --out backbone.espalier")]
pub struct Args {
    /// The backbone: a directory or a hub id
    #[arg(long, value_name = "DIR|ID")]
    backbone: String,
    /// Directories of the adapters
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    adapters: Vec<PathBuf>,
    /// Folders of their tasks, one per adapter, in the same order
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    tasks: Vec<PathBuf>,
    /// Split to score on: train, dev or test [default: dev, or test for tasks without dev]
    #[arg(long)]
    split: Option<String>,
    /// Points (0 to 100) of strict F1 or accuracy that each adapter may lose
    #[arg(long, default_value_t = 0.5, value_name = "POINTS")]
    max_drop: f64,
    /// Keep no matrix in bf16
    #[arg(long)]
    bytes_only: bool,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.max_drop.is_finite() && args.max_drop >= 0.0,
        "--max-drop must be a number of at least 0"
    );
    let (adapters, tasks) = (args.adapters.len(), args.tasks.len());
    ensure!(
        adapters == tasks,
        "{adapters} adapters but {tasks} tasks: each adapter needs its own, in the same order"
    );
    let backbone = backbone::open_trainable(&args.backbone, Compute::F32)?;
    let pairs = args.adapters.iter().zip(&args.tasks);
    let subjects =
        pairs.map(|(adapter, task)| subject(&backbone, adapter, task, args.split.as_deref()));
    let subjects = subjects.collect::<anyhow::Result<Vec<_>>>()?;
    let budget = Budget { max_drop: args.max_drop, mixed: !args.bytes_only };
    let quantized =
        quantize(&backbone, &subjects, budget, &args.out, |stage| note!("{}", describe(&stage)))?;
    let printed = match args.json {
        true => write_result(&quantized, args.max_drop),
        false => print_result(&quantized),
    };
    // The exit status must tell the result even if standard output is closed.
    verdict(&quantized, &args).and(printed)
}

fn subject(
    backbone: &Backbone,
    adapter: &Path,
    task: &Path,
    split: Option<&str>,
) -> anyhow::Result<Subject> {
    let examples = match split {
        Some(split) => Task::open_split(task, split)?,
        None => {
            let opened = Task::open(task)?;
            let found = opened.dev.or(opened.test);
            found.with_context(|| {
                format!("{} has neither dev nor test: choose a --split", task.display())
            })?
        }
    };
    let name = adapter.display().to_string();
    let adapter = Adapter::open(adapter, backbone)
        .with_context(|| format!("cannot open the adapter {name}"))?;
    Ok(Subject { name, adapter, examples })
}

fn describe(stage: &Stage) -> String {
    match stage {
        Stage::Scoring(None) => "scoring in f32".into(),
        Stage::Scoring(Some(0)) => "scoring in int8".into(),
        Stage::Scoring(Some(n)) => format!("scoring with {n} matrices in bf16"),
        Stage::Ranking => "measuring what each matrix costs in int8".into(),
    }
}

fn print_result(quantized: &Quantized) -> anyhow::Result<()> {
    for Grade { name, score, examples, before, after } in &quantized.grades {
        say!(
            "{name}: {score} {before:.2} -> {after:.2} ({:+.2}, {examples} examples)",
            after - before
        )?;
    }
    if let Some(file) = &quantized.file {
        say!("{}: {:.1} MB", file.path.display(), file.bytes as f64 / 1e6)?;
        match quantized.in_bf16.as_slice() {
            [] => say!("all matrices in int8")?,
            some => say!("in bf16: {}", some.join(", "))?,
        }
    }
    Ok(())
}

fn write_result(quantized: &Quantized, max_drop: f64) -> anyhow::Result<()> {
    let file = quantized.file.as_ref();
    let result = json!({
        "file": file.map(|file| &file.path),
        "bytes": file.map(|file| file.bytes),
        "max_drop": max_drop,
        "in_bf16": quantized.in_bf16,
        "adapters": quantized.grades,
    });
    output::json(&result)
}

/// An error that names the adapters that lose too much, if there are any.
fn verdict(quantized: &Quantized, args: &Args) -> anyhow::Result<()> {
    if quantized.file.is_some() {
        return Ok(());
    }
    let beyond = quantized.grades.iter().filter(|grade| grade.drop() > args.max_drop);
    let beyond: Vec<String> =
        beyond.map(|grade| format!("{} loses {:.2}", grade.name, grade.drop())).collect();
    let advice = match args.bytes_only {
        true => "; without --bytes-only, some matrices may stay in bf16",
        false => " even with all matrices in bf16: pack the backbone in bf16, or allow more",
    };
    bail!("more than {} points are lost{advice}: {}", args.max_drop, beyond.join(", "))
}
