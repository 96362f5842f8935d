use super::training::{TrainingArgs, quoted};

/// Pre-finetune an encoder on corpora for named entities and for text classification
///
/// The corpora and all settings are in the configuration file; examples/prefinetune.toml explains
/// them. The run directory DIR receives
///
///   backbone/             the encoder, a Hugging Face directory
///   adapters/ner, /tc     LoRA adapters of the two families, in PEFT's format, if the strategy
///                         has them: good starting points for espalier finetune
///   columns/              the second encoder, for the strategy cross-stitch
///   README.md             a model card
///   config.toml           all settings
///   metrics.jsonl         a line per step; events.out.* has the same for TensorBoard
///   checkpoints/          what --resume continues from
///
/// A run that is killed at any moment and resumed gives the same model, bit by bit. Ctrl-C finishes
/// the step and writes a checkpoint; a second Ctrl-C ends the program at once.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example: espalier prefinetune examples/prefinetune.toml --set train.steps=100 --out run
         espalier prefinetune --out run --resume"
)]
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
