use crate::Result;
use espalier_encoder::{AnyBackbone, Backbone};
use espalier_runtime::Runtime;
use std::path::PathBuf;

/// Loading by a path or a model id, as in Python's transformers.
///
/// A path may lead to a Hugging Face directory (BERT, DistilBERT, RoBERTa or MPNet). An id is
/// looked for in the cache and downloaded if it is not there; see [`espalier_hub::resolve`].
/// Without the feature `hub` only paths work.
///
/// ```
/// use espalier::prelude::*;
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
///
/// let backbone = Backbone::from_pretrained("fixtures/tiny-bert")?;
/// assert_eq!(backbone.encoder.width(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait FromPretrained: Sized {
    /// Loads `id_or_path`.
    ///
    /// # Errors
    /// [`Error::Hub`](crate::Error::Hub) when there is no such model or it cannot be downloaded,
    /// [`Error::Encoder`](crate::Error::Encoder) when its files cannot be read.
    fn from_pretrained(id_or_path: &str) -> Result<Self>;
}

impl FromPretrained for Backbone {
    fn from_pretrained(id_or_path: &str) -> Result<Self> {
        Ok(Backbone::open(&resolve(id_or_path)?)?)
    }
}

/// The path may lead to a packed file, too.
impl FromPretrained for AnyBackbone {
    fn from_pretrained(id_or_path: &str) -> Result<Self> {
        Ok(AnyBackbone::open(&resolve(id_or_path)?)?)
    }
}

/// The path may lead to a packed file, too.
impl FromPretrained for Runtime {
    fn from_pretrained(id_or_path: &str) -> Result<Self> {
        Ok(Runtime::open(&resolve(id_or_path)?)?)
    }
}

#[cfg(feature = "hub")]
fn resolve(id_or_path: &str) -> Result<PathBuf> {
    Ok(espalier_hub::resolve(id_or_path, &espalier_hub::Options::default())?)
}

#[cfg(not(feature = "hub"))]
fn resolve(id_or_path: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(id_or_path))
}
