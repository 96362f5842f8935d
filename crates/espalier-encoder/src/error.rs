//! What can go wrong with an encoder's files: what, where, and how to fix it.

use espalier_kernels::Precision;
#[cfg(feature = "tokenizers")]
pub use panics::catch_panic;
use std::path::{Path, PathBuf};

/// Result of this crate's fallible functions.
pub type Result<T, E = EncoderError> = std::result::Result<T, E>;

const GIGABYTE: u64 = 1_000_000_000;

/// An encoder, tokenizer or adapter that cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The operating system failed to read or write a file.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A model directory lacks a required file.
    #[error(
        "{}: no {file} in this directory; a backbone is a Hugging Face directory with \
         config.json, model.safetensors and tokenizer.json or vocab.txt",
        directory.display()
    )]
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
        /// The parser's error.
        cause: serde_json::Error,
    },
    /// A configuration asks for something that this crate does not implement.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it asks for, and what is supported.
        what: String,
    },
    /// A safetensors file is truncated or malformed.
    #[error(
        "{}: not a whole safetensors file ({reason}); download or copy it again",
        path.display()
    )]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the architecture needs is not in the file.
    #[error(
        "{}: tensor {name:?} is missing; the file does not hold the weights that config.json \
         describes",
        path.display()
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error(
        "{}: tensor {name:?} has shape {found:?}, but the configuration asks for {expected:?}",
        path.display()
    )]
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
    /// A tensor holds an infinity or a NaN.
    #[error(
        "{}: tensor {name:?} holds {value}, which no weights do; copy or download the file again, \
         or take an earlier checkpoint of the training",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The first such value.
        value: f32,
    },
    /// A tensor's dtype is not supported.
    #[error(
        "{}: tensor {name:?} has dtype {dtype}; F32, F16 and BF16 are read",
        path.display()
    )]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its dtype.
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
    /// Texts that no vocabulary can be trained on.
    #[error("no vocabulary: {reason}")]
    Vocabulary {
        /// What is wrong with them.
        reason: String,
    },
    /// The tokenizer has more tokens than the model has word embeddings.
    #[error(
        "{}: the tokenizer's highest id is {highest}, but the model has {vocabulary} word \
         embeddings; tokenizer and model do not belong together",
        path.display()
    )]
    VocabularyMismatch {
        /// The tokenizer's file.
        path: PathBuf,
        /// The highest id that it can produce.
        highest: u32,
        /// Rows of the model's word embeddings.
        vocabulary: usize,
    },
    /// A packed backbone that is truncated, altered or inconsistent.
    #[error(
        "{}: not a whole packed backbone ({reason}); copy it again, or pack it again with \
         espalier pack",
        path.display()
    )]
    PackedFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A packed backbone is asked for something that needs all weights in f32.
    #[error(
        "{}: a packed backbone is for inference: it cannot be trained, written as a directory or \
         packed again; use the directory that it was packed from",
        path.display()
    )]
    InferenceOnly {
        /// The file.
        path: PathBuf,
    },
    /// A model that cannot be trained.
    #[error("{reason}")]
    NotTrainable {
        /// Why, and what can be.
        reason: &'static str,
    },
    /// A packed backbone cannot compute in this precision.
    #[error(
        "{}: weights stored as {stored} cannot be multiplied in {asked}; pack the backbone again \
         with --dtype {asked}",
        path.display()
    )]
    UnsupportedPrecision {
        /// The file.
        path: PathBuf,
        /// What its weights are stored in.
        stored: Precision,
        /// What was asked for.
        asked: Precision,
    },
    /// Sizes that need more memory than the machine has.
    #[error(
        "{what} takes at least {} GB, and this machine has {} GB of memory; choose smaller sizes",
        needed.div_ceil(GIGABYTE),
        available / GIGABYTE
    )]
    Memory {
        /// What was asked for.
        what: String,
        /// Bytes that it needs at least.
        needed: u64,
        /// Bytes that the machine has.
        available: u64,
    },
    /// The process was forked from one that had started the thread pool.
    #[error(
        "this process was forked after the threads that compute had started, and a fork does not \
         copy them; open the backbone in the forked process, and let the one that forks it \
         neither open nor run anything"
    )]
    Forked,
    /// A backbone cannot predict masked tokens.
    #[error(
        "this backbone has no head of masked language modelling, or its tokenizer has no mask; \
         espalier pretrain makes such a head"
    )]
    NoMlmHead,
    /// An adapter was trained on another backbone.
    #[error(
        "{}: this adapter was trained on the backbone {expected}, not on {found}; use that \
         backbone, or train the adapter again on this one",
        path.display()
    )]
    WrongBackbone {
        /// The adapter's directory.
        path: PathBuf,
        /// Fingerprint in espalier.json.
        expected: String,
        /// Fingerprint of the backbone given.
        found: String,
    },
    /// A file of an adapter does not have the checksum in espalier.json.
    #[error(
        "{}: {file} is not the one that espalier.json was written with: the adapter was written \
         only in part, or altered, or is being written right now; train it or copy it again (if \
         it was altered on purpose, remove \"files\" from espalier.json)",
        directory.display()
    )]
    AdapterChecksum {
        /// The adapter's directory.
        directory: PathBuf,
        /// The file with another checksum.
        file: &'static str,
    },
    /// An adapter that does not fit the backbone or that this crate does not support.
    #[error("{}: {reason}", path.display())]
    Adapter {
        /// The adapter's directory or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl EncoderError {
    /// For `map_err`: adds the file to an I/O error.
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

#[cfg(feature = "tokenizers")]
mod panics {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::Once;

    thread_local! {
        /// Whether a panic of this thread is expected, so that its message is not printed.
        static EXPECTED: Cell<bool> = const { Cell::new(false) };
    }

    /// Calls a library that panics on some damaged or malicious files. `None` if it panicked; the
    /// panic's message is not printed, that of panics in other threads still is.
    ///
    /// What `work` borrows must not be used after a panic.
    pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
        static INSTALL_HOOK: Once = Once::new();
        INSTALL_HOOK.call_once(|| {
            let default = take_hook();
            set_hook(Box::new(move |panic| {
                if !EXPECTED.get() {
                    default(panic);
                }
            }));
        });
        let before = EXPECTED.replace(true);
        let result = catch_unwind(AssertUnwindSafe(work));
        EXPECTED.set(before);
        result.ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_panic_becomes_none() {
            assert_eq!(catch_panic(|| 1), Some(1));
            let inner = catch_panic(|| catch_panic(|| -> u8 { panic!("inner") }).is_none());
            assert_eq!(inner, Some(true));
            assert_eq!(catch_panic(|| -> u8 { panic!("outer") }), None);
            assert!(!EXPECTED.get());
        }
    }
}
