//! The errors of a study.

use espalier_data::DataError;
use espalier_encoder::EncoderError;
use espalier_train::TrainError;
use espalier_train::run::RunError;
use std::path::{Path, PathBuf};

/// The result of this module's functions.
pub type Result<T, E = StudyError> = std::result::Result<T, E>;

/// Why a study cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A model cannot be trained or scored.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Pre-finetuning fails.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The study's file is not valid TOML, lacks a key, or has an unknown one.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// A line of `results.jsonl` is not a result of this program.
    #[error(
        "{}:{line}: not a result of a study ({problem}); remove the line, and it is computed again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The message of the parser.
        problem: String,
    },
    /// A backbone or teacher of the study cannot be opened.
    #[error("cannot open {name}: {cause}")]
    Model {
        /// Its directory or id.
        name: String,
        /// Why.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The observer stopped the study. What was finished is in `results.jsonl`.
    #[error("interrupted")]
    Interrupted,
}

impl From<DataError> for StudyError {
    fn from(error: DataError) -> Self {
        Self::Train(error.into())
    }
}

impl From<EncoderError> for StudyError {
    fn from(error: EncoderError) -> Self {
        Self::Train(error.into())
    }
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> StudyError + '_ {
    |cause| StudyError::Io { path: path.to_path_buf(), cause }
}
