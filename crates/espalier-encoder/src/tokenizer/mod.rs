//! From text to token ids, with the way back to words and characters.

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
use wordpiece::{Refusal, WordPiece};

/// A Hugging Face tokenizer with the model's limit on length.
///
/// BERT's own (`BertNormalizer`, `BertPreTokenizer`, WordPiece) is read and run by this crate;
/// every other kind is left to the `tokenizers` library, which the feature of that name brings in.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pipeline: Pipeline,
    max_tokens: usize,
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
    pub fn read(directory: &Path, vocabulary: usize, max_tokens: usize) -> Result<Self> {
        let path = directory.join("tokenizer.json");
        if path.exists() {
            return Self::from_json(&path, &files::read_settings(&path)?, vocabulary, max_tokens);
        }
        let path = directory.join("vocab.txt");
        if path.exists() {
            let config = directory.join("tokenizer_config.json");
            let config = config.exists().then(|| files::read_settings(&config)).transpose()?;
            return Self::from_vocabulary(
                &path,
                &files::read_settings(&path)?,
                config.as_deref(),
                vocabulary,
                max_tokens,
            );
        }
        Err(EncoderError::MissingFile {
            directory: directory.to_path_buf(),
            file: "tokenizer.json or vocab.txt",
        })
    }

    /// Builds a tokenizer from what is in `tokenizer.json`; `path` is the file that errors name.
    ///
    /// Padding that it asks for is ignored, and truncation is set to `max_tokens` tokens.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when it cannot be used, [`EncoderError::VocabularyMismatch`]
    /// when an id of it lies beyond `vocabulary` rows of word embeddings,
    /// [`EncoderError::Unsupported`] when it is not BERT's and the feature `tokenizers` is off.
    pub fn from_json(
        path: &Path,
        json: &[u8],
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        match WordPiece::from_json(json, max_tokens) {
            Ok(wordpiece) => Self::new(path, wordpiece, vocabulary, max_tokens),
            Err(Refusal::Broken(reason)) => {
                Err(EncoderError::Tokenizer { path: path.to_path_buf(), reason })
            }
            #[cfg(feature = "tokenizers")]
            Err(Refusal::NotBert(_)) => {
                let library = Library::from_json(path, json, vocabulary, max_tokens)?;
                Ok(Self { pipeline: Pipeline::Library(Box::new(library)), max_tokens })
            }
            #[cfg(not(feature = "tokenizers"))]
            Err(Refusal::NotBert(what)) => Err(EncoderError::Unsupported {
                path: path.to_path_buf(),
                what: format!(
                    "{what}; for other tokenizers than BERT's, build with the feature `tokenizers`"
                ),
            }),
        }
    }

    /// Builds BERT's tokenizer from what is in `vocab.txt`, one token per line, and in
    /// `tokenizer_config.json`, if there is one; `path` is the file that errors name.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when it cannot be used, [`EncoderError::VocabularyMismatch`]
    /// when it has more lines than there are rows of word embeddings, `vocabulary`.
    pub fn from_vocabulary(
        path: &Path,
        lines: &[u8],
        config: Option<&[u8]>,
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        match WordPiece::from_vocabulary(lines, config, max_tokens) {
            Ok(wordpiece) => Self::new(path, wordpiece, vocabulary, max_tokens),
            Err(reason) => Err(EncoderError::Tokenizer { path: path.to_path_buf(), reason }),
        }
    }

    /// Builds the tokenizer that [`Tokenizer::serialize`] described; `path` is the file that errors
    /// name.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`] when it cannot be used, [`EncoderError::VocabularyMismatch`]
    /// when an id of it lies beyond `vocabulary` rows of word embeddings.
    pub fn from_serialized(
        path: &Path,
        stored: &SerializedTokenizer,
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        match WordPiece::from_serialized(stored, max_tokens) {
            Ok(wordpiece) => Self::new(path, wordpiece, vocabulary, max_tokens),
            Err(reason) => Err(EncoderError::Tokenizer { path: path.to_path_buf(), reason }),
        }
    }

    /// What a packed backbone holds of the tokenizer, if it is BERT's.
    pub fn serialize(&self) -> Option<SerializedTokenizer<'_>> {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => Some(wordpiece.serialize()),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(_) => None,
        }
    }

    fn new(
        path: &Path,
        wordpiece: WordPiece,
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        fits(path, wordpiece.highest_id(), vocabulary)?;
        Ok(Self { pipeline: Pipeline::WordPiece(Box::new(wordpiece)), max_tokens })
    }

    /// The same tokenizer for texts of any length, of which nothing is cut.
    pub fn without_truncation(&self) -> Self {
        let pipeline = match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => Pipeline::WordPiece(wordpiece.clone()),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => Pipeline::Library(Box::new(library.without_truncation())),
        };
        Self { pipeline, max_tokens: usize::MAX }
    }

    /// The highest id that a text can get.
    pub fn highest_id(&self) -> u32 {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.highest_id(),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.highest_id(),
        }
    }

    /// The token that stands for a hidden one in masked language modelling: `[MASK]` or `<mask>`,
    /// and its id.
    pub fn mask(&self) -> Option<(&'static str, u32)> {
        ["[MASK]", "<mask>"].into_iter().find_map(|token| Some((token, self.added(token)?)))
    }

    /// The id of a token that is itself wherever a text contains it.
    fn added(&self, token: &str) -> Option<u32> {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.added_id(token),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.added_id(token),
        }
    }

    /// Whether an id is that of a token that is itself wherever a text contains it, as all special
    /// tokens are.
    pub fn is_added(&self, id: u32) -> bool {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.is_added(id),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.is_added(id),
        }
    }

    /// A token as the vocabulary has it.
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.token(id).map(str::to_owned),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.token(id),
        }
    }

    /// The longest sequence, special tokens included; what is longer is cut.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Encodes one text.
    ///
    /// A text that the tokenizer refuses becomes an empty one; with the tokenizers that
    /// [`Tokenizer::read`] accepts this does not happen.
    pub fn encode(&self, text: &str) -> Encoded {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.encode(text, self.max_tokens),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.encode(text),
        }
    }

    /// Encodes a text that is split into words already: the tokens of the words joined by spaces.
    /// `words` of the result index the words given, and `spans` are within them.
    pub fn encode_words(&self, words: &[impl AsRef<str>]) -> Encoded {
        match &self.pipeline {
            Pipeline::WordPiece(wordpiece) => wordpiece.encode_words(words, self.max_tokens),
            #[cfg(feature = "tokenizers")]
            Pipeline::Library(library) => library.encode_words(words),
        }
    }
}

/// Fails when an id has no row in the word embeddings.
fn fits(path: &Path, highest: u32, vocabulary: usize) -> Result<()> {
    match (highest as usize) < vocabulary {
        true => Ok(()),
        false => {
            Err(EncoderError::VocabularyMismatch { path: path.to_path_buf(), highest, vocabulary })
        }
    }
}

/// Fails when the special tokens alone are more than a model takes.
fn leaves_room(special: usize, max_tokens: usize) -> Result<(), String> {
    match special <= max_tokens {
        true => Ok(()),
        false => Err(format!(
            "adds {special} special tokens to every text, but the model takes {max_tokens}"
        )),
    }
}
