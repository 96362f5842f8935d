use crate::input::read_lines;
use crate::output;
use anyhow::ensure;
use espalier_encoder::{Backbone, EncoderError};
use serde_json::json;

/// Predict masked tokens with a masked language model
///
/// The backbone must have a language-modelling head, as the models of espalier pretrain and of the
/// transformers classes BertForMaskedLM, RobertaForMaskedLM, DistilBertForMaskedLM and
/// MPNetForMaskedLM have.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier fill-mask --backbone run/backbone 'Paris is the [MASK] of France.'")]
pub struct Args {
    #[command(flatten)]
    backbone: crate::backbone::BackboneArgs,
    /// Texts [default: the lines of standard input]
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Predictions per mask
    #[arg(long, default_value_t = 5, value_name = "N")]
    top: usize,
    /// Print one JSON object per text
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let backbone = args.backbone.open()?;
    let backbone = backbone.as_trainable().map_err(|_| EncoderError::NoMlmHead)?;
    let texts = if args.texts.is_empty() { read_lines(None)? } else { args.texts };
    for text in texts {
        answer(backbone, &text, args.top, args.json)?;
    }
    Ok(())
}

fn answer(backbone: &Backbone, text: &str, top: usize, as_json: bool) -> anyhow::Result<()> {
    let guesses = backbone.fill_mask(text, top)?;
    let mask = backbone.tokenizer.mask().map_or("", |(token, _)| token);
    ensure!(
        !guesses.is_empty(),
        "no {mask} in {text:?}: write {mask} in place of the token to predict"
    );
    if as_json {
        return output::json(&json!({ "text": text, "masks": guesses }));
    }
    say!("{text}")?;
    for guesses in guesses {
        let guesses: Vec<String> =
            guesses.iter().map(|g| format!("{} {:.3}", g.token, g.probability)).collect();
        say!("  {}", guesses.join("  "))?;
    }
    Ok(())
}
