//! What can go wrong with an encoder's files: what, where, and how to mend it.

use espalier_kernels::Precision;
use std::path::{Path, PathBuf};

/// Result of this crate's fallible functions.
pub type Result<T, E = EncoderError> = std::result::Result<T, E>;

const GIGABYTE: u64 = 1_000_000_000;

/// An encoder, tokenizer or adapter that cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// The operating system refused to read or write a file.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A directory lacks a file that every model directory has.
    #[error("{}: no {file} in this directory; a backbone is a Hugging Face directory with config.json, model.safetensors and tokenizer.json or vocab.txt", directory.display())]
    MissingFile {
        /// The directory.
        directory: PathBuf,
        /// The file's name.
        file: &'static str,
    },
    /// A JSON file does not parse, or lacks a key.
    #[error("{}: {cause}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        cause: serde_json::Error,
    },
    /// A configuration asks for something that this engine does not have.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is asked for and what there is.
        what: String,
    },
    /// A safetensors file is truncated or malformed.
    #[error("{}: not a whole safetensors file ({reason}); download or copy it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A tensor that the architecture needs is not in the file.
    #[error("{}: tensor {name:?} is missing; the file does not hold the weights that config.json describes", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor {name:?} has shape {found:?}, but the configuration asks for {expected:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// A tensor holds an infinity or what is no number, of which every answer would be made.
    #[error("{}: tensor {name:?} holds {value}, which no weights do; copy or download the file again, or take an earlier checkpoint of the training", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The first such number.
        value: f32,
    },
    /// A tensor's numbers are of a type that is not read.
    #[error("{}: tensor {name:?} has dtype {dtype}; F32, F16 and BF16 are read", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The type found.
        dtype: String,
    },
    /// A tokenizer that cannot be built or used.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Texts that no vocabulary can be made of.
    #[error("no vocabulary: {reason}")]
    Vocabulary {
        /// What is wrong with them.
        reason: String,
    },
    /// The tokenizer has more tokens than the model has word vectors.
    #[error("{}: the tokenizer's highest id is {highest}, but the model has {vocabulary} word vectors; tokenizer and model do not belong together", path.display())]
    TokenizerDoesNotFit {
        /// The tokenizer's file.
        path: PathBuf,
        /// The highest id that it can give.
        highest: u32,
        /// Rows of the model's word embeddings.
        vocabulary: usize,
    },
    /// A packed backbone that is truncated, altered or not what it says.
    #[error("{}: not a whole packed backbone ({reason}); copy it again, or pack it again with espalier pack", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A packed backbone is asked for something that needs all weights in f32.
    #[error("{}: a packed backbone is for inference: it cannot be trained, written as a directory or packed again; use the directory that it was packed from", path.display())]
    InferenceOnly {
        /// The file.
        path: PathBuf,
    },
    /// A packed backbone cannot compute in this precision.
    #[error("{}: weights stored as {stored} cannot be multiplied in {asked}; pack the backbone again with --dtype {asked}", path.display())]
    StoredPrecision {
        /// The file.
        path: PathBuf,
        /// What its weights are stored in.
        stored: Precision,
        /// What was asked for.
        asked: Precision,
    },
    /// Sizes that ask for more memory than there is.
    #[error("{what} takes at least {} GB, and this machine has {} GB of memory; choose smaller sizes", needed.div_ceil(GIGABYTE), available / GIGABYTE)]
    Memory {
        /// What was asked for.
        what: String,
        /// The least that it takes, in bytes.
        needed: u64,
        /// What the machine has, in bytes.
        available: u64,
    },
    /// The process was forked from one that had threads.
    #[error(
        "this process was forked after the threads that compute had started, and a fork does not \
         copy them; open the backbone in the forked process, and let the one that forks it \
         neither open nor run anything"
    )]
    Forked,
    /// A backbone cannot guess hidden tokens.
    #[error(
        "this backbone has no head of masked language modelling, or its tokenizer has no mask; \
         espalier pretrain makes such a head"
    )]
    NoMlmHead,
    /// An adapter was trained on another backbone.
    #[error("{}: this adapter was trained on the backbone {expected}, not on {found}; use that backbone, or train the adapter again on this one", path.display())]
    WrongBackbone {
        /// The adapter's directory.
        path: PathBuf,
        /// Fingerprint in espalier.json.
        expected: String,
        /// Fingerprint of the backbone given.
        found: String,
    },
    /// An adapter's files are not those that were written together.
    #[error("{}: {file} is not the one that espalier.json was written with: the adapter was written only in part, or altered, \
             or is being written right now; train it or copy it again (if it was altered on purpose, remove \"files\" from \
             espalier.json)", directory.display())]
    TornAdapter {
        /// The adapter's directory.
        directory: PathBuf,
        /// The file that does not fit.
        file: &'static str,
    },
    /// An adapter that does not fit the backbone or that this engine does not support.
    #[error("{}: {reason}", path.display())]
    Adapter {
        /// The adapter's directory or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl EncoderError {
    /// Makes the system's refusal of a file an error that names the file.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |cause| Self::Io { path, cause }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), what: what.into() }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.to_path_buf();
        move |cause| Self::Json { path, cause }
    }

    pub(crate) fn adapter(path: &Path, reason: impl Into<String>) -> Self {
        Self::Adapter { path: path.to_path_buf(), reason: reason.into() }
    }
}
