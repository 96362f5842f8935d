//! Training a vocabulary for BERT's tokenizer, by Hugging Face's `tokenizers` library.

use crate::error::{EncoderError, Result};
use crate::files;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, Model, NormalizedString, Normalizer, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer, Tokenizer, Trainer,
};

/// The first tokens of the vocabulary.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Characters that are tokens at most. Rarer ones become unknown tokens.
const ALPHABET: usize = 1000;
/// Tokens at most: no supported encoder has more word embeddings.
const LARGEST: usize = 1 << 24;
/// The prefix of tokens inside a word.
const PREFIX: &str = "##";

/// Options for training a vocabulary.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct VocabularyConfig {
    /// Number of tokens at most.
    pub size: usize,
    /// Whether case and accents are kept.
    pub cased: bool,
}

impl VocabularyConfig {
    /// A vocabulary of at most `size` tokens, uncased.
    pub fn new(size: usize) -> Self {
        Self { size, cased: false }
    }

    /// Whether case and accents are kept.
    pub fn with_cased(self, cased: bool) -> Self {
        Self { cased, ..self }
    }
}

/// A WordPiece tokenizer whose vocabulary was trained on texts.
///
/// ```
/// use espalier_encoder::{TrainedTokenizer, VocabularyConfig};
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// let texts = ["the lower lowers the lowest", "newer and newest"].map(String::from);
/// let tokenizer = TrainedTokenizer::train(texts.into_iter(), VocabularyConfig::new(60))?;
/// assert!(tokenizer.len() <= 60);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TrainedTokenizer {
    tokenizer: Tokenizer,
    cased: bool,
}

impl TrainedTokenizer {
    /// The files that [`TrainedTokenizer::save`] writes.
    pub const FILES: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "vocab.txt"];

    /// Trains a vocabulary by byte-pair encoding: it begins with the special tokens and the most
    /// frequent characters, and merges the most frequent pair of tokens until it has the size. The
    /// same texts give the same vocabulary.
    ///
    /// Memory grows with the number of different words, not with the size of the texts.
    ///
    /// # Errors
    /// [`EncoderError::Vocabulary`] when there are no words, the size is smaller than the number of
    /// characters, or larger than that of any encoder.
    pub fn train(
        texts: impl Iterator<Item = String> + Send,
        config: VocabularyConfig,
    ) -> Result<Self> {
        let refused = |reason: String| EncoderError::Vocabulary { reason };
        let failed = |error: tokenizers::Error| refused(error.to_string());
        let normalizer = BertNormalizer::new(true, true, None, !config.cased);
        if config.size > LARGEST {
            return Err(refused(format!(
                "{} tokens are wanted; at most {LARGEST} can be",
                config.size
            )));
        }
        let characters: Mutex<BTreeMap<char, Uses>> = Mutex::default();
        let mut trainer = WordPieceTrainer::builder()
            .show_progress(false)
            .vocab_size(config.size)
            .min_frequency(2)
            .build();
        let words_of = |text: &str| {
            let words = words(&normalizer, text)?;
            let mut counted: BTreeMap<char, Uses> = BTreeMap::new();
            for word in &words {
                for (at, c) in word.chars().enumerate() {
                    counted.entry(c).or_default().add(at > 0);
                }
            }
            let mut characters = characters.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            counted.into_iter().for_each(|(c, uses)| characters.entry(c).or_default().join(uses));
            Ok(words)
        };
        trainer.feed(texts, words_of).map_err(failed)?;
        let alphabet =
            alphabet(characters.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if alphabet.is_empty() {
            return Err(refused("the texts have no words".into()));
        }
        // The characters are given as special tokens, in a fixed order: otherwise their ids would
        // depend on the order of the library's hash map.
        let first = SPECIAL
            .iter()
            .map(|token| token.to_string())
            .chain(single(&alphabet))
            .collect::<Vec<_>>();
        if first.len() > config.size {
            let (least, size) = (first.len(), config.size);
            return Err(refused(format!(
                "{size} tokens are wanted, but the characters alone are {least}"
            )));
        }
        trainer.set_special_tokens(
            first.into_iter().map(|token| AddedToken::from(token, true)).collect(),
        );
        trainer.set_initial_alphabet(alphabet.iter().map(|&(c, _)| c).collect::<HashSet<_>>());
        trainer.set_limit_alphabet(Some(alphabet.len()));
        let mut model = WordPiece::builder().unk_token("[UNK]".into()).build().map_err(failed)?;
        trainer.train(&mut model).map_err(failed)?;
        let tokenizer = bert_tokenizer(model, normalizer).map_err(failed)?;
        Ok(Self { tokenizer, cased: config.cased })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Whether there are no tokens, which is never the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `tokenizer.json`, `vocab.txt` and `tokenizer_config.json`, for transformers and
    /// [`Tokenizer::read`](super::Tokenizer::read).
    ///
    /// # Errors
    /// [`EncoderError::Io`] when a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let json = self.tokenizer.to_string(true);
        let json = json.map_err(|error| EncoderError::Vocabulary { reason: error.to_string() })?;
        let tokens = (0..self.len() as u32).filter_map(|id| self.tokenizer.id_to_token(id));
        let lines: String = tokens.flat_map(|token| [token, "\n".into()]).collect();
        let settings = json!({
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": !self.cased,
            "tokenize_chinese_chars": true,
            "strip_accents": null,
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        });
        let [all, settings_file, vocabulary] = Self::FILES;
        let settings = files::json_bytes(&directory.join(settings_file), &settings)?;
        // tokenizer.json is first: it alone is a complete tokenizer.
        let set =
            [(all, json.as_bytes()), (settings_file, &settings), (vocabulary, lines.as_bytes())];
        files::write_set(directory, &set)
    }
}

