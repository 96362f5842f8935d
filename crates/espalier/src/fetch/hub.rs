//! Backbones from the Hugging Face hub.
//!
//! Honours what the hub's own tools honour: `HF_ENDPOINT` (a mirror), `HF_TOKEN` (or the token that their login left),
//! `HF_HUB_OFFLINE`, and `HF_HOME`, whose cache is shared with them. The crate `hf-hub` speaks the protocol and resumes downloads;
//! what it lacks is here: every file is checked against the checksum that the hub lists, and a hub that does not answer is given up.

use super::cache::{FILES, MAX_FILE_BYTES, env, missing, user_cache};
use super::digest::Checksum;
use super::model_id::ModelId;
use super::{Source, progress};
use anyhow::{Context, Result, anyhow, bail};
use hf_hub::Repo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long the hub may take to list a model's files.
const LISTING_PATIENCE: Duration = Duration::from_secs(10);
/// How long a download may stand still.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(30);
/// Tries at one file; each goes on where the one before stopped.
const ATTEMPTS: usize = 3;

/// How to reach the hub, and where its tools keep what they fetched.
pub struct Hub {
    endpoint: Option<String>,
    token: Option<String>,
    offline: bool,
    cache: hf_hub::Cache,
}

/// A file of the model, as the hub lists it.
#[derive(Debug)]
struct RemoteFile {
    name: &'static str,
    bytes: u64,
    checksum: Checksum,
}

/// The hub's answer about a model; fields as in its web API with `blobs=true`.
#[derive(Deserialize)]
struct Listing {
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
}

