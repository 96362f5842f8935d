//! `$HF_HOME`, the folder of the hub's own tools (`huggingface_hub`): their token, and the files
//! that they downloaded. It is only read.
//!
//! A model is in `hub/models--<org>--<name>/`: `refs/main` holds a commit, and
//! `snapshots/<commit>/<name>` are links to `blobs/<checksum>`. Links are followed to such blobs
//! only, and a blob is used only if its content has the checksum that is its name.

use super::listing::is_commit;
use crate::cache::{FILES, MAX_FILE_BYTES, env, missing, user_cache};
use crate::checksum::Checksum;
use crate::error::{HubError, Result};
use crate::model_id::ModelId;
use std::fs;
use std::path::{Path, PathBuf};

/// A token or a commit has fewer than 100 characters.
const MAX_LINE_BYTES: u64 = 4096;

/// The folder of the hub's own tools.
pub struct HfHome {
    folder: PathBuf,
}

impl HfHome {
    /// The folder that the environment names.
    ///
    /// # Errors
    /// [`HubError::NoHfHome`].
    pub fn from_env() -> Result<Self> {
        let folder = env("HF_HOME").map(PathBuf::from).or_else(|| user_cache(env, "huggingface"));
        folder.map(Self::at).ok_or(HubError::NoHfHome)
    }

    /// The folder `folder`.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The token that `hf auth login` saved.
    pub fn token(&self) -> Option<String> {
        only_line(&self.folder.join("token"))
    }

    /// The file with this checksum, if it exists and is complete.
    pub fn blob(&self, id: &ModelId, checksum: &Checksum) -> Option<PathBuf> {
        let repository = self.repository(id)?;
        let blob = complete_blob(&repository, &repository.join("blobs").join(checksum.as_str()))?;
        // It may be a link to another blob.
        blob.ends_with(checksum.as_str()).then_some(blob)
    }

    /// The files of the commit that was downloaded last, if it has those that a backbone needs and
    /// all are complete.
    pub fn snapshot(&self, id: &ModelId) -> Option<Vec<(&'static str, PathBuf)>> {
        let repository = self.repository(id)?;
        let commit = only_line(&repository.join("refs/main")).filter(|commit| is_commit(commit))?;
        let snapshot = repository.join("snapshots").join(commit);
        let names: Vec<_> = FILES.into_iter().filter(|name| snapshot.join(name).exists()).collect();
        if !missing(|name| names.contains(&name)).is_empty() {
            return None;
        }
        names
            .into_iter()
            .map(|name| Some((name, complete_blob(&repository, &snapshot.join(name))?)))
            .collect()
    }

    fn repository(&self, id: &ModelId) -> Option<PathBuf> {
        self.folder.join("hub").join(format!("models--{}", id.folder())).canonicalize().ok()
    }
}

/// The target of `path`, if it is one of the blobs of `repository` and its content has the checksum
/// that is its name.
fn complete_blob(repository: &Path, path: &Path) -> Option<PathBuf> {
    let blob = path.canonicalize().ok()?;
    let checksum = Checksum::parse(blob.file_name()?.to_str()?)?;
    let metadata = fs::metadata(&blob).ok()?;
    let plain = metadata.is_file() && metadata.len() <= MAX_FILE_BYTES;
    let inside = blob.parent() == Some(&repository.join("blobs"));
    (plain && inside && checksum.matches(&blob).unwrap_or(false)).then_some(blob)
}

/// The line of a small file that has one line.
fn only_line(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let small = metadata.is_file() && metadata.len() <= MAX_LINE_BYTES;
    let text = small.then(|| fs::read_to_string(path).ok()).flatten()?;
    Some(text.trim()).filter(|text| !text.is_empty()).map(String::from)
}

#[cfg(test)]
mod tests;
