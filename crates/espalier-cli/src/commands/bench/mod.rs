//! `espalier bench`: how fast the engine is here, and how far from what the machine can do.

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

// What `bench` is said to do is said at [`Args`]; clap takes it from there.
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

/// Measure the speed of the engine, of the runtime and of the machine
///
/// train: forward, backward and AdamW. infer: a forward pass that keeps nothing. finetune: the same
/// as train for an adapter of rank 8 on all linear modules of the last two layers, everything else
/// frozen. limits: matrix products and memory alone, which nothing above can beat.
///
/// GFLOP/s counts the multiplications and additions of all matrix products; the share is of what
/// `limits` measures for the precision.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier bench train --batch 32 --seq 64 --freeze-embeddings
  espalier bench infer --backbone sentence-transformers/all-MiniLM-L6-v2 --batch 1 --seq 16 \
                        --precision int8
  espalier bench train --lengths texts.txt --backbone sentence-transformers/all-MiniLM-L6-v2
  espalier bench limits --json")]
pub struct Args {
    /// What to measure
    work: Work,
    /// Take the model from here: a directory, a hub id, or (infer only) a packed file
    #[arg(long, value_name = "DIR|FILE|ID", conflicts_with = "shape")]
    backbone: Option<String>,
    /// A random model: layers, width, heads, inner width, vocabulary
    #[arg(long, default_value = "6,384,12,1536,30522", value_name = "L,H,HEADS,FFN,VOCAB")]
    shape: Shape,
    /// Sequences per batch
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,
    /// Tokens per sequence
    #[arg(long, default_value_t = 64, value_name = "N")]
    seq: usize,
    /// Ragged batches instead: a file with one text per line (which needs --backbone), or one
    /// length in tokens per line
    #[arg(long, value_name = "FILE", conflicts_with = "seq")]
    lengths: Option<PathBuf>,
    /// What matrix products are computed in: auto, f32, bf16 or int8 (infer only)
    #[arg(long, default_value_t = Compute::Auto, value_name = "P")]
    precision: Compute,
    /// Leave the embeddings out of training
    #[arg(long)]
    freeze_embeddings: bool,
    /// Start fine-tuning from the frozen layers' stored output, as `espalier finetune` does after
    /// its first pass
    #[arg(long)]
    cached_trunk: bool,
    /// Measured repetitions, after three that are not
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
            anyhow::bail!("say what to measure: train, infer, finetune, limits or runtime")
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
        Work::Train => work::train(&workload, args.freeze_embeddings, args.steps),
        Work::Finetune => work::finetune(&workload, args.cached_trunk, args.steps),
        _ => work::infer(&workload, args.steps),
    };
    let measurement = Measurement::new(args, &workload, times, ceiling);
    match args.json {
        true => output::json(&measurement),
        false => Ok(output::lines(measurement)?),
    }
}

/// Milliseconds of each measured repetition, in order; `work` is told which one it is.
fn repeat(steps: usize, mut work: impl FnMut(usize)) -> Vec<f64> {
    const WARM_UP: usize = 3;
    (0..WARM_UP).for_each(&mut work);
    let timed = |step: usize| {
        let start = Instant::now();
        work(WARM_UP + step);
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..steps).map(timed).collect()
}
