//! Tokenizers: from text to token ids, with the words and characters of the tokens.

mod encoded;
#[cfg(feature = "tokenizers")]
mod library;
#[cfg(feature = "tokenizers")]
mod train;
mod wordpiece;

pub use encoded::Encoded;
#[cfg(feature = "tokenizers")]
pub use train::{TrainedTokenizer, VocabularyConfig};
pub use wordpiece::SerializedTokenizer;

use crate::error::{EncoderError, Result};
use crate::files;
#[cfg(feature = "tokenizers")]
use library::Library;
use std::path::Path;
use wordpiece::{ParseError, WordPiece};

/// A Hugging Face tokenizer, with truncation to the length that the model takes.
///
/// That of BERT (`BertNormalizer`, `BertPreTokenizer`, WordPiece) is implemented in this crate. All
/// others are run by the `tokenizers` library, with the feature of that name.
///
/// ```
/// use espalier_encoder::{Tokenizer, TokenizerLimits};
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let tokenizer = Tokenizer::read(directory.as_ref(), TokenizerLimits::default())?;
/// let text = tokenizer.encode("a hotel");
/// let tokens: Vec<_> = text.ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
/// assert_eq!(tokens, ["[CLS]", "a", "hotel", "[SEP]"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pipeline: Pipeline,
    max_tokens: usize,
}

/// What a model takes of its tokenizer. The default has no limits.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerLimits {
    /// Rows of the word embeddings: ids must be below.
    pub vocabulary: usize,
    /// The longest sequence, including special tokens. Longer ones are truncated.
    pub max_tokens: usize,
}

impl TokenizerLimits {
    /// Ids below `vocabulary`, and sequences of at most `max_tokens` tokens.
    pub fn new(vocabulary: usize, max_tokens: usize) -> Self {
        Self { vocabulary, max_tokens }
    }
}

impl Default for TokenizerLimits {
    fn default() -> Self {
        Self::new(usize::MAX, usize::MAX)
    }
}

