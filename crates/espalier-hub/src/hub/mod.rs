//! Backbones from the Hugging Face hub.
//!
//! Respects the settings of the hub's own tools: `HF_ENDPOINT` (a mirror), `HF_TOKEN` (or the token
//! that their login saved), `HF_HUB_OFFLINE`, and `HF_HOME`, whose files are used but never
//! changed. The server is not trusted: it does not choose the names of files, cannot send more
//! bytes than it lists, and a file is used only if it has the listed checksum.
//!
//! [`listing`] parses which files a model has, [`client`] sends requests to URLs that [`url`]
//! validates, [`download`] transfers a file, and [`hf_home`] reads the files of the hub's own
//! tools.

mod client;
mod download;
#[cfg(test)]
mod fake;
mod hf_home;
mod listing;
mod url;

use crate::cache::env;
use crate::error::{HubError, Result};
use crate::model_id::ModelId;
use crate::scratch::link_or_copy;
use crate::{Event, Options, Source};
use client::{Client, Timeouts};
use download::Download;
use hf_home::HfHome;
use listing::{Model, RemoteFile};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

const ENDPOINT: &str = "https://huggingface.co";
const TIMEOUTS: Timeouts =
    Timeouts { total: Duration::from_secs(10), idle: Duration::from_secs(30) };
/// Longer listings are refused; an honest one has a few kB.
const MAX_LISTING_BYTES: u64 = 10 << 20;

/// The hub, or a mirror of it.
pub struct Hub {
    client: Client,
    offline: bool,
    hf_home: HfHome,
}

impl Hub {
    /// The hub that the environment describes.
    ///
    /// # Errors
    /// [`HubError::Token`], [`HubError::Endpoint`], [`HubError::NoHfHome`].
    pub fn from_env() -> Result<Self> {
        let hf_home = HfHome::from_env()?;
        let token =
            env("HF_TOKEN").map(|token| token.trim().to_string()).filter(|token| !token.is_empty());
        let token = token.or_else(|| hf_home.token());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(HubError::Token);
        }
        let endpoint = env("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string());
        let endpoint = Url::parse(&endpoint).map_err(|reason| HubError::Endpoint { reason })?;
        let offline = env("HF_HUB_OFFLINE")
            .is_some_and(|v| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str()));
        Ok(Self { client: Client::new(endpoint, token, TIMEOUTS), offline, hf_home })
    }

    /// Whether `HF_HUB_OFFLINE` forbids to use the network.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Puts the files of `id` into the directory `into`. Downloads go to the directory `downloads`
    /// first, which keeps them for another run. If the hub cannot be asked, the files in `HF_HOME`
    /// are used.
    pub fn download(
        &self,
        id: &ModelId,
        downloads: &Path,
        into: &Path,
        options: &Options,
    ) -> Result<Source> {
        let model = match self.model(id) {
            Ok(model) => model,
            Err(error) => return self.take_from_hf_home(id, into)?.ok_or(error),
        };
        let what = format!("downloading {id}");
        let bytes = model.files.iter().map(|file| file.bytes).sum();
        options.report(Event::Started { what: &what, bytes: Some(bytes) });
        let mut before = 0;
        for file in &model.files {
            let from = format!("/{id}/resolve/{}/{}", model.commit, file.name);
            let path = self.file(id, file, &from, downloads, |position| {
                options.report(Event::Received { bytes: before + position });
            });
            let path =
                path.map_err(|cause| HubError::File { file: file.name, cause: cause.into() })?;
            link_or_copy(&path, &into.join(file.name))?;
            before += file.bytes;
        }
        options.report(Event::Finished);
        Ok(Source::Hub)
    }

    /// What the hub lists for a model.
    fn model(&self, id: &ModelId) -> Result<Model> {
        if self.offline {
            return Err(HubError::Offline);
        }
        let path = format!("/api/models/{id}/revision/main?blobs=true");
        Model::parse(id, &self.client.text(&path, MAX_LISTING_BYTES)?)
    }

    /// The local path of a file: in `HF_HOME` if it is there, else downloaded.
    fn file(
        &self,
        id: &ModelId,
        file: &RemoteFile,
        from: &str,
        downloads: &Path,
        on_position: impl FnMut(u64),
    ) -> Result<PathBuf> {
        if let Some(blob) = self.hf_home.blob(id, &file.checksum) {
            return Ok(blob);
        }
        fs::create_dir_all(downloads).map_err(HubError::io(downloads, "cannot create"))?;
        let to = downloads.join(file.checksum.as_str());
        Download { client: &self.client, from, file, to: &to }.run(on_position)?;
        Ok(to)
    }

    /// Takes the files that the hub's tools downloaded, if they are complete.
    fn take_from_hf_home(&self, id: &ModelId, into: &Path) -> Result<Option<Source>> {
        let Some(files) = self.hf_home.snapshot(id) else { return Ok(None) };
        for (name, blob) in files {
            link_or_copy(&blob, &into.join(name))?;
        }
        Ok(Some(Source::Cache))
    }
}

#[cfg(test)]
mod tests;
