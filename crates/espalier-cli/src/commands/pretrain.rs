use super::training::{TrainingArgs, quoted};
use anyhow::ensure;
use espalier_train::strategies::Strategy;

/// Train an encoder on plain text by masked language modelling, from nothing or further
///
/// With backbone = "scratch" in CONFIG.toml a fresh BERT is trained, whose shape is in its section
/// "scratch" and whose tokenizer espalier tokenizer train makes; any other backbone is trained
/// further on texts of its domain. DIR/backbone is then a Hugging Face directory of the class
/// BertForMaskedLM, for prefinetune, finetune and fill-mask to go on from; what else is in DIR,
/// --resume and Ctrl-C are as with espalier prefinetune.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier tokenizer train texts.jsonl.zst --vocab 16000 --out \
                        tokenizer
         espalier pretrain examples/pretrain.toml --set scratch.tokenizer=tokenizer --set \
                        mlm.corpora='[\"texts.jsonl.zst\"]' --out run
         espalier pretrain --out run --resume
         espalier fill-mask --backbone run/backbone 'Paris is the [MASK] of France.'")]
pub struct Args {
    #[command(flatten)]
    training: TrainingArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.training.settings(&["strategy=mlm"])?;
    let other = config.strategy;
    ensure!(
        other == Strategy::Mlm,
        "pretrain has the strategy mlm; for {other} run espalier prefinetune"
    );
    let encoder = quoted(&args.training.encoder(&config));
    let next = format!("espalier prefinetune CONFIG.toml --set backbone={encoder} --out RUN");
    args.training.train(&config, "pretrain", |_| next.clone())
}
