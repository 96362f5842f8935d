use crate::backbone;
use crate::output;
use anyhow::{Context, bail, ensure};
use espalier_data::Task;
use espalier_encoder::{Adapter, Backbone, Compute};
use espalier_study::quantize::{Quantized, Quantizer, ScoredAdapter};
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
    let adapters =
        pairs.map(|(adapter, task)| scored(&backbone, adapter, task, args.split.as_deref()));
    let adapters = adapters.collect::<anyhow::Result<Vec<_>>>()?;
    let quantizer =
        Quantizer::new(&backbone, &adapters).max_drop(args.max_drop).mixed(!args.bytes_only);
    let quantized = quantizer.pack(&args.out, |stage| note!("{stage}"))?;
    let printed = match args.json {
        true => write_result(&quantized, args.max_drop),
        false => print_result(&quantized),
    };
    // The exit status must tell the result even if standard output is closed.
    verdict(&quantized, &args).and(printed)
}

fn scored(
    backbone: &Backbone,
    adapter: &Path,
    task: &Path,
    split: Option<&str>,
) -> anyhow::Result<ScoredAdapter> {
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
    Ok(ScoredAdapter::new(name, adapter, examples))
}

fn print_result(quantized: &Quantized) -> anyhow::Result<()> {
    for adapter in &quantized.adapters {
        let (name, metric, examples) = (&adapter.name, adapter.metric, adapter.examples);
        let (before, after) = (adapter.before, adapter.after);
        say!(
            "{name}: {metric} {before:.2} -> {after:.2} ({:+.2}, {examples} examples)",
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
        "adapters": quantized.adapters,
    });
    output::json(&result)
}

/// An error that names the adapters that lose too much, if there are any.
fn verdict(quantized: &Quantized, args: &Args) -> anyhow::Result<()> {
    if quantized.file.is_some() {
        return Ok(());
    }
    let beyond = quantized.adapters.iter().filter(|adapter| adapter.drop() > args.max_drop);
    let beyond: Vec<String> =
        beyond.map(|adapter| format!("{} loses {:.2}", adapter.name, adapter.drop())).collect();
    let advice = match args.bytes_only {
        true => "; without --bytes-only, some matrices may stay in bf16",
        false => " even with all matrices in bf16: pack the backbone in bf16, or allow more",
    };
    bail!("more than {} points are lost{advice}: {}", args.max_drop, beyond.join(", "))
}
