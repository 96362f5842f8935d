//! From text to token ids, with the way back to words and characters.

use crate::error::{EncoderError, Result};
use crate::files;
use serde::Deserialize;
use std::path::Path;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, EncodeInput, PostProcessor, TruncationParams};

/// A text as the encoder sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// For each token the index of its word, or `None` for special tokens.
    pub words: Vec<Option<u32>>,
    /// For each token its first character and the one after its last: in the text, or, when words were given, in its word.
    pub spans: Vec<(usize, usize)>,
    /// Whether tokens were cut off because the text is longer than the model takes.
    pub truncated: bool,
}

impl Encoded {
    /// For each of `count` words the index of its first token, or `None` when it has none (cut off, or nothing but
    /// characters that the tokenizer drops).
    pub fn first_tokens(&self, count: usize) -> Vec<Option<usize>> {
        let mut first = vec![None; count];
        for (token, word) in self.words.iter().enumerate() {
            if let Some(slot) = word.and_then(|word| first.get_mut(word as usize)) {
                slot.get_or_insert(token);
            }
        }
        first
    }

    /// The words of a text: first character and the one after the last, by the index that [`Encoded::words`] uses.
    pub fn word_spans(&self) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        for (word, &(start, end)) in self.words.iter().zip(&self.spans) {
            let Some(word) = word.map(|word| word as usize) else { continue };
            if word >= spans.len() {
                spans.resize(word + 1, (start, end));
            }
            spans[word].1 = end;
        }
        spans
    }
}

/// A Hugging Face tokenizer with the model's limit on length.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_tokens: usize,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or builds a WordPiece tokenizer from `vocab.txt`.
    ///
    /// Padding that the file asks for is ignored, and truncation is set to `max_tokens` tokens.
    ///
    /// # Errors
    /// [`EncoderError::MissingFile`] when neither is there, [`EncoderError::Tokenizer`] when it cannot be used,
    /// [`EncoderError::TokenizerDoesNotFit`] when an id of it lies beyond `vocabulary` rows of word embeddings.
    pub fn read(directory: &Path, vocabulary: usize, max_tokens: usize) -> Result<Self> {
        let path = directory.join("tokenizer.json");
        if path.exists() {
            return Self::from_json(&path, &files::read(&path)?, vocabulary, max_tokens);
        }
        let path = directory.join("vocab.txt");
        if path.exists() {
            let config = directory.join("tokenizer_config.json");
            let config = config.exists().then(|| files::read(&config)).transpose()?;
            return Self::from_vocabulary(&path, &files::read(&path)?, config.as_deref(), vocabulary, max_tokens);
        }
        Err(EncoderError::MissingFile { directory: directory.to_path_buf(), file: "tokenizer.json or vocab.txt" })
    }

    /// Builds a tokenizer from what is in `tokenizer.json`; `path` is the file that errors name.
    ///
    /// # Errors
    /// As [`Tokenizer::read`].
    pub fn from_json(path: &Path, json: &[u8], vocabulary: usize, max_tokens: usize) -> Result<Self> {
        Self::build(path, tokenizers::Tokenizer::from_bytes(json), vocabulary, max_tokens)
    }

    /// Builds BERT's tokenizer from what is in `vocab.txt` and in `tokenizer_config.json`, if there is one; `path` is the file
    /// that errors name.
    ///
    /// # Errors
    /// As [`Tokenizer::read`].
    pub fn from_vocabulary(
        path: &Path,
        lines: &[u8],
        config: Option<&[u8]>,
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        Self::build(path, from_vocabulary(lines, config), vocabulary, max_tokens)
    }

    fn build(
        path: &Path,
        inner: tokenizers::Result<tokenizers::Tokenizer>,
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        let fail = |reason: String| EncoderError::Tokenizer { path: path.to_path_buf(), reason };
        let mut inner = inner.map_err(|error| fail(format!("not a tokenizer: {error}")))?;
        let highest = inner.get_vocab(true).into_values().max();
        let highest = highest.ok_or_else(|| fail("the vocabulary is empty".into()))?;
        if highest as usize >= vocabulary {
            return Err(EncoderError::TokenizerDoesNotFit { path: path.to_path_buf(), highest, vocabulary });
        }
        let special = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if special > max_tokens {
            return Err(fail(format!("adds {special} special tokens to every text, but the model takes {max_tokens}")));
        }
        inner.with_padding(None);
        inner
            .with_truncation(Some(TruncationParams { max_length: max_tokens, ..Default::default() }))
            .map_err(|error| fail(error.to_string()))?;
        let tokenizer = Self { inner, max_tokens };
        // A trial run: what a tokenizer cannot do (a word without an unknown token, say) should show here.
        let trial = tokenizer.try_encode("The quick brown fox 1234 \u{4e2d}\u{1f642}");
        let trial = trial.map_err(|error| fail(error.to_string()))?;
        // The ids of the special tokens around a text are the post-processor's own, whatever the vocabulary says.
        match trial.ids.into_iter().find(|&id| id as usize >= vocabulary) {
            Some(highest) => Err(EncoderError::TokenizerDoesNotFit { path: path.to_path_buf(), highest, vocabulary }),
            None => Ok(tokenizer),
        }
    }

    /// The longest sequence, special tokens included; what is longer is cut.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Encodes one text.
    ///
    /// A text that the tokenizer refuses becomes an empty one; with the tokenizers that [`Tokenizer::read`] accepts this does not
    /// happen.
    pub fn encode(&self, text: &str) -> Encoded {
        self.try_encode(text).or_else(|_| self.try_encode("")).unwrap_or_else(|_| empty())
    }

    /// Encodes a text that is split into words already; `words` of the result index them.
    pub fn encode_words(&self, words: &[impl AsRef<str>]) -> Encoded {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.try_encode(words).unwrap_or_else(|_| empty())
    }

    fn try_encode<'s>(&self, input: impl Into<EncodeInput<'s>>) -> tokenizers::Result<Encoded> {
        let encoding = self.inner.encode_char_offsets(input, true)?;
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            words: encoding.get_word_ids().to_vec(),
            spans: encoding.get_offsets().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }
}

fn empty() -> Encoded {
    Encoded { ids: Vec::new(), words: Vec::new(), spans: Vec::new(), truncated: false }
}

/// BERT's tokenizer from its vocabulary, one token per line.
fn from_vocabulary(lines: &[u8], config: Option<&[u8]>) -> tokenizers::Result<tokenizers::Tokenizer> {
    let vocabulary = WordPiece::read_bytes(lines)?;
    let special = |token: &str| match vocabulary.get(token) {
        Some(&id) => Ok((token.to_string(), id)),
        None => Err(format!("the vocabulary has no {token}")),
    };
    let (cls, sep) = (special("[CLS]")?, special("[SEP]")?);
    special("[UNK]")?;
    let config: TokenizerConfig = config.map(serde_json::from_slice).transpose()?.unwrap_or_default();
    // As everywhere in Hugging Face's tokenizers, these are themselves when a text contains them.
    let special_tokens: Vec<AddedToken> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .into_iter()
        .filter(|&token| vocabulary.contains_key(token))
        .map(|token| AddedToken::from(token, true))
        .collect();
    let model = WordPiece::builder().vocab(vocabulary).unk_token("[UNK]".into()).build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let lower_case = config.do_lower_case.unwrap_or(true);
    let chinese = config.tokenize_chinese_chars.unwrap_or(true);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, chinese, config.strip_accents, lower_case)))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(BertProcessing::new(sep, cls)));
    tokenizer.add_special_tokens(&special_tokens);
    Ok(tokenizer)
}
