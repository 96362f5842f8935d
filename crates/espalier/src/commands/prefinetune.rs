use super::training::{Training, TrainingArgs, quoted};

const TRAINING: Training = Training { command: "prefinetune", title: "pre-finetuning", settings: &[] };

/// Train a shared encoder on both families' corpora
///
/// Writes DIR/backbone (a Hugging Face directory), DIR/adapters/ner and DIR/adapters/tc (PEFT, for strategies that have them),
/// DIR/README.md (a model card), DIR/config.toml (every setting), DIR/metrics.jsonl (a line per step) and the same for TensorBoard.
/// DIR/checkpoints holds where the run stood: killed at any moment and resumed, it gives the same model to the bit. Ctrl-C lets the
/// step finish and writes a checkpoint; pressed again, it ends the program at once.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier prefinetune examples/prefinetune.toml --set train.steps=100 --out run
         espalier prefinetune --out run --resume")]
pub struct Args {
    #[command(flatten)]
    training: TrainingArgs,
}

pub fn run(Args { training }: Args) -> anyhow::Result<()> {
    let summary = TRAINING.run(&training)?;
    let out = training.out;
    println!("{}", out.join("backbone").display());
    let init = summary.adapters.first();
    let init = init.map_or(String::new(), |family| format!(" --init {}/adapters/{}", quoted(&out), family.name()));
    eprintln!("next: espalier finetune --backbone {}/backbone{init} --task TASK --out ADAPTER", quoted(&out));
    Ok(())
}
