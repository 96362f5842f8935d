use crate::commands::only_ours;
use anyhow::bail;
use espalier_data::{DataError, documents};
use espalier_encoder::{TrainedTokenizer, VocabularyConfig};
use std::path::PathBuf;

/// Train tokenizers
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Train(Train),
}

/// Train a WordPiece vocabulary on texts
///
/// Reads what espalier pretrain reads: JSON lines with "text", CSV, TSV, Parquet, and plain text
/// (.txt) with blank lines between documents. Writes DIR/tokenizer.json, DIR/vocab.txt and
/// DIR/tokenizer_config.json, which transformers loads too. The same texts give the same
/// vocabulary.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier tokenizer train texts-*.jsonl.zst --vocab 16000 --out \
                        tokenizer")]
struct Train {
    /// Files of texts
    #[arg(required = true, value_name = "CORPUS")]
    corpora: Vec<PathBuf>,
    /// Size of the vocabulary at most
    #[arg(long, default_value_t = 30_000, value_name = "N")]
    vocab: usize,
    /// Keep upper case and accents (by default texts are lower-cased and accents removed)
    #[arg(long)]
    cased: bool,
    /// Directory to write the tokenizer to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Train(args) => train(args),
    }
}

fn train(args: Train) -> anyhow::Result<()> {
    // Not into a model's directory: its weights belong to its own tokenizer.
    let files = &TrainedTokenizer::FILES;
    only_ours(&args.out, files, files, "a tokenizer")?;
    // The texts are read lazily, and end at the first error.
    let mut failed = None;
    let mut count = 0;
    let texts = args.corpora.iter().flat_map(|path| match documents(path) {
        Ok(documents) => {
            Box::new(documents) as Box<dyn Iterator<Item = Result<String, DataError>> + Send>
        }
        Err(error) => Box::new(std::iter::once(Err(error))),
    });
    let texts = texts.map_while(|text| match text {
        Ok(text) => {
            count += 1;
            Some(text)
        }
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let config = VocabularyConfig::new(args.vocab).with_cased(args.cased);
    let trained = TrainedTokenizer::train(texts, config);
    if let Some(error) = failed {
        bail!(error);
    }
    let trained = trained?;
    trained.save(&args.out)?;
    say!("{}", args.out.display())?;
    note!("{} tokens from {count} documents", trained.len());
    if trained.len() < args.vocab {
        note!(
            "note: fewer than the {} tokens asked for: no other pair of tokens occurs twice in \
             these texts",
            args.vocab
        );
    }
    Ok(())
}