#[derive(Clone, Debug)]
enum Pipeline {
    WordPiece(Box<WordPiece>),
    #[cfg(feature = "tokenizers")]
    Library(Box<Library>),
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or builds a WordPiece tokenizer from `vocab.txt` and
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`EncoderError::MissingFile`] when neither is there, and those of [`Tokenizer::from_json`]
    /// and [`Tokenizer::from_vocabulary`].
    pub fn read(directory: &Path, limits: TokenizerLimits) -> Result<Self> {
        let path = directory.join("tokenizer.json");
        if path.exists() {
            return Self::from_json(&path, &files::read_settings(&path)?, limits);
        }
        let path = directory.join("vocab.txt");
        if path.exists() {
            let config = directory.join("tokenizer_config.json");
            let config = config.exists().then(|| files::read_settings(&config)).transpose()?;
            let lines = files::read_settings(&path)?;
            return Self::from_vocabulary(&path, &lines, config.as_deref(), limits);
        }
        Err(EncoderError::MissingFile {
            directory: directory.to_path_buf(),
            file: "tokenizer.json or vocab.txt",
        })
    }

    /// Builds a tokenizer from the bytes of `tokenizer.json`; `path` is named in errors.
    ///
    /// The file's padding is ignored, and its truncation is replaced.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when it cannot be used, [`EncoderError::VocabularyMismatch`]
    /// when it has an id without a word embedding, [`EncoderError::Unsupported`] when it is not
    /// BERT's and the feature `tokenizers` is off.
    pub fn from_json(path: &Path, json: &[u8], limits: TokenizerLimits) -> Result<Self> {
        match WordPiece::from_json(json, limits.max_tokens) {
            Ok(wordpiece) => Self::new(path, wordpiece, limits),
            Err(ParseError::Invalid(reason)) => {
                Err(EncoderError::Tokenizer { path: path.to_path_buf(), reason })
            }
            #[cfg(feature = "tokenizers")]
            Err(ParseError::NotBert(_)) => {
                let library = Library::from_json(path, json, limits)?;
                let pipeline = Pipeline::Library(Box::new(library));
                Ok(Self { pipeline, max_tokens: limits.max_tokens })
            }
            #[cfg(not(feature = "tokenizers"))]
            Err(ParseError::NotBert(what)) => Err(EncoderError::Unsupported {
                path: path.to_path_buf(),
                what: format!(
                    "{what}; for other tokenizers than BERT's, build with the feature `tokenizers`"
                ),
            }),
        }
    }

    /// Builds BERT's tokenizer from the bytes of `vocab.txt`, which has one token per line, and of
    /// `tokenizer_config.json`, if there is one; `path` is named in errors.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when it cannot be used, [`EncoderError::VocabularyMismatch`]
    /// when it has more lines than there are word embeddings.
    pub fn from_vocabulary(
        path: &Path,
        lines: &[u8],
        config: Option<&[u8]>,
        limits: TokenizerLimits,
    ) -> Result<Self> {
        match WordPiece::from_vocabulary(lines, config, limits.max_tokens) {
            Ok(wordpiece) => Self::new(path, wordpiece, limits),
            Err(reason) => Err(EncoderError::Tokenizer { path: path.to_path_buf(), reason }),
        }
    }

    /// Builds the tokenizer that [`Tokenizer::serialize`] returned; `path` is named in errors.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when it cannot be used, [`EncoderError::VocabularyMismatch`]
    /// when it has an id without a word embedding.
    pub fn from_serialized(
        path: &Path,
        serialized: &SerializedTokenizer,
        limits: TokenizerLimits,
    ) -> Result<Self> {
        match WordPiece::from_serialized(serialized, limits.max_tokens) {
            Ok(wordpiece) => Self::new(path, wordpiece, limits),
            Err(reason) => Err(EncoderError::Tokenizer { path: path.to_path_buf(), reason }),
        }
    }

    /// The tokenizer as it is in a packed backbone, if it is BERT's.
    pub fn serialize(&self) -> Option<SerializedTokenizer<'_>> {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => Some(wordpiece.serialize()),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(_) => None,
        }
    }

    fn new(path: &Path, wordpiece: WordPiece, limits: TokenizerLimits) -> Result<Self> {
        check_highest_id(path, wordpiece.highest_id(), limits)?;
        let pipeline = Pipeline::WordPiece(Box::new(wordpiece));
        Ok(Self { pipeline, max_tokens: limits.max_tokens })
    }

    /// The same tokenizer without truncation.
    pub fn without_truncation(&self) -> Self {
        let pipeline = match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => Pipeline::WordPiece(wordpiece.clone()),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => Pipeline::Library(Box::new(library.without_truncation())),
        };
        Self { pipeline, max_tokens: usize::MAX }
    }

    /// The highest id that a token can have.
    pub fn highest_id(&self) -> u32 {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.highest_id(),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.highest_id(),
        }
    }

    /// The mask token of masked language modelling, `[MASK]` or `<mask>`, and its id.
    pub fn mask(&self) -> Option<(&'static str, u32)> {
        ["[MASK]", "<mask>"].into_iter().find_map(|token| Some((token, self.added_id(token)?)))
    }

    /// The id of an added token.
    fn added_id(&self, token: &str) -> Option<u32> {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.added_id(token),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.added_id(token),
        }
    }

    /// Whether an id is that of an added token, which is one token wherever it is in a text. All
    /// special tokens are added tokens.
    pub fn is_added(&self, id: u32) -> bool {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.is_added(id),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.is_added(id),
        }
    }

    /// The token with an id, as it is in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.token(id).map(str::to_owned),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.token(id),
        }
    }

    /// The longest sequence, including special tokens. Longer ones are truncated.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Encodes a text.
    ///
    /// If the `tokenizers` library fails on it, which does not happen with tokenizers that
    /// [`Tokenizer::read`] accepts, the text is encoded as an empty one.
    pub fn encode(&self, text: &str) -> Encoded {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.encode(text, self.max_tokens),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.encode(text),
        }
    }

    /// Encodes a text that is split into words: to the tokens of the words joined by spaces.
    /// [`Encoded::word_ids`] are indices of the given words, and spans are within them.
    pub fn encode_words(&self, words: &[impl AsRef<str>]) -> Encoded {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.encode_words(words, self.max_tokens),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.encode_words(words),
        }
    }
}

/// Fails if an id has no word embedding.
fn check_highest_id(path: &Path, highest: u32, limits: TokenizerLimits) -> Result<()> {
    match (highest as usize) < limits.vocabulary {
        true => Ok(()),
        false => Err(EncoderError::VocabularyMismatch {
            path: path.to_path_buf(),
            highest,
            vocabulary: limits.vocabulary,
        }),
    }
}

/// Fails if the special tokens alone are more than the model takes.
fn check_special_tokens(count: usize, max_tokens: usize) -> Result<(), String> {
    match count <= max_tokens {
        true => Ok(()),
        false => Err(format!(
            "adds {count} special tokens to every text, but the model takes {max_tokens}"
        )),
    }
}
