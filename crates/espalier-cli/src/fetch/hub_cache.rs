//! The folder of the hub's own tools, `$HF_HOME`: their token, and the files that they fetched. It
//! is read, never written.
//!
//! A model lies in `hub/models--<org>--<name>/`: `refs/main` holds a commit,
//! `snapshots/<commit>/<name>` are links to `blobs/<checksum>`. A link is followed to such a blob
//! and nowhere else, and a blob is used if its content has the checksum that names it.

use super::cache::{FILES, MAX_FILE_BYTES, env, missing, user_cache};
use super::digest::Checksum;
use super::listing::is_commit;
use super::model_id::ModelId;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Tokens and names of commits have less than 100 characters.
const MAX_NOTE_BYTES: u64 = 4096;

/// What the hub's own tools keep on this machine.
pub struct HubCache {
    home: PathBuf,
}

impl HubCache {
    /// The folder that the environment names.
    pub fn from_env() -> Result<Self> {
        let home = env("HF_HOME").map(PathBuf::from).or_else(|| user_cache(env, "huggingface"));
        Ok(Self::at(home.context("neither HF_HOME nor HOME is set")?))
    }

    /// The cache of a given `$HF_HOME`.
    pub fn at(home: PathBuf) -> Self {
        Self { home }
    }

    /// The token that the login of the hub's tools left.
    pub fn token(&self) -> Option<String> {
        note(&self.home.join("token"))
    }

    /// The file with this checksum, if it is there and whole.
    pub fn blob(&self, id: &ModelId, checksum: &Checksum) -> Option<PathBuf> {
        let repository = self.repository(id)?;
        let blob = whole_blob(&repository, &repository.join("blobs").join(checksum.as_str()))?;
        // It may be a link to another blob.
        blob.ends_with(checksum.as_str()).then_some(blob)
    }

    /// The files of the state that was fetched last, if the needed ones are there and all are
    /// whole.
    pub fn snapshot(&self, id: &ModelId) -> Option<Vec<(&'static str, PathBuf)>> {
        let repository = self.repository(id)?;
        let commit = note(&repository.join("refs/main")).filter(|commit| is_commit(commit))?;
        let snapshot = repository.join("snapshots").join(commit);
        let names: Vec<_> = FILES.into_iter().filter(|name| snapshot.join(name).exists()).collect();
        if !missing(|name| names.contains(&name)).is_empty() {
            return None;
        }
        names
            .into_iter()
            .map(|name| Some((name, whole_blob(&repository, &snapshot.join(name))?)))
            .collect()
    }

    fn repository(&self, id: &ModelId) -> Option<PathBuf> {
        self.home.join("hub").join(format!("models--{}", id.folder())).canonicalize().ok()
    }
}

/// What `path` leads to, if that is a file among the blobs of `repository` whose content has the
/// checksum that names it.
fn whole_blob(repository: &Path, path: &Path) -> Option<PathBuf> {
    let blob = path.canonicalize().ok()?;
    let checksum = Checksum::parse(blob.file_name()?.to_str()?)?;
    let metadata = fs::metadata(&blob).ok()?;
    let plain = metadata.is_file() && metadata.len() <= MAX_FILE_BYTES;
    let inside = blob.parent() == Some(&repository.join("blobs"));
    (plain && inside && checksum.matches(&blob).unwrap_or(false)).then_some(blob)
}

/// The one line of a small file.
fn note(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let small = metadata.is_file() && metadata.len() <= MAX_NOTE_BYTES;
    let text = small.then(|| fs::read_to_string(path).ok()).flatten()?;
    Some(text.trim()).filter(|text| !text.is_empty()).map(String::from)
}

#[cfg(test)]
#[path = "hub_cache_tests.rs"]
mod tests;
