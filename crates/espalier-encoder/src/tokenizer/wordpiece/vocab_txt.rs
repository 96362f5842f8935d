//! vocab.txt, with the options in tokenizer_config.json.

use super::normalize::Normalization;
use super::vocabulary::Vocabulary;
use super::{Settings, WordPiece, check_special_tokens};
use serde::Deserialize;

/// The added tokens.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

#[derive(Deserialize, Default)]
struct Config {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

impl WordPiece {
    /// BERT's tokenizer from vocab.txt, which has one token per line.
    ///
    /// # Errors
    /// What is wrong with the vocabulary or the configuration.
    pub fn from_vocabulary(
        lines: &[u8],
        config: Option<&[u8]>,
        max_tokens: usize,
    ) -> Result<Self, String> {
        let config: Config = match config {
            Some(json) => serde_json::from_slice(json)
                .map_err(|error| format!("tokenizer_config.json: {error}"))?,
            None => Config::default(),
        };
        let vocabulary = vocabulary(lines)?;
        let id = |token: &str| {
            vocabulary.id(token).ok_or_else(|| format!("the vocabulary has no {token}"))
        };
        let (before, after, unknown) = (vec![id("[CLS]")?], vec![id("[SEP]")?], id("[UNK]")?);
        check_special_tokens(before.len() + after.len(), max_tokens)?;
        let special = SPECIAL
            .into_iter()
            .filter_map(|token| Some((token.to_string(), vocabulary.id(token)?)));
        let lowercase = config.do_lower_case.unwrap_or(true);
        let settings = Settings {
            normalization: Normalization {
                clean_text: true,
                handle_chinese_chars: config.tokenize_chinese_chars.unwrap_or(true),
                strip_accents: config.strip_accents.unwrap_or(lowercase),
                lowercase,
            },
            added: special.collect(),
            normalized: Vec::new(),
            unknown,
            prefix: "##".into(),
            longest_word: 100,
            before,
            after,
        };
        Ok(Self::new(settings, vocabulary))
    }
}

fn vocabulary(lines: &[u8]) -> Result<Vocabulary, String> {
    let lines = std::str::from_utf8(lines).map_err(|error| format!("not a vocabulary: {error}"))?;
    if lines.len() > Vocabulary::LARGEST {
        return Err("the vocabulary is longer than 2 GiB".into());
    }
    let mut vocabulary = Vocabulary::default();
    for (id, line) in (0..).zip(lines.lines()) {
        vocabulary.insert(line.trim_end(), id);
    }
    Ok(vocabulary)
}
