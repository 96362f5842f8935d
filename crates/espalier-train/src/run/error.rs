//! What can go wrong with a run's directory.

use crate::error::TrainError;
use espalier_encoder::EncoderError;
use std::path::{Path, PathBuf};

/// Result of this module's functions.
pub(super) type Result<T, E = RunError> = std::result::Result<T, E>;

/// A run that cannot start, go on or be finished in its directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Training, or a file of the run.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// There are other things in the directory.
    #[error("{} is neither empty nor a run: it holds {found}; choose another directory, one that is empty or not there yet",
        directory.display())]
    NoRun {
        /// The directory.
        directory: PathBuf,
        /// Something that is in it.
        found: String,
    },
    /// There is a run already, and nobody asked to go on with it.
    #[error("{} holds a run already; go on with it by --resume, or give another directory", directory.display())]
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// Another process is at it.
    #[error("{}: another process is training in this directory; wait for it, or stop it", directory.display())]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// The configuration is not the one that the run was started with.
    #[error("{} was started with other settings: {}; resume it with its own, or give another directory",
        directory.display(), differences.join(", "))]
    OtherConfig {
        /// The directory.
        directory: PathBuf,
        /// Each key that differs, with both values.
        differences: Vec<String>,
    },
    /// A checkpoint belongs to a run that started from another backbone.
    #[error("{}: this run started from the backbone {expected}, not from {found}; resume it with that backbone, or give another directory",
        checkpoint.display())]
    OtherBackbone {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Fingerprint in the checkpoint.
        expected: String,
        /// Fingerprint of the backbone given.
        found: String,
    },
    /// A checkpoint belongs to a run that learned from another teacher.
    #[error("{}: this run learned from the teacher {expected}, not from {found}; resume it with that teacher, or give another directory",
        checkpoint.display())]
    OtherTeacher {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The teacher in the checkpoint.
        expected: String,
        /// The teacher given.
        found: String,
    },
    /// A corpus is not what it was when the run started.
    #[error(
        "{key}: the run started with {then}, but now there is {now}; put the corpus back as it \
         was, or start a new run"
    )]
    OtherCorpus {
        /// The key that names the corpora.
        key: &'static str,
        /// The corpus then.
        then: String,
        /// The corpus now.
        now: String,
    },
    /// A checkpoint is not whole, or not what it says.
    #[error("{}: not a whole checkpoint ({reason})", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are checkpoints, but none that can be read.
    #[error("{}: no checkpoint here is whole ({reason}); to start the run from its beginning, remove this directory",
        directory.display())]
    NoWholeCheckpoint {
        /// The directory of the checkpoints.
        directory: PathBuf,
        /// What is wrong with the newest.
        reason: String,
    },
    /// A loss or a gradient stopped being a number.
    #[error("{cause}{}", last_good(checkpoint.as_deref()))]
    Diverged {
        /// What became infinite or not a number, and where.
        cause: Box<TrainError>,
        /// The newest checkpoint, if there is one.
        checkpoint: Option<PathBuf>,
    },
}

fn last_good(checkpoint: Option<&Path>) -> String {
    match checkpoint.map(Path::display) {
        Some(path) => format!(
            "\nthe last good checkpoint is {path}; its encoder can begin a new run: --set \
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

/// The operating system's error on a file or directory.
pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RunError {
    let failed = EncoderError::io(path);
    move |cause| failed(cause).into()
}