impl Hub {
    /// The hub as the environment describes it.
    pub fn from_env() -> Result<Self> {
        let home = env("HF_HOME").map(PathBuf::from).or_else(|| user_cache(env, "huggingface"));
        let home = home.context("neither HF_HOME nor HOME is set")?;
        let cache = hf_hub::Cache::new(home.join("hub"));
        Ok(Self {
            endpoint: env("HF_ENDPOINT").map(|url| url.trim_end_matches('/').to_string()),
            token: env("HF_TOKEN").map(|token| token.trim().to_string()).or_else(|| cache.token()),
            offline: env("HF_HUB_OFFLINE")
                .is_some_and(|v| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str())),
            cache,
        })
    }

    /// Puts the files of `id` into `into`: downloaded, or, when the hub cannot be asked, as its tools once downloaded them.
    pub fn download(&self, id: &ModelId, into: &Path) -> Result<Source> {
        let api = self.api()?;
        let files = match self.listing(&api, id) {
            Ok(listing) => select(id, &listing)?,
            Err(_) if self.take_cached(id, into).unwrap_or(false) => return Ok(Source::Cache),
            Err(error) => return Err(error),
        };
        let bar = progress::bar(&format!("downloading {id}"), files.iter().map(|file| file.bytes).sum());
        let mut before = 0;
        for file in &files {
            let fetched = self.file(&api, id, file, |position| bar.set_position(before + position));
            let kept = || format!("{}: not downloaded (what came is kept; another run goes on from there)", file.name);
            place(&fetched.with_context(kept)?, &into.join(file.name))?;
            before += file.bytes;
        }
        bar.finish_and_clear();
        Ok(Source::Hub)
    }

    fn api(&self) -> Result<Api> {
        let mut builder = ApiBuilder::from_cache(self.cache.clone()).with_token(self.token.clone());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        Ok(builder.build()?)
    }

    fn listing(&self, api: &Api, id: &ModelId) -> Result<Listing> {
        if self.offline {
            bail!("the hub is not asked because HF_HUB_OFFLINE is set");
        }
        let repository = api.model(id.to_string());
        let answer =
            watched(LISTING_PATIENCE, |_| (), move |_| ask(&repository)).context("the hub cannot be reached")??;
        serde_json::from_str(&answer).context("the hub's answer cannot be understood")
    }

    /// One file, checked; the path may be a link.
    fn file(&self, api: &Api, id: &ModelId, file: &RemoteFile, mut on_position: impl FnMut(u64)) -> Result<PathBuf> {
        if let Some(path) = self.cache.model(id.to_string()).get(file.name)
            && file.checksum.matches(&path).unwrap_or(false)
        {
            return Ok(path);
        }
        let mut failure = anyhow!("not tried");
        for _ in 0..ATTEMPTS {
            self.drop_finished_part(id, file);
            let (repository, name) = (api.model(id.to_string()), file.name);
            let work = move |reporter| Ok(repository.download_with_progress(name, reporter)?);
            match watched(DOWNLOAD_PATIENCE, &mut on_position, work)? {
                Ok(path) if file.checksum.matches(&path)? => return Ok(path),
                Ok(path) => {
                    // Both the link and what it leads to, or the damaged file would be found again.
                    let _ = path.canonicalize().map(fs::remove_file);
                    let _ = fs::remove_file(path);
                    failure = anyhow!("its checksum is not {}, which the hub lists", file.checksum.as_str());
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// hf-hub asks for what follows its partial file, which the hub refuses when nothing does: start such a file again.
    fn drop_finished_part(&self, id: &ModelId, file: &RemoteFile) {
        let repository = self.cache.path().join(Repo::model(id.to_string()).folder_name());
        let part = repository.join("blobs").join(format!("{}.part", file.checksum.as_str()));
        if fs::metadata(&part).is_ok_and(|m| m.len() >= file.bytes) {
            let _ = fs::remove_file(part);
        }
    }

    /// Takes what the hub's tools left in their cache, if all of it is there and whole: they name each file by its checksum.
    fn take_cached(&self, id: &ModelId, into: &Path) -> Result<bool> {
        let cached = self.cache.model(id.to_string());
        let found: Vec<_> = FILES.into_iter().filter_map(|name| Some((name, cached.get(name)?))).collect();
        if !missing(|name| found.iter().any(|(found, _)| *found == name)).is_empty() {
            return Ok(false);
        }
        for (name, path) in found {
            let blob = path.canonicalize()?;
            let checksum = blob.file_name().and_then(|name| Checksum::parse(name.to_str()?));
            if !checksum.context("not named by a checksum")?.matches(&blob)? {
                return Ok(false);
            }
            place(&blob, &into.join(name))?;
        }
        Ok(true)
    }
}

/// The hub's description of a model, as JSON.
fn ask(repository: &ApiRepo) -> Result<String> {
    let response = repository.info_request().query("blobs", "true").call().map_err(|error| {
        let said = error.to_string();
        match error.into_transport() {
            Some(_) => anyhow!("the hub cannot be reached: {said}"),
            None => {
                anyhow!("the hub refuses: {said} (401, 403, 404: no such model, or a private one without HF_TOKEN)")
            }
        }
    })?;
    // `into_string` stops at 10 MB; an honest answer has some kB.
    response.into_string().context("the hub's answer cannot be read")
}

/// The files that espalier wants of those that the hub lists.
fn select(id: &ModelId, listing: &Listing) -> Result<Vec<RemoteFile>> {
    let find = |name: &str| listing.siblings.iter().find(|file| file.rfilename == name);
    let missing = missing(|name| find(name).is_some());
    if missing.contains(&"model.safetensors") && find("pytorch_model.bin").is_some() {
        bail!(
            "the hub has {id} only as pytorch_model.bin, which espalier does not read; \
             convert it where Python has transformers, then pass `--backbone DIR`:\n  \
             python3 -c \"from transformers import AutoModel as M, AutoTokenizer as T; \
             [c.from_pretrained('{id}').save_pretrained('DIR') for c in (M, T)]\""
        );
    }
    if !missing.is_empty() {
        bail!("the hub's {id} lacks {}", missing.join(", "));
    }
    FILES.into_iter().filter_map(|name| find(name).map(|file| remote_file(name, file))).collect()
}

fn remote_file(name: &'static str, file: &Sibling) -> Result<RemoteFile> {
    let listed = file.lfs.as_ref().map(|lfs| &lfs.sha256).or(file.blob_id.as_ref());
    let checksum =
        listed.and_then(|hex| Checksum::parse(hex)).with_context(|| format!("the hub lists no checksum of {name}"))?;
    let bytes = file.size.with_context(|| format!("the hub lists no size of {name}"))?;
    if bytes > MAX_FILE_BYTES {
        bail!("the hub's {name} has {bytes} bytes; {MAX_FILE_BYTES} is the most that espalier takes");
    }
    Ok(RemoteFile { name, bytes, checksum })
}

/// Puts a file of the hub's cache at `to` without a second copy where the file system can.
fn place(from: &Path, to: &Path) -> Result<()> {
    let from = from.canonicalize()?;
    let parent = to.parent().context("no parent directory")?;
    fs::create_dir_all(parent).with_context(|| format!("{}: cannot create", parent.display()))?;
    if fs::hard_link(&from, to).is_err() {
        fs::copy(&from, to).with_context(|| format!("{}: cannot write", to.display()))?;
    }
    Ok(())
}

/// Tells the watching thread how many bytes of a file are there.
struct Reporter {
    position: u64,
    watcher: Sender<u64>,
}

impl hf_hub::api::Progress for Reporter {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.position = 0;
    }

    fn update(&mut self, size: usize) {
        self.position += size as u64;
        // Nobody listens any more when the download was given up.
        let _ = self.watcher.send(self.position);
    }

    fn finish(&mut self) {}
}

/// Runs `work` on a thread of its own and waits for it as long as it reports progress at least every `patience`.
///
/// hf-hub sets no timeouts and panics on some answers; either ends the thread's work here, as an error of the outer result.
fn watched<T: Send + 'static>(
    patience: Duration,
    mut on_position: impl FnMut(u64),
    work: impl FnOnce(Reporter) -> Result<T> + Send + 'static,
) -> Result<Result<T>> {
    let (watcher, positions) = mpsc::channel();
    let worker = thread::spawn(move || work(Reporter { position: 0, watcher }));
    loop {
        match positions.recv_timeout(patience) {
            Ok(position) => on_position(position),
            Err(RecvTimeoutError::Timeout) => {
                bail!("nothing came for {} s", patience.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => {
                return worker.join().map_err(|_| anyhow!("the hub's answer cannot be understood"));
            }
        }
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
