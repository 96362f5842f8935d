use super::training::{TrainingArgs, quoted};
use anyhow::ensure;
use espalier_train::strategy::Strategy;

/// Pretrain an encoder on plain text by masked language modelling
///
/// With backbone = "scratch" in CONFIG.toml, a BERT with random weights is trained: the section
/// [scratch] has its shape and names a tokenizer, which espalier tokenizer train makes. Any other
/// backbone is trained further, for instance on the texts of a domain. DIR/backbone is a Hugging
/// Face directory (BertForMaskedLM), which prefinetune, finetune and fill-mask can start from. The
/// other files in DIR, --resume and Ctrl-C are those of espalier prefinetune.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier tokenizer train texts.jsonl.zst --vocab 16000 --out tokenizer
         espalier pretrain examples/pretrain.toml --set scratch.tokenizer=tokenizer \\
             --set mlm.corpora='[\"texts.jsonl.zst\"]' --out run
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
        other == Strategy::PRETRAIN,
        "pretrain always uses the strategy mlm; for {other} run espalier prefinetune"
    );
    let encoder = quoted(&args.training.encoder(&config));
    let next = format!("espalier prefinetune CONFIG.toml --set backbone={encoder} --out RUN");
    args.training.train(&config, "pretrain", |_| next.clone())
}
