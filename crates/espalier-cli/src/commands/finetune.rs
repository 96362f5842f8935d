use super::evaluate::print_scores;
use super::only_ours;
use super::training::quoted;
use crate::output;
use crate::progress::Progress;
use espalier_data::{Task, fraction};
use espalier_encoder::{Adapter, AdapterCard, files};
use espalier_study::evaluate;
use espalier_train::finetune::FrozenEncoder;
use espalier_train::{FinetuneConfig, Finetuner};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Train a LoRA adapter and a head for one task on a frozen backbone
///
/// The task is a folder with train.jsonl and, if there are any, dev.jsonl and test.jsonl, which are
/// scored after training. Each line is one example, of named entities or of classification:
///
///   {"tokens": ["fly", "to", "Oslo"], "tags": ["O", "O", "B-city"]}
///   {"text": "wake me up at seven", "label": "alarm"}
///
/// CSV, TSV, CoNLL and Parquet work too. The adapter is saved to DIR in PEFT's format. For the two
/// encoders of the strategy cross-stitch, give the directory of the run as --backbone.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example: espalier finetune --backbone all-MiniLM-L6-v2 --task samples/tasks/banking77 --out banking
         espalier finetune --backbone run/backbone --init run/adapters/tc \\
             --task samples/tasks/banking77 --out banking"
)]
pub struct Args {
    #[command(flatten)]
    backbone: crate::backbone::BackboneArgs,
    /// Start from this adapter, such as one of prefinetune's, instead of a fresh one
    #[arg(long, value_name = "ADAPTER")]
    init: Option<PathBuf>,
    /// Folder of the task
    #[arg(long, value_name = "DIR")]
    task: PathBuf,
    /// Fraction of the training examples to use, stratified by label; a smaller fraction is a
    /// subset of a larger one
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    fraction: f64,
    /// Random seed of the fraction, the new weights and the order of examples
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Training steps
    #[arg(long, default_value_t = FinetuneConfig::default().steps, value_name = "N")]
    steps: usize,
    /// Examples per step
    #[arg(long, default_value_t = FinetuneConfig::default().batch, value_name = "N")]
    batch: usize,
    /// Peak learning rate of the adapter
    #[arg(long, default_value_t = FinetuneConfig::default().learning_rate, value_name = "RATE")]
    learning_rate: f32,
    /// Peak learning rate of the head
    #[arg(long, value_name = "RATE")]
    #[arg(default_value_t = FinetuneConfig::default().head_learning_rate)]
    head_learning_rate: f32,
    /// Directory to save the adapter to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print scores as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    // A directory with an adapter of espalier's, recognised by its card, may hold other files too.
    if files::read_json::<AdapterCard>(&args.out.join("espalier.json")).is_err() {
        only_ours(&args.out, &[], &Adapter::FILES, "an adapter of espalier's")?;
    }
    let task = Task::open(&args.task)?;
    for warning in task.warnings() {
        note!("warning: {}: {warning}", task.name);
    }
    let (backbone, second) = args.backbone.open_encoders_trainable()?;
    anyhow::ensure!(
        second.is_none() || args.init.is_none(),
        "a cross-stitch run has no adapters to start from: leave out --init"
    );
    let init = args.init.as_deref().map(|directory| Adapter::open_lora(directory, &backbone));
    let init = init.transpose()?;
    let train = fraction(&task.train, args.fraction, args.seed)?;
    let encoder = FrozenEncoder::new(&backbone, second.as_ref());
    let tuner = Finetuner::new(encoder).init(init.as_ref()).config(config(&args));
    let mut progress = Progress::new(&format!("fine-tuning on {}", task.name), args.steps);
    let adapter = tuner.train(&train, |step| {
        progress.step(step.step, step.steps, || format!("loss {:.4}", step.loss));
    })?;
    progress.finish(&format!("{} examples, {} steps", train.len(), args.steps));
    adapter.save(&args.out)?;

    let scores = score(encoder, &adapter, &task, args.json)?;
    if args.json {
        return output::json(&json!({
            "task": task.name,
            "examples": train.len(),
            "seed": args.seed,
            "adapter": args.out,
            "scores": scores,
        }));
    }
    note!("next: {}", next_command(&args, second.is_some()));
    Ok(())
}

fn config(args: &Args) -> FinetuneConfig {
    let mut config = FinetuneConfig::default();
    (config.steps, config.batch, config.seed) = (args.steps, args.batch, args.seed);
    config.learning_rate = args.learning_rate;
    config.head_learning_rate = args.head_learning_rate;
    config
}

/// The scores on dev and test, for those that the task has. Without `quiet` they are printed too.
fn score(
    encoder: FrozenEncoder,
    adapter: &Adapter,
    task: &Task,
    quiet: bool,
) -> anyhow::Result<Map<String, Value>> {
    let mut scores = Map::new();
    for (split, examples) in [("dev", &task.dev), ("test", &task.test)] {
        let Some(examples) = examples else { continue };
        let result = evaluate(encoder, adapter, examples)?;
        if !quiet {
            print_scores(&format!("{} {split}", task.name), &result)?;
        }
        scores.insert(split.to_string(), serde_json::to_value(&result)?);
    }
    Ok(scores)
}

/// A command that uses the adapter. Cross-stitch's adapters can only be evaluated.
fn next_command(args: &Args, is_cross_stitch: bool) -> String {
    let backbone = quoted(Path::new(&args.backbone.backbone));
    let (adapter, task) = (quoted(&args.out), quoted(&args.task));
    match is_cross_stitch {
        false => format!("espalier predict --backbone {backbone} --adapter {adapter}"),
        true => {
            format!("espalier evaluate --backbone {backbone} --adapter {adapter} --task {task}")
        }
    }
}
