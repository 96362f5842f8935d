use super::training::{TrainingArgs, quoted};

/// Train a shared encoder on both families' corpora
///
/// Writes DIR/backbone (a Hugging Face directory), DIR/adapters/ner and DIR/adapters/tc (PEFT, for
/// strategies that have them), DIR/columns (the second encoder of cross-stitch), DIR/README.md (a
/// model card), DIR/config.toml (every setting), DIR/metrics.jsonl (a line per step) and the same
/// for TensorBoard. DIR/checkpoints holds where the run stood: killed at any moment and resumed, it
/// gives the same model to the bit. Ctrl-C lets the step finish and writes a checkpoint; pressed
/// again, it ends the program at once.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier prefinetune examples/prefinetune.toml --set \
                        train.steps=100 --out run
         espalier prefinetune --out run --resume")]
pub struct Args {
    #[command(flatten)]
    training: TrainingArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let training = &args.training;
    let config = training.settings(&[])?;
    let (encoder, out) = (quoted(&training.encoder(&config)), quoted(&training.out));
    training.train(&config, "prefinetune", |summary| {
        let init = summary.adapters.first();
        let init = init
            .map_or(String::new(), |family| format!(" --init {out}/adapters/{}", family.name()));
        format!("espalier finetune --backbone {encoder}{init} --task TASK --out ADAPTER")
    })
}
