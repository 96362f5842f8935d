//! Backbones from the Hugging Face hub.
//!
//! Honours what the hub's own tools honour: `HF_ENDPOINT` (a mirror), `HF_TOKEN` (or the token that
//! their login left), `HF_HUB_OFFLINE`, and `HF_HOME`, whose files are used and left as they are.
//! The server is not trusted: it gives no file its name, sends no more than it lists, and what it
//! sends is used if it has the listed checksum.

use super::cache::env;
use super::client::{Client, Patience};
use super::download::Download;
use super::hub_cache::HubCache;
use super::listing::{Model, RemoteFile};
use super::model_id::ModelId;
use super::scratch::place;
use super::url::Url;
use super::{Source, progress};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";
const PATIENCE: Patience =
    Patience { whole: Duration::from_secs(10), standstill: Duration::from_secs(30) };
/// The most that is read of a listing; an honest one has some kB.
const MAX_LISTING_BYTES: u64 = 10 << 20;

/// How to reach the hub, and where its tools keep what they fetched.
pub struct Hub {
    client: Client,
    offline: bool,
    cache: HubCache,
}

impl Hub {
    /// The hub as the environment describes it.
    pub fn from_env() -> Result<Self> {
        let cache = HubCache::from_env()?;
        let token =
            env("HF_TOKEN").map(|token| token.trim().to_string()).filter(|token| !token.is_empty());
        let token = token.or_else(|| cache.token());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            bail!("HF_TOKEN, or the token in HF_HOME, holds characters that no token has");
        }
        let endpoint = env("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string());
        let endpoint = Url::parse(&endpoint).context("HF_ENDPOINT cannot be used")?;
        let offline = env("HF_HUB_OFFLINE")
            .is_some_and(|v| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str()));
        Ok(Self { client: Client::new(endpoint, token, PATIENCE), offline, cache })
    }

    /// Whether HF_HUB_OFFLINE asks to stay off the network.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Puts the files of `id` into `into`: downloaded by way of the folder `downloads`, which keeps
    /// what came for another run, or, when the hub cannot be asked, as its tools once downloaded
    /// them.
    pub fn download(&self, id: &ModelId, downloads: &Path, into: &Path) -> Result<Source> {
        let model = match self.model(id) {
            Ok(model) => model,
            Err(error) => return self.take_cached(id, into)?.ok_or(error),
        };
        let bar = progress::bar(
            &format!("downloading {id}"),
            model.files.iter().map(|file| file.bytes).sum(),
        );
        let mut before = 0;
        for file in &model.files {
            let from = format!("/{id}/resolve/{}/{}", model.commit, file.name);
            let fetched = self
                .file(id, file, &from, downloads, |position| bar.set_position(before + position));
            let kept = || {
                format!(
                    "{}: not downloaded (what came is kept; another run goes on from there)",
                    file.name
                )
            };
            place(&fetched.with_context(kept)?, &into.join(file.name))?;
            before += file.bytes;
        }
        bar.finish_and_clear();
        Ok(Source::Hub)
    }

    /// What the hub lists of a model.
    fn model(&self, id: &ModelId) -> Result<Model> {
        if self.offline {
            bail!("the hub is not asked because HF_HUB_OFFLINE is set");
        }
        let answer = self
            .client
            .text(&format!("/api/models/{id}/revision/main?blobs=true"), MAX_LISTING_BYTES)?;
        Model::parse(id, &answer)
    }

    /// One file, whole: where the hub's tools or we have put it.
    fn file(
        &self,
        id: &ModelId,
        file: &RemoteFile,
        from: &str,
        downloads: &Path,
        on_position: impl FnMut(u64),
    ) -> Result<PathBuf> {
        if let Some(blob) = self.cache.blob(id, &file.checksum) {
            return Ok(blob);
        }
        fs::create_dir_all(downloads)
            .with_context(|| format!("{}: cannot create", downloads.display()))?;
        let to = downloads.join(file.checksum.as_str());
        Download { client: &self.client, from, file, to: &to }.run(on_position)?;
        Ok(to)
    }

    /// Takes what the hub's tools left in their cache, if all of it is there.
    fn take_cached(&self, id: &ModelId, into: &Path) -> Result<Option<Source>> {
        let Some(files) = self.cache.snapshot(id) else { return Ok(None) };
        for (name, blob) in files {
            place(&blob, &into.join(name))?;
        }
        Ok(Some(Source::Cache))
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
