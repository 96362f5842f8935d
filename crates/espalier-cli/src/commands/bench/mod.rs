//! `espalier bench`: the speed of the engine on this machine, and its share of the machine's peak.

mod limits;
mod report;
mod runtime;
mod work;
mod workload;

use crate::output;
use espalier_encoder::Compute;
use report::Measurement;
use std::path::PathBuf;
use std::time::Instant;
use workload::{Shape, Workload};

// The help text is that of [`Args`].
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Command {
    #[command(subcommand)]
    many: Option<Many>,
    #[command(flatten)]
    engine: Option<Args>,
}

#[derive(clap::Subcommand)]
enum Many {
    Runtime(runtime::Args),
}

/// Measure the speed of training, of inference, of the runtime and of the machine
///
/// train: one training step, that is forward, backward and AdamW. infer: one forward pass without
/// gradients. finetune: one training step of an adapter of rank 8 on all linear modules of the last
/// two layers, with everything else frozen. limits: matrix products and memory bandwidth, which
/// bound all of these. runtime: one backbone with many adapters.
///
/// GFLOP/s counts the multiplications and additions of all matrix products; the percentage is the
/// share of the peak that `limits` measures for the precision.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier bench train --batch 32 --seq 64 --freeze-embeddings
         espalier bench infer --backbone all-MiniLM-L6-v2 --batch 1 --seq 16 --precision int8
         espalier bench train --backbone all-MiniLM-L6-v2 --lengths texts.txt
         espalier bench limits --json
         espalier bench runtime --help")]
pub struct Args {
    /// What to measure
    work: Work,
    /// Model to measure instead of a random one: a directory, a hub id, or (infer only) a packed
    /// file
    #[arg(long, value_name = "DIR|FILE|ID", conflicts_with = "shape")]
    backbone: Option<String>,
    /// Shape of a random model: layers, hidden size, heads, intermediate size, vocabulary size
    #[arg(long, default_value = "6,384,12,1536,30522", value_name = "L,H,HEADS,FFN,VOCAB")]
    shape: Shape,
    /// Sequences per batch
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,
    /// Tokens per sequence
    #[arg(long, default_value_t = 64, value_name = "N")]
    seq: usize,
    /// Batches of different lengths: a file with one text per line (needs --backbone), or one
    /// length in tokens per line
    #[arg(long, value_name = "FILE", conflicts_with = "seq")]
    lengths: Option<PathBuf>,
    /// Precision of matrix products: auto, f32, bf16 or int8 (infer only)
    #[arg(long, default_value_t = Compute::Auto, value_name = "P")]
    precision: Compute,
    /// Do not train the embeddings
    #[arg(long)]
    freeze_embeddings: bool,
    /// Start each step from the cached output of the frozen layers, as `espalier finetune` does
    /// after its first pass
    #[arg(long)]
    cached_trunk: bool,
    /// Measured repetitions, after three to warm up
    #[arg(long, default_value_t = 15, value_name = "N")]
    steps: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Work {
    /// One training step
    Train,
    /// One forward pass
    Infer,
    /// One training step of an adapter
    Finetune,
    /// The machine itself
    Limits,
}

pub fn run(command: Command) -> anyhow::Result<()> {
    match (command.many, command.engine) {
        (Some(Many::Runtime(args)), _) => runtime::run(args),
        (None, Some(args)) => run_engine(args),
        (None, None) => {
            anyhow::bail!("choose what to measure: train, infer, finetune, limits or runtime")
        }
    }
}

fn run_engine(args: Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=1 << 20).contains(&args.batch)
            && (1..=512).contains(&args.seq)
            && (1..=1 << 20).contains(&args.steps),
        "--batch must be 1 to 1048576, --seq 1 to 512, --steps 1 to 1048576"
    );
    anyhow::ensure!(
        args.work == Work::Infer || args.precision != Compute::Int8,
        "int8 is for inference; train and finetune take auto, f32 or bf16"
    );
    match args.work {
        Work::Limits => limits::run(args.json),
        _ => measure(&args),
    }
}

fn measure(args: &Args) -> anyhow::Result<()> {
    let workload = Workload::new(args)?;
    let ceiling = limits::product_rate(workload.precision);
    let times = match args.work {
        Work::Train => work::train(&workload, args.freeze_embeddings, args.steps)?,
        Work::Finetune => work::finetune(&workload, args.cached_trunk, args.steps)?,
        _ => work::infer(&workload, args.steps)?,
    };
    let measurement = Measurement::new(args, &workload, times, ceiling);
    match args.json {
        true => output::json(&measurement),
        false => Ok(output::lines(measurement)?),
    }
}

/// Milliseconds of each measured repetition, in order. `work` gets the number of the repetition.
fn repeat(
    steps: usize,
    mut work: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    const WARM_UP: usize = 3;
    (0..WARM_UP).try_for_each(&mut work)?;
    let timed = |step: usize| {
        let start = Instant::now();
        work(WARM_UP + step)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    (0..steps).map(timed).collect()
}
