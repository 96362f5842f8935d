//! The errors of runs in a directory.

use crate::error::TrainError;
use espalier_encoder::EncoderError;
use std::path::{Path, PathBuf};

/// The result of this module's functions.
pub(super) type Result<T, E = RunError> = std::result::Result<T, E>;

/// Why a run cannot start, resume or finish in its directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Training fails, or a file of the run cannot be read or written.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The directory contains other files.
    #[error(
        "{} is neither empty nor a run: it holds {found}; choose another directory, empty or new",
        directory.display()
    )]
    NotARun {
        /// The directory.
        directory: PathBuf,
        /// The name of a file in it.
        found: String,
    },
    /// The directory contains a run, which should not be resumed.
    #[error(
        "{} already holds a run; resume it with --resume, or give another directory",
        directory.display()
    )]
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// Another process trains in the directory.
    #[error(
        "{}: another process is training in this directory; wait for it, or stop it",
        directory.display()
    )]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// The configuration differs from that of the run.
    #[error(
        "{} was started with other settings: {}; resume it with the settings that it was started \
         with, or give another directory",
        directory.display(),
        differences.join(", ")
    )]
    OtherConfig {
        /// The directory.
        directory: PathBuf,
        /// Each key that differs, with both values.
        differences: Vec<String>,
    },
    /// The checkpoint is of a run that started from another backbone.
    #[error(
        "{}: this run started from the backbone {expected}, not from {found}; resume it with that \
         backbone, or give another directory",
        checkpoint.display()
    )]
    OtherBackbone {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The fingerprint in the checkpoint.
        expected: String,
        /// The fingerprint of the given backbone.
        found: String,
    },
    /// The checkpoint is of a run with another teacher.
    #[error(
        "{}: this run learned from the teacher {expected}, not from {found}; resume it with that \
         teacher, or give another directory",
        checkpoint.display()
    )]
    OtherTeacher {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The teacher in the checkpoint.
        expected: String,
        /// The given teacher.
        found: String,
    },
    /// A corpus has changed since the run started.
    #[error(
        "{key}: the run started with {then}, but now there is {now}; restore the corpus, or start \
         a new run"
    )]
    OtherCorpus {
        /// The configuration key of the corpora.
        key: &'static str,
        /// The corpus when the run started.
        then: String,
        /// The corpus now.
        now: String,
    },
    /// A checkpoint is damaged.
    #[error("{}: damaged checkpoint ({reason})", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// All checkpoints are damaged.
    #[error(
        "{}: every checkpoint is damaged ({reason}); to start the run from the beginning, remove \
         this directory",
        directory.display()
    )]
    NoUsableCheckpoint {
        /// The directory of the checkpoints.
        directory: PathBuf,
        /// What is wrong with the newest.
        reason: String,
    },
    /// A loss or a gradient is not finite.
    #[error("{cause}{}", last_checkpoint(checkpoint.as_deref()))]
    Diverged {
        /// What is not finite, and where.
        cause: Box<TrainError>,
        /// The newest checkpoint, if there is one.
        checkpoint: Option<PathBuf>,
    },
}

fn last_checkpoint(checkpoint: Option<&Path>) -> String {
    match checkpoint.map(Path::display) {
        Some(path) => format!(
            "\nthe last checkpoint is {path}; to start a new run from its encoder: --set \
             backbone={path}/backbone"
        ),
        None => "\nthere is no checkpoint yet".into(),
    }
}

impl From<EncoderError> for RunError {
    fn from(error: EncoderError) -> Self {
        Self::Train(error.into())
    }
}

/// Converts an error of the operating system on a file or directory.
pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RunError {
    let failed = EncoderError::io(path);
    move |cause| failed(cause).into()
}