/// How often a character occurs, and whether it does inside words.
#[derive(Clone, Copy, Default)]
struct Uses {
    count: u64,
    inside: bool,
}

impl Uses {
    fn add(&mut self, inside: bool) {
        self.join(Self { count: 1, inside });
    }

    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.inside |= other.inside;
    }
}

/// The words that BERT's tokenizer splits a text into.
fn words(normalizer: &BertNormalizer, text: &str) -> tokenizers::Result<Vec<String>> {
    let mut text = NormalizedString::from(text);
    normalizer.normalize(&mut text)?;
    let mut text = PreTokenizedString::from(text);
    BertPreTokenizer.pre_tokenize(&mut text)?;
    let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
}

/// The most frequent characters, sorted, each with whether it occurs inside words.
fn alphabet(characters: BTreeMap<char, Uses>) -> Vec<(char, bool)> {
    let mut characters: Vec<(char, Uses)> = characters.into_iter().collect();
    characters.sort_by_key(|(_, uses)| std::cmp::Reverse(uses.count));
    characters.truncate(ALPHABET);
    characters.sort_unstable_by_key(|&(c, _)| c);
    characters.into_iter().map(|(c, uses)| (c, uses.inside)).collect()
}

/// The tokens of one character.
fn single(alphabet: &[(char, bool)]) -> impl Iterator<Item = String> {
    let inside = alphabet.iter().filter(|(_, inside)| *inside).map(|(c, _)| format!("{PREFIX}{c}"));
    alphabet.iter().map(|(c, _)| c.to_string()).chain(inside)
}

/// BERT's tokenizer with this vocabulary.
fn bert_tokenizer(model: WordPiece, normalizer: BertNormalizer) -> tokenizers::Result<Tokenizer> {
    let id = |token: &str| (token.to_string(), model.token_to_id(token).unwrap_or_default());
    let processor = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")?
        .try_pair("[CLS] $A [SEP] $B:1 [SEP]:1")?
        .special_tokens(vec![id("[CLS]"), id("[SEP]")])
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(normalizer))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(processor))
        .with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
    tokenizer.add_special_tokens(&SPECIAL.map(|token| AddedToken::from(token, true)));
    Ok(tokenizer)
}
