use anyhow::bail;
use espalier_data::{DataError, documents};
use espalier_encoder::{TrainedTokenizer, VocabularyConfig};
use std::path::PathBuf;

/// Make a WordPiece vocabulary from texts
///
/// Reads what espalier pretrain reads: JSON lines with "text", CSV, TSV, Parquet, and plain text
/// (.txt), where blank lines separate documents. Writes DIR/tokenizer.json, DIR/vocab.txt and
/// DIR/tokenizer_config.json, which transformers loads too. The same texts give the same
/// vocabulary.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier tokenizer train texts-*.jsonl.zst --vocab 16000 --out \
                        tokenizer")]
pub struct Args {
    /// Files of texts
    #[arg(required = true, value_name = "CORPUS")]
    corpora: Vec<PathBuf>,
    /// The most tokens
    #[arg(long, default_value_t = 30_000, value_name = "N")]
    vocab: usize,
    /// Tell upper from lower case, and letters with accents from those without
    #[arg(long)]
    cased: bool,
    /// Where the tokenizer goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    // Not into a model's directory: its weights know its own tokenizer only.
    crate::commands::only_ours(
        &args.out,
        &TrainedTokenizer::FILES,
        &TrainedTokenizer::FILES,
        "a tokenizer",
    )?;
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
    let trained =
        TrainedTokenizer::train(texts, VocabularyConfig { size: args.vocab, cased: args.cased });
    if let Some(error) = failed {
        bail!(error);
    }
    let trained = trained?;
    trained.save(&args.out)?;
    say!("{}", args.out.display())?;
    note!("{} tokens of {count} documents", trained.len());
    if trained.len() < args.vocab {
        note!(
            "note: the texts have no more pieces that come twice; {} tokens were asked for",
            args.vocab
        );
    }
    Ok(())
}
